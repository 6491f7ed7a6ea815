//! hyper's client over memory: what it makes of a response, for comparison. No runtime: its futures are
//! polled in turn until the answer is there.

use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::response_vectors::Asked;

/// Polls after which an answer would have come: each step of hyper takes one or two.
const POLLS_MAX: usize = 10_000;

/// The server's half of a connection: answers with `response` once a request was written, then ends.
struct Memory {
    response: Vec<u8>,
    read: usize,
    has_request: bool,
}

impl Read for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.has_request {
            return Poll::Pending;
        }
        let end = (self.read + buffer.remaining()).min(self.response.len());
        buffer.put_slice(&self.response[self.read..end]);
        self.read = end;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.has_request = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Status and body as hyper reads them; `None` if it refuses either.
pub(super) fn read(response: &[u8], asked: Asked) -> Option<(u16, Vec<u8>)> {
    let memory = Memory { response: response.to_vec(), read: 0, has_request: false };
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok((mut sender, connection))) =
        pin!(http1::handshake::<_, Empty<Bytes>>(memory)).poll(&mut context)
    else {
        panic!("hyper's handshake needs no I/O");
    };
    let mut connection = pin!(connection);
    let mut is_over = false;
    let answer = async move {
        let response = sender.send_request(request(asked)).await.ok()?;
        let status = response.status().as_u16();
        Some((status, response.into_body().collect().await.ok()?.to_bytes().to_vec()))
    };
    let mut answer = pin!(answer);
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(answer) = answer.as_mut().poll(&mut context) {
            return answer;
        }
        is_over = is_over || connection.as_mut().poll(&mut context).is_ready();
    }
    panic!("hyper never answers to {}", response.escape_ascii());
}

fn request(asked: Asked) -> http::Request<Empty<Bytes>> {
    let (method, uri) = match asked {
        Asked::Get | Asked::Upgrade => ("GET", "/"),
        Asked::Head => ("HEAD", "/"),
        Asked::Connect => ("CONNECT", "a:1"),
    };
    let mut request = http::Request::builder().method(method).uri(uri).header("host", "a");
    if asked == Asked::Upgrade {
        request = request.header("connection", "upgrade").header("upgrade", "websocket");
    }
    request.body(Empty::new()).expect("all parts are sound")
}
