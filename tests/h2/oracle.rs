//! The `h2` crate as a client: an independent implementation of RFC 9113, tested against the server. It runs
//! on an executor of a dozen lines over a socket that never blocks.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::common::{PATIENCE, eventually, lenient, pattern, serve};
use crate::lab::Lab;

/// A socket that never blocks. No task is woken: the executor polls again.
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

/// Polls a future over and over until it is done.
#[track_caller]
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    let began = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(began.elapsed() < PATIENCE, "not in time");
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// One connection of the crate's.
struct Oracle {
    sender: SendRequest<Bytes>,
    connection: Connection<Transport>,
}

impl Oracle {
    #[track_caller]
    fn connect(addr: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(addr).expect("the server accepts");
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = run(builder.handshake(Transport(stream))).expect("a preface");
        Self { sender, connection }
    }

    /// Runs a future while the connection goes on.
    #[track_caller]
    fn run<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut over = false;
        run(poll_fn(|cx| {
            if !over && let Poll::Ready(end) = Pin::new(&mut self.connection).poll(cx) {
                assert!(end.is_ok(), "{end:?}");
                over = true;
            }
            future.as_mut().poll(cx)
        }))
    }

    #[track_caller]
    fn send(&mut self, method: Method, path: &str, ends: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut sender = self.sender.clone();
        self.run(poll_fn(|cx| sender.poll_ready(cx))).expect("room for a stream");
        let request = Request::builder().method(method).uri(format!("http://a{path}")).body(()).unwrap();
        sender.send_request(request, ends).expect("a request")
    }

    #[track_caller]
    fn get(&mut self, path: &str) -> Answer {
        let (response, _) = self.send(Method::GET, path, true);
        self.run(read(response)).expect("an answer")
    }
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    fields: HeaderMap,
    body: Vec<u8>,
}

async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.await?.into_parts();
    let body = read_body(&mut stream).await?;
    Ok(Answer { status: head.status, fields: head.headers, body })
}

async fn read_body(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Sends all of a body as the windows allow.
async fn write(mut stream: SendStream<Bytes>, body: Vec<u8>) -> Result<(), h2::Error> {
    let mut rest = Bytes::from(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await.expect("the stream is open")?;
        let piece = rest.split_to(room.min(rest.len()));
        stream.send_data(piece, rest.is_empty())?;
    }
    Ok(())
}

#[test]
fn requests_of_every_kind() {
    let server = serve(lenient(), Lab::default());
    let mut oracle = Oracle::connect(server.addr, &Builder::new());
    for n in 0..200 {
        let answer = oracle.get(&format!("/n/{n}"));
        assert_eq!((answer.status.as_u16(), answer.body), (200, n.to_string().into_bytes()));
        assert!(answer.fields.contains_key("date"));
    }
    assert_eq!(oracle.get("/none/such").status, 404);
    assert_eq!(oracle.get("/bodiless/204").body, b"");
    assert_eq!(oracle.get("/wait/20").body, b"waited");
    let (response, _) = oracle.send(Method::HEAD, "/bytes/1000", true);
    let answer = oracle.run(read(response)).unwrap();
    assert_eq!(answer.body, b"");
    assert_eq!(answer.fields["content-length"], "1000");
}

#[test]
fn bodies_both_ways_under_every_window() {
    let server = serve(lenient(), Lab::default());
    for (stream, connection, frame) in
        [(65_535, 65_535, 16_384), (1, 65_535, 16_384), (1000, 100_000, 16_384), (1 << 24, 1 << 25, 1 << 20)]
    {
        let mut builder = Builder::new();
        builder.initial_window_size(stream).initial_connection_window_size(connection).max_frame_size(frame);
        let mut oracle = Oracle::connect(server.addr, &builder);
        let length = if stream == 1 { 300 } else { 1_000_000 };
        assert!(oracle.get(&format!("/bytes/{length}")).body == pattern(length));
        for path in ["/echo", "/all/2000000"] {
            let (response, body) = oracle.send(Method::POST, path, false);
            let (sent, answer) = oracle.run(both(write(body, pattern(length)), read(response)));
            sent.unwrap();
            assert!(answer.unwrap().body == pattern(length), "{path}");
        }
    }
}

/// Two futures at once.
async fn both<A, B>(one: impl Future<Output = A>, other: impl Future<Output = B>) -> (A, B) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(cx)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = other.as_mut().poll(cx)
        {
            second = Some(output);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.expect("done"), second.expect("done"))
}

#[test]
fn many_at_once() {
    let server = serve(lenient(), Lab::default());
    let mut oracle = Oracle::connect(server.addr, &Builder::new());
    // It learns of the limit of 100 with the first answer.
    oracle.get("/n/1");
    let responses: Vec<ResponseFuture> =
        (0..100).map(|n| oracle.send(Method::GET, &format!("/bytes/{}", n * 1000), true).0).collect();
    let mut reading: Vec<_> = responses.into_iter().map(|response| Box::pin(read(response))).collect();
    let mut bodies: Vec<Option<Vec<u8>>> = vec![None; reading.len()];
    oracle.run(poll_fn(|cx| {
        for (future, body) in reading.iter_mut().zip(&mut bodies) {
            if body.is_none()
                && let Poll::Ready(answer) = future.as_mut().poll(cx)
            {
                *body = Some(answer.expect("an answer").body);
            }
        }
        if bodies.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    }));
    for (n, body) in bodies.into_iter().enumerate() {
        assert!(body == Some(pattern(n * 1000)), "stream {n}");
    }
}

#[test]
fn trailers_of_a_request_and_a_reset() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut oracle = Oracle::connect(server.addr, &Builder::new());
    let (response, mut body) = oracle.send(Method::POST, "/all/100", false);
    body.send_data("hello".into(), false).unwrap();
    body.send_trailers(HeaderMap::from_iter([(http::header::ETAG, "\"x\"".parse().unwrap())])).unwrap();
    assert_eq!(oracle.run(read(response)).unwrap().body, b"hello");

    let (response, mut body) = oracle.send(Method::POST, "/hold", false);
    let calls = lab.calls();
    oracle.run(poll_fn(|_| if lab.calls() > calls - 1 { Poll::Ready(()) } else { Poll::Pending }));
    oracle.get("/n/1");
    body.send_reset(Reason::CANCEL);
    drop(response);
    oracle.get("/n/2");
    eventually("the handler is dropped", || lab.dropped.load(Ordering::Relaxed) == 1);
}

#[test]
fn an_error_of_a_handler_is_a_reset_with_its_reason() {
    let server = serve(lenient(), Lab::default());
    let mut oracle = Oracle::connect(server.addr, &Builder::new());
    let (response, _) = oracle.send(Method::GET, "/stream/5,~,!", true);
    let error = oracle.run(read(response)).expect_err("the body is not whole");
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(oracle.get("/n/1").body, b"1");
}

#[test]
fn pings_and_the_end() {
    let server = serve(lenient(), Lab::default());
    let mut oracle = Oracle::connect(server.addr, &Builder::new());
    let mut ping = oracle.connection.ping_pong().expect("asked for once");
    for _ in 0..10 {
        oracle.run(ping.ping(h2::Ping::opaque())).expect("a pong");
    }
    let (response, _) = oracle.send(Method::GET, "/wait/200", true);
    // It is with the service when the server begins to leave.
    oracle.run(ping.ping(h2::Ping::opaque())).expect("a pong");
    let stopping = std::thread::spawn(move || server.stop());
    assert_eq!(oracle.run(read(response)).expect("it was asked for before").body, b"waited");
    let end = run(&mut oracle.connection);
    assert!(end.is_ok(), "{end:?}");
    stopping.join().unwrap();
}
