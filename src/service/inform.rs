//! Interim responses (RFC 9110 §15.2): what a client may be sent before the response, such as the `Link`
//! fields of 103 Early Hints (RFC 8297).

use thiserror::Error;

use super::fault::ResponseError;
use super::fields::FieldBlock;
use crate::http::message::{FieldError, push_field};
use crate::http::status::Status;

/// An interim response. Sent at once with [`Context::inform`](super::Context::inform), or right before a
/// response with [`Response::inform`](super::Response::inform).
#[derive(Clone, Debug)]
pub struct Interim {
    // INVARIANT: 102 to 199 without 101.
    status: Status,
    fields: FieldBlock,
    /// The first error of its builders: it is not sent.
    fault: Option<(Box<str>, FieldError)>,
}

impl Interim {
    /// 103: fields that the response will probably have, `Link` above all.
    ///
    /// Some HTTP/1.1 clients mistake any interim response but 100 for the final one, among them Python's
    /// `http.client` and libraries based on it: over HTTP/1.1 a handler may omit it (RFC 8297 §3). Browsers
    /// use hints over HTTP/2 alone.
    pub fn early_hints() -> Self {
        Self { status: Status::EARLY_HINTS, fields: FieldBlock::Static(b""), fault: None }
    }

    /// An interim response with this status and no fields.
    ///
    /// # Errors
    /// [`InformError::Status`] for a final status, and for those that the server sends by itself: 100 when a
    /// body is read, 101 for [`Response::upgrade`](super::Response::upgrade).
    pub fn new(status: Status) -> Result<Self, InformError> {
        match status.code() {
            102..=199 => Ok(Self { status, fields: FieldBlock::Static(b""), fault: None }),
            code => Err(InformError::Status(code)),
        }
    }

    /// With one more field. One that cannot be sent is an error where the interim response is used: of
    /// [`Context::inform`](super::Context::inform), or of the response that it goes before.
    pub fn with_field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if let Err(error) = push_field(self.fields.to_mut(), name, value.as_ref()) {
            self.fault.get_or_insert_with(|| (name.into(), error));
        }
        self
    }

    /// Takes the first error of its builders.
    pub(super) fn take_fault(&mut self) -> Option<ResponseError> {
        self.fault.take().map(|(name, error)| ResponseError::Field { name, error })
    }

    /// Whether it can be sent.
    pub(super) fn check(&self) -> Result<(), InformError> {
        self.fault.as_ref().map_or(Ok(()), |(_, error)| Err(InformError::Field(*error)))
    }

    /// As [`with_field`](Self::with_field), checked at once.
    ///
    /// # Errors
    /// As [`push_field`].
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, FieldError> {
        push_field(self.fields.to_mut(), name, value.as_ref())?;
        Ok(self)
    }

    /// With these field lines, known to be valid and shared by many responses.
    pub fn with_fields(self, fields: FieldBlock) -> Self {
        Self { fields, ..self }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The field lines, each with its CRLF.
    pub fn fields(&self) -> &[u8] {
        self.fields.as_bytes()
    }
}

/// Why an interim response is not sent. None of these concerns the final response, so most handlers continue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum InformError {
    /// A status that a handler cannot send as an interim response.
    #[error("status {0} cannot be sent as an interim response; use 102 to 199 without 101")]
    Status(u16),
    /// The response has begun, or the exchange has ended.
    #[error("the response has begun; interim responses come before it")]
    TooLate,
    /// The client uses HTTP/1.0, which has no interim responses (RFC 9110 §15.2).
    #[error("the client uses HTTP/1.0, which has no interim responses")]
    Http10,
    /// A field cannot be sent.
    #[error("a field of the interim response cannot be sent: {0}")]
    Field(FieldError),
    /// The client does not read: the buffer for interim responses is full.
    #[error("the client does not read what was sent before; interim responses are not queued further")]
    Blocked,
}
