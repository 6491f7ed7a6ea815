//! What handlers may return: fields beside a value, streams, and server-sent events.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use quoit::http::cookie::SetCookie;
use quoit::http::status::Status;
use quoit::service::{Event, EventWriter, Json, RequestBody, Response, Router};

use crate::common::{Client, PATIENCE, lenient, serve_with};
use crate::{get, host, post};

fn routes() -> Router {
    Router::new()
        .get("/fields", async || ([("Content-Type", "text/css"), ("X-A", "1")], "a { }"))
        .get("/made", async || (Status::CREATED, [("Location", "/things/7".to_owned())], Json(7)))
        .get("/wrong", async || ([("X-A", "1\r\nX-B: 2")], "never"))
        .get("/cookie", async || (SetCookie::new("a", "b"), "set"))
        .get("/wrong-cookie", async || (SetCookie::new("a", "b\r\nX-B: 2"), "never"))
        .get("/pieces", async || {
            Response::from_stream(stream::iter(["one ", "two"]).map(Ok::<_, Infallible>))
        })
        .get("/broken", async || {
            let pieces = [Ok(Bytes::from_static(b"one")), Err(io::Error::other("the disk is gone"))];
            Response::from_stream(stream::iter(pieces))
        })
        .post("/upper", async |body: RequestBody| {
            Response::from_stream(body.map_ok(|piece| piece.to_ascii_uppercase()))
        })
}

#[test]
fn fields_and_cookies_beside_a_value() {
    let server = host(routes);
    let mut client = Client::connect(server.addr);
    let reply = get(&mut client, "/fields");
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("text/css")));
    assert_eq!((reply.field("x-a"), &reply.body[..]), (Some("1"), &b"a { }"[..]));
    let reply = get(&mut client, "/made");
    assert_eq!((reply.status, reply.field("location"), &reply.body[..]), (201, Some("/things/7"), &b"7"[..]));
    let cookie = get(&mut client, "/cookie");
    assert!(cookie.field("set-cookie").is_some_and(|cookie| cookie.starts_with("a=b; ")));
    for path in ["/wrong", "/wrong-cookie"] {
        let reply = get(&mut client, path);
        assert_eq!((reply.status, reply.field("x-b")), (500, None), "{path}");
    }
}

#[test]
fn streams_of_other_crates_both_ways() {
    let server = host(routes);
    let mut client = Client::connect(server.addr);
    get(&mut client, "/pieces").is(200, "one two");
    post(&mut client, "/upper", "text/plain", "shout").is(200, "SHOUT");
    client.send("GET /broken HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response_to("GET").is_err(), "cut off, and the client can tell");
}

#[test]
fn events_come_as_they_are_sent() {
    let server = serve_with(1, lenient(), |core| {
        let ring = core.ring.clone();
        let events = async move || {
            Response::events(&ring, async |mut out: EventWriter| {
                for n in 1..=3 {
                    let event = Event::data(format!("{n}\nof 3")).name("count").id(n.to_string());
                    if out.send(event).await.is_err() {
                        return;
                    }
                }
                std::future::pending().await
            })
        };
        Router::new().get("/events", events).build().expect("sound routes")
    });
    let mut stream = TcpStream::connect(server.addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let (mut said, mut piece) = (String::new(), [0; 1024]);
    while !said.contains("id: 3\ndata: 3\ndata: of 3\n\n") {
        let length = stream.read(&mut piece).expect("an event in time");
        assert!(length > 0, "it ended: {said}");
        said.push_str(std::str::from_utf8(&piece[..length]).unwrap());
    }
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.contains("Content-Type: text/event-stream\r\n"));
    assert_eq!(said.matches("event: count\n").count(), 3, "{said}");
}
