//! The body of a response as it comes from its endpoint. What is left of the request is sent meanwhile. At
//! its end the connection is kept; dropped before, it is closed.

use std::rc::Rc;
use std::task::{Context, Poll};

use super::error::{ExchangeError, ExchangeFailure};
use super::exchange::Exchange;
use super::group::{Outcome, Pick};
use super::local::LocalUpstream;
use super::outgoing::Outgoing;
use crate::service::{BodyPiece, Frame};

/// A response that is still being received, or a request that is still being sent.
pub(crate) struct Incoming {
    upstream: Rc<LocalUpstream>,
    /// `None` once it has ended.
    exchange: Option<Exchange>,
    outgoing: Outgoing,
    pick: Pick,
    /// All of the response was returned.
    is_over: bool,
}

impl Incoming {
    /// After the head of the response.
    pub(crate) fn new(
        upstream: Rc<LocalUpstream>,
        exchange: Exchange,
        outgoing: Outgoing,
        pick: Pick,
    ) -> Self {
        Self { upstream, exchange: Some(exchange), outgoing, pick, is_over: false }
    }

    pub(crate) fn upstream(&self) -> &LocalUpstream {
        &self.upstream
    }

    pub(crate) fn pick(&self) -> &Pick {
        &self.pick
    }

    /// The exchange has ended.
    fn keep(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.upstream.keep(self.pick.endpoint(), exchange);
        }
    }

    /// The exchange has failed within the body.
    fn fail(&mut self, error: ExchangeError) -> ExchangeError {
        let now = self.exchange.take().map(|exchange| exchange.ring().now());
        if let Some(now) = now
            && !matches!(error.failure, ExchangeFailure::Client(_))
        {
            let outcome = match error.failure {
                ExchangeFailure::IdleTimeout => Outcome::TimedOut,
                _ => Outcome::Broken,
            };
            self.pick.record(outcome, Default::default(), now);
        }
        error
    }

    /// The next part; content in its buffer only with `takes_buffers`. `None` when both messages have ended.
    ///
    /// # Errors
    /// The exchange has failed; its connection is closed.
    pub(crate) fn poll_part(
        &mut self,
        takes_buffers: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyPiece, ExchangeError>>> {
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
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.fail(error)))),
                Poll::Ready(None) => self.is_over = true,
            }
        }
        // After an error the endpoint discards the rest of the request; after other responses it may read it.
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
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.fail(error)))),
        }
    }

    /// Sends more of the request, while nothing of the response is asked for.
    ///
    /// # Errors
    /// The request's body failed.
    pub(crate) fn work(&mut self, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        let Some(exchange) = &mut self.exchange else { return Ok(()) };
        exchange.work(&mut self.outgoing, cx).map_err(|error| self.fail(error))
    }

    /// Whether the request was sent to its end.
    pub(crate) fn is_sent(&self) -> bool {
        self.exchange.as_ref().is_none_or(Exchange::is_sent)
    }

    /// Whether the response was received to its end.
    pub(crate) fn is_received(&self) -> bool {
        self.exchange.as_ref().is_none_or(Exchange::is_received)
    }
}
