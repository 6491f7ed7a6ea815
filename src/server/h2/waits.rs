//! Waits of an HTTP/2 connection that end although what is waited for has not come: of a client that has
//! left, and during a drain. The policies are those of `server/departure`.

use std::time::{Duration, Instant};

use super::exchange::{ExchangeState, Quiet, StreamExchange};
use super::session::H2Session;
use crate::http::h2::ErrorCode;
use crate::http::method::Method;
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::PeerState;
use crate::server::close::CloseMode;
use crate::server::departure::{ASK_EVERY, SilenceKind, has_left};
use crate::service::Service;

/// What becomes of an exchange that waits.
enum Verdict {
    GoesOn,
    Ends(Ended),
}

impl<S: Service> H2Session<'_, S> {
    /// The client has closed its direction: whether it has left shows soon.
    #[cold]
    pub(super) fn begin_departure(&mut self) {
        self.half_closed = Some(self.wire.now());
        self.wire.look_within(ASK_EVERY);
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
            *next = (*next).min(ASK_EVERY);
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
        let received = inner.received(exchange.stream);
        let is_tunnel = !is_called && (exchange.kind.method == Method::Connect || exchange.kind.upgrade);
        let quiet = match exchange.quiet {
            Some(quiet) if (quiet.sent, quiet.received) == (sent, received) => {
                now.saturating_duration_since(quiet.since)
            }
            before => {
                let has_received = before.is_some_and(|before| before.sent != sent);
                if has_received && limits.receiving_excuses(is_tunnel) {
                    inner.restart_wait(exchange.stream, now);
                }
                exchange.quiet = Some(Quiet { since: now, sent, received });
                return Verdict::GoesOn;
            }
        };
        let gate = inner.with_gate(exchange.stream, |gate| *gate);
        if let Some(since) = self.half_closed
            && waits
        {
            let waited = if is_called { now.saturating_duration_since(since) } else { quiet };
            if has_left(gate.half_close(), waited, limits) {
                return Verdict::Ends(Ended::ClientGone);
            }
        }
        if !self.worker.drain.has_begun() {
            return Verdict::GoesOn;
        }
        let kind = if is_tunnel { SilenceKind::Tunnel } else { SilenceKind::Source };
        if !is_called && waits && quiet >= kind.longest(limits) {
            return Verdict::Ends(Ended::BodyFailed);
        }
        Verdict::GoesOn
    }
}
