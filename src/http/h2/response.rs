//! The fields of a response into a [`ResponseHead`] (RFC 9113 §8.2, §8.3.2), strictly: a malformed response
//! ends the exchange. Sees fields in order; knows neither frames nor streams.

use std::ops::ControlFlow;

use super::error::{MalformedHead, StreamError};
use super::fields::{is_name, is_of_connection, is_value};
use super::hpack::Field;
use super::stream::ExpectedContent;
use crate::http::message::facts::ContentFacts;
use crate::http::message::response_head::ResponseFacts;
use crate::http::message::{Framing, HeadLimits, ResponseHead, Version};
use crate::http::method::Method;
use crate::http::status::Status;

/// A head being read.
pub(super) struct ResponseParser<'a> {
    head: &'a mut ResponseHead,
    limits: &'a HeadLimits,
    /// `None` until the head was begun.
    status: Option<Status>,
    /// A regular field was read: no pseudo-field may follow.
    has_fields: bool,
    fields: u32,
    content: ContentFacts,
}

/// What a response declares beside its head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ParsedResponse {
    /// Another head follows.
    Interim,
    /// The final one: what follows it, and how much of it, if that is known.
    Final { content: ExpectedContent, length: Option<u64> },
}

impl<'a> ResponseParser<'a> {
    pub(super) fn new(head: &'a mut ResponseHead, limits: &'a HeadLimits) -> ResponseParser<'a> {
        let content = ContentFacts::default();
        ResponseParser { head, limits, status: None, has_fields: false, fields: 0, content }
    }

    /// Reads one field.
    pub(super) fn handle_field(&mut self, field: Field<'_>) -> ControlFlow<StreamError> {
        let handled = match field.name.first() {
            Some(b':') => self.handle_pseudo(field).map_err(StreamError::Malformed),
            _ => self.handle_regular(field),
        };
        match handled {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn handle_pseudo(&mut self, field: Field<'_>) -> Result<(), MalformedHead> {
        if self.has_fields {
            return Err(MalformedHead::PseudoLate);
        }
        if field.name != b":status" {
            return Err(MalformedHead::PseudoUnknown);
        }
        if self.status.is_some() {
            return Err(MalformedHead::PseudoRepeated);
        }
        let status = status_of(field.value).ok_or(MalformedHead::StatusMalformed)?;
        self.status = Some(status);
        self.head.begin(status, Version::Http2);
        Ok(())
    }

    fn handle_regular(&mut self, field: Field<'_>) -> Result<(), StreamError> {
        let malformed = |reason| Err(StreamError::Malformed(reason));
        let Field { name, value, never_indexed, .. } = field;
        self.has_fields = true;
        if self.status.is_none() {
            return malformed(MalformedHead::PseudoMissing);
        }
        // A name from the static table is well-formed.
        if field.name_index == 0 && !is_name(name) {
            return malformed(MalformedHead::NameCharacter);
        }
        if !is_value(value) {
            return malformed(MalformedHead::ValueCharacter);
        }
        if is_of_connection(name) {
            return malformed(MalformedHead::ConnectionField);
        }
        if name == b"content-length" && self.content.handle_length(value).is_err() {
            return malformed(MalformedHead::LengthMalformed);
        }
        self.fields += 1;
        if self.fields > u32::from(self.limits.fields_max) {
            return Err(StreamError::HeadTooLarge);
        }
        self.head.push_field(name, value, never_indexed);
        Ok(())
    }

    /// After the last field of the response to a request with this method. `ends`: the stream ends with it.
    pub(super) fn finish(self, method: Method, ends: bool) -> Result<ParsedResponse, StreamError> {
        let malformed = |reason| Err(StreamError::Malformed(reason));
        let Some(status) = self.status else { return malformed(MalformedHead::PseudoMissing) };
        if status.is_informational() {
            if ends {
                return malformed(MalformedHead::InterimEnds);
            }
            self.head.end(ResponseFacts { framing: Framing::None, keep_alive: true });
            return Ok(ParsedResponse::Interim);
        }
        // RFC 9110 §6.4.1: these have no content, whatever length they announce.
        let is_bodiless = method == Method::Head || matches!(status.code(), 204 | 304);
        let is_tunnel = method == Method::Connect && status.is_success();
        let announced = self.content.length();
        let (framing, length) = match announced {
            _ if is_tunnel && ends => (Framing::None, None),
            // RFC 9110 §8.6: `Content-Length` of such a response is ignored.
            _ if is_tunnel => (Framing::Tunnel, None),
            _ if is_bodiless => (Framing::None, Some(0)),
            Some(1..) if ends => return malformed(MalformedHead::LengthWithoutBody),
            Some(length) => (Framing::Length(length), Some(length)),
            None if ends => (Framing::None, None),
            None => (Framing::Chunked, None),
        };
        self.head.end(ResponseFacts { framing, keep_alive: true });
        Ok(ParsedResponse::Final {
            content: if is_tunnel { ExpectedContent::Tunnel } else { ExpectedContent::Body },
            length,
        })
    }
}

/// Three digits (RFC 9110 §15); not 101, which HTTP/2 does not have (RFC 9113 §8.6).
fn status_of(value: &[u8]) -> Option<Status> {
    let &[hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = value else { return None };
    let digit = |byte: u8| u16::from(byte - b'0');
    let status = Status::new(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))?;
    (status != Status::SWITCHING_PROTOCOLS).then_some(status)
}
