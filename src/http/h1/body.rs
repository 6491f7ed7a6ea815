//! Request bodies out of a byte stream (RFC 9112 §6, §7), whatever delimits them. Nothing is copied: data comes
//! back as a range of the input. Where the bytes come from, how fast, and who reads them is the caller's.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use super::chunked::ChunkedDecoder;
use super::grammar::FieldLineError;
use crate::http::head::{Fields, Framing};
use crate::http::status::Status;

/// Bounds on a request body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimits {
    /// Most bytes of data, in either framing; beyond it 413, for a known length before its first byte. `None`
    /// lifts it. Default 16 MiB: forms and photos pass, and a service that takes uploads raises it knowingly.
    pub body_bytes_max: Option<u64>,
    /// Most bytes of chunk extensions in the whole body. Nobody uses them, so the default 16,384 only serves to
    /// bound what a peer can make us read for nothing.
    pub extension_bytes_max: u32,
    /// Most bytes of the trailer section, its empty line included; beyond it 431. Default 4,096, held in
    /// memory until the exchange ends.
    pub trailer_bytes_max: u16,
    /// Most trailer fields; beyond it 431. Default 32.
    pub trailer_fields_max: u8,
}

impl BodyLimits {
    /// The defaults.
    pub const DEFAULT: BodyLimits = BodyLimits {
        body_bytes_max: Some(16 * 1024 * 1024),
        extension_bytes_max: 16 * 1024,
        trailer_bytes_max: 4 * 1024,
        trailer_fields_max: 32,
    };
}

impl Default for BodyLimits {
    fn default() -> BodyLimits {
        BodyLimits::DEFAULT
    }
}

/// What one call took from its input.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BodyStep {
    /// Bytes taken. Never zero while the body is not done and the input not empty; what follows goes into the
    /// next call, or is the next request once the body is done.
    pub consumed: usize,
    /// Where data lies within the input; may be empty, when only framing was read.
    pub data: Range<usize>,
}

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
    /// [`BodyError::TooLarge`] if its length is known and beyond the limit.
    pub fn new(framing: Framing, limits: &BodyLimits) -> Result<BodyDecoder, BodyError> {
        let kind = match framing {
            Framing::None => Kind::Length { left: 0 },
            Framing::Length(length) if limits.body_bytes_max.is_some_and(|max| length > max) => {
                return Err(BodyError::TooLarge);
            }
            Framing::Length(length) => Kind::Length { left: length },
            Framing::Chunked => Kind::Chunked(ChunkedDecoder::new(limits)),
        };
        Ok(BodyDecoder { kind })
    }

    /// Takes what was received, up to the end of the first piece of data and the framing around it. Call again
    /// with what is left until [`is_done`](BodyDecoder::is_done) or the input is empty.
    ///
    /// # Errors
    /// Malformed or oversized framing. Answer with its status if no answer has begun, then close: where this
    /// body ends will never be known.
    #[inline]
    pub fn handle_bytes(&mut self, input: &[u8]) -> Result<BodyStep, BodyError> {
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

/// A body that cannot be read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyError {
    /// More data than `body_bytes_max`.
    TooLarge,
    /// A chunk begins without a size.
    ChunkSizeMissing,
    /// A byte other than a hexadecimal digit, `;` or CRLF in a chunk's size: no prefix, sign or space is
    /// allowed.
    ChunkSizeCharacter(u8),
    /// A chunk's size has more than 16 digits.
    ChunkSizeTooLong,
    /// A chunk's line ends with LF alone.
    ChunkBareLf,
    /// A CR without LF in a chunk's line.
    ChunkBareCr,
    /// A chunk extension without a name, or with a control character.
    ExtensionMalformed,
    /// More bytes of extensions than `extension_bytes_max`.
    ExtensionsTooLong,
    /// Chunk data is not followed by CRLF: its size was wrong.
    ChunkUnterminated,
    /// Far more framing than data: padded sizes on tiny chunks.
    ChunkOverhead,
    /// A trailer field is malformed.
    Trailer(FieldLineError),
    /// A trailer field that belongs into the head: framing, routing, authentication and the like.
    TrailerForbidden,
    /// The trailer section exceeds `trailer_bytes_max`.
    TrailersTooLong,
    /// More trailer fields than `trailer_fields_max`.
    TooManyTrailers,
}

impl BodyError {
    /// The status to answer with.
    pub fn status(self) -> Status {
        match self {
            BodyError::TooLarge => Status::CONTENT_TOO_LARGE,
            BodyError::TrailersTooLong | BodyError::TooManyTrailers => {
                Status::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            _ => Status::BAD_REQUEST,
        }
    }
}

/// One line with cause and remedy, fit for the client and for the log.
impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyError::TooLarge => "the body is larger than this server takes; send less",
            BodyError::ChunkSizeMissing => "a chunk has no size; begin it with hexadecimal digits",
            BodyError::ChunkSizeCharacter(byte) => {
                return write!(f, "a chunk size holds byte 0x{byte:02x}; write hexadecimal digits alone");
            }
            BodyError::ChunkSizeTooLong => "a chunk size has more than 16 digits; leave out leading zeros",
            BodyError::ChunkBareLf => "a chunk line ends with LF alone; end it with CRLF",
            BodyError::ChunkBareCr => "a chunk line holds a CR without LF; end it with CRLF",
            BodyError::ExtensionMalformed => "a chunk extension is malformed; leave extensions out",
            BodyError::ExtensionsTooLong => "too many bytes of chunk extensions; leave extensions out",
            BodyError::ChunkUnterminated => "chunk data is not followed by CRLF; check the chunk's size",
            BodyError::ChunkOverhead => "far more chunk framing than data; leave out leading zeros",
            BodyError::Trailer(error) => return error.fmt(f),
            BodyError::TrailerForbidden => "a trailer field belongs into the head; send it there",
            BodyError::TrailersTooLong => "the trailer section is too long; send fewer or smaller fields",
            BodyError::TooManyTrailers => "too many trailer fields; send fewer",
        })
    }
}

impl Error for BodyError {}

impl From<FieldLineError> for BodyError {
    fn from(error: FieldLineError) -> BodyError {
        BodyError::Trailer(error)
    }
}
