//! The chunked coding (RFC 9112 §7.1), parsed strictly: sizes are digits only, line ends are CRLF only, and
//! everything but data is limited. Sees only the bytes of the body.

use std::ops::Range;

use memchr::memchr;

use crate::http::message::grammar::{field_line, is_token_byte, is_value_byte};
use crate::http::message::head::{FieldSpan, Span};
use crate::http::message::trailers::is_forbidden_trailer;
use crate::http::message::{self, BodyLimits, FieldLineError, Fields, FramingError};

/// The result of one call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BodyStep {
    /// Bytes taken. Never zero while the body is not done and the input is not empty; the rest goes into the
    /// next call, or is the next message once the body is done.
    pub consumed: usize,
    /// The range of data within the input; may be empty if only framing was read.
    pub data: Range<usize>,
}

/// Most digits of a size: what 64 bits hold.
const SIZE_DIGITS_MAX: u8 = 16;

/// Framing bytes that a body may use before they are compared with its data.
const OVERHEAD_BYTES_FREE: u64 = 64 * 1024;

/// Framing bytes allowed per byte of data beyond that. One byte per chunk costs five (`1 CR LF`, the byte,
/// `CR LF`), so regular framing always passes; only padded sizes do not.
const OVERHEAD_PER_DATA_BYTE: u64 = 8;

/// The states, chunk by chunk:
///
/// ```text
/// Size ──► SizeLf ──► Data ──► DataCr ──► DataLf ─┐
///  ▲│ ;  ▲     │ size 0                           │
///  │└► Extension                                  │
///  │           └──────► Trailers ──► Done         │
///  └──────────────────────────────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ChunkState {
    /// In the digits of a size.
    Size { size: u64, digits: u8 },
    /// In the extensions, after the first `;`.
    Extension { size: u64, place: ExtensionState },
    /// After the CR of the size's line.
    SizeLf { size: u64 },
    /// In data; `left` is never 0.
    Data { left: u64 },
    /// Data is complete, its CR comes next.
    DataCr,
    /// Its LF comes next.
    DataLf,
    /// After the last chunk.
    Trailers,
    /// The end.
    Done,
    /// After an error; every further call returns it.
    Failed(FramingError),
}

/// State within the extensions (RFC 9112 §7.1.1):
///
/// ```text
/// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
/// ```
///
/// White space between the size and the first `;` is refused although the grammar allows it, as it is refused
/// before CRLF: some recipients parse a size followed by white space as another size, which allows request
/// smuggling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ExtensionState {
    /// After `;` and white space.
    NameStart,
    /// In a name.
    Name,
    /// In white space after a name, which `=` or `;` has to end.
    NameEnd,
    /// After `=` and white space.
    ValueStart,
    /// In a value that is a token.
    Token,
    /// Within quotes.
    Quoted,
    /// After a backslash within quotes.
    QuotedPair,
    /// After the closing quote.
    Unquoted,
    /// In white space after a value, which `;` has to end.
    ValueEnd,
}

impl ExtensionState {
    /// The state after `byte`, which is not a line end; `None` if it is not allowed here.
    fn next(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Quoted, b'"') => Self::Unquoted,
            (Self::Quoted, b'\\') => Self::QuotedPair,
            (Self::Quoted | Self::QuotedPair, _) if is_value_byte(byte) => Self::Quoted,
            (Self::Quoted | Self::QuotedPair, _) => return None,

            (Self::NameStart | Self::Name, _) if is_token_byte(byte) => Self::Name,
            (Self::ValueStart | Self::Token, _) if is_token_byte(byte) => Self::Token,
            (Self::ValueStart, b'"') => Self::Quoted,

            (Self::NameStart | Self::ValueStart, b' ' | b'\t') => self,
            (Self::Name | Self::NameEnd, b' ' | b'\t') => Self::NameEnd,
            (Self::Token | Self::Unquoted | Self::ValueEnd, b' ' | b'\t') => Self::ValueEnd,

            (Self::Name | Self::NameEnd, b'=') => Self::ValueStart,
            (Self::Name | Self::NameEnd | Self::Token | Self::Unquoted | Self::ValueEnd, b';') => {
                Self::NameStart
            }
            _ => return None,
        })
    }

    /// Whether the line may end here.
    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::Unquoted)
    }
}

impl ChunkState {
    const CHUNK_START: ChunkState = ChunkState::Size { size: 0, digits: 0 };
}

#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: ChunkState,
    limits: BodyLimits,
    /// Bytes of data of all chunks whose size was read.
    data_bytes: u64,
    /// Bytes of framing before the trailers.
    overhead_bytes: u64,
    extension_bytes: u32,
    /// Allocated by the first trailer, because few bodies have one.
    trailers: Option<Box<TrailerBuffer>>,
}

#[derive(Debug, Default)]
struct TrailerBuffer {
    bytes: Vec<u8>,
    fields: Vec<FieldSpan>,
    /// Start of the incomplete line in `bytes`.
    line_start: usize,
}

impl ChunkedDecoder {
    pub(super) fn new(limits: &BodyLimits) -> ChunkedDecoder {
        ChunkedDecoder {
            state: ChunkState::CHUNK_START,
            limits: *limits,
            data_bytes: 0,
            overhead_bytes: 0,
            extension_bytes: 0,
            trailers: None,
        }
    }

    pub(super) fn set_bytes_max(&mut self, bytes_max: Option<u64>) {
        self.limits.body_bytes_max = bytes_max;
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    pub(super) fn trailers(&self) -> Fields<'_> {
        match &self.trailers {
            Some(trailers) => Fields::new(&trailers.bytes, &trailers.fields),
            None => Fields::new(&[], &[]),
        }
    }

    /// The trailer fields, moved out of the decoder.
    pub(super) fn take_trailers(&mut self) -> message::Trailers {
        let lines = self.trailers().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"]);
        let lines = lines.flatten().copied().collect();
        self.trailers = None;
        message::Trailers::from_lines(lines)
    }

    pub(super) fn handle_bytes(&mut self, input: &[u8]) -> Result<BodyStep, FramingError> {
        let mut consumed = 0;
        let mut data = 0..0;
        while consumed < input.len() {
            let taken = match self.state {
                ChunkState::Done => break,
                ChunkState::Data { .. } if !data.is_empty() => break,
                ChunkState::Data { left } => {
                    data = self.take_data(left, consumed..input.len());
                    Ok(data.len())
                }
                ChunkState::Trailers => self.handle_trailers(&input[consumed..]),
                ChunkState::Failed(error) => Err(error),
                _ => self.handle_framing(input[consumed]),
            };
            match taken {
                Ok(taken) => consumed += taken,
                // Data before an error is returned first, as it is when the error arrives in another read.
                Err(error) => {
                    self.state = ChunkState::Failed(error);
                    if data.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
        }
        Ok(BodyStep { consumed, data })
    }

    fn take_data(&mut self, left: u64, available: Range<usize>) -> Range<usize> {
        let length = usize::try_from(left).map_or(available.len(), |left| left.min(available.len()));
        let left = left - length as u64;
        self.state = if left == 0 { ChunkState::DataCr } else { ChunkState::Data { left } };
        available.start..available.start + length
    }

    /// Processes one byte of framing between data.
    fn handle_framing(&mut self, byte: u8) -> Result<usize, FramingError> {
        self.state = self.next_state(byte)?;
        self.overhead_bytes += 1;
        Ok(1)
    }

    fn next_state(&mut self, byte: u8) -> Result<ChunkState, FramingError> {
        Ok(match (self.state, byte) {
            (ChunkState::Size { digits: 0, .. }, b'\r' | b';') => return Err(FramingError::ChunkSizeMissing),
            (ChunkState::Size { size, .. }, b'\r') => ChunkState::SizeLf { size },
            (ChunkState::Size { size, .. }, b';') => {
                ChunkState::Extension { size, place: ExtensionState::NameStart }
            }
            (ChunkState::Size { .. }, b'\n') => return Err(FramingError::ChunkBareLf),
            (ChunkState::Size { size, digits }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(FramingError::ChunkSizeCharacter(byte))?;
                if digits == SIZE_DIGITS_MAX {
                    return Err(FramingError::ChunkSizeTooLong);
                }
                ChunkState::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }

            (ChunkState::Extension { .. }, b'\n') => return Err(FramingError::ChunkBareLf),
            (ChunkState::Extension { size, place }, b'\r') if place.may_end() => ChunkState::SizeLf { size },
            (ChunkState::Extension { size, place }, _) => {
                let place = place.next(byte).ok_or(FramingError::ExtensionMalformed)?;
                self.count_extension_byte()?;
                ChunkState::Extension { size, place }
            }

            (ChunkState::SizeLf { size }, b'\n') => self.start_chunk(size)?,
            (ChunkState::SizeLf { .. }, _) => return Err(FramingError::ChunkBareCr),

            (ChunkState::DataCr, b'\r') => ChunkState::DataLf,
            (ChunkState::DataLf, b'\n') => ChunkState::CHUNK_START,
            (ChunkState::DataCr | ChunkState::DataLf, _) => return Err(FramingError::ChunkUnterminated),

            // Not framing; not reached from `handle_bytes`.
            (
                state @ (ChunkState::Data { .. }
                | ChunkState::Trailers
                | ChunkState::Done
                | ChunkState::Failed(_)),
                _,
            ) => state,
        })
    }

    fn count_extension_byte(&mut self) -> Result<(), FramingError> {
        if self.extension_bytes == self.limits.extension_bytes_max {
            return Err(FramingError::ExtensionsTooLong);
        }
        self.extension_bytes += 1;
        Ok(())
    }

    /// Checks a chunk whose size is known.
    fn start_chunk(&mut self, size: u64) -> Result<ChunkState, FramingError> {
        if size == 0 {
            return Ok(ChunkState::Trailers);
        }
        let allowance =
            OVERHEAD_BYTES_FREE.saturating_add(self.data_bytes.saturating_mul(OVERHEAD_PER_DATA_BYTE));
        if self.overhead_bytes > allowance {
            return Err(FramingError::ChunkOverhead);
        }
        // A sum beyond 64 bits is too large under any limit, even none.
        self.data_bytes = self.data_bytes.checked_add(size).ok_or(FramingError::TooLarge)?;
        if self.limits.body_bytes_max.is_some_and(|max| self.data_bytes > max) {
            return Err(FramingError::TooLarge);
        }
        Ok(ChunkState::Data { left: size })
    }

    /// Takes trailer bytes up to the end of a line; an empty section, the usual case, allocates nothing.
    fn handle_trailers(&mut self, input: &[u8]) -> Result<usize, FramingError> {
        if self.trailers.is_none() && input.starts_with(b"\r\n") {
            self.state = ChunkState::Done;
            return Ok(2);
        }
        let trailers = self.trailers.get_or_insert_default();
        let line_end = memchr(b'\n', input).map(|at| at + 1);
        let room = usize::from(self.limits.trailer_bytes_max).saturating_sub(trailers.bytes.len());
        let wanted = line_end.unwrap_or(input.len());
        let taken = wanted.min(room);
        trailers.bytes.extend_from_slice(&input[..taken]);
        if line_end.is_none() && wanted <= room {
            return Ok(taken);
        }
        // The line is complete, or the section too long; check for a malformed line first, as when it arrives
        // in one piece.
        if trailers.handle_line(self.limits.trailer_fields_max)? {
            self.state = ChunkState::Done;
        } else if wanted > room {
            return Err(FramingError::TrailersTooLong);
        }
        Ok(taken)
    }
}

impl TrailerBuffer {
    /// Parses the gathered line; true when it is the empty one that ends the section.
    fn handle_line(&mut self, fields_max: u8) -> Result<bool, FramingError> {
        let line = &self.bytes[self.line_start..];
        match line {
            [] | [b'\r'] => return Ok(false),
            [b'\r', b'\n'] => {
                self.bytes.truncate(self.line_start);
                return Ok(true);
            }
            [b'\r', ..] => return Err(FramingError::Trailer(FieldLineError::BareCr)),
            [b'\n', ..] => return Err(FramingError::Trailer(FieldLineError::BareLf)),
            _ if self.fields.len() >= usize::from(fields_max) => return Err(FramingError::TooManyTrailers),
            _ => {}
        }
        let Some(field) = field_line(line)? else { return Ok(false) };
        if is_forbidden_trailer(&line[field.name.clone()]) {
            return Err(FramingError::TrailerForbidden);
        }
        let span =
            |range: Range<usize>| Span::new(self.line_start + range.start..self.line_start + range.end);
        self.fields.push(FieldSpan::new(span(field.name), span(field.value)));
        self.line_start += field.length;
        Ok(false)
    }
}
