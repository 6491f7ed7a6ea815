//! What an error is for a client of gRPC, which reads a status and a message among the fields and takes any
//! other form for a broken server (gRPC's PROTOCOL-HTTP2.md and statuscodes.md).

use std::fmt::Write;
use std::time::Duration;

use super::problem::Problem;
use crate::http::message::{RequestHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// The codes of gRPC that stand for errors of this side.
pub(crate) mod code {
    pub(crate) const UNKNOWN: u8 = 2;
    pub(crate) const DEADLINE_EXCEEDED: u8 = 4;
    pub(crate) const PERMISSION_DENIED: u8 = 7;
    pub(crate) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(crate) const UNIMPLEMENTED: u8 = 12;
    pub(crate) const INTERNAL: u8 = 13;
    pub(crate) const UNAVAILABLE: u8 = 14;
    pub(crate) const UNAUTHENTICATED: u8 = 16;
}

/// Whether the request is a call, which POST alone is. `application/grpc-web` is another protocol, whose
/// clients read HTTP's statuses. Of any other method an error with 200 would be one that a cache keeps as the
/// content of its URL, for the next request.
pub(crate) fn is_call(head: &RequestHead) -> bool {
    let is_call = |kind: &[u8]| {
        let (name, rest) = kind.split_at(kind.len().min(b"application/grpc".len()));
        name.eq_ignore_ascii_case(b"application/grpc")
            && matches!(rest.first(), None | Some(b'+' | b';' | b' ' | b'\t'))
    };
    head.version() == Version::Http2
        && head.method() == Method::Post
        && head.field("content-type").is_some_and(is_call)
}

/// The code for an error with this status, where what made it names none. As in
/// `http-grpc-status-mapping.md`, but for limits, timeouts and methods, of which this side knows more than a
/// client that sees the status alone.
fn code_of(status: Status) -> u8 {
    match status.code() {
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 | 405 | 501 => code::UNIMPLEMENTED,
        408 | 504 => code::DEADLINE_EXCEEDED,
        413 | 429 | 431 => code::RESOURCE_EXHAUSTED,
        400 | 500 => code::INTERNAL,
        502 | 503 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// `grpc-status` and `grpc-message` of a problem.
pub(super) fn fields_of(problem: &Problem) -> (u8, String) {
    let code = problem.grpc_code().unwrap_or_else(|| code_of(problem.status()));
    let text = match problem.detail_text() {
        "" => problem.title(),
        detail => detail,
    };
    let mut message = encoded(text);
    for field in problem.fields() {
        message.push_str(&encoded(&format!("; {}: {}", field.place, field.detail)));
    }
    (code, message)
}

/// Percent-encoded but for printable ASCII.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// The time after which the client gives a call up (`grpc-timeout`); `None` without a valid one.
pub(crate) fn timeout(head: &RequestHead) -> Option<Duration> {
    let value = head.field("grpc-timeout").filter(|_| is_call(head))?;
    parse_timeout(value)
}

/// At most eight digits and a unit.
fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if !matches!(digits.len(), 1..=8) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_text_that_fits_in_a_field() {
        assert_eq!(encoded("a b~ 100%\nü"), "a b~ 100%25%0A%C3%BC");
        let problem = Problem::new(Status::NOT_FOUND).field("/a", "is wrong");
        assert_eq!(fields_of(&problem), (code::UNIMPLEMENTED, "Not Found; /a: is wrong".to_owned()));
        let problem = Problem::new(Status::BAD_GATEWAY).detail("no").grpc(code::INTERNAL);
        assert_eq!(fields_of(&problem), (code::INTERNAL, "no".to_owned()));
    }

    #[test]
    fn timeouts() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("0n", Some(Duration::ZERO)),
            ("100000000S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("-1S", None),
            ("1s", None),
            ("1.5S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }
}
