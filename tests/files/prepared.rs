//! Text that is compressed beside the workers: served as it is first, coded soon after, and never beyond the
//! memory it may take.

use std::io::Read;
use std::thread;
use std::time::Duration;

use quoit::handler::{Assets, FilesOptions};

use crate::common::{Binary, Client, Response, eventually, pattern};
use crate::site::Site;

/// Text of some length that no two numbers share.
fn text(number: usize, length: usize) -> Vec<u8> {
    let line = format!("line {number}: all work and no play makes a dull file, {}\n", number * 7919);
    line.into_bytes().into_iter().cycle().take(length).collect()
}

fn get(client: &mut Client, target: &str, accept: &str) -> Response {
    client.get(target, &format!("Accept-Encoding: {accept}\r\n"))
}

/// Asks until a coded form comes.
#[track_caller]
fn coded(client: &mut Client, target: &str, accept: &str) -> Response {
    let mut last = None;
    eventually("a coded form", || {
        let response = get(client, target, accept);
        let is_coded = response.field("content-encoding").is_some();
        last = Some(response);
        is_coded
    });
    last.expect("asked at least once")
}

fn decode(response: &Response) -> Vec<u8> {
    let mut out = Vec::new();
    match response.field("content-encoding") {
        Some("br") => brotli::BrotliDecompress(&mut &response.body[..], &mut out).unwrap(),
        Some("zstd") => out = zstd::bulk::decompress(&response.body, 1 << 20).unwrap(),
        Some("gzip") => {
            flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut out).unwrap();
        }
        other => panic!("coded with {other:?}"),
    }
    out
}

#[test]
fn text_is_coded_soon_and_decodes_to_the_file() {
    let content = text(1, 100_000);
    let site = Site::with(&[("app.js", &content)]);
    let mut client = site.connect();
    let first = get(&mut client, "/app.js", "br");
    first.is(200, &content);
    assert_eq!((first.field("content-encoding"), first.field("vary")), (None, Some("Accept-Encoding")));
    let mut tags = vec![first.field("etag").unwrap().to_owned()];
    for (accept, coding) in
        [("br", "br"), ("zstd", "zstd"), ("gzip", "gzip"), ("gzip, deflate, br, zstd", "br")]
    {
        let response = coded(&mut client, "/app.js", accept);
        assert_eq!(response.field("content-encoding"), Some(coding));
        assert!(decode(&response) == content);
        assert!(response.body.len() < content.len() / 2);
        assert_eq!(response.field("vary"), Some("Accept-Encoding"));
        assert_eq!(response.field("content-type"), Some("text/javascript; charset=utf-8"));
        let tag = response.field("etag").unwrap().to_owned();
        assert!(tag.starts_with('"'), "strong: {tag}");
        let lines = format!("Accept-Encoding: {accept}\r\nIf-None-Match: {tag}\r\n");
        client.get("/app.js", &lines).is(304, "");
        // Parts of this form if its tag is given, of the file for all others: forms come and go.
        let range = format!("Accept-Encoding: {accept}\r\nRange: bytes=5-9\r\n");
        let part = client.get("/app.js", &format!("{range}If-Range: {tag}\r\n"));
        part.is(206, &response.body[5..10]);
        assert_eq!(part.field("content-encoding"), Some(coding));
        let part = client.get("/app.js", &range);
        part.is(206, &content[5..10]);
        assert_eq!((part.field("content-encoding"), part.field("vary")), (None, Some("Accept-Encoding")));
        let modified = response.field("last-modified").unwrap();
        client.get("/app.js", &format!("{range}If-Range: {modified}\r\n")).is(200, &content);
        assert_eq!(client.head("/app.js", &format!("Accept-Encoding: {accept}\r\n")).head, response.head);
        tags.push(tag);
    }
    tags.pop();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "one for each form");
    client.get("/app.js", "").is(200, &content);
    client.get("/app.js", "Accept-Encoding: gzip;q=0.1, identity\r\n").is(200, &content);
    client.still_serves();
}

#[test]
fn tags_name_the_content_and_not_its_time() {
    let content = text(2, 3000);
    let site = Site::with(&[("a.css", &content), ("b.css", &content)]);
    let mut client = site.connect();
    let tag = |response: &Response| response.field("etag").unwrap().to_owned();
    let first = coded(&mut client, "/a.css", "br");
    let (before, date) = (tag(&first), first.field("last-modified"));
    assert_eq!(before, tag(&coded(&mut client, "/b.css", "br")), "of the same content");
    let touched = std::fs::File::options().write(true).open(site.path("a.css")).unwrap();
    touched.set_modified(std::time::SystemTime::now() - Duration::from_secs(1000)).unwrap();
    client.get_until("/a.css", "Accept-Encoding: br\r\n", |response| response.field("last-modified") != date);
    assert_eq!(before, tag(&coded(&mut client, "/a.css", "br")));
    site.write("a.css", text(3, 3000));
    client.get_until("/a.css", "", |response| response.body == text(3, 3000));
    let after = coded(&mut client, "/a.css", "br");
    assert_ne!(before, tag(&after));
    assert!(decode(&after) == text(3, 3000), "never the old content");
}

#[test]
fn what_is_not_worth_it_stays_as_it_is() {
    let site = Site::with(&[
        ("small.js", &text(4, 1023)),
        ("picture.png", &text(5, 50_000)),
        ("archive.zip", &text(5, 50_000)),
        ("data.bin", &text(5, 50_000)),
        ("noise.txt", &pattern(50_000)),
        ("large.txt", &text(6, 600_000)),
        ("own.js", &text(7, 50_000)),
        ("own.js.gz", b"its own form"),
        ("last.js", &text(8, 50_000)),
    ]);
    let mut client = site.connect();
    let names = ["small.js", "picture.png", "archive.zip", "data.bin", "noise.txt", "large.txt"];
    for name in names.iter().chain(&["own.js"]) {
        assert_eq!(get(&mut client, &format!("/{name}"), "br").field("content-encoding"), None);
    }
    // What was asked for last is done last.
    coded(&mut client, "/last.js", "br");
    for name in names {
        for accept in ["br", "gzip", "zstd"] {
            let response = get(&mut client, &format!("/{name}"), accept);
            assert_eq!(response.field("content-encoding"), None, "{name}");
            let varies = if name == "noise.txt" { Some("Accept-Encoding") } else { None };
            assert_eq!(response.field("vary"), varies, "{name}");
        }
    }
    get(&mut client, "/own.js", "gzip, br").is(200, "its own form");
    get(&mut client, "/own.js", "br").is(200, text(7, 50_000));
}

#[test]
fn nobody_who_wants_a_part_or_the_file_itself_has_it_coded() {
    let content = text(9, 50_000);
    let site = Site::with(&[("a.js", &content), ("last.js", &text(8, 50_000))]);
    let mut client = site.connect();
    for lines in ["", "Accept-Encoding: identity\r\n", "Accept-Encoding: br\r\nRange: bytes=0-9\r\n"] {
        client.get("/a.js", lines);
    }
    coded(&mut client, "/last.js", "br");
    let first = get(&mut client, "/a.js", "br");
    assert_eq!(first.field("content-encoding"), None, "nobody asked before");
    assert!(decode(&coded(&mut client, "/a.js", "br")) == content);
}

#[test]
fn switched_off_nothing_is_coded() {
    let off = Site::with_options(1, FilesOptions { assets: Assets::off(), ..FilesOptions::default() });
    let on = Site::new();
    for site in [&off, &on] {
        site.write("a.js", text(1, 50_000));
    }
    let mut client = off.connect();
    for _ in 0..2 {
        let response = get(&mut client, "/a.js", "br");
        assert_eq!((response.field("content-encoding"), response.field("vary")), (None, None));
        // In as much time as it takes where it is on, and more.
        coded(&mut on.connect(), "/a.js", "br");
    }
}

#[test]
fn cores_agree_on_what_one_of_them_asked_for() {
    let site = Site::with_options(2, FilesOptions::default());
    let content = text(1, 50_000);
    site.write("a.js", &content);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = site.connect();
                assert!(decode(&coded(&mut client, "/a.js", "br")) == content);
                client.still_serves();
            });
        }
    });
}

#[test]
fn a_flood_of_files_is_served_and_little_of_it_kept() {
    let assets = Assets::new(4000);
    let site = Site::with_options(1, FilesOptions { assets, ..FilesOptions::default() });
    let count = 200;
    for number in 0..count {
        site.write(format!("{number}.txt"), text(number, 4000));
    }
    let mut client = site.connect();
    let mut kept = 0;
    eventually("all are asked for until nothing changes any more", || {
        let before = std::mem::take(&mut kept);
        for number in 0..count {
            let response = get(&mut client, &format!("/{number}.txt"), "br, zstd, gzip");
            let content = text(number, 4000);
            if response.field("content-encoding").is_some() {
                kept += 1;
                assert!(decode(&response) == content, "{number}");
            } else {
                response.is(200, content);
            }
        }
        assert!(kept <= 10, "4000 bytes hold {kept} of {count} files");
        kept > 0 && kept == before
    });
    client.still_serves();
}

#[test]
fn a_walk_over_a_large_tree_stays_within_its_memory() {
    let dir = tempfile::tempdir().unwrap();
    // 400 MiB of paths, of which the cache may keep 64: one file under many names costs no disk.
    std::fs::write(dir.path().join("0.txt"), text(1, 100 << 10)).unwrap();
    for number in 1..4000 {
        std::fs::hard_link(dir.path().join("0.txt"), dir.path().join(format!("{number}.txt"))).unwrap();
    }
    let server = Binary::serve(dir.path(), &[]);
    let mut client = Client::connect(server.addr);
    coded(&mut client, "/0.txt", "br");
    let before = server.resident_bytes();
    let content = text(1, 100 << 10);
    for number in 0..4000 {
        let response = get(&mut client, &format!("/{number}.txt"), "br;q=0.5");
        if response.field("content-encoding").is_some() {
            assert!(decode(&response) == content);
        } else {
            response.is(200, &content);
        }
    }
    let grown = server.resident_bytes().saturating_sub(before) >> 20;
    // The cache, bodies that wait for the compressor, and the allocator's slack.
    assert!(grown < 64 + 16 + 40, "grew by {grown} MiB");
}
