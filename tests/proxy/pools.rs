//! Kept connections, their number, and the queue (cases P13, P17).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use quoit::handler::ProxyOptions;

use crate::common::{Client, eventually, time_passes};
use crate::lab::*;

#[test]
fn the_connection_used_last_is_used_again() {
    let endpoint = Endpoint::answering(OK);
    let proxy = before(&endpoint);
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(proxy.addr)).collect();
    for client in &mut clients {
        for _ in 0..5 {
            client.ask(get("/")).is(200, "ok");
        }
    }
    assert_eq!(endpoint.seen.accepted(), 1);
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_not_used() {
    // Without saying so, with FIN and with a reset.
    for resets in [false, true] {
        let endpoint = Endpoint::new(move |wire, _| {
            if let Some(head) = wire.head() {
                wire.body(&head);
                wire.send(OK);
                if resets {
                    wire.resets();
                }
            }
        });
        let proxy = before(&endpoint);
        let mut client = Client::connect(proxy.addr);
        for round in 0..20 {
            client.ask(get("/")).is(200, "ok");
            eventually("the endpoint has closed", || endpoint.seen.open() == 0);
            time_passes(Duration::from_millis(5), "the core collects the completion");
            let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
            client.ask(post).is(200, "ok");
            eventually("the endpoint has closed", || endpoint.seen.open() == 0);
            time_passes(Duration::from_millis(5), "the core collects the completion");
            assert_eq!(endpoint.seen.requests(), 2 * round + 2);
        }
    }
}

#[test]
fn the_hint_of_keep_alive_is_honoured() {
    let endpoint =
        Endpoint::answering("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=9\r\nContent-Length: 2\r\n\r\nok");
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.ask(get("/")).is(200, "ok");
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 1);
    time_passes(Duration::from_millis(850), "the connection is idle for longer than it may be");
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 2);
}

#[test]
fn an_idle_connection_is_closed_at_its_time() {
    let endpoint = Endpoint::answering(OK);
    let mut upstream = upstream(&[&endpoint]);
    upstream.pool.idle_time = Duration::from_millis(100);
    let proxy = proxy(ProxyOptions::to(upstream));
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    eventually("it is closed", || endpoint.seen.open() == 0);
}

#[test]
fn connections_of_all_cores_are_bounded() {
    let endpoint = Endpoint::new(|wire, _| {
        while wire.head().is_some() {
            time_passes(Duration::from_millis(20), "the endpoint works");
            wire.send(OK);
        }
    });
    let mut upstream = upstream(&[&endpoint]);
    upstream.pool.connections_max = Some(4);
    upstream.pool.queue_time = Duration::from_secs(10);
    let proxy = proxy_on(3, ProxyOptions::to(upstream));
    let addr = proxy.addr;
    let clients: Vec<_> = (0..40)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(addr);
                for _ in 0..3 {
                    client.ask(get("/")).is(200, "ok");
                }
            })
        })
        .collect();
    // A core closes an idle connection so that another core may open one; the endpoint may see the second
    // before the end of the first. One too many is one that stays.
    let (mut looks_over, mut longest) = (0, 0);
    while clients.iter().any(|client| !client.is_finished()) {
        looks_over = if endpoint.seen.open() > 4 { looks_over + 1 } else { 0 };
        longest = longest.max(looks_over);
        time_passes(Duration::from_millis(1), "the clients work");
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(longest < 10, "more than 4 connections in {longest} looks, a millisecond apart");
    assert_eq!(endpoint.seen.requests(), 120);
}

#[test]
fn the_queue_has_a_bound_and_a_time() {
    let endpoint = Endpoint::new(|wire, _| {
        while wire.head().is_some() {
            time_passes(Duration::from_millis(1000), "the endpoint is busy");
            wire.send(OK);
        }
    });
    let mut upstream = upstream(&[&endpoint]);
    upstream.pool.connections_max = Some(1);
    upstream.pool.queue_max = 1;
    upstream.pool.queue_time = Duration::from_millis(200);
    let proxy = proxy(ProxyOptions::to(upstream));
    let mut first = Client::connect(proxy.addr);
    first.send(get("/"));
    eventually("the endpoint works", || endpoint.seen.requests() == 1);
    let mut second = Client::connect(proxy.addr);
    let mut third = Client::connect(proxy.addr);
    second.send(get("/"));
    third.send(get("/"));
    for (client, at_most) in [(&mut third, 150), (&mut second, 900)] {
        let (answer, took) = timed(|| client.response());
        assert_eq!(answer.has_status(503).field("retry-after"), Some("1"));
        assert_eq!(answer.field("proxy-status"), Some("quoit; error=connection_limit_reached"));
        assert!(took < Duration::from_millis(at_most), "{took:?}");
    }
    first.response().is(200, "ok");
    assert_eq!(endpoint.seen.requests(), 1, "nobody who left is sent");
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
}

/// Connections that no request has asked for are there, are used, and are opened again.
#[test]
fn warm_connections() {
    for gone in [false, true] {
        let closes = Arc::new(AtomicBool::new(false));
        let closing = closes.clone();
        let endpoint = Endpoint::new(move |wire, number| {
            if gone && number < 3 {
                // Closed unused, on the way to a request at the worst.
                return eventually("it is to close", || closing.load(Ordering::SeqCst));
            }
            while let Some(head) = wire.head() {
                wire.body(&head);
                wire.send(OK);
            }
        });
        let mut upstream = upstream(&[&endpoint]);
        upstream.pool.warm = 3;
        let proxy = proxy(ProxyOptions::to(upstream));
        eventually("three are there", || endpoint.seen.accepted() == 3);
        if gone {
            closes.store(true, Ordering::SeqCst);
            Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
            eventually("three are there again", || {
                endpoint.seen.open() >= 3 && endpoint.seen.accepted() >= 6
            });
        }
        let before = endpoint.seen.accepted();
        let mut clients: Vec<_> = (0..3).map(|_| Client::connect(proxy.addr)).collect();
        for client in &mut clients {
            client.ask(get("/")).is(200, "ok");
        }
        assert_eq!(endpoint.seen.accepted(), before, "gone: {gone}");
    }
    // They keep the bound of connections.
    let endpoint = Endpoint::answering(OK);
    let mut upstream = upstream(&[&endpoint]);
    (upstream.pool.warm, upstream.pool.connections_max) = (5, Some(2));
    let proxy = proxy(ProxyOptions::to(upstream));
    eventually("two are there", || endpoint.seen.accepted() == 2);
    Client::connect(proxy.addr).ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.accepted(), 2);
}
