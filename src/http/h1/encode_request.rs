//! Encodes request heads (RFC 9112 §3, §6). Selects the framing of the body so that the server reads exactly
//! one request, and refuses input that could be parsed as two; method, target and fields are the caller's.

use super::encode::{BodyCoding, BodyLength};
use super::response::RequestFacts;
use crate::http::message::grammar::is_token_byte;
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::http::target::{self, TargetError, TargetForm, is_authority};

/// A request head to encode, always HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct OutgoingRequest<'a> {
    /// The method's token.
    pub method: &'a str,
    /// The request target, percent-encoded, in a form allowed for the method.
    pub target: &'a str,
    /// The value of `Host`: a host with an optional port. A target in absolute-form or authority-form must
    /// have the same authority.
    pub authority: &'a str,
    /// Field lines as [`push_field`](crate::http::message::push_field) writes them, each with its CRLF;
    /// without the fields that other members of this type stand for, and without connection-specific fields.
    pub fields: &'a [u8],
    /// The length of the body. [`BodyLength::UntilClose`] is refused, because closing would end the response
    /// too.
    pub length: BodyLength,
    /// Whether to hold the body back until `100 Continue` comes (RFC 9110 §10.1.1); no effect without a body.
    pub expects_continue: bool,
    /// The options of the connection.
    pub connection: ConnectionOptions<'a>,
}

/// What a request asks of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ConnectionOptions<'a> {
    /// Close it after the response. Default: it persists.
    pub close: bool,
    /// Upgrade to another protocol (`websocket`), its version after a slash if it has one (RFC 9110 §7.8).
    /// Default: none.
    pub upgrade: Option<&'a str>,
    /// Announce that trailers are accepted (`TE: trailers`, RFC 9110 §10.1.4). Default: not announced.
    pub trailers: bool,
}

/// How to continue after an encoded request head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrittenRequest {
    /// How to send the body; never until the connection closes.
    pub body: BodyCoding,
    /// Parameters for the response's decoder.
    pub facts: RequestFacts,
}

/// Why a request head is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestWriteError {
    /// The method is empty or longer than the decoder accepts.
    #[error("the method must have 1 to {METHOD_BYTES_MAX} bytes")]
    MethodLength,
    /// The method is not a token; a space or CRLF would begin another part.
    #[error("the method holds byte 0x{0:02x}; use letters")]
    MethodCharacter(u8),
    /// The target is malformed, or of a form that is not allowed for the method.
    #[error("the request target cannot be sent")]
    Target(#[from] TargetError),
    /// The authority is not one host with an optional port.
    #[error("the authority must be one host name or address with an optional port")]
    AuthorityMalformed,
    /// The target has another authority (RFC 9112 §3.2.2).
    #[error("the target names another authority than the Host field")]
    AuthorityDiffers,
    /// The upgrade is not a protocol's name with an optional version.
    #[error("the protocol to upgrade to must be a token, with or without a slash and a version")]
    UpgradeMalformed,
    /// CONNECT and TRACE cannot have a body (RFC 9110 §9.3.6, §9.3.8).
    #[error("a {} request cannot have a body", .0.as_str())]
    BodyNotAllowed(Method),
    /// A request's body cannot end by closing the connection (RFC 9112 §6.3).
    #[error("a request body needs a length or chunks")]
    UntilClose,
    /// `fields` contains a field that is written from the other members.
    #[error("the field {0} is written from typed options; set those instead")]
    ReservedField(&'static str),
    /// `fields` does not consist of lines that end with CRLF.
    #[error("the fields are not lines as push_field writes them")]
    FieldsMalformed,
}

/// The usual spelling of the name of a field that is written here or is connection-specific: a second one
/// would contradict the first. By the length of the name, which excludes most.
pub(crate) fn reserved_field(name: &[u8]) -> Option<&'static str> {
    let candidates: &[&'static str] = match name.len() {
        2 => &["TE"],
        4 => &["Host"],
        6 => &["Expect"],
        7 => &["Upgrade"],
        10 => &["Connection", "Keep-Alive"],
        14 => &["Content-Length"],
        16 => &["Proxy-Connection"],
        17 => &["Transfer-Encoding"],
        _ => &[],
    };
    candidates.iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes())).copied()
}

/// Upper bound of the bytes that are not the caller's: version, names of fields, framing.
const HEAD_BYTES_OWN: usize = 192;

/// Appends a complete request head, its empty line included, or nothing if it is refused.
///
/// `Host` comes first (RFC 9110 §7.2). The framing is determined by the length alone: no framing field
/// without a body, except `Content-Length: 0` for methods that usually have one (RFC 9110 §8.6); chunked for
/// an unknown length. A known length of 0 is no body.
///
/// # Errors
/// The server could parse something other than this one request.
pub fn write_request_head(
    out: &mut Vec<u8>,
    request: &OutgoingRequest<'_>,
) -> Result<WrittenRequest, RequestWriteError> {
    let method = check_method(request.method)?;
    check_target(method, request.target, request.authority)?;
    check_fields(request.fields)?;
    let upgrade = request.connection.upgrade;
    if upgrade.is_some_and(|protocol| !is_protocol(protocol)) {
        return Err(RequestWriteError::UpgradeMalformed);
    }
    let body = body_coding(method, request.length)?;

    out.reserve(HEAD_BYTES_OWN + request.target.len() + request.authority.len() + request.fields.len());
    push(out, &[request.method, " ", request.target, " HTTP/1.1\r\nHost: ", request.authority, "\r\n"]);
    out.extend_from_slice(request.fields);
    match body {
        BodyCoding::Known(length) => {
            push(out, &["Content-Length: ", itoa::Buffer::new().format(length), "\r\n"]);
        }
        BodyCoding::Chunked => push(out, &["Transfer-Encoding: chunked\r\n"]),
        // Without an explicit zero, a server could wait for the end of these (RFC 9110 §8.6).
        _ if matches!(method, Method::Post | Method::Put | Method::Patch) => {
            push(out, &["Content-Length: 0\r\n"]);
        }
        _ => {}
    }
    if request.expects_continue && body != BodyCoding::None {
        push(out, &["Expect: 100-continue\r\n"]);
    }
    write_connection(out, &request.connection);
    push(out, &["\r\n"]);
    Ok(WrittenRequest { body, facts: RequestFacts { method, asks_upgrade: upgrade.is_some() } })
}

fn push(out: &mut Vec<u8>, parts: &[&str]) {
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
}

/// The connection-specific fields, each listed in `Connection` so that a proxy does not forward it.
fn write_connection(out: &mut Vec<u8>, options: &ConnectionOptions<'_>) {
    let asked = [(options.close, "close"), (options.upgrade.is_some(), "upgrade"), (options.trailers, "TE")];
    let mut before = "Connection: ";
    for (_, option) in asked.iter().filter(|(is_asked, _)| *is_asked) {
        push(out, &[before, option]);
        before = ", ";
    }
    if before == ", " {
        push(out, &["\r\n"]);
    }
    if let Some(protocol) = options.upgrade {
        push(out, &["Upgrade: ", protocol, "\r\n"]);
    }
    if options.trailers {
        push(out, &["TE: trailers\r\n"]);
    }
}

fn check_method(token: &str) -> Result<Method, RequestWriteError> {
    if !(1..=METHOD_BYTES_MAX).contains(&token.len()) {
        return Err(RequestWriteError::MethodLength);
    }
    if let Some(byte) = token.bytes().find(|&byte| !is_token_byte(byte)) {
        return Err(RequestWriteError::MethodCharacter(byte));
    }
    Ok(Method::from_token(token.as_bytes()))
}

fn check_target(method: Method, target: &str, authority: &str) -> Result<(), RequestWriteError> {
    if !is_authority(authority.as_bytes()) {
        return Err(RequestWriteError::AuthorityMalformed);
    }
    let parts = target::parse(method, target.as_bytes())?;
    let names_one = matches!(parts.form, TargetForm::Absolute | TargetForm::Authority);
    if names_one && !target[parts.authority].eq_ignore_ascii_case(authority) {
        return Err(RequestWriteError::AuthorityDiffers);
    }
    Ok(())
}

fn check_fields(mut fields: &[u8]) -> Result<(), RequestWriteError> {
    while !fields.is_empty() {
        let end = memchr::memchr(b'\n', fields).ok_or(RequestWriteError::FieldsMalformed)?;
        let (line, rest) = fields.split_at(end + 1);
        let colon = memchr::memchr(b':', line).ok_or(RequestWriteError::FieldsMalformed)?;
        if !line.ends_with(b"\r\n") {
            return Err(RequestWriteError::FieldsMalformed);
        }
        if let Some(name) = reserved_field(&line[..colon]) {
            return Err(RequestWriteError::ReservedField(name));
        }
        fields = rest;
    }
    Ok(())
}

fn is_protocol(protocol: &str) -> bool {
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
    let (name, version) = protocol.split_once('/').unwrap_or((protocol, "1"));
    is_token(name) && is_token(version)
}

fn body_coding(method: Method, length: BodyLength) -> Result<BodyCoding, RequestWriteError> {
    let coding = match length {
        BodyLength::None | BodyLength::Known(0) => BodyCoding::None,
        BodyLength::Known(length) => BodyCoding::Known(length),
        BodyLength::Chunked => BodyCoding::Chunked,
        BodyLength::UntilClose => return Err(RequestWriteError::UntilClose),
    };
    if coding != BodyCoding::None && matches!(method, Method::Connect | Method::Trace) {
        return Err(RequestWriteError::BodyNotAllowed(method));
    }
    Ok(coding)
}
