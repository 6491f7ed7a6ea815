//! Conditional requests (RFC 9110 §13) and ranges (§14), for files from memory and for streamed ones.

use std::time::{Duration, SystemTime};

use crate::common::{Broken, Response, pattern};
use crate::site::Site;

const MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

/// Sizes of the files: one is kept in memory, one is streamed.
const LENGTHS: [usize; 2] = [10_000, 700_000];

/// A site with both, last modified at `MODIFIED`, under their lengths as names.
fn site() -> Site {
    let site = Site::new();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for length in LENGTHS {
        site.write(length.to_string(), pattern(length));
        let file = std::fs::File::options().write(true).open(site.path(length.to_string())).unwrap();
        file.set_modified(modified).unwrap();
    }
    site
}

#[test]
fn preconditions() {
    let site = site();
    for length in LENGTHS {
        let target = format!("/{length}");
        let mut client = site.connect();
        let tag = client.get(&target, "").field("etag").unwrap().to_owned();
        let vectors = [
            // If-None-Match: weak comparison.
            (format!("If-None-Match: {tag}\r\n"), 304),
            (format!("If-None-Match: W/{tag}\r\n"), 304),
            (format!("If-None-Match: \"x\", {tag}\r\n"), 304),
            (format!("If-None-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 304),
            ("If-None-Match: *\r\n".into(), 304),
            ("If-None-Match: \"x\"\r\n".into(), 200),
            ("If-None-Match: x\r\n".into(), 200),
            ("If-None-Match:\r\n".into(), 200),
            (format!("if-none-match: {}\r\n", tag.trim_matches('"')), 200),
            // If-Modified-Since.
            (format!("If-Modified-Since: {MODIFIED}\r\n"), 304),
            (format!("If-Modified-Since: {AFTER}\r\n"), 304),
            (format!("If-Modified-Since: {BEFORE}\r\n"), 200),
            ("If-Modified-Since: Tuesday, 14-Nov-23 22:13:20 GMT\r\n".into(), 304),
            ("If-Modified-Since: Tue Nov 14 22:13:20 2023\r\n".into(), 304),
            ("If-Modified-Since: yesterday\r\n".into(), 200),
            (format!("If-Modified-Since: {MODIFIED}\r\nIf-Modified-Since: {MODIFIED}\r\n"), 200),
            // If-None-Match takes precedence.
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {MODIFIED}\r\n"), 200),
            (format!("If-None-Match: {tag}\r\nIf-Modified-Since: {BEFORE}\r\n"), 304),
            // If-Match: strong comparison.
            (format!("If-Match: {tag}\r\n"), 200),
            (format!("If-Match: \"x\", {tag}\r\n"), 200),
            ("If-Match: *\r\n".into(), 200),
            (format!("If-Match: W/{tag}\r\n"), 412),
            ("If-Match: \"x\"\r\n".into(), 412),
            // If-Unmodified-Since.
            (format!("If-Unmodified-Since: {MODIFIED}\r\n"), 200),
            (format!("If-Unmodified-Since: {AFTER}\r\n"), 200),
            (format!("If-Unmodified-Since: {BEFORE}\r\n"), 412),
            ("If-Unmodified-Since: tomorrow\r\n".into(), 200),
            // If-Match takes precedence.
            (format!("If-Match: {tag}\r\nIf-Unmodified-Since: {BEFORE}\r\n"), 200),
            (format!("If-Match: \"x\"\r\nIf-Unmodified-Since: {AFTER}\r\n"), 412),
            // First the ones that fail, then the ones that spare.
            (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304),
            (format!("If-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 412),
            (format!("If-Unmodified-Since: {BEFORE}\r\nIf-None-Match: {tag}\r\n"), 412),
            (format!("If-Unmodified-Since: {AFTER}\r\nIf-Modified-Since: {AFTER}\r\n"), 304),
        ];
        for (fields, status) in vectors {
            let get = client.get(&target, &fields);
            let head = client.head(&target, &fields);
            assert_eq!((get.status, head.status), (status, status), "{fields}");
            if status == 304 {
                let lines = format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\nLast-Modified: {MODIFIED}");
                assert_eq!(
                    (get.head.as_str(), head.head.as_str()),
                    (lines.as_str(), lines.as_str()),
                    "{fields}"
                );
            }
            if status == 200 {
                get.is(200, pattern(length));
            }
        }
        client.still_serves();
    }
}

#[test]
fn conditions_on_what_does_not_exist() {
    let site = site();
    let mut client = site.connect();
    for fields in ["If-None-Match: *\r\n", "If-Match: *\r\n", "Range: bytes=0-1\r\n"] {
        client.get("/none", fields).has_status(404).keeps();
    }
}

#[test]
fn ranges() {
    let site = site();
    for length in LENGTHS {
        let (target, content) = (format!("/{length}"), pattern(length));
        let mut client = site.connect();
        let last = length - 1;
        let parts = [
            ("bytes=0-0".to_owned(), 0..1),
            ("bytes=0-499".into(), 0..500),
            ("bytes=500-999".into(), 500..1000),
            (format!("bytes={last}-{last}"), last..length),
            ("bytes=9000-".into(), 9000..length),
            ("bytes=0-".into(), 0..length),
            ("bytes=-1".into(), last..length),
            ("bytes=-500".into(), length - 500..length),
            (format!("bytes=-{length}"), 0..length),
            ("bytes=-99999999".into(), 0..length),
            ("bytes=9000-99999999".into(), 9000..length),
            ("bytes=9000-99999999999999999999999999".into(), 9000..length),
            ("BYTES=1-2".into(), 1..3),
            ("bytes= 1-2 ".into(), 1..3),
            ("bytes=,1-2,".into(), 1..3),
        ];
        for (range, part) in parts {
            let response = client.get(&target, &format!("Range: {range}\r\n"));
            response.is(206, &content[part.clone()]).keeps();
            let content_range = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            assert_eq!(response.field("content-range"), Some(content_range.as_str()), "{range}");
            assert_eq!(response.field("content-length"), Some(part.len().to_string().as_str()));
            assert!(response.field("etag").is_some() && response.field("last-modified").is_some());
            assert_eq!(response.field("content-type"), Some("application/octet-stream"));
            // RFC 9110 §14.2: only GET has ranges.
            client.head(&target, &format!("Range: {range}\r\n")).is(200, "");
        }
        for range in [
            format!("bytes={length}-"),
            format!("bytes={length}-{length}"),
            "bytes=99999999-".into(),
            "bytes=-0".into(),
        ] {
            let response = client.get(&target, &format!("Range: {range}\r\n"));
            response.has_status(416).keeps();
            assert_eq!(
                response.field("content-range"),
                Some(format!("bytes */{length}").as_str()),
                "{range}"
            );
        }
        for range in [
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=1",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes = 1-2",
            "bytes=0x1-2",
            "items=1-2",
            "bytes=1-2;3-4",
            "bytes 1-2",
            "bytes=--1",
            // Three times the same, and more than the limit.
            "bytes=0-,0-,0-,0-",
            "bytes=0-0,200-200,400-400,600-600,800-800,1000-1000,1200-1200,1400-1400,1600-1600,1800-1800,\
             2000-2000,2200-2200,2400-2400,2600-2600,2800-2800,3000-3000,3200-3200",
        ] {
            let response = client.get(&target, &format!("Range: {range}\r\n"));
            response.is(200, &content).keeps();
            assert_eq!(response.field("content-range"), None, "{range}");
        }
        client.get(&target, "Range: bytes=0-1\r\nRange: bytes=0-1\r\n").is(200, &content);
        client.still_serves();
    }
}

/// The parts of a `multipart/byteranges` answer: range and content, as strictly as RFC 2046 allows.
fn parts(response: &Response, length: usize) -> Vec<(std::ops::Range<usize>, Vec<u8>)> {
    let content_type = response.field("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = response.body.strip_prefix(delimiter.as_bytes()).expect("begins with a delimiter");
    let mut found = Vec::new();
    while rest != b"--\r\n" {
        let head_end = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a part has a head");
        let head = std::str::from_utf8(&rest[..head_end]).unwrap();
        let lines: Vec<&str> = head.strip_prefix("\r\n").unwrap().split("\r\n").collect();
        assert_eq!(lines[0], "Content-Type: application/octet-stream");
        let range = lines[1].strip_prefix("Content-Range: bytes ").unwrap();
        let (range, of) = range.split_once('/').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, end): (usize, usize) = (first.parse().unwrap(), last.parse::<usize>().unwrap() + 1);
        assert_eq!((of, lines.len()), (length.to_string().as_str(), 2));
        rest = &rest[head_end + 4..];
        found.push((first..end, rest[..end - first].to_vec()));
        rest = rest[end - first..].strip_prefix(delimiter.as_bytes()).expect("a delimiter behind the part");
    }
    found
}

#[test]
fn several_ranges() {
    let site = site();
    for length in LENGTHS {
        let (target, content) = (format!("/{length}"), pattern(length));
        let mut client = site.connect();
        let last = length - 1;
        for (range, wanted) in [
            ("bytes=0-1, -5".to_owned(), vec![0..2, length - 5..length]),
            ("bytes=0-0,-1".into(), vec![0..1, last..length]),
            (format!("bytes={last}-,0-499,4000-8999"), vec![last..length, 0..500, 4000..9000]),
            ("bytes=0-99,9000-9001,99999999-".into(), vec![0..100, 9000..9002]),
            ("bytes=0-99,50-150,9000-9001".into(), vec![0..151, 9000..9002]),
            (format!("bytes=0-{},{last}-", length / 2), vec![0..length / 2 + 1, last..length]),
        ] {
            let response = client.get(&target, &format!("Range: {range}\r\n"));
            response.has_status(206).keeps();
            let found = parts(&response, length);
            assert_eq!(found.iter().map(|(range, _)| range.clone()).collect::<Vec<_>>(), wanted, "{range}");
            for (range, bytes) in found {
                assert!(bytes == content[range.clone()], "{range:?}");
            }
            assert_eq!(response.field("content-range"), None, "it stands in the parts");
            assert!(response.field("etag").is_some() && response.field("last-modified").is_some());
            client.head(&target, &format!("Range: {range}\r\n")).is(200, "");
        }
        // One that is left of several is a single one.
        client.get(&target, "Range: bytes=99999999-,0-1\r\n").is(206, &content[..2]);
        client.get(&target, "Range: bytes=0-1,3-4\r\n").is(206, &content[..5]);
        client.get(&target, "Range: bytes=99999999-,-0\r\n").has_status(416);
        let tag = client.get(&target, "").field("etag").unwrap().to_owned();
        let response = client.get(&target, &format!("Range: bytes=0-0,-1\r\nIf-Range: {tag}\r\n"));
        assert_eq!(parts(&response, length).len(), 2);
        client.get(&target, "Range: bytes=0-0,-1\r\nIf-Range: \"x\"\r\n").is(200, &content);
        client.still_serves();
    }
}

#[test]
fn parts_of_a_large_file_are_whole_and_wait_for_a_slow_client() {
    let site = Site::new();
    let content = pattern(20_000_000);
    site.write("large", &content);
    let mut client = site.connect_narrow();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1-9000000,9500000-19000000\r\n\r\n");
    client.fill_some(1000).unwrap();
    site.get("/large").has_status(200);
    let found = parts(client.response().has_status(206), content.len());
    assert!(found[0].1 == content[1..9_000_001] && found[1].1 == content[9_500_000..19_000_001]);
    client.still_serves();
}

#[test]
fn a_file_truncated_below_a_part_ends_the_connection() {
    let site = Site::new();
    site.write("large", pattern(20_000_000));
    let mut client = site.connect_narrow();
    client.send("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1-9000000,9500000-19000000\r\n\r\n");
    client.fill_some(1000).unwrap();
    std::fs::File::options().write(true).open(site.path("large")).unwrap().set_len(10).unwrap();
    assert!(matches!(client.try_response_to("GET"), Err(Broken::InBody(..))));
    site.get("/large").has_status(200);
}

#[test]
fn ranges_of_nothing() {
    let site = Site::with(&[("empty", b"")]);
    let mut client = site.connect();
    for range in ["bytes=0-", "bytes=0-0", "bytes=-0"] {
        let response = client.get("/empty", &format!("Range: {range}\r\n"));
        assert_eq!(response.has_status(416).field("content-range"), Some("bytes */0"));
    }
    client.get("/empty", "Range: bytes=-1\r\n").is(200, "");
    client.still_serves();
}

#[test]
fn ranges_with_conditions() {
    let site = site();
    for length in LENGTHS {
        let (target, content) = (format!("/{length}"), pattern(length));
        let mut client = site.connect();
        let tag = client.get(&target, "").field("etag").unwrap().to_owned();
        let part = &content[10..20];
        for (condition, status) in [
            (format!("If-Range: {tag}"), 206),
            // The file came here later than its date: another content may have had the same.
            (format!("If-Range: {MODIFIED}"), 200),
            (format!("If-Range: W/{tag}"), 200),
            ("If-Range: \"x\"".into(), 200),
            (format!("If-Range: {AFTER}"), 200),
            (format!("If-Range: {BEFORE}"), 200),
            ("If-Range: x".into(), 200),
            (format!("If-Range: {tag}\r\nIf-Range: {tag}"), 200),
            (format!("If-Match: {tag}"), 206),
            ("If-None-Match: \"x\"".into(), 206),
        ] {
            let response = client.get(&target, &format!("Range: bytes=10-19\r\n{condition}\r\n"));
            response.is(status, if status == 206 { part } else { &content[..] });
        }
        client.get(&target, &format!("Range: bytes=10-19\r\nIf-None-Match: {tag}\r\n")).is(304, "");
        client.get(&target, "Range: bytes=10-19\r\nIf-Match: \"x\"\r\n").has_status(412);
        // Not a range that cannot be satisfied, when the whole is to be sent.
        client.get(&target, "Range: bytes=99999999-\r\nIf-Range: \"x\"\r\n").is(200, &content);
        // Without a range it means nothing.
        client.get(&target, &format!("If-Range: {tag}\r\n")).is(200, &content);
        client.still_serves();
    }
}

#[test]
fn pieces_of_a_download_fit_together() {
    let site = Site::new();
    let content = pattern(5_000_001);
    site.write("large", &content);
    let mut client = site.connect();
    let mut got = Vec::new();
    while got.len() < content.len() {
        let last = got.len() + 777_777;
        let response = client.get("/large", &format!("Range: bytes={}-{last}\r\n", got.len()));
        response.has_status(206);
        got.extend_from_slice(&response.body);
    }
    assert!(got == content);
    client.still_serves();
}

/// RFC 9110 §8.8.2.1: Last-Modified is never later than Date, whatever time a file was given.
#[test]
fn a_time_in_the_future_is_not_sent() {
    let site = Site::with(&[("a.txt", b"a"), ("past.txt", b"b")]);
    let set = |name: &str, time: SystemTime| {
        let file = std::fs::File::options().write(true).open(site.path(name)).unwrap();
        file.set_modified(time).unwrap();
    };
    let year = Duration::from_secs(365 * 24 * 3600);
    set("a.txt", SystemTime::now() + year);
    set("past.txt", SystemTime::now() - year);
    let mut client = site.connect();
    let now = SystemTime::now() + Duration::from_secs(2);
    for name in ["a.txt", "past.txt"] {
        let answer = client.get(&format!("/{name}"), "");
        let modified = httpdate::parse_http_date(answer.field("last-modified").expect("it has one")).unwrap();
        assert!(modified <= now, "{name}: {modified:?}");
        let again =
            client.get(&format!("/{name}"), &format!("If-None-Match: {}\r\n", answer.field("etag").unwrap()));
        assert_eq!(again.field("last-modified"), answer.field("last-modified"));
    }
}
