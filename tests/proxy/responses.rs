//! Responses that are not sound (case P11), those without content, and dates.

use std::io::Write as _;
use std::time::Duration;

use quoit::handler::ProxyOptions;

use crate::common::{Client, time_passes};
use crate::lab::*;

/// The endpoint sends this; the answer of the proxy, and whether the endpoint's connection was used again.
#[track_caller]
fn answer(response: impl Into<Vec<u8>>) -> (u16, Option<String>, bool) {
    let response = response.into();
    let endpoint = Endpoint::new(move |wire, _| {
        while let Some(head) = wire.head() {
            wire.body(&head);
            wire.send(&response);
            if response.starts_with(b"HTTP/1.1 200 OK\r\nX-Closes") {
                return;
            }
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let first = client.ask(request);
    let kind =
        first.field("proxy-status").map(|status| status.trim_start_matches("quoit; error=").to_owned());
    client.ask(request).has_status(first.status);
    (first.status, kind, endpoint.seen.accepted() == 1)
}

#[test]
fn unsound_responses_cost_502_and_the_connection() {
    let protocol = |response: &str| {
        let got = answer(response);
        assert_eq!(got, (502, Some("http_protocol_error".into()), false), "{response:?}");
    };
    for fields in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: +2",
        "Content-Length: 2, 3",
        "Content-Length: 2,",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity",
        "A: b\r\n folded: x\r\nContent-Length: 2",
        "A: b\nContent-Length: 2",
        "A: \0\r\nContent-Length: 2",
        "A: b\rc\r\nContent-Length: 2",
        "A : b\r\nContent-Length: 2",
    ] {
        protocol(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok"));
    }
    protocol("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    protocol("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
    protocol("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    protocol("hello\r\n\r\n");
    for head in [
        "A: ".to_owned() + &"b".repeat(20_000),
        "A: b\r\n".repeat(500),
        "A: ".to_owned() + &"b".repeat(2_000_000),
    ] {
        let got = answer(format!("HTTP/1.1 200 OK\r\n{head}\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(got, (502, Some("http_response_header_section_size".into()), false), "{}", head.len());
    }
    let got = answer("HTTP/1.1 200 OK\r\nX-Closes: in the head\r\n");
    assert_eq!(got, (502, Some("http_response_incomplete".into()), false));
}

#[test]
fn what_is_sound_but_unusual_is_fine() {
    let fine = |response: &str, status, kept| {
        assert_eq!(answer(response), (status, None, kept), "{response:?}");
    };
    fine("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, true);
    fine("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", 200, true);
    fine("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, true);
    fine("HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok", 299, true);
    fine("HTTP/1.1 204 No Content\r\n\r\n", 204, true);
    fine("HTTP/1.1 304 Not Modified\r\n\r\n", 304, true);
    fine("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, false);
    fine("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, false);
    fine("HTTP/1.1 503 Busy\r\nRetry-After: 5\r\nContent-Length: 2\r\n\r\nok", 503, true);
    // Bytes behind a response belong to no request.
    fine("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n", 200, false);
}

#[test]
fn lengths_of_responses_without_content_are_kept() {
    let endpoint = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            let status = if head.starts_with("HEAD") { "200 OK" } else { "304 Not Modified" };
            wire.send(format!("HTTP/1.1 {status}\r\nETag: \"a\"\r\nContent-Length: 1234\r\n\r\n"));
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    for method in ["HEAD", "GET"] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response_to(method);
        assert_eq!((response.field("content-length"), response.field("etag")), (Some("1234"), Some("\"a\"")));
    }
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn a_body_that_breaks_off_is_seen_to() {
    for response in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
    ] {
        let endpoint = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send(response);
        });
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        client.send(get("/"));
        let broken = client.try_response_to("GET").unwrap_err();
        assert!(matches!(broken, crate::common::Broken::InBody(..)), "{broken:?}");
    }
}

#[test]
fn the_origins_date_is_kept() {
    let endpoint = Endpoint::answering(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = before(&endpoint);
    let answer = Client::connect(proxy.addr).ask(get("/"));
    assert_eq!(answer.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.field("server"), Some("x"));
}

#[test]
fn limits_of_responses_are_the_upstreams() {
    let endpoint = Endpoint::answering("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n");
    let mut upstream = upstream(&[&endpoint]);
    upstream.response_bytes_max = Some(1000);
    let proxy = proxy(ProxyOptions::to(upstream));
    let answer = Client::connect(proxy.addr).ask(get("/"));
    assert_eq!(answer.has_status(502).field("proxy-status"), Some("quoit; error=http_response_body_size"));
}

/// Each byte is no progress: a head that has begun has the time of a first byte for its rest.
#[test]
fn a_head_that_drips_is_504() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nX: ");
        // Until the proxy leaves, which makes sending fail, or far longer than it may wait.
        for _ in 0..200 {
            if wire.stream.write_all(b"a").is_err() {
                return;
            }
            time_passes(Duration::from_millis(25), "each byte comes a little later");
        }
    });
    let mut upstream = upstream(&[&endpoint]);
    upstream.timeouts.first_byte = Duration::from_millis(300);
    let proxy = proxy(ProxyOptions::to(upstream));
    let (answer, time) = timed(|| Client::connect(proxy.addr).ask(get("/")));
    answer.has_status(504);
    assert!(time < Duration::from_secs(3), "{time:?}");
}
