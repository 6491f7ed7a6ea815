//! Exchanges on one connection: many concurrent and independent; bodies, trailers, interim responses; and
//! that a handler's end, panic or wait affects its stream alone.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quoit::handler::FilesOptions;
use quoit::http::h2::H2Limits;
use quoit::http::message::{BodyLimits, Trailers};
use quoit::server::Limits;
use quoit::service::{BodyFrame, Request, Response, Service, StreamBody};

use crate::common::{eventually, lenient, pattern, serve, serve_files_with};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

const INTERNAL_ERROR: u32 = 2;

#[test]
fn one_after_another() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    for n in 0..300 {
        let answer = peer.get(&format!("/n/{n}"));
        answer.is(200, n.to_string());
        assert_eq!(answer.field("content-length"), Some(&n.to_string().len().to_string()[..]));
        assert!(answer.field("date").is_some_and(|date| date.ends_with(" GMT")));
    }
}

#[test]
fn a_hundred_at_once() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    for round in 0..5 {
        let paths = ["/n/1", "/wait/30", "/bytes/20000", "/stream/100,~,200"];
        let streams: Vec<(u32, &str)> = (0..100).map(|n| (peer.fresh(), paths[n % 4])).collect();
        peer.send(streams.iter().flat_map(|(stream, path)| get(*stream, path)).collect::<Vec<u8>>());
        for (stream, path) in streams {
            let answer = peer.answer(stream);
            match path {
                "/n/1" => answer.is(200, "1"),
                "/wait/30" => answer.is(200, "waited"),
                "/bytes/20000" => answer.is(200, pattern(20_000)),
                _ => answer.is(200, "x".repeat(300)),
            };
        }
        assert_eq!(peer.goaways, [], "round {round}");
    }
}

/// RFC 9113 §5.1.2: streams beyond the announced limit are refused so that they can be retried.
#[test]
fn more_than_a_hundred_are_refused() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut peer = Peer::connect(server.addr);
    let held: Vec<u32> = (0..100).map(|_| peer.fresh()).collect();
    peer.send(held.iter().flat_map(|stream| get(*stream, "/gate")).collect::<Vec<u8>>());
    for _ in 0..10 {
        let stream = peer.fresh();
        peer.send(get(stream, "/n/1"));
        peer.is_reset(stream, REFUSED_STREAM);
    }
    assert_eq!(lab.calls(), 100);
    lab.gate.store(true, Ordering::Relaxed);
    for stream in held {
        peer.answer(stream).is(200, "open");
    }
    peer.is_usable();
}

#[test]
fn a_slow_one_delays_no_other() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut peer = Peer::connect(server.addr);
    let slow = peer.fresh();
    peer.send(get(slow, "/gate"));
    for n in 0..50 {
        peer.get(&format!("/n/{n}")).is(200, n.to_string());
    }
    assert!(!peer.streams.contains_key(&slow));
    lab.gate.store(true, Ordering::Relaxed);
    peer.answer(slow).is(200, "open");
}

/// A large response that is not received does not block others, within the connection's window.
#[test]
fn a_large_one_delays_no_other() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.credits = false;
    peer.open_window(0, 1 << 20);
    let large = peer.fresh();
    peer.send(get(large, "/bytes/1000000"));
    peer.until("its window is full", |peer| {
        peer.streams.get(&large).is_some_and(|answer| answer.body.len() == 65_535)
    });
    for n in 0..50 {
        peer.get(&format!("/n/{n}")).is(200, n.to_string());
    }
    peer.open_window(large, 1 << 20);
    peer.open_window(0, 1 << 20);
    peer.answer(large).is(200, pattern(1_000_000));
}

/// RFC 9113 §8.1: a response that comes before the end of its request reaches clients that read only once
/// they have sent everything, because the rest is discarded and not reset, up to a bound.
#[test]
fn an_early_answer_to_a_large_upload() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let body = pattern(6 << 20);
    peer.post("/ignore", &body).is(200, "ignored");
    let stream = peer.fresh();
    let length = body.len().to_string();
    let fields = [&pseudo("POST", "/ignore")[..], &[("content-length", &length)]].concat();
    peer.send(headers(stream, END_HEADERS, &fields));
    peer.answer(stream).is(200, "ignored");
    peer.send_body(stream, &body);
    peer.ping();
    assert_eq!(peer.streams[&stream].reset, None);
    // Too large for its route: 413, and what is behind is discarded as well.
    let limits = Limits { body: BodyLimits { body_bytes_max: Some(100_000), ..lenient().body }, ..lenient() };
    let server = serve(limits, Lab::default());
    let mut peer = Peer::connect(server.addr);
    assert_eq!(peer.post("/count", &body).status, 413);
    peer.ping();
    assert!(peer.streams.values().all(|answer| answer.reset.is_none()));
    peer.is_usable();
}

#[test]
fn an_upload_that_never_ends_is_reset_after_its_answer() {
    let h2 = H2Limits { discard_bytes_max: 300_000, ..H2Limits::DEFAULT };
    let server = serve(Limits { h2, ..lenient() }, Lab::default());
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(post(stream, "/ignore"));
    peer.answer(stream).is(200, "ignored");
    let mut sent = 0;
    while peer.streams[&stream].reset.is_none() {
        peer.until("credit or a reset", |peer| {
            peer.room(stream) > 0 || peer.streams[&stream].reset.is_some()
        });
        let room = peer.room(stream).min(16_384);
        if peer.streams[&stream].reset.is_none() {
            peer.send_data(stream, 0, vec![0; room]);
            sent += room;
        }
    }
    assert_eq!(peer.streams[&stream].reset, Some(NO_ERROR));
    assert!((300_000..600_000).contains(&sent), "{sent}");
    peer.is_usable();
}

/// RFC 9110: responses without a body have no DATA.
#[test]
fn responses_without_a_body() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let head = peer.fresh();
    peer.send(headers(head, WHOLE, &pseudo("HEAD", "/bytes/1000")));
    let answer = peer.answer(head);
    answer.is(200, "");
    assert_eq!(answer.field("content-length"), Some("1000"));
    for status in [204, 304] {
        let answer = peer.get(&format!("/bodiless/{status}"));
        answer.is(status, "");
        assert!(status != 204 || answer.field("content-length").is_none());
    }
    let head = peer.fresh();
    peer.send(headers(head, WHOLE, &pseudo("HEAD", "/stream/5,~,5")));
    peer.answer(head).is(200, "");
    peer.is_usable();
}

/// RFC 8297: the links of a file come before it, and with it for clients that act on no hints.
#[test]
fn links_to_preload_come_before_a_file() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "page").unwrap();
    let link = "</a.css>; rel=preload; as=style";
    let preload = vec![format!("*.html={link}").parse().unwrap()];
    let options = FilesOptions { preload, ..FilesOptions::default() };
    let server = serve_files_with(1, lenient(), dir.path(), options);
    let mut peer = Peer::connect(server.addr);
    for _ in 0..2 {
        let page = peer.get("/");
        page.is(200, "page");
        assert_eq!((&page.interim[..], page.field("link")), (&[103][..], Some(link)));
        let head = peer.fresh();
        peer.send(headers(head, WHOLE, &pseudo("HEAD", "/")));
        let head = peer.answer(head);
        head.is(200, "");
        assert_eq!((&head.interim[..], head.field("link")), (&[][..], Some(link)));
    }
}

/// RFC 9110 §10.1.1: 100 Continue is sent when the handler reads, and not otherwise.
#[test]
fn continue_is_sent_when_the_body_is_read() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let expecting = |path| [&pseudo("POST", path)[..], &[("expect", "100-continue")]].concat();
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &expecting("/count")));
    peer.until("100", |peer| peer.streams.get(&stream).is_some_and(|answer| answer.interim == [100]));
    peer.send(data(stream, END_STREAM, b"hello"));
    let answer = peer.answer(stream);
    answer.is(200, "5 bytes");
    assert_eq!(answer.interim, [100]);

    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &expecting("/ignore")));
    let answer = peer.answer(stream);
    answer.is(200, "ignored");
    assert!(answer.interim.is_empty());
    peer.is_usable();
}

/// §8.1: a response that completes before its request may be followed by RST_STREAM with NO_ERROR, never by
/// another code; and what the client still sends is no error.
#[test]
fn a_response_before_the_request_is_over() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    for _ in 0..20 {
        let stream = peer.fresh();
        peer.send(post(stream, "/ignore"));
        peer.send_data(stream, 0, vec![0; 1000]);
        peer.answer(stream).is(200, "ignored");
        if peer.streams[&stream].reset.is_none() {
            peer.send_data(stream, END_STREAM, vec![0; 1000]);
        }
        peer.ping();
        assert!(matches!(peer.streams[&stream].reset, None | Some(NO_ERROR)));
    }
    peer.is_usable();
    peer.post("/count", &pattern(2_000_000)).is(200, "2000000 bytes");
}

/// A panic affects its stream: 500, or a reset where the head was sent. As over HTTP/1.1 the connection
/// accepts no further requests then, but open ones complete.
#[test]
fn a_panic_costs_its_stream() {
    let server = serve(lenient(), Lab::default());
    for path in ["/panic", "/stream/5,p", "/stream/5,~,p", "/stream/=10,5,p", "/stream/90000,p"] {
        let mut peer = Peer::connect(server.addr);
        let (waiting, stream) = (peer.fresh(), peer.fresh());
        peer.send([get(waiting, "/wait/100"), get(stream, path)].concat());
        peer.until("an end", |peer| {
            peer.streams.get(&stream).is_some_and(|answer| answer.ended || answer.reset.is_some())
        });
        let answer = &peer.streams[&stream];
        assert_eq!(answer.ended, path == "/panic", "{path}: what is not whole must not look whole");
        assert!(answer.status == 500 || answer.reset == Some(INTERNAL_ERROR), "{path}: {answer:?}");
        assert!(!answer.text().contains("as the test wants"), "the reason is for the log");
        peer.answer(waiting).is(200, "waited");
        assert!(peer.goaways.iter().all(|goaway| goaway.code == NO_ERROR));
    }
    assert_eq!(server.stop().panics, 5);
}

/// A body that fails, or differs from its announced length, is reset: it must not look complete.
#[test]
fn a_body_that_fails_costs_its_stream() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    for script in ["5,!", "5,~,!", "=10,5", "=10,5,!", "=5,10", "90000,!"] {
        let stream = peer.fresh();
        peer.send(get(stream, &format!("/stream/{script}")));
        let answer = peer.is_reset(stream, INTERNAL_ERROR);
        assert!(!answer.ended, "{script}");
    }
    peer.is_usable();
}

#[test]
fn a_reset_drops_its_handler_and_no_other() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut peer = Peer::connect(server.addr);
    let held: Vec<u32> = (0..10).map(|_| peer.fresh()).collect();
    held.iter().for_each(|stream| {
        peer.send(get(*stream, "/hold"));
    });
    eventually("all are held", || lab.calls() == 10);
    let dropped = || lab.dropped.load(Ordering::Relaxed);
    for (n, stream) in held.iter().enumerate().take(9) {
        assert_eq!(dropped(), n);
        peer.send(reset(*stream, CANCEL));
        eventually("one is dropped", || dropped() == n + 1);
    }
    peer.is_usable();
    assert_eq!(dropped(), 9);
    // And with the connection the last of them.
    peer.client.reset();
    eventually("the last is dropped", || dropped() == 10);
}

/// After the end of the client's direction it may still read; a lost connection drops its requests.
#[test]
fn a_client_that_only_ends_its_side_is_answered() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/wait/200"));
    peer.client.half_close();
    peer.answer(1).is(200, "waited");
    while peer.step() {}
}

/// §6.8: a client that sends GOAWAY gets its responses, then the server's own GOAWAY, and then the end.
#[test]
fn a_client_that_sends_goaway_is_answered() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/wait/100"));
    peer.send(frame(GOAWAY, 0, 0, [0; 8]));
    peer.answer(1).is(200, "waited");
    while peer.step() {}
    let told = |peer: &Peer| peer.goaways.iter().map(|goaway| (goaway.code, goaway.last)).collect::<Vec<_>>();
    assert_eq!(told(&peer), [(NO_ERROR, 1)]);
    // Without anything open, at once.
    let mut peer = Peer::connect(server.addr);
    peer.send(frame(GOAWAY, 0, 0, [0; 8]));
    while peer.step() {}
    assert_eq!(told(&peer), [(NO_ERROR, 0)]);
}

/// Answers with the length of a body and its trailers, and sends trailers itself.
#[derive(Clone)]
struct Trailing;

impl Service for Trailing {
    async fn call(&self, mut request: Request) -> Response {
        let body = request.body();
        let mut length = 0;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => length += piece.len(),
                Err(error) => return Response::error(error.status(), &error.to_string()),
            }
        }
        let trailers = String::from_utf8_lossy(body.trailers().lines()).into_owned();
        let pieces = [format!("{length};"), trailers].map(Bytes::from);
        Response::stream(WithTrailers(pieces.into(), false))
    }
}

struct WithTrailers(VecDeque<Bytes>, bool);

impl StreamBody for WithTrailers {
    fn poll_frame(&mut self, _cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if let Some(piece) = self.0.pop_front() {
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let trailers = Trailers::new().with("X-Sum", "5").and_then(|known| known.with("Grpc-Status", "0"));
        let is_sent = std::mem::replace(&mut self.1, true);
        Poll::Ready((!is_sent).then(|| Ok(trailers.expect("valid fields").into())))
    }
}

/// §8.1.
#[test]
fn trailers_both_ways() {
    let server = serve(lenient(), Trailing);
    let mut peer = Peer::connect(server.addr);
    let sent = [("x-sum".to_owned(), "5".to_owned()), ("grpc-status".to_owned(), "0".to_owned())];
    for (body, trailers) in [(0, true), (5, true), (100_000, true), (5, false), (0, false)] {
        let stream = peer.fresh();
        peer.send(post(stream, "/"));
        let body = pattern(body);
        for piece in body.chunks(16_000) {
            peer.until("credit", |peer| peer.room(stream) >= piece.len());
            peer.send_data(stream, 0, piece);
        }
        if trailers {
            peer.send(headers(stream, WHOLE, &[("x-check", "abc"), ("y", "")]));
        } else {
            peer.send(data(stream, END_STREAM, b""));
        }
        let answer = peer.answer(stream);
        let text = answer.text().to_ascii_lowercase().replace(": ", ":");
        let lines = if trailers { "x-check:abc\r\ny:\r\n" } else { "" };
        assert_eq!(text, format!("{};{lines}", body.len()));
        assert_eq!(answer.trailers.as_deref(), Some(&sent[..]));
    }
    // What makes trailers malformed (§8.1).
    for bad in [(":path", "/"), (":status", "200"), ("Upper", "x"), ("connection", "close"), ("x", "a\nb")] {
        let stream = peer.fresh();
        peer.send(post(stream, "/"));
        peer.send(headers(stream, WHOLE, &[bad]));
        peer.is_reset(stream, PROTOCOL_ERROR);
    }
    let answer = peer.post("/", b"still there");
    assert_eq!((answer.status, answer.text()), (200, "11;".to_owned()));
}

/// A body larger than the limit is refused as in HTTP/1.1, for its stream alone.
#[test]
fn bodies_larger_than_allowed() {
    let limits =
        Limits { body: BodyLimits { body_bytes_max: Some(1000), ..Default::default() }, ..lenient() };
    let server = serve(limits, Lab::default());
    let mut peer = Peer::connect(server.addr);
    for length in [None, Some("2000")] {
        let stream = peer.fresh();
        let mut fields = pseudo("POST", "/count");
        fields.extend(length.map(|length| ("content-length", length)));
        peer.send(headers(stream, END_HEADERS, &fields));
        peer.send_data(stream, END_STREAM, vec![0; 2000]);
        assert_eq!(peer.answer(stream).status, 413);
    }
    peer.post("/count", &[0; 1000]).is(200, "1000 bytes");
}

/// RFC 9218: when all streams wait for the connection's window, the most urgent is first, by its field or by
/// PRIORITY_UPDATE.
#[test]
fn urgent_responses_go_first() {
    let server = serve(lenient(), Lab::default());
    for by_update in [false, true] {
        let mut peer = Peer::connect(server.addr);
        peer.credits = false;
        peer.get("/bytes/65535").is(200, pattern(65_535));
        let (late, soon) = (peer.fresh(), peer.fresh());
        for (stream, urgency) in [(late, "u=6"), (soon, if by_update { "u=7" } else { "u=1" })] {
            let fields = [&pseudo("GET", "/bytes/30000")[..], &[("priority", urgency)]].concat();
            peer.send(headers(stream, WHOLE, &fields));
        }
        if by_update {
            peer.send(frame(PRIORITY_UPDATE, 0, 0, [&soon.to_be_bytes()[..], b"u=0"].concat()));
        }
        peer.until("both have begun", |peer| {
            [late, soon].iter().all(|stream| peer.streams.contains_key(stream))
        });
        peer.ping();
        peer.open_window(0, 30_000);
        peer.answer(soon).is(200, pattern(30_000));
        assert_eq!(peer.streams[&late].body.len(), 0);
        peer.open_window(0, 30_000);
        peer.answer(late).is(200, pattern(30_000));
    }
}

/// Each request is answered although the connection is busy with many large responses.
#[test]
fn answers_are_in_time_between_large_ones() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let large: Vec<u32> = (0..20).map(|_| peer.fresh()).collect();
    peer.send(large.iter().flat_map(|stream| get(*stream, "/bytes/1000000")).collect::<Vec<u8>>());
    let began = Instant::now();
    for n in 0..20 {
        peer.get(&format!("/n/{n}")).is(200, n.to_string());
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    for stream in large {
        peer.answer(stream).is(200, pattern(1_000_000));
    }
}
