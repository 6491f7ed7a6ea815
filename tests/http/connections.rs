//! Keep-alive, close, pipelining, and the forms of a request.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use quoit::server::Limits;

use crate::common::{Client, lenient, serve};
use crate::lab::Lab;

const TEXT_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13";

#[test]
fn http_11_keeps_the_connection() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for _ in 0..3 {
        let response = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        response.is(200, "Hello, World!");
        assert_eq!(response.head, TEXT_HEAD);
    }
    client.is_usable();
}

#[test]
fn http_11_closes_when_asked() {
    let server = serve(lenient(), Lab::default());
    for option in ["close", "Close", "CLOSE", "x, close", "keep-alive, close", "close, keep-alive"] {
        let mut client = Client::connect(server.addr);
        let response = client.ask(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {option}\r\n\r\n"));
        response.is(200, "Hello, World!");
        assert_eq!(response.head, format!("{TEXT_HEAD}\r\nConnection: close"), "{option}");
        client.is_closed();
    }
}

/// A limit on a connection's age ends it between two requests, and cuts none.
#[test]
fn a_connection_that_is_old_ends() {
    let age = Duration::from_millis(400);
    let server = serve(Limits { connection_age_max: Some(age), ..lenient() }, Lab::default());
    let (mut busy, mut slow, mut idle) =
        (Client::connect(server.addr), Client::connect(server.addr), Client::connect(server.addr));
    let began = Instant::now();
    idle.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "Hello, World!").keeps();
    slow.send("GET /wait/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
    while busy.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "Hello, World!").head == TEXT_HEAD {}
    busy.is_closed();
    idle.is_closed();
    let took = began.elapsed();
    assert!(took > age / 2 && took < Duration::from_secs(10), "{took:?}");
    slow.response().is(200, "waited").says_close();
    slow.is_closed();
}

#[test]
fn what_follows_a_close_is_not_answered() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send(
        "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /n/2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
         GET /n/3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.response().is(200, "1").keeps();
    client.response().is(200, "2").says_close();
    client.is_closed();
    assert_eq!(lab.calls(), 2);
}

#[test]
fn http_10_closes_unless_asked_to_keep() {
    let server = serve(lenient(), Lab::default());
    for fields in ["", "Host: a\r\n", "Connection: close\r\n", "Connection: keep-alive, close\r\n"] {
        let mut client = Client::connect(server.addr);
        let response = client.ask(format!("GET / HTTP/1.0\r\n{fields}\r\n"));
        response.is(200, "Hello, World!");
        assert_eq!(response.head, format!("{TEXT_HEAD}\r\nConnection: close"), "{fields}");
        client.is_closed();
    }
    for option in ["keep-alive", "Keep-Alive", "x, keep-alive"] {
        let mut client = Client::connect(server.addr);
        for _ in 0..2 {
            let response = client.ask(format!("GET / HTTP/1.0\r\nConnection: {option}\r\n\r\n"));
            response.is(200, "Hello, World!");
            assert_eq!(response.head, format!("{TEXT_HEAD}\r\nConnection: keep-alive"), "{option}");
        }
        client.is_usable();
    }
}

#[test]
fn a_handler_may_close() {
    let server = serve(lenient(), Lab::default());
    for version in ["1.0\r\nConnection: keep-alive", "1.1"] {
        let mut client = Client::connect(server.addr);
        client.ask(format!("GET /closing HTTP/{version}\r\nHost: a\r\n\r\n")).is(200, "bye").says_close();
        client.is_closed();
    }
}

fn numbered(count: usize) -> String {
    (0..count).map(|n| format!("GET /n/{n} HTTP/1.1\r\nHost: a\r\nX-Number: {n}\r\n\r\n")).collect()
}

fn read_numbered(client: &mut Client, count: usize) {
    for n in 0..count {
        client.response().is(200, n.to_string()).keeps();
    }
    client.is_usable();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve(lenient(), Lab::default());
    for count in [2, 16, 1000] {
        let mut client = Client::connect(server.addr);
        client.send(numbered(count));
        read_numbered(&mut client, count);
        // Once more on the kept connection.
        client.send(numbered(count));
        read_numbered(&mut client, count);
    }
}

#[test]
fn pipelined_requests_may_be_split_anywhere() {
    let server = serve(lenient(), Lab::default());
    for lengths in [&[1][..], &[2], &[3, 7, 1], &[44, 1, 2], &[61, 17], &[1000, 1], &[16_384, 3]] {
        let count = if lengths.iter().sum::<usize>() < 10 { 16 } else { 300 };
        let mut client = Client::connect(server.addr);
        client.send_split(numbered(count), lengths);
        read_numbered(&mut client, count);
    }
}

#[test]
fn one_request_split_in_two_at_every_point() {
    let server = serve(lenient(), Lab::default());
    let request = "POST /all/99 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y\r\n\r\nhello";
    let mut client = Client::connect(server.addr);
    for at in 1..request.len() {
        client.send(&request[..at]);
        client.is_silent();
        client.send(&request[at..]);
        client.response_to("POST").is(200, "hello").keeps();
    }
    client.is_usable();
}

#[test]
fn responses_before_a_slow_one_do_not_wait_for_it() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send(
        "GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /gate HTTP/1.1\r\nHost: a\r\n\r\nGET /n/4 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    client.response().is(200, "1");
    client.response().is(200, "2");
    client.is_silent();
    assert_eq!(lab.calls(), 3, "one request at a time is with the service");
    // Only now may the slow one complete.
    lab.gate.store(true, Ordering::Relaxed);
    client.response().is(200, "open");
    client.response().is(200, "4");
    client.is_usable();
}

#[test]
fn a_half_closed_connection_gets_its_answers() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\n\r\n").half_close();
    client.response().is(200, "1");
    lab.gate.store(true, Ordering::Relaxed);
    client.response().is(200, "open");
    client.response().is(200, crate::common::pattern(300_000));
    client.is_closed();
}

#[test]
fn the_end_of_the_stream_within_a_head_is_no_request() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    for part in
        ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"]
    {
        let mut client = Client::connect(server.addr);
        client.send(part).half_close();
        client.is_closed();
    }
    assert_eq!(lab.calls(), 0);
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for path in ["/", "/bytes/100000", "/stream/=5,5", "/stream/5,6", "/nothing"] {
        let get = client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = client.ask(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.head, get.head);
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        client.is_usable();
    }
    // Pipelined: an unannounced body would be read as the next response.
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.response_to("HEAD").has_status(200);
    client.response().is(200, "2");
    client.is_usable();
}

#[test]
fn forms_of_a_target() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    let vectors = [
        ("GET /reflect?a=b&c HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET h:80 /reflect Some(\"a=b&c\")"),
        ("GET /reflect? HTTP/1.1\r\nHost: h\r\n\r\n", "GET h /reflect Some(\"\")"),
        ("GET http://other:81/reflect?q HTTP/1.1\r\nHost: h\r\n\r\n", "GET other:81 /reflect Some(\"q\")"),
        ("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS h * None"),
        ("BREW /reflect HTTP/1.1\r\nHost: h\r\n\r\n", "BREW h /reflect None"),
        ("DELETE /reflect/%41%2f HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "DELETE [::1]:8 /reflect/A%2F None"),
        ("\r\nGET /reflect HTTP/1.1\r\nHost: h\r\n\r\n", "GET h /reflect None"),
        ("GET /reflect HTTP/1.1\r\nhOsT: \t h \t\r\n\r\n", "GET h /reflect None"),
    ];
    for (request, expected) in vectors {
        client.send(request);
        client.response().is(200, expected).keeps();
    }
    client.ask("GET http://other HTTP/1.1\r\nHost: h\r\n\r\n").is(200, "Hello, World!");
    client.is_usable();
}
