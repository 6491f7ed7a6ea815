//! A response as the client gets it: the endpoint's, without the fields of its connection. Framing and
//! persistence are those of the client's connection, and so is an error in its place.

use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use crate::http::message::ResponseHead;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::grpc::code;
use crate::service::{BodyError, BodyFrame, IntoResponse, Problem, Response, RetryAfter, StreamBody};
use crate::upstream::ExchangeFailure;

/// The field lines of a response, and whether `Date` is among them.
pub(super) fn lines(head: &ResponseHead) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(head.len_bytes());
    let mut is_dated = false;
    let names_fields = head.connection_options().any(|option| {
        !["close", "keep-alive", "upgrade"].iter().any(|known| option.eq_ignore_ascii_case(known))
    });
    for (name, value) in head.fields().raw() {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let is_dropped = match name.len() {
            4 if is("date") => std::mem::replace(&mut is_dated, true),
            7 => is("upgrade") && head.status() != Status::UPGRADE_REQUIRED,
            10 => is("connection") || is("keep-alive"),
            14 => is("content-length"),
            16 => is("proxy-connection"),
            17 => is("transfer-encoding"),
            _ => false,
        };
        let is_named =
            || head.connection_options().any(|option| name.eq_ignore_ascii_case(option.as_bytes()));
        if is_dropped || names_fields && is_named() {
            continue;
        }
        push(&mut out, name, value);
    }
    (out, is_dated)
}

/// Appends a field whose name and value are known to be valid.
pub(super) fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// The length that a response without content announces, to HEAD and with 304.
pub(super) fn announced(head: &ResponseHead) -> Option<u64> {
    let digits = head.field("content-length")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The body of a response that has none, with the length that it would have.
pub(super) struct Announced(pub(super) Option<u64>);

impl StreamBody for Announced {
    /// Not called: the content of such a response is not sent.
    fn poll_frame(&mut self, _cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        Poll::Ready(self.0.filter(|length| *length > 0).map(|_| Err(BodyError::Disconnected)))
    }

    fn reads_request(&self) -> bool {
        false
    }

    fn length(&self) -> Option<u64> {
        self.0
    }
}

/// An error in place of a response. `via` is the proxy's name in `Proxy-Status` (RFC 9209).
pub(super) fn error(status: Status, kind: &str, detail: &'static str, via: Option<&str>) -> Response {
    problem(status, kind, detail, via).into_response()
}

fn problem(status: Status, kind: &str, detail: &'static str, via: Option<&str>) -> Problem {
    let value = format!("{}; error={kind}", name(via));
    Problem::new(status).detail(detail).header("Proxy-Status", &value)
}

/// The name as a token or a string (RFC 8941).
fn name(via: Option<&str>) -> String {
    let name = via.unwrap_or("quoit");
    let is_token = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    if is_token { name.to_owned() } else { format!("\"{}\"", name.replace(['"', '\\'], "")) }
}

/// The response to a request whose exchange failed.
pub(super) fn failed(failure: &ExchangeFailure, via: Option<&str>) -> Response {
    let mut problem = problem(failure.status(), failure.proxy_status(), failure.detail(), via);
    if failure.is_of_response() {
        problem = problem.grpc(code::INTERNAL);
    }
    let response = problem.into_response();
    if failure.status() == Status::SERVICE_UNAVAILABLE {
        return response.with(RetryAfter(Duration::from_secs(1)));
    }
    response
}

/// The response to a request for which there is no endpoint.
pub(super) fn unavailable(kind: &str, detail: &'static str, after: Duration, via: Option<&str>) -> Response {
    error(Status::SERVICE_UNAVAILABLE, kind, detail, via).with(RetryAfter(after))
}

/// Whether the response to this method with this head has no content, whatever is announced.
pub(super) fn is_bodiless(head: &ResponseHead, method: Method) -> bool {
    method == Method::Head || head.status() == Status::NOT_MODIFIED
}
