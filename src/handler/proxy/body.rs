//! The body of a response as it comes from the endpoint, pulled by the client's connection. What is left of
//! the request is sent meanwhile. At its end the connection to the endpoint is kept; dropped before, because
//! the client has left, it is closed.

use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use super::upstream::ProxyUpstream;
use crate::observe::log;
use crate::service::{BodyError, BodyFrame, BodyPiece, Frame, PulledPiece, StreamBody};
use crate::upstream::{Exchange, ExchangeError, ExchangeFailure, Outcome, Outgoing, Pick};

/// A response that is still being received, or a request that is still being sent.
pub(super) struct ProxyBody {
    upstream: Rc<ProxyUpstream>,
    /// `None` once it has ended.
    exchange: Option<Exchange>,
    outgoing: Outgoing,
    pick: Pick,
    length: Option<u64>,
    /// Content that came with the head.
    first: Option<BodyFrame>,
    /// All of the response was returned.
    is_over: bool,
}

impl ProxyBody {
    pub(super) fn new(
        upstream: Rc<ProxyUpstream>,
        exchange: Exchange,
        outgoing: Outgoing,
        pick: Pick,
        length: Option<u64>,
        first: Option<BodyFrame>,
    ) -> Self {
        Self { upstream, exchange: Some(exchange), outgoing, pick, length, first, is_over: false }
    }

    /// The exchange has ended.
    fn keep(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.upstream.keep(self.pick.endpoint(), exchange);
        }
    }

    /// The exchange has failed within the body: the client must see that it is incomplete.
    fn fail(&mut self, error: &ExchangeError) -> BodyError {
        let now = self.exchange.take().map(|exchange| exchange.ring().now());
        if let ExchangeFailure::Client(_) = error.failure {
            return BodyError::Disconnected;
        }
        if let Some(now) = now {
            let outcome = match error.failure {
                ExchangeFailure::IdleTimeout => Outcome::TimedOut,
                _ => Outcome::Broken,
            };
            self.pick.record(outcome, Default::default(), now);
        }
        log::line(format_args!(
            "upstream {}, endpoint {}: {error}; the response to the client is cut",
            self.upstream.name(),
            self.pick.endpoint().options().address,
        ));
        BodyError::Disconnected
    }
}

impl ProxyBody {
    /// The next part; content in its buffer only with `takes_buffers`.
    fn poll_part(
        &mut self,
        takes_buffers: bool,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<BodyPiece, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first.map(BodyPiece::Frame)));
        }
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        let options = self.upstream.options();
        if !self.is_over {
            let polled = if takes_buffers {
                exchange.poll_piece(&mut self.outgoing, options, cx)
            } else {
                let frame = exchange.poll_frame(&mut self.outgoing, options, cx);
                frame.map(|frame| frame.map(|frame| frame.map(BodyPiece::Frame)))
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    // Nothing is asked for after trailers.
                    if matches!(piece, BodyPiece::Frame(Frame::Trailers(_))) && exchange.is_sent() {
                        self.keep();
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.fail(&error)))),
                Poll::Ready(None) => self.is_over = true,
            }
        }
        // Who refuses a request does not want the rest of it; others may.
        if !exchange.is_sent() && exchange.head().status().code() >= 400 {
            self.exchange = None;
            return Poll::Ready(None);
        }
        match exchange.poll_sent(&mut self.outgoing, options, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.keep();
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.fail(&error)))),
        }
    }
}

impl StreamBody for ProxyBody {
    fn poll_frame(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        self.poll_part(false, cx).map(|part| {
            part.map(|part| {
                part.map(|part| match part {
                    BodyPiece::Frame(frame) => frame,
                    BodyPiece::Received(data) => Frame::Data(Bytes::copy_from_slice(&data)),
                })
            })
        })
    }

    fn poll_piece(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<PulledPiece>> {
        self.poll_part(true, cx).map(|part| part.map(PulledPiece))
    }

    fn poll_work(&mut self, cx: &mut TaskContext<'_>) {
        if let Some(exchange) = &mut self.exchange
            && let Err(error) = exchange.work(&mut self.outgoing, cx)
        {
            self.first = Some(Err(self.fail(&error)));
        }
    }

    fn reads_request(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| !exchange.is_sent())
    }

    fn is_at_end(&self) -> bool {
        self.first.is_none() && self.exchange.as_ref().is_none_or(|exchange| exchange.is_received())
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}
