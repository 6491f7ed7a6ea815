//! Interim responses: before the response, in order, never to HTTP/1.0, never as the response itself.

use crate::common::{Client, lenient};
use crate::peer::Peer;
use crate::site::site;
use crate::wire::*;

#[test]
fn hints_come_before_the_response() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    for _ in 0..2 {
        client.send("GET /hints HTTP/1.1\r\nHost: a\r\n\r\n");
        let hint = client.response();
        assert_eq!(hint.head, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload");
        // Before the handler has answered, and without further bytes.
        assert_eq!(client.response().head, "HTTP/1.1 110 ");
        client.response().is(200, "Ok(()) Ok(())").keeps();
    }
    client.send("GET /hints-with HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().head, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>");
    client.response().is(200, "page").keeps();

    let mut peer = Peer::connect(server.addr);
    let answer = peer.get("/hints");
    assert_eq!((&answer.interim[..], answer.text()), (&[103, 110][..], "Ok(()) Ok(())".to_owned()));
    let answer = peer.get("/hints-with");
    assert_eq!((&answer.interim[..], answer.status), (&[103][..], 200));
}

/// RFC 9110 §15.2: "a server MUST NOT send a 1xx response to an HTTP/1.0 client".
#[test]
fn http_1_0_gets_none() {
    let server = site(lenient());
    for path in ["/hints", "/hints-with"] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
        client.response().has_status(200);
    }
    let mut client = Client::connect(server.addr);
    client.ask("GET /hints HTTP/1.0\r\n\r\n").is(200, "Err(Http10) Err(Http10)");
}

#[test]
fn after_the_response_has_begun_it_is_too_late() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client.ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "begun Err(TooLate)");
    Peer::connect(server.addr).get("/late").is(200, "begun Err(TooLate)");
}

/// A hint does not replace 100 Continue, nor vice versa.
#[test]
fn a_hint_and_a_body_that_is_waited_for() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    client
        .send("POST /hint-and-read HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client.response().has_status(103);
    client.response().has_status(100);
    client.send("ab");
    client.response().is(200, "2 bytes").keeps();

    let mut peer = Peer::connect(server.addr);
    let stream = peer.fresh();
    let mut fields = pseudo("POST", "/hint-and-read");
    fields.push(("expect", "100-continue"));
    peer.send(headers(stream, END_HEADERS, &fields));
    peer.until("both", |peer| peer.streams.get(&stream).is_some_and(|answer| answer.interim.len() == 2));
    peer.send_data(stream, END_STREAM, b"ab");
    let answer = peer.answer(stream);
    assert_eq!((&answer.interim[..], answer.text()), (&[103, 100][..], "2 bytes".to_owned()));
}

/// A handler's final response is final; 101 without a tunnel would end HTTP with nothing in its place.
#[test]
fn an_interim_status_is_no_response() {
    let server = site(lenient());
    let mut client = Client::connect(server.addr);
    let mut peer = Peer::connect(server.addr);
    for path in ["/final-informational", "/switch-without-tunnel"] {
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).has_status(500).keeps();
        let upgrade = "Connection: upgrade\r\nUpgrade: echo\r\n";
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n")).has_status(500).keeps();
        assert_eq!(peer.get(path).status, 500);
    }
    client.ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").has_status(200);
}
