//! GOAWAY (RFC 9113 §6.8): open requests complete, later ones are refused so that they can be retried on
//! another connection, and the end comes in time.

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use quoit::server::Limits;

use crate::common::{Binary, Client, eventually, lenient, serve};
use crate::lab::Lab;
use crate::peer::{Answer, Peer};
use crate::wire::*;

#[test]
fn a_drain_finishes_what_is_open() {
    let lab = Lab::default();
    let server = serve(Limits { drain_timeout: Duration::from_secs(20), ..lenient() }, lab.clone());
    let addr = server.addr;
    let mut idle = Peer::connect(addr);
    idle.is_usable();
    let mut busy = Peer::connect(addr);
    busy.credits = false;
    let (gate, large, upload) = (busy.fresh(), busy.fresh(), busy.fresh());
    busy.send([get(gate, "/gate"), get(large, "/bytes/200000"), post(upload, "/count")].concat());
    eventually("all are with the service", || lab.calls() == 4);
    let stopping = thread::spawn(move || server.stop());

    // A connection without open streams gets GOAWAY, and is closed.
    while idle.step() {}
    assert!(idle.goaways.iter().all(|goaway| goaway.code == NO_ERROR) && !idle.goaways.is_empty());
    eventually("new connections are refused", || Client::try_connect(addr).is_err());

    busy.until("GOAWAY", |peer| !peer.goaways.is_empty());
    assert_eq!(busy.goaways[0].code, NO_ERROR);
    assert!(busy.goaways[0].last >= upload, "what was asked for is promised");
    lab.gate.store(true, Ordering::Relaxed);
    busy.credits = true;
    busy.open_window(0, 200_000);
    busy.answer(gate).is(200, "open");
    busy.send_data(upload, END_STREAM, b"hello");
    busy.answer(upload).is(200, "5 bytes");
    busy.open_window(large, 200_000);
    assert_eq!(busy.answer(large).body.len(), 200_000);
    while busy.step() {}
    let last = busy.goaways.last().expect("it was said");
    assert_eq!((last.code, last.last), (NO_ERROR, upload), "the last word is exact");
    stopping.join().unwrap();
}

/// A connection with a limit on its age ends as in a drain: what is open completes, requests in transit are
/// served, and the last GOAWAY says which.
#[test]
fn a_connection_that_is_old_ends() {
    let age = Duration::from_millis(500);
    let limits = Limits { connection_age_max: Some(age), ..lenient() };
    let lab = Lab::default();
    let server = serve(limits, lab.clone());
    let mut peer = Peer::connect(server.addr);
    let began = Instant::now();
    let gate = peer.fresh();
    peer.send(get(gate, "/gate"));
    while peer.goaways.is_empty() {
        peer.get("/n/1").is(200, "1");
    }
    assert!(began.elapsed() > age / 2 && began.elapsed() < 10 * age, "{:?}", began.elapsed());
    let last = peer.fresh();
    assert!(peer.goaways[0].last > last && peer.goaways[0].code == NO_ERROR);
    lab.gate.store(true, Ordering::Relaxed);
    peer.answer(gate).is(200, "open");
    while peer.step() {}
    assert_eq!(peer.goaways.last().map(|goaway| (goaway.code, goaway.last)), Some((NO_ERROR, last - 2)));
    // One that is idle ends with one GOAWAY.
    let mut idle = Peer::connect(server.addr);
    idle.get("/n/1").is(200, "1");
    while idle.step() {}
    assert!(idle.goaways.iter().all(|goaway| goaway.code == NO_ERROR) && !idle.goaways.is_empty());
}

/// Requests in flight when the server sends GOAWAY are served or refused, and not lost.
#[test]
fn requests_in_transit_are_served_or_refused() {
    let server = serve(lenient(), Lab::default());
    let addr = server.addr;
    let mut peer = Peer::connect(addr);
    let held = peer.fresh();
    peer.send(get(held, "/wait/300"));
    peer.ping();
    let stopping = thread::spawn(move || server.stop());
    let mut asked = Vec::new();
    while peer.goaways.is_empty() {
        let stream = peer.fresh();
        if peer.client.try_send(get(stream, "/n/1")).is_err() {
            break;
        }
        asked.push(stream);
        peer.client.limit_wait(Duration::from_millis(1));
        while peer.goaways.is_empty() && peer.try_step().is_some_and(|more| more) {}
    }
    peer.client.limit_wait(crate::common::PATIENCE);
    while peer.step() {}
    let last = peer.goaways.last().expect("it was said").last;
    for stream in asked {
        let settled = |answer: &Answer| answer.ended || answer.reset == Some(REFUSED_STREAM);
        let answered = peer.streams.get(&stream).is_some_and(settled);
        assert!(answered || stream > last, "stream {stream} was neither served nor refused ({last})");
    }
    assert!(peer.streams[&held].ended);
    stopping.join().unwrap();
}

/// A client that never receives its response is ended by the drain timeout.
#[test]
fn a_drain_ends_in_time() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
    peer.send([get(1, "/bytes/1000"), get(3, "/hold")].concat());
    peer.until("a head", |peer| peer.streams.contains_key(&1));
    server.stop();
    while peer.step() {}
}

/// A client without open streams that does not read GOAWAY delays the end by little: by the GOAWAY notice,
/// and by the linger timeout.
#[test]
fn an_idle_client_that_does_not_read_delays_the_end_little() {
    let limits = Limits {
        drain_timeout: Duration::from_secs(20),
        linger_timeout: Duration::from_millis(200),
        ..lenient()
    };
    let server = serve(limits, Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.is_usable();
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
    while peer.step() {}
    assert_eq!(peer.goaways.last().map(|goaway| goaway.code), Some(NO_ERROR));
}

/// An idle connection gets GOAWAY and is closed at once, without lingering.
#[test]
fn a_silent_client_does_not_delay_the_end() {
    let timeout = Duration::from_secs(12);
    let limits = Limits { drain_timeout: timeout, linger_timeout: timeout, ..lenient() };
    let server = serve(limits, Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.is_usable();
    // Longer than anything that is looked at soon after a request.
    peer.client.stays_quiet(Duration::from_millis(1500));
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < timeout / 2, "took {:?}", began.elapsed());
    while peer.step() {}
    assert_eq!(peer.goaways.last().map(|goaway| goaway.code), Some(NO_ERROR));
}

#[test]
fn sigterm() {
    let site = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(site.path().join("large"), vec![b'l'; 1 << 20]).unwrap();
    let mut server = Binary::serve(site.path(), &[]);
    let mut peer = Peer::connect(server.addr);
    peer.credits = false;
    peer.send(get(1, "/large"));
    peer.until("a window of it", |peer| {
        peer.streams.get(&1).is_some_and(|answer| answer.body.len() == 65_535)
    });
    server.terminate();
    peer.until("GOAWAY", |peer| !peer.goaways.is_empty());
    assert!(server.runs());
    peer.credits = true;
    peer.open_window(0, 1 << 20);
    peer.open_window(1, 1 << 20);
    assert_eq!(peer.answer(1).body.len(), 1 << 20);
    while peer.step() {}
    assert_eq!(peer.goaways.last().map(|goaway| (goaway.code, goaway.last)), Some((NO_ERROR, 1)));
    assert!(server.wait().success());
}

/// However this side ends a connection, GOAWAY states which requests were processed.
#[test]
fn every_orderly_end_says_what_was_processed() {
    let short = Duration::from_millis(300);
    // The first look at a connection is due with its first head.
    let brief = Limits { idle_timeout: short, head_timeout: short, ..lenient() };
    let old = Limits { connection_age_max: Some(short), ..lenient() };
    let full = Limits { connections_max: Some(2), ..lenient() };
    let by_client = lenient();
    for (cause, limits) in [("idle", brief), ("age", old), ("capacity", full), ("its FIN", by_client)] {
        let server = serve(limits, Lab::default());
        let mut peer = Peer::connect(server.addr);
        peer.get("/n/1").is(200, "1");
        peer.get("/n/2").is(200, "2");
        let mut fresh = Peer::connect(server.addr);
        if cause == "capacity" {
            peer.client.limit_wait(Duration::from_secs(10));
            fresh.ping();
            Client::connect(server.addr).is_usable();
        }
        if cause == "its FIN" {
            peer.client.half_close();
            fresh.client.half_close();
        }
        for (peer, last) in [(&mut peer, 3), (&mut fresh, 0)] {
            if cause == "capacity" && last == 0 {
                continue;
            }
            while peer.step() {}
            let told = peer.goaways.last().unwrap_or_else(|| panic!("{cause}: no GOAWAY before the end"));
            assert_eq!((told.code, told.last), (NO_ERROR, last), "{cause}");
        }
    }
}
