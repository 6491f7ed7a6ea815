//! The problems with which extractors answer, and the checks that they share.

use std::borrow::Cow;

use bytes::Bytes;

use crate::http::content_type::ContentType;
use crate::http::status::Status;
use crate::service::body::BodyError;
use crate::service::decode::{Fault, FaultKind};
use crate::service::problem::Problem;
use crate::service::request::Request;

/// The problem for a body that cannot be read.
pub(super) fn unreadable(error: &BodyError) -> Problem {
    Problem::new(error.status()).detail(error.to_string())
}

/// `bytes` as text; `what` names them in the problem.
pub(super) fn text(bytes: Bytes, what: &str) -> Result<String, Problem> {
    String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::new(Status::BAD_REQUEST).detail(format!("{what} is not UTF-8 at byte {at}"))
    })
}

pub(super) fn content_type(request: &Request) -> Option<ContentType<'_>> {
    request.head().field("content-type").and_then(ContentType::parse)
}

pub(super) fn wrong_type(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(Status::UNSUPPORTED_MEDIA_TYPE).detail(detail)
}

/// A fault in the request's target.
pub(super) fn of_target(fault: Fault, what: &str) -> Problem {
    let status = match fault.kind {
        FaultKind::Malformed | FaultKind::TooMany | FaultKind::Unfit => Status::BAD_REQUEST,
        FaultKind::Program => Status::INTERNAL_SERVER_ERROR,
    };
    problem_of(fault, status, what)
}

/// A fault in a body.
pub(super) fn of_body(fault: Fault, what: &str) -> Problem {
    let status = match fault.kind {
        FaultKind::Malformed => Status::BAD_REQUEST,
        FaultKind::TooMany => Status::CONTENT_TOO_LARGE,
        FaultKind::Unfit => Status::UNPROCESSABLE_CONTENT,
        FaultKind::Program => Status::INTERNAL_SERVER_ERROR,
    };
    problem_of(fault, status, what)
}

fn problem_of(fault: Fault, status: Status, what: &str) -> Problem {
    let problem = Problem::new(status);
    if fault.kind == FaultKind::Program {
        return problem.detail("the route and its handler do not agree on the path's parameters");
    }
    if fault.place.is_empty() {
        return problem.detail(format!("{what} {}", fault.reason));
    }
    problem
        .detail(format!("{what} does not fit: {} {}", fault.place, fault.reason))
        .field(fault.place, fault.reason)
}
