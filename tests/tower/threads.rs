//! Applications with threads of their own: bodies read on them, wake-ups from them, and the reactor, which
//! has to be entered.

use quoit::tower::TowerService;

use crate::common::{Client, Hosted, lenient, serve_with};
use crate::lab::{Lab, read_blocking, with_reactor};

const TIMER: &str = "GET /timer HTTP/1.1\r\nHost: a\r\n\r\n";

/// The laboratory inside a reactor.
fn with_surroundings() -> Hosted {
    let router = Lab::default().router();
    serve_with(1, lenient(), move |_core| TowerService::new(router.clone()).within(with_reactor))
}

#[test]
fn a_body_is_read_on_another_thread() {
    for server in [Lab::default().serve(), with_surroundings()] {
        let mut client = Client::connect(server.addr);
        for length in [1, 1_000_000] {
            client.send(format!("POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
            client.send(vec![b'x'; length]);
            client.response().is(200, length.to_string());
        }
        client.is_usable();
    }
}

#[test]
fn a_body_that_was_kept_ends_with_its_exchange() {
    let lab = Lab::default();
    let server = lab.serve();
    let mut client = Client::connect(server.addr);
    client.send("POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345");
    client.response().is(200, "kept");
    client.is_usable();
    let body = lab.kept.lock().unwrap().take().expect("the handler kept it");
    let error = read_blocking(body).expect_err("the exchange is over");
    assert!(error.contains("after its response"), "{error}");
}

#[test]
fn without_a_reactor_the_first_use_fails_and_nothing_else() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.ask(TIMER).has_status(500).says_close();
    Client::connect(server.addr).is_usable();
    assert_eq!(server.stop().panics, 1);
}

#[test]
fn inside_a_reactor_timers_ring() {
    let server = with_surroundings();
    let mut client = Client::connect(server.addr);
    for _ in 0..20 {
        client.ask(TIMER).is(200, "rung");
    }
    client.is_usable();
    assert_eq!(server.stop().panics, 0);
}

#[test]
fn wake_ups_from_outside_reach_many_at_once() {
    let server = with_surroundings();
    let mut clients: Vec<_> = (0..50).map(|_| Client::connect(server.addr)).collect();
    for client in &mut clients {
        client.send(TIMER);
    }
    for client in &mut clients {
        client.response().is(200, "rung");
        client.is_usable();
    }
}
