//! Bodies: trailers in both directions, full duplex, and the limits of a route or a handler.

use std::time::{Duration, Instant};

use quoit::server::Limits;

use crate::common::{Client, Framing, lenient, pattern};
use crate::peer::Peer;
use crate::site::{BOTH_BYTES, site};
use crate::wire::*;

const CHUNKED: &str = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn trailers_pass_both_ways() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    for _ in 0..2 {
        client.send(format!("POST /echo {CHUNKED}3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n"));
        let response = client.response();
        response.is(200, "abc").keeps();
        assert_eq!(response.trailers, "X-Sum: 294\r\nX-End: yes\r\n");
    }
    // A body of known length cannot carry trailers (RFC 9112 §7.1.2); HTTP/1.0 has no chunks.
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    let response = client.response();
    response.is(200, "abc").says_close();
    assert_eq!((response.framing, response.trailers), (Framing::UntilClose, String::new()));
}

/// Each piece comes back before the next one is sent.
#[test]
fn a_piece_comes_back_before_the_next_is_sent() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /echo {CHUNKED}"));
    let mut seen = Vec::new();
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        while !seen.ends_with(format!("{piece}\r\n").as_bytes()) {
            client.fill().expect("the echo comes");
            seen.append(client.input());
        }
    }
    client.send("0\r\n\r\n");

    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(post(stream, "/echo"));
    let mut length = 0;
    for piece in ["one", "two", "three"] {
        peer.send_data(stream, 0, piece);
        length += piece.len();
        peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body.len() == length));
    }
    peer.send(headers(stream, WHOLE, &[("x-sum", "1")]));
    let answer = peer.answer(stream);
    assert_eq!(answer.text(), "onetwothree");
    let expected = [("x-sum".to_owned(), "1".to_owned()), ("x-end".to_owned(), "yes".to_owned())];
    assert_eq!(answer.trailers.as_deref(), Some(&expected[..]));
}

/// A client that sends everything before it reads: the response cannot be sent meanwhile, and the request has
/// to be read nevertheless.
#[test]
fn a_request_is_read_while_its_response_cannot_leave() {
    const SENT: usize = 16 * 1024 * 1024;
    let server = site(lenient());
    let mut client = Client::connect_narrow(server.addr, 64 * 1024);
    client.send(format!("POST /both {CHUNKED}"));
    let piece = pattern(64 * 1024);
    for _ in 0..SENT / piece.len() {
        client.send(format!("{:x}\r\n", piece.len()));
        client.send(&piece);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.body.len()), (200, BOTH_BYTES));
    assert_eq!(response.trailers, format!("X-Received: {SENT}\r\n"));

    // No window at all for the response.
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = peer.fresh();
    peer.send(post(stream, "/both"));
    peer.send_body(stream, &pattern(SENT / 8));
    peer.open_window(stream, BOTH_BYTES as u32);
    let answer = peer.answer(stream);
    assert_eq!((answer.status, answer.body.len()), (200, BOTH_BYTES));
    let expected = [("x-received".to_owned(), (SENT / 8).to_string())];
    assert_eq!(answer.trailers.as_deref(), Some(&expected[..]));
}

/// Many streams whose output cannot be sent, on one connection whose output is full.
#[test]
fn streams_behind_a_full_connection_are_read_too() {
    let server = site(lenient());
    let mut peer = Peer::connect(server.addr);
    peer.credits = false;
    let streams: Vec<u32> = (0..20).map(|_| peer.fresh()).collect();
    for &stream in &streams {
        peer.send(post(stream, "/both"));
    }
    for &stream in &streams {
        peer.send_body(stream, &pattern(300_000));
    }
    peer.credits = true;
    peer.open_window(0, 1 << 30);
    for &stream in &streams {
        peer.open_window(stream, BOTH_BYTES as u32);
    }
    for &stream in &streams {
        let answer = peer.answer(stream);
        assert_eq!((answer.status, answer.body.len()), (200, BOTH_BYTES));
    }
}

#[test]
fn a_body_is_written_by_another_task() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.ask("GET /channel HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "one two three").keeps();
    Peer::connect(server.addr).get("/channel").is(200, "one two three");
}

/// A route's policy applies to its requests alone.
#[test]
fn a_route_has_a_limit_of_its_own() {
    let mut limits = lenient();
    limits.body.body_bytes_max = Some(1000);
    let server = site(limits);
    let mut peer = Peer::connect(server.addr);
    for (path, bytes, status) in [
        ("/count", 1000, 200),
        ("/count", 1001, 413),
        ("/large/count", 100_000, 200),
        ("/small/count", 10, 200),
        ("/small/count", 11, 413),
        ("/small/ignore", 11, 413),
        ("/handler", 3, 200),
        ("/handler", 4, 413),
        ("/patient/count", 5000, 200),
    ] {
        let body = String::from_utf8(vec![b'x'; bytes]).unwrap();
        let mut client = Client::connect(server.addr);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{body}"));
        client.response().has_status(status);
        if path != "/small/ignore" {
            // Chunks have no length that is known before.
            let mut client = Client::connect(server.addr);
            client.send(format!("POST {path} {CHUNKED}{bytes:x}\r\n{body}\r\n0\r\n\r\n"));
            client.response().has_status(status);
            assert_eq!(peer.post(path, body.as_bytes()).status, status, "{path} {bytes}");
        }
        let stream = peer.fresh();
        let mut fields = pseudo("POST", path);
        let length = bytes.to_string();
        fields.push(("content-length", &length));
        peer.send(headers(stream, END_HEADERS, &fields));
        peer.send_body(stream, body.as_bytes());
        assert_eq!(peer.answer(stream).status, status, "{path} {bytes}");
    }
}

/// A slow upload ends by the server's limit, or continues where the route's policy allows it.
#[test]
fn a_route_may_be_patient() {
    let limits = Limits { stall_timeout: Duration::from_millis(500), ..lenient() };
    let server = site(limits);
    let began = Instant::now();
    let mut patient = Client::connect(server.addr);
    patient.send("POST /patient/count HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    let mut hasty = Client::connect(server.addr);
    hasty.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na");
    hasty.response().has_status(408);
    // Twice as long as the limit of the other one.
    let waited = began.elapsed();
    patient.stays_quiet(waited);
    patient.send("b").response().is(200, "2 bytes").keeps();
}

/// RFC 9110 §8.6: `Content-Length` of a response to HEAD is that of GET's content, or absent.
#[test]
fn a_head_does_not_announce_what_get_does_not_have() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.ask("GET /length HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "five5");
    for path in ["/length", "/tunnel"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.response_to("HEAD");
        assert_ne!(head.field("content-length"), Some("0"), "{path}: {}", head.head);
    }
    client.is_usable();
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, WHOLE, &pseudo("HEAD", "/length")));
    let answer = peer.answer(stream);
    assert_eq!((answer.status, answer.field("content-length")), (200, None));
}

/// RFC 9112 §9.6: the server alone says what becomes of its connection; `close` of a handler is obeyed.
#[test]
fn a_handler_s_connection_never_stands_beside_the_server_s() {
    let server = site(lenient());
    for (options, version, expected) in [
        ("keep-alive", "1.1", None),
        ("keep-alive", "1.0", Some("close")),
        ("close", "1.1", Some("close")),
        ("x-mine,CLOSE", "1.1", Some("close")),
        ("x-mine", "1.1", None),
    ] {
        let mut client = Client::connect(server.addr);
        let answer = client.ask(format!("GET /connection/{options} HTTP/{version}\r\nHost: a\r\n\r\n"));
        answer.is(200, "x");
        // `field` fails if there are two.
        assert_eq!(answer.field("connection"), expected, "{options} {}", answer.head);
        assert_eq!(answer.field("x-mine"), Some("1"));
        match expected {
            Some(_) => client.is_closed(),
            None => client.is_usable(),
        }
    }
    // §7.8 of RFC 9110: 426 lists `Upgrade`, in the same field.
    let mut client = Client::connect(server.addr);
    let answer = client.ask("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!((answer.status, answer.field("connection")), (426, Some("close, upgrade")));
    client.is_closed();
    let mut peer = Peer::connect(server.addr);
    assert_eq!(peer.get("/connection/keep-alive").field("connection"), None);
}
