//! A request head that owns its bytes, and its common parts with a response head: one copy of the received
//! bytes and a table of ranges over it. Filled by a protocol machine, read by all layers above; it can be
//! cleared and filled again without allocating. Knows nothing of how heads are delimited in a byte stream.

use std::fmt;
use std::ops::Range;
use std::{slice, str};

use super::grammar::{is_token_byte, list_members};
use crate::http::method::Method;
use crate::http::path::{self, PathError};
pub use crate::http::target::TargetForm;
use crate::http::target::{self, Scheme, Target, TargetError, is_authority};

/// The protocol version of a head.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

/// How the body after a head is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// This many bytes, as in `Content-Length`; zero included.
    Length(u64),
    /// By its own framing: chunked, and in HTTP/2 the end of the stream.
    Chunked,
    /// By the end of the connection. Only for responses over HTTP/1.
    UntilClose,
    /// No body: the stream continues with the data of the tunnel that CONNECT requests, until it ends (RFC
    /// 9113 §8.5, RFC 8441). Only in HTTP/2 is that known before the tunnel is open, because a stream has
    /// ended or not. After HTTP/1's CONNECT the framing is [`None`](Framing::None), and what follows is
    /// tunnel data if the response was 2xx, else the next request (RFC 9110 §9.3.6).
    Tunnel,
}

impl Framing {
    /// Whether no further byte belongs to this message or to its tunnel.
    pub fn is_empty(self) -> bool {
        matches!(self, Framing::None | Framing::Length(0))
    }
}

/// Bytes of the target of a refused request that are kept: enough to recognise it, and thrice as many fit the
/// 16 bits of a position once they are encoded.
const REFUSED_TARGET_BYTES_MAX: usize = 4096;

/// A range of at most 64 KiB, because heads and trailer sections are limited far below that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::http) struct Span {
    start: u16,
    length: u16,
}

impl Span {
    /// INVARIANT for every caller: `range` lies within a buffer of at most 65,535 bytes.
    #[inline]
    pub(in crate::http) fn new(range: Range<usize>) -> Span {
        debug_assert!(range.start <= range.end && range.end <= usize::from(u16::MAX));
        Span { start: range.start as u16, length: (range.end - range.start) as u16 }
    }

    #[inline]
    pub(in crate::http) fn range(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.length)
    }

    fn shifted(self, by: usize) -> Span {
        Span::new(self.range().start + by..self.range().end + by)
    }
}

/// The positions of one field's name and value.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct FieldSpan {
    pub(in crate::http) name: Span,
    pub(in crate::http) value: Span,
    /// HPACK's never-indexed representation (RFC 7541 §6.2.3). HTTP/1 has none.
    pub(in crate::http) never_indexed: bool,
}

impl FieldSpan {
    /// A field that may be put into a dynamic table.
    #[inline]
    pub(in crate::http) fn new(name: Span, value: Span) -> FieldSpan {
        FieldSpan { name, value, never_indexed: false }
    }
}

/// A field, with its properties that an intermediary has to preserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FieldRef<'a> {
    /// The name as received; in HTTP/2 in lower case.
    pub name: &'a str,
    /// The value without the white space around it.
    pub value: &'a [u8],
    /// Whether the sender protects it from compression: an intermediary that forwards it over HTTP/2 must
    /// encode it as a never-indexed literal again (RFC 7541 §6.2.3). Never set for a field of HTTP/1.
    pub never_indexed: bool,
}

/// Field lines in the order received: name as received, value without the white space around it.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: slice::Iter<'a, FieldSpan>,
}

impl<'a> Fields<'a> {
    pub(in crate::http) fn new(bytes: &'a [u8], spans: &'a [FieldSpan]) -> Fields<'a> {
        Fields { bytes, spans: spans.iter() }
    }

    /// The first value of the remaining fields with this name, ASCII case-insensitive.
    #[inline]
    pub fn find(&mut self, name: &str) -> Option<&'a [u8]> {
        let bytes = self.bytes;
        self.spans
            .find(|span| {
                usize::from(span.name.length) == name.len()
                    && bytes[span.name.range()].eq_ignore_ascii_case(name.as_bytes())
            })
            .map(|span| &bytes[span.value.range()])
    }

    /// The options of the `Connection` fields among them. Members that are not tokens are omitted.
    pub(in crate::http) fn connection_options(self) -> impl Iterator<Item = &'a str> {
        let connection = FieldsNamed { fields: self, name: "connection" };
        connection
            .flat_map(list_members)
            .filter(|option| option.iter().all(|&byte| is_token_byte(byte)))
            .map(ascii)
    }
}

impl<'a> Fields<'a> {
    /// Names and values as bytes, for who looks for a few names among all.
    #[inline]
    pub(crate) fn raw(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let bytes = self.bytes;
        self.spans.map(move |span| (&bytes[span.name.range()], &bytes[span.value.range()]))
    }

    /// The next field, with its never-indexed bit.
    #[inline]
    pub fn next_field(&mut self) -> Option<FieldRef<'a>> {
        let span = self.spans.next()?;
        Some(FieldRef {
            name: ascii(&self.bytes[span.name.range()]),
            value: &self.bytes[span.value.range()],
            never_indexed: span.never_indexed,
        })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.next_field().map(|field| (field.name, field.value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.spans.size_hint()
    }
}

impl ExactSizeIterator for Fields<'_> {}

/// The values of one field name, in order.
#[derive(Clone, Debug)]
pub struct FieldsNamed<'a, 'n> {
    fields: Fields<'a>,
    name: &'n str,
}

impl<'a> Iterator for FieldsNamed<'a, '_> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.fields.find(self.name)
    }
}

/// A head's bytes with the positions of its fields, for requests and responses; cleared and filled again
/// without allocating.
#[derive(Clone, Default)]
pub(super) struct FieldTable {
    /// The first line, the field lines and, once the head is complete, the empty line.
    pub(super) bytes: Vec<u8>,
    // INVARIANT: every span lies within `bytes`.
    spans: Vec<FieldSpan>,
}

impl FieldTable {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Takes lines as they were received; the table is filled next.
    #[inline]
    pub(super) fn set_bytes(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Fills the table.
    #[inline]
    pub(super) fn set_fields(&mut self, fields: impl Iterator<Item = FieldSpan>) {
        self.spans.clear();
        self.spans.extend(fields);
    }

    /// Empties the table.
    pub(super) fn clear_fields(&mut self) {
        self.spans.clear();
    }

    /// Appends a field as a line; returns the position of its value.
    #[inline]
    pub(super) fn push(&mut self, name: &[u8], value: &[u8], never_indexed: bool) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        let value_start = start + name.len() + 2;
        let value = Span::new(value_start..value_start + value.len());
        self.spans.push(FieldSpan { name: Span::new(start..start + name.len()), value, never_indexed });
        value
    }

    #[inline]
    pub(super) fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.spans)
    }

    pub(super) fn fields_named<'n>(&self, name: &'n str) -> FieldsNamed<'_, 'n> {
        FieldsNamed { fields: self.fields(), name }
    }
}

/// Names, targets and authorities were checked byte by byte on reception, so nothing is ever replaced here;
/// the repeated check is the price of safe code, a few nanoseconds per access.
#[inline]
pub(super) fn ascii(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// One request's head.
/// A new one holds no memory; the first fill allocates, later ones reuse. Its content is valid only after a
/// machine reported it complete. Filling it again needs no [`clear`](RequestHead::clear) before.
#[derive(Clone, Default)]
pub struct RequestHead {
    /// Request line and field lines, the empty line included, ignored empty lines before them not. As
    /// received but for an unusual request line; for HTTP/2 in the format of HTTP/1.
    // INVARIANT: every span below lies within its bytes.
    block: FieldTable,
    method: Method,
    method_length: u8,
    version: Version,
    form: TargetForm,
    scheme: Option<Scheme>,
    target: Span,
    path: Span,
    /// The normal form of the path; empty if it was sent in it.
    // INVARIANT: at most 65,535 bytes, so that positions in it have 16 bits.
    normal_path: Vec<u8>,
    query: Option<Span>,
    authority: Span,
    /// `:protocol` of an extended CONNECT; not in `bytes`, because HTTP/1 has no place for it.
    protocol: Option<Box<str>>,
    facts: HeadFacts,
}

/// What the fields of a head determine about the message and the connection.
#[derive(Clone, Copy, Default)]
pub(in crate::http) struct HeadFacts {
    pub(in crate::http) framing: Framing,
    pub(in crate::http) keep_alive: bool,
    pub(in crate::http) expects_continue: bool,
    /// `Connection` names `upgrade`, in HTTP/1.1 (RFC 9110 §7.8).
    pub(in crate::http) connection_upgrade: bool,
}

impl RequestHead {
    /// An empty head without memory.
    pub fn new() -> RequestHead {
        RequestHead::default()
    }

    /// Clears the content and keeps the capacity. A cleared head reads as a GET without target and fields.
    pub fn clear(&mut self) {
        let mut block = std::mem::take(&mut self.block);
        let mut normal_path = std::mem::take(&mut self.normal_path);
        block.clear();
        normal_path.clear();
        *self = RequestHead { block, normal_path, ..RequestHead::default() };
    }

    /// The method; [`Method::Other`] keeps its token in [`method_str`](RequestHead::method_str).
    #[inline]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method's token as received.
    pub fn method_str(&self) -> &str {
        let length = usize::from(self.method_length);
        match self.method {
            // Not so in a head that is empty.
            registered if registered != Method::Other && length > 0 => registered.as_str(),
            _ => ascii(&self.block.bytes[..length]),
        }
    }

    /// The protocol version.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request target as received, but percent-encoded where RFC 3986 requires that and the client did
    /// not ([`target::normalize`]).
    pub fn target(&self) -> &str {
        self.text(self.target)
    }

    /// The target's form.
    #[inline]
    pub fn form(&self) -> TargetForm {
        self.form
    }

    /// The path in its normal form ([`path::normalize`]), the only one that routes, filters and handlers see:
    /// `/a/b` for `//a/./%62`. Percent-encoded. `*` in asterisk-form, `/` in absolute-form without a path,
    /// and empty in authority-form. As it was sent, it is part of the [`target`](RequestHead::target).
    #[inline]
    pub fn path(&self) -> &str {
        if !self.normal_path.is_empty() {
            return ascii(&self.normal_path);
        }
        if self.path.length == 0 && self.form == TargetForm::Absolute {
            return "/";
        }
        self.text(self.path)
    }

    /// Whether the target holds the path in its normal form.
    #[inline]
    pub(crate) fn is_path_as_sent(&self) -> bool {
        self.normal_path.is_empty()
    }

    /// What follows the first `?` of the target, still percent-encoded; may be empty.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|span| self.text(span))
    }

    /// Host and optional port of the request: the target's if it has one, else the `Host` field's (RFC 9112
    /// §3.2.2). Empty for HTTP/1.0 without `Host`. `target::split_authority` splits it.
    pub fn authority(&self) -> &str {
        self.text(self.authority)
    }

    /// The same as bytes.
    #[inline]
    pub(crate) fn authority_bytes(&self) -> &[u8] {
        &self.block.bytes[self.authority.range()]
    }

    /// `http` or `https` when the target is in absolute-form, and always in HTTP/2. As sent by the client,
    /// which may differ from the connection.
    pub fn scheme(&self) -> Option<&str> {
        self.scheme.map(Scheme::as_str)
    }

    /// The first value of the field with this name (ASCII case-insensitive), without surrounding white
    /// space.
    #[inline]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(name)
    }

    /// All fields in the order received.
    #[inline]
    pub fn fields(&self) -> Fields<'_> {
        self.block.fields()
    }

    /// The values of every field with this name (ASCII case-insensitive), in order.
    pub fn fields_named<'n>(&self, name: &'n str) -> FieldsNamed<'_, 'n> {
        self.block.fields_named(name)
    }

    /// The options of all `Connection` fields as received, in order (RFC 9110 §7.6.1): compare them ASCII
    /// case-insensitively. An intermediary removes the fields that they list. Members that are not tokens are
    /// omitted. Always empty in HTTP/2, where the field makes a request malformed.
    pub fn connection_options(&self) -> impl Iterator<Item = &str> {
        self.fields().connection_options()
    }

    /// The value of `Upgrade` when this request asks for another protocol on its connection: HTTP/1.1, with
    /// `upgrade` among the connection options (RFC 9110 §7.8). The first of several such fields.
    #[inline]
    pub fn upgrade(&self) -> Option<&str> {
        if !self.facts.connection_upgrade {
            return None;
        }
        let value = self.field("upgrade")?;
        str::from_utf8(value).ok().filter(|value| !value.is_empty())
    }

    /// The protocol that an extended CONNECT requests (`:protocol`, RFC 8441 §4). Such a request has the
    /// method CONNECT, and a target in origin-form.
    #[inline]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// How the body is delimited.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// Whether the connection persists after this exchange (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive
    }

    /// Whether the client holds the body back until it reads `100 Continue` (RFC 9110 §10.1.1).
    #[inline]
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// Request line and field lines, the empty line included: as received, with the target in its normal
    /// form.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.block.bytes
    }

    /// Size of the head as received, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.block.bytes.len()
    }

    #[inline]
    fn text(&self, span: Span) -> &str {
        ascii(&self.block.bytes[span.range()])
    }
}

/// For the protocol machines, which ensure that every range is within `bytes` and every text is ASCII, and
/// which clear a head after a failed fill.
impl RequestHead {
    /// Takes a head's bytes and its request line; fields, facts and the `Host` follow.
    ///
    /// # Errors
    /// The path has no normal form.
    #[inline(always)]
    pub(in crate::http) fn fill(
        &mut self,
        bytes: &[u8],
        method: Method,
        method_length: usize,
        target: &[u8],
        parts: &Target,
    ) -> Result<(), TargetError> {
        self.block.set_bytes(bytes);
        self.protocol = None;
        self.method = method;
        self.method_length = method_length as u8;
        let offset = method_length + 1;
        let within = |range: &Range<usize>| Span::new(range.clone()).shifted(offset);
        self.form = parts.form;
        self.scheme = parts.scheme;
        self.path = within(&parts.path);
        self.query = parts.query.as_ref().map(within);
        self.authority = within(&parts.authority);
        let end = parts.query.as_ref().map_or(parts.path.end, |query| query.end);
        self.target = within(&(0..end));
        self.set_normal_path(&target[parts.path.clone()])
    }

    #[inline]
    fn set_normal_path(&mut self, sent: &[u8]) -> Result<(), TargetError> {
        self.normal_path.clear();
        let has_path = matches!(self.form, TargetForm::Origin | TargetForm::Absolute) && !sent.is_empty();
        if has_path && !path::is_surely_normal(sent) { self.normalize(sent) } else { Ok(()) }
    }

    #[cold]
    fn normalize(&mut self, sent: &[u8]) -> Result<(), TargetError> {
        let outcome = match path::normalize(sent, &mut self.normal_path) {
            Ok(()) if self.normal_path.len() > usize::from(u16::MAX) => Err(TargetError::PathTooLong),
            Ok(()) if self.normal_path != sent => return Ok(()),
            Ok(()) => Ok(()),
            Err(PathError::MissingLeadingSlash) => Err(TargetError::Form),
            Err(_) => Err(TargetError::ParentSegment),
        };
        self.normal_path.clear();
        outcome
    }

    /// Begins a head that was not received as lines, with its request line in the format of HTTP/1. Fields,
    /// facts and the end follow.
    ///
    /// # Errors
    /// As [`fill`](RequestHead::fill).
    pub(in crate::http) fn begin(
        &mut self,
        method: Method,
        token: &[u8],
        target: &[u8],
        parts: &Target,
    ) -> Result<(), TargetError> {
        let mut bytes = std::mem::take(&mut self.block.bytes);
        bytes.clear();
        bytes.extend_from_slice(token);
        bytes.push(b' ');
        bytes.extend_from_slice(target);
        let filled = self.fill(&[], method, token.len(), target, parts);
        bytes.extend_from_slice(b" HTTP/2\r\n");
        self.block.bytes = bytes;
        self.block.clear_fields();
        filled
    }

    /// Begins what could be read of a head that is refused: `token` is a method or empty, `target` may have
    /// any bytes and is encoded; fields follow. Only for logs and for the form of the response.
    #[cold]
    pub(in crate::http) fn begin_refused(&mut self, version: Version, token: &[u8], target: &[u8]) {
        self.clear();
        let method = Method::from_token(token);
        let mut encoded = Vec::new();
        target::encode(&target[..target.len().min(REFUSED_TARGET_BYTES_MAX)], &mut encoded);
        let parts = target::parse(method, &encoded).unwrap_or(Target {
            form: TargetForm::Origin,
            scheme: None,
            authority: 0..0,
            path: 0..encoded.len(),
            query: None,
        });
        // Without a normal form it keeps the path as sent.
        let _ = self.begin(method, token, &encoded, &parts);
        self.version = version;
    }

    /// Appends a well-formed field to a head that was begun with
    /// [`begin_refused`](RequestHead::begin_refused). False where there is no room for it.
    #[cold]
    pub(in crate::http) fn push_refused_field(&mut self, name: &[u8], value: &[u8]) -> bool {
        if self.block.bytes.len() + name.len() + value.len() + ": \r\n".len() > usize::from(u16::MAX) {
            return false;
        }
        let value_span = self.block.push(name, value, false);
        let is_host = name.eq_ignore_ascii_case(b"host") && is_authority(value);
        if is_host && self.authority.range().is_empty() {
            self.authority = value_span;
        }
        true
    }

    /// Turns a head that was begun into an extended CONNECT. `protocol` is ASCII.
    pub(in crate::http) fn set_protocol(&mut self, protocol: &[u8]) {
        self.protocol = Some(ascii(protocol).into());
    }

    /// Appends a field to a head that was begun; returns the position of its value.
    #[inline]
    pub(in crate::http) fn push_field(&mut self, name: &[u8], value: &[u8], never_indexed: bool) -> Span {
        self.block.push(name, value, never_indexed)
    }

    /// Ends a head that was begun.
    pub(in crate::http) fn end(&mut self, scheme: Option<Scheme>, host: Option<Span>, facts: HeadFacts) {
        self.block.bytes.extend_from_slice(b"\r\n");
        self.scheme = scheme;
        self.finish(Version::Http2, host, facts);
    }

    /// Fills the table.
    #[inline]
    pub(in crate::http) fn set_fields(&mut self, fields: impl Iterator<Item = FieldSpan>) {
        self.block.set_fields(fields);
    }

    #[inline]
    pub(in crate::http) fn finish(&mut self, version: Version, host: Option<Span>, facts: HeadFacts) {
        self.version = version;
        self.facts = facts;
        if let (Some(host), TargetForm::Origin | TargetForm::Asterisk) = (host, self.form) {
            self.authority = host;
        }
    }
}

/// The request line, and only the names of the fields, because values may hold secrets.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method_str())
            .field("target", &self.target())
            .field("version", &self.version)
            .field("fields", &self.fields().map(|(name, _)| name).collect::<Vec<_>>())
            .field("framing", &self.facts.framing)
            .field("keep_alive", &self.facts.keep_alive)
            .finish()
    }
}
