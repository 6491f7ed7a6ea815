//! What can be read of a request head that is refused, for its line in the access log and for the form of the
//! response: method, target, and the well-formed fields before the error. Nothing is served by it.

use super::scan::split_at_space;
use super::straddling::empty_lines_length;
use crate::http::message::grammar::{field_line, is_token_byte};
use crate::http::message::{HeadLimits, RequestHead, Version};
use crate::http::method::METHOD_BYTES_MAX;

/// Fills `head` from the start of a request, ignored empty lines included, whatever its bytes are.
#[cold]
pub(super) fn salvage(bytes: &[u8], limits: &HeadLimits, head: &mut RequestHead) {
    let request = &bytes[empty_lines_length(bytes).min(bytes.len())..];
    let request = &request[..request.len().min(usize::from(limits.head_bytes_max))];
    let line_length = memchr::memchr2(b'\r', b'\n', request);
    let line = &request[..line_length.unwrap_or(request.len())];
    let line = &line[..line.len().min(usize::from(limits.request_line_bytes_max))];
    let (token, rest) = split_at_space(line);
    let is_method = (1..=METHOD_BYTES_MAX).contains(&token.len()) && token.iter().all(|&b| is_token_byte(b));
    match rest {
        Some(rest) if is_method => head.begin_refused(Version::Http11, token, without_version(rest)),
        _ => head.begin_refused(Version::Http11, b"", line),
    }
    let Some(mut rest) = line_length.and_then(|length| request[length..].strip_prefix(b"\r\n")) else {
        return;
    };
    for _ in 0..limits.fields_max {
        let Ok(Some(line)) = field_line(rest) else { return };
        if !head.push_refused_field(&rest[line.name], &rest[line.value]) {
            return;
        }
        rest = &rest[line.length..];
    }
}

/// The target and whatever else is before the version: a target that holds spaces is shown whole.
fn without_version(rest: &[u8]) -> &[u8] {
    match rest.iter().rposition(|&byte| byte == b' ') {
        Some(space) if rest[space + 1..].starts_with(b"HTTP/") => &rest[..space],
        _ => rest,
    }
}
