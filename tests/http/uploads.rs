//! Request bodies: both framings, `Expect: 100-continue`, bodies that are not read.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::thread;

use quoit::http::message::BodyLimits;
use quoit::server::Limits;

use crate::common::{Client, Framing, lenient, pattern, serve};
use crate::lab::Lab;

const EXPECTING: &str = "Host: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn a_body_is_asked_for_when_the_handler_pulls_it() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for expectation in ["100-continue", "100-Continue"] {
        client.send(format!(
            "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: {expectation}\r\n\r\n"
        ));
        let interim = client.response();
        assert_eq!((interim.status, interim.head.as_str()), (100, "HTTP/1.1 100 Continue"));
        client.is_silent();
        client.send("hello");
        client.response().is(200, "5 bytes").keeps();
        client.is_usable();
    }
    client.send(
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    );
    client.response().has_status(100);
    client.send("5\r\nhello\r\n0\r\n\r\n");
    client.response().is(200, "5 bytes").keeps();
    client.is_usable();
}

#[test]
fn a_body_that_is_not_wanted_is_not_asked_for() {
    let server = serve(lenient(), Lab::default());
    for body in ["", "hello", "hello GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /ignore HTTP/1.1\r\n{EXPECTING}"));
        client.response().is(200, "ignored").says_close();
        // Whether or not the client sends it: what follows is never read as a request.
        client.send(body);
        client.is_closed();
    }
}

#[test]
fn a_client_need_not_wait_to_be_asked() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /count HTTP/1.1\r\n{EXPECTING}hello"));
    client.response().is(200, "5 bytes").keeps();
    client.is_usable();
}

#[test]
fn http_10_is_never_asked() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /count HTTP/1.0\r\n{EXPECTING}")).send("hello");
    client.response().is(200, "5 bytes").says_close();
    client.is_closed();
}

#[test]
fn nothing_is_asked_for_where_there_is_no_body() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    client.response().is(200, "0 bytes").keeps();
    client.send("GET /count HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    client.response().is(200, "0 bytes").keeps();
    client.is_usable();
}

/// RFC 9110 §10.1.1: a client whose content has begun to arrive does not wait for 100.
#[test]
fn nothing_is_asked_for_once_it_comes() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /count HTTP/1.1\r\n{EXPECTING}he")).send("llo");
    client.response().is(200, "5 bytes").keeps();
    client.is_usable();
}

#[test]
fn the_interim_answer_keeps_its_place() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(format!("POST /count HTTP/1.1\r\n{EXPECTING}"));
    lab.gate.store(true, Ordering::Relaxed);
    client.response().is(200, "open");
    client.response().is(200, "2");
    client.response().has_status(100);
    client.send("hello");
    client.response().is(200, "5 bytes");
    client.is_usable();
}

#[test]
fn chunks_are_echoed() {
    let server = serve(lenient(), Lab::default());
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let vectors = [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n1\r\n,\r\n6\r\n World\r\n0\r\n\r\n", "hello, World"),
        ("5;a=b;c=\"d;e\"\r\nhello\r\n0;last\r\n\r\n", "hello"),
        ("0005\r\nhello\r\n000\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other:  2 \r\n\r\n", "hello"),
    ];
    let mut client = Client::connect(server.addr);
    for (body, expected) in vectors {
        for lengths in [&[10_000][..], &[1], &[5, 2]] {
            client.send_split(format!("{head}{body}"), lengths);
            let response = client.response_to("POST");
            response.is(200, expected).keeps();
            assert!(matches!(response.framing, Framing::Chunked(_)), "{}", response.head);
            client.is_usable();
        }
    }
}

#[test]
fn a_known_length_is_echoed_as_one() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let response = client.response();
    assert_eq!(response.head, "HTTP/1.1 200 OK\r\nContent-Length: 5");
    response.is(200, "hello");
    client.response().is(200, "Hello, World!");
    client.ask("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").is(200, "").keeps();
    client.is_usable();
    let mut client = Client::connect(server.addr);
    client.send("POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello");
    client.response().is(200, "hello").says_close();
    client.is_closed();
}

#[test]
fn an_upload_and_its_echo_overlap() {
    let server = serve(lenient(), Lab::default());
    let data = pattern(5 * 1024 * 1024);
    let mut client = Client::connect(server.addr);
    for chunked in [false, true] {
        let mut wire = Vec::new();
        if chunked {
            wire.extend_from_slice(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for piece in data.chunks(70_001) {
                write!(wire, "{:X}\r\n", piece.len()).unwrap();
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
        } else {
            write!(wire, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", data.len()).unwrap();
            wire.extend_from_slice(&data);
        }
        let mut sender = client.sender();
        let sending = thread::spawn(move || sender.write_all(&wire).unwrap());
        client.response().is(200, &data).keeps();
        sending.join().unwrap();
        client.is_usable();
    }
}

#[test]
fn a_small_unread_body_keeps_the_connection() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for length in [1, 5, 20_000, 250_000] {
        client.send(format!("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        client.send(pattern(length));
        client.response().is(200, "ignored").keeps();
        client.is_usable();
    }
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n5;x\r\nworld\r\n0\r\nA: b\r\n\r\n");
    client.response().is(200, "ignored").keeps();
    client.is_usable();
}

#[test]
fn a_large_unread_body_ends_the_connection() {
    let lab = Lab::default();
    let limits = Limits { discard_bytes_max: 1000, ..lenient() };
    let server = serve(limits, lab.clone());
    for framing in ["Content-Length: 600000", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(server.addr);
        client.send(format!("POST /ignore HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        client.response().is(200, "ignored");
        let body = if framing.contains("chunked") { format!("{:x}\r\n", 600_000) } else { String::new() };
        client.send(body);
        // The server may have closed its direction, but must read on, or a reset would discard the response.
        client.send(pattern(600_000)).send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.is_closed();
    }
    assert_eq!(lab.calls(), 2, "what followed was no request");
}

#[test]
fn a_body_over_its_limit_is_413() {
    let lab = Lab::default();
    let body = BodyLimits { body_bytes_max: Some(10), ..BodyLimits::DEFAULT };
    let server = serve(Limits { body, ..lenient() }, lab.clone());
    let mut client = Client::connect(server.addr);
    client.ask("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789").is(200, "10 bytes");
    client.is_usable();
    let calls = lab.calls();
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n0123456789a");
    client.response().has_status(413).says_close();
    client.is_closed();
    assert_eq!(lab.calls(), calls, "known before the handler");

    let head = "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = Client::connect(server.addr);
    client.send(format!("{head}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"));
    client.response().is(200, "10 bytes").keeps();
    for body in
        ["5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", "b\r\n0123456789a\r\n0\r\n\r\n", "ffffffffffffffff\r\n"]
    {
        let mut client = Client::connect(server.addr);
        client.send(format!("{head}{body}GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.response().has_status(413).says_close();
        client.is_closed();
    }
    let mut client = Client::connect(server.addr);
    // The handler's own bound: the connection is kept, because the rest is within the discard limit.
    client.send("POST /all/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    client.response().has_status(413).keeps();
    client.is_usable();
}

#[test]
fn a_413_can_be_read_by_a_client_that_keeps_sending() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n");
    client.send(pattern(1024 * 1024));
    client.response().has_status(413).says_close();
    client.is_closed();
}

#[test]
fn malformed_chunks_are_400_and_the_end() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let vectors = [
        "x\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a\x01\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
    ];
    for (count, body) in vectors.iter().enumerate() {
        let head = "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut client = Client::connect(server.addr);
        client.send(format!("{head}{body}GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 400, "{body:?}: {}", response.text());
        response.says_close();
        client.is_closed();
        assert_eq!(lab.calls(), count + 1, "{body:?}: what followed was no request");
    }
    let long = format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "y".repeat(5000));
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{long}"));
    client.response().has_status(431).says_close();
    client.is_closed();
    let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "y".repeat(17_000));
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{extension}"));
    client.response().has_status(400).says_close();
    client.is_closed();
}

#[test]
fn a_malformed_body_that_nobody_reads_ends_the_connection_too() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nhelloX\r\n0\r\n\r\nGET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response().is(200, "ignored");
    client.is_closed();
    assert_eq!(lab.calls(), 1);
}

#[test]
fn a_body_cut_short_is_no_body() {
    let server = serve(lenient(), Lab::default());
    for wire in [
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        let mut client = Client::connect(server.addr);
        client.send(wire).half_close();
        client.response().has_status(400).says_close();
        client.is_closed();
    }
}
