//! An exchange whatever the version of HTTP: for each, its own implementation, with the same operations.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::error::ExchangeError;
use super::h1::{self, HeadEvent};
use super::h2::{Carrier, H2Exchange, H2Tunnel};
use super::options::UpstreamOptions;
use super::outgoing::Outgoing;
use super::state::EndpointState;
use super::tunnel::Tunnelled;
use crate::http::h1::OutgoingRequest;
use crate::http::message::{FramingError, ResponseHead};
use crate::ring::Ring;
use crate::service::{BodyPiece, Frame};

/// Where an exchange may begin.
pub(crate) enum Link {
    /// A connection that is this exchange's.
    H1(Box<h1::Link>),
    /// A connection with room for one more.
    H2(Rc<Carrier>),
}

impl Link {
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::H2(_))
    }
}

/// An exchange in progress. Dropping it closes its connection, or resets its stream.
pub(crate) enum Exchange {
    H1(h1::Exchange),
    H2(Box<H2Exchange>),
}

impl Exchange {
    /// Begins an exchange. `never_indexed` are more field lines, which are kept out of compression tables.
    /// An upgrade is asked of HTTP/2 by an extended CONNECT, whatever the method.
    ///
    /// # Errors
    /// The request cannot be written.
    pub(crate) fn begin(
        link: Link,
        request: &OutgoingRequest<'_>,
        never_indexed: &[u8],
    ) -> Result<Self, ExchangeError> {
        match link {
            Link::H1(link) => {
                debug_assert!(never_indexed.is_empty(), "HTTP/1.1 knows no such fields");
                h1::Exchange::begin(link, request).map(Self::H1)
            }
            Link::H2(carrier) => {
                H2Exchange::begin(carrier, request, never_indexed).map(|begun| Self::H2(Box::new(begun)))
            }
        }
    }

    /// Waits for the response only while the endpoint is not found unhealthy: the request can be sent to
    /// another one.
    pub(crate) fn give_up_when_unhealthy(&mut self, endpoint: &Arc<EndpointState>) {
        match self {
            Self::H1(exchange) => exchange.give_up_when_unhealthy(endpoint),
            Self::H2(exchange) => exchange.give_up_when_unhealthy(endpoint),
        }
    }

    /// The head of the response, once there is one.
    pub(crate) fn head(&self) -> &ResponseHead {
        match self {
            Self::H1(exchange) => exchange.head(),
            Self::H2(exchange) => exchange.head(),
        }
    }

    /// The ring.
    pub(crate) fn ring(&self) -> Ring {
        match self {
            Self::H1(exchange) => exchange.ring(),
            Self::H2(exchange) => exchange.ring(),
        }
    }

    /// Whether all of the request was passed on, or the endpoint does not take the rest.
    pub(crate) fn is_sent(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.is_sent(),
            Self::H2(exchange) => exchange.is_sent(),
        }
    }

    /// The next head of the response. The request's body is sent meanwhile.
    ///
    /// # Errors
    /// The exchange has failed.
    #[inline]
    pub(crate) fn poll_head(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HeadEvent, ExchangeError>> {
        match self {
            Self::H1(exchange) => exchange.poll_head(body, options, cx),
            Self::H2(exchange) => exchange.poll_head(body, options, cx),
        }
    }

    /// Begins the body of the final response.
    ///
    /// # Errors
    /// It is longer than allowed.
    pub(crate) fn begin_body(&mut self, options: &UpstreamOptions) -> Result<(), ExchangeError> {
        match self {
            Self::H1(exchange) => exchange.begin_body(options),
            Self::H2(exchange) => exchange.begin_body(options),
        }
    }

    /// Whether the response was received to its end, its trailers included.
    pub(crate) fn is_received(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.is_received(),
            Self::H2(exchange) => exchange.is_received(),
        }
    }

    /// Whether the content in hand may be all of it.
    pub(crate) fn may_be_whole(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.may_be_whole(),
            Self::H2(exchange) => exchange.may_be_whole(),
        }
    }

    /// Whether the response has trailers that were not returned.
    pub(crate) fn has_trailers(&self) -> bool {
        match self {
            Self::H1(exchange) => exchange.has_trailers(),
            Self::H2(exchange) => exchange.has_trailers(),
        }
    }

    /// The content in hand, in one piece; empty if there is none.
    ///
    /// # Errors
    /// It is malformed.
    pub(crate) fn take_data(&mut self) -> Result<Bytes, FramingError> {
        match self {
            Self::H1(exchange) => exchange.take_data(),
            Self::H2(exchange) => exchange.take_data(),
        }
    }

    /// As [`poll_frame`](Self::poll_frame), with content in its buffer where that holds nothing else.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub(crate) fn poll_piece(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyPiece, ExchangeError>>> {
        match self {
            Self::H1(exchange) => exchange.poll_piece(body, options, cx),
            Self::H2(exchange) => {
                let polled = exchange.poll_frame(body, options, cx);
                polled.map(|frame| frame.map(|frame| frame.map(BodyPiece::Frame)))
            }
        }
    }

    /// The next frame of the body; `None` at its end. The rest of the request is sent meanwhile.
    ///
    /// # Errors
    /// The exchange has failed.
    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, ExchangeError>>> {
        match self {
            Self::H1(exchange) => exchange.poll_frame(body, options, cx),
            Self::H2(exchange) => exchange.poll_frame(body, options, cx),
        }
    }

    /// Sends more of the request, while the client receives nothing of the response.
    ///
    /// # Errors
    /// The client's body failed.
    pub(crate) fn work(&mut self, body: &mut Outgoing, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        match self {
            Self::H1(exchange) => exchange.work(body, cx),
            Self::H2(exchange) => exchange.work(body, cx),
        }
    }

    /// Waits, after the end of the response, for the rest of the request to be sent.
    ///
    /// # Errors
    /// The client's body failed, or the endpoint takes nothing for too long.
    pub(crate) fn poll_sent(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        match self {
            Self::H1(exchange) => exchange.poll_sent(body, options, cx),
            Self::H2(exchange) => exchange.poll_sent(body, options, cx),
        }
    }

    /// Ends the exchange: the connection, if it is to be kept for another.
    pub(crate) fn end(self) -> Option<Box<h1::Link>> {
        match self {
            Self::H1(exchange) => exchange.end(),
            // Its connection was never this exchange's.
            Self::H2(_) => None,
        }
    }

    /// Whether it is an exchange by HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    /// The connection, or the stream, as a tunnel.
    pub(crate) fn into_tunnel(self) -> Tunnelled {
        match self {
            Self::H1(exchange) => Tunnelled::H1(exchange.into_tunnel()),
            Self::H2(exchange) => Tunnelled::H2(H2Tunnel::new(exchange)),
        }
    }
}
