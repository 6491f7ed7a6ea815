//! Bodies that are pulled: a request's, piece by piece as the handler asks, and a response's, piece by piece
//! as the client takes it. Nothing runs ahead of its reader, so memory stays bounded by one piece.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::peer::Peer;
use crate::http::message;
use crate::http::status::Status;
use crate::net::tls::TlsInfo;

/// Why a request body cannot be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// Its framing is wrong or over a limit.
    Framing(message::FramingError),
    /// The client sent too little for too long.
    TimedOut,
    /// The connection ended within the body.
    Disconnected,
    /// Longer than the caller of [`RequestBody::read_all`] allows.
    TooLarge {
        /// That limit in bytes.
        limit: usize,
    },
    /// Asked for after its exchange was over.
    ExchangeOver,
}

impl BodyError {
    /// The status that tells the client.
    pub fn status(&self) -> Status {
        match self {
            Self::Framing(error) => error.status(),
            Self::TimedOut => Status::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => Status::CONTENT_TOO_LARGE,
            Self::Disconnected | Self::ExchangeOver => Status::BAD_REQUEST,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Framing(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the client sent the body too slowly"),
            Self::Disconnected => f.write_str("the connection ended within the body"),
            Self::TooLarge { limit } => write!(f, "the body is longer than {limit} bytes"),
            Self::ExchangeOver => f.write_str("the body was read after its response was complete"),
        }
    }
}

impl std::error::Error for BodyError {}

/// The connection a request came on: the server's side of [`RequestBody`] and [`Peer`].
pub trait Downstream {
    /// The next piece of the body of exchange number `exchange`; `None` at its end.
    fn poll_piece(&self, exchange: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// The trailers of that body as field lines, once it was read to its end; empty if there are none.
    fn trailers(&self, exchange: u32) -> Vec<u8>;

    /// Who is at the other end.
    fn peer(&self) -> Peer;

    /// What the TLS handshake agreed on; `None` on a plain connection.
    fn tls(&self) -> Option<Rc<TlsInfo>>;
}

enum Source {
    Empty,
    Downstream(Rc<dyn Downstream>, u32),
    /// Made by a filter from another body.
    Stream(Box<dyn StreamBody>),
}

/// The body of a request.
pub struct RequestBody {
    source: Source,
    length: Option<u64>,
}

impl RequestBody {
    /// No body.
    pub const fn empty() -> Self {
        Self { source: Source::Empty, length: Some(0) }
    }

    /// A body from `source`, `length` bytes long if that is known.
    pub fn new(source: Rc<dyn Downstream>, exchange: u32, length: Option<u64>) -> Self {
        Self { source: Source::Downstream(source, exchange), length }
    }

    /// A body that lies in memory.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::from_stream(Whole(bytes))
    }

    /// A body that is pulled from elsewhere, such as another one that a filter decodes.
    pub fn from_stream(stream: impl StreamBody + 'static) -> Self {
        Self { length: stream.length(), source: Source::Stream(Box::new(stream)) }
    }

    /// The trailers, as field lines with their CRLF, once the body was read to its end. They came after
    /// everything was decided on: merge none into the head (RFC 9110 §6.5.1).
    pub fn trailers(&mut self) -> Vec<u8> {
        match &mut self.source {
            Source::Empty => Vec::new(),
            Source::Downstream(source, exchange) => source.trailers(*exchange),
            Source::Stream(stream) => stream.trailers(),
        }
    }

    /// Its length, when the client said it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece, or `None` at the end. Only now is it asked for: a client that sent
    /// `Expect: 100-continue` is told to go on, and TCP is told that there is room.
    ///
    /// # Errors
    /// See [`BodyError`]; after one there is nothing more to read.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn read_all(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLarge { limit });
        }
        let Some(first) = self.next().await.transpose()? else { return Ok(Bytes::new()) };
        let mut all: Option<Vec<u8>> = None;
        while let Some(piece) = self.next().await.transpose()? {
            let all = all.get_or_insert_with(|| first.to_vec());
            if all.len() + piece.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            all.extend_from_slice(&piece);
        }
        match all {
            Some(all) => Ok(all.into()),
            None if first.len() > limit => Err(BodyError::TooLarge { limit }),
            None => Ok(first),
        }
    }
}

/// A body in memory, in one piece. Behind a pointer like any stream, for it would be the largest kind of body
/// otherwise, and every idle connection keeps room for one.
struct Whole(Bytes);

impl StreamBody for Whole {
    fn poll_next(&mut self, _cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then_some(Ok(bytes)))
    }

    fn length(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

/// A response body that is pulled as fast as the client takes it.
pub trait StreamBody {
    /// The next piece; `None` at the end; an error ends the connection, for the client must not take what it
    /// got for the whole.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Bytes in all, when known: sent as Content-Length, and then owed exactly.
    fn length(&self) -> Option<u64> {
        None
    }

    /// Trailer fields to be sent after the body, as field lines with their CRLF; asked for once, after the
    /// end. They are sent in chunked bodies alone, where the client can take them.
    fn trailers(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

impl StreamBody for RequestBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Downstream(source, exchange) => source.poll_piece(*exchange, cx),
            Source::Stream(stream) => stream.poll_next(cx),
        }
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
    // No trailers: what a client says at the end of a request is not for whoever reads the response.
}
