//! Bodies of requests and responses out of a byte stream (RFC 9112 §6, §7), with any framing. Nothing is
//! copied: data is returned as a range of the input. Source and pace of the bytes are up to the caller.

use super::chunked::{BodyStep, ChunkedDecoder};
use crate::http::message::{BodyLimits, Fields, Framing, FramingError, Trailers};

/// Decodes one body.
#[derive(Debug)]
pub struct BodyDecoder {
    kind: BodyKind,
}

#[derive(Debug)]
enum BodyKind {
    Length {
        left: u64,
    },
    Chunked(ChunkedDecoder),
    /// `left` is the rest of the limit.
    UntilClose {
        left: u64,
        has_ended: bool,
    },
}

impl BodyDecoder {
    /// A decoder for the body with this framing.
    ///
    /// # Errors
    /// [`FramingError::TooLarge`] if its length is known and beyond the limit.
    pub fn new(framing: Framing, limits: &BodyLimits) -> Result<BodyDecoder, FramingError> {
        let kind = match framing {
            // In HTTP/1, a tunnel is known only after the response.
            Framing::None | Framing::Tunnel => BodyKind::Length { left: 0 },
            Framing::Length(length) if limits.body_bytes_max.is_some_and(|max| length > max) => {
                return Err(FramingError::TooLarge);
            }
            Framing::Length(length) => BodyKind::Length { left: length },
            Framing::Chunked => BodyKind::Chunked(ChunkedDecoder::new(limits)),
            Framing::UntilClose => {
                BodyKind::UntilClose { left: limits.body_bytes_max.unwrap_or(u64::MAX), has_ended: false }
            }
        };
        Ok(BodyDecoder { kind })
    }

    /// Limits the data from here on, in chunks; an announced length is checked by the caller.
    pub fn set_bytes_max(&mut self, bytes_max: Option<u64>) {
        if let BodyKind::Chunked(chunked) = &mut self.kind {
            chunked.set_bytes_max(bytes_max);
        }
    }

    /// Takes received bytes, up to the end of the first piece of data and the framing around it. Call again
    /// with the rest until [`is_done`](BodyDecoder::is_done) or the input is empty.
    ///
    /// # Errors
    /// Malformed or oversized framing, once the data before it has been returned. Close the connection, after
    /// a response with the error's status if the body is a request's and no response has begun, because the
    /// end of this body is unknown.
    #[inline]
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<BodyStep, FramingError> {
        match &mut self.kind {
            BodyKind::Length { left } => Ok(take(left, input)),
            BodyKind::Chunked(chunked) => chunked.handle_bytes(input),
            BodyKind::UntilClose { has_ended: true, .. } => Ok(BodyStep::default()),
            BodyKind::UntilClose { left: 0, .. } if !input.is_empty() => Err(FramingError::TooLarge),
            BodyKind::UntilClose { left, .. } => Ok(take(left, input)),
        }
    }

    /// Takes the end of the connection's receiving side, which ends a body that is delimited by it. With TLS
    /// only close_notify counts as the end, because an attacker can truncate a TCP stream.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] if a length or chunks announced more. The body is incomplete: forward it
    /// only in a way that lets its recipient detect the truncation.
    pub fn end_of_input(&mut self) -> Result<(), FramingError> {
        if let BodyKind::UntilClose { has_ended, .. } = &mut self.kind {
            *has_ended = true;
        }
        if self.is_done() { Ok(()) } else { Err(FramingError::Truncated) }
    }

    /// Whether the whole body, trailers included, has been read.
    #[inline]
    pub fn is_done(&self) -> bool {
        match &self.kind {
            BodyKind::Length { left } => *left == 0,
            BodyKind::Chunked(chunked) => chunked.is_done(),
            BodyKind::UntilClose { has_ended, .. } => *has_ended,
        }
    }

    /// Remaining bytes of data, if known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.kind {
            BodyKind::Length { left } => Some(*left),
            BodyKind::Chunked(chunked) => chunked.is_done().then_some(0),
            BodyKind::UntilClose { has_ended, .. } => has_ended.then_some(0),
        }
    }

    /// The trailer fields, complete once the body is done. They arrive after the message was processed: do
    /// not merge them into the head (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> Fields<'_> {
        match &self.kind {
            BodyKind::Length { .. } | BodyKind::UntilClose { .. } => Fields::new(&[], &[]),
            BodyKind::Chunked(chunked) => chunked.trailers(),
        }
    }

    /// The same fields, moved out of the decoder.
    pub fn take_trailers(&mut self) -> Trailers {
        match &mut self.kind {
            BodyKind::Length { .. } | BodyKind::UntilClose { .. } => Trailers::new(),
            BodyKind::Chunked(chunked) => chunked.take_trailers(),
        }
    }
}

/// Takes at most `left` bytes of data.
#[inline]
fn take(left: &mut u64, input: &[u8]) -> BodyStep {
    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= length as u64;
    BodyStep { consumed: length, data: 0..length }
}
