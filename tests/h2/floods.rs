//! Frames that cost their sender nothing: each flood ends with ENHANCE_YOUR_CALM (RFC 9113 §10.5), uses
//! bounded memory, and affects no other client of the core. A busy but honest client is not treated as a
//! flood.

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use crate::common::{Binary, Bystander, Client, eventually, lenient, serve};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

/// More than any budget, and few enough for a test.
const MOST: u32 = 200_000;

/// Most growth of memory in a flood. One connection's windows and buffers are far below it; floods that are
/// kept somewhere are far beyond.
const GROWTH_BYTES_MAX: u64 = 8 << 20;

/// The built program with a site: bystanders request `/`, and `/large` is 8 MiB.
fn site() -> (TempDir, Binary) {
    let site = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(site.path().join("index.html"), "Hello, World!").unwrap();
    fs::write(site.path().join("usable"), "usable").unwrap();
    fs::write(site.path().join("large"), vec![b'l'; 8 << 20]).unwrap();
    let server = Binary::serve(site.path(), &[]);
    // First, so that one-time allocations are done.
    let mut peer = Peer::connect(server.addr);
    peer.get("/").is(200, "Hello, World!");
    peer.get("/large");
    (site, server)
}

/// Floods a connection while a bystander sends requests, and asserts the server's bounds.
#[track_caller]
fn ends_in_calm(name: &str, prepare: impl FnOnce(&mut Peer), piece: impl Fn(u32) -> Vec<u8>) {
    let (_site, server) = site();
    let before = server.resident_bytes();
    let bystander = Bystander::start(server.addr);
    let mut peer = Peer::connect(server.addr);
    prepare(&mut peer);
    let sent = peer.flood(MOST, piece);
    assert!(sent < MOST, "{name}: never ended");
    if peer.goaways.is_empty() {
        peer.fails_with(ENHANCE_YOUR_CALM);
    }
    assert_eq!(peer.goaways.last().map(|goaway| goaway.code), Some(ENHANCE_YOUR_CALM), "{name}");
    bystander.was_never_disturbed();
    let grown = server.resident_bytes().saturating_sub(before);
    println!("{name}: {sent} pieces, {} KiB grown, {:?}", grown / 1024, peer.goaways.last());
    assert!(grown < GROWTH_BYTES_MAX, "{name}: grew by {grown} bytes");
}

/// Sixteen of something at once, so that floods are quick.
fn sixteen(frame: &[u8]) -> Vec<u8> {
    frame.repeat(16)
}

/// CVE-2023-44487.
#[test]
fn requests_that_are_reset_at_once() {
    ends_in_calm(
        "rapid reset",
        |_| (),
        |n| {
            let stream = 2 * n + 1;
            [get(stream, "/large"), reset(stream, CANCEL)].concat()
        },
    );
}

/// The same where no answer can leave, and in batches: what was begun pays for nothing, and neither does what
/// is reset as soon as it has left.
#[test]
fn requests_that_are_reset_after_their_answer_began() {
    let shut = |peer: &mut Peer| {
        peer.send(settings(&[(INITIAL_WINDOW_SIZE, 0)]));
    };
    let batch = |n: u32, path: &'static str| {
        let streams = || (0..100).map(move |at| 2 * (100 * n + at) + 1);
        let requests = streams().flat_map(|stream| get(stream, path));
        requests.chain(streams().flat_map(|stream| reset(stream, CANCEL))).collect::<Vec<u8>>()
    };
    ends_in_calm("answers without a window", shut, |n| {
        let stream = 2 * n + 1;
        [get(stream, "/usable"), reset(stream, CANCEL)].concat()
    });
    ends_in_calm("answers without a window, in batches", shut, |n| batch(n, "/usable"));
    ends_in_calm("whole answers, in batches", |_| (), |n| batch(n, "/usable"));
    ends_in_calm(
        "whole answers",
        |_| (),
        |n| {
            let stream = 2 * n + 1;
            [get(stream, "/usable"), reset(stream, CANCEL)].concat()
        },
    );
}

/// The same with the server made to reset (CVE-2025-8671).
#[test]
fn requests_that_make_the_server_reset() {
    ends_in_calm(
        "made to reset: increment of zero",
        |_| (),
        |n| {
            let stream = 2 * n + 1;
            [get(stream, "/large"), window_update(stream, 0)].concat()
        },
    );
    ends_in_calm(
        "made to reset: window too large",
        |_| (),
        |n| {
            let stream = 2 * n + 1;
            [get(stream, "/large"), window_update(stream, 0x7fff_ffff)].concat()
        },
    );
    ends_in_calm(
        "made to reset: DATA after the end",
        |_| (),
        |n| {
            let stream = 2 * n + 1;
            [get(stream, "/large"), data(stream, 0, b"x")].concat()
        },
    );
    ends_in_calm("made to reset: malformed", |_| (), |n| headers(2 * n + 1, WHOLE, &[("x", "y")]));
}

#[test]
fn requests_beyond_the_limit() {
    // A hundred that wait for the window, and then one after another that is refused.
    let fill = |peer: &mut Peer| {
        peer.credits = false;
        peer.send(settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        peer.send((0..100).flat_map(|n| get(2 * n + 1, "/large")).collect::<Vec<u8>>());
    };
    ends_in_calm("refused streams", fill, |n| get(2 * n + 201, "/large"));
}

/// CVE-2024-27316 and others.
#[test]
fn blocks_that_never_end() {
    let begin = |peer: &mut Peer| {
        peer.send(frame(HEADERS, END_STREAM, 1, block(&pseudo("GET", "/"))));
    };
    ends_in_calm("CONTINUATION of nothing", begin, |_| frame(CONTINUATION, 0, 1, b""));
    ends_in_calm("CONTINUATION of a byte", begin, |_| frame(CONTINUATION, 0, 1, b"\x82"));
    let full = frame(CONTINUATION, 0, 1, block(&[("x", &"y".repeat(100))]).repeat(150));
    ends_in_calm("CONTINUATION that is full", begin, |_| full.clone());
}

#[test]
fn frames_that_ask_for_an_answer() {
    ends_in_calm("SETTINGS", |_| (), |_| sixteen(&settings(&[])));
    ends_in_calm("SETTINGS with content", |_| (), |_| sixteen(&settings(&[(INITIAL_WINDOW_SIZE, 9)])));
    ends_in_calm("PING", |_| (), |_| sixteen(&frame(PING, 0, 0, [7; 8])));
}

#[test]
fn frames_that_say_nothing() {
    let open = |peer: &mut Peer| {
        // Held open by the window, and by its body that does not come.
        peer.credits = false;
        peer.send(settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        peer.send(post(1, "/large"));
    };
    ends_in_calm("empty DATA", open, |_| sixteen(&data(1, 0, b"")));
    ends_in_calm("padding alone", open, |_| sixteen(&data(1, PADDED, [3, 0, 0, 0])));
    ends_in_calm("PRIORITY", |_| (), |_| sixteen(&frame(PRIORITY, 0, 1, b"\0\0\0\0\x05")));
    ends_in_calm("PRIORITY_UPDATE", |_| (), |_| sixteen(&frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")));
    ends_in_calm("WINDOW_UPDATE", |_| (), |_| sixteen(&window_update(0, 1)));
    ends_in_calm("unknown frames", |_| (), |_| sixteen(&frame(0xbe, 0, 0, b"")));
}

/// Acknowledgements of nothing, farewells without end, and frames on streams that are closed.
#[test]
fn frames_that_nothing_asked_for() {
    ends_in_calm("SETTINGS acknowledgements", |_| (), |_| sixteen(&frame(SETTINGS, ACK, 0, b"")));
    ends_in_calm("PING acknowledgements", |_| (), |_| sixteen(&frame(PING, ACK, 0, [7; 8])));
    let open = |peer: &mut Peer| {
        peer.credits = false;
        peer.send(settings(&[(INITIAL_WINDOW_SIZE, 0)]));
        peer.send(get(1, "/large"));
    };
    ends_in_calm("GOAWAY", open, |_| sixteen(&frame(GOAWAY, 0, 0, [0; 8])));
    ends_in_calm("long GOAWAY", open, |_| frame(GOAWAY, 0, 0, [0; 16_384]));
    let ended = |peer: &mut Peer| {
        peer.get("/usable").is(200, "usable");
    };
    ends_in_calm("WINDOW_UPDATE on a closed stream", ended, |_| sixteen(&window_update(1, 1)));
    ends_in_calm("RST_STREAM on a closed stream", ended, |_| sixteen(&reset(1, CANCEL)));
    ends_in_calm("PRIORITY on a closed stream", ended, |_| sixteen(&frame(PRIORITY, 0, 1, b"\0\0\0\0\x05")));
    let malformed = |peer: &mut Peer| {
        peer.send(headers(1, END_HEADERS, &[(":method", "POST")]));
        peer.is_reset(1, PROTOCOL_ERROR);
    };
    ends_in_calm("HEADERS on a stream that the server reset", malformed, |_| sixteen(&get(1, "/usable")));
    ends_in_calm("DATA on a stream that the server reset", malformed, |_| data(1, 0, vec![0; 16_384]));
    ends_in_calm("empty DATA on a stream that the server reset", malformed, |_| sixteen(&data(1, 0, b"")));
}

/// A client that floods and does not read: responses must not accumulate without bound.
#[test]
fn floods_whose_answers_nobody_reads() {
    let (_site, server) = site();
    let before = server.resident_bytes();
    let bystander = Bystander::start(server.addr);
    for piece in [
        sixteen(&frame(PING, 0, 0, [7; 8])),
        sixteen(&settings(&[])),
        (0..16).flat_map(|n| get(2 * n + 1, "/")).collect(),
    ] {
        for _ in 0..8 {
            let client = Client::connect_narrow(server.addr, 4096);
            let mut peer = Peer::over(client, &[]);
            for _ in 0..2000 {
                if peer.client.try_send(&piece).is_err() {
                    break;
                }
            }
            let grown = server.resident_bytes().saturating_sub(before);
            assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
        }
    }
    bystander.was_never_disturbed();
}

/// Responses that are requested and never received: a hundred streams on each of many connections.
#[test]
fn windows_that_never_open() {
    let (_site, server) = site();
    let before = server.resident_bytes();
    let bystander = Bystander::start(server.addr);
    let mut peers: Vec<Peer> = (0..50)
        .map(|_| {
            let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, 0)]);
            peer.credits = false;
            peer.send((0..100).flat_map(|n| get(2 * n + 1, "/large")).collect::<Vec<u8>>());
            peer
        })
        .collect();
    for peer in &mut peers {
        peer.until("all have begun", |peer| peer.streams.len() == 100);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    println!("{} KiB for 5,000 streams that wait", grown / 1024);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
    bystander.was_never_disturbed();
    drop(peers);
    is_quiet(server.addr);
}

/// Field blocks that are small on the wire and large when decoded: refused, and the tables still agree.
#[test]
fn blocks_that_swell() {
    let (_site, server) = site();
    let before = server.resident_bytes();
    let bystander = Bystander::start(server.addr);
    let mut peer = Peer::connect(server.addr);
    // A field of 4,000 bytes into the table; it is the newest entry, index 62.
    let stream = peer.fresh();
    let mut entry = block(&pseudo("GET", "/usable"));
    entry.extend(b"\x40\x01x");
    string(&mut entry, &[b'y'; 4000]);
    peer.send(frame(HEADERS, WHOLE, stream, &entry));
    peer.answer(stream).is(200, "usable");
    for _ in 0..100 {
        let stream = peer.fresh();
        let bomb = [&block(&pseudo("GET", "/"))[..], &vec![0xbe; 16_000]].concat();
        peer.send(frame(HEADERS, WHOLE, stream, bomb));
        peer.until("an answer or a reset", |peer| {
            peer.streams.get(&stream).is_some_and(|answer| answer.ended || answer.reset.is_some())
        });
        assert!(peer.streams[&stream].status == 431 || peer.streams[&stream].reset.is_some());
    }
    // The entry is still there.
    let stream = peer.fresh();
    peer.send(frame(HEADERS, WHOLE, stream, [&block(&pseudo("GET", "/usable"))[..], b"\xbe"].concat()));
    peer.answer(stream).is(200, "usable");
    bystander.was_never_disturbed();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "grew by {grown} bytes");
}

/// Legitimate use that is not refused: thousands of exchanges with credit for every frame, pings, and
/// sometimes a page whose hundred requests are cancelled.
#[test]
fn a_busy_client_is_no_flood() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut peer = Peer::connect(server.addr);
    for round in 0..30 {
        for _ in 0..100 {
            let stream = peer.fresh();
            peer.send(get(stream, "/n/1"));
            peer.answer(stream).is(200, "1");
        }
        peer.ping();
        if round % 10 == 0 {
            let page: Vec<u32> = (0..100).map(|_| peer.fresh()).collect();
            peer.send(page.iter().flat_map(|stream| get(*stream, "/hold")).collect::<Vec<u8>>());
            let held = lab.dropped.load(Ordering::Relaxed);
            peer.ping();
            peer.send(page.iter().flat_map(|stream| reset(*stream, CANCEL)).collect::<Vec<u8>>());
            eventually("all are dropped", || lab.dropped.load(Ordering::Relaxed) == held + 100);
        }
        peer.get("/bytes/2000000");
    }
    peer.is_usable();
}

/// Two WINDOW_UPDATEs for each DATA frame, as Go's client and others send them, however late they come after
/// the data, and whatever the windows.
#[test]
fn credit_for_every_frame_is_no_flood() {
    let (_site, server) = site();
    for (stream_window, connection_window, files) in
        [(4 << 20, 1 << 30, 8), (6 << 20, 15 << 20, 10), (65_535, 65_535, 2), (100, 1000, 0)]
    {
        let mut peer = Peer::connect_with(server.addr, &[(INITIAL_WINDOW_SIZE, stream_window)]);
        if connection_window > 65_535 {
            peer.open_window(0, connection_window - 65_535);
        }
        let path = if files == 0 { "/usable" } else { "/large" };
        let streams: Vec<u32> = (0..files.max(1)).map(|_| peer.fresh()).collect();
        peer.send(streams.iter().flat_map(|stream| get(*stream, path)).collect::<Vec<u8>>());
        for stream in streams {
            let answer = peer.answer(stream);
            assert_eq!((answer.status, answer.ended), (200, true));
        }
        peer.ping();
        assert_eq!(peer.goaways, []);
    }
}

/// Cookies that are too large end their request, and not the downloads beside it.
#[test]
fn cookies_beyond_the_limit_end_no_download() {
    let (_site, server) = site();
    let mut peer = Peer::connect(server.addr);
    let (download, large) = (peer.fresh(), peer.fresh());
    peer.send(get(download, "/large"));
    let cookie = "c".repeat(32 * 1024);
    let mut fields = pseudo("GET", "/usable");
    fields.push(("cookie", &cookie));
    let block = block(&fields);
    let (first, rest) = block.split_at(16_384);
    peer.send(frame(HEADERS, END_STREAM, large, first));
    let (second, third) = rest.split_at(16_384);
    peer.send(
        [frame(CONTINUATION, 0, large, second), frame(CONTINUATION, END_HEADERS, large, third)].concat(),
    );
    assert_eq!(peer.answer(large).status, 431);
    assert_eq!(peer.answer(download).body.len(), 8 << 20);
    assert_eq!(peer.goaways, []);
}

/// Waits until all frames of a flood are processed: the worker answers in the order in which input comes.
fn is_quiet(addr: SocketAddr) {
    Peer::connect(addr).get("/usable").is(200, "usable");
}
