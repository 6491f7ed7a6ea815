//! Waits of an HTTP/2 connection that end although what is waited for has not come: of a client that has
//! left, and during a drain. The policies are those of `server/departure`.

use std::time::{Duration, Instant};

use super::exchange::{ExchangeState, StreamExchange};
use super::session::H2Session;
use crate::http::h2::ErrorCode;
use crate::http::method::Method;
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::PeerState;
use crate::server::close::CloseMode;
use crate::server::departure::SilenceKind;
use crate::service::{HalfClose, Service};

/// Time between two looks at a client that has closed its direction: a fraction of the default of
/// `half_closed_timeout`, so that it is given up within a second.
const DEPARTURE_CHECK: Duration = Duration::from_millis(125);

/// What becomes of an exchange that waits.
enum Verdict {
    GoesOn,
    /// Its client is silent: a reader of its body learns that.
    BodyFails,
    Ends(Ended),
}

impl<S: Service> H2Session<'_, S> {
    /// The client has closed its direction: whether it has left shows soon.
    #[cold]
    pub(super) fn begin_departure(&mut self) {
        self.half_closed = Some(self.wire.now());
        self.wire.look_within(DEPARTURE_CHECK);
    }

    /// Ends exchanges that have waited for too long, after the end of the client's direction or in a drain.
    pub(super) fn look_at_waits(&mut self, now: Instant, next: &mut Duration) -> Option<CloseMode> {
        let is_draining = self.worker.drain.has_begun();
        if self.half_closed.is_none() && !is_draining {
            return None;
        }
        if self.half_closed.is_some() {
            if self.wire.stream.socket().peer_state() == PeerState::Lost {
                return Some(CloseMode::Abort);
            }
            *next = (*next).min(DEPARTURE_CHECK);
        }
        if is_draining {
            *next = (*next).min(self.wire.limits.drain_stall_timeout / 2);
        }
        let mut verdicts = Vec::new();
        for place in 0..self.exchanges.len() {
            let Some(mut exchange) = self.exchanges[place].take() else { continue };
            verdicts.push((exchange.stream, self.judge(&mut exchange, now)));
            self.exchanges[place] = Some(exchange);
        }
        for (stream, verdict) in verdicts {
            match verdict {
                Verdict::GoesOn => {}
                Verdict::BodyFails => self.wire.inner.borrow_mut().fail_waiting_body(stream),
                Verdict::Ends(end) => {
                    self.reset(stream, ErrorCode::CANCEL);
                    self.give_up(stream, end);
                }
            }
        }
        None
    }

    fn judge(&self, exchange: &mut StreamExchange, now: Instant) -> Verdict {
        let inner = &mut *self.wire.inner.borrow_mut();
        let limits = &self.wire.limits;
        let (is_called, waits, sent) = match &exchange.state {
            ExchangeState::Called { .. } => (true, true, 0),
            ExchangeState::Sends(sends) => (false, sends.waits, sends.body.sent),
        };
        let bytes = sent + inner.received(exchange.stream);
        let quiet = match exchange.quiet {
            Some((since, known)) if known == bytes => now.saturating_duration_since(since),
            _ => {
                exchange.quiet = Some((now, bytes));
                return Verdict::GoesOn;
            }
        };
        let gate = inner.with_gate(exchange.stream, |gate| *gate);
        if let Some(since) = self.half_closed
            && gate.half_close() == HalfClose::End
            && waits
        {
            let waited = if is_called { now.saturating_duration_since(since) } else { quiet };
            if waited >= limits.half_closed_timeout {
                return Verdict::Ends(Ended::ClientGone);
            }
        }
        if !self.worker.drain.has_begun() {
            return Verdict::GoesOn;
        }
        let is_tunnel = !is_called && (exchange.kind.method == Method::Connect || exchange.kind.upgrade);
        let kind = if is_tunnel { SilenceKind::Tunnel } else { SilenceKind::Source };
        if !is_called && waits && quiet >= kind.longest(limits) {
            return Verdict::Ends(Ended::BodyFailed);
        }
        if quiet >= limits.drain_stall_timeout { Verdict::BodyFails } else { Verdict::GoesOn }
    }
}
