//! TLS handshakes of a worker's connections: the limits on their number and time, and the handling of
//! failures.

use std::rc::Rc;
use std::sync::Arc;

use super::h1::{self, TurnedAway};
use crate::exchange::Worker;
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::{ACME_TLS_ALPN, HandshakeError, PlainHttp, TlsServer};
use crate::ring::{Socket, Waits};
use crate::service::Service;

/// The detail of the response to plain HTTP on a TLS port, usually typed by a person without `https://`.
const SPEAKS_TLS: &str = "this port speaks TLS: write https:// in the address";

/// Counts a handshake while it is in progress.
struct InProgress<'a, S>(&'a Worker<S>);

impl<'a, S> InProgress<'a, S> {
    fn begin(worker: &'a Worker<S>) -> Option<Self> {
        let handshakes = worker.handshakes.get() + 1;
        // The client that has kept its handshake waiting for the longest time makes room. A handshake that
        // waits for this core keeps its place; one that is dismissed is in a receive, and ends within a turn.
        let has_room =
            handshakes <= worker.limits().handshakes_max || worker.ring.dismiss_waiting(Waits::Handshake);
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
pub(super) async fn handshake<S: Service>(
    worker: &Rc<Worker<S>>,
    socket: Socket,
    tls: Arc<TlsServer>,
) -> Option<Stream> {
    let Some(_in_progress) = InProgress::begin(worker) else {
        worker.counters.over_capacity.bump();
        return None;
    };
    socket.set_deadline(Some(worker.limits().handshake_timeout));
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
                HandshakeError::PlainHttp(plain) => {
                    Box::pin(refuse_plain_http(worker, plain)).await;
                }
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

/// Answers in plain HTTP.
async fn refuse_plain_http<S: Service>(worker: &Rc<Worker<S>>, PlainHttp { socket, input }: PlainHttp) {
    let opened = h1::open(worker, Stream::from(socket));
    let (status, within) = (Status::BAD_REQUEST, worker.limits().linger_timeout);
    let reason = TurnedAway { status, detail: SPEAKS_TLS, retry_after: None, within };
    h1::turn_away(worker, opened, Some(input), reason).await;
}
