//! The HTTP/2 driver of one connection: one task that reads frames, calls the service, and writes responses.
//!
//! ```text
//! receive ─► machine ─► heads ─► call the service ─► response, at once ──────────────┐
//!               │                      └─► a future: polled when it signals ─► ┐     ▼
//!               └─► data ─► request bodies ─► their readers          response ─► output ─► one send
//!                                                                              ▲
//!               windows that open ─► bodies that wait, most urgent first ──────┘
//! ```
//!
//! The responses to the requests of one receive leave in one send. A response that is ready at once is not
//! entered into a table, and has no task and no memory of its own; one that has to wait is boxed until it is
//! sent.
//!
//! `session` is the task, with `calls`, `respond`, `timeouts` and `waits` as its parts; `wire` is the state
//! it shares with request bodies (`incoming`), which may be read in other tasks; `outgoing` is a response's
//! body while it is sent; `signal` has the wakers that mark which handler to poll.

mod calls;
mod exchange;
mod incoming;
mod outgoing;
mod respond;
mod session;
mod signal;
mod timeouts;
mod waits;
mod wire;

use std::future::poll_fn;
use std::rc::Rc;

use self::session::H2Session;
use self::wire::H2Wire;
use super::close;
use crate::exchange::Worker;
use crate::net::Stream;
use crate::ring::RecvBuf;
use crate::service::Service;

/// Serves a connection until it ends. `early` and then `input` were received before HTTP/2 was detected.
pub(super) async fn serve<S: Service>(
    worker: &Rc<Worker<S>>,
    stream: Stream,
    early: Vec<u8>,
    input: Option<RecvBuf>,
) {
    let wire = Rc::new(H2Wire::new(stream, worker.limits()));
    let mut session = H2Session::new(worker, wire.clone());
    let mode = match session.begin(&early, input) {
        Some(mode) => mode,
        None => poll_fn(|cx| session.poll(cx)).await,
    };
    drop(session);
    close::close(worker, wire, mode).await;
}
