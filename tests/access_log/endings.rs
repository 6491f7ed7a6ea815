//! Exchanges that do not end as they should, and their log lines.

use std::time::Duration;

use quoit::observe::access::Format;
use quoit::server::Limits;
use serde_json::Value;

use crate::common::{Client, eventually, lenient};
use crate::site::Site;

/// Status, bytes, and how it ended.
fn ended(record: &Value) -> (u64, u64, &str) {
    let number = |name: &str| record[name].as_u64().expect("a number");
    (number("status"), number("bytes"), record.get("end").map_or("", |end| end.as_str().unwrap()))
}

#[test]
fn a_panic_is_a_500() {
    let site = Site::new();
    assert_eq!(site.connect().ask("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").status, 500);
    let record = site.record();
    let (status, bytes, end) = ended(&record);
    assert_eq!((status, end, record["target"].as_str()), (500, "", Some("/panic")));
    assert!(bytes > 0);
}

#[test]
fn a_refused_request_says_what_was_asked_and_why_it_was_refused() {
    let site = Site::new();
    let cases = [
        ("GET /a?b HTTP/1.1\r\n\r\n".to_owned(), 400, Some("GET"), "/a?b", "Host"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400, Some("GET"), "/a%23b", "byte 0x23"),
        ("\u{0}\r\n\r\n".to_owned(), 400, None, "%00", "byte 0x00"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n".to_owned(), 400, Some("GET"), "/", "white space"),
        (format!("PUT /x HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(70_000)), 431, Some("PUT"), "/x", "too long"),
        ("GET / HTTP/9.9\r\nHost: a\r\n\r\n".to_owned(), 505, Some("GET"), "/", "HTTP/1.1"),
        (
            "POST /all HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n".to_owned(),
            413,
            Some("POST"),
            "/all",
            "larger",
        ),
    ];
    for (bytes, status, ..) in &cases {
        let mut client = site.connect();
        let _ = client.try_send(bytes);
        assert_eq!(client.response().status, *status);
    }
    let records = site.records(cases.len());
    for (record, (_, status, method, target, reason)) in records.iter().zip(&cases) {
        let (told, bytes, end) = ended(record);
        assert_eq!((told, end), (u64::from(*status), "refused"), "{record}");
        assert_eq!(record.get("method").and_then(Value::as_str), *method, "{record}");
        assert_eq!(record["target"].as_str(), Some(*target), "{record}");
        assert!(record["reason"].as_str().is_some_and(|told| told.contains(reason)), "{record}");
        assert!(bytes > 0 && record["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
    }
}

#[test]
fn a_head_that_takes_too_long_is_a_408() {
    let site = Site::with(1, Limits { head_timeout: Duration::from_millis(200), ..lenient() }, Format::Json);
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    assert_eq!(client.response().status, 408);
    let record = site.record();
    assert_eq!((ended(&record).0, record["target"].as_str()), (408, Some("/")));
    // A connection without a request, and one after its last request, log nothing.
    drop(site.connect());
    site.connect().is_closed();
    for _ in 0..2 {
        site.connect().is_usable();
    }
    let told: Vec<_> = site.records(3).iter().map(|record| record["status"].as_u64().unwrap()).collect();
    assert_eq!(told, [408, 200, 200]);
}

#[test]
fn a_client_that_leaves_before_the_response_is_a_499() {
    let site = Site::new();
    let mut client = site.connect();
    let peer = client.local().to_string();
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the handler is called", || site.lab.calls() == 1);
    client.reset();
    let record = site.record();
    assert_eq!(ended(&record), (499, 0, "client_gone"));
    assert_eq!((record["peer"].as_str(), record["target"].as_str()), (Some(&*peer), Some("/hold")));
}

#[test]
fn a_client_that_leaves_within_the_body_keeps_its_status() {
    let site = Site::new();
    let mut client = Client::connect_narrow(site.addr, 4096);
    client.send(
        "GET /stream/=90000000,10000000,10000000,10000000,10000000,50000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(client.fill().expect("the response begins"));
    client.reset();
    let record = site.record();
    let (status, bytes, end) = ended(&record);
    assert_eq!((status, end), (200, "client_gone"), "{record}");
    assert!(bytes < 90_000_000, "{bytes}");
}

#[test]
fn a_body_that_breaks_off_says_how_far_it_came() {
    let site = Site::new();
    for script in ["stream/100,~,p", "stream/=200,100,~"] {
        let mut client = site.connect();
        client.send(format!("GET /{script} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.try_response_to("GET").is_err());
    }
    for record in site.records(2) {
        assert_eq!(ended(&record), (200, 100, "body_failed"));
    }
}

#[test]
fn a_client_that_does_not_read_is_too_slow() {
    let limits = Limits { stall_timeout: Duration::from_millis(300), ..lenient() };
    let site = Site::with(1, limits, Format::Json);
    let mut client = Client::connect_narrow(site.addr, 4096);
    client.send("GET /stream/20000000,20000000,20000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let record = site.record();
    let (status, bytes, end) = ended(&record);
    assert_eq!((status, end), (200, "too_slow"), "{record}");
    assert!(bytes < 60_000_000);
    drop(client);
}

#[test]
fn over_capacity_is_a_503() {
    let site = Site::with(1, Limits { connections_max: Some(1), ..lenient() }, Format::Json);
    // One that was idle would make room.
    let mut first = site.connect();
    first.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is with the service", || site.lab.calls() == 1);
    let answer = site.connect().ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    answer.has_status(503);
    let record = site.record();
    assert_eq!(ended(&record), (503, answer.body.len() as u64, "refused"));
    // What was asked for is known.
    assert_eq!((record["method"].as_str(), record["target"].as_str()), (Some("GET"), Some("/x")));
}
