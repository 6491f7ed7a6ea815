//! Tunnels to endpoints that speak HTTP/2: extended CONNECT (RFC 8441) from clients of both versions (P51).

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use quoit::handler::ProxyOptions;
use quoit::upstream::{UpstreamOptions, UpstreamProtocol, UpstreamTls};

use crate::certs::Certs;
use crate::common::{Client, eventually, pattern, time_passes};
use crate::frames::{Frames, Got};
use crate::lab::{Endpoint, get, proxy};
use crate::peer::Peer;
use crate::secure::{Asks, SecureEndpoint, config};
use crate::streams::{before, h2_upstream, scripted};
use crate::wire::*;

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: WebSocket\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const ANNOUNCED: &[(u16, u32)] = &[(ENABLE_CONNECT_PROTOCOL, 1)];

type Log = Arc<Mutex<Vec<String>>>;

/// What a tunnel of [`echoing`] sends at its end.
const BYE: &str = "bye";

/// Opens tunnels, greets, echoes, and says good-bye at the end; what it sees besides data is logged.
fn echo<S: std::io::Read + std::io::Write>(frames: &mut Frames<'_, S>, log: &Log) {
    while let Some(got) = frames.next() {
        let stream = got.stream();
        let note = |line: &str| log.lock().unwrap().push(format!("{line} {stream}"));
        match got {
            Got::Headers { ends, .. } if got.field(":method") != Some("CONNECT") => {
                note(if ends { "request" } else { "upload" });
                frames.answer(stream, "ok");
            }
            Got::Headers { ends, .. } => {
                for (name, value) in [
                    (":protocol", Some("websocket")),
                    (":path", Some("/ws")),
                    (":scheme", got.field(":scheme")),
                    (":authority", Some("a")),
                    ("upgrade", None),
                    ("connection", None),
                    ("sec-websocket-key", None),
                    ("sec-websocket-version", Some("13")),
                    ("content-length", None),
                ] {
                    assert_eq!(got.field(name), value, "{name} in {got:?}");
                }
                assert!(!ends);
                note("tunnel");
                let fields = [(":status", "200"), ("sec-websocket-protocol", "chat"), ("x-up", "1")];
                let head = headers(stream, END_HEADERS, &fields);
                frames.send([head, data(stream, 0, "hello")].concat());
            }
            Got::Data { bytes, ends, .. } => {
                if bytes == b"reset" {
                    frames.send([data(stream, 0, "last"), reset(stream, CANCEL)].concat());
                    continue;
                }
                if !bytes.is_empty() {
                    frames.send(data(stream, 0, bytes));
                }
                if ends {
                    note("end");
                    frames.send(data(stream, END_STREAM, BYE));
                }
            }
            Got::Reset { code, .. } => note(&format!("reset {code}")),
        }
    }
}

fn echoing() -> (Endpoint, Log) {
    let log = Log::default();
    let seen = log.clone();
    (scripted(ANNOUNCED, move |frames, _| echo(frames, &seen)), log)
}

fn has(log: &Log, line: &str) -> bool {
    log.lock().unwrap().iter().any(|known| known == line)
}

#[track_caller]
fn read(client: &mut Client, bytes: usize) -> Vec<u8> {
    while client.input().len() < bytes {
        assert!(client.fill().expect("the tunnel goes on"), "the tunnel ended");
    }
    client.input().drain(..bytes).collect()
}

#[track_caller]
fn connect(peer: &mut Peer) -> u32 {
    let stream = peer.fresh();
    let mut fields = pseudo("CONNECT", "/ws");
    fields.retain(|field| field.0 != ":authority");
    fields.extend([(":authority", "a"), (":protocol", "websocket"), ("sec-websocket-version", "13")]);
    peer.send(headers(stream, END_HEADERS, &fields));
    stream
}

#[test]
fn an_upgrade_becomes_an_extended_connect() {
    let (endpoint, log) = echoing();
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send(format!("{UPGRADE}early"));
    let response = client.response();
    assert_eq!(response.status, 101);
    for (name, value) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("WebSocket")),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("sec-websocket-protocol", Some("chat")),
        ("x-up", Some("1")),
        ("content-length", None),
        ("transfer-encoding", None),
    ] {
        assert_eq!(response.field(name), value, "{name}");
    }
    assert_eq!(read(&mut client, 10), b"helloearly");
    // In parts, because the script does not look at the windows that it gets.
    for part in pattern(400_000).chunks(50_000) {
        client.send(part);
        assert!(read(&mut client, part.len()) == part);
    }
    // The end of one direction is passed on, and the other goes on.
    client.half_close();
    assert_eq!(client.drain(), BYE.as_bytes());
    // Left without a word: cancelled, and others on the connection go on.
    let mut client = Client::connect(proxy.addr);
    client.send(UPGRADE);
    client.response().has_status(101);
    client.reset();
    eventually("the stream is cancelled", || has(&log, "reset 8 3"));
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    assert_eq!(*log.lock().unwrap(), ["tunnel 1", "end 1", "tunnel 3", "reset 8 3", "request 5"]);
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn an_extended_connect_stays_one() {
    let (endpoint, log) = echoing();
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let stream = connect(&mut peer);
    peer.send_data(stream, 0, "early");
    peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body == b"helloearly"));
    let answer = peer.streams[&stream].clone();
    assert_eq!((answer.status, answer.field("sec-websocket-protocol")), (200, Some("chat")));
    assert_eq!((answer.field("sec-websocket-accept"), answer.field("upgrade")), (None, None));
    peer.send_data(stream, END_STREAM, "");
    peer.answer(stream).is(200, "helloearlybye");
    let large = connect(&mut peer);
    let mut expected = b"hello".to_vec();
    for part in pattern(400_000).chunks(10_000) {
        peer.send_data(large, 0, part);
        expected.extend(part);
        peer.until("the echo", |peer| peer.streams.get(&large).is_some_and(|got| got.body == expected));
    }
    peer.send_data(large, END_STREAM, "");
    peer.answer(large).is(200, [&expected[..], BYE.as_bytes()].concat());
    // Resets are passed on both ways.
    let left = connect(&mut peer);
    peer.until("the greeting", |peer| peer.streams.get(&left).is_some_and(|got| got.body == b"hello"));
    peer.send(reset(left, CANCEL));
    eventually("the stream is cancelled", || has(&log, "reset 8 5"));
    let lost = connect(&mut peer);
    peer.send_data(lost, 0, "reset");
    peer.until("a reset", |peer| peer.streams.get(&lost).is_some_and(|got| got.reset.is_some()));
    assert_eq!((&peer.streams[&lost].body[..], peer.streams[&lost].ended), (&b"hellolast"[..], false));
    peer.get("/").is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn a_refused_tunnel_is_a_response() {
    for status in ["401", "403", "302", "501"] {
        let log = Log::default();
        let seen = log.clone();
        let endpoint = scripted(ANNOUNCED, move |frames, _| {
            while let Some(got) = frames.next() {
                match got {
                    Got::Headers { stream, .. } => {
                        let head = headers(stream, END_HEADERS, &[(":status", status)]);
                        frames.send([head, data(stream, END_STREAM, "no")].concat());
                    }
                    other => seen.lock().unwrap().push(format!("{other:?}")),
                }
            }
        });
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        let mut peer = Peer::connect(proxy.addr);
        for _ in 0..2 {
            client.send(UPGRADE);
            client.response().is(status.parse().unwrap(), "no").keeps();
            let stream = connect(&mut peer);
            peer.send_data(stream, END_STREAM, "unread");
            peer.answer(stream).is(status.parse().unwrap(), "no");
        }
        eventually("all streams have ended", || log.lock().unwrap().len() == 4);
        assert!(log.lock().unwrap().iter().all(|line| line.contains("Data") && line.contains("ends: true")));
        assert_eq!(endpoint.seen.accepted(), 1);
    }
}

#[test]
fn an_endpoint_without_tunnels_is_502_for_them_alone() {
    let log = Log::default();
    let seen = log.clone();
    let endpoint = scripted(&[], move |frames, _| echo(frames, &seen));
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    let failed = Some("quoit; error=http_upgrade_failed");
    client.send(UPGRADE);
    assert_eq!(client.response().has_status(502).field("proxy-status"), failed);
    let mut peer = Peer::connect(proxy.addr);
    let stream = connect(&mut peer);
    assert_eq!((peer.answer(stream).status, peer.streams[&stream].field("proxy-status")), (502, failed));
    // What may be answered without an upgrade is asked for without one.
    let fields = "Connection: Upgrade\r\nUpgrade: foo";
    client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).is(200, "ok").keeps();
    // Nor is one with another method or content an extended CONNECT (RFC 8441 §5).
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0";
    client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).is(200, "ok").keeps();
    assert_eq!(*log.lock().unwrap(), ["request 1", "request 3"]);
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn a_handshake_without_a_key_is_400() {
    let (endpoint, log) = echoing();
    let proxy = before(&endpoint);
    for key in ["", "Sec-WebSocket-Key: dGhl\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n"] {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket";
        let request = format!("GET /ws HTTP/1.1\r\nHost: a\r\n{fields}\r\n{key}\r\n");
        Client::connect(proxy.addr).ask(request).has_status(400);
    }
    assert!(log.lock().unwrap().is_empty());
}

/// What the endpoint does not take is not read from the client, and the other way round.
#[test]
fn a_tunnel_is_as_fast_as_its_slower_side() {
    const WINDOW: usize = 65_535;
    let (full, go) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(false)));
    let (filled, may_go) = (full.clone(), go.clone());
    let endpoint = scripted(ANNOUNCED, move |frames, _| {
        frames.credits = false;
        let Some(got) = frames.head() else { return };
        let stream = got.stream();
        frames.send(headers(stream, END_HEADERS, &[(":status", "200")]));
        let mut all = Vec::new();
        while all.len() < WINDOW {
            let Some(Got::Data { bytes, .. }) = frames.next() else { return };
            all.extend(bytes);
            *filled.lock().unwrap() = all.len();
        }
        assert_eq!(all.len(), WINDOW, "no more than the window");
        eventually("the rest is asked for", || *may_go.lock().unwrap());
        frames.credits = true;
        frames.send([window_update(0, WINDOW as u32), window_update(stream, WINDOW as u32)].concat());
        let mut ends = false;
        while !ends {
            let Some(got) = frames.next() else { return };
            let Got::Data { bytes, ends: is_last, .. } = got else { panic!("{got:?}") };
            all.extend(bytes);
            ends = is_last;
        }
        // Within the window that it was given, and not a byte more is asked for before it is read.
        frames.send(data(stream, END_STREAM, all.len().to_string()));
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send(UPGRADE);
    client.response().has_status(101);
    let length = 8_000_000;
    let mut sender = client.sender();
    let writer = thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &pattern(length)).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    eventually("the window is full", || *full.lock().unwrap() == WINDOW);
    assert!(!writer.is_finished(), "the client waits");
    *go.lock().unwrap() = true;
    writer.join().unwrap();
    assert_eq!(client.drain(), length.to_string().as_bytes());
}

#[test]
fn a_silent_tunnel_ends() {
    let (endpoint, log) = echoing();
    let mut upstream = h2_upstream(&endpoint);
    upstream.timeouts.tunnel_idle = Duration::from_millis(300);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.send(UPGRADE);
    client.response().has_status(101);
    read(&mut client, 5);
    for _ in 0..4 {
        time_passes(Duration::from_millis(120), "longer in all than a silent tunnel lives");
        client.send("x");
        assert_eq!(read(&mut client, 1), b"x");
    }
    assert_eq!(client.drain(), b"");
    eventually("the stream is cancelled", || has(&log, "reset 8 1"));
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
}

#[test]
fn an_endpoint_that_says_nothing_is_504() {
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let mute = scripted(ANNOUNCED, |frames, _| frames.until_closed());
    for (endpoint, kind) in [(&silent, "connection_timeout"), (&mute, "http_response_timeout")] {
        let mut upstream = h2_upstream(endpoint);
        upstream.timeouts.connect = Duration::from_millis(200);
        upstream.timeouts.first_byte = Duration::from_millis(200);
        let proxy = proxy(ProxyOptions::to(upstream));
        let mut client = Client::connect(proxy.addr);
        client.send(UPGRADE);
        let expected = format!("quoit; error={kind}");
        assert_eq!(client.response().has_status(504).field("proxy-status"), Some(&*expected));
    }
}

/// By TLS, HTTP/1.1 is used where the endpoint has it.
#[test]
fn alpn_chooses_the_form_of_an_upgrade() {
    let certs = Certs::new();
    let tls = UpstreamTls { ca: Some(certs.path("ca.pem")), ..UpstreamTls::default() };
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], &["http/1.1", "h2"][..]),
        (&["h2"], &["h2"]),
        (&["http/1.1"], &["http/1.1"]),
    ] {
        let endpoint = SecureEndpoint::new(config(&certs, "a", protocols, Asks::Nothing), |stream| {
            if stream.conn.alpn_protocol() != Some(b"h2") {
                let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                                Upgrade: websocket\r\n\r\nhello";
                let mut input = Vec::new();
                while !input.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    let Ok(1) = std::io::Read::read(stream, &mut byte) else { return };
                    input.extend(byte);
                }
                let answer = if input.starts_with(b"GET /ws") { switched } else { crate::lab::OK };
                std::io::Write::write_all(stream, answer.as_bytes()).unwrap();
                std::io::Write::flush(stream).unwrap();
                let _ = std::io::Read::read(stream, &mut [0]);
                return;
            }
            if let Some(mut frames) = Frames::new(stream, ANNOUNCED) {
                echo(&mut frames, &Log::default());
            }
        });
        let mut upstream = UpstreamOptions::new("lab", [endpoint.addr.to_string()]).unwrap();
        (upstream.tls, upstream.protocol) = (Some(tls.clone()), UpstreamProtocol::Auto);
        let proxy = proxy(ProxyOptions::to(upstream));
        for _ in 0..2 {
            let mut client = Client::connect(proxy.addr);
            client.send(UPGRADE);
            client.response().has_status(101);
            assert_eq!(read(&mut client, 5), b"hello");
        }
        Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
        let mut spoken: Vec<_> =
            endpoint.greetings().into_iter().map(|greeting| greeting.protocol.unwrap()).collect();
        spoken.dedup();
        assert_eq!(spoken, expected, "{protocols:?}");
    }
}
