//! Validators: tags tell contents apart where lengths and times do not, and agree where contents do; and
//! forms that do not belong to their file.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::common::{Client, eventually, pattern, time_passes};
use crate::site::Site;

/// As stores and reproducible builds do: every file has this time.
fn put(site: &Site, name: &str, content: impl AsRef<[u8]>) {
    site.write(".new", content);
    set_time(&site.path(".new"), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
    fs::rename(site.path(".new"), site.path(name)).unwrap();
}

fn set_time(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn tag(client: &mut Client, target: &str, fields: &str) -> String {
    client.get(target, fields).has_status(200).field("etag").expect("files have tags").to_owned()
}

/// Changes the beginning, and neither length nor time.
fn variant(length: usize, first: u8) -> Vec<u8> {
    let mut content = pattern(length);
    content[0] = first;
    content
}

#[test]
fn contents_of_one_length_and_time_have_different_tags() {
    let site = Site::new();
    // In memory, and streamed.
    for (name, length) in [("small", 100), ("large", 900_000)] {
        let target = format!("/{name}");
        put(&site, name, variant(length, 1));
        put(&site, &format!("{name}.gz"), variant(length, 3));
        let mut client = site.connect();
        let old = tag(&mut client, &target, "");
        let coded = "Accept-Encoding: gzip\r\n";
        let old_form = tag(&mut client, &target, coded);
        put(&site, name, variant(length, 2));
        put(&site, &format!("{name}.gz"), variant(length, 4));
        for (fields, old, first) in [("", &old, 2), (coded, &old_form, 4)] {
            let fields = format!("{fields}If-None-Match: {old}\r\n");
            let response = client.get_until(&target, &fields, |response| response.status != 304);
            response.is(200, variant(length, first));
        }
        client.get(&target, &format!("If-Match: {old}\r\n")).has_status(412);
        let range = "Range: bytes=10-19\r\n";
        client.get(&target, &format!("{range}If-Range: {old}\r\n")).is(200, variant(length, 2));
        // Nor does the date continue a download of the other one.
        let date = "If-Range: Thu, 01 Jan 1970 00:00:01 GMT\r\n";
        client.get(&target, &format!("{range}{date}")).is(200, variant(length, 2));
        client.still_serves();
    }
}

#[test]
fn a_time_that_says_nothing_is_not_told() {
    let site = Site::new();
    put(&site, "stored", "x");
    site.write("written", "x");
    // Caches would take a file of 1970 for one that changes once in years.
    assert_eq!(site.get("/stored").field("last-modified"), None);
    assert!(site.get("/written").field("last-modified").is_some());
}

#[test]
fn tags_agree_between_machines() {
    let sites = [Site::new(), Site::new()];
    let contents = [("small", pattern(1000)), ("large", pattern(900_000))];
    for (at, site) in sites.iter().enumerate() {
        for (name, content) in &contents {
            site.write(name, content);
            site.write(format!("{name}.br"), &content[..700]);
            let time = SystemTime::now() - Duration::from_secs(60 * (at as u64 + 1));
            set_time(&site.path(name), time);
        }
    }
    let mut clients = sites.each_ref().map(Site::connect);
    let tags = |clients: &mut [Client; 2], target: &str, fields: &str| {
        clients.each_mut().map(|client| tag(client, target, fields))
    };
    for fields in ["", "Accept-Encoding: br\r\n"] {
        let [one, two] = tags(&mut clients, "/small", fields);
        assert_eq!(one, two);
        // A large file is hashed beside the workers, after the first request.
        eventually("the large file is hashed", || {
            let [one, two] = tags(&mut clients, "/large", fields);
            one == two
        });
    }
}

#[test]
fn a_download_that_was_begun_before_the_hash_was_known_is_continued() {
    let site = Site::new();
    // Larger than what is hashed before the first response.
    let content = pattern(34 << 20);
    site.write("large", &content);
    let mut client = site.connect();
    let first = tag(&mut client, "/large", "");
    eventually("the file is hashed", || tag(&mut client, "/large", "") != first);
    let part = client.get("/large", &format!("Range: bytes=5-9\r\nIf-Range: {first}\r\n"));
    part.is(206, &content[5..10]);
    assert_eq!(part.field("etag"), Some(first.as_str()), "the tag that the client knows");
    client.get("/large", &format!("If-None-Match: {first}\r\n")).is(304, "");
    client.get("/large", &format!("If-Match: {first}\r\n")).is(200, &content);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_form_that_is_empty_cut_off_or_of_another_length_does_not_replace_the_file() {
    let original = pattern(700);
    let whole = gzip(&original);
    let other = gzip(&original[..699]);
    let zstd = zstd::bulk::compress(&original, 1).unwrap();
    let other_zstd = zstd::bulk::compress(&original[..699], 1).unwrap();
    let site = Site::new();
    let forms = [
        ("gz", &whole[..], true),
        ("gz", b"", false),
        ("gz", &whole[..whole.len() / 2], false),
        ("gz", &whole[..whole.len() - 1], false),
        ("gz", &other, false),
        ("zst", &zstd, true),
        ("zst", b"", false),
        ("zst", &other_zstd, false),
        ("br", b"", false),
    ];
    let mut client = site.connect();
    for (at, (extension, content, is_used)) in forms.into_iter().enumerate() {
        site.write(format!("{at}.css"), &original);
        site.write(format!("{at}.css.{extension}"), content);
        for _ in 0..2 {
            let response = client.get(&format!("/{at}.css"), "Accept-Encoding: gzip, br, zstd\r\n");
            let expected = if is_used { content } else { &original[..] };
            response.is(200, expected);
            assert_eq!(response.field("content-encoding").is_some(), is_used, "{extension}");
        }
    }
    client.still_serves();
}

#[test]
fn a_form_that_was_there_before_its_file_is_of_another() {
    let site = Site::new();
    put(&site, "a.css", "one");
    put(&site, "a.css.br", "coded one");
    let mut client = site.connect();
    client.get("/a.css", "Accept-Encoding: br\r\n").is(200, "coded one");
    // A release without the form, with the one time that all files have.
    time_passes(Duration::from_millis(1100), "files that were written within a second are of one release");
    put(&site, "a.css", "two");
    client.get_until("/a.css", "Accept-Encoding: br\r\n", |response| response.body == b"two");
}

#[test]
fn types_that_are_coded_by_themselves_say_so() {
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>".repeat(50);
    let site = Site::new();
    site.write("a.svgz", gzip(&svg));
    site.write("plain.svgz", &svg);
    site.write("a.svgz.br", "no form of it");
    site.write("a.svg.gz", gzip(&svg));
    let mut client = site.connect();
    for accept in ["", "Accept-Encoding: br, gzip\r\n"] {
        let response = client.get("/a.svgz", accept);
        response.is(200, gzip(&svg));
        assert_eq!(response.field("content-type"), Some("image/svg+xml"));
        assert_eq!(response.field("content-encoding"), Some("gzip"));
        assert_eq!(response.field("vary"), None, "there is one form");
        let part = client.get("/a.svgz", &format!("{accept}Range: bytes=0-1\r\n"));
        part.is(206, [0x1f, 0x8b]);
        assert_eq!(part.field("content-encoding"), Some("gzip"));
        // Not coded, whatever its name says.
        assert_eq!(client.get("/plain.svgz", accept).field("content-encoding"), None);
        // To be saved as it is.
        let saved = client.get("/a.svg.gz", accept);
        assert_eq!(saved.field("content-type"), Some("application/gzip"));
        assert_eq!(saved.field("content-encoding"), None);
    }
    client.still_serves();
}
