//! A stream that an extended CONNECT has opened, as a tunnel (RFC 8441 §5): its bytes are DATA, the end of a
//! direction is END_STREAM, and what was lost is RST_STREAM.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::carrier::StreamFailure;
use super::exchange::H2Exchange;
use crate::http::h2::EndStream;
use crate::ring::later;

/// A tunnel on a stream. Dropping it resets the stream unless both directions have ended.
pub(crate) struct H2Tunnel {
    exchange: Box<H2Exchange>,
    /// Bytes that wait for a window, or for output to leave.
    piece: Bytes,
}

impl H2Tunnel {
    pub(in crate::upstream) fn new(mut exchange: Box<H2Exchange>) -> Self {
        exchange.shed();
        Self { exchange, piece: Bytes::new() }
    }

    pub(in crate::upstream) fn set_idle(&mut self, idle: Duration) {
        let carrier = &self.exchange.carrier;
        let at = later(carrier.now(), idle);
        self.exchange.inbox.borrow_mut().deadline = Some(at);
        carrier.look_by(at);
    }

    fn wait(&self, cx: &Context<'_>) {
        let mut inbox = self.exchange.inbox.borrow_mut();
        if !inbox.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            inbox.waker = Some(cx.waker().clone());
        }
    }

    pub(in crate::upstream) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let H2Exchange { carrier, stream, inbox, .. } = &*self.exchange;
        while !self.piece.is_empty() {
            let room = carrier.state.borrow().machine.sendable(*stream);
            if carrier.is_lost() || !carrier.state.borrow().machine.is_open(*stream) {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if room == 0 || !carrier.takes_output() {
                inbox.borrow_mut().waits_to_send = true;
                self.wait(cx);
                return Poll::Pending;
            }
            let part = self.piece.split_to(room.min(self.piece.len()));
            carrier.write_data(*stream, &part, EndStream::No);
        }
        Poll::Ready(Ok(()))
    }

    pub(in crate::upstream) fn start_send(&mut self, bytes: Bytes) {
        debug_assert!(self.piece.is_empty(), "what was sent before has left");
        self.piece = bytes;
    }

    pub(in crate::upstream) fn shut(&mut self) {
        self.exchange.carrier.write_data(self.exchange.stream, b"", EndStream::Yes);
    }

    pub(in crate::upstream) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        // Tunnels have no limit.
        if let Ok(Some(piece)) = self.exchange.take_piece() {
            return Poll::Ready(Ok(Some(piece)));
        }
        let mut inbox = self.exchange.inbox.borrow_mut();
        if inbox.has_ended {
            return Poll::Ready(Ok(None));
        }
        if let Some(failure) = inbox.failure.take() {
            return Poll::Ready(Err(match failure {
                StreamFailure::Lost(kind) => kind.into(),
                _ => io::ErrorKind::ConnectionReset.into(),
            }));
        }
        if std::mem::take(&mut inbox.is_late) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        drop(inbox);
        self.wait(cx);
        Poll::Pending
    }
}
