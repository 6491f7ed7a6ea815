//! An exchange that is not over at once: its handler has not answered, or its response has not left.

use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::outgoing::Outgoing;
use super::signal::{Hub, Signal};
use crate::exchange::{LogEntry, RequestKind, Worker};
use crate::http::h2::{Priority, StreamKey};
use crate::http::status::Status;
use crate::observe::access::End;
use crate::service::{LocalFuture, Response};

pub(super) struct Exchange {
    pub(super) stream: StreamKey,
    pub(super) kind: RequestKind,
    pub(super) entry: Option<LogEntry>,
    pub(super) state: ExchangeState,
    /// Made when something has to be waited for.
    pub(super) signal: Option<(Arc<Signal>, Waker)>,
}

pub(super) enum ExchangeState {
    /// The handler has not answered.
    Called(LocalFuture<'static, Response>),
    /// The response's body is on its way.
    Sends(Sends),
}

/// A response whose head is written.
pub(super) struct Sends {
    pub(super) status: Status,
    pub(super) body: Outgoing,
    pub(super) priority: Priority,
    /// Its source has to signal before it is asked again.
    pub(super) waits: bool,
    /// While the client takes nothing, its source may go on with its other work.
    pub(super) may_work: bool,
    /// Since when a shut window holds it up, and how much had been sent then.
    pub(super) shut: Option<(Instant, u64)>,
}

impl Sends {
    /// Where it stands among others: the most urgent first; of these whole responses one after the other, and
    /// those whose parts help behind them, in turns.
    pub(super) fn rank(&self) -> (u8, bool) {
        (self.priority.urgency, self.priority.incremental)
    }
}

impl Exchange {
    /// The waker of this exchange.
    pub(super) fn waker(&mut self, hub: &Arc<Hub>) -> &Waker {
        let (_, waker) = self.signal.get_or_insert_with(|| {
            let signal = Signal::new(hub.clone());
            let waker = Waker::from(signal.clone());
            (signal, waker)
        });
        waker
    }

    /// Whether something it waits for has come.
    pub(super) fn is_called(&self) -> bool {
        self.signal.as_ref().is_some_and(|(signal, _)| signal.take())
    }

    /// Logs the end of it.
    pub(super) fn end<S>(mut self, worker: &Worker<S>, end: End) {
        let (status, sent) = match &self.state {
            ExchangeState::Called(_) => (None, 0),
            ExchangeState::Sends(sends) => (Some(sends.status), sends.body.sent),
        };
        if let Some(entry) = self.entry.take() {
            entry.end(worker, status, sent, end);
        }
    }
}
