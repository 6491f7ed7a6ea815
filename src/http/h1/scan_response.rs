//! The slow, strict parser of a response head that may be incomplete, as `scan` is for requests: finds the
//! first error in the order of the bytes. Fills no head, and does not interpret fields.

use super::scan::{HeadExtent, scan_fields};
use crate::http::message::grammar::{LineEnd, first_line, is_value_byte};
use crate::http::message::{ResponseError, ResponseLimits};

/// Scans received bytes from the start of a response.
///
/// An error depends only on the bytes up to the one that causes it. So however the bytes are split between
/// reads, the same response is refused with the same error; the fuzz target checks this.
#[cold]
pub(super) fn scan_response(bytes: &[u8], limits: &ResponseLimits) -> Result<HeadExtent, ResponseError> {
    let bytes_max = usize::from(limits.head_bytes_max);
    let view = &bytes[..bytes.len().min(bytes_max)];
    let seen = match scan_status_line(view)? {
        Some(length) => scan_fields(&view[length..], limits.fields_max)?,
        None => HeadExtent::Part,
    };
    if seen == HeadExtent::Part && bytes.len() >= bytes_max {
        return Err(ResponseError::HeadTooLong);
    }
    Ok(seen)
}

/// Length of the status line with its CRLF, `None` while it is incomplete.
fn scan_status_line(view: &[u8]) -> Result<Option<usize>, ResponseError> {
    let (line, end) = first_line(view);
    if line.is_empty() && end != LineEnd::Open {
        return Err(ResponseError::EmptyLine);
    }
    for (index, &byte) in line.iter().enumerate() {
        check_byte(index, byte)?;
    }
    match end {
        LineEnd::Open => return Ok(None),
        _ if line.len() < "HTTP/".len() => return Err(ResponseError::StatusLineMissing(view[line.len()])),
        _ if line.len() < "HTTP/1.1".len() => return Err(ResponseError::VersionMalformed),
        _ if line.len() <= "HTTP/1.1 ".len() => return Err(ResponseError::StatusMissing),
        _ if line.len() < "HTTP/1.1 200".len() => return Err(ResponseError::StatusMalformed),
        _ => {}
    }
    match end {
        LineEnd::Open | LineEnd::Cut => Ok(None),
        LineEnd::Crlf => Ok(Some(line.len() + 2)),
        LineEnd::BareLf => Err(ResponseError::BareLf),
        LineEnd::BareCr => Err(ResponseError::BareCr),
    }
}

/// Checks one byte of `HTTP/1.1 200 OK`, given that those before it are valid.
fn check_byte(index: usize, byte: u8) -> Result<(), ResponseError> {
    let error = match (index, byte) {
        (0..5, _) if byte == b"HTTP/"[index] => return Ok(()),
        (0..5, _) => ResponseError::StatusLineMissing(byte),

        (5, b'1') | (6, b'.') | (7, b'0' | b'1') | (8, b' ') => return Ok(()),
        (5, b'0') => ResponseError::VersionHttp0,
        (5, b'2') => ResponseError::VersionHttp2,
        (5 | 7, b'0'..=b'9') => ResponseError::VersionUnsupported,
        (5..=8, _) => ResponseError::VersionMalformed,

        (9, b'1'..=b'9') | (10 | 11, b'0'..=b'9') | (12, b' ') => return Ok(()),
        (9..=12, _) => ResponseError::StatusMalformed,

        _ if is_value_byte(byte) => return Ok(()),
        _ => ResponseError::ReasonCharacter(byte),
    };
    Err(error)
}
