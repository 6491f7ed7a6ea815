//! The types that handlers may return, and the response made from each.

use bytes::Bytes;
use serde::Serialize;

use super::fields::FieldBlock;
use super::problem::Problem;
use super::response::{Body, Response};
use crate::http::status::Status;

const JSON: &[u8] = b"Content-Type: application/json\r\n";
const OCTETS: &[u8] = b"Content-Type: application/octet-stream\r\n";

/// First allocation for a JSON body: most responses of an API fit.
const JSON_BYTES: usize = 512;

/// A type that converts into a response.
///
/// Text is 200 with `text/plain`, bytes are `application/octet-stream`, `()` is 204, a [`Status`] alone is
/// that status without a body. A `Result` converts its value or its error: implement this trait for the
/// errors of an application, and one place defines their responses. A tuple is its last value with the
/// [`ResponsePart`](super::ResponsePart)s before it: `(Status::CREATED, Location("/things/7"), Json(thing))`.
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
        Response::new(self.status).with_field("Location", self.location)
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Response::of_problem(self)
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
    Response::of_problem(Problem::new(Status::INTERNAL_SERVER_ERROR))
}
