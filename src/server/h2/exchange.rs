//! An exchange in progress: its handler is pending, or its response is being sent.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::outgoing::StreamOutput;
use super::signal::{Hub, SignalWaker};
use crate::exchange::{LogEntry, RequestKind, Worker};
use crate::http::h2::{Priority, StreamKey};
use crate::http::status::Status;
use crate::observe::access::ExchangeEnd;
use crate::service::{LocalFuture, Response, RouteHold};

pub(super) struct StreamExchange {
    pub(super) stream: StreamKey,
    pub(super) kind: RequestKind,
    pub(super) state: ExchangeState,
    /// Kept by `waits`.
    pub(super) quiet: Option<Quiet>,
    /// Made on the first wait.
    pub(super) signal: Option<SignalWaker>,
    /// Counts it as one in progress on its route.
    pub(super) hold: Option<RouteHold>,
}

/// Since when an exchange has neither sent nor received, and the bytes of both by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    pub(super) since: Instant,
    pub(super) sent: u64,
    pub(super) received: u64,
}

pub(super) enum ExchangeState {
    /// The handler is pending.
    Called { future: LocalFuture<'static, Response>, entry: LogEntry },
    /// The response's body is being sent.
    Sends(Sends),
}

/// A response whose head is written.
pub(super) struct Sends {
    /// `None` without a log.
    pub(super) entry: Option<LogEntry>,
    pub(super) status: Status,
    pub(super) body: StreamOutput,
    pub(super) priority: Priority,
    /// The source is polled again only after it has signalled.
    pub(super) waits: bool,
    /// While the client receives nothing, the source may continue its other work.
    pub(super) may_work: bool,
    /// Since when a closed window blocks it, and the bytes that had been sent then.
    pub(super) shut: Option<ShutWindow>,
}

/// Since when a response waits for a window, and what had been sent then.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShutWindow {
    pub(super) since: Instant,
    /// Bytes of this response.
    pub(super) sent: u64,
    /// Bytes of all responses of the connection.
    pub(super) sent_by_all: u64,
}

impl Sends {
    /// Its order among others (RFC 9218): by urgency; within it, first the non-incremental responses one
    /// after the other, then the incremental ones in turns.
    pub(super) fn rank(&self) -> (u8, bool) {
        (self.priority.urgency, self.priority.incremental)
    }
}

impl StreamExchange {
    /// The waker of this exchange.
    pub(super) fn waker(&mut self, hub: &Arc<Hub>) -> &Waker {
        self.signal.get_or_insert_with(|| SignalWaker::new(hub)).waker()
    }

    /// Whether it has been woken.
    pub(super) fn is_called(&self) -> bool {
        self.signal.as_ref().is_some_and(SignalWaker::take)
    }

    /// Logs its end.
    pub(super) fn end<S>(self, worker: &Worker<S>, end: ExchangeEnd) {
        let (status, sent, entry) = match self.state {
            ExchangeState::Called { entry, .. } => (None, 0, Some(entry)),
            ExchangeState::Sends(sends) => (Some(sends.status), sends.body.sent, sends.entry),
        };
        if let Some(entry) = entry {
            entry.end(worker, status, sent, end);
        }
    }
}
