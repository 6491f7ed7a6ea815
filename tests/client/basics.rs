//! What requests look like on the wire, and what is made of responses.

use bytes::Bytes;
use quoit::client::{Client, ClientBody, ClientErrorKind, ErrorSide};
use quoit::http::message::Trailers;
use quoit::http::status::Status;
use quoit::service::{
    BodyFrame, Frame, IntoResponse, Json, Request, RequestBody, Response, Router, StreamBody,
};
use serde::{Deserialize, Serialize};

use crate::common::{lenient, pattern, serve, serve_with};
use crate::lab::{Endpoint, OK, field, fields};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Item {
    name: String,
    count: u32,
}

/// A request's head, and its body.
fn recorded(endpoint: &Endpoint) -> String {
    endpoint.seen.head(endpoint.seen.requests() - 1)
}

#[test]
fn a_request_is_written_as_it_is_put_together() {
    let endpoint = Endpoint::answering(OK);
    let url = format!("http://{}/a b?x=1#top", endpoint.addr).replace(' ', "%20");
    crate::default(async move |client, _| {
        let request = client.get(&url).query([("q", "a&b"), ("r", "ü")]).header("X-A", "1");
        let response = request.header("X-A", "2").bearer_auth("t").send().await.unwrap();
        assert_eq!((response.status(), response.header("CONTENT-LENGTH")), (Status::OK, Some("2")));
        assert_eq!(response.text().await.unwrap(), "ok");
        let head = recorded(&endpoint);
        assert!(head.starts_with("GET /a%20b?x=1&q=a%26b&r=%C3%BC HTTP/1.1\r\nHost: "), "{head}");
        assert_eq!(field(&head, "host").unwrap(), endpoint.addr.to_string());
        assert_eq!(fields(&head, "x-a"), ["1", "2"]);
        assert_eq!(field(&head, "authorization"), Some("Bearer t"));
        assert_eq!((field(&head, "content-length"), field(&head, "transfer-encoding")), (None, None));
    });
}

#[test]
fn content_is_sent_with_its_length_or_in_chunks() {
    let endpoint = Endpoint::new(|wire, _| {
        while let Some(head) = wire.head() {
            let (body, trailers) = wire.whole(&head).unwrap();
            let text = format!("{} {}", String::from_utf8(body).unwrap(), trailers.join(","));
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    struct Frames(Vec<Frame>);
    impl StreamBody for Frames {
        fn poll_frame(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Option<BodyFrame>> {
            std::task::Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
        }
    }
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let answer = async |request: quoit::client::RequestBuilder| {
            request.send().await.unwrap().text().await.unwrap()
        };
        assert_eq!(answer(client.post(&url).body("text")).await, "text ");
        assert_eq!(field(&recorded(&endpoint), "content-length"), Some("4"));
        assert_eq!(answer(client.post(&url)).await, " ");
        assert_eq!(field(&recorded(&endpoint), "content-length"), Some("0"));
        let item = Item { name: "a".into(), count: 1 };
        assert_eq!(answer(client.put(&url).json(&item)).await, "{\"name\":\"a\",\"count\":1} ");
        assert_eq!(field(&recorded(&endpoint), "content-type"), Some("application/json"));
        assert_eq!(answer(client.post(&url).form([("a", "b c"), ("d", "&")])).await, "a=b+c&d=%26 ");
        let typed = client.post(&url).header("Content-Type", "x/y").json(&1);
        assert_eq!(answer(typed).await, "1 ");
        assert_eq!(fields(&recorded(&endpoint), "content-type"), ["x/y"]);
        let pieces = futures_util::stream::iter(["a", "b"].map(|piece| Ok::<_, String>(Bytes::from(piece))));
        assert_eq!(answer(client.patch(&url).body(ClientBody::stream(pieces))).await, "ab ");
        assert_eq!(field(&recorded(&endpoint), "transfer-encoding"), Some("chunked"));
        let mut trailers = Trailers::new();
        trailers.push("X-T", "1").unwrap();
        let frames = Frames(vec![Frame::Data("c".into()), Frame::Trailers(trailers)]);
        assert_eq!(answer(client.post(&url).body(ClientBody::frames(frames))).await, "c X-T: 1");
        let whole = RequestBody::from_bytes("whole".into());
        assert_eq!(answer(client.post(&url).body(whole)).await, "whole ");
        assert_eq!(endpoint.seen.accepted(), 1);
    });
}

#[test]
fn this_server_answers_it() {
    async fn double(Json(item): Json<Item>) -> Json<Item> {
        Json(Item { count: item.count * 2, ..item })
    }
    let server = serve_with(1, lenient(), |_| Router::new().post("/double", double).build().unwrap());
    let url = format!("http://{}", server.addr);
    crate::default(async move |client, _| {
        let item = Item { name: "a".into(), count: 21 };
        let response = client.post(format!("{url}/double")).json(&item).send().await.unwrap();
        assert_eq!(response.json::<Item>().await.unwrap().count, 42);
        let missing = client.get(format!("{url}/nothing")).send().await.unwrap();
        assert_eq!(missing.status(), Status::NOT_FOUND);
        let error = missing.error_for_status().unwrap_err();
        assert_eq!((error.kind(), error.status()), (ClientErrorKind::Status, Some(Status::NOT_FOUND)));
        assert_eq!((error.side(), error.may_retry()), (ErrorSide::Peer, false));
        assert_eq!(error.to_string(), format!("GET {url}/nothing: the status is 404"));
        let head = client.head(format!("{url}/nothing")).send().await.unwrap();
        assert!(head.content_length().unwrap() > 0);
        assert_eq!(head.bytes().await.unwrap(), "");
    });
    assert_eq!(server.stop().accepted, 1);
}

#[test]
fn bodies_stream_in_both_directions_at_once() {
    // An echo: it answers while it reads, so that only a client that does both gets to the end.
    let server = serve(lenient(), async |request: Request| Response::stream(request.into_parts().1));
    let url = format!("http://{}/", server.addr);
    crate::default(async move |client, _| {
        let content = pattern(16 << 20);
        let pieces: Vec<_> =
            content.chunks(100_000).map(|piece| Ok::<_, String>(Bytes::copy_from_slice(piece))).collect();
        let body = ClientBody::stream(futures_util::stream::iter(pieces));
        let mut response = client.post(&url).body(body).send().await.unwrap();
        let mut received = Vec::new();
        while let Some(piece) = response.next().await {
            received.extend_from_slice(&piece.unwrap());
        }
        assert!(received == content);
    });
}

#[test]
fn trailers_follow_the_content() {
    let endpoint = Endpoint::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
    );
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let mut response = client.get(&url).accept_trailers().send().await.unwrap();
        assert_eq!(response.next().await.unwrap().unwrap(), "ok");
        assert!(response.next().await.is_none());
        assert_eq!(response.trailers().iter().collect::<Vec<_>>(), [("X-T", &b"1"[..])]);
        assert_eq!(field(&recorded(&endpoint), "te"), Some("trailers"));
    });
}

#[test]
fn interim_responses_and_responses_until_close_are_read() {
    let endpoint = Endpoint::new(|wire, _| {
        let head = wire.head().unwrap();
        assert_eq!(field(&head, "expect"), Some("100-continue"));
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(wire.body(&head), b"abc");
        wire.send("HTTP/1.0 200 OK\r\n\r\nall of it");
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, _| {
        let request = client.post(&url).body("abc").expect_continue();
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "all of it");
    });
}

#[test]
fn an_early_answer_ends_an_upload() {
    let endpoint = Endpoint::new(|wire, _| {
        wire.head().unwrap();
        wire.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n\r\ntoo large");
        wire.until_closed();
    });
    let url = format!("http://{}/", endpoint.addr);
    crate::default(async move |client, core| {
        // It never ends by itself.
        let pieces =
            futures_util::stream::repeat_with(|| Ok::<_, String>(Bytes::from(vec![b'a'; 64 * 1024])));
        let response = client.post(&url).body(ClientBody::stream(pieces)).send().await.unwrap();
        assert_eq!(response.status(), Status::CONTENT_TOO_LARGE);
        assert_eq!(response.text().await.unwrap(), "too large");
        crate::eventually(&core, "the connection is closed", || endpoint.seen.open() == 0).await;
    });
}

/// A handler that passes an upload on and the answer back, piece by piece.
#[test]
fn a_handler_passes_both_bodies_on() {
    let echo = serve(lenient(), async |request: Request| Response::stream(request.into_body()));
    let url = format!("http://{}/", echo.addr);
    let between = serve_with(1, lenient(), move |core| {
        let (client, url) = (Client::new(core), url.clone());
        async move |request: Request| match client.put(&url).body(request.into_body()).send().await {
            Ok(response) => Response::from_stream(response),
            Err(error) => error.into_response(),
        }
    });
    let url = format!("http://{}/", between.addr);
    crate::default(async move |client, _| {
        let content = Bytes::from(pattern(4 << 20));
        let response = client.post(&url).body(content.clone()).send().await.unwrap();
        assert!(response.bytes().await.unwrap() == content);
    });
}
