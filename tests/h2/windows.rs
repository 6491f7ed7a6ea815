//! Flow control both ways (RFC 9113 §5.2, §6.9): nothing is sent beyond a window, everything within; windows
//! that overflow, close, go below zero, and open again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use quoit::http::message::Trailers;
use quoit::service::{BodyFrame, BodyWriter, Frame, Request, Response, Service, StreamBody};
use socket2::SockRef;

use crate::common::{Client, eventually, lenient, pattern, serve};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

const LARGE: usize = 3_000_000;

#[test]
fn a_large_body_goes_out_as_windows_open() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.get(&format!("/bytes/{LARGE}")).is(200, pattern(LARGE));
    // With windows as large as they can be.
    let mut peer =
        Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff), (MAX_FRAME_SIZE, 1 << 20)]);
    peer.open_window(0, 0x7fff_ffff - 65_535);
    peer.credits = false;
    peer.get(&format!("/bytes/{LARGE}")).is(200, pattern(LARGE));
}

/// To the byte, whichever of the two windows is the smaller.
#[test]
fn exactly_what_a_window_allows_is_sent() {
    let server = serve(lenient(), Lab::default());
    for initial in [0u32, 1, 1000, 65_535] {
        let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, initial)]);
        peer.credits = false;
        peer.send(get(1, "/bytes/100000"));
        let sent = |peer: &Peer| peer.streams.get(&1).map_or(0, |answer| answer.body.len());
        peer.until("what is allowed", |peer| peer.streams.contains_key(&1) && sent(peer) == initial as usize);
        peer.ping();
        assert_eq!(sent(&peer), initial as usize);
        if initial < 65_535 {
            peer.open_window(1, 1);
            peer.until("one byte more", |peer| sent(peer) == initial as usize + 1);
            peer.open_window(1, 90_000);
        }
        // Now the connection's is the smaller one.
        peer.until("what is allowed", |peer| sent(peer) == 65_535);
        peer.ping();
        assert_eq!(sent(&peer), 65_535);
        peer.open_window(0, 100_000);
        if initial == 65_535 {
            peer.ping();
            assert_eq!(sent(&peer), 65_535);
            peer.open_window(1, 90_000);
        } else {
            peer.until("most", |peer| sent(peer) >= 90_001);
            peer.open_window(1, 10_000);
        }
        peer.answer(1).is(200, pattern(100_000));
    }
}

/// A body of nothing, and the end of one, need no window.
#[test]
fn what_needs_no_window() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.get("/bytes/0").is(200, "");
    peer.get("/bodiless/204").is(204, "");
    let stream = peer.fresh();
    peer.send(headers(stream, WHOLE, &pseudo("HEAD", "/bytes/100000")));
    peer.answer(stream).is(200, "");
}

/// RFC 9113 §6.9.2: a smaller initial window makes windows of open streams negative.
#[test]
fn initial_windows_change_open_streams() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.credits = false;
    peer.open_window(0, 1_000_000);
    peer.send(get(1, "/bytes/200000"));
    let sent = |peer: &Peer| peer.streams.get(&1).map_or(0, |answer| answer.body.len());
    peer.until("the window is full", |peer| sent(peer) == 65_535);
    peer.set_initial_window(10_000);
    // 55,535 below zero.
    peer.open_window(1, 55_535);
    peer.ping();
    assert_eq!(sent(&peer), 65_535);
    peer.open_window(1, 7);
    peer.until("above zero", |peer| sent(peer) == 65_542);
    peer.set_initial_window(20_000);
    peer.until("by as much as it grew", |peer| sent(peer) == 75_542);
    peer.set_initial_window(200_000);
    peer.answer(1).is(200, pattern(200_000));
}

/// RFC 9113 §6.9, §6.9.1.
#[test]
fn increments_of_zero_and_windows_too_large() {
    let server = serve(lenient(), Lab::default());
    let hold = post(1, "/hold");
    let connection = |bytes: &[u8], code| {
        let mut peer = Peer::connect(server.addr);
        peer.send(&hold);
        peer.send(bytes);
        peer.fails_with(code);
    };
    connection(&window_update(0, 0), PROTOCOL_ERROR);
    connection(&window_update(0, 1 << 31), PROTOCOL_ERROR); // The reserved bit, and zero.
    connection(&window_update(0, 0x7fff_ffff), FLOW_CONTROL_ERROR);
    connection(&[window_update(0, 0x7fff_0000), window_update(0, 1)].concat(), FLOW_CONTROL_ERROR);
    connection(
        &[window_update(1, 0x7fff_0000), settings(&[(INITIAL_WINDOW_SIZE, 65_536)])].concat(),
        FLOW_CONTROL_ERROR,
    );
    let stream = |bytes: &[u8], code| {
        let mut peer = Peer::connect(server.addr);
        peer.send(post(1, "/hold"));
        peer.send(bytes);
        peer.is_reset(1, code);
        peer.used(1);
        peer.is_usable();
    };
    stream(&window_update(1, 0), PROTOCOL_ERROR);
    stream(&window_update(1, 0x7fff_ffff), FLOW_CONTROL_ERROR);
    stream(&[window_update(1, 0x7fff_0000), window_update(1, 1)].concat(), FLOW_CONTROL_ERROR);
    // The response is complete, the request is not: the window is unused, and still may not overflow.
    let mut peer = Peer::connect(server.addr);
    let early = peer.fresh();
    peer.send(post(early, "/ignore"));
    peer.answer(early).is(200, "ignored");
    peer.send([window_update(early, 0x7fff_ffff), window_update(early, 0x7fff_ffff)].concat());
    peer.is_reset(early, FLOW_CONTROL_ERROR);
    peer.is_usable();
    // As large as can be is allowed.
    let mut peer = Peer::connect(server.addr);
    peer.send(window_update(0, 0x7fff_0000));
    peer.is_usable();
}

/// A body is received as fast as it is read, and the client gets credit for the bytes read.
#[test]
fn a_large_body_comes_in() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.post("/count", &pattern(LARGE)).is(200, format!("{LARGE} bytes"));
    peer.is_usable();
}

/// Both at once: what comes back has to be read while more is sent.
#[test]
fn a_large_body_comes_in_and_goes_out() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.post("/echo", &pattern(LARGE)).is(200, pattern(LARGE));
}

/// A handler that does not read slows down its stream, and no other stream of the connection.
#[test]
fn an_unread_body_gets_no_credit() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(post(stream, "/hold"));
    while peer.room(stream) > 0 {
        let length = peer.room(stream).min(16_384);
        peer.send_data(stream, 0, vec![0; length]);
    }
    peer.is_usable();
    server.turns();
    peer.ping();
    assert_eq!(peer.credit.get(&stream), None, "nothing was read");
    // One byte more is too much (§6.9), and costs the stream alone.
    peer.send_data(stream, 0, b"x");
    peer.is_reset(stream, FLOW_CONTROL_ERROR);
    eventually("the handler is dropped", || lab.dropped.load(std::sync::atomic::Ordering::Relaxed) == 1);
    peer.is_usable();
    // Credit for unread data is returned to the connection.
    peer.post("/count", &pattern(LARGE)).is(200, format!("{LARGE} bytes"));
}

/// Many small frames, or one large body.
#[derive(Clone)]
struct Crumbs;

const CRUMBS: usize = 40_000;

struct CrumbsLeft(usize);

impl StreamBody for CrumbsLeft {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or_default();
        Poll::Ready(left.map(|_| Ok(Frame::Data(vec![b'x'; 100].into()))))
    }
}

impl Service for Crumbs {
    async fn call(&self, request: Request) -> Response {
        match request.head().path() {
            "/crumbs" => Response::stream(CrumbsLeft(CRUMBS)),
            _ => Response::text(pattern(8 * LARGE)),
        }
    }
}

/// A client with one thread may give all the credit that it owes before it reads on. The server reads that,
/// although it waits itself, until the client takes what it sent.
#[test]
fn credit_is_read_while_a_response_waits() {
    let server = serve(lenient(), Crumbs);
    let client = Client::connect_narrow(server.addr, 16 * 1024);
    SockRef::from(&client.sender()).set_send_buffer_size(4096).unwrap();
    let mut peer = Peer::over(client, &[(INITIAL_WINDOW_SIZE, 1 << 30)]);
    peer.credits = false;
    peer.open_window(0, 1 << 30);
    peer.get("/crumbs").is(200, "x".repeat(100 * CRUMBS));
    let large = peer.fresh();
    peer.send(get(large, "/large"));
    peer.client.receives(8192);
    // More than the kernels hold of it.
    let owed = window_update(0, 100).repeat(2 * CRUMBS);
    peer.send(owed);
    peer.answer(large).is(200, pattern(8 * LARGE));
    assert_eq!(peer.goaways, []);
}

/// A hundred uploads, of which one is read: it is not held up, and no more lies unread than the windows of
/// the others, 65,535 bytes each.
#[test]
fn unread_uploads_do_not_hold_up_one_that_is_read() {
    const UNREAD: usize = 99;
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    assert_eq!(peer.settings.get(&INITIAL_WINDOW_SIZE), Some(&65_535));
    let unread: Vec<u32> = (0..UNREAD).map(|_| peer.fresh()).collect();
    for &stream in &unread {
        peer.send(post(stream, "/hold"));
        let mut rest = 65_535;
        while rest > 0 {
            peer.until("the connection's credit", |peer| peer.room(stream) > 0);
            let length = peer.room(stream).min(16_384).min(rest);
            peer.send_data(stream, 0, vec![0; length]);
            rest -= length;
        }
    }
    let body = pattern(5_000_000);
    let read = peer.post("/count", &body);
    read.is(200, "5000000 bytes");
    for stream in &unread {
        assert_eq!(peer.credit.get(stream), None, "stream {stream} is not read");
        assert!(!peer.streams.contains_key(stream), "stream {stream} is held");
    }
    // The last one was 256 KiB ahead at the most, and never more than 65,535 + 196,609 bytes of it unread.
    let last = unread[UNREAD - 1] + 2;
    let allowed = 65_535 + peer.credit[&last];
    assert!((5_000_000..=5_000_000 + 256 * 1024).contains(&allowed), "{allowed}");
}

/// All windows together stay within `unread_bytes_max`, however many streams are read to begin with: nine of
/// a hundred grow to 256 KiB by default.
#[test]
fn windows_grow_within_a_bound() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let streams: Vec<u32> = (0..100).map(|_| peer.fresh()).collect();
    for &stream in &streams {
        peer.send(post(stream, "/count"));
        peer.send_body_open(stream, &[0; 40_000]);
        peer.until("the stream's credit", |peer| peer.credit.contains_key(&stream));
    }
    peer.ping();
    let allowed: Vec<u64> = streams.iter().map(|stream| 65_535 + peer.credit[stream]).collect();
    // No more than what was sent of each can have been read.
    let unread_possible = allowed.iter().sum::<u64>() - 100 * 40_000;
    assert!(unread_possible <= 8 << 20, "{unread_possible}");
    assert_eq!(allowed.iter().filter(|allowed| **allowed > 196_609).count(), 9, "{allowed:?}");
    for stream in streams {
        peer.send_data(stream, END_STREAM, b"");
        peer.answer(stream).is(200, "40000 bytes");
    }
}

/// Padding counts (§6.1), and its credit is returned although it is not read.
#[test]
fn padding_counts_for_the_window() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(post(stream, "/count"));
    let piece = [&[255][..], b"x", &[0; 255]].concat();
    for _ in 0..3000 {
        peer.until("credit", |peer| peer.room(stream) >= piece.len());
        peer.send_data(stream, PADDED, &piece);
    }
    peer.send(data(stream, END_STREAM, b""));
    peer.answer(stream).is(200, "3000 bytes");
}

/// Bodies without end, in pieces of 64 KiB, which are counted.
#[derive(Clone, Default)]
struct Endless(Arc<AtomicUsize>);

impl Service for Endless {
    async fn call(&self, _: Request) -> Response {
        Response::stream(self.clone())
    }
}

impl StreamBody for Endless {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::Data(vec![b'x'; 65_536].into()))))
    }
}

/// What cannot be sent is not produced: a hundred streams without a window hold nothing.
#[test]
fn nothing_is_pulled_without_a_window() {
    let endless = Endless::default();
    let server = serve(lenient(), endless.clone());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.credits = false;
    let streams: Vec<u32> = (0..100).map(|_| peer.fresh()).collect();
    peer.send(streams.iter().flat_map(|stream| get(*stream, "/")).collect::<Vec<u8>>());
    peer.until("all have begun", |peer| peer.streams.len() == 100);
    peer.ping();
    assert_eq!(endless.0.load(Ordering::Relaxed), 0);
    // One of them gets a window, and then the connection has none any more.
    peer.open_window(streams[7], 1);
    peer.until("a byte", |peer| peer.streams[&streams[7]].body.len() == 1);
    peer.open_window(streams[7], 100_000);
    peer.until("all that the connection allows", |peer| peer.streams[&streams[7]].body.len() == 65_535);
    assert_eq!(endless.0.load(Ordering::Relaxed), 1);
    streams.iter().for_each(|stream| peer.open_window(*stream, 1 << 20));
    peer.ping();
    assert_eq!(endless.0.load(Ordering::Relaxed), 1, "the connection's window is shut");
}

/// A body that ends needs no window for that, where it says so or has sent what it announced; trailers do not
/// either.
#[test]
fn the_end_of_a_stream_needs_no_window() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 1000)]);
    peer.credits = false;
    peer.get("/stream/=1000,400,600").is(200, "x".repeat(1000));
    peer.get("/stream/=0").is(200, "");
    let server = serve(lenient(), Written);
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 1000)]);
    peer.credits = false;
    let answer = peer.get("/");
    answer.is(200, "x".repeat(1000));
    assert_eq!(answer.trailers, Some(vec![("x-sum".to_owned(), "5".to_owned())]));
}

/// Writes a thousand bytes, and trailers later.
#[derive(Clone)]
struct Written;

impl Service for Written {
    async fn call(&self, _: Request) -> Response {
        Response::written(|mut out: BodyWriter| async move {
            let _ = out.write(vec![b'x'; 1000]).await;
            // In a frame of their own, later.
            glommio::timer::sleep(Duration::from_millis(50)).await;
            let _ = out.end(Trailers::new().with("X-Sum", "5").expect("a valid field")).await;
        })
    }
}
