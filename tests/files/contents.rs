//! The fields of a file's response, and that every byte of it arrives.

use std::io::Write;
use std::time::{Duration, SystemTime};

use crate::common::{Framing, pattern};
use crate::site::Site;

#[test]
fn a_response_says_what_the_file_is() {
    let site = Site::with(&[("a.txt", b"hello"), ("large.txt", &[b'x'; 600_000])]);
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for (name, length) in [("a.txt", 5), ("large.txt", 600_000)] {
        std::fs::File::options().write(true).open(site.path(name)).unwrap().set_modified(modified).unwrap();
        let mut client = site.connect();
        let response = client.get(&format!("/{name}"), "");
        let tag = response.field("etag").unwrap();
        let expected = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nETag: {tag}\r\n\
             Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\nAccept-Ranges: bytes\r\nContent-Length: {length}"
        );
        assert_eq!(response.head, expected);
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 4, "a strong tag: {tag}");
        assert_eq!(response.framing, Framing::Length);
        // HEAD, twice, cached or not.
        for _ in 0..2 {
            assert_eq!(client.head(&format!("/{name}"), "").head, expected);
        }
        client.still_serves();
    }
}

#[test]
fn content_types() {
    let site = Site::new();
    let mut client = site.connect();
    for (name, expected) in [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTML", "text/html; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.webp", "image/webp"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.pdf", "application/pdf"),
        ("a.mp4", "video/mp4"),
        ("a.tar.gz", "application/gzip"),
        ("a.b.html", "text/html; charset=utf-8"),
        ("noextension", "application/octet-stream"),
        ("a.unknown-thing", "application/octet-stream"),
    ] {
        site.write(name, "x");
        assert_eq!(
            client.get(&format!("/{name}"), "").is(200, "x").field("content-type"),
            Some(expected),
            "{name}"
        );
    }
    // By the file that answers, not by how it was asked for.
    site.write("dir.txt/index.html", "x");
    let response = client.get("/dir.txt/", "");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn files_of_every_size_are_whole() {
    let site = Site::new();
    let mut client = site.connect();
    const KIB: usize = 1024;
    for length in [
        0,
        1,
        4096,
        16 * KIB - 1,
        16 * KIB,
        16 * KIB + 1,
        256 * KIB - 1,
        256 * KIB,
        256 * KIB + 1,
        512 * KIB - 1,
        512 * KIB,
        512 * KIB + 1,
        1024 * KIB,
        3_333_333,
    ] {
        let content = pattern(length);
        site.write("file", &content);
        site.write(format!("file-{length}"), &content);
        let target = format!("/file-{length}");
        // Once from the disk, once from memory if it is small.
        for _ in 0..2 {
            client.get(&target, "").is(200, &content).keeps();
            assert_eq!(client.head(&target, "").field("content-length"), Some(length.to_string().as_str()));
        }
        client.still_serves();
    }
}

#[test]
fn twenty_mebibytes_arrive_intact_and_in_company() {
    let site = Site::new();
    let content = pattern(20 << 20);
    site.write("large", &content);
    site.write("small", "small");
    std::thread::scope(|scope| {
        for narrow in [false, false, true] {
            let (site, content) = (&site, &content);
            scope.spawn(move || {
                let mut client = if narrow { site.connect_narrow() } else { site.connect() };
                client.send(
                    "GET /small HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n\
                     HEAD /large HTTP/1.1\r\nHost: a\r\n\r\nGET /small HTTP/1.1\r\nHost: a\r\n\r\n",
                );
                client.response().is(200, "small");
                client.response().is(200, content);
                client.response_to("HEAD").is(200, "");
                client.response().is(200, "small");
                client.still_serves();
            });
        }
    });
    let mut client = site.connect();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    client.response().is(200, &content).says_close();
    client.is_closed();
    let mut client = site.connect();
    client.send("GET /large HTTP/1.0\r\n\r\n").half_close();
    client.response().is(200, &content).says_close();
    client.is_closed();
}

#[test]
fn a_sparse_file_is_as_long_as_it_says() {
    let site = Site::new();
    let mut file = std::fs::File::create(site.path("sparse")).unwrap();
    file.set_len(3 << 20).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).unwrap();
    file.write_all(b"end").unwrap();
    let mut expected = vec![0; 3 << 20];
    expected.extend_from_slice(b"end");
    site.get("/sparse").is(200, expected);
}

#[test]
fn pipelined_files_of_all_kinds_stay_in_order() {
    let site = Site::new();
    let lengths = [0, 1, 10_000, 20_000, 600_000, 100_000];
    for length in lengths {
        site.write(format!("f{length}"), pattern(length));
    }
    let mut client = site.connect();
    for round in 0..3 {
        let wire: String = lengths.iter().map(|n| format!("GET /f{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
        client.send(format!("{wire}GET /none HTTP/1.1\r\nHost: a\r\nX: {round}\r\n\r\n"));
        for length in lengths {
            client.response().is(200, pattern(length));
        }
        client.response().has_status(404);
    }
    client.still_serves();
}
