//! The `h2` crate as a server: interim responses, trailers, refusals, GOAWAY and extended CONNECT. It runs on
//! a thread of its own and an executor of a dozen lines, over a socket that never blocks.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response};
use quoit::http::h2::client::SendRequest;
use quoit::http::h2::{EndStream, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::{PATIENCE, pattern};
use crate::driver::{Driver, GET};

/// A socket that never blocks. Nothing wakes its task: the executor polls again.
struct Transport(TcpStream);

fn polled<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 16 * 1024];
        let room = buf.remaining().min(bytes.len());
        polled(self.get_mut().0.read(&mut bytes[..room])).map_ok(|length| buf.put_slice(&bytes[..length]))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        polled(self.get_mut().0.write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.get_mut().0.shutdown(std::net::Shutdown::Write))
    }
}

/// Serves one connection on a thread of its own; its address.
fn serve(builder: Builder) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a client");
        socket.set_nonblocking(true).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut task = pin!(run(builder, Transport(socket)));
        let began = Instant::now();
        let mut cx = Context::from_waker(Waker::noop());
        while task.as_mut().poll(&mut cx).is_pending() && began.elapsed() < PATIENCE * 2 {
            thread::sleep(Duration::from_micros(100));
        }
    });
    addr
}

/// Accepts requests and polls what answers them, until the client has closed the connection.
async fn run(builder: Builder, transport: Transport) {
    let Ok(mut connection) = builder.handshake::<_, Bytes>(transport).await else { return };
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    poll_fn(|cx| {
        loop {
            tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, response)))) => {
                    if request.uri().path() == "/leave" {
                        connection.graceful_shutdown();
                    }
                    if request.uri().path() == "/abrupt" {
                        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                        continue;
                    }
                    tasks.push(Box::pin(answer(request, response)));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

fn status(code: u16) -> Response<()> {
    Response::builder().status(code).header("x-made-by", "h2").body(()).unwrap()
}

async fn answer(request: Request<RecvStream>, mut response: SendResponse<Bytes>) {
    let path = request.uri().path().to_owned();
    let is_connect = request.method() == Method::CONNECT;
    let protocol = request.extensions().get::<h2::ext::Protocol>().map(|found| found.as_str().to_owned());
    match path.as_str() {
        "/refuse" => return response.send_reset(Reason::REFUSED_STREAM),
        "/http1" => return response.send_reset(Reason::HTTP_1_1_REQUIRED),
        "/cancel" => return response.send_reset(Reason::CANCEL),
        "/late" => {
            let mut stream = response.send_response(status(200), false).unwrap();
            return stream.send_reset(Reason::REFUSED_STREAM);
        }
        "/hints" => {
            let hints = Response::builder().status(103).header("link", "</a.css>; rel=preload");
            response.send_informational(hints.body(()).unwrap()).unwrap();
        }
        _ => {}
    }
    let mut head = status(200);
    if let Some(protocol) = protocol {
        head.headers_mut().insert("x-protocol", protocol.parse().unwrap());
    }
    let mut stream = response.send_response(head, false).unwrap();
    let mut incoming = request.into_body();
    while let Some(Ok(piece)) = incoming.data().await {
        incoming.flow_control().release_capacity(piece.len()).unwrap();
        let mut rest = piece;
        while !rest.is_empty() {
            stream.reserve_capacity(rest.len());
            let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return };
            let piece = rest.split_to(room.min(rest.len()));
            stream.send_data(piece, false).unwrap();
        }
    }
    if is_connect {
        return stream.send_data(Bytes::new(), true).unwrap();
    }
    let mut trailers = HeaderMap::new();
    if let Ok(Some(received)) = incoming.trailers().await {
        trailers.insert("x-received", received.len().to_string().parse().unwrap());
    }
    trailers.insert("sum", "6".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

#[test]
fn interim_responses_bodies_and_trailers() {
    let mut driver = Driver::connect(serve(Builder::new()));
    let post = SendRequest { method: "POST", path: "/hints", ..GET };
    let id = driver.upload(&post, b"hello", "A: b\r\nC: d\r\n");
    let answer = driver.answer(id);
    assert_eq!(answer.interim, [(103, "</a.css>; rel=preload".to_owned())]);
    assert_eq!(
        (answer.status, answer.field("x-made-by"), &answer.body[..]),
        (200, Some("h2"), &b"hello"[..])
    );
    assert_eq!(answer.trailers, "x-received: 2\r\nsum: 6\r\n");
    assert_eq!(driver.machine.open_streams(), 0);
}

#[test]
fn bodies_both_ways_under_every_window() {
    for (stream, connection) in [(65_535, 65_535), (1000, 65_535), (1 << 20, 100_000)] {
        let mut builder = Builder::new();
        builder.initial_window_size(stream).initial_connection_window_size(connection);
        let mut driver = Driver::connect(serve(builder));
        let post = SendRequest { method: "POST", path: "/echo", ..GET };
        let ids: Vec<u32> = (0..4).map(|_| driver.upload(&post, &pattern(300_000), "")).collect();
        ids.into_iter().for_each(|id| assert!(driver.answer(id).body == pattern(300_000)));
        assert_eq!((driver.machine.open_streams(), driver.machine.unread_bytes()), (0, 0));
    }
}

#[test]
fn resets_say_what_may_be_repeated() {
    let mut driver = Driver::connect(serve(Builder::new()));
    let vectors = [
        ("/refuse", (ErrorCode::REFUSED_STREAM, true)),
        ("/http1", (ErrorCode::HTTP_1_1_REQUIRED, true)),
        ("/cancel", (ErrorCode::CANCEL, false)),
        ("/late", (ErrorCode::REFUSED_STREAM, false)),
    ];
    for (path, expected) in vectors {
        let id = driver.request(&SendRequest { path, ..GET });
        driver.until("a reset", |driver| driver.exchanges[&id].is_over);
        let exchange = &driver.exchanges[&id];
        // A head that is followed by RST_STREAM at once may not leave at all.
        if exchange.status == 0 && path == "/late" {
            assert_eq!(exchange.reset.map(|(code, _)| code), Some(ErrorCode::REFUSED_STREAM));
        } else {
            assert_eq!(exchange.reset, Some(expected), "{path}");
        }
    }
    let id = driver.request(&GET);
    assert_eq!(driver.answer(id).status, 200);
}

#[test]
fn a_graceful_end_finishes_what_was_begun() {
    let mut driver = Driver::connect(serve(Builder::new()));
    let post = SendRequest { method: "POST", path: "/echo", ..GET };
    let open = driver.begin(&post, EndStream::No);
    driver.push(open, b"abc");
    let leave = driver.request(&SendRequest { path: "/leave", ..GET });
    driver.until("GOAWAY", |driver| !driver.goaways.is_empty());
    assert!(!driver.machine.can_send_request());
    assert_eq!(driver.answer(leave).status, 200);
    driver.finish(open, "");
    assert_eq!(driver.answer(open).body, b"abc");
    let mut lasts: Vec<u32> = driver.goaways.iter().map(|&(last, _)| last).collect();
    assert!(lasts.is_sorted_by(|a, b| a >= b) && lasts.pop() >= Some(leave), "{lasts:?}");
    assert!(driver.machine.is_over());
}

#[test]
fn an_abrupt_end_says_why() {
    let mut driver = Driver::connect(serve(Builder::new()));
    driver.request(&SendRequest { path: "/abrupt", ..GET });
    driver.until("GOAWAY", |driver| !driver.goaways.is_empty());
    assert_eq!(driver.goaways[0].1, ErrorCode::ENHANCE_YOUR_CALM);
    assert!(!driver.machine.can_send_request());
}

#[test]
fn an_extended_connect_is_a_tunnel() {
    let connect = SendRequest { method: "CONNECT", protocol: Some("websocket"), path: "/chat", ..GET };
    let driver = Driver::connect(serve(Builder::new()));
    assert!(!driver.machine.accepts_connect_protocol());
    let mut builder = Builder::new();
    builder.enable_connect_protocol();
    let mut driver = Driver::connect(serve(builder));
    assert!(driver.machine.accepts_connect_protocol());
    let id = driver.begin(&connect, EndStream::No);
    driver.push(id, b"ping");
    driver.until("an echo", |driver| driver.exchanges[&id].body == b"ping");
    assert_eq!(driver.exchanges[&id].field("x-protocol"), Some("websocket"));
    driver.push(id, &pattern(200_000));
    driver.until("an echo", |driver| driver.exchanges[&id].body.len() == 200_004);
    assert!(!driver.exchanges[&id].is_over);
    driver.finish(id, "");
    assert!(driver.answer(id).body[4..] == pattern(200_000));
    assert_eq!(driver.machine.open_streams(), 0);
}

#[test]
fn the_limit_of_streams_is_kept() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(3);
    let mut driver = Driver::connect(serve(builder));
    for _ in 0..20 {
        let ids: Vec<u32> =
            std::iter::from_fn(|| driver.machine.can_send_request().then(|| driver.request(&GET))).collect();
        assert_eq!(ids.len(), 3);
        ids.into_iter().for_each(|id| assert_eq!(driver.answer(id).status, 200));
    }
}
