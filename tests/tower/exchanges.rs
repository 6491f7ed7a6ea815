//! The effect of an exchange on its connection and its server: panics, disconnects, fields that are the
//! server's.

use std::sync::atomic::Ordering;

use crate::common::{Client, HELLO, eventually};
use crate::lab::Lab;

#[test]
fn a_panic_costs_one_connection() {
    let server = Lab::default().serve();
    for path in ["/panic", "/panic/later"] {
        let mut bystander = Client::connect(server.addr);
        bystander.ask(HELLO).is(200, "Hello, World!");
        let mut client = Client::connect(server.addr);
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).has_status(500).says_close();
        client.is_closed();
        bystander.is_usable();
    }
    assert_eq!(server.stop().panics, 2);
}

#[test]
fn a_client_that_vanishes_ends_its_handler() {
    let lab = Lab::default();
    let server = lab.serve();
    let mut client = Client::connect(server.addr);
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    Client::connect(server.addr).is_usable();
    assert_eq!(lab.dropped.load(Ordering::Relaxed), 0);
    client.reset();
    eventually("the handler is dropped", || lab.dropped.load(Ordering::Relaxed) == 1);
    Client::connect(server.addr).is_usable();
}

#[test]
fn fields_of_the_connection_are_the_servers() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let response = client.ask("GET /fields HTTP/1.1\r\nHost: a\r\n\r\n");
    response.is(200, "fields").says_close();
    for name in ["x-hop", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-mine"), Some("yes"));
    assert_ne!(response.field("date"), Some("yesterday"));
    client.is_closed();
}

#[test]
fn what_clients_ask_of_the_connection_is_obeyed() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client
        .ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .is(200, "Hello, World!")
        .says_close();
    client.is_closed();
    let mut old = Client::connect(server.addr);
    old.ask("GET / HTTP/1.0\r\n\r\n").is(200, "Hello, World!");
    old.is_closed();
}

#[test]
fn a_tunnel_is_not_opened() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
    let response = client.response_to("GET");
    assert!((400..600).contains(&response.status), "{response:?}");
}
