//! Validity of fields in requests and responses (RFC 9113 §8.2), and trailers. Knows single fields, and
//! neither frames nor streams.

use std::ops::ControlFlow;

use super::hpack::Field;
use crate::http::message::grammar::{is_token_byte, is_value_byte};
use crate::http::message::trailers::is_forbidden_trailer;
use crate::http::message::{BodyLimits, FramingError, Trailers};

/// Whether a field may have this name: a token without upper case (RFC 9113 §8.2.1).
pub(super) fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte) && !byte.is_ascii_uppercase())
}

/// Whether a field may have this value: no control characters, no white space at its ends (RFC 9113 §8.2.1).
/// Without an early return, so that the compiler can vectorize it.
#[inline]
pub(super) fn is_value(value: &[u8]) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    value.iter().fold(true, |valid, &byte| valid & is_value_byte(byte))
        && !is_space(value.first())
        && !is_space(value.last())
}

/// Connection-specific fields (RFC 9113 §8.2.2).
pub(super) fn is_of_connection(name: &[u8]) -> bool {
    matches!(name, b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade")
}

/// Trailers as field lines, as they are read.
pub(super) struct TrailerParser<'a> {
    limits: &'a BodyLimits,
    lines: Vec<u8>,
    fields: u32,
}

/// Why trailers are rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TrailerError {
    /// They make the message malformed.
    Malformed,
    /// They break a limit, or have a field that may not follow a body.
    Refused(FramingError),
}

impl<'a> TrailerParser<'a> {
    pub(super) fn new(limits: &'a BodyLimits) -> TrailerParser<'a> {
        TrailerParser { limits, lines: Vec::new(), fields: 0 }
    }

    /// Reads one field.
    pub(super) fn handle_field(&mut self, field: Field<'_>) -> ControlFlow<TrailerError> {
        let Field { name, value, .. } = field;
        if !is_name(name) || !is_value(value) || is_of_connection(name) {
            return ControlFlow::Break(TrailerError::Malformed);
        }
        self.fields += 1;
        let length = self.lines.len() + name.len() + value.len() + ": \r\n".len();
        let refused = if is_forbidden_trailer(name) {
            Some(FramingError::TrailerForbidden)
        } else if self.fields > u32::from(self.limits.trailer_fields_max) {
            Some(FramingError::TooManyTrailers)
        } else {
            (length > usize::from(self.limits.trailer_bytes_max)).then_some(FramingError::TrailersTooLong)
        };
        if let Some(error) = refused {
            return ControlFlow::Break(TrailerError::Refused(error));
        }
        for part in [name, b": ", value, b"\r\n"] {
            self.lines.extend_from_slice(part);
        }
        ControlFlow::Continue(())
    }

    pub(super) fn finish(self) -> Trailers {
        Trailers::from_lines(self.lines)
    }
}
