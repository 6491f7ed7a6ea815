//! HTTP/2 on one connection: one task that reads frames, calls the service, and writes what is answered.
//!
//! ```text
//! receive ─► machine ─► heads ─► call the service ─► response, at once ──────────────┐
//!               │                      └─► a future: polled when it signals ─► ┐     ▼
//!               └─► data ─► request bodies ─► their readers          response ─► output ─► one send
//!                                                                              ▲
//!               windows that open ─► bodies that wait, most urgent first ──────┘
//! ```
//!
//! What came in one receive is answered with one send. A response that is at hand never enters a table of
//! ours, and has no task and no memory of its own; one that has to wait lies in a box until it is sent.
//!
//! `session` is the task, with `calls`, `respond` and `timeouts` as its parts; `wire` what it shares with
//! request bodies (`incoming`), which may be read in other tasks; `outgoing` is a response's body on its way;
//! `signal` tells which handler is to be polled.

mod calls;
mod exchange;
mod incoming;
mod outgoing;
mod respond;
mod session;
mod signal;
mod timeouts;
mod wire;

use std::future::poll_fn;
use std::rc::Rc;

use self::session::Session;
use self::wire::Wire;
use super::close;
use crate::exchange::Worker;
use crate::net::Stream;
use crate::ring::RecvBuf;
use crate::service::Service;

/// Serves a connection until it ends. `early` and then `input` were received before it was known to speak
/// HTTP/2.
pub(super) async fn serve<S: Service>(
    worker: &Rc<Worker<S>>,
    stream: Stream,
    early: Vec<u8>,
    input: Option<RecvBuf>,
) {
    let wire = Rc::new(Wire::new(stream, worker.limits.clone()));
    let mut session = Session::new(worker, wire.clone());
    let mode = match session.begin(&early, input) {
        Some(mode) => mode,
        None => poll_fn(|cx| session.poll(cx)).await,
    };
    drop(session);
    close::close(worker, wire, mode).await;
}
