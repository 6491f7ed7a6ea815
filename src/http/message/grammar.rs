//! The characters and lines of HTTP/1.1 in both directions (RFC 9110 §5, RFC 9112 §2.2). Knows single bytes
//! and single lines; fields are interpreted elsewhere.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use memchr::memchr2;

/// Whether `byte` may be part of a token (RFC 9110 §5.6.2).
#[inline]
pub(in crate::http) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// Whether `byte` may stand in a field value: HTAB, SP, VCHAR or obs-text (RFC 9110 §5.5).
#[inline]
pub(in crate::http) fn is_value_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

static TOKEN_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        bytes[byte] = matches!(byte as u8,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
            | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    bytes
};

/// `text` without spaces and tabs at its ends (OWS, RFC 9110 §5.6.3), as a range within it.
#[inline]
pub(in crate::http) fn trimmed(text: &[u8]) -> Range<usize> {
    let is_ows = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_ows(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_ows(byte)).map_or(start, |last| last + 1);
    start..end
}

/// The members of a comma-separated list (RFC 9110 §5.6.1), without white space; empty ones are skipped, as
/// required of recipients.
#[inline]
pub(in crate::http) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(|member| &member[trimmed(member)])
        .filter(|member| !member.is_empty())
}

/// How the first line of the bytes ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::http) enum LineEnd {
    /// It is incomplete.
    Open,
    /// The last byte is a CR: the next one decides.
    Cut,
    /// With CRLF.
    Crlf,
    /// With LF alone.
    BareLf,
    /// With a CR that is not followed by LF.
    BareCr,
}

/// The first line without its end, and how it ends.
pub(in crate::http) fn first_line(bytes: &[u8]) -> (&[u8], LineEnd) {
    let Some(length) = memchr2(b'\r', b'\n', bytes) else { return (bytes, LineEnd::Open) };
    let end = match &bytes[length..] {
        [b'\n', ..] => LineEnd::BareLf,
        [_, b'\n', ..] => LineEnd::Crlf,
        [_, _, ..] => LineEnd::BareCr,
        _ => LineEnd::Cut,
    };
    (&bytes[..length], end)
}

/// Errors of a field line, in a head or in trailers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldLineError {
    /// It begins with white space: a folded line (obs-fold, RFC 9112 §5.2), or a space before the first
    /// field.
    Folded,
    /// The name is empty.
    NameEmpty,
    /// The name is not a token.
    NameCharacter(u8),
    /// White space in the name or between name and colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// The line ends before a colon.
    ColonMissing,
    /// The value has a control character (NUL and DEL included).
    ValueCharacter(u8),
    /// The line ends with LF alone.
    BareLf,
    /// The line has a CR without LF.
    BareCr,
}

impl fmt::Display for FieldLineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldLineError::Folded => {
                f.write_str("a field line begins with white space; send each field in one line")
            }
            FieldLineError::NameEmpty => f.write_str("a field has no name before its colon"),
            FieldLineError::NameCharacter(byte) => {
                write!(
                    f,
                    "a field name holds byte 0x{byte:02x}; names are letters, digits and - _ . and the like"
                )
            }
            FieldLineError::SpaceBeforeColon => {
                f.write_str("a field name is followed by white space; put the colon right after it")
            }
            FieldLineError::ColonMissing => f.write_str("a field line has no colon"),
            FieldLineError::ValueCharacter(byte) => {
                write!(f, "a field value holds control byte 0x{byte:02x}; remove or encode it")
            }
            FieldLineError::BareLf => f.write_str("a field line ends with LF alone; end lines with CRLF"),
            FieldLineError::BareCr => f.write_str("a field line holds a CR without LF; end lines with CRLF"),
        }
    }
}

impl Error for FieldLineError {}

/// A field line at the start of some bytes.
pub(in crate::http) struct FieldLine {
    /// The name.
    pub(in crate::http) name: Range<usize>,
    /// The value without white space around it.
    pub(in crate::http) value: Range<usize>,
    /// Length of the line with its CRLF.
    pub(in crate::http) length: usize,
}

/// Parses the field line at the start of `bytes`; `None` while it is incomplete and valid so far. Bytes are
/// checked in the order received, so a prefix is never refused with another error than the whole.
pub(in crate::http) fn field_line(bytes: &[u8]) -> Result<Option<FieldLine>, FieldLineError> {
    let (line, end) = first_line(bytes);
    let name_length = line.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(line.len());
    match line.get(name_length) {
        Some(b':') if name_length == 0 => return Err(FieldLineError::NameEmpty),
        Some(b':') => {}
        Some(b' ' | b'\t') if name_length == 0 => return Err(FieldLineError::Folded),
        Some(b' ' | b'\t') => return Err(FieldLineError::SpaceBeforeColon),
        Some(&byte) => return Err(FieldLineError::NameCharacter(byte)),
        None if end == LineEnd::Open => return Ok(None),
        None => return Err(FieldLineError::ColonMissing),
    }
    let value_start = name_length + 1;
    let value = &line[value_start..];
    if let Some(&byte) = value.iter().find(|&&byte| !is_value_byte(byte)) {
        return Err(FieldLineError::ValueCharacter(byte));
    }
    match end {
        LineEnd::Open | LineEnd::Cut => Ok(None),
        LineEnd::BareLf => Err(FieldLineError::BareLf),
        LineEnd::BareCr => Err(FieldLineError::BareCr),
        LineEnd::Crlf => {
            let value = trimmed(value);
            Ok(Some(FieldLine {
                name: 0..name_length,
                value: value_start + value.start..value_start + value.end,
                length: line.len() + 2,
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_the_standard() {
        for byte in 0..=255u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token_byte(byte), token, "0x{byte:02x}");
            let value = byte == b'\t' || (0x20..=0x7e).contains(&byte) || byte >= 0x80;
            assert_eq!(is_value_byte(byte), value, "0x{byte:02x}");
        }
    }

    #[test]
    fn lists_lose_white_space_and_empty_members() {
        let members: Vec<&[u8]> = list_members(b" a ,, b\t,c d,").collect();
        assert_eq!(members, [&b"a"[..], b"b", b"c d"]);
        assert_eq!(list_members(b" , ").count(), 0);
    }

    #[test]
    fn lines_and_their_ends() {
        assert_eq!(first_line(b"a"), (&b"a"[..], LineEnd::Open));
        assert_eq!(first_line(b"a\r"), (&b"a"[..], LineEnd::Cut));
        assert_eq!(first_line(b"a\r\nb"), (&b"a"[..], LineEnd::Crlf));
        assert_eq!(first_line(b"a\nb\r\n"), (&b"a"[..], LineEnd::BareLf));
        assert_eq!(first_line(b"a\rb\n"), (&b"a"[..], LineEnd::BareCr));
        assert_eq!(first_line(b"\n"), (&b""[..], LineEnd::BareLf));
    }

    #[test]
    fn trimming() {
        assert_eq!(trimmed(b" \ta b\t "), 2..5);
        assert_eq!(trimmed(b"  "), 2..2);
        assert_eq!(trimmed(b""), 0..0);
    }
}
