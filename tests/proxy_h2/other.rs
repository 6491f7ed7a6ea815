//! The `h2` crate as the endpoint, from HTTP/1.1 and HTTP/2 clients: bodies and trailers both ways, early
//! answers, interim responses.

use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use quoit::handler::ProxyOptions;
use quoit::upstream::{UpstreamOptions, UpstreamProtocol};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use crate::common::{Client, Hosted, eventually, pattern};
use crate::lab::{get, proxy};
use crate::peer::Peer;
use crate::wire::*;

struct Server {
    addr: SocketAddr,
    _runtime: Runtime,
}

fn server() -> Server {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else { return };
                while let Some(Ok((request, response))) = connection.accept().await {
                    tokio::spawn(answer(request, response));
                }
            });
        }
    });
    Server { addr, _runtime: runtime }
}

/// Sends back what it gets as it comes, with trailers.
async fn answer(request: Request<RecvStream>, mut response: SendResponse<Bytes>) {
    let path = request.uri().path().to_owned();
    if path == "/hints" {
        let hints = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        response.send_informational(hints).unwrap();
    }
    if path == "/only" {
        let head = Response::builder().status(200).header("grpc-status", "5").body(()).unwrap();
        response.send_response(head, true).unwrap();
        return;
    }
    if path == "/early" {
        let head = Response::builder().status(413).body(()).unwrap();
        let mut stream = response.send_response(head, false).unwrap();
        // The rest of the request is reset when it is dropped.
        return stream.send_data("too much".into(), true).unwrap();
    }
    let head =
        Response::builder().status(200).header("x-method", request.method().as_str()).body(()).unwrap();
    let mut stream = response.send_response(head, false).unwrap();
    let mut incoming = request.into_body();
    while let Some(Ok(piece)) = incoming.data().await {
        incoming.flow_control().release_capacity(piece.len()).unwrap();
        let mut rest = piece;
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
            if stream.send_data(rest.split_to(room.min(rest.len())), false).is_err() {
                return;
            }
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "1".parse().unwrap());
    if let Ok(Some(sent)) = incoming.trailers().await {
        trailers.extend(sent);
    }
    let _ = stream.send_trailers(trailers);
}

fn before(server: &Server) -> Hosted {
    let mut upstream = UpstreamOptions::new("lab", [server.addr.to_string()]).unwrap();
    upstream.protocol = UpstreamProtocol::Http2;
    proxy(ProxyOptions::to(upstream))
}

#[test]
fn http1_clients() {
    let server = server();
    let proxy = before(&server);
    let mut client = Client::connect(proxy.addr);
    assert_eq!(client.ask(get("/")).is(200, "").field("x-method"), Some("GET"));
    for length in [1, 1000, 70_000, 2_000_000] {
        let body = pattern(length);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let mut sender = client.sender();
        let request = [head.as_bytes(), &body].concat();
        let sending = thread::spawn(move || std::io::Write::write_all(&mut sender, &request).unwrap());
        client.response().is(200, &body);
        sending.join().unwrap();
    }
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    client.ask(request).is(200, "abc");
    assert_eq!(client.ask(get("/only")).is(200, "").field("grpc-status"), Some("5"));
    client.send(get("/hints"));
    assert_eq!(client.response().has_status(103).field("link"), Some("</a>"));
    client.response().is(200, "");
    assert!(client.ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").head.starts_with("HTTP/1.1 200"));
}

#[test]
fn http2_clients() {
    let server = server();
    let proxy = before(&server);
    let mut peer = Peer::connect(proxy.addr);
    let small = peer.fresh();
    peer.send(headers(small, END_HEADERS, &pseudo("POST", "/")));
    peer.send_data(small, 0, "abc");
    peer.until("the echo", |peer| peer.streams.get(&small).is_some_and(|got| got.body == b"abc"));
    // Full duplex: the answer came while the request goes on.
    peer.send_data(small, 0, "def");
    peer.until("more of it", |peer| peer.streams[&small].body == b"abcdef");
    peer.send(headers(small, END_HEADERS | END_STREAM, &[("x-sum", "7")]));
    let answer = peer.answer(small).clone();
    let mut trailers = answer.trailers.clone().unwrap();
    trailers.sort();
    let expected = [("x-end", "1"), ("x-sum", "7")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(trailers, expected);
    let large = peer.fresh();
    let body = pattern(1_000_000);
    peer.send(headers(large, END_HEADERS, &pseudo("POST", "/")));
    peer.send_body(large, &body);
    peer.answer(large).is(200, &body);
    let only = peer.fresh();
    peer.send(headers(only, END_HEADERS | END_STREAM, &pseudo("POST", "/only")));
    let answer = peer.answer(only).clone();
    assert!(answer.trailers.is_none() && answer.fields.contains(&("grpc-status".into(), "5".into())));
}

/// The answer comes although the endpoint resets the rest of the request (RFC 9113 §8.1).
#[test]
fn early_answers_reach_the_client() {
    let server = server();
    let proxy = before(&server);
    let mut client = Client::connect(proxy.addr);
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    client.response().is(413, "too much");
    let mut again = Client::connect(proxy.addr);
    eventually("others go on", || again.ask(get("/")).status == 200);
}
