//! Coded forms beside a file: which one a client gets, and the fields of the response.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::common::{Broken, Client, PATIENCE, Response, pattern};
use crate::site::Site;

const ORIGINAL: &str = "the file as it is";

/// A site with `app.js` and all its coded forms; contents identify the coding.
fn site() -> Site {
    Site::with(&[
        ("app.js", ORIGINAL.as_bytes()),
        ("app.js.br", b"brotli"),
        ("app.js.zst", b"zstandard"),
        ("app.js.gz", b"gzipped"),
    ])
}

fn get(client: &mut Client, accept: &str) -> Response {
    client.get("/app.js", &format!("Accept-Encoding: {accept}\r\n"))
}

/// Waits until this content is served.
#[track_caller]
fn get_until(client: &mut Client, accept: &str, content: &str) -> Response {
    let fields = format!("Accept-Encoding: {accept}\r\n");
    client.get_until("/app.js", &fields, |response| response.body == content.as_bytes())
}

fn touch(path: &Path, time: SystemTime) {
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn the_best_form_that_the_client_takes() {
    let site = site();
    let mut client = site.connect();
    for (accept, coding, body) in [
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("zstd, gzip", Some("zstd"), "zstandard"),
        ("gzip", Some("gzip"), "gzipped"),
        ("br;q=0.5, gzip", Some("gzip"), "gzipped"),
        ("br;q=0, *", Some("zstd"), "zstandard"),
        ("deflate", None, ORIGINAL),
        ("identity, br;q=0.5", None, ORIGINAL),
        ("identity;q=0, x", None, ORIGINAL),
        ("br;q=1.5", None, ORIGINAL),
        ("", None, ORIGINAL),
    ] {
        // From the disk or from memory, by GET and HEAD.
        for _ in 0..2 {
            let response = get(&mut client, accept);
            response.is(200, body).keeps();
            assert_eq!(response.field("content-encoding"), coding, "{accept}");
            assert_eq!(response.field("content-type"), Some("text/javascript; charset=utf-8"));
            assert_eq!(response.field("vary"), Some("Accept-Encoding"), "also where it is the file itself");
            let head = client.head("/app.js", &format!("Accept-Encoding: {accept}\r\n"));
            assert_eq!(head.head, response.head);
        }
    }
    client.get("/app.js", "").is(200, ORIGINAL);
    client.get("/app.js", "Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n").is(200, "brotli");
    // Asked for by its own name, it is a file of its own.
    let own = client.get("/app.js.br", "Accept-Encoding: br\r\n");
    assert_eq!((own.field("content-encoding"), own.field("vary")), (None, None));
    assert_eq!(own.field("content-type"), Some("application/x-brotli"));
    client.still_serves();
}

#[test]
fn forms_have_tags_of_their_own() {
    let site = site();
    let mut client = site.connect();
    let mut tags = Vec::new();
    for accept in ["br", "zstd", "gzip", "identity"] {
        let response = get(&mut client, accept);
        let tag = response.field("etag").unwrap().to_owned();
        assert!(tag.starts_with('"'), "strong: {tag}");
        let again = client.get("/app.js", &format!("Accept-Encoding: {accept}\r\nIf-None-Match: {tag}\r\n"));
        again.is(304, "");
        assert_eq!(again.field("etag"), Some(tag.as_str()));
        assert_eq!(again.field("vary"), Some("Accept-Encoding"));
        assert_eq!(again.field("content-encoding"), None, "there is no content");
        assert!(!tags.contains(&tag), "{tag} twice");
        tags.push(tag);
    }
    for tag in &tags[..3] {
        client.get("/app.js", &format!("If-None-Match: {tag}\r\n")).is(200, ORIGINAL);
        client.get("/app.js", &format!("If-Match: {tag}\r\n")).has_status(412);
    }
}

#[test]
fn ranges_are_of_the_form() {
    let site = site();
    let mut client = site.connect();
    let tag = get(&mut client, "br").field("etag").unwrap().to_owned();
    let part = client.get("/app.js", "Accept-Encoding: br\r\nRange: bytes=1-3\r\n");
    part.is(206, "rot");
    assert_eq!(part.field("content-range"), Some("bytes 1-3/6"));
    assert_eq!((part.field("content-encoding"), part.field("vary")), (Some("br"), Some("Accept-Encoding")));
    let wire = |accept: &str| format!("Accept-Encoding: {accept}\r\nRange: bytes=1-3\r\nIf-Range: {tag}\r\n");
    client.get("/app.js", &wire("br")).is(206, "rot");
    client.get("/app.js", &wire("gzip")).is(200, "gzipped");
    client.get("/app.js", "Accept-Encoding: br\r\nRange: bytes=6-\r\n").has_status(416);
    // Several parts of something coded cannot be said: whole.
    site.write("app.js.br", pattern(5000));
    let parts = "Accept-Encoding: br\r\nRange: bytes=0-0,-1\r\n";
    client.get_until("/app.js", parts, |response| response.body == pattern(5000)).has_status(200);
}

#[test]
fn what_is_older_than_the_file_is_ignored() {
    let site = site();
    let now = SystemTime::now();
    touch(&site.path("app.js"), now);
    touch(&site.path("app.js.br"), now - Duration::from_millis(1));
    touch(&site.path("app.js.zst"), now);
    let mut client = site.connect();
    get(&mut client, "br, zstd, gzip").is(200, "zstandard");
    // The file changes: none of them is of it any more.
    site.write("app.js", "another");
    touch(&site.path("app.js"), now + Duration::from_secs(1));
    let response = get_until(&mut client, "br, zstd, gzip", "another");
    assert_eq!(response.field("vary"), None, "there is nothing else to be had");
}

#[test]
fn forms_that_come_go_and_change_are_noticed() {
    let site = Site::with(&[("app.js", ORIGINAL.as_bytes())]);
    let mut client = site.connect();
    get(&mut client, "gzip").is(200, ORIGINAL);
    site.write("app.js.gz", "one");
    let before = get_until(&mut client, "gzip", "one");
    site.write("app.js.gz", "another");
    let after = get_until(&mut client, "gzip", "another");
    assert_ne!(before.field("etag"), after.field("etag"));
    fs::remove_file(site.path("app.js.gz")).unwrap();
    get_until(&mut client, "gzip", ORIGINAL);
    client.still_serves();
}

#[test]
fn large_files_have_forms_too() {
    let site = Site::with(&[
        ("large.js", &pattern(2_000_000)),
        ("large.js.br", &pattern(600_000)),
        ("large.js.gz", b"small"),
    ]);
    let mut client = site.connect();
    for _ in 0..3 {
        client.get("/large.js", "").is(200, pattern(2_000_000));
        client.get("/large.js", "Accept-Encoding: br\r\n").is(200, pattern(600_000));
        client.get("/large.js", "Accept-Encoding: gzip\r\n").is(200, "small");
        client
            .get("/large.js", "Accept-Encoding: br\r\nRange: bytes=9-99\r\n")
            .is(206, &pattern(600_000)[9..100]);
    }
    // Replaced while what is known of it is fresh.
    site.write("new", "new");
    fs::rename(site.path("new"), site.path("large.js")).unwrap();
    client.get("/large.js", "").is(200, "new");
    client.still_serves();
}

#[test]
fn what_lies_beside_a_file_and_is_no_form_of_it() {
    let site =
        Site::with(&[("app.js", ORIGINAL.as_bytes()), ("picture.png", b"png"), ("picture.png.gz", b"gz")]);
    symlink("../secret", site.path("app.js.br")).unwrap();
    fs::create_dir(site.path("app.js.zst")).unwrap();
    symlink("app.js.gz", site.path("app.js.gz")).unwrap();
    let mut client = site.connect();
    for _ in 0..2 {
        let response = get(&mut client, "br, zstd, gzip");
        response.is(200, ORIGINAL);
        assert_eq!(response.field("vary"), None);
    }
    // Nobody compresses pictures on purpose.
    client.get("/picture.png", "Accept-Encoding: gzip\r\n").is(200, "png");
    let name = "n".repeat(254);
    site.write(&name, "long");
    client.get(&format!("/{name}"), "Accept-Encoding: gzip\r\n").is(200, "long");
    client.still_serves();
}

#[test]
fn index_files_have_forms() {
    let site =
        Site::with(&[("index.html", b"plain"), ("index.html.gz", b"coded"), ("sub/index.html", b"sub")]);
    let mut client = site.connect();
    for _ in 0..2 {
        client.get("/", "Accept-Encoding: gzip\r\n").is(200, "coded");
        client.get("/", "").is(200, "plain");
        client.get("/sub/", "Accept-Encoding: gzip\r\n").is(200, "sub");
    }
}

#[test]
fn forms_replaced_while_they_are_asked_for_never_mix() {
    let site = site();
    let contents = [pattern(30_000), pattern(40_000), pattern(600_000)];
    site.write("app.js.br", &contents[0]);
    let seen = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            // As long as it takes until the server has noticed some of them.
            let began = Instant::now();
            let goes_on = |_: &usize| seen.load(Ordering::Relaxed) < 3 && began.elapsed() < PATIENCE;
            for round in (0..).take_while(goes_on) {
                site.write("new", &contents[round % 3]);
                fs::rename(site.path("new"), site.path("app.js.br")).unwrap();
                if round % 7 == 0 {
                    fs::remove_file(site.path("app.js.br")).unwrap();
                }
            }
        });
        let mut client = site.connect();
        let mut last = contents[0].clone();
        while !changing.is_finished() {
            let response = get(&mut client, "br");
            seen.fetch_add(usize::from(response.body != last), Ordering::Relaxed);
            last.clone_from(&response.body);
            if response.field("content-encoding") == Some("br") {
                assert!(contents.contains(&response.body), "{} bytes of no version", response.body.len());
            } else {
                // Another form, or the file itself: never one under the name of another.
                response.is(200, ORIGINAL);
            }
        }
        client.still_serves();
    });
}

#[test]
fn a_form_truncated_while_it_is_sent_ends_the_connection() {
    let site = Site::with(&[("app.js", ORIGINAL.as_bytes())]);
    site.write("app.js.br", pattern(20_000_000));
    let mut client = site.connect_narrow();
    client.send("GET /app.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
    client.fill_some(1000).unwrap();
    fs::File::options().write(true).open(site.path("app.js.br")).unwrap().set_len(9).unwrap();
    assert!(matches!(client.try_response_to("GET"), Err(Broken::InBody(..))));
    get(&mut site.connect(), "br").is(200, &pattern(20_000_000)[..9]);
}

#[test]
fn a_form_that_may_not_be_read_is_none() {
    if rustix::process::geteuid().is_root() {
        // Root may read everything; there is nothing to show.
        return;
    }
    let site = site();
    let mut client = site.connect();
    get(&mut client, "br").is(200, "brotli");
    fs::set_permissions(site.path("app.js.br"), fs::Permissions::from_mode(0o0)).unwrap();
    get_until(&mut client, "br, gzip", "gzipped");
}
