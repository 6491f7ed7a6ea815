//! What handlers may return: fields beside a value, streams, and server-sent events.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use quoit::filter::Fields;
use quoit::http::cookie::SetCookie;
use quoit::http::status::Status;
use quoit::service::{
    CacheControl, Context, ETag, Event, EventWriter, Filter, Interim, Json, Location, Request, RequestBody,
    Response, Router, Vary,
};

use crate::common::{Client, PATIENCE, lenient, serve_with};
use crate::{get, host, post};

fn routes() -> Router {
    Router::new()
        .get("/fields", async || ([("Content-Type", "text/css"), ("X-A", "1")], "a { }"))
        .get("/made", async || (Status::CREATED, [("Location", "/things/7".to_owned())], Json(7)))
        .get("/wrong", async || ([("X-A", "1\r\nX-B: 2")], "never"))
        .get("/cookie", async || (SetCookie::new("a", "b"), "set"))
        .get("/wrong-cookie", async || (SetCookie::new("a", "b\r\nX-B: 2"), "never"))
        .get("/chain", async || {
            Response::text("a { }")
                .with_field("Content-Type", "text/css")
                .with_field("X-A", "1\r\nX-B: 2")
                .with_field("X-C", "\0")
                .with_status(Status::CREATED)
        })
        .get("/chain-cookie", async || Response::text("x").with_cookie(&SetCookie::new("a", "b;c")))
        .get("/chain-hint", async || {
            Response::text("x").inform(Interim::early_hints().with_field("Link", "</a\n>"))
        })
        .get("/hint", async |context: Context| {
            format!("{:?}", context.inform(&Interim::early_hints().with_field("Link", "</a\n>")))
        })
        .get("/checked", async || match Response::text("x").with_field("X-A", "\n").check() {
            Ok(response) => response,
            Err(error) => Response::error(Status::BAD_REQUEST, &error.to_string()),
        })
        .get("/typed", async || {
            let fresh = CacheControl::public(Duration::from_secs(60)).immutable();
            (Status::CREATED, Location("/x"), fresh, ETag::strong("v1"), Vary("Cookie"), "typed")
        })
        .get("/typed-wrong", async || (Location("/x\r\nX-B: y"), "never"))
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

/// An error in the middle of a chain becomes a 500 with what the site adds to every response, and nothing of
/// the field that cannot be sent; over a bare service as well as through a router.
#[test]
fn what_cannot_be_sent_is_a_500() {
    let filter = || Fields::new().field("X-Op", "yes").expect("valid");
    let server = host(move || routes().filter(filter()));
    let mut client = Client::connect(server.addr);
    for path in ["/chain", "/chain-cookie", "/chain-hint", "/wrong", "/wrong-cookie", "/typed-wrong"] {
        let reply = get(&mut client, path);
        assert_eq!((reply.status, reply.field("x-op")), (500, Some("yes")), "{path}");
        assert_eq!(reply.field("content-type"), Some("application/problem+json"), "{path}");
        for name in ["x-a", "x-b", "x-c", "set-cookie", "location", "link"] {
            assert_eq!(reply.field(name), None, "{path} {name}");
        }
        assert!(!reply.text().contains("X-A"), "{path}: the log has the cause");
    }
    let checked = get(&mut client, "/checked");
    assert!(checked.status == 400 && checked.text().contains("X-A"), "{}", checked.text());
    let hint = get(&mut client, "/hint");
    assert!(hint.status == 200 && hint.text().starts_with("Err(Field("), "{}", hint.text());

    let bare = serve_with(1, lenient(), |_| {
        async |_: Request| Response::text("x").with_field("X-A", "\n").with_status(Status::ACCEPTED)
    });
    let reply = get(&mut Client::connect(bare.addr), "/");
    assert_eq!((reply.status, reply.field("x-a")), (500, None));

    // A filter's own fault: the response has what the filters add to refusals.
    struct Breaks;
    impl Filter for Breaks {
        fn after(&self, _context: &Context, response: &mut Response) {
            *response = std::mem::replace(response, Response::text("")).with_field("X-A", "\n");
        }
    }
    let server = host(move || Router::new().filter(filter()).filter(Breaks).get("/", async || "x"));
    let reply = get(&mut Client::connect(server.addr), "/");
    assert_eq!((reply.status, reply.field("x-op"), reply.field("x-a")), (500, Some("yes"), None));
}

#[test]
fn typed_fields_beside_a_value() {
    let server = host(routes);
    let reply = get(&mut Client::connect(server.addr), "/typed");
    reply.is(201, "typed");
    for (name, value) in [
        ("location", "/x"),
        ("cache-control", "public, max-age=60, immutable"),
        ("etag", "\"v1\""),
        ("vary", "Cookie"),
        ("content-type", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(reply.field(name), Some(value));
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
