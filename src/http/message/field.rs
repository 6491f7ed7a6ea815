//! Field lines written by this side (RFC 9110 §5), in the format of HTTP/1, from which every version encodes
//! them: the allowed content is checked once, when a field is written.

use std::error::Error;
use std::fmt;

use super::grammar::{is_token_byte, is_value_byte, trimmed};

/// Appends one field line, or nothing if it is refused.
///
/// # Errors
/// A value from an untrusted source could otherwise split the response or change its framing.
pub fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), FieldError> {
    let name = name.as_bytes();
    if name.is_empty() {
        return Err(FieldError::NameEmpty);
    }
    if let Some(&byte) = name.iter().find(|&&byte| !is_token_byte(byte)) {
        return Err(FieldError::NameCharacter(byte));
    }
    // The length excludes most names.
    match name.len() {
        14 | 17
            if name.eq_ignore_ascii_case(b"content-length")
                || name.eq_ignore_ascii_case(b"transfer-encoding") =>
        {
            return Err(FieldError::Framing);
        }
        4 | 10 | 16 if OF_THE_SERVER.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) => {
            return Err(FieldError::OfTheServer);
        }
        _ => {}
    }
    if let Some(&byte) = value.iter().find(|&&byte| !is_value_byte(byte)) {
        return Err(FieldError::ValueCharacter(byte));
    }
    let value = &value[trimmed(value)];
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Fields of the connection and of the moment of sending, of which a message has one, added by its sender.
const OF_THE_SERVER: [&str; 4] = ["Date", "Connection", "Keep-Alive", "Proxy-Connection"];

/// Why a field is not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldError {
    /// The name is empty.
    NameEmpty,
    /// The name is not a token.
    NameCharacter(u8),
    /// The value has a control character; CR or LF would begin another field or response.
    ValueCharacter(u8),
    /// `Content-Length` and `Transfer-Encoding` are derived from the body's length, so that a message never
    /// has two framings.
    Framing,
    /// `Connection`, `Keep-Alive`, `Proxy-Connection` and `Date` are written by the server.
    OfTheServer,
    /// The field is allowed only in the head.
    NotInTrailers,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldError::NameEmpty => f.write_str("a response field needs a name"),
            FieldError::NameCharacter(byte) => {
                write!(f, "a response field's name holds byte 0x{byte:02x}; use letters, digits and hyphens")
            }
            FieldError::ValueCharacter(byte) => {
                write!(f, "a response field's value holds control byte 0x{byte:02x}; remove or encode it")
            }
            FieldError::NotInTrailers => f.write_str("this field cannot follow a body; set it in the head"),
            FieldError::OfTheServer => f.write_str(
                "Connection, Keep-Alive, Proxy-Connection and Date are written by the server; leave them out",
            ),
            FieldError::Framing => {
                f.write_str("framing fields are written from the body's length; set that instead")
            }
        }
    }
}

impl Error for FieldError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_split_a_response() {
        let mut out = Vec::new();
        assert_eq!(push_field(&mut out, "X-A", b" caf\xe9\tau lait "), Ok(()));
        assert_eq!(push_field(&mut out, "Empty", b""), Ok(()));
        assert_eq!(out, b"X-A: caf\xe9\tau lait\r\nEmpty: \r\n");
        let refused: [(&str, &[u8], FieldError); 13] = [
            ("", b"a", FieldError::NameEmpty),
            ("A B", b"a", FieldError::NameCharacter(b' ')),
            ("A:", b"a", FieldError::NameCharacter(b':')),
            ("A\r\nB", b"a", FieldError::NameCharacter(b'\r')),
            ("A", b"a\r\nSet-Cookie: b", FieldError::ValueCharacter(b'\r')),
            ("A", b"a\nb", FieldError::ValueCharacter(b'\n')),
            ("A", b"\0", FieldError::ValueCharacter(0)),
            ("content-length", b"1", FieldError::Framing),
            ("TRANSFER-ENCODING", b"chunked", FieldError::Framing),
            ("connection", b"close", FieldError::OfTheServer),
            ("Keep-Alive", b"timeout=5", FieldError::OfTheServer),
            ("Proxy-Connection", b"close", FieldError::OfTheServer),
            ("DATE", b"Sun, 06 Nov 1994 08:49:37 GMT", FieldError::OfTheServer),
        ];
        let before = out.clone();
        for (name, value, error) in refused {
            assert_eq!(push_field(&mut out, name, value), Err(error));
        }
        assert_eq!(out, before);
    }
}
