//! axum's WebSockets, with hand-written frames, and services that use hyper's `OnUpgrade` themselves: order,
//! back-pressure, and upgrades that are refused.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::routing::{any, get};
use http_body_util::Full;
use hyper::rt::Write as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use quoit::tower::{Body, TowerService};
use tokio::runtime::{Builder, Handle};

use crate::common::{Client, Hosted, PATIENCE, eventually, lenient, pattern, serve_with};

/// RFC 6455 §1.3.
const SAMPLE: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// RFC 6455 §5.7: a text frame "Hello", masked.
const HELLO: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
const HELLO_BACK: &[u8] = b"\x81\x05Hello";
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// A tokio runtime on a thread of its own, until the process ends.
fn runtime() -> Handle {
    let runtime = Builder::new_current_thread().build().unwrap();
    let handle = runtime.handle().clone();
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

fn router() -> Router {
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.max_message_size(64 << 20).on_upgrade(async |mut socket: WebSocket| {
            // Pings and the close handshake are answered by reading on.
            while let Some(Ok(message)) = socket.recv().await {
                let is_data = matches!(message, Message::Text(_) | Message::Binary(_));
                if is_data && socket.send(message).await.is_err() {
                    return;
                }
            }
        })
    };
    Router::new().route("/echo", any(echo)).route("/", get(async || "Hello, World!"))
}

/// The application within a runtime, with prompt wake-ups from its thread.
fn serve_echo() -> Hosted {
    let (router, tokio) = (router(), runtime());
    serve_with(1, lenient(), move |_core| {
        let tokio = tokio.clone();
        let within = move |poll: &mut dyn FnMut()| {
            let _entered = tokio.enter();
            poll();
        };
        TowerService::new(router.clone()).within(within)
    })
}

/// A WebSocket client that knows only frames.
struct Socket {
    stream: TcpStream,
}

impl Socket {
    #[track_caller]
    fn connect(addr: SocketAddr, request: impl AsRef<[u8]>) -> (Socket, String) {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut socket = Socket { stream };
        socket.stream.write_all(request.as_ref()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(socket.take(1));
        }
        (socket, String::from_utf8(head).unwrap())
    }

    #[track_caller]
    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("the server sends on");
        bytes
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.stream.write_all(&masked(opcode, payload)).unwrap();
    }

    /// The next frame, which is a whole message.
    #[track_caller]
    fn frame(&mut self) -> (u8, Vec<u8>) {
        let head = self.take(2);
        assert_eq!((head[0] & 0xf0, head[1] & 0x80), (0x80, 0), "a whole message that is not masked");
        let length = match head[1] {
            126 => u16::from_be_bytes(self.take(2).try_into().unwrap()).into(),
            127 => u64::from_be_bytes(self.take(8).try_into().unwrap()) as usize,
            length => length.into(),
        };
        (head[0] & 0x0f, self.take(length))
    }

    #[track_caller]
    fn is_closed(&mut self) {
        assert_eq!(self.stream.read(&mut [0; 1]).expect("closed in order"), 0);
    }
}

/// One frame of a client's (RFC 6455 §5.2).
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[test]
fn the_sample_of_the_standard_is_echoed() {
    let server = serve_echo();
    // The first frame comes with the handshake, or apart from it, in one piece or in many.
    for split in [0, 1, 5, HELLO.len()] {
        let (now, later) = HELLO.split_at(split);
        let (mut socket, head) = Socket::connect(server.addr, [SAMPLE.as_bytes(), now].concat());
        let lines: Vec<_> = head.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 101 Switching Protocols");
        for line in
            ["Connection: upgrade", "Upgrade: websocket", &format!("sec-websocket-accept: {ACCEPTED}")]
        {
            assert_eq!(lines.iter().filter(|known| **known == line).count(), 1, "{line} in {head}");
        }
        assert!(!head.to_ascii_lowercase().contains("content-length"), "{head}");
        socket.stream.write_all(later).unwrap();
        assert_eq!(socket.take(HELLO_BACK.len()), HELLO_BACK);
        socket.send(CLOSE, &[0x03, 0xe8]);
        assert_eq!(socket.frame(), (CLOSE, vec![0x03, 0xe8]));
        socket.is_closed();
    }
    assert_eq!(server.stop().panics, 0);
}

#[test]
fn messages_of_every_size_pass() {
    let server = serve_echo();
    let (mut socket, _) = Socket::connect(server.addr, SAMPLE);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 8 << 20] {
        let message = pattern(length);
        let mut sender = socket.stream.try_clone().unwrap();
        let frame = masked(BINARY, &message);
        let sends = thread::spawn(move || sender.write_all(&frame).unwrap());
        let (opcode, echo) = socket.frame();
        sends.join().unwrap();
        assert!((opcode, &echo) == (BINARY, &message), "{length} bytes, of which {} came back", echo.len());
    }
}

#[test]
fn a_hundred_sockets_are_served_at_once() {
    let server = serve_echo();
    let mut sockets: Vec<_> = (0..100).map(|_| Socket::connect(server.addr, SAMPLE).0).collect();
    for round in 0..10 {
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket.send(TEXT, format!("{round} of {number}").as_bytes());
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            assert_eq!(socket.frame(), (TEXT, format!("{round} of {number}").into_bytes()));
        }
    }
    // Half of them disconnect without a closing handshake, without an effect on the others.
    for (number, mut socket) in sockets.into_iter().enumerate().filter(|(number, _)| number % 2 == 0) {
        socket.send(CLOSE, &[]);
        assert_eq!(socket.frame(), (CLOSE, vec![]), "socket {number}");
        socket.is_closed();
    }
    assert_eq!(server.stop().panics, 0);
}

#[test]
fn an_offer_that_is_not_taken_changes_nothing() {
    let server = serve_echo();
    let mut client = Client::connect(server.addr);
    for _ in 0..3 {
        client
            .ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
            .is(200, "Hello, World!");
    }
    client.ask("GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").has_status(400);
    client.ask(SAMPLE.replace("Version: 13", "Version: 7")).has_status(400);
    client.is_usable();
}

#[test]
fn without_a_runtime_axum_cannot_upgrade() {
    let router = router();
    let server = serve_with(1, lenient(), move |_core| TowerService::new(router.clone()));
    Client::connect(server.addr).ask(SAMPLE).has_status(500).says_close();
    Client::connect(server.addr).is_usable();
    assert_eq!(server.stop().panics, 1);
}

/// What a service that takes upgrades itself shares with its test.
#[derive(Clone, Default)]
struct Seen {
    written: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    over: Arc<AtomicUsize>,
}

/// Takes every upgrade. `/flood` writes for as long as it can; `/refused` is answered 403; anything else is
/// greeted.
#[derive(Clone)]
struct Taker(Seen);

impl tower_service::Service<http::Request<Body>> for Taker {
    type Response = http::Response<Full<bytes::Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let seen = self.0.clone();
        let is_connect = request.method() == http::Method::CONNECT;
        let path = request.uri().path().to_owned();
        if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
            let floods = path == "/flood";
            // As a task of a runtime would, but on a thread.
            thread::spawn(move || block_on(take(upgrade, floods, seen)));
        }
        let mut response = http::Response::new(Full::default());
        *response.status_mut() = match (path.as_str(), is_connect) {
            ("/refused", _) => http::StatusCode::FORBIDDEN,
            (_, true) => http::StatusCode::OK,
            _ => http::StatusCode::SWITCHING_PROTOCOLS,
        };
        response.headers_mut().insert("upgrade", http::HeaderValue::from_static("own"));
        std::future::ready(Ok(response))
    }
}

async fn take(upgrade: OnUpgrade, floods: bool, seen: Seen) {
    let Ok(mut upgraded) = upgrade.await else {
        seen.failed.fetch_add(1, Ordering::SeqCst);
        return;
    };
    let piece = if floods { vec![b'x'; 4096] } else { b"greetings".to_vec() };
    while let Ok(length) = std::future::poll_fn(|cx| write(&mut upgraded, cx, &piece)).await {
        seen.written.fetch_add(length, Ordering::SeqCst);
        if !floods {
            break;
        }
    }
    drop(upgraded);
    seen.over.fetch_add(1, Ordering::SeqCst);
}

fn write(to: &mut Upgraded, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
    let length = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
    ready!(Pin::new(to).poll_flush(cx))?;
    Poll::Ready(Ok(length))
}

/// Runs a future on this thread.
fn block_on(future: impl Future<Output = ()>) {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park();
    }
}

fn serve_taker() -> (Hosted, Seen) {
    let seen = Seen::default();
    let service = Taker(seen.clone());
    (serve_with(1, lenient(), move |_core| TowerService::new(service.clone())), seen)
}

fn asks(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\n")
}

#[test]
fn what_a_service_writes_comes_behind_the_head_and_then_the_end() {
    let (server, seen) = serve_taker();
    let connect = "CONNECT far:1 HTTP/1.1\r\nHost: far:1\r\n\r\n".to_owned();
    for (request, status) in [(asks("/"), "HTTP/1.1 101 "), (connect, "HTTP/1.1 200 ")] {
        let (mut socket, head) = Socket::connect(server.addr, request);
        assert!(head.starts_with(status), "{head}");
        assert_eq!(socket.take(9), b"greetings");
        socket.is_closed();
    }
    eventually("both are over", || seen.over.load(Ordering::SeqCst) == 2);
}

#[test]
fn an_upgrade_that_is_not_granted_fails() {
    let (server, seen) = serve_taker();
    let mut client = Client::connect(server.addr);
    client.ask(asks("/refused")).has_status(403).keeps();
    eventually("the service learns it", || seen.failed.load(Ordering::SeqCst) == 1);
    // This request has no `Upgrade`.
    client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").has_status(500);
    assert_eq!(seen.over.load(Ordering::SeqCst), 0);
}

#[test]
fn a_client_that_does_not_read_holds_the_writer_back() {
    let (server, seen) = serve_taker();
    let mut client = Client::connect_narrow(server.addr, 16 * 1024);
    client.send(asks("/flood"));
    // What fits the buffers of both sockets, and those between; then it stops.
    let mut before = usize::MAX;
    eventually("the writer waits", || {
        let now = seen.written.load(Ordering::SeqCst);
        now > 0 && std::mem::replace(&mut before, now) == now
    });
    let written = seen.written.load(Ordering::SeqCst);
    assert!(written < 16 << 20, "{written} bytes were taken");
    // It continues when the client reads, and ends when the client disconnects.
    while client.input().len() < written + 1 {
        assert!(client.fill().expect("more comes"), "the server has not closed");
    }
    client.reset();
    eventually("the writer learns that the client is gone", || seen.over.load(Ordering::SeqCst) == 1);
}
