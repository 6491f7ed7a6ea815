//! Bodies that are pulled frame by frame: a request's as the handler reads it, and a response's as the client
//! receives it. Nothing runs ahead of its reader, so memory is bounded by one frame. Knows no wire format.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::inform::InformError;
use super::limits::{BodyPolicy, HalfClose};
use super::peer::Peer;
use crate::http::message::{FramingError, Trailers};
use crate::http::status::Status;
use crate::net::tls::TlsInfo;
use crate::ring::RecvBuf;

/// Why a request body cannot be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// Its framing is malformed or over a limit.
    Framing(FramingError),
    /// The client sent too little for too long.
    TimedOut,
    /// The connection ended within the body.
    Disconnected,
    /// Longer than the caller of [`RequestBody::read_all`] allows.
    TooLarge {
        /// That limit in bytes.
        limit: usize,
    },
    /// It was read after its exchange had ended.
    ExchangeOver,
}

impl BodyError {
    /// The status of the response to the client.
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

/// One part of a body. Trailers are the last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Content.
    Data(Bytes),
    /// The fields after the content. Sent where the version and the framing can carry them: HTTP/2, and
    /// HTTP/1.1 bodies of unknown length.
    Trailers(Trailers),
}

impl From<Bytes> for Frame {
    fn from(data: Bytes) -> Self {
        Self::Data(data)
    }
}

impl From<Trailers> for Frame {
    fn from(trailers: Trailers) -> Self {
        Self::Trailers(trailers)
    }
}

/// Number of an exchange on its connection: below 2⁶², as every version's stream numbers are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExchangeId(u64);

impl ExchangeId {
    /// The highest number (RFC 9000 §2.1 has the widest of all versions).
    pub const MAX: u64 = (1 << 62) - 1;

    /// The exchange with this number.
    pub const fn new(number: u64) -> Self {
        debug_assert!(number <= Self::MAX);
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The connection of a request, as seen by its exchanges: the source of [`RequestBody`], the sink of interim
/// responses, and the facts about the client.
pub trait Downstream {
    /// The next frame of the request's body; `None` at its end.
    fn poll_frame(&self, exchange: ExchangeId, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>>;

    /// Applies this policy to the rest of the request's body.
    fn set_body_policy(&self, exchange: ExchangeId, policy: BodyPolicy);

    /// The policy in force for the request's body.
    fn body_policy(&self, exchange: ExchangeId) -> BodyPolicy;

    /// Sets what becomes of the exchange when the client closes its sending direction.
    fn set_half_close(&self, exchange: ExchangeId, half_close: HalfClose);

    /// Sends an interim response with these field lines, each with its CRLF.
    ///
    /// # Errors
    /// [`InformError`].
    fn inform(&self, exchange: ExchangeId, status: Status, lines: &[u8]) -> Result<(), InformError>;

    /// The client.
    fn peer(&self) -> Peer;

    /// What the TLS handshake negotiated; `None` on a plain connection.
    fn tls(&self) -> Option<Rc<TlsInfo>>;
}

/// A part of a response body, or why there are no more. Opaque outside of this crate.
#[derive(Debug)]
pub struct PulledPiece(pub(crate) Result<BodyPiece, BodyError>);

/// A frame, or why there are no more.
pub type BodyFrame = Result<Frame, BodyError>;

enum BodySource {
    Empty,
    Downstream(Rc<dyn Downstream>, ExchangeId),
    /// A filter's transformation of another body.
    Stream(Box<dyn StreamBody>),
}

/// The body of a request.
pub struct RequestBody {
    source: BodySource,
    length: Option<u64>,
    /// Boxed, because few bodies have trailers.
    trailers: Option<Box<Trailers>>,
}

impl BodyPolicy {
    /// The error for a body whose announced length is over the limit.
    #[inline]
    pub(crate) fn refuse_length(&self, announced: Option<u64>) -> Option<BodyError> {
        let is_too_large = announced.zip(self.bytes_max).is_some_and(|(length, max)| length > max);
        is_too_large.then_some(BodyError::Framing(FramingError::TooLarge))
    }
}

impl RequestBody {
    /// No body.
    pub const fn empty() -> Self {
        Self { source: BodySource::Empty, length: Some(0), trailers: None }
    }

    /// A body from `source`, `length` bytes long if that is known.
    pub fn new(source: Rc<dyn Downstream>, exchange: ExchangeId, length: Option<u64>) -> Self {
        Self { source: BodySource::Downstream(source, exchange), length, trailers: None }
    }

    /// A body in memory.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self::from_stream(Whole(bytes))
    }

    /// A body that is pulled from elsewhere, such as another one that a filter decodes.
    pub fn from_stream(stream: impl StreamBody + 'static) -> Self {
        Self { length: stream.length(), source: BodySource::Stream(Box::new(stream)), trailers: None }
    }

    /// The trailers, once [`next`](Self::next) has returned `None`; empty if there are none.
    pub fn trailers(&self) -> &Trailers {
        const NONE: &Trailers = &Trailers::new();
        self.trailers.as_deref().unwrap_or(NONE)
    }

    /// Its length in bytes, when the client announced it.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether it is known to be empty before it is read.
    pub fn is_empty(&self) -> bool {
        self.length == Some(0)
    }

    /// Whether its announced length is more than the policy of its exchange allows.
    pub(crate) fn is_too_large(&self) -> bool {
        match &self.source {
            BodySource::Downstream(source, exchange) if self.length.is_some() => {
                source.body_policy(*exchange).refuse_length(self.length).is_some()
            }
            _ => false,
        }
    }

    /// Applies another policy than its route's to the rest of the body: see [`BodyPolicy`].
    pub fn set_policy(&mut self, policy: BodyPolicy) {
        if let BodySource::Downstream(source, exchange) = &self.source {
            source.set_body_policy(*exchange, policy);
        }
    }

    /// The next piece of content, or `None` at the end. It is received only on this call: a client that sent
    /// `Expect: 100-continue` gets 100, and flow control opens. Trailers are kept for
    /// [`trailers`](Self::trailers).
    ///
    /// # Errors
    /// See [`BodyError`]; after one nothing more can be read.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for code that polls.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            return Poll::Ready(match std::task::ready!(self.poll_next_frame(cx)) {
                Some(Ok(Frame::Data(data))) => Some(Ok(data)),
                Some(Ok(Frame::Trailers(trailers))) => {
                    self.trailers = Some(Box::new(trailers));
                    continue;
                }
                Some(Err(error)) => Some(Err(error)),
                None => None,
            });
        }
    }

    /// The next frame, trailers included: for handlers that forward a body unchanged.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_frame(&mut self) -> Option<BodyFrame> {
        poll_fn(|cx| self.poll_next_frame(cx)).await
    }

    /// As [`next_frame`](Self::next_frame), for code that polls.
    ///
    /// # Errors
    /// As [`next_frame`](Self::next_frame).
    pub fn poll_next_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        match &mut self.source {
            BodySource::Empty => Poll::Ready(None),
            BodySource::Downstream(source, exchange) => source.poll_frame(*exchange, cx),
            BodySource::Stream(stream) => stream.poll_frame(cx),
        }
    }

    /// The body whole, if it has at most `limit` bytes.
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

/// A body in memory, in one piece. Boxed like any stream, because it would be the largest kind of body
/// otherwise, and every idle connection has room for one.
struct Whole(Bytes);

impl StreamBody for Whole {
    fn poll_frame(&mut self, _cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::Data(bytes))))
    }

    fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    fn length(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

/// One part of a response body, where the driver can take content out of a receive buffer.
#[derive(Debug)]
pub(crate) enum BodyPiece {
    /// A frame.
    Frame(Frame),
    /// Content in the buffer in which it was received, to be copied at once.
    Received(RecvBuf),
}

/// A response body that is pulled as fast as the client receives it.
pub trait StreamBody {
    /// The next frame; `None` at the end. Trailers are the last frame. An error ends the connection, or in
    /// HTTP/2 the stream: the client must see that the body is incomplete.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>>;

    /// As [`poll_frame`](Self::poll_frame), for a driver that copies content into its own output.
    #[doc(hidden)]
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<PulledPiece>> {
        self.poll_frame(cx).map(|frame| frame.map(|frame| PulledPiece(frame.map(BodyPiece::Frame))))
    }

    /// Continues the work of this body beside being read, such as reading the request. Called in place of
    /// [`poll_frame`](Self::poll_frame) while the client receives nothing, so that a full-duplex exchange
    /// cannot stall. After the first call it is called again whenever its waker is woken.
    fn poll_work(&mut self, _cx: &mut Context<'_>) {}

    /// Whether this body may read the request's content, so that a client that waits for `100 Continue` is to
    /// be sent it before the response begins. By default it may.
    fn reads_request(&self) -> bool {
        true
    }

    /// Whether no more data will come: the next frame is trailers, the end, or an error. HTTP/2 needs no
    /// window for these, and asks a body for its next frame only where there is one, or where this is true.
    /// Without it, the end of a body whose data has filled a window is sent once the client opens the window.
    fn is_at_end(&self) -> bool {
        false
    }

    /// Bytes in total, when known: sent as Content-Length, and then enforced.
    fn length(&self) -> Option<u64> {
        None
    }
}

/// As a response, the content alone: the client's trailers are not forwarded to the reader of the response.
/// [`RequestBody::next_frame`] returns both.
impl StreamBody for RequestBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.poll_next(cx).map(|piece| piece.map(|piece| piece.map(Frame::Data)))
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}
