//! Connections that are kept, and what becomes of a request whose connection was closed meanwhile.

use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use quoit::client::{ClientErrorKind, ClientOptions, ErrorSide};
use quoit::upstream::PoolOptions;

use crate::eventually;
use crate::lab::{Endpoint, OK};

#[test]
fn connections_are_kept_and_shared_by_clones() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, core| {
        for _ in 0..3 {
            client.get(&url).send().await.unwrap();
        }
        client.clone().post(&url).body("x").send().await.unwrap();
        assert_eq!((endpoint.seen.accepted(), endpoint.seen.requests()), (1, 4));
        drop(client);
        eventually(&core, "the connection ends with its client", || endpoint.seen.open() == 0).await;
    });
}

/// An endpoint that closes each connection when its second request has come (field-proxy P13).
fn closes_at_the_second() -> Endpoint {
    Endpoint::new(|wire, _| {
        wire.head().unwrap();
        wire.send(OK);
        wire.head();
    })
}

#[test]
fn a_get_on_a_connection_that_was_closed_is_sent_again() {
    let endpoint = closes_at_the_second();
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        for _ in 0..5 {
            assert_eq!(client.get(&url).send().await.unwrap().text().await.unwrap(), "ok");
        }
        assert_eq!(endpoint.seen.accepted(), 5);
    });
}

#[test]
fn a_post_is_never_sent_twice() {
    let endpoint = closes_at_the_second();
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        client.post(&url).body("1").send().await.unwrap();
        let error = client.post(&url).body("2").send().await.unwrap_err();
        assert_eq!((error.kind(), error.side()), (ClientErrorKind::Closed, ErrorSide::Peer));
        assert!(!error.may_retry(), "it may have been processed");
        assert_eq!(endpoint.seen.requests(), 2);
    });
}

/// One that was closed before the request is noticed, so that even a POST takes another.
#[test]
fn a_post_avoids_a_connection_that_is_closed() {
    let endpoint = Endpoint::new(|wire, _| {
        let head = wire.head().unwrap();
        wire.body(&head);
        wire.send(OK);
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, core| {
        for count in 1..=5 {
            client.post(&url).body("1").send().await.unwrap();
            eventually(&core, "it is closed", || endpoint.seen.open() == 0).await;
            // The FIN is read in a turn of the ring.
            core.ring.sleep(Duration::from_millis(1)).await;
            assert_eq!(endpoint.seen.requests(), count);
        }
    });
}

#[test]
fn connections_are_bounded_and_requests_wait_for_them() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://{}/", endpoint.addr);
    let pool = PoolOptions { connections_max: Some(2), ..PoolOptions::default() };
    let options = ClientOptions { pool, ..ClientOptions::default() };
    crate::with(options, async move |client, _| {
        let requests = (0..20).map(|_| client.get(&url).send());
        for response in join_all(requests).await {
            assert_eq!(response.unwrap().text().await.unwrap(), "ok");
        }
        assert!(endpoint.seen.accepted() <= 2);
    });
}

#[test]
fn hosts_are_forgotten_beyond_their_number() {
    let endpoints: Vec<_> = (0..4).map(|_| Endpoint::answering(OK)).collect();
    let options = ClientOptions { hosts_max: 2, ..ClientOptions::default() };
    crate::with(options, async move |client, core| {
        for endpoint in &endpoints {
            client.get(format!("http://{}/", endpoint.addr)).send().await.unwrap();
        }
        eventually(&core, "the first two are forgotten", || {
            endpoints[..2].iter().all(|endpoint| endpoint.seen.open() == 0)
        })
        .await;
        assert!(endpoints[2..].iter().all(|endpoint| endpoint.seen.open() == 1));
        // And are asked again where they are needed.
        client.get(format!("http://{}/", endpoints[0].addr)).send().await.unwrap();
    });
}

#[test]
fn a_request_that_is_dropped_closes_its_connection() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.until_closed();
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, core| {
        let request = client.get(&url).send();
        let seen = endpoint.seen.clone();
        let arrives = eventually(&core, "it arrives", || seen.requests() > 0);
        match select(Box::pin(request), Box::pin(arrives)).await {
            Either::Left(_) => panic!("nobody answers"),
            Either::Right((_, request)) => {
                assert_eq!(endpoint.seen.open(), 1);
                drop(request);
            }
        }
        eventually(&core, "it is closed", || endpoint.seen.open() == 0).await;
    });
}

#[test]
fn a_response_that_is_dropped_closes_its_connection() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegins");
        wire.until_closed();
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, core| {
        let mut response = client.get(&url).send().await.unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "begins");
        assert_eq!(endpoint.seen.open(), 1);
        drop(response);
        eventually(&core, "it is closed", || endpoint.seen.open() == 0).await;
    });
}

#[test]
fn waiting_for_a_connection_has_an_end() {
    let silent = Endpoint::new(|wire, _| wire.until_closed());
    let url = format!("http://{}/", silent.addr);
    let queue_time = Duration::from_millis(50);
    for (queue_max, kind) in [(1, ClientErrorKind::Timeout), (0, ClientErrorKind::Busy)] {
        let pool = PoolOptions { connections_max: Some(1), queue_max, queue_time, ..PoolOptions::default() };
        let (options, url) = (ClientOptions { pool, ..ClientOptions::default() }, url.clone());
        crate::with(options, async move |client, _| {
            let (first, second) = (client.get(&url).send(), client.post(&url).body("x").send());
            let error = match select(Box::pin(first), Box::pin(second)).await {
                Either::Right((result, _)) => result.unwrap_err(),
                Either::Left(_) => panic!("nobody answers"),
            };
            assert_eq!((error.kind(), error.side()), (kind, ErrorSide::Ours), "{error}");
            assert!(error.may_retry());
        });
    }
}
