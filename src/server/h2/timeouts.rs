//! Timeouts of an HTTP/2 connection: incomplete frames, responses that are not received, windows that stay
//! closed, request bodies that do not arrive, and idleness.

use std::time::{Duration, Instant};

use super::exchange::{ExchangeState, Sends, StreamExchange};
use super::session::{GOAWAY_NOTICE, H2Session};
use super::wire::OUTPUT_BYTES_MAX;
use crate::exchange::TICK;
use crate::http::h2::{ConnectionError, ErrorCode};
use crate::observe::access::ExchangeEnd as Ended;
use crate::server::close::CloseMode;
use crate::service::Service;

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
        if self.wire.stream.is_sending() || self.wire.stream.socket().unacknowledged() > 0 {
            let since = *self.send_since.get_or_insert(now);
            let left = left(since, limits.stall_timeout);
            if left >= TICK {
                next = next.min(left);
            } else {
                if !self.progress.is_enough(&self.wire.stream, &limits) {
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
        if let Some(mode) = self.look_at_waits(now, &mut next) {
            return Some(mode);
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
        if let Some(left) = inner.look_at_bodies(now, &limits) {
            next = next.min(left);
        }
        if inner.machine.open_streams() > self.called.len() + self.sending.len() {
            let timeout = limits.linger_timeout;
            // A connection that is to end does not wait for input that is never read.
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
            // While draining: a stream may be on its way until the client knows of the GOAWAY.
            let left = left(self.idle_since, limits.idle_timeout.max(GOAWAY_NOTICE));
            if left < TICK {
                inner.machine.leave(&mut inner.output);
                return Some(self.over());
            }
            next = next.min(left);
        }
        self.wire.look_after(next);
        None
    }

    /// Gives up responses that wait for windows of a client that has closed its direction: they cannot open.
    pub(super) fn give_up_shut(&mut self) {
        let shut: Vec<_> = {
            let inner = &*self.wire.inner.borrow();
            if inner.output.len() >= OUTPUT_BYTES_MAX || self.wire.stream.is_sending() {
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
        let is_sending = self.wire.stream.is_sending();
        let mut stalled = Vec::new();
        for place in &self.sending {
            let Some(StreamExchange { stream, state: ExchangeState::Sends(sends), .. }) =
                self.exchanges[*place].as_deref_mut()
            else {
                continue;
            };
            let Some(shut) = sends.shut else { continue };
            if is_sending && self.wire.inner.borrow().machine.sendable(*stream) > 0 {
                // It waits for the send, which is watched, and no longer for its windows.
                sends.shut = None;
                continue;
            }
            let left = limits.h2.window_timeout.saturating_sub(now.saturating_duration_since(shut.since));
            if !left.is_zero() {
                *next = (*next).min(left);
                continue;
            }
            sends.shut = None;
            // While its own window is open a response waits for others, which use the connection's window
            // before it: the client is as fast as it is for all of them.
            let inner = &*self.wire.inner.borrow();
            let moved = match inner.machine.is_stream_shut(*stream) {
                true => sends.body.sent - shut.sent,
                false => inner.body_bytes_sent - shut.sent_by_all,
            };
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
