//! Request bodies out of a byte stream (RFC 9112 §6, §7), whatever delimits them. Nothing is copied: data
//! comes back as a range of the input. Where the bytes come from, how fast, and who reads them is the
//! caller's.

use super::chunked::{BodyStep, ChunkedDecoder};
use crate::http::message::{BodyLimits, Fields, Framing, FramingError};

/// Reads one body.
#[derive(Debug)]
pub struct BodyDecoder {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Length { left: u64 },
    Chunked(ChunkedDecoder),
}

impl BodyDecoder {
    /// A decoder for the body that a head announced.
    ///
    /// # Errors
    /// [`FramingError::TooLarge`] if its length is known and beyond the limit.
    pub fn new(framing: Framing, limits: &BodyLimits) -> Result<BodyDecoder, FramingError> {
        let kind = match framing {
            // HTTP/1 heads have no tunnel before it stands.
            Framing::None | Framing::Tunnel => Kind::Length { left: 0 },
            Framing::Length(length) if limits.body_bytes_max.is_some_and(|max| length > max) => {
                return Err(FramingError::TooLarge);
            }
            Framing::Length(length) => Kind::Length { left: length },
            Framing::Chunked => Kind::Chunked(ChunkedDecoder::new(limits)),
        };
        Ok(BodyDecoder { kind })
    }

    /// Takes at most this many bytes of data from here on, in chunks; a length that was announced is its
    /// reader's to judge.
    pub fn set_bytes_max(&mut self, bytes_max: Option<u64>) {
        if let Kind::Chunked(chunked) = &mut self.kind {
            chunked.set_bytes_max(bytes_max);
        }
    }

    /// Takes what was received, up to the end of the first piece of data and the framing around it. Call
    /// again with what is left until [`is_done`](BodyDecoder::is_done) or the input is empty.
    ///
    /// # Errors
    /// Malformed or oversized framing, once the data before it has been handed out. Answer with its status
    /// if no answer has begun, then close: where this body ends will never be known.
    #[inline]
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<BodyStep, FramingError> {
        match &mut self.kind {
            Kind::Length { left } => {
                let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= length as u64;
                Ok(BodyStep { consumed: length, data: 0..length })
            }
            Kind::Chunked(chunked) => chunked.handle_bytes(input),
        }
    }

    /// Whether the whole body, trailers included, has been read.
    #[inline]
    pub fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Length { left } => *left == 0,
            Kind::Chunked(chunked) => chunked.is_done(),
        }
    }

    /// Bytes of data still to come, when that is known.
    pub fn remaining(&self) -> Option<u64> {
        match &self.kind {
            Kind::Length { left } => Some(*left),
            Kind::Chunked(chunked) => chunked.is_done().then_some(0),
        }
    }

    /// The trailer fields, complete once the body is done. They came after everything was decided on: merge
    /// none into the head (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> Fields<'_> {
        match &self.kind {
            Kind::Length { .. } => Fields::new(&[], &[]),
            Kind::Chunked(chunked) => chunked.trailers(),
        }
    }
}
