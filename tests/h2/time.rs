//! Timeouts (RFC 9113 §10.5): each ends its stream or connection after its limit and no sooner, with the
//! error code of its cause. Waits are real, so limits are set short.

use std::time::{Duration, Instant};

use quoit::http::h2::H2Limits;
use quoit::server::Limits;

use crate::common::{Client, assert_took, lenient, pattern, serve};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

const SHORT: Duration = Duration::from_millis(400);

/// Only the window timeout is short.
fn impatient_for_windows() -> Limits {
    Limits { h2: H2Limits { window_timeout: SHORT, ..H2Limits::DEFAULT }, ..lenient() }
}

/// A stream's window stays closed while others progress: the stream is reset.
#[test]
fn a_stream_whose_window_stays_shut() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.credits = false;
    peer.open_window(0, 1 << 20);
    let began = Instant::now();
    let stream = peer.fresh();
    peer.send(get(stream, "/bytes/100000"));
    peer.is_reset(stream, ENHANCE_YOUR_CALM);
    assert_took(began, SHORT);
    assert_eq!(peer.streams[&stream].body.len(), 65_535);
    peer.is_usable();
}

/// A byte now and then is not progress.
#[test]
fn a_window_that_opens_by_single_bytes() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.credits = false;
    let stream = peer.fresh();
    peer.send(get(stream, "/bytes/100000"));
    for _ in 0..200 {
        peer.open_window(stream, 1);
        peer.client.limit_wait(Duration::from_millis(25));
        while peer.try_step().is_some_and(|more| more) {}
        if !peer.goaways.is_empty() || peer.streams.get(&stream).is_some_and(|answer| answer.reset.is_some())
        {
            break;
        }
    }
    let codes = peer.goaways.iter().map(|goaway| goaway.code).chain(peer.streams[&stream].reset);
    assert_eq!(codes.collect::<Vec<_>>(), [ENHANCE_YOUR_CALM]);
}

/// The connection's window stays closed, so that no stream progresses: the connection is ended.
#[test]
fn a_connection_whose_window_stays_shut() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    peer.credits = false;
    let began = Instant::now();
    peer.send([get(1, "/bytes/100000"), get(3, "/bytes/100000")].concat());
    while peer.step() {}
    assert_took(began, SHORT);
    let told: Vec<u32> = peer.goaways.iter().map(|goaway| goaway.code).collect();
    assert_eq!(told, [ENHANCE_YOUR_CALM], "{:?}", peer.streams);
}

/// Responses are sent one after the other, and the connection's window is small: those that wait for their
/// turn are not the client's fault, however long that takes.
#[test]
fn responses_that_wait_for_others() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    peer.credits = false;
    let streams: Vec<u32> = (0..3).map(|_| peer.fresh()).collect();
    peer.send(streams.iter().flat_map(|stream| get(*stream, "/bytes/200000")).collect::<Vec<u8>>());
    // 600,000 bytes, of which 65,535 leave at once; the rest takes 27 steps of a tenth of a second.
    for _ in 0..27 {
        peer.rests(SHORT / 4);
        peer.open_window(0, 20_000);
    }
    for stream in streams {
        peer.answer(stream).is(200, pattern(200_000));
    }
}

/// A response that has nothing to send owes its client's window nothing, such as a stream of events while
/// another response has filled the connection's window. One that has something does not wait for ever.
#[test]
fn a_quiet_stream_without_a_window() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.credits = false;
    let (quiet, loud) = (peer.fresh(), peer.fresh());
    let began = Instant::now();
    peer.send([get(quiet, "/stream/w2000"), get(loud, "/stream/1000,w60000")].concat());
    peer.is_reset(loud, ENHANCE_YOUR_CALM);
    assert_took(began, 2 * SHORT);
    peer.answer(quiet).is(200, "");
    assert_took(began, Duration::from_millis(2000));
    assert_eq!(peer.goaways, []);
}

/// A transfer that makes progress, however often it waits, has no limit.
#[test]
fn a_window_that_opens_in_time() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.credits = false;
    let stream = peer.fresh();
    peer.send(get(stream, "/bytes/20000"));
    for _ in 0..20 {
        peer.rests(SHORT / 4);
        peer.open_window(stream, 1000);
    }
    peer.answer(stream).is(200, pattern(20_000));
}

/// A frame, or a field block, that stays incomplete.
#[test]
fn frames_that_stop_halfway() {
    let server = serve(Limits { head_timeout: SHORT, ..lenient() }, Lab::default());
    let whole = get(1, "/");
    for begun in [
        &whole[..5],
        &whole[..9],
        &whole[..whole.len() - 1],
        &frame(HEADERS, END_STREAM, 1, b"\x82\x86")[..],
        &frame(PING, 0, 0, [0; 8])[..12],
    ] {
        let mut peer = Peer::connect(server.addr);
        let began = Instant::now();
        peer.send(begun);
        peer.fails_with(ENHANCE_YOUR_CALM);
        assert_took(began, SHORT - Duration::from_millis(50));
    }
    // Or a preface; and a connection on which nothing comes after it.
    for begun in [&PREFACE[..10], &PREFACE[..20], PREFACE] {
        let mut client = Client::connect(server.addr);
        client.send(begun);
        while client.fill().expect("the server ends the connection in time") {}
    }
}

/// Drop by drop a head has no more time than in one piece.
#[test]
fn a_block_that_comes_byte_by_byte() {
    let server = serve(Limits { head_timeout: SHORT, ..lenient() }, Lab::default());
    let mut peer = Peer::connect(server.addr);
    let sent = peer.flood_every(SHORT / 20, 100, |n| {
        let whole = get(1, "/");
        vec![whole[n as usize % whole.len()]]
    });
    // The head has fewer bytes than this, so single bytes did not extend its timeout.
    assert!(sent <= 40, "{sent}");
    peer.fails_with(ENHANCE_YOUR_CALM);
}

/// An idle connection is closed with GOAWAY.
#[test]
fn an_idle_connection() {
    // A connection is first checked after the head timeout, even if the idle timeout is shorter.
    let limits = Limits { idle_timeout: SHORT, head_timeout: 2 * SHORT, ..lenient() };
    let server = serve(limits, Lab::default());
    let mut peer = Peer::connect(server.addr);
    // Not while something is open.
    let stream = peer.fresh();
    peer.send(get(stream, "/wait/1000"));
    peer.answer(stream).is(200, "waited");
    let began = Instant::now();
    while peer.step() {}
    assert_took(began, SHORT - Duration::from_millis(50));
    assert_eq!(peer.goaways.last().map(|goaway| (goaway.code, goaway.last)), Some((NO_ERROR, stream)));
}

/// Idleness is judged by requests: no other frame keeps a connection (RFC 9113 §9.1).
#[test]
fn frames_that_are_no_requests_keep_no_connection() {
    let limits = Limits { idle_timeout: 2 * SHORT, head_timeout: 2 * SHORT, ..lenient() };
    let server = serve(limits, Lab::default());
    let ping = frame(PING, 0, 0, [7; 8]);
    let settings = settings(&[]);
    let acknowledgement = frame(SETTINGS, ACK, 0, b"");
    for frames in [&ping, &settings, &acknowledgement, &window_update(0, 1), &frame(0x63, 0, 0, b"")] {
        let mut peer = Peer::connect(server.addr);
        peer.is_usable();
        let began = Instant::now();
        peer.flood_every(SHORT / 4, 100, |_| frames.clone());
        while peer.step() {}
        assert_took(began, 2 * SHORT - Duration::from_millis(50));
        assert!(began.elapsed() < 8 * SHORT, "{:?}", began.elapsed());
        assert_eq!(peer.goaways.last().map(|goaway| (goaway.code, goaway.last)), Some((NO_ERROR, 1)));
    }
    // Requests do, however long each takes.
    let mut peer = Peer::connect(server.addr);
    for _ in 0..4 {
        peer.get("/wait/600").is(200, "waited");
        peer.rests(SHORT);
    }
    peer.is_usable();
}

/// A body that does not arrive: its reader gets an error, the connection continues.
#[test]
fn a_body_that_does_not_come() {
    let server = serve(Limits { stall_timeout: SHORT, ..lenient() }, Lab::default());
    let mut peer = Peer::connect(server.addr);
    let began = Instant::now();
    let stream = peer.fresh();
    peer.send(post(stream, "/count"));
    peer.send_data(stream, 0, b"hello");
    assert_eq!(peer.answer(stream).status, 408);
    assert_took(began, SHORT);
    peer.is_usable();
}

/// A client that does not read from its socket.
#[test]
fn a_client_that_does_not_read() {
    let server = serve(Limits { stall_timeout: SHORT, ..lenient() }, Lab::default());
    let client = Client::connect_narrow(server.addr, 4096);
    let mut peer = Peer::over(client, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    peer.open_window(0, 0x7fff_0000);
    peer.send((0..20).flat_map(|n| get(2 * n + 1, "/bytes/9000000")).collect::<Vec<u8>>());
    let began = Instant::now();
    crate::common::eventually("it is given up", || peer.client.error().is_some());
    assert_took(began, SHORT - Duration::from_millis(50));
}

/// What fits the kernel's buffer is sent at once, and nothing of it taken: the connection is given up,
/// although nothing waits to be sent.
#[test]
fn a_small_response_that_nobody_takes() {
    let server = serve(Limits { stall_timeout: SHORT, ..lenient() }, Lab::default());
    let client = Client::connect_narrow(server.addr, 4096);
    let mut peer = Peer::over(client, &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
    peer.open_window(0, 0x7fff_0000);
    peer.send(get(1, "/bytes/300000"));
    let began = Instant::now();
    crate::common::eventually("it is given up", || peer.client.error().is_some());
    assert_took(began, SHORT - Duration::from_millis(50));
    assert_eq!(server.stop().timed_out, 1);
}
