//! The fields of a request into a [`RequestHead`] (RFC 9113 §8.2, §8.3), strictly: malformed requests
//! get no response, and what HTTP/1.1 refuses with a status is refused with the same one. Methods, targets,
//! authorities and lengths are checked by the code that checks those of HTTP/1. Sees fields in order; knows
//! neither frames nor streams.

use std::ops::{ControlFlow, Range};

use super::error::MalformedHead;
use super::fields::{is_name, is_of_connection, is_value};
use super::hpack::{FIELD_OVERHEAD_BYTES, Field};
use super::priority::Priority;
use crate::http::message::facts::ContentFacts;
use crate::http::message::grammar::is_token_byte;
use crate::http::message::head::{HeadFacts, Span};
use crate::http::message::{HeadLimits, RequestError, RequestHead, Version};
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::http::target::{self, Scheme, TargetError, TargetForm, is_authority};

/// Memory for pseudo-fields and cookies that is kept between heads.
const SCRATCH_BYTES_KEPT: usize = 1024;

/// Longest authority that is recognised in the next head: a DNS name with a port.
const AUTHORITY_BYTES_KEPT: usize = 260;

/// Largest field list whose rendering as an HTTP/1 head, request line and separators included, has 16-bit
/// offsets.
pub(super) const HEAD_BYTES_MAX: u32 = u16::MAX as u32 - 64;

/// Why a request head is rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeadError {
    /// The stream is reset.
    Malformed(MalformedHead),
    /// The response is an error status.
    Refused(RequestError),
}

impl From<MalformedHead> for HeadError {
    fn from(reason: MalformedHead) -> HeadError {
        HeadError::Malformed(reason)
    }
}

impl From<RequestError> for HeadError {
    fn from(error: RequestError) -> HeadError {
        HeadError::Refused(error)
    }
}

impl From<TargetError> for HeadError {
    fn from(error: TargetError) -> HeadError {
        HeadError::Refused(RequestError::Target(error))
    }
}

/// Pseudo-fields until all of them are there, and the pieces of `cookie`; reused from head to head.
#[derive(Debug, Default)]
pub(super) struct HeadScratch {
    bytes: Vec<u8>,
    cookie: Vec<u8>,
    /// The last `:authority` that was found valid: nearly always that of the next head too.
    authority: Vec<u8>,
}

impl HeadScratch {
    fn clear(&mut self) {
        for part in [&mut self.bytes, &mut self.cookie] {
            part.clear();
            part.shrink_to(SCRATCH_BYTES_KEPT);
        }
    }

    /// Keeps an authority that was found valid, if it has the length of a name.
    #[cold]
    fn remember_authority(&mut self, within: &Option<Range<usize>>) {
        let Some(range) = within.clone().filter(|range| range.len() <= AUTHORITY_BYTES_KEPT) else { return };
        self.authority.clear();
        self.authority.extend_from_slice(&self.bytes[range]);
    }
}

/// A head being read.
pub(super) struct HeadParser<'a> {
    head: &'a mut RequestHead,
    scratch: &'a mut HeadScratch,
    limits: &'a HeadLimits,
    /// Bytes that the rest of the field list may have, as RFC 9113 §6.5.2 counts them; the pieces of `cookie`
    /// as one field.
    list_left: u32,
    // Ranges within the scratch.
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    protocol: Option<Range<usize>>,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL was sent (RFC 8441 §3).
    connect_protocol: bool,
    /// A piece of `cookie` was read: the others belong to the same field.
    has_cookie: bool,
    /// A piece of `cookie` came as a never-indexed literal: the whole field is one then.
    cookie_never_indexed: bool,
    /// The pseudo-fields are complete: none may follow.
    begun: bool,
    /// The request line is written.
    has_line: bool,
    /// Why the request is refused. What remains of the head is read for logs and the form of the response.
    refused: Option<RequestError>,
    known_scheme: Option<Scheme>,
    host: Option<Span>,
    fields: u32,
    content: ContentFacts,
    priority: Priority,
}

/// What a request declares beside its head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ParsedRequest {
    /// `content-length`.
    pub(super) length: Option<u64>,
    pub(super) priority: Priority,
}

impl<'a> HeadParser<'a> {
    pub(super) fn new(
        head: &'a mut RequestHead,
        scratch: &'a mut HeadScratch,
        limits: &'a HeadLimits,
        list_bytes_max: u32,
        connect_protocol: bool,
    ) -> HeadParser<'a> {
        scratch.clear();
        HeadParser {
            head,
            scratch,
            limits,
            list_left: list_bytes_max.min(HEAD_BYTES_MAX),
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            connect_protocol,
            has_cookie: false,
            cookie_never_indexed: false,
            begun: false,
            has_line: false,
            refused: None,
            known_scheme: None,
            host: None,
            fields: 0,
            content: ContentFacts::default(),
            priority: Priority::DEFAULT,
        }
    }

    /// Reads one field.
    #[inline]
    pub(super) fn handle_field(&mut self, field: Field<'_>) -> ControlFlow<MalformedHead> {
        let is_more_cookie = self.has_cookie && field.name == b"cookie";
        // A further piece adds `; ` and its value to a field that was counted.
        let overhead = if is_more_cookie { 2 } else { field.name.len() + FIELD_OVERHEAD_BYTES as usize };
        let bytes = u32::try_from(overhead + field.value.len());
        let Some(left) = bytes.ok().and_then(|bytes| self.list_left.checked_sub(bytes)) else {
            // Nothing behind it is looked at.
            self.list_left = 0;
            if self.refused.is_none() {
                self.refuse(RequestError::HeadTooLong);
            }
            return ControlFlow::Continue(());
        };
        self.list_left = left;
        if self.refused.is_some() {
            self.salvage_field(field);
            return ControlFlow::Continue(());
        }
        let handled = match field.name.first() {
            Some(b':') => self.handle_pseudo(field),
            _ => self.handle_regular(field),
        };
        match handled {
            Ok(()) => ControlFlow::Continue(()),
            Err(HeadError::Malformed(reason)) => ControlFlow::Break(reason),
            Err(HeadError::Refused(error)) => {
                self.refuse(error);
                self.salvage_field(field);
                ControlFlow::Continue(())
            }
        }
    }

    /// Begins to read the rest of a head that is refused.
    #[cold]
    fn refuse(&mut self, error: RequestError) {
        self.refused = Some(error);
        if self.has_line {
            return;
        }
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.scratch.bytes[range]);
        let token = text(&self.method).filter(|token| check_method(token).is_ok()).unwrap_or_default();
        let target = text(&self.path).or(text(&self.authority)).unwrap_or_default();
        self.head.begin_refused(Version::Http2, token, target);
        if let Some(authority) = text(&self.authority).filter(|authority| is_authority(authority)) {
            self.head.push_refused_field(b"host", authority);
        }
    }

    #[cold]
    fn salvage_field(&mut self, field: Field<'_>) {
        if is_name(field.name) && is_value(field.value) && !is_of_connection(field.name) {
            self.head.push_refused_field(field.name, field.value);
        }
    }

    /// Ends a head whose list of fields is too large.
    pub(super) fn give_up(mut self, error: RequestError) -> RequestError {
        if self.refused.is_none() {
            self.refuse(error);
        }
        self.end_refused(error)
    }

    #[cold]
    fn end_refused(self, error: RequestError) -> RequestError {
        self.head.end(self.known_scheme, self.host, HeadFacts::default());
        error
    }

    #[inline]
    fn handle_pseudo(&mut self, field: Field<'_>) -> Result<(), HeadError> {
        if self.begun {
            return Err(MalformedHead::PseudoLate.into());
        }
        let Field { name, value, name_index, .. } = field;
        // By its index in the static table where it has one (RFC 7541 appendix A).
        let slot = match (name_index, name) {
            (1, _) | (0, b":authority") => &mut self.authority,
            (2, _) | (0, b":method") => &mut self.method,
            (4, _) | (0, b":path") => &mut self.path,
            (6, _) | (0, b":scheme") => &mut self.scheme,
            (0, b":protocol") if self.connect_protocol => &mut self.protocol,
            _ => return Err(MalformedHead::PseudoUnknown.into()),
        };
        if slot.is_some() {
            return Err(MalformedHead::PseudoRepeated.into());
        }
        let start = self.scratch.bytes.len();
        self.scratch.bytes.extend_from_slice(value);
        *slot = Some(start..start + value.len());
        Ok(())
    }

    #[inline]
    fn handle_regular(&mut self, field: Field<'_>) -> Result<(), HeadError> {
        if !self.begun {
            self.begin()?;
        }
        let Field { name, value, never_indexed, .. } = field;
        // A name from the static table is well-formed.
        if field.name_index == 0 && !is_name(name) {
            return Err(MalformedHead::NameCharacter.into());
        }
        if !is_value(value) {
            return Err(MalformedHead::ValueCharacter.into());
        }
        // RFC 9113 §8.2.3: browsers split `cookie` into its pieces; HTTP/1.1 would have one field.
        self.fields += u32::from(!(self.has_cookie && name == b"cookie"));
        if self.fields > u32::from(self.limits.fields_max) {
            return Err(RequestError::TooManyFields.into());
        }
        match (name.len(), name) {
            (2, b"te") if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(MalformedHead::TeValue.into());
            }
            (4, b"host") => return self.handle_host(value, never_indexed),
            (6, b"cookie") => {
                self.has_cookie = true;
                self.cookie_never_indexed |= never_indexed;
                self.handle_cookie(value);
                return Ok(());
            }
            (6, b"expect") => self.content.handle_expect(value),
            (8, b"priority") => self.priority = Priority::parse(value),
            (14, b"content-length") => self.content.handle_length(value)?,
            (7 | 10 | 16 | 17, _) if is_of_connection(name) => {
                return Err(MalformedHead::ConnectionField.into());
            }
            _ => {}
        }
        self.push(name, value, never_indexed)?;
        Ok(())
    }

    #[inline]
    fn push(&mut self, name: &[u8], value: &[u8], never_indexed: bool) -> Result<Span, RequestError> {
        push_within(self.head, name, value, never_indexed)
    }

    /// `host` beside `:authority` may only repeat it (RFC 9113 §8.3.1); alone it takes its place.
    fn handle_host(&mut self, value: &[u8], never_indexed: bool) -> Result<(), HeadError> {
        if let Some(authority) = self.authority.clone() {
            let same = self.scratch.bytes[authority].eq_ignore_ascii_case(value);
            return if same { Ok(()) } else { Err(MalformedHead::HostDiffers.into()) };
        }
        if self.host.is_some() {
            return Err(RequestError::HostRepeated.into());
        }
        if !is_authority(value) {
            return Err(RequestError::HostMalformed.into());
        }
        self.host = Some(self.push(b"host", value, never_indexed)?);
        Ok(())
    }

    /// Joins `cookie` fields, which may be anywhere, into one (RFC 9113 §8.2.3). An empty one adds no
    /// separator.
    fn handle_cookie(&mut self, value: &[u8]) {
        let cookie = &mut self.scratch.cookie;
        if !cookie.is_empty() && !value.is_empty() {
            cookie.extend_from_slice(b"; ");
        }
        cookie.extend_from_slice(value);
    }

    /// Checks the pseudo-fields, and writes the request line.
    fn begin(&mut self) -> Result<(), HeadError> {
        self.begun = true;
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.scratch.bytes[range]);
        let token =
            text(&self.method).filter(|token| !token.is_empty()).ok_or(MalformedHead::PseudoMissing)?;
        let method = Method::from_token(token);
        if method == Method::Other {
            check_method(token)?;
        }
        let authority = text(&self.authority);
        let protocol = text(&self.protocol);
        if let Some(protocol) = protocol {
            // RFC 8441 §4: with CONNECT alone; `:scheme` and `:path` are then as in any other request.
            if method != Method::Connect {
                return Err(MalformedHead::ProtocolWithoutConnect.into());
            }
            if !is_protocol(protocol) {
                return Err(MalformedHead::ProtocolMalformed.into());
            }
            if authority.is_none() {
                return Err(MalformedHead::AuthorityMissing.into());
            }
        }
        let is_plain_connect = method == Method::Connect && protocol.is_none();
        let target = if is_plain_connect {
            if self.scheme.is_some() || self.path.is_some() {
                return Err(MalformedHead::PseudoWithConnect.into());
            }
            authority.ok_or(MalformedHead::AuthorityMissing)?
        } else {
            let scheme = text(&self.scheme).ok_or(MalformedHead::PseudoMissing)?;
            self.known_scheme = Some(match scheme {
                b"https" => Scheme::Https,
                b"http" => Scheme::Http,
                _ if scheme.eq_ignore_ascii_case(b"https") => Scheme::Https,
                _ if scheme.eq_ignore_ascii_case(b"http") => Scheme::Http,
                _ => return Err(TargetError::Scheme.into()),
            });
            text(&self.path).filter(|path| !path.is_empty()).ok_or(MalformedHead::PseudoMissing)?
        };
        let line_bytes_max = usize::from(self.limits.request_line_bytes_max);
        let line_bytes = |target: &[u8]| token.len() + target.len() + "  HTTP/2".len();
        if line_bytes(target) > line_bytes_max {
            return Err(RequestError::RequestLineTooLong.into());
        }
        // The target of an extended CONNECT is a path, as GET's is, so that it is routed like one.
        let (target, parts) =
            target::normalize(if protocol.is_some() { Method::Get } else { method }, target)?;
        let target = &*target;
        if line_bytes(target) > line_bytes_max {
            return Err(RequestError::RequestLineTooLong.into());
        }
        if parts.form == TargetForm::Absolute {
            return Err(TargetError::Form.into());
        }
        self.head.begin(method, token, target, &parts)?;
        self.has_line = true;
        if let Some(protocol) = protocol {
            self.head.set_protocol(protocol);
        }
        if let Some(authority) = authority {
            let is_known = !authority.is_empty() && authority == self.scratch.authority;
            if !is_known && !is_authority(authority) {
                return Err(RequestError::HostMalformed.into());
            }
            self.host = Some(push_within(self.head, b"host", authority, false)?);
            if !is_known {
                self.scratch.remember_authority(&self.authority);
            }
        }
        Ok(())
    }

    /// After the last field. `ends`: no body follows.
    pub(super) fn finish(mut self, ends: bool) -> Result<ParsedRequest, HeadError> {
        if let Some(error) = self.refused {
            return Err(self.end_refused(error).into());
        }
        match self.finish_sound(ends) {
            Ok(facts) => {
                self.head.end(self.known_scheme, self.host, facts);
                Ok(ParsedRequest { length: self.content.length(), priority: self.priority })
            }
            Err(HeadError::Refused(error)) => Err(self.give_up(error).into()),
            Err(error) => Err(error),
        }
    }

    #[inline]
    fn finish_sound(&mut self, ends: bool) -> Result<HeadFacts, HeadError> {
        if !self.begun {
            self.begin()?;
        }
        if self.host.is_none() {
            return Err(MalformedHead::AuthorityMissing.into());
        }
        let cookie = std::mem::take(&mut self.scratch.cookie);
        let pushed = match cookie.is_empty() {
            true => Ok(()),
            false => self.push(b"cookie", &cookie, self.cookie_never_indexed).map(drop),
        };
        self.scratch.cookie = cookie;
        pushed?;
        if ends && self.content.length().is_some_and(|length| length > 0) {
            return Err(MalformedHead::LengthWithoutBody.into());
        }
        Ok(self.content.finish_stream(self.head.method(), ends)?)
    }
}

/// Appends a field to a head, where positions have 16 bits. The limit of the list ensures that, unless the
/// target was encoded and has become longer.
#[inline]
fn push_within(
    head: &mut RequestHead,
    name: &[u8],
    value: &[u8],
    never_indexed: bool,
) -> Result<Span, RequestError> {
    let length = head.len_bytes() + name.len() + value.len();
    if length > HEAD_BYTES_MAX as usize {
        return Err(RequestError::HeadTooLong);
    }
    Ok(head.push_field(name, value, never_indexed))
}

#[cold]
fn check_method(token: &[u8]) -> Result<(), RequestError> {
    if let Some(&byte) = token.iter().find(|&&byte| !is_token_byte(byte)) {
        return Err(RequestError::MethodCharacter(byte));
    }
    if token.len() > METHOD_BYTES_MAX { Err(RequestError::MethodTooLong) } else { Ok(()) }
}

/// Whether `:protocol` may have this value: the name of an upgrade token, perhaps with a version (RFC 8441
/// §4, RFC 9110 §7.8).
fn is_protocol(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte) || byte == b'/')
}
