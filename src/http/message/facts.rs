//! Evaluates the fields of a request head for its content, in any version (RFC 9110 §8.6, §10.1.1). Knows two
//! field names; other framing is specific to a version.

use super::framing_field_error::FramingFieldError;
use super::head::{Framing, HeadFacts};
use super::request_error::RequestError;
use crate::http::method::Method;

/// The relevant fields of one head, as far as they have been read: the part common to all versions.
#[derive(Clone, Copy, Default)]
pub(in crate::http) struct ContentFacts {
    pub(in crate::http) length: Option<u64>,
    pub(in crate::http) expectation: Expectation,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::http) enum Expectation {
    #[default]
    None,
    Continue,
    Unknown,
}

impl ContentFacts {
    /// Processes `Expect`.
    pub(in crate::http) fn handle_expect(&mut self, value: &[u8]) {
        let is_continue = value.eq_ignore_ascii_case(b"100-continue");
        self.expectation = match self.expectation {
            Expectation::None | Expectation::Continue if is_continue => Expectation::Continue,
            _ => Expectation::Unknown,
        };
    }

    /// Processes `Content-Length`.
    pub(in crate::http) fn handle_length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        self.length = Some(content_length(self.length, value)?);
        Ok(())
    }

    /// Checks the fields of an HTTP/2 head, whose stream `ends` with it or continues with a body, or after
    /// CONNECT with the tunnel's data. The caller checks that a length is announced only for a body.
    pub(in crate::http) fn finish_stream(
        &self,
        method: Method,
        ends: bool,
    ) -> Result<HeadFacts, RequestError> {
        let is_connect = method == Method::Connect;
        if is_connect && self.length.is_some() {
            return Err(RequestError::ConnectWithBody);
        }
        let framing = match self.length {
            Some(length) => Framing::Length(length),
            None if ends => Framing::None,
            None if is_connect => Framing::Tunnel,
            None => Framing::Chunked,
        };
        if self.expectation == Expectation::Unknown {
            return Err(RequestError::ExpectationUnknown);
        }
        Ok(HeadFacts {
            framing,
            keep_alive: true,
            expects_continue: self.expectation == Expectation::Continue && !ends && !is_connect,
            connection_upgrade: false,
        })
    }

    /// The value of `Content-Length`.
    pub(in crate::http) fn length(&self) -> Option<u64> {
        self.length
    }
}

/// The value of a `Content-Length` field, if it is the only one.
pub(in crate::http) fn content_length(before: Option<u64>, value: &[u8]) -> Result<u64, FramingFieldError> {
    if before.is_some() {
        return Err(FramingFieldError::LengthRepeated);
    }
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(FramingFieldError::LengthMalformed);
    }
    value
        .iter()
        .try_fold(0u64, |length, digit| length.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(FramingFieldError::LengthOverflow)
}
