//! Timeouts (RFC 9113 §10.5): a stream or connection that stalls ends after the applicable timeout, with the
//! right code, and no sooner. Waits are real, so limits are set short.

use std::time::{Duration, Instant};

use quoit::http::h2::H2Limits;
use quoit::server::Limits;

use crate::common::{Client, assert_took, lenient, pattern, serve};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

const SHORT: Duration = Duration::from_millis(400);

/// Only windows are in a hurry.
fn impatient_for_windows() -> Limits {
    Limits { h2: H2Limits { window_timeout: SHORT, ..H2Limits::DEFAULT }, ..lenient() }
}

/// A stream's own window stays shut while others move: the stream is given up.
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

/// A byte now and then is no progress.
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

/// The connection's window stays shut, so that nothing moves at all: the connection is given up.
#[test]
fn a_connection_whose_window_stays_shut() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 1 << 20)]);
    peer.credits = false;
    let began = Instant::now();
    peer.send([get(1, "/bytes/100000"), get(3, "/bytes/100000")].concat());
    while peer.step() {}
    assert_took(began, SHORT);
    let codes: Vec<u32> = peer.goaways.iter().map(|goaway| goaway.code).collect();
    assert_eq!(codes, [ENHANCE_YOUR_CALM], "{:?}", peer.streams);
}

/// A transfer that moves, however often it waits, has no limit.
#[test]
fn a_window_that_opens_in_time() {
    let server = serve(impatient_for_windows(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.credits = false;
    let stream = peer.fresh();
    peer.send(get(stream, "/bytes/20000"));
    for _ in 0..20 {
        std::thread::sleep(SHORT / 4);
        peer.open_window(stream, 1000);
    }
    peer.answer(stream).is(200, pattern(20_000));
}

/// A frame, or a field block, that does not arrive whole.
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
    let sent = peer.flood(100, |n| {
        std::thread::sleep(SHORT / 20);
        let whole = get(1, "/");
        vec![whole[n as usize % whole.len()]]
    });
    // The head has fewer bytes than this, so a byte does not restart the timeout.
    assert!(sent <= 40, "{sent}");
    peer.fails_with(ENHANCE_YOUR_CALM);
}

/// An idle connection is closed gracefully.
#[test]
fn an_idle_connection() {
    // A connection is looked at first after the time for heads, however short that for idling is.
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

/// A body that does not arrive: its reader gets an error, the connection goes on.
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

/// A client that takes nothing at all from its socket.
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
