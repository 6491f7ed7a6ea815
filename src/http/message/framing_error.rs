//! Why a body cannot be read to its end, and the status of the refusal if it is a request's. As after a
//! refused head, the connection is then closed, because the end of the body is unknown.

use std::error::Error;
use std::fmt;

use super::grammar::FieldLineError;
use crate::http::status::Status;

/// A body that cannot be read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FramingError {
    /// More data than `body_bytes_max`.
    TooLarge,
    /// The connection ended within the body.
    Truncated,
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
    /// A chunk extension that is not `;` and a name, with or without `=` and a token or quoted string.
    ExtensionMalformed,
    /// More bytes of extensions than `extension_bytes_max`.
    ExtensionsTooLong,
    /// Chunk data is not followed by CRLF: its size was wrong.
    ChunkUnterminated,
    /// Far more framing than data: padded sizes on tiny chunks.
    ChunkOverhead,
    /// A trailer field is malformed.
    Trailer(FieldLineError),
    /// A trailer field that is allowed only in the head: framing, routing, authentication and the like.
    TrailerForbidden,
    /// The trailer section exceeds `trailer_bytes_max`.
    TrailersTooLong,
    /// More trailer fields than `trailer_fields_max`.
    TooManyTrailers,
}

impl FramingError {
    /// The status for a request. A gateway whose upstream's body fails answers 502 instead, or aborts the
    /// response that it has begun.
    pub fn status(self) -> Status {
        match self {
            FramingError::TooLarge => Status::CONTENT_TOO_LARGE,
            FramingError::TrailersTooLong | FramingError::TooManyTrailers => {
                Status::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            _ => Status::BAD_REQUEST,
        }
    }
}

/// One line with cause and remedy, suitable for the client and for the log.
impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FramingError::TooLarge => "the body is larger than this server takes; send less",
            FramingError::Truncated => "the connection was closed before the body was complete",
            FramingError::ChunkSizeMissing => "a chunk has no size; begin it with hexadecimal digits",
            FramingError::ChunkSizeCharacter(byte) => {
                return write!(f, "a chunk size holds byte 0x{byte:02x}; write hexadecimal digits alone");
            }
            FramingError::ChunkSizeTooLong => "a chunk size has more than 16 digits; leave out leading zeros",
            FramingError::ChunkBareLf => "a chunk line ends with LF alone; end it with CRLF",
            FramingError::ChunkBareCr => "a chunk line holds a CR without LF; end it with CRLF",
            FramingError::ExtensionMalformed => "a chunk extension is malformed; leave extensions out",
            FramingError::ExtensionsTooLong => "too many bytes of chunk extensions; leave extensions out",
            FramingError::ChunkUnterminated => "chunk data is not followed by CRLF; check the chunk's size",
            FramingError::ChunkOverhead => "far more chunk framing than data; leave out leading zeros",
            FramingError::Trailer(error) => return error.fmt(f),
            FramingError::TrailerForbidden => "a trailer field belongs into the head; send it there",
            FramingError::TrailersTooLong => "the trailer section is too long; send fewer or smaller fields",
            FramingError::TooManyTrailers => "too many trailer fields; send fewer",
        })
    }
}

impl Error for FramingError {}

impl From<FieldLineError> for FramingError {
    fn from(error: FieldLineError) -> FramingError {
        FramingError::Trailer(error)
    }
}
