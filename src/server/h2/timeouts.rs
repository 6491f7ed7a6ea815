//! Timeouts of an HTTP/2 connection: incomplete frames, responses that are not received, windows that stay
//! closed, request bodies that do not arrive, and idleness.

use std::time::{Duration, Instant};

use super::exchange::{ExchangeState, Sends, StreamExchange};
use super::session::{GOAWAY_NOTICE, H2Session};
use super::wire::{OUTPUT_BYTES_MAX, TICK};
use crate::exchange::has_progressed;
use crate::http::h2::{ConnectionError, ErrorCode};
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::PeerState;
use crate::server::close::CloseMode;
use crate::service::{HalfClose, Service};

/// Time between two looks at a client that has closed its direction: a fraction of the default of
/// `half_closed_timeout`, so that it is given up within a second.
const DEPARTURE_CHECK: Duration = Duration::from_millis(125);

impl<S: Service> H2Session<'_, S> {
    /// Checks every timeout of the connection, and sets the deadline of the next check.
    #[cold]
    pub(super) fn look(&mut self) -> Option<CloseMode> {
        let now = self.wire.now();
        let limits = self.wire.limits.clone();
        let left = |since: Instant, time: Duration| time.saturating_sub(now.saturating_duration_since(since));
        let mut next = limits.idle_timeout.min(limits.stall_timeout);
        if let Some(since) = self.frame_since {
            let left = left(since, limits.head_timeout);
            if left.is_zero() {
                return Some(self.fail(ConnectionError::FrameTimedOut));
            }
            next = next.min(left);
        }
        if self.wire.stream.is_sending() {
            let since = *self.send_since.get_or_insert(now);
            if left(since, limits.stall_timeout).is_zero() {
                if !has_progressed(&mut self.acknowledged, self.wire.stream.acknowledged(), &limits) {
                    self.worker.counters.timed_out.bump();
                    return Some(CloseMode::Abort);
                }
                self.send_since = Some(now);
            }
        } else {
            self.send_since = None;
        }
        if let Some(mode) = self.look_at_windows(now, &mut next) {
            return Some(mode);
        }
        if let Some(since) = self.half_closed {
            match self.look_at_departure(left(since, limits.half_closed_timeout)) {
                Some(mode) => return Some(mode),
                None => next = next.min(DEPARTURE_CHECK),
            }
        }
        if let Some(ends_at) = self.ends_at
            && self.goaway_since.is_none()
        {
            let left = ends_at.saturating_duration_since(now);
            if left >= TICK {
                next = next.min(left);
            } else if let Some(mode) = self.announce_goaway() {
                return Some(mode);
            }
        }
        let inner = &mut *self.wire.inner.borrow_mut();
        if let Some(left) = inner.look_at_bodies(now) {
            next = next.min(left);
        }
        if inner.machine.open_streams() > self.called.len() + self.sending.len() {
            let timeout = limits.linger_timeout;
            // A connection that is to end does not wait for what nobody reads.
            let bytes_min = match self.goaway_since {
                None => limits.rate_min * timeout.as_secs().max(1),
                Some(_) => u64::MAX,
            };
            inner.machine.reset_lingering(self.wire.clock(now), timeout, bytes_min, &mut inner.output);
            next = next.min(timeout);
        }
        if let Some(since) = self.goaway_since {
            if left(since, GOAWAY_NOTICE).is_zero() {
                inner.machine.leave(&mut inner.output);
            } else {
                next = next.min(left(since, GOAWAY_NOTICE));
            }
        }
        if inner.machine.open_streams() == 0 && !self.wire.stream.is_sending() && inner.output.is_empty() {
            let left = left(self.idle_since, limits.idle_timeout);
            if left < TICK {
                inner.machine.leave(&mut inner.output);
                return Some(self.over());
            }
            next = next.min(left);
        }
        self.wire.look_after(next);
        None
    }

    /// The client has closed its direction: whether it has left shows soon.
    #[cold]
    pub(super) fn begin_departure(&mut self) {
        self.half_closed = Some(self.wire.now());
        self.wire.look_within(DEPARTURE_CHECK);
    }

    /// After the end of the client's direction: once its time is up, whatever makes it wait is given up,
    /// unless the route serves half-closed clients. A source that goes on producing does not make it wait.
    fn look_at_departure(&mut self, left: Duration) -> Option<CloseMode> {
        if self.wire.stream.socket().peer_state() == PeerState::Lost {
            return Some(CloseMode::Abort);
        }
        if !left.is_zero() {
            return None;
        }
        let mut waiting = Vec::new();
        for exchange in self.exchanges.iter_mut().flatten() {
            let gate = self.wire.inner.borrow_mut().with_gate(exchange.stream, |gate| *gate);
            if gate.half_close() == HalfClose::Serve {
                continue;
            }
            let waits = match &mut exchange.state {
                ExchangeState::Called { .. } => true,
                ExchangeState::Sends(sends) => {
                    let had_sent = sends.sent_before.replace(sends.body.sent);
                    sends.waits && had_sent == Some(sends.body.sent)
                }
            };
            if waits {
                waiting.push(exchange.stream);
            }
        }
        for stream in waiting {
            self.reset(stream, ErrorCode::CANCEL);
            self.give_up(stream, Ended::ClientGone);
        }
        None
    }

    /// Gives up responses that wait for windows of a client that has closed its direction: they cannot open.
    pub(super) fn give_up_shut(&mut self) {
        let shut: Vec<_> = {
            let inner = &*self.wire.inner.borrow();
            if inner.output.len() >= OUTPUT_BYTES_MAX {
                // Some responses have not been asked for frames yet.
                return;
            }
            // Those that were not asked for a frame since the end of input are, before anything is given up.
            let is_shut = |sends: &Sends, stream| {
                let is_asked = !sends.body.is_unasked();
                is_asked && sends.shut.is_some() && !sends.waits && inner.machine.sendable(stream) == 0
            };
            let exchanges = self.sending.iter().filter_map(|place| self.exchanges[*place].as_deref());
            exchanges
                .filter_map(|exchange| match &exchange.state {
                    ExchangeState::Sends(sends) if is_shut(sends, exchange.stream) => Some(exchange.stream),
                    _ => None,
                })
                .collect()
        };
        for stream in shut {
            self.reset(stream, ErrorCode::CANCEL);
            self.give_up(stream, Ended::ClientGone);
        }
    }

    /// Checks responses that wait for the client's windows.
    pub(super) fn look_at_windows(&mut self, now: Instant, next: &mut Duration) -> Option<CloseMode> {
        let limits = self.wire.limits.clone();
        let mut stalled = Vec::new();
        for place in &self.sending {
            let Some(StreamExchange { stream, state: ExchangeState::Sends(sends), .. }) =
                self.exchanges[*place].as_deref_mut()
            else {
                continue;
            };
            let Some((since, sent_then)) = sends.shut else { continue };
            let left = limits.h2.window_timeout.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                *next = (*next).min(left);
                continue;
            }
            let moved = sends.body.sent - sent_then;
            sends.shut = None;
            let is_slow = moved < limits.rate_min * limits.h2.window_timeout.as_secs().max(1);
            if is_slow && sends.body.is_unasked() {
                // It may have nothing to send, as a stream of events or a tunnel: the client owes no window
                // for that. If there is something, its time begins now.
                sends.body.probe();
            } else if is_slow {
                stalled.push(*stream);
            }
        }
        if stalled.is_empty() {
            return None;
        }
        let is_shut = self.wire.inner.borrow().machine.is_shut();
        if is_shut && stalled.len() == self.sending.len() {
            return Some(self.fail(ConnectionError::WindowStalled));
        }
        for stream in stalled {
            self.worker.counters.timed_out.bump();
            self.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
            self.give_up(stream, Ended::TooSlow);
        }
        None
    }
}
