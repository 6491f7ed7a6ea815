//! Clients that leave while this side makes them wait: for a handler, or for the source of a response. Knows
//! no protocol.
//!
//! A FIN says only that a client has finished sending. It is taken to have left once it has waited for a
//! while after that, unless the exchange serves half-closed clients; one whose connection is lost has left
//! at once. A receive in flight shows the FIN; behind unread input, and for the reset that may follow, the
//! kernel is asked at intervals.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::exchange::Worker;
use crate::net::Stream;
use crate::ring::{PeerState, Watched};
use crate::service::HalfClose;

/// Time between two questions about a client that may have left. A fraction of the default of
/// `half_closed_timeout`, so that a client is given up within a second of its FIN.
const ASK_EVERY: Duration = Duration::from_millis(125);

/// As [`ASK_EVERY`], of a client that is served although it has closed its direction.
const ASK_SERVED_EVERY: Duration = Duration::from_secs(1);

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
        let timeout = worker.limits.half_closed_timeout;
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
                (Some(since), HalfClose::End) if now.saturating_duration_since(since) >= timeout => {
                    return Poll::Ready(());
                }
                _ => ask_in(ASK_EVERY),
            };
        }
        Poll::Pending
    }
}
