//! The types that handlers may return, and the response made from each.

use bytes::Bytes;
use serde::Serialize;

use super::fields::FieldBlock;
use super::problem::Problem;
use super::response::{Body, Response};
use crate::http::cookie::SetCookie;
use crate::http::status::Status;
use crate::observe::log;

const JSON: &[u8] = b"Content-Type: application/json\r\n";
const PROBLEM_JSON: &[u8] = b"Content-Type: application/problem+json\r\n";
const OCTETS: &[u8] = b"Content-Type: application/octet-stream\r\n";

/// First allocation for a JSON body: most responses of an API fit.
const JSON_BYTES: usize = 512;

/// A type that converts into a response.
///
/// Text is 200 with `text/plain`, bytes are `application/octet-stream`, `()` is 204, a [`Status`] alone is
/// that status without a body. A `Result` converts its value or its error: implement this trait for the
/// errors of an application, and one place defines their responses.
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

/// A value as JSON: an extractor for request bodies, and 200 with `application/json` as a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// 200 with `text/html`. Text in it must be escaped: see [`escape_html`](super::escape_html).
#[derive(Clone, Copy, Debug)]
pub struct Html<T>(pub T);

/// A redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    status: Status,
    location: String,
}

impl Redirect {
    /// 303: the result of a POST is at `location`, for GET.
    pub fn see_other(location: impl Into<String>) -> Self {
        Self { status: Status::SEE_OTHER, location: location.into() }
    }

    /// 307: the same request, for now, at `location`.
    pub fn temporary(location: impl Into<String>) -> Self {
        Self { status: Status::TEMPORARY_REDIRECT, location: location.into() }
    }

    /// 308: the same request, from now on, at `location`.
    pub fn permanent(location: impl Into<String>) -> Self {
        Self { status: Status::PERMANENT_REDIRECT, location: location.into() }
    }
}

/// 500 where the location is not a valid field value; percent-encode it.
impl IntoResponse for Redirect {
    fn into_response(self) -> Response {
        let response = Response::new(self.status).field("Location", self.location);
        response.unwrap_or_else(|_| internal_error())
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut lines = Vec::with_capacity(PROBLEM_JSON.len() + self.lines().len());
        lines.extend_from_slice(PROBLEM_JSON);
        lines.extend_from_slice(self.lines());
        let body = Body::Bytes(self.to_json().into());
        let response = Response::new(self.status()).with_fields(FieldBlock::Owned(lines)).with_body(body);
        response.with_problem(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::new(Status::OK).with_fields(FieldBlock::Static(OCTETS)).with_body(Body::Bytes(self))
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Bytes::from(self).into_response()
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(Status::NO_CONTENT)
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl<T: IntoResponse> IntoResponse for (Status, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

/// With these fields, in place of those of the same name that the response has. 500, and a line in the log,
/// where one is not valid: names and values that depend on a client are set with [`Response::field`].
impl<N: AsRef<str>, V: AsRef<[u8]>, const COUNT: usize, T: IntoResponse> IntoResponse
    for ([(N, V); COUNT], T)
{
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            if let Err(error) = response.set_field(name.as_ref(), value) {
                log::line(format_args!("a response has an invalid field, {:?}: {error}", name.as_ref()));
                return internal_error();
            }
        }
        response
    }
}

impl<N, V, const COUNT: usize, T> IntoResponse for (Status, [(N, V); COUNT], T)
where
    N: AsRef<str>,
    V: AsRef<[u8]>,
    T: IntoResponse,
{
    fn into_response(self) -> Response {
        (self.0, (self.1, self.2)).into_response()
    }
}

/// With the cookie set; as with fields, 500 where it is not valid.
impl<T: IntoResponse> IntoResponse for (SetCookie<'_>, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_cookie(&self.0).unwrap_or_else(|error| {
            log::line(format_args!("a response has an invalid cookie: {error}"));
            internal_error()
        })
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// A value that cannot be serialized as JSON (such as a map whose keys are not strings) is a bug: 500.
impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(JSON_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => Response::new(Status::OK)
                .with_fields(FieldBlock::Static(JSON))
                .with_body(Body::Bytes(body.into())),
            Err(_) => internal_error(),
        }
    }
}

impl<T: Into<Bytes>> IntoResponse for Html<T> {
    fn into_response(self) -> Response {
        Response::html(self.0)
    }
}

/// The response for a fault of the server or application, without its cause.
pub(super) fn internal_error() -> Response {
    Problem::new(Status::INTERNAL_SERVER_ERROR).into_response()
}
