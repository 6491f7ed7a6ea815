//! The body of a response as it comes from the endpoint, pulled by the client's connection. What is left of
//! the request is sent meanwhile. At its end the connection to the endpoint is kept; dropped before, because
//! the client has left, it is closed.

use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use crate::observe::log;
use crate::service::{BodyError, BodyFrame, BodyPiece, Frame, PulledPiece, StreamBody};
use crate::upstream::{ExchangeError, ExchangeFailure, Incoming};

/// A response that is still being received, or a request that is still being sent.
pub(super) struct ProxyBody {
    incoming: Incoming,
    length: Option<u64>,
    /// Content that came with the head.
    first: Option<BodyFrame>,
}

impl ProxyBody {
    pub(super) fn new(incoming: Incoming, length: Option<u64>, first: Option<BodyFrame>) -> Self {
        Self { incoming, length, first }
    }

    /// The exchange has failed within the body: the client must see that it is incomplete.
    fn failed(&self, error: &ExchangeError) -> BodyError {
        if !matches!(error.failure, ExchangeFailure::Client(_)) {
            log::line(format_args!(
                "upstream {}, endpoint {}: {error}; the response to the client is cut",
                self.incoming.upstream().name(),
                self.incoming.pick().endpoint().options().address,
            ));
        }
        BodyError::Disconnected
    }

    /// The next part; content in its buffer only with `takes_buffers`.
    fn poll_part(
        &mut self,
        takes_buffers: bool,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<BodyPiece, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first.map(BodyPiece::Frame)));
        }
        let part = self.incoming.poll_part(takes_buffers, cx);
        part.map(|part| part.map(|part| part.map_err(|error| self.failed(&error))))
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
        if let Err(error) = self.incoming.work(cx) {
            self.first = Some(Err(self.failed(&error)));
        }
    }

    fn reads_request(&self) -> bool {
        !self.incoming.is_sent()
    }

    fn is_at_end(&self) -> bool {
        self.first.is_none() && self.incoming.is_received()
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}
