//! Bodies in both directions: framing, trailers, early answers, full duplex, back-pressure (cases P05, P07).

use std::thread;
use std::time::{Duration, Instant};

use quoit::handler::ProxyOptions;
use quoit::upstream::UpstreamOptions;

use crate::common::{Client, pattern, time_passes};
use crate::lab::*;
use crate::peer::Peer;
use crate::wire::{END_HEADERS, END_STREAM, headers, pseudo};

/// Answers with the body, its framing and the trailers that came.
fn echo() -> Endpoint {
    Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            let Some((body, trailers)) = wire.whole(&head) else { return };
            let framing = match (field(&head, "content-length"), field(&head, "transfer-encoding")) {
                (Some(length), None) => format!("length {length}"),
                (None, Some(coding)) => coding.to_owned(),
                (None, None) => "none".to_owned(),
                both => panic!("{both:?}"),
            };
            let fields = format!("X-Framing: {framing}\r\nX-Trailers: {}", trailers.join("|"));
            wire.send(format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\n\r\n", body.len()));
            wire.send(&body);
        }
    })
}

#[test]
fn framing_is_by_what_is_known_of_the_length() {
    let endpoint = echo();
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    let large = pattern(300_000);
    for (request, framing, body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "none", vec![]),
        ("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "none", vec![]),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "length 0", vec![]),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".into(), "length 0", vec![]),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_vec(), "length 3", b"abc".to_vec()),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"
                .to_vec(),
            "chunked",
            b"abc".to_vec(),
        ),
        (
            [b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n", &large[..]].concat(),
            "length 300000",
            large.clone(),
        ),
    ] {
        let request: Vec<u8> = request;
        let answer = client.ask(&request);
        answer.is(200, &body).keeps();
        assert_eq!(answer.field("x-framing"), Some(framing));
    }
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(client.response().is(200, "a").field("x-trailers"), Some("X-Sum: 1"));
    assert_eq!(endpoint.seen.accepted(), 1, "all over one connection");
}

/// Some applications merge trailers with fields, so they cannot say what fields cannot.
#[test]
fn trailers_say_nothing_that_is_said_here() {
    let endpoint = echo();
    let options = ProxyOptions {
        set_fields: vec![("X-User".into(), "guest".into())],
        ..ProxyOptions::to(upstream(&[&endpoint]))
    };
    let proxy = proxy(options);
    let mut client = Client::connect(proxy.addr);
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\
         X-Real-IP: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Sum: 1\r\nX-Forwarded-Port: 1\r\n\
         Via: 1.1 x\r\nX_User: root\r\n\r\n",
    );
    assert_eq!(client.response().is(200, "a").field("x-trailers"), Some("X-Sum: 1"));
}

#[test]
fn streams_of_http2_become_requests_of_http1() {
    let endpoint = echo();
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    for (method, framing) in [("GET", "none"), ("DELETE", "none"), ("OPTIONS", "none"), ("POST", "length 0")]
    {
        let stream = peer.fresh();
        peer.send(headers(stream, END_HEADERS | END_STREAM, &pseudo(method, "/")));
        assert_eq!(peer.answer(stream).is(200, "").field("x-framing"), Some(framing), "{method}");
    }
    for pieces in [&["abc"][..], &["ab", "", "c", ""]] {
        let stream = peer.fresh();
        peer.send(headers(stream, END_HEADERS, &pseudo("POST", "/")));
        for (index, piece) in pieces.iter().enumerate() {
            let flags = if index + 1 == pieces.len() { END_STREAM } else { 0 };
            peer.send_data(stream, flags, piece);
        }
        assert_eq!(peer.answer(stream).is(200, "abc").field("x-framing"), Some("chunked"));
        peer.get("/").is(200, "");
    }
    // One that is reset is cut for the endpoint, without a last chunk.
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &pseudo("POST", "/")));
    peer.send_data(stream, 0, "half");
    crate::common::eventually("the endpoint has the request", || endpoint.seen.requests() == 9);
    peer.send(crate::wire::reset(stream, 8));
    crate::common::eventually("the connection is cut", || endpoint.seen.open() == 0);
    peer.get("/").is(200, "");
}

fn quick(endpoint: &Endpoint) -> UpstreamOptions {
    let mut upstream = upstream(&[endpoint]);
    upstream.timeouts.first_byte = Duration::from_millis(500);
    upstream
}

/// The clock for an answer begins when the request is sent, and begins again with progress.
#[test]
fn an_upload_that_moves_is_never_late() {
    let endpoint = Endpoint::new(|wire, _| {
        let Some(head) = wire.head() else { return };
        for _ in 0..8 {
            wire.take(1000);
            time_passes(Duration::from_millis(150), "the endpoint takes the body slowly");
        }
        wire.body(&head.replace("8001", "1"));
        wire.send(OK);
    });
    let proxy = proxy(ProxyOptions::to(quick(&endpoint)));
    let mut client = Client::connect(proxy.addr);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8001\r\n\r\n");
    let mut sender = client.sender();
    let body = thread::spawn(move || {
        for _ in 0..8 {
            std::io::Write::write_all(&mut sender, &[b'x'; 1000]).unwrap();
            time_passes(Duration::from_millis(150), "the client sends slowly");
        }
        std::io::Write::write_all(&mut sender, b"x").unwrap();
    });
    client.response().is(200, "ok");
    body.join().unwrap();
}

#[test]
fn a_late_answer_is_504() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.until_closed();
    });
    let proxy = proxy(ProxyOptions::to(quick(&endpoint)));
    let began = Instant::now();
    let answer = Client::connect(proxy.addr).ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(answer.has_status(504).field("proxy-status"), Some("quoit; error=http_response_timeout"));
    crate::common::assert_took(began, Duration::from_millis(500));
    crate::common::eventually("the connection is closed", || endpoint.seen.open() == 0);
}

#[test]
fn an_error_that_comes_before_the_upload_ends_is_passed_on() {
    for closes in [true, false] {
        let endpoint = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nlarge");
            if !closes {
                // Without ever reading on.
                let mut end = [0];
                let _ = wire.stream.peek(&mut end);
                while wire.stream.take_error().ok().flatten().is_none() {
                    time_passes(Duration::from_millis(20), "until the proxy closes");
                    if wire.stream.peer_addr().is_err() {
                        break;
                    }
                }
            }
        });
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
        let mut sender = client.sender();
        let upload = thread::spawn(move || {
            let piece = vec![0; 64 * 1024];
            for _ in 0..(50_000_000 / piece.len()) {
                if std::io::Write::write_all(&mut sender, &piece).is_err() {
                    return;
                }
            }
        });
        let (answer, took) = timed(|| client.response());
        answer.is(413, "large");
        assert!(took < Duration::from_secs(5), "{took:?}");
        drop(client);
        upload.join().unwrap();
        // The proxy goes on for others, and the connection is not used again.
        Client::connect(proxy.addr).ask(get("/")).has_status(413);
        assert_eq!(endpoint.seen.accepted(), 2);
    }
}

#[test]
fn a_success_before_the_end_of_the_upload_does_not_end_it() {
    let endpoint = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            wire.send("ok");
            let body = wire.body(&head);
            assert!(body.is_empty() || body.len() == 2_000_000, "{}", body.len());
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
    client.response().is(200, "ok");
    client.send(vec![b'x'; 2_000_000]);
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1, "it was kept after the whole body");
}

#[test]
fn both_directions_flow_at_once() {
    let endpoint = Endpoint::new(|wire, _| {
        let Some(_) = wire.head() else { return };
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            let piece = wire.take(4).unwrap();
            wire.send([b"4\r\n", &piece[..], b"\r\n"].concat());
        }
        wire.send("0\r\nX-Sum: 12\r\n\r\n");
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n");
    for piece in ["abcd", "efgh", "ijkl"] {
        client.send(piece);
        while !String::from_utf8_lossy(client.input()).contains(piece) {
            assert!(client.fill().expect("the piece comes back"));
        }
    }
    let answer = client.response();
    answer.is(200, "abcdefghijkl");
    assert_eq!(answer.trailers, "X-Sum: 12\r\n");
}

#[test]
fn responses_of_every_framing_and_size() {
    let large = pattern(3_000_000);
    let body = large.clone();
    let endpoint = Endpoint::new(move |wire, _| {
        while let Some(head) = wire.head() {
            let path = head.split(' ').nth(1).unwrap();
            let (framing, size) = path[1..].split_once('/').unwrap();
            let body = &body[..size.parse().unwrap()];
            match framing {
                "length" => {
                    wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
                    wire.send(body);
                }
                "chunked" => {
                    let mut sent = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                    for piece in body.chunks(1000) {
                        sent.extend(format!("{:x}\r\n", piece.len()).bytes());
                        sent.extend(piece);
                        sent.extend(b"\r\n");
                    }
                    sent.extend(b"0\r\n\r\n");
                    wire.send(sent);
                }
                _ => {
                    wire.send("HTTP/1.1 200 OK\r\n\r\n");
                    wire.send(body);
                    return;
                }
            }
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    for framing in ["length", "chunked", "close"] {
        for size in [0, 1, 1000, 8192, 16_000, 16_384, 100_000, 3_000_000] {
            client.ask(get(&format!("/{framing}/{size}"))).is(200, &large[..size]).keeps();
        }
    }
    let mut peer = Peer::connect(proxy.addr);
    peer.get("/chunked/30000").is(200, &large[..30_000]);
}
