//! A response as it arrives: its head at once, its content as it is read. Within the time of its request.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use futures_core::Stream;
use serde::de::DeserializeOwned;

#[cfg(feature = "compress")]
use super::decode::Decoder;
use super::error::{ClientError, ClientErrorKind, TimeoutKind};
use super::url::Url;
use crate::http::message::{ResponseHead, Trailers, Version};
use crate::http::status::Status;
use crate::ring::Ring;
use crate::service::{BodyPiece, Frame, from_json};
use crate::upstream::Incoming;

/// Decompressed bytes after which other tasks of the core have their turn: a millisecond's work.
#[cfg(feature = "compress")]
const DECODED_AT_ONCE: usize = 256 * 1024;

/// A response. Its content is received as it is read; dropped before its end, its connection is closed.
pub struct ClientResponse {
    head: ResponseHead,
    url: Url,
    body: Receiving,
    /// Bytes that were returned so far.
    returned: u64,
    trailers: Trailers,
    over: Option<Pin<Box<dyn Future<Output = ()>>>>,
    #[cfg(feature = "compress")]
    decoder: Option<Decoder>,
    /// Bytes that were decompressed since others had their turn.
    #[cfg(feature = "compress")]
    decoded: usize,
    is_decoded: bool,
    has_failed: bool,
}

/// What is left to receive, and within which limits.
pub(super) struct Receiving {
    pub(super) ring: Ring,
    /// For errors.
    pub(super) what: String,
    pub(super) deadline: Option<Instant>,
    pub(super) whole_bytes_max: usize,
    pub(super) bytes_max: Option<u64>,
    /// Content that came with the head.
    pub(super) first: Bytes,
    /// `None` once all was received.
    pub(super) incoming: Option<Incoming>,
}

impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientResponse({} of {})", self.status().code(), self.body.what)
    }
}

impl ClientResponse {
    pub(super) fn new(
        head: ResponseHead,
        url: Url,
        body: Receiving,
        decodes: bool,
    ) -> Result<Self, ClientError> {
        #[cfg(feature = "compress")]
        let decoder = if decodes { Decoder::of(&head)? } else { None };
        #[cfg(feature = "compress")]
        let is_decoded = decoder.is_some();
        // Nothing was asked for.
        #[cfg(not(feature = "compress"))]
        let is_decoded = decodes;
        Ok(Self {
            head,
            url,
            body,
            returned: 0,
            trailers: Trailers::new(),
            over: None,
            #[cfg(feature = "compress")]
            decoder,
            #[cfg(feature = "compress")]
            decoded: 0,
            is_decoded,
            has_failed: false,
        })
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.head.status()
    }

    /// The version of HTTP.
    pub fn version(&self) -> Version {
        self.head.version()
    }

    /// The URL that answered, after redirects.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The first value of a field, whatever the case of its name, as text; `None` if it is not UTF-8. Content
    /// that is decompressed has no `Content-Encoding` and no `Content-Length`.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All fields, in the order received.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let is_hidden = |name: &str| {
            self.is_decoded
                && (name.eq_ignore_ascii_case("content-encoding")
                    || name.eq_ignore_ascii_case("content-length"))
        };
        self.head.fields().filter(move |(name, _)| !is_hidden(name))
    }

    /// The length of the content, if it is announced and not decompressed.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// The response, unless its status is 400 or more.
    ///
    /// # Errors
    /// [`ClientErrorKind::Status`], with the status.
    pub fn error_for_status(self) -> Result<Self, ClientError> {
        let status = self.status();
        if status.code() < 400 {
            return Ok(self);
        }
        Err(ClientError::status_error(status).of(|| self.body.what))
    }

    /// The content, whole.
    ///
    /// # Errors
    /// It is longer than `whole_bytes_max`, or cannot be received.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let max = self.body.whole_bytes_max;
        let too_large = || {
            let text = format!("the content is longer than {max} bytes (whole_bytes_max)");
            ClientError::text(ClientErrorKind::TooLarge, text)
        };
        if self.content_length().is_some_and(|length| length > max as u64) && self.body.incoming.is_some() {
            return Err(too_large().of(|| self.body.what));
        }
        let mut first = Bytes::new();
        let mut all: Vec<u8> = Vec::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if first.len() + all.len() + piece.len() > max {
                return Err(too_large().of(|| self.body.what));
            }
            if first.is_empty() && all.is_empty() {
                first = piece;
                continue;
            }
            if all.is_empty() {
                all = std::mem::take(&mut first).into();
            }
            all.extend_from_slice(&piece);
        }
        Ok(if all.is_empty() { first } else { all.into() })
    }

    /// The content as text in UTF-8.
    ///
    /// # Errors
    /// As of [`bytes`](Self::bytes); or it is not UTF-8.
    pub async fn text(self) -> Result<String, ClientError> {
        let what = self.body.what.clone();
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into())
            .map_err(|_| ClientError::text(ClientErrorKind::Decode, "the content is not UTF-8").of(|| what))
    }

    /// The value of the content, which is JSON. An error names the place, as a JSON pointer.
    ///
    /// # Errors
    /// As of [`bytes`](Self::bytes); or it is no JSON of this type.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let what = self.body.what.clone();
        let bytes = self.bytes().await?;
        from_json(&bytes).map_err(|fault| {
            let place = if fault.place.is_empty() { "the content".to_owned() } else { fault.place };
            ClientError::text(ClientErrorKind::Decode, format!("{place} {}", fault.reason)).of(|| what)
        })
    }

    /// The next piece of content; `None` at its end, after which [`trailers`](Self::trailers) has what
    /// followed.
    ///
    /// # Errors
    /// It cannot be received, or is longer than allowed; nothing follows.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The fields after the content, once [`next`](Self::next) has returned `None`; empty if there are none.
    pub fn trailers(&self) -> &Trailers {
        &self.trailers
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        if self.has_failed {
            return Poll::Ready(None);
        }
        let late = || ClientError::late(TimeoutKind::Total, "its content takes too long", false);
        // One that never waits is late too.
        let is_late = self.body.deadline.is_some_and(|deadline| self.body.ring.now() >= deadline);
        let piece = match self.poll_decoded(cx) {
            Poll::Ready(_) if is_late && self.body.incoming.is_some() => Some(Err(late())),
            Poll::Ready(piece) => piece,
            Poll::Pending => match self.poll_over(cx) {
                Poll::Ready(()) => Some(Err(late())),
                Poll::Pending => return Poll::Pending,
            },
        };
        let piece = match piece {
            Some(Ok(piece)) => {
                self.returned += piece.len() as u64;
                match self.body.bytes_max {
                    Some(max) if self.returned > max => {
                        let text = format!("the content is longer than {max} bytes (response_bytes_max)");
                        Some(Err(ClientError::text(ClientErrorKind::TooLarge, text)))
                    }
                    _ => Some(Ok(piece)),
                }
            }
            other => other,
        };
        Poll::Ready(piece.map(|piece| {
            piece.map_err(|error| {
                self.has_failed = true;
                // Closes the connection.
                self.body.incoming = None;
                error.of(|| self.body.what.clone())
            })
        }))
    }

    /// Whether its time is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.body.deadline else { return Poll::Pending };
        let ring = &self.body.ring;
        let over = self.over.get_or_insert_with(|| {
            let (ring, left) = (ring.clone(), deadline.saturating_duration_since(ring.now()));
            Box::pin(async move { ring.sleep(left).await })
        });
        over.as_mut().poll(cx)
    }

    #[cfg(feature = "compress")]
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        loop {
            let Some(decoder) = &mut self.decoder else { return self.poll_received(cx) };
            if self.decoded >= DECODED_AT_ONCE {
                self.decoded = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match decoder.next() {
                Ok(piece) if !piece.is_empty() => {
                    self.decoded += piece.len();
                    return Poll::Ready(Some(Ok(piece)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match ready!(self.poll_received(cx)) {
                Some(Ok(piece)) => self.decoder.iter_mut().for_each(|decoder| decoder.take(piece.clone())),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let ended = self.decoder.take().map_or(Ok(()), |decoder| decoder.end());
                    return Poll::Ready(ended.err().map(Err));
                }
            }
        }
    }

    #[cfg(not(feature = "compress"))]
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        self.poll_received(cx)
    }

    /// The next piece as it was sent.
    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        loop {
            if !self.body.first.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut self.body.first))));
            }
            let Some(incoming) = &mut self.body.incoming else { return Poll::Ready(None) };
            match ready!(incoming.poll_part(false, cx)) {
                Some(Ok(BodyPiece::Frame(Frame::Data(data)))) => return Poll::Ready(Some(Ok(data))),
                Some(Ok(BodyPiece::Received(data))) => {
                    return Poll::Ready(Some(Ok(Bytes::copy_from_slice(&data))));
                }
                Some(Ok(BodyPiece::Frame(Frame::Trailers(trailers)))) => self.trailers = trailers,
                Some(Err(error)) => return Poll::Ready(Some(Err(ClientError::exchange(error)))),
                None => self.body.incoming = None,
            }
        }
    }
}

/// The content in pieces, as [`next`](ClientResponse::next): a handler passes it on with
/// [`Response::from_stream`](crate::service::Response::from_stream).
impl Stream for ClientResponse {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_piece(cx)
    }
}
