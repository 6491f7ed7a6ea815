//! Tunnels: upgrades of HTTP/1.1 and extended CONNECT of HTTP/2 (case P51), and streams of events.

use crate::common::{Client, eventually, pattern};
use crate::lab::*;
use crate::peer::Peer;
use crate::wire::{END_HEADERS, END_STREAM, headers, pseudo};

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: WebSocket\r\nSec-WebSocket-Protocol: chat\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Switches, sends a greeting in the same packet, and echoes.
fn switching(accept: &'static str) -> Endpoint {
    Endpoint::new(move |wire, _| {
        let Some(head) = wire.head() else { return };
        assert_eq!(field(&head, "upgrade").map(str::to_ascii_lowercase), Some("websocket".into()));
        assert!(field(&head, "connection").unwrap().contains("upgrade"));
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello"
        ));
        loop {
            let length = wire.input.len();
            if length == 0 {
                match wire.take(1) {
                    Some(byte) => wire.send(byte),
                    None => return,
                }
                continue;
            }
            let bytes = wire.take(length).unwrap();
            wire.send(bytes);
        }
    })
}

#[track_caller]
fn read(client: &mut Client, bytes: usize) -> Vec<u8> {
    while client.input().len() < bytes {
        assert!(client.fill().expect("the tunnel goes on"), "the tunnel ended");
    }
    client.input().drain(..bytes).collect()
}

#[test]
fn every_byte_of_an_upgrade_arrives() {
    let endpoint = switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send(format!("{UPGRADE}early"));
    let response = client.response();
    assert_eq!(response.status, 101);
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(response.field(name), Some(value));
    }
    assert_eq!(read(&mut client, 10), b"helloearly");
    let sent = pattern(300_000);
    let mut sender = client.sender();
    let copy = sent.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &copy).unwrap());
    assert!(read(&mut client, sent.len()) == sent);
    writer.join().unwrap();
    client.half_close();
    assert_eq!(client.drain(), b"");
    eventually("the endpoint's side is closed", || endpoint.seen.open() == 0);
    // Left without a word.
    let mut client = Client::connect(proxy.addr);
    client.send(UPGRADE);
    client.response();
    client.reset();
    eventually("the endpoint's side is closed", || endpoint.seen.open() == 0);
}

#[test]
fn a_refused_upgrade_is_a_response() {
    for status in [401, 403, 426, 302, 200] {
        let upgrade = if status == 426 { "Connection: upgrade\r\nUpgrade: foo\r\n" } else { "" };
        let response = format!("HTTP/1.1 {status} No\r\n{upgrade}Content-Length: 2\r\n\r\nno");
        let endpoint = Endpoint::answering(Box::leak(response.into_boxed_str()));
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        for _ in 0..2 {
            client.send(UPGRADE);
            let answer = client.response();
            answer.is(status, "no");
            assert_eq!(answer.field("upgrade"), (status == 426).then_some("foo"));
        }
        assert_eq!(endpoint.seen.accepted(), 1);
    }
}

/// P51: no answer, and a handshake that is a POST.
#[test]
fn an_upgrade_without_an_answer_is_504_and_other_methods_pass() {
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let mut upstream = upstream(&[&silent]);
    upstream.timeouts.first_byte = std::time::Duration::from_millis(200);
    let proxy = proxy(quoit::handler::ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.send(UPGRADE);
    let kind = Some("quoit; error=http_response_timeout");
    assert_eq!(client.response().has_status(504).field("proxy-status"), kind);
    let endpoint = Endpoint::answering(OK);
    let proxy = crate::lab::before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3";
    for _ in 0..2 {
        client.ask(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nabc")).is(200, "ok").keeps();
    }
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn a_switch_to_another_protocol_is_502() {
    for fields in ["Connection: upgrade\r\nUpgrade: other\r\n", "Upgrade: websocket\r\n", ""] {
        let response = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        let endpoint = Endpoint::answering(Box::leak(response.into_boxed_str()));
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        client.send(UPGRADE);
        client.response().has_status(502);
    }
}

/// Nor do they cost the endpoint's connection.
#[test]
fn what_is_no_protocol_is_not_asked_for() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    for protocol in ["web socket", "a/b/c", "(x)", "h2c, HTTP/2.0", "TLS/1.0"] {
        let fields = format!("Connection: Upgrade\r\nUpgrade: {protocol}");
        client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).is(200, "ok");
        let head = endpoint.seen.head(endpoint.seen.requests() - 1);
        assert_eq!(field(&head, "upgrade"), None, "{protocol}");
    }
    let trace = "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    Client::connect(proxy.addr).ask(trace).has_status(400);
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn versions_of_http_are_not_upgraded_to() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    let fields = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA";
    client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
    let head = endpoint.seen.head(0);
    assert_eq!((field(&head, "upgrade"), field(&head, "connection")), (None, None));
}

/// RFC 8441: the endpoint gets an upgrade with a key that is made, and checked, here.
#[test]
fn an_extended_connect_becomes_an_upgrade() {
    let endpoint = Endpoint::new(|wire, _| {
        let Some(head) = wire.head() else { return };
        assert!(head.starts_with("GET /ws HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "upgrade"), Some("websocket"));
        let key = field(&head, "sec-websocket-key").unwrap();
        let mut cmd = std::process::Command::new("python3");
        let script = "import base64,hashlib,sys;print(base64.b64encode(hashlib.sha1((sys.argv[1]+\
                      '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest()).decode())";
        let accept = String::from_utf8(cmd.args(["-c", script, key]).output().unwrap().stdout).unwrap();
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\nhello",
            accept.trim()
        ));
        while let Some(byte) = wire.take(1) {
            wire.send(byte);
        }
    });
    let proxy = before(&endpoint);
    let mut peer = Peer::connect(proxy.addr);
    let connect = |stream| {
        let mut fields = pseudo("CONNECT", "/ws");
        fields.extend([(":protocol", "websocket"), ("sec-websocket-version", "13")]);
        // Not theirs to send; the endpoint sees one.
        fields.push(("sec-websocket-key", "AAAA"));
        headers(stream, END_HEADERS, &fields)
    };
    let stream = peer.fresh();
    peer.send(connect(stream));
    peer.send_data(stream, 0, "early");
    peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body == b"helloearly"));
    let answer = peer.streams[&stream].clone();
    assert_eq!(
        (answer.status, answer.field("sec-websocket-accept"), answer.field("upgrade")),
        (200, None, None)
    );
    peer.send_data(stream, END_STREAM, "");
    peer.answer(stream).is(200, "helloearly");
    // An endpoint that does not know the key, and one that does not switch.
    let wrong = switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let plain = Endpoint::answering(OK);
    for endpoint in [&wrong, &plain] {
        let proxy = before(endpoint);
        let mut peer = Peer::connect(proxy.addr);
        let stream = peer.fresh();
        peer.send(connect(stream));
        assert_eq!(peer.answer(stream).status, 502);
    }
}

#[test]
fn events_are_not_gathered() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for number in 0..5 {
            // The next event is sent once the client has this one.
            wire.send(format!("data: {number}\n\n"));
            let mut byte = [0];
            let _ = std::io::Read::read(&mut wire.stream, &mut byte);
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        while !String::from_utf8_lossy(client.input()).contains(&event) {
            assert!(client.fill().expect("the event comes at once"));
        }
        client.send("x");
    }
    client.response().has_status(200);
}
