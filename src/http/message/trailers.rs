//! Trailer sections (RFC 9110 §6.5): fields that follow a body, valid by construction, so that they can be
//! encoded in any version.

use std::fmt;

use super::field::{FieldError, push_field};

/// The fields of a trailer section, in order. They arrive after the message was processed: do not merge them
/// into a head (RFC 9110 §6.5.1).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trailers {
    // INVARIANT: lines as `push_field` writes them, none with a name that `is_forbidden_trailer`.
    lines: Vec<u8>,
}

impl Trailers {
    /// A section without fields; holds no memory.
    pub const fn new() -> Trailers {
        Trailers { lines: Vec::new() }
    }

    /// Appends a field.
    ///
    /// # Errors
    /// As [`push_field`]; and [`FieldError::NotInTrailers`] for a field that frames, routes, authenticates or
    /// describes a message, which is allowed only in the head.
    pub fn push(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        if is_forbidden_trailer(name.as_bytes()) {
            return Err(FieldError::NotInTrailers);
        }
        push_field(&mut self.lines, name, value.as_ref())
    }

    /// The same with one more field.
    ///
    /// # Errors
    /// As [`push`](Trailers::push).
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Trailers, FieldError> {
        self.push(name, value)?;
        Ok(self)
    }

    /// Takes lines whose fields a machine has checked: each with its CRLF, as `push_field` writes them.
    pub(in crate::http) fn from_lines(lines: Vec<u8>) -> Trailers {
        Trailers { lines }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Names as they were written, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let lines = self.lines.split_inclusive(|&byte| byte == b'\n');
        lines.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        })
    }

    /// The first value of the field with this name (ASCII case-insensitive).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The field lines in wire form, each with its CRLF.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }
}

/// The names only, because values may hold secrets.
impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

/// Fields that frame, route, authenticate or condition a message, or describe its content: merging one would
/// change how the message should have been processed from its start (RFC 9110 §6.5.1).
pub(in crate::http) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: &[&str] = &[
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "max-forwards",
        "pragma",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "forwarded",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fields_that_may_follow_a_body_are_taken() {
        let mut trailers = Trailers::new();
        assert!(trailers.is_empty());
        assert_eq!(trailers.push("Grpc-Status", "0"), Ok(()));
        assert_eq!(trailers.push("X-Sum", b" 1 "), Ok(()));
        for name in ["Content-Length", "transfer-encoding", "Host", "authorization", "Set-Cookie"] {
            assert_eq!(trailers.push(name, "1"), Err(FieldError::NotInTrailers), "{name}");
        }
        assert_eq!(trailers.push("A", "b\r\nC: d"), Err(FieldError::ValueCharacter(b'\r')));
        assert_eq!(trailers.lines(), b"Grpc-Status: 0\r\nX-Sum: 1\r\n");
        let fields: Vec<_> = trailers.iter().collect();
        assert_eq!(fields, [("Grpc-Status", &b"0"[..]), ("X-Sum", b"1")]);
        assert_eq!(trailers.get("x-sum"), Some(&b"1"[..]));
        assert_eq!(format!("{trailers:?}"), r#"{"Grpc-Status", "X-Sum"}"#);
    }
}
