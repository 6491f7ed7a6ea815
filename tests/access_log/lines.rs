//! What is in a line, in each format, and what is not.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quoit::http::date::write_imf_fixdate;
use quoit::observe::access::Format;

use crate::common::lenient;
use crate::site::Site;

#[test]
fn json_says_who_what_and_how() {
    let site = Site::new();
    let mut client = site.connect();
    let request = "GET /n/17?a=b HTTP/1.1\r\nHost: example.com:81\r\nUser-Agent: test/1 (x)\r\n\
        Referer: http://from/here\r\nCookie: secret=1\r\nAuthorization: Basic c2VjcmV0\r\n\r\n";
    client.ask(request).is(200, "17");
    let line = site.lines(1).remove(0);
    assert!(!line.contains("secret") && !line.contains("c2VjcmV0"), "{line}");
    let record = site.record();
    for (name, value) in [
        ("peer", client.local().to_string()),
        ("host", "example.com:81".into()),
        ("method", "GET".into()),
        ("target", "/n/17?a=b".into()),
        ("protocol", "HTTP/1.1".into()),
        ("referer", "http://from/here".into()),
        ("user_agent", "test/1 (x)".into()),
    ] {
        assert_eq!(record[name], value, "{name}");
    }
    assert_eq!((record["status"].as_u64(), record["bytes"].as_u64()), (Some(200), Some(2)));
    assert!(record["duration_us"].as_u64().is_some_and(|us| us < 60_000_000));
    assert!(
        record.get("request_id").is_none() && record.get("end").is_none() && record.get("user").is_none()
    );
    // 2026-11-22T17:51:41.123Z, of this minute.
    let (time, now) = (record["time"].as_str().unwrap(), SystemTime::now());
    let minute = |at: SystemTime| {
        let date = write_imf_fixdate(at.duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed());
        String::from_utf8(date[17..22].to_vec()).unwrap()
    };
    let near = [minute(now), minute(now - Duration::from_secs(60))];
    assert_eq!((time.len(), &time[10..11], &time[19..20], &time[23..]), (24, "T", ".", "Z"), "{time}");
    assert!(near.iter().any(|minute| *minute == time[11..16]), "{time} is not near {near:?}");
}

#[test]
fn each_exchange_has_its_line_in_order() {
    let site = Site::new();
    let mut client = site.connect();
    client.send(
        "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /n/22 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /none HTTP/1.0\r\nConnection: keep-alive\r\nAccept: text/plain\r\n\r\n\
         BREW /n/4444 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.response().is(200, "1");
    client.response_to("HEAD");
    client.response();
    client.response().is(200, "4444");
    let records = site.records(4);
    let told: Vec<_> = records
        .iter()
        .map(|r| {
            let text = |name: &str| r[name].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {} {}",
                text("method"),
                text("target"),
                text("protocol"),
                r["status"],
                r["bytes"]
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "GET /n/1 HTTP/1.1 200 1",
            "HEAD /n/22 HTTP/1.1 200 0",
            "GET /none HTTP/1.0 404 32",
            "BREW /n/4444 HTTP/1.1 200 4"
        ]
    );
    assert!(records[2].get("host").is_none());
}

#[test]
fn bytes_are_those_of_the_body_however_it_is_sent() {
    let site = Site::new();
    let mut client = site.connect();
    let mut expected = Vec::new();
    for (path, bytes) in [("bytes/100", 100), ("bytes/500000", 500_000), ("stream/10,20000,~,30", 20_040)] {
        client.ask(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        expected.push(bytes);
    }
    client.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    client.ask("GET /bodiless/204 HTTP/1.1\r\nHost: a\r\n\r\n");
    expected.extend([5, 0]);
    let told: Vec<_> = site.records(5).iter().map(|record| record["bytes"].as_u64().unwrap()).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_waiting_handler_shows_in_the_duration() {
    let site = Site::new();
    site.connect().ask("GET /wait/150 HTTP/1.1\r\nHost: a\r\n\r\n");
    let us = site.record()["duration_us"].as_u64().unwrap();
    assert!((150_000..15_000_000).contains(&us), "{us}");
}

#[test]
fn common_and_combined_are_what_other_programs_read() {
    for (format, tail) in [(Format::Common, ""), (Format::Combined, " \"http://r/\" \"-\"")] {
        let site = Site::with(1, lenient(), format);
        site.connect().ask("GET /n/1 HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\n\r\n");
        let line = site.lines(1).remove(0);
        let (peer, rest) = line.split_once(" - - [").unwrap();
        let (time, rest) = rest.split_once("] ").unwrap();
        assert_eq!(peer, "127.0.0.1");
        assert!(time.len() == 26 && time.ends_with(" +0000") && time.matches('/').count() == 2, "{time}");
        assert_eq!(rest, format!("\"GET /n/1 HTTP/1.1\" 200 1{tail}"));
    }
}

#[test]
fn a_unix_socket_has_no_address() {
    let site = Site::new();
    let mut stream = UnixStream::connect(site.dir.path().join("socket")).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(site.record()["peer"], "unix:");
}

/// Values that a client chooses, tried in every field that the log repeats.
const EVIL: [&[u8]; 8] = [
    b"\"",
    b"\\",
    b"\\\"",
    b"\" 200 1 \"forged",
    b"\",\"status\":200,\"x\":\"",
    b"\xff\xfe\xc2\x9b31m",
    "\u{202e}\u{9b}2J\u{1f600}\u{2028}".as_bytes(),
    b"\\u000a\\n\\x0a",
];

#[test]
fn no_field_can_forge_a_line_or_paint_a_terminal() {
    for format in [Format::Json, Format::Combined, Format::Common, Format::Pretty { coloured: false }] {
        let site = Site::with(1, lenient(), format);
        let mut client = site.connect();
        for evil in EVIL {
            let head: [&[u8]; 5] =
                [b"GET / HTTP/1.1\r\nHost: a\r\nReferer: ", evil, b"\r\nUser-Agent: ", evil, b"\r\n\r\n"];
            assert_eq!(client.ask(head.concat()).status, 200);
        }
        let lines = site.lines(EVIL.len());
        for (line, evil) in lines.iter().zip(EVIL) {
            assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
            match format {
                Format::Json => {
                    let record = crate::site::record(line);
                    let text = String::from_utf8_lossy(evil);
                    assert_eq!(record["user_agent"], *text);
                    assert_eq!(record["referer"], *text);
                    assert_eq!(record["status"], 200);
                }
                Format::Combined => assert_eq!(line.matches('"').count(), 6, "{line}"),
                Format::Common | Format::Pretty { .. } => assert!(!line.contains("forged"), "{line}"),
            }
        }
    }
}

#[test]
fn targets_and_hosts_cannot_forge_either() {
    let site = Site::with(1, lenient(), Format::Common);
    for target in ["/\"", "/a b", "/\x1b[2J", "/é", "/%0a%22", "/a\r\nb", "/\\"] {
        let mut client = site.connect();
        let _ = client.try_send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        let _ = client.try_response_to("GET");
    }
    for line in site.lines(7) {
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line:?}");
        assert_eq!(line.matches('"').count(), 2, "{line}");
    }
}
