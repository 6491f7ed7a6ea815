//! Percent-decoding (RFC 3986 §2.1) and form-decoding, strict: invalid text is an error and is not replaced.
//! Borrows what needs no decoding.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use memchr::{memchr, memchr2};

/// Why the decoded bytes are not text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PercentError {
    /// A `%` without two hexadecimal digits after it.
    BrokenEscape,
    /// The decoded bytes are not UTF-8.
    NotUtf8,
}

impl fmt::Display for PercentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenEscape => "has a percent sign without two hexadecimal digits; write %25 for one",
            Self::NotUtf8 => "is not UTF-8 once its percent signs are decoded",
        })
    }
}

impl Error for PercentError {}

/// Decodes a part of a path: only `%XX` is special.
///
/// # Errors
/// See [`PercentError`].
pub fn decode(raw: &str) -> Result<Cow<'_, str>, PercentError> {
    match memchr(b'%', raw.as_bytes()) {
        None => Ok(Cow::Borrowed(raw)),
        Some(at) => rewrite(raw, at, false).map(Cow::Owned),
    }
}

/// Decodes a name or value of a form or query (`application/x-www-form-urlencoded`), where `+` is a space.
///
/// # Errors
/// See [`PercentError`].
pub fn decode_form(raw: &str) -> Result<Cow<'_, str>, PercentError> {
    match memchr2(b'%', b'+', raw.as_bytes()) {
        None => Ok(Cow::Borrowed(raw)),
        Some(at) => rewrite(raw, at, true).map(Cow::Owned),
    }
}

/// Decodes from byte `at` on.
fn rewrite(raw: &str, at: usize, plus_is_space: bool) -> Result<String, PercentError> {
    let (plain, mut rest) = raw.as_bytes().split_at(at);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(plain);
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => (hexadecimal(*high)? << 4 | hexadecimal(*low)?, tail),
            (b'%', _) => return Err(PercentError::BrokenEscape),
            (b'+', tail) if plus_is_space => (b' ', tail),
            (byte, tail) => (*byte, tail),
        };
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).map_err(|_| PercentError::NotUtf8)
}

fn hexadecimal(digit: u8) -> Result<u8, PercentError> {
    // A digit is below 16.
    char::from(digit).to_digit(16).map(|value| value as u8).ok_or(PercentError::BrokenEscape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_lent() {
        assert!(matches!(decode("a+b-ä"), Ok(Cow::Borrowed("a+b-ä"))));
        assert!(matches!(decode_form("a b"), Ok(Cow::Borrowed("a b"))));
        assert!(matches!(decode(""), Ok(Cow::Borrowed(""))));
    }

    #[test]
    fn escapes_are_decoded_once() {
        assert_eq!(decode("%41b%2525%2f").unwrap(), "Ab%25/");
        assert_eq!(decode("a+%2B").unwrap(), "a++");
        assert_eq!(decode_form("a+%2B+").unwrap(), "a + ");
        assert_eq!(decode("x%C3%a4%00").unwrap(), "xä\0");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for broken in ["%", "%4", "a%zz", "%%41", "%+1", "% 1", "%4ä"] {
            assert_eq!(decode(broken), Err(PercentError::BrokenEscape), "{broken}");
            assert_eq!(decode_form(broken), Err(PercentError::BrokenEscape), "{broken}");
        }
        for foreign in ["%ff", "a%C3", "%ED%A0%80", "%C0%AF"] {
            assert_eq!(decode(foreign), Err(PercentError::NotUtf8), "{foreign}");
            assert_eq!(decode_form(foreign), Err(PercentError::NotUtf8), "{foreign}");
        }
    }
}
