//! Tunnels: opened only on request, complete in both directions concurrently.

use std::io::Write;
use std::thread;

use crate::common::{Client, lenient, pattern};
use crate::peer::Peer;
use crate::site::site;
use crate::wire::*;

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: other, echo\r\n";

/// Reads this number of bytes.
#[track_caller]
fn read(client: &mut Client, bytes: usize) -> Vec<u8> {
    while client.input().len() < bytes {
        assert!(client.fill().expect("the tunnel goes on"), "the tunnel ended");
    }
    client.input().drain(..bytes).collect()
}

#[test]
fn an_upgrade_opens_a_tunnel() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    // The connection served requests before; the tunnel's first bytes come with the request.
    client.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").has_status(200).keeps();
    client.send(format!("GET /tunnel HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\nfirst"));
    let response = client.response();
    assert_eq!(response.head, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo");
    assert_eq!(read(&mut client, 5), b"first");
    client.send("GET /hello HTTP/1.1\r\n\r\n");
    assert_eq!(read(&mut client, 23), b"GET /hello HTTP/1.1\r\n\r\n");
    client.half_close();
    assert_eq!(client.drain(), b"bye");
}

#[test]
fn connect_opens_a_tunnel() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nfirst");
    let response = client.response_to("CONNECT");
    assert_eq!(response.status, 200);
    assert_eq!((response.field("content-length"), response.field("transfer-encoding")), (None, None));
    assert_eq!(read(&mut client, 5), b"first");
    client.half_close();
    assert_eq!(client.drain(), b"bye");

    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS, &[(":method", "CONNECT"), (":authority", "example.com:443")]));
    peer.send_data(stream, 0, "first");
    peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body == b"first"));
    peer.send_data(stream, END_STREAM, "");
    peer.answer(stream).is(200, "firstbye");
    peer.get("/hello").is(200, "Hello, World!");
}

/// RFC 8441 §4, §5.
#[test]
fn an_extended_connect_opens_a_tunnel() {
    let server = site(lenient());
    let mut peer = Peer::connect(server.addr);
    assert_eq!(peer.settings.get(&ENABLE_CONNECT_PROTOCOL), Some(&1));
    let connect = |stream, protocol| {
        let mut fields = pseudo("CONNECT", "/tunnel");
        fields.push((":protocol", protocol));
        headers(stream, END_HEADERS, &fields)
    };
    let stream = peer.fresh();
    peer.send(connect(stream, "echo"));
    let sent = pattern(200_000);
    peer.send_body_open(stream, &sent);
    peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body == sent));
    let answer = peer.streams[&stream].clone();
    assert_eq!((answer.status, answer.field("content-length"), answer.ended), (200, None, false));
    // Other streams continue beside it.
    peer.get("/hello").is(200, "Hello, World!");
    peer.send_data(stream, END_STREAM, "");
    let answer = peer.answer(stream);
    assert_eq!(answer.body.len(), sent.len() + "bye".len());
    // Another protocol than the resource's.
    let stream = peer.fresh();
    peer.send(connect(stream, "other"));
    assert_eq!(peer.answer(stream).status, 400);
    // A tunnel that its client resets.
    let stream = peer.fresh();
    peer.send(connect(stream, "echo"));
    peer.send_data(stream, 0, "x");
    peer.until("the echo", |peer| peer.streams.get(&stream).is_some_and(|got| got.body == b"x"));
    peer.send(reset(stream, CANCEL));
    peer.get("/hello").is(200, "Hello, World!");
}

#[test]
fn much_goes_through_both_ways_at_once() {
    const BYTES: usize = 20 * 1024 * 1024;
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.send(format!("GET /tunnel HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"));
    client.response().has_status(101);
    let mut sender = client.sender();
    let sent = pattern(BYTES);
    let bytes = sent.clone();
    let sending = thread::spawn(move || sender.write_all(&bytes).unwrap());
    assert!(read(&mut client, BYTES) == sent, "the echo is what was sent");
    sending.join().unwrap();
}

/// RFC 9110 §7.8: only what the client offers, and only where `Connection` names it.
#[test]
fn without_being_asked_for_there_is_no_tunnel() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    for fields in [
        "",
        "Upgrade: echo\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\n",
        "Connection: close-not, upgraded\r\nUpgrade: echo\r\n",
    ] {
        let response = client.ask(format!("GET /tunnel HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        response.has_status(426);
        assert_eq!(response.field("upgrade"), Some("echo"), "{fields:?}");
    }
    client.send("GET /tunnel HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    let response = client.response();
    response.has_status(400);
    assert!(response.text().contains("over HTTP/1.1 or HTTP/2"), "no advice for another version");
    let mut client = Client::connect(server.addr);
    client.ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n").has_status(405).keeps();
    assert_eq!(Peer::connect(server.addr).get("/tunnel").status, 400);
}

#[test]
fn a_tunnel_ends_when_its_handler_does() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.send(format!("GET /greeting HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"));
    client.response().has_status(101);
    assert_eq!(client.drain(), b"welcome\n");
}

/// The content of a request with `Upgrade` comes before the tunnel's bytes.
#[test]
fn an_upgrade_with_unread_content_is_an_error() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /tunnel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{UPGRADE}\r\nhello"));
    client.response().has_status(400);
}
