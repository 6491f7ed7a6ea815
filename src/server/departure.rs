//! Waits that end although what is waited for has not come: of clients that have left, and during a drain.
//! Knows no protocol.
//!
//! A FIN says only that a client has finished sending. It is taken to have left once it has waited for a
//! while after that, unless the exchange serves half-closed clients; one whose connection is lost has left at
//! once. A receive in flight shows the FIN; behind unread input, and for the reset that may follow, the
//! kernel is asked at intervals.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::exchange::{Limits, Worker};
use crate::net::Stream;
use crate::ring::{PeerState, Watched};
use crate::service::HalfClose;

/// Time between two questions about a client that may have left. A fraction of the default of
/// `half_closed_timeout`, so that a client is given up within a second of its FIN.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(125);

/// As [`ASK_EVERY`], of a client that is served although it has closed its direction.
const ASK_SERVED_EVERY: Duration = Duration::from_secs(1);

/// Whether a client that has closed its direction, and then waited for so long, is taken to have left.
pub(super) fn has_left(half_close: HalfClose, waited: Duration, limits: &Limits) -> bool {
    half_close == HalfClose::End && waited >= limits.half_closed_timeout
}

/// One wait, and whether its client has left meanwhile. Nothing while a receive is in flight.
#[derive(Default)]
pub(super) struct Departure(Option<Box<Watch>>);

struct Watch {
    ask: Pin<Box<dyn Future<Output = ()>>>,
    /// When the client's FIN was noticed.
    half_closed: Option<Instant>,
}

impl Departure {
    /// Ready once the client has left. To be called whenever the wait goes on.
    pub(super) fn poll<S>(
        &mut self,
        worker: &Worker<S>,
        stream: &Stream,
        half_close: HalfClose,
        cx: &mut Context<'_>,
        watched: Watched,
    ) -> Poll<()> {
        if watched == Watched::Receiving {
            self.0 = None;
            return Poll::Pending;
        }
        let ask_in = |after: Duration| {
            let ring = worker.ring.clone();
            Box::pin(async move { ring.sleep(after).await })
        };
        let timeout = worker.limits().half_closed_timeout;
        let watch = self.0.get_or_insert_with(|| {
            Box::new(Watch { ask: ask_in(ASK_EVERY.min(timeout)), half_closed: None })
        });
        if watched == Watched::Ended && watch.half_closed.is_none() {
            watch.half_closed = Some(worker.ring.now());
        }
        while watch.ask.as_mut().poll(cx).is_ready() {
            let now = worker.ring.now();
            match stream.socket().peer_state() {
                PeerState::Lost => return Poll::Ready(()),
                PeerState::HalfClosed => drop(watch.half_closed.get_or_insert(now)),
                PeerState::Open => {}
            }
            watch.ask = match (watch.half_closed, half_close) {
                (Some(_), HalfClose::Serve) => ask_in(ASK_SERVED_EVERY),
                (Some(since), _)
                    if has_left(half_close, now.saturating_duration_since(since), &worker.limits()) =>
                {
                    return Poll::Ready(());
                }
                _ => ask_in(ASK_EVERY),
            };
        }
        Poll::Pending
    }
}

/// What must make progress while the server drains.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SilenceKind {
    /// The source of a response.
    Source,
    /// A tunnel. Its reads fail first, after one or two such times, and its handler may act on that.
    Tunnel,
}

impl SilenceKind {
    /// The longest silence.
    pub(super) fn longest(self, limits: &Limits) -> Duration {
        match self {
            Self::Source => limits.drain_stall_timeout,
            Self::Tunnel => 3 * limits.drain_stall_timeout,
        }
    }
}

/// A wait for the next piece of a response while the server drains. Nothing before the drain.
#[derive(Default)]
pub(super) struct Silence(Option<Box<Hearing>>);

struct Hearing {
    end: Pin<Box<dyn Future<Output = ()>>>,
    /// Bytes received from the client when it began.
    received: u64,
}

impl Silence {
    /// Ready once this wait has been too long: nothing was produced, and nothing received.
    pub(super) fn poll<S>(
        &mut self,
        worker: &Worker<S>,
        kind: SilenceKind,
        received: u64,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !worker.drain.has_begun() {
            return Poll::Pending;
        }
        let begin = || {
            let (ring, longest) = (worker.ring.clone(), kind.longest(&worker.limits()));
            Box::new(Hearing { end: Box::pin(async move { ring.sleep(longest).await }), received })
        };
        let hearing = self.0.get_or_insert_with(begin);
        while hearing.end.as_mut().poll(cx).is_ready() {
            if hearing.received == received {
                return Poll::Ready(());
            }
            *hearing = begin();
        }
        Poll::Pending
    }
}
