//! The body whole, typed, or as it comes.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::FromRequest;
use crate::http::status::Status;
use crate::service::body::{BodyError, RequestBody};
use crate::service::into_response::Json;
use crate::service::problem::Problem;
use crate::service::request::Request;

/// What a client is told when its body cannot be read.
pub(super) fn unreadable(error: &BodyError) -> Problem {
    Problem::new(error.status()).detail(error.to_string())
}

/// The whole body; 413 beyond `ExtractLimits::whole_bytes_max`.
impl FromRequest for Bytes {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let limit = request.context().limits().whole_bytes_max;
        request.body().read_all(limit).await.map_err(|error| unreadable(&error))
    }
}

/// The whole body as text; 400 where it is not UTF-8.
impl FromRequest for String {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request).await?;
        String::from_utf8(bytes.into()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Problem::new(Status::BAD_REQUEST).detail(format!("the body is not UTF-8 at byte {at}"))
        })
    }
}

/// The body as it comes, bounded by the server's `BodyLimits` alone.
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

/// A JSON body: 415 where `Content-Type` is not JSON, 413 beyond `ExtractLimits::json_bytes_max`, 400 where
/// it is no JSON, 422 where it is not what was asked for; the problem points at the field.
impl<T: DeserializeOwned + 'static> FromRequest for Json<T> {
    const TAKES_BODY: bool = true;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        if !request.head().field("content-type").is_some_and(is_json) {
            return Err(Problem::new(Status::UNSUPPORTED_MEDIA_TYPE)
                .detail("the body must be JSON: send Content-Type: application/json"));
        }
        let limit = request.context().limits().json_bytes_max;
        let bytes = request.body().read_all(limit).await.map_err(|error| unreadable(&error))?;
        serde_json::from_slice(&bytes).map(Json).map_err(|error| wrong_json(&error))
    }
}

/// `application/json`, or a type that is written in it (RFC 6839): `application/problem+json`.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 5 && essence[essence.len() - 5..].eq_ignore_ascii_case(b"+json"))
}

fn wrong_json(error: &serde_json::Error) -> Problem {
    let status = if error.is_data() { Status::UNPROCESSABLE_CONTENT } else { Status::BAD_REQUEST };
    Problem::new(status).detail(error.to_string())
}
