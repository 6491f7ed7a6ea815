//! Interim responses and `Expect: 100-continue` (case P01).

use std::time::Duration;

use quoit::handler::ProxyOptions;

use crate::common::Client;
use crate::lab::*;
use crate::peer::Peer;
use crate::wire::{END_HEADERS, headers, pseudo};

const EXPECT: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";

#[test]
fn an_endpoint_decides_about_the_content() {
    let endpoint = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            assert_eq!(field(&head, "expect"), Some("100-continue"));
            wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(wire.body(&head), b"abc");
            wire.send(OK);
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send(EXPECT);
    client.response().has_status(100);
    client.send("abc");
    client.response().is(200, "ok").keeps();
    // By HTTP/2.
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    let mut sent = pseudo("POST", "/");
    sent.push(("expect", "100-continue"));
    peer.send(headers(stream, END_HEADERS, &sent));
    peer.until("100", |peer| peer.streams.get(&stream).is_some_and(|got| !got.interim.is_empty()));
    peer.send_body(stream, b"abc");
    peer.answer(stream).is(200, "ok");
}

#[test]
fn content_that_an_endpoint_refuses_is_neither_asked_for_nor_sent() {
    for body in ["no", &"n".repeat(100_000)] {
        let response = format!("HTTP/1.1 401 Unauthorized\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let endpoint = Endpoint::new(move |wire, _| {
            wire.head();
            wire.send(&response);
            wire.until_closed();
            assert!(wire.input.is_empty(), "the content came");
        });
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        client.send(EXPECT);
        client.response().is(401, body);
        crate::common::eventually("the connection ends", || endpoint.seen.open() == 0);
        assert_eq!(endpoint.seen.requests(), 1);
    }
}

#[test]
fn an_endpoint_that_does_not_ask_gets_the_content_after_a_while() {
    let endpoint = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            wire.body(&head);
            wire.send(OK);
        }
    });
    let mut upstream = upstream(&[&endpoint]);
    upstream.timeouts.expect = Duration::from_millis(100);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut client = Client::connect(proxy.addr);
    client.send(EXPECT);
    client.response().has_status(100);
    client.send("abc");
    client.response().is(200, "ok").keeps();
}

#[test]
fn interim_responses_are_passed_on_but_an_unasked_100() {
    let endpoint = Endpoint::new(|wire, _| {
        while wire.head().is_some() {
            wire.send("HTTP/1.1 100 Continue\r\n\r\n");
            wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n");
            wire.send(OK);
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.send(get("/"));
    let hints = client.response();
    assert_eq!(hints.has_status(103).head, "HTTP/1.1 103 Early Hints\r\nLink: </a>");
    client.response().is(200, "ok");
    client.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n").is(200, "ok");
}
