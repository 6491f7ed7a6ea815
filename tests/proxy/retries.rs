//! What is sent twice, and what is not (cases P25, P27).

use std::net::TcpListener;
use std::time::Duration;

use quoit::handler::ProxyOptions;
use quoit::upstream::UpstreamOptions;

use crate::common::{Client, eventually, time_passes};
use crate::lab::*;

/// Reads a whole request and closes.
fn closing() -> Endpoint {
    Endpoint::new(|wire, _| {
        if let Some(head) = wire.head() {
            wire.body(&head);
        }
    })
}

#[test]
fn only_what_is_idempotent_is_sent_twice() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "PROPFIND"] {
        let (first, second) =
            (closing(), Endpoint::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        let proxy = proxy(ProxyOptions::to(upstream(&[&first, &second])));
        let mut client = Client::connect(proxy.addr);
        let body = if matches!(method, "GET" | "HEAD") { "" } else { "Content-Length: 3\r\n" };
        let content = if body.is_empty() { "" } else { "abc" };
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n{body}\r\n{content}"));
        let answer = client.response_to(method);
        let is_idempotent = ["GET", "HEAD", "PUT", "DELETE"].contains(&method);
        assert_eq!(answer.status, if is_idempotent { 200 } else { 502 }, "{method}");
        assert_eq!(first.seen.requests(), 1);
        assert_eq!(second.seen.requests(), usize::from(is_idempotent), "{method}");
    }
}

#[test]
fn an_endpoints_own_errors_are_passed_on() {
    for status in [500, 502, 503, 504] {
        let response = format!("HTTP/1.1 {status} Own\r\nX-Own: 1\r\nContent-Length: 3\r\n\r\nown");
        let first = Endpoint::answering(Box::leak(response.into_boxed_str()));
        let second = Endpoint::answering(OK);
        let proxy = proxy(ProxyOptions::to(upstream(&[&first, &second])));
        let answer = Client::connect(proxy.addr).ask(get("/"));
        answer.is(status, "own");
        assert_eq!((answer.field("x-own"), answer.field("proxy-status")), (Some("1"), None));
        assert_eq!(second.seen.requests(), 0);
        // Where that is asked for.
        let mut upstream = upstream(&[&first, &second]);
        upstream.retries.statuses = vec![502, 503];
        let proxy = crate::lab::proxy(ProxyOptions::to(upstream));
        let expected = if matches!(status, 502 | 503) { 200 } else { status };
        Client::connect(proxy.addr).ask(get("/")).has_status(expected);
        Client::connect(proxy.addr).ask(get("/")).has_status(200);
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        Client::connect(proxy.addr).ask(post).has_status(status);
    }
}

#[test]
fn without_another_endpoint_the_answer_to_be_retried_is_passed_on() {
    let busy = Endpoint::answering("HTTP/1.1 503 Own\r\nX-Own: 1\r\nContent-Length: 3\r\n\r\nown");
    let mut upstream = upstream(&[&busy]);
    upstream.retries.statuses = vec![503];
    upstream.breaker = Some(quoit::upstream::BreakerOptions { in_flight_max: Some(1), ..Default::default() });
    let proxy = proxy(ProxyOptions::to(upstream));
    let answer = Client::connect(proxy.addr).ask(get("/"));
    answer.is(503, "own");
    assert_eq!((answer.field("x-own"), answer.field("proxy-status")), (Some("1"), None));
}

/// An address that refuses connections.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn refused_connections_lead_to_the_next_endpoint_whatever_the_method() {
    let endpoint = Endpoint::answering(OK);
    let addresses = [refusing(), refusing(), endpoint.addr.to_string()];
    let mut upstream = UpstreamOptions::new("lab", addresses).unwrap();
    upstream.balance = quoit::upstream::Balance::RoundRobin;
    // Neither ejection nor the budget: what is never sent costs no endpoint anything.
    upstream.ejection.failures_in_a_row = 0;
    upstream.retries.budget_percent = 0;
    let proxy = proxy(ProxyOptions::to(upstream));
    for _ in 0..60 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
        Client::connect(proxy.addr).ask(post).is(200, "ok");
    }
}

#[test]
fn where_all_refuse_the_answer_is_immediate() {
    let missing = "unix:/nonexistent/quoit-test.sock".to_owned();
    for addresses in [vec![refusing(), refusing(), refusing()], vec![missing]] {
        let proxy = proxy(ProxyOptions::to(UpstreamOptions::new("lab", addresses).unwrap()));
        let (answer, took) = timed(|| Client::connect(proxy.addr).ask(get("/")));
        assert!(matches!(answer.status, 502 | 503), "{}", answer.head);
        assert!(answer.field("proxy-status").is_some() && !answer.body.is_empty());
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn a_post_over_a_stale_connection_is_sent_once() {
    // The second request of each connection is read and not answered.
    let endpoint = Endpoint::new(|wire, _| {
        if let Some(head) = wire.head() {
            wire.body(&head);
            wire.send(OK);
        }
        if let Some(head) = wire.head() {
            wire.body(&head);
        }
    });
    let proxy = before(&endpoint);
    let mut client = Client::connect(proxy.addr);
    client.ask(get("/")).is(200, "ok");
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    client.ask(post).has_status(502);
    assert_eq!(endpoint.seen.requests(), 2);
    client.ask(get("/")).is(200, "ok");
    // An idempotent one goes out again over a fresh connection, invisibly.
    client.ask(get("/")).is(200, "ok");
    assert_eq!(endpoint.seen.requests(), 5);
    assert_eq!(endpoint.seen.accepted(), 3);
}

/// Takes a request, and says nothing until this time has passed; then it answers, if it has an answer.
fn late(time: Duration, answer: Option<&'static str>) -> Endpoint {
    Endpoint::new(move |wire, _| {
        while wire.head().is_some() {
            let Some(answer) = answer else { return wire.until_closed() };
            time_passes(time, "the other endpoint is asked meanwhile");
            wire.send(answer);
        }
    })
}

#[test]
fn a_second_endpoint_is_asked_where_the_first_is_slow() {
    let hedging = |endpoints: &[&Endpoint]| {
        let mut upstream = upstream(endpoints);
        upstream.retries.hedge_after = Some(Duration::from_millis(100));
        upstream.retries.tries = 2;
        upstream.timeouts.first_byte = Duration::from_secs(1);
        upstream
    };
    // The second one answers, and the first is cancelled.
    let (first, second) = (late(Duration::ZERO, None), Endpoint::answering(OK));
    let hosted = proxy(ProxyOptions::to(hedging(&[&first, &second])));
    let mut client = Client::connect(hosted.addr);
    client.ask(get("/")).is(200, "ok").keeps();
    eventually("the first is cancelled", || first.seen.accepted() == 1 && first.seen.open() == 0);
    assert_eq!((first.seen.requests(), second.seen.requests()), (1, 1));
    // Not what may not be done twice, nor what has content.
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
    ] {
        let (first, second) = (late(Duration::ZERO, None), Endpoint::answering(OK));
        let mut upstream = hedging(&[&first, &second]);
        upstream.ejection.failures_in_a_row = 0;
        upstream.retries.total_time = Duration::from_millis(500);
        let hosted = proxy(ProxyOptions::to(upstream));
        Client::connect(hosted.addr).ask(request).has_status(504);
        assert_eq!((first.seen.requests(), second.seen.requests()), (1, 0), "{request}");
    }
    // The first one answers first after all.
    let first = late(Duration::from_millis(300), Some(OK));
    let second = late(Duration::ZERO, None);
    let hosted = proxy(ProxyOptions::to(hedging(&[&first, &second])));
    Client::connect(hosted.addr).ask(get("/")).is(200, "ok");
    eventually("the second is cancelled", || second.seen.accepted() == 1 && second.seen.open() == 0);
    assert_eq!((first.seen.requests(), second.seen.requests()), (1, 1));
    // Both fail: that was all.
    let first = Endpoint::new(|wire, _| {
        wire.head();
        time_passes(Duration::from_millis(300), "the other endpoint is asked meanwhile");
    });
    let second = closing();
    let hosted = proxy(ProxyOptions::to(hedging(&[&first, &second])));
    Client::connect(hosted.addr).ask(get("/")).has_status(502);
    assert_eq!((first.seen.requests(), second.seen.requests()), (1, 1));
    // One try is one.
    let (first, second) = (late(Duration::ZERO, None), Endpoint::answering(OK));
    let mut upstream = hedging(&[&first, &second]);
    upstream.retries.tries = 1;
    let hosted = proxy(ProxyOptions::to(upstream));
    Client::connect(hosted.addr).ask(get("/")).has_status(504);
    assert_eq!(second.seen.requests(), 0);
}
