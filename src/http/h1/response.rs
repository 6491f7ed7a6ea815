//! Response heads out of a byte stream (RFC 9112 §2 to §6), for clients: strict, and with the same result
//! however the bytes are split. Knows no sockets and no clock; the body is decoded by the body decoder, and
//! the bytes of a tunnel are not HTTP/1.
//!
//! Works as the request decoder does: httparse parses a head in place, the checks that httparse omits are
//! added, one copy moves it into the caller's [`ResponseHead`], and after a failure the strict
//! `scan_response` determines the error.

use std::mem::MaybeUninit;

use super::facts::{Gathered, check_coding, framing, is_named};
use super::scan::HeadExtent;
use super::scan_response::scan_response;
use super::straddling::{LineSpans, Straddling, TABLE_FIELDS};
use crate::http::message::facts::content_length;
use crate::http::message::grammar::list_members;
use crate::http::message::response_head::ResponseFacts;
use crate::http::message::{
    Framing, FramingFieldError, ResponseError, ResponseHead, ResponseLimits, Version,
};
use crate::http::method::Method;
use crate::http::status::Status;

/// The properties of a request on which the meaning of its response depends.
/// [`write_request_head`](super::write_request_head) returns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestFacts {
    /// The response to HEAD has no body, and a 2xx to CONNECT opens a tunnel.
    pub method: Method,
    /// Whether the request had an `Upgrade` field: only then is a 101 allowed.
    pub asks_upgrade: bool,
}

/// The state of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponseProgress {
    /// All of the input was taken and the head is incomplete.
    Incomplete,
    /// An interim response (1xx, but not 101) is complete and filled in; it has no body, and another head
    /// follows. Call again with the rest of the input.
    Interim {
        /// How many bytes of this input belong to it.
        consumed: usize,
    },
    /// The final response's head is complete and filled in.
    Complete {
        /// How many bytes of this input belong to it; the rest is the body.
        consumed: usize,
        /// How the body is delimited.
        body: Framing,
    },
    /// The final response's head is complete and filled in, and the connection is a tunnel from here on: 101,
    /// or a 2xx to CONNECT (RFC 9110 §7.8, §9.3.6). The caller checks whether the protocol in `Upgrade` was
    /// requested.
    Tunnel {
        /// How many bytes of this input belong to the head; the rest belongs to the tunnel.
        consumed: usize,
    },
}

/// Decodes the response heads of one connection, one exchange after another.
///
/// Holds no memory unless a head straddles reads. After an error the connection must be closed.
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    partial: Straddling,
    /// Interim responses to the current request so far.
    interim: u8,
}

impl ResponseDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> ResponseDecoder {
        ResponseDecoder::default()
    }

    /// Whether nothing of a response to the current request has been received, interim ones included. On
    /// input without an outstanding request, close the connection instead of calling the decoder.
    pub fn is_idle(&self) -> bool {
        self.partial.as_slice().is_empty() && self.interim == 0
    }

    /// Whether the first bytes of a head were received, but not all of it.
    pub fn has_part(&self) -> bool {
        !self.partial.as_slice().is_empty()
    }

    /// Takes received bytes. Pass the same limits and facts during one exchange.
    ///
    /// On `Interim`, `Complete` and `Tunnel`, `head` is filled; otherwise its content is undefined.
    ///
    /// # Errors
    /// The first error in the order of the bytes; or, when every line is well-formed, the first contradiction
    /// between fields, status and request. Close the connection; a gateway answers 502.
    pub fn handle_bytes(
        &mut self,
        input: &[u8],
        limits: &ResponseLimits,
        request: &RequestFacts,
        head: &mut ResponseHead,
    ) -> Result<ResponseProgress, ResponseError> {
        let bytes_max = usize::from(limits.head_bytes_max) + 1;
        let mut follows = Follows::Head;
        let decode = |bytes: &[u8]| {
            let decoded = decode(bytes, limits, request, head)?;
            Ok(decoded.map(|(length, what)| {
                follows = what;
                length
            }))
        };
        let consumed = match self.partial.handle_bytes(input, bytes_max, decode) {
            Ok(Some(consumed)) => consumed,
            Ok(None) => return Ok(ResponseProgress::Incomplete),
            Err(error) => {
                self.partial.clear();
                return Err(error);
            }
        };
        match follows {
            Follows::Head if self.interim == limits.interim_max => {
                return Err(ResponseError::TooManyInterims);
            }
            Follows::Head => self.interim += 1,
            Follows::Body(_) | Follows::Tunnel => self.interim = 0,
        }
        Ok(match follows {
            Follows::Head => ResponseProgress::Interim { consumed },
            Follows::Body(body) => ResponseProgress::Complete { consumed, body },
            Follows::Tunnel => ResponseProgress::Tunnel { consumed },
        })
    }

    /// Takes the end of the connection while a head is expected, and returns the error for it.
    pub fn end_of_input(&self) -> ResponseError {
        if self.is_idle() { ResponseError::ClosedBeforeResponse } else { ResponseError::Truncated }
    }
}

/// What follows a head.
#[derive(Clone, Copy)]
enum Follows {
    Head,
    Body(Framing),
    Tunnel,
}

/// Fills `head` from the response at the start of `bytes` and returns its length and what follows; `None` if
/// it is well-formed so far and incomplete.
fn decode(
    bytes: &[u8],
    limits: &ResponseLimits,
    request: &RequestFacts,
    head: &mut ResponseHead,
) -> Result<Option<(usize, Follows)>, ResponseError> {
    let view = &bytes[..bytes.len().min(usize::from(limits.head_bytes_max))];
    let mut table = [const { MaybeUninit::uninit() }; TABLE_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        view,
        &mut table[..usize::from(limits.fields_max)],
    );
    let doubt = match parsed {
        Ok(httparse::Status::Complete(length)) => match fill(head, &view[..length], &response, request) {
            Ok(follows) => return Ok(Some((length, follows))),
            Err(doubt) => {
                head.clear();
                doubt
            }
        },
        Ok(httparse::Status::Partial) | Err(_) => ResponseError::Disagreement,
    };
    match scan_response(bytes, limits)? {
        HeadExtent::Part => Ok(None),
        HeadExtent::Whole => Err(doubt),
    }
}

/// Moves a head accepted by httparse into `head`, and adds the checks that httparse omits: line ends,
/// statuses, and the semantics of fields. An error is preliminary: if a line is malformed, `scan_response`
/// determines the first error.
fn fill(
    head: &mut ResponseHead,
    bytes: &[u8],
    response: &httparse::Response<'_, '_>,
    request: &RequestFacts,
) -> Result<Follows, ResponseError> {
    let (Some(code), Some(minor)) = (response.code, response.version) else {
        return Err(ResponseError::Disagreement);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let status = Status::new(code).ok_or(ResponseError::Disagreement)?;
    // httparse skips leading empty lines.
    if !bytes.starts_with(b"HTTP/") || !bytes.ends_with(b"\r\n\r\n") {
        return Err(ResponseError::Disagreement);
    }
    let mut spans = LineSpans::new(bytes);
    head.fill(bytes, status, version, response.headers.iter().map(|field| spans.find(field)));
    if !spans.have_crs() {
        return Err(ResponseError::Disagreement);
    }
    let mut gathered = GatheredResponse::default();
    for field in response.headers.iter() {
        gathered.handle_field(field.name.as_bytes(), field.value);
    }
    let (facts, follows) = gathered.finish(status, version, request)?;
    head.finish(facts);
    Ok(follows)
}

/// The relevant fields of one response, as far as they have been read.
#[derive(Default)]
struct GatheredResponse<'a> {
    connection: Gathered<'a>,
    length: Option<u64>,
    is_chunked: bool,
    /// The first error of the framing fields. A tunnel's head may have one: a client must ignore them there
    /// (RFC 9110 §9.3.6).
    error: Option<FramingFieldError>,
    has_upgrade: bool,
    has_upgrade_option: bool,
}

/// Lengths that agree are one: servers behind several layers send it twice, and there is no other reading
/// (RFC 9110 §8.6).
fn merged_length(before: Option<u64>, value: &[u8]) -> Result<u64, FramingFieldError> {
    let mut members =
        value.split(|&byte| byte == b',').map(|member| content_length(None, member.trim_ascii()));
    let first = members.next().unwrap_or(Err(FramingFieldError::LengthMalformed))?;
    for other in members.chain(before.map(Ok)) {
        if other? != first {
            return Err(FramingFieldError::LengthRepeated);
        }
    }
    Ok(first)
}

impl GatheredResponse<'_> {
    fn handle_field(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            7 if is_named(name, b"upgrade") => self.has_upgrade |= !value.is_empty(),
            10 if is_named(name, b"connection") => {
                self.connection.handle_connection(value);
                self.has_upgrade_option |=
                    list_members(value).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
            }
            14 if is_named(name, b"content-length") => match merged_length(self.length, value) {
                Ok(length) => self.length = Some(length),
                Err(error) => self.note(error),
            },
            17 if is_named(name, b"transfer-encoding") => match check_coding(self.is_chunked, value) {
                Ok(()) => self.is_chunked = true,
                Err(error) => self.note(error),
            },
            _ => {}
        }
    }

    fn note(&mut self, error: FramingFieldError) {
        self.error.get_or_insert(error);
    }

    /// Checks the fields against each other, the status and the request (RFC 9112 §6.3), rule by rule.
    fn finish(
        &self,
        status: Status,
        version: Version,
        request: &RequestFacts,
    ) -> Result<(ResponseFacts, Follows), ResponseError> {
        let keep_alive = self.connection.keeps_alive(version);
        let bodiless = |keep_alive| ResponseFacts { framing: Framing::None, keep_alive };
        // 2: a tunnel follows, whatever the fields are.
        if request.method == Method::Connect && status.is_success() {
            return Ok((bodiless(false), Follows::Tunnel));
        }
        if let Some(error) = self.error {
            return Err(error.into());
        }
        // 3: both framing fields are an attack or a broken server; the RFC lets a client continue, but only
        // by guessing which of the two other recipients use.
        let framing = framing(self.length, self.is_chunked, version)?;
        let announces_body = framing.is_some_and(|framing| !framing.is_empty());
        if status.is_informational() {
            // The bytes after it would be parsed as a head.
            if announces_body {
                return Err(ResponseError::InterimWithBody);
            }
            if status != Status::SWITCHING_PROTOCOLS {
                return Ok((bodiless(keep_alive), Follows::Head));
            }
            self.check_upgrade(version, request)?;
            return Ok((bodiless(false), Follows::Tunnel));
        }
        // 1: no body, whatever the fields are: they describe the response to GET (HEAD), or what the client
        // already has (304).
        if request.method == Method::Head || status == Status::NOT_MODIFIED {
            return Ok((bodiless(keep_alive), Follows::Body(Framing::None)));
        }
        if status == Status::NO_CONTENT {
            // A server that announces a body here, which it must not, may send it as well; so nothing after
            // this head is parsed as a response.
            return Ok((bodiless(keep_alive && !announces_body), Follows::Body(Framing::None)));
        }
        // 4 to 6 and 8: chunks, a length, or the end of the connection.
        let framing = framing.unwrap_or(Framing::UntilClose);
        let keep_alive = keep_alive && framing != Framing::UntilClose;
        Ok((ResponseFacts { framing, keep_alive }, Follows::Body(framing)))
    }

    fn check_upgrade(&self, version: Version, request: &RequestFacts) -> Result<(), ResponseError> {
        if !request.asks_upgrade {
            return Err(ResponseError::UpgradeUnasked);
        }
        if version == Version::Http10 {
            return Err(ResponseError::UpgradeInHttp10);
        }
        if !self.has_upgrade || !self.has_upgrade_option {
            return Err(ResponseError::UpgradeMissing);
        }
        Ok(())
    }
}
