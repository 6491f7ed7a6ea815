//! Evaluates the fields of a request head for framing and connection (RFC 9112 §6, §9; RFC 9110 §7.2,
//! §10.1.1), in one pass. Knows five field names and refuses every contradiction between them; all other
//! fields pass through unread.

use crate::http::message::facts::{ContentFacts, Expectation};
use crate::http::message::grammar::{is_token_byte, list_members};
use crate::http::message::head::HeadFacts;
use crate::http::message::{Framing, FramingFieldError, RequestError, Version};
use crate::http::method::Method;
use crate::http::target::{TargetForm, is_authority};

/// The relevant fields of one head, as far as they have been read.
#[derive(Default)]
pub(super) struct Gathered<'a> {
    /// The value of `Host`.
    pub(super) host: Option<&'a [u8]>,
    /// A value of `Host` that is known to be valid; empty if there is none.
    known_host: &'a [u8],
    /// The host is another one.
    pub(super) is_host_new: bool,
    content: ContentFacts,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl<'a> Gathered<'a> {
    /// Nothing yet. `known_host` is a valid value, which the request before had.
    #[inline]
    pub(super) fn with_known_host(known_host: &'a [u8]) -> Gathered<'a> {
        Gathered { known_host, ..Gathered::default() }
    }

    /// Processes one field.
    #[inline]
    pub(super) fn handle_field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), RequestError> {
        // The length excludes most fields.
        match name.len() {
            4 if is_named(name, b"host") => self.handle_host(value),
            6 if is_named(name, b"expect") => {
                self.content.handle_expect(value);
                Ok(())
            }
            10 if is_named(name, b"connection") => {
                self.handle_connection(value);
                Ok(())
            }
            14 if is_named(name, b"content-length") => self.content.handle_length(value),
            17 if is_named(name, b"transfer-encoding") => self.handle_coding(value),
            _ => Ok(()),
        }
    }

    #[inline]
    fn handle_host(&mut self, value: &'a [u8]) -> Result<(), RequestError> {
        if self.host.is_some() {
            return Err(RequestError::HostRepeated);
        }
        // Whether it may be empty depends on the target.
        if value != self.known_host {
            if !value.is_empty() && !is_authority(value) {
                return Err(RequestError::HostMalformed);
            }
            self.is_host_new = true;
        }
        self.host = Some(value);
        Ok(())
    }

    pub(super) fn handle_connection(&mut self, value: &[u8]) {
        // By far the most frequent value.
        if value == b"keep-alive" {
            self.keep_alive = true;
            return;
        }
        for option in list_members(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            }
        }
    }

    fn handle_coding(&mut self, value: &[u8]) -> Result<(), RequestError> {
        check_coding(self.is_chunked, value)?;
        self.is_chunked = true;
        Ok(())
    }

    /// Checks the fields against each other and the request line.
    #[inline(always)]
    pub(super) fn finish(
        &self,
        method: Method,
        form: TargetForm,
        version: Version,
    ) -> Result<HeadFacts, RequestError> {
        match self.host {
            None if version == Version::Http11 => return Err(RequestError::HostMissing),
            // The host of an http URI is not empty (RFC 9110 §4.2.1). A target with an authority of its own
            // replaces the field, and `*` needs none (RFC 9112 §3.2); nor does HTTP/1.0.
            Some([]) if version == Version::Http11 && form == TargetForm::Origin => {
                return Err(RequestError::HostMalformed);
            }
            _ => {}
        }
        let framing = framing(self.content.length, self.is_chunked, version)?.unwrap_or(Framing::None);
        if method == Method::Connect && !framing.is_empty() {
            return Err(RequestError::ConnectWithBody);
        }
        // An HTTP/1.0 client does not know interim responses, so its expectations are ignored.
        let expectation =
            if version == Version::Http11 { self.content.expectation } else { Expectation::None };
        if expectation == Expectation::Unknown {
            return Err(RequestError::ExpectationUnknown);
        }
        Ok(HeadFacts {
            framing,
            keep_alive: self.keeps_alive(version),
            expects_continue: expectation == Expectation::Continue && !framing.is_empty(),
            connection_upgrade: self.upgrade && version == Version::Http11,
        })
    }

    /// Whether the connection persists (RFC 9112 §9.3).
    #[inline]
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }
}

/// Checks a `Transfer-Encoding` value, which must be `chunked` in the only such field.
#[inline]
pub(super) fn check_coding(has_coding: bool, value: &[u8]) -> Result<(), FramingFieldError> {
    if has_coding {
        return Err(FramingFieldError::CodingRepeated);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    Err(refused_coding(value))
}

/// The framing that the fields require; `None` without any.
#[inline]
pub(super) fn framing(
    length: Option<u64>,
    is_chunked: bool,
    version: Version,
) -> Result<Option<Framing>, FramingFieldError> {
    match (length, is_chunked) {
        (None, false) => Ok(None),
        (Some(length), false) => Ok(Some(Framing::Length(length))),
        (Some(_), true) => Err(FramingFieldError::LengthAndChunked),
        (None, true) if version == Version::Http10 => Err(FramingFieldError::CodingInHttp10),
        (None, true) => Ok(Some(Framing::Chunked)),
    }
}

/// Whether a field has the name `lower`, which must be letters and hyphens in lower case.
///
/// Setting one bit turns a letter into lower case; the only other byte it could turn into a hyphen is CR,
/// which no name holds.
#[inline]
pub(super) fn is_named<const LENGTH: usize>(name: &[u8], lower: &[u8; LENGTH]) -> bool {
    let Ok(name) = <&[u8; LENGTH]>::try_from(name) else { return false };
    let mut difference = 0;
    for (byte, expected) in name.iter().zip(lower) {
        difference |= (byte | 0x20) ^ expected;
    }
    difference == 0
}

/// Why a `Transfer-Encoding` other than exactly `chunked` is refused: as unsupported if its framing is
/// certain and only the coding unknown (RFC 9112 §6.1, §6.3).
#[cold]
fn refused_coding(value: &[u8]) -> FramingFieldError {
    let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let codings: Vec<&[u8]> = list_members(value).collect();
    let are_tokens = codings.iter().all(|coding| coding.iter().all(|&byte| is_token_byte(byte)));
    if codings.is_empty() || !are_tokens || value.split(|&byte| byte == b',').count() != codings.len() {
        return FramingFieldError::CodingMalformed;
    }
    match codings.split_last() {
        Some((last, before)) if is_chunked(last) && !before.iter().any(is_chunked) => {
            FramingFieldError::CodingUnsupported
        }
        _ => FramingFieldError::ChunkedNotLast,
    }
}

/// The last valid `Host` of a connection: nearly always that of the next request too, and comparing costs a
/// fifth of checking.
#[derive(Debug)]
pub(super) struct KnownHost {
    length: u8,
    bytes: [u8; KnownHost::BYTES_MAX],
}

impl KnownHost {
    /// Longer ones are checked each time.
    const BYTES_MAX: usize = 47;

    pub(super) const NONE: KnownHost = KnownHost { length: 0, bytes: [0; KnownHost::BYTES_MAX] };

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Keeps a value that was found valid.
    #[cold]
    pub(super) fn remember(&mut self, host: &[u8]) {
        if host.len() <= Self::BYTES_MAX {
            self.length = host.len() as u8;
            self.bytes[..host.len()].copy_from_slice(host);
        }
    }
}

impl Default for KnownHost {
    fn default() -> KnownHost {
        KnownHost::NONE
    }
}
