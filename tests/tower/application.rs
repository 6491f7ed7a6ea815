//! The application of the example, and axum's features, work as on any server.

use crate::common::{Client, Framing, HELLO};
use crate::lab::Lab;

fn posted(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn notes_come_and_go() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let json = "Content-Type: application/json\r\n";
    let made = client.ask(posted("/notes", json, r#"{"text":"buy rope"}"#));
    made.is(201, r#"{"id":1,"text":"buy rope"}"#);
    assert_eq!(made.field("location"), Some("/notes/1"));
    assert_eq!(made.field("content-type"), Some("application/json"));
    client.ask(posted("/notes", json, r#"{"text":"éat"}"#)).has_status(201);
    client.ask(get("/notes?contains=rope")).is(200, r#"[{"id":1,"text":"buy rope"}]"#);
    client.ask(get("/notes/2")).is(200, r#"{"id":2,"text":"éat"}"#);
    client.ask("DELETE /notes/1 HTTP/1.1\r\nHost: a\r\n\r\n").has_status(204);
    client.ask(get("/notes/1")).has_status(404);
    client.ask(get("/notes/x")).has_status(400);
    client.ask(posted("/notes", "", "{}")).has_status(415);
    client.ask(posted("/notes", json, "{")).has_status(400);
    client.is_usable();
}

#[test]
fn a_middleware_sees_every_response_of_its_routes() {
    let server = Lab::default().serve();
    let hello = Client::connect(server.addr).ask(HELLO);
    assert!(hello.field("server-timing").is_some_and(|value| value.starts_with("app;dur=")));
    assert_eq!(hello.framing, Framing::Length);
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let head = client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.field("content-length"), head.framing.clone()), (Some("13"), Framing::Bodiless));
    let head = client.ask("HEAD /pieces/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.field("content-length"), head.field("transfer-encoding")), (None, Some("chunked")));
    client.is_usable();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let requests =
        [HELLO.to_owned(), posted("/echo", "", "one"), get("/panics-not"), posted("/echo", "", "two")];
    client.send(requests.concat().repeat(8));
    for _ in 0..8 {
        client.response().is(200, "Hello, World!");
        client.response().is(200, "one");
        client.response().has_status(404);
        client.response().is(200, "two");
    }
    client.is_usable();
}

#[test]
fn methods_and_statuses_pass() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let refused = client.ask("BREW / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET,HEAD")));
    for code in [200, 204, 205, 304, 418, 599] {
        client.ask(get(&format!("/status/{code}"))).has_status(code);
    }
    // Not a final status: a bug of the application, answered 500.
    client.ask(get("/status/101")).has_status(500);
    client.is_usable();
}
