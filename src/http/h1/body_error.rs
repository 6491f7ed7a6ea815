//! Why a request body cannot be read to its end, and with which status it is refused. As after a refused
//! head, the connection is then closed: where the body ends will never be known.

use std::error::Error;
use std::fmt;

use super::grammar::FieldLineError;
use crate::http::status::Status;

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
