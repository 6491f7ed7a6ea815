//! The slow, strict parser of a request head that may be incomplete: finds the first error in the order of
//! the bytes. It determines the error after the fast path failed, and refuses invalid input before a head is
//! complete. Fills no head, and does not interpret fields.

use super::straddling::empty_lines_length;
use crate::http::message::grammar::{LineEnd, field_line, first_line, is_token_byte};
use crate::http::message::{FieldLineError, HeadLimits, RequestError, ResponseError};
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::http::target;

/// The first line of the HTTP/2 preface. The rest of it is checked by HTTP/2.
const HTTP2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The extent of a head without errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeadExtent {
    /// A head up to and including its empty line.
    Whole,
    /// The start of one, possibly empty.
    Part,
}

/// Scans received bytes from the start of a request, an ignored empty line included.
///
/// An error depends only on the bytes up to the one that causes it. So however the bytes are split between
/// reads, the same request is refused with the same error; the fuzz target checks this.
#[cold]
pub(super) fn scan(bytes: &[u8], limits: &HeadLimits) -> Result<HeadExtent, RequestError> {
    if bytes.starts_with(HTTP2_PREFACE_LINE) {
        return Err(RequestError::Http2Preface);
    }
    if HTTP2_PREFACE_LINE.starts_with(bytes) {
        return Ok(HeadExtent::Part);
    }
    let head = &bytes[empty_lines_length(bytes)..];
    match head {
        [b'\r', b'\n', ..] => return Err(RequestError::EmptyLines),
        [b'\r'] => return Ok(HeadExtent::Part),
        [b'\r', ..] => return Err(RequestError::BareCr),
        [b'\n', ..] => return Err(RequestError::BareLf),
        _ => {}
    }
    let bytes_max = usize::from(limits.head_bytes_max);
    let view = &head[..head.len().min(bytes_max)];
    let seen = scan_view(view, limits)?;
    if seen == HeadExtent::Part && head.len() >= bytes_max {
        return Err(RequestError::HeadTooLong);
    }
    Ok(seen)
}

fn scan_view(view: &[u8], limits: &HeadLimits) -> Result<HeadExtent, RequestError> {
    let Some(line_length) = scan_request_line(view, limits)? else { return Ok(HeadExtent::Part) };
    Ok(scan_fields(&view[line_length..], limits.fields_max)?)
}

/// Errors of the lines after the first, in either direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FieldsError {
    /// The empty line ends with LF alone.
    BareLf,
    /// A CR without LF in place of the empty line.
    BareCr,
    TooMany,
    Line(FieldLineError),
}

impl From<FieldLineError> for FieldsError {
    fn from(error: FieldLineError) -> FieldsError {
        FieldsError::Line(error)
    }
}

impl From<FieldsError> for RequestError {
    fn from(error: FieldsError) -> RequestError {
        match error {
            FieldsError::BareLf => RequestError::BareLf,
            FieldsError::BareCr => RequestError::BareCr,
            FieldsError::TooMany => RequestError::TooManyFields,
            FieldsError::Line(error) => RequestError::Field(error),
        }
    }
}

impl From<FieldsError> for ResponseError {
    fn from(error: FieldsError) -> ResponseError {
        match error {
            FieldsError::BareLf => ResponseError::BareLf,
            FieldsError::BareCr => ResponseError::BareCr,
            FieldsError::TooMany => ResponseError::TooManyFields,
            FieldsError::Line(error) => ResponseError::Field(error),
        }
    }
}

/// Scans field lines up to and including the empty line.
pub(super) fn scan_fields(mut rest: &[u8], fields_max: u8) -> Result<HeadExtent, FieldsError> {
    let mut fields = 0;
    loop {
        match rest {
            [] | [b'\r'] => return Ok(HeadExtent::Part),
            [b'\r', b'\n', ..] => return Ok(HeadExtent::Whole),
            [b'\r', ..] => return Err(FieldsError::BareCr),
            [b'\n', ..] => return Err(FieldsError::BareLf),
            _ if fields == fields_max => return Err(FieldsError::TooMany),
            _ => {}
        }
        let Some(line) = field_line(rest)? else { return Ok(HeadExtent::Part) };
        rest = &rest[line.length..];
        fields += 1;
    }
}

/// Length of the request line with its CRLF, `None` while it is incomplete.
fn scan_request_line(view: &[u8], limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
    let (line, end) = first_line(view);
    let bytes_max = usize::from(limits.request_line_bytes_max);
    if line.len() > bytes_max {
        check_request_line(&line[..bytes_max], LineEnd::Open)?;
        return Err(RequestError::RequestLineTooLong);
    }
    check_request_line(line, end)?;
    match end {
        LineEnd::Open | LineEnd::Cut => Ok(None),
        LineEnd::Crlf => Ok(Some(line.len() + 2)),
        LineEnd::BareLf => Err(RequestError::BareLf),
        LineEnd::BareCr => Err(RequestError::BareCr),
    }
}

/// Checks method and target byte by byte, then, once the line has ended, its version and its target's form.
fn check_request_line(line: &[u8], end: LineEnd) -> Result<(), RequestError> {
    let (method, rest) = split_at_space(line);
    if method.is_empty() && rest.is_some() {
        return Err(RequestError::MethodMissing);
    }
    check_method(method)?;
    let (target, version) = match rest {
        Some(rest) => split_at_space(rest),
        None if end == LineEnd::Open => return Ok(()),
        None => return Err(RequestError::TargetMissing),
    };
    target::check_bytes(target)?;
    let is_whole = version.is_some() || end != LineEnd::Open;
    if is_whole && target.is_empty() {
        return Err(RequestError::Target(target::TargetError::Empty));
    }
    if end == LineEnd::Open {
        return Ok(());
    }
    check_version(version.ok_or(RequestError::VersionMissing)?)?;
    target::normalize(Method::from_token(method), target)?;
    Ok(())
}

fn check_method(method: &[u8]) -> Result<(), RequestError> {
    for (index, &byte) in method.iter().enumerate() {
        match byte {
            _ if !is_token_byte(byte) => return Err(RequestError::MethodCharacter(byte)),
            _ if index == METHOD_BYTES_MAX => return Err(RequestError::MethodTooLong),
            _ => {}
        }
    }
    Ok(())
}

/// The version is checked as a whole, because 505 is more informative for a client of another version than
/// 400. A higher minor version is served as 1.1 (RFC 9110 §6.2).
fn check_version(version: &[u8]) -> Result<(), RequestError> {
    match version {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(RequestError::VersionUnsupported)
        }
        _ => Err(RequestError::VersionMalformed),
    }
}

/// The bytes before the first space and, if there is one, after it.
pub(super) fn split_at_space(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|&byte| byte == b' ') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}
