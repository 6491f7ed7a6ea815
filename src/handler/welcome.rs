//! The page of a server without a directory or a plan.

use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Request, Response};

const PAGE: &str = include_str!("welcome.html");

/// Answers `/` with a page of next steps, and other paths with 404.
pub async fn welcome(request: Request) -> Response {
    match (request.method(), request.head().path()) {
        (Method::Get | Method::Head, "/") => Response::html(PAGE),
        (Method::Get | Method::Head, _) => {
            Response::error(Status::NOT_FOUND, "nothing is served yet; start it as: quoit serve DIR")
        }
        _ => super::files::method_not_allowed(&request),
    }
}
