//! Extractors of the body: whole, typed, or as a stream.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::FromRequest;
use super::refusal::{content_type, of_body, text, unreadable, wrong_type};
use crate::service::body::RequestBody;
use crate::service::decode::from_json;
use crate::service::into_response::Json;
use crate::service::problem::Problem;
use crate::service::request::Request;

/// The whole body; 413 beyond `ExtractLimits::whole_bytes_max`.
impl FromRequest for Bytes {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let limit = request.context().limits().whole_bytes_max;
        request.body().read_all(limit).await.map_err(|error| unreadable(&error))
    }
}

/// The whole body as text: 415 where `Content-Type` names another charset than UTF-8, 400 where it is not
/// UTF-8, 413 beyond `ExtractLimits::whole_bytes_max`.
impl FromRequest for String {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let charset = content_type(request).and_then(|found| found.parameter("charset"));
        if charset.is_some_and(|charset| !["utf-8", "us-ascii"].contains(&&*charset.to_ascii_lowercase())) {
            return Err(wrong_type("the text must be UTF-8"));
        }
        let bytes = Bytes::from_request(request).await?;
        text(bytes, "the body")
    }
}

/// The body as a stream, bounded by the server's `BodyLimits` alone.
impl FromRequest for RequestBody {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(request.take_body())
    }
}

/// The request with its body.
impl FromRequest for Request {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let body = request.take_body();
        Ok(Request::new(request.context().clone(), body))
    }
}

/// A JSON body: 415 where `Content-Type` is neither `application/json` nor ends in `+json`, 413 beyond
/// `ExtractLimits::json_bytes_max`, 400 where it is not JSON, 422 where it does not decode as a `T`; the
/// problem points at the field.
impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        if !content_type(request).is_some_and(|found| found.is_json()) {
            return Err(wrong_type("the body must be JSON: send Content-Type: application/json"));
        }
        let limit = request.context().limits().json_bytes_max;
        let bytes = request.body().read_all(limit).await.map_err(|error| unreadable(&error))?;
        from_json(&bytes).map(Json).map_err(|fault| of_body(fault, "the JSON"))
    }
}
