//! One response for every request: a text, an empty 204, a redirect. Built once; each request gets a copy.

use bytes::Bytes;

use crate::http::message::{FieldError, push_field};
use crate::http::status::Status;
use crate::service::{Body, Request, Response, Service};

/// A response that is always the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondOptions {
    /// The status. Default 200.
    pub status: Status,
    /// Names and values of fields, in the order in which they are sent. Default none.
    pub fields: Vec<(String, String)>,
    /// The body. Default empty.
    pub body: Bytes,
}

impl Default for RespondOptions {
    fn default() -> Self {
        Self { status: Status::OK, fields: Vec::new(), body: Bytes::new() }
    }
}

impl RespondOptions {
    /// 200 with this text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        let plain = ("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned());
        Self { fields: vec![plain], body: text.into(), ..Self::default() }
    }
}

/// A redirect of every request to one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectOptions {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: Status,
    /// An absolute URL, or a path on the same host; percent-encoded.
    pub location: String,
}

/// Why a fixed response cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// A field that cannot be sent.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A status that is not final.
    #[error("{0} is not the status of a final response")]
    Interim(u16),
    /// A status whose responses have no body, with a body.
    #[error("a response with the status {0} has no body")]
    Body(u16),
    /// A redirect with another status.
    #[error("{0} is not the status of a redirect; use 301, 302, 303, 307 or 308")]
    NotARedirect(u16),
}

/// Sends the same response to every request.
#[derive(Clone, Debug)]
pub struct Fixed {
    status: Status,
    lines: Vec<u8>,
    body: Bytes,
}

impl Fixed {
    /// This response.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn respond(options: &RespondOptions) -> Result<Self, FixedError> {
        let RespondOptions { status, fields, body } = options;
        if status.is_informational() {
            return Err(FixedError::Interim(status.code()));
        }
        if status.forbids_body() && !body.is_empty() {
            return Err(FixedError::Body(status.code()));
        }
        let mut lines = Vec::new();
        for (name, value) in fields {
            push_field(&mut lines, name, value.as_bytes())?;
        }
        Ok(Self { status: *status, lines, body: body.clone() })
    }

    /// This redirect.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn redirect(options: &RedirectOptions) -> Result<Self, FixedError> {
        let RedirectOptions { status, location } = options;
        if ![301, 302, 303, 307, 308].contains(&status.code()) {
            return Err(FixedError::NotARedirect(status.code()));
        }
        let fields = vec![("Location".to_owned(), location.clone())];
        Self::respond(&RespondOptions { status: *status, fields, body: Bytes::new() })
    }

    fn response(&self) -> Response {
        let mut response = Response::new(self.status);
        response.add_lines(&self.lines);
        if !self.body.is_empty() {
            response.set_body(Body::Bytes(self.body.clone()));
        }
        response
    }
}

impl Service for Fixed {
    async fn call(&self, _request: Request) -> Response {
        self.response()
    }

    fn call_now(&self, _request: Request) -> Result<Response, Request> {
        Ok(self.response())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let with = |status, body: &'static str| {
            Fixed::respond(&RespondOptions { status, body: body.into(), ..RespondOptions::default() }).err()
        };
        assert_eq!(with(Status::OK, "x"), None);
        assert_eq!(with(Status::NO_CONTENT, ""), None);
        assert_eq!(with(Status::NO_CONTENT, "x"), Some(FixedError::Body(204)));
        assert_eq!(with(Status::CONTINUE, ""), Some(FixedError::Interim(100)));
        let to = |status, location: &str| {
            Fixed::redirect(&RedirectOptions { status, location: location.into() }).err()
        };
        assert_eq!(to(Status::PERMANENT_REDIRECT, "/there"), None);
        assert_eq!(to(Status::OK, "/there"), Some(FixedError::NotARedirect(200)));
        assert!(matches!(to(Status::SEE_OTHER, "/a\r\nX: y"), Some(FixedError::Field(_))));
    }
}
