//! TLS handshakes of a worker's connections: the limits on their number and time, and the handling of
//! failures.

use std::sync::Arc;

use crate::exchange::{Worker, peer_of, refused};
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::{ACME_TLS_ALPN, HandshakeError, TlsServer};
use crate::ring::{Payload, Socket, Waits};

/// The response to plain HTTP on a TLS port, usually typed by a person without `https://`.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 53\r\nConnection: close\r\n\r\nthis port speaks TLS: write https:// in the address.\n";

/// Bytes of its body.
const PLAIN_HTTP_BYTES: u64 = 53;

/// Counts a handshake while it is in progress.
struct InProgress<'a, S>(&'a Worker<S>);

impl<'a, S> InProgress<'a, S> {
    fn begin(worker: &'a Worker<S>) -> Option<Self> {
        let handshakes = worker.handshakes.get() + 1;
        // The client that has kept its handshake waiting for the longest time makes room. A handshake that
        // waits for this core keeps its place; one that is dismissed is in a receive, and ends within a turn.
        let has_room =
            handshakes <= worker.limits.handshakes_max || worker.ring.dismiss_waiting(Waits::Handshake);
        if !has_room {
            return None;
        }
        worker.handshakes.set(handshakes);
        Some(Self(worker))
    }
}

impl<S> Drop for InProgress<'_, S> {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
    }
}

/// The connection's stream after the handshake; `None` if that failed.
pub(super) async fn handshake<S>(worker: &Worker<S>, socket: Socket, tls: Arc<TlsServer>) -> Option<Stream> {
    let Some(_in_progress) = InProgress::begin(worker) else {
        worker.counters.over_capacity.bump();
        return None;
    };
    socket.set_deadline(Some(worker.limits.handshake_timeout));
    match Stream::accept(socket, tls, &worker.handshake_lane).await {
        Ok(stream) if is_challenge(&stream) => {
            end_challenge(stream).await;
            None
        }
        Ok(stream) => {
            stream.socket().set_waits(Waits::Request);
            Some(stream)
        }
        Err(error) => {
            worker.counters.handshakes_failed.bump();
            match error {
                HandshakeError::PlainHttp(socket) => refuse_plain_http(worker, socket).await,
                HandshakeError::TimedOut => worker.counters.timed_out.bump(),
                HandshakeError::Closed | HandshakeError::Failed(_) => {}
            }
            None
        }
    }
}

fn is_challenge(stream: &Stream) -> bool {
    stream.tls().is_some_and(|tls| tls.protocol() == Some(ACME_TLS_ALPN))
}

/// RFC 8737 §3: the handshake was the answer, and the connection carries nothing else.
async fn end_challenge(stream: Stream) {
    stream.socket().set_waits(Waits::Handshake);
    if stream.close_write().await.is_ok() {
        stream.discard_input().await;
    }
}

/// Answers in plain HTTP, and reads until the client closes, so that no reset discards the response.
async fn refuse_plain_http<S>(worker: &Worker<S>, socket: Socket) {
    socket.set_deadline(Some(worker.limits.linger_timeout));
    socket.start_send(Payload::Buffer(PLAIN_HTTP.to_vec()));
    let peer = || peer_of(&socket);
    let reason = "plain HTTP was sent to a TLS port";
    refused(worker, peer, Status::BAD_REQUEST, PLAIN_HTTP_BYTES, reason);
    if socket.flush().await.is_ok() {
        socket.shutdown_write();
        while let Ok(Some(_)) = socket.recv().await {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_its_own_length() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(body.len() as u64, PLAIN_HTTP_BYTES);
    }
}
