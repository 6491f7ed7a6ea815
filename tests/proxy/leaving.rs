//! Clients that leave (case P19).

use std::time::Duration;

use crate::common::{Client, eventually};
use crate::lab::*;
use crate::peer::Peer;
use crate::wire::{END_HEADERS, END_STREAM, get as get_frame, headers, pseudo, reset};

/// Never answers.
fn silent() -> Endpoint {
    Endpoint::new(|wire, _| {
        wire.head();
        wire.until_closed();
    })
}

#[test]
fn the_endpoint_sees_that_a_client_has_left() {
    let endpoint = silent();
    let proxy = before(&endpoint);
    for round in 0..40 {
        let mut client = Client::connect(proxy.addr);
        let upload = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nonly a part";
        client.send(if round % 4 < 2 { get("/") } else { upload.to_owned() });
        eventually("the request arrives", || endpoint.seen.requests() == round + 1);
        if round % 2 == 0 {
            client.reset()
        } else {
            client.close()
        }
        let (_, took) = timed(|| eventually("the connection is closed", || endpoint.seen.open() == 0));
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    peer.send(get_frame(stream, "/"));
    eventually("the request arrives", || endpoint.seen.requests() == 41);
    peer.send(reset(stream, 8));
    eventually("the connection is closed", || endpoint.seen.open() == 0);
}

#[test]
fn a_client_that_leaves_within_the_answer_ends_it() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        let piece = vec![0; 64 * 1024];
        while std::io::Write::write_all(&mut wire.stream, &piece).is_ok() {}
    });
    let proxy = before(&endpoint);
    for round in 0..5 {
        let mut client = Client::connect(proxy.addr);
        client.send(get("/"));
        while client.input().len() < 100_000 {
            assert!(client.fill().unwrap());
        }
        if round % 2 == 0 {
            client.reset()
        } else {
            client.close()
        }
        eventually("the connection is closed", || endpoint.seen.open() == 0);
    }
    let mut peer = Peer::connect(proxy.addr);
    let stream = peer.fresh();
    peer.send(headers(stream, END_HEADERS | END_STREAM, &pseudo("GET", "/")));
    peer.until("data", |peer| peer.streams.get(&stream).is_some_and(|got| got.body.len() > 10_000));
    peer.send(reset(stream, 8));
    eventually("the connection is closed", || endpoint.seen.open() == 0);
}
