//! Why a response cannot be sent as a handler made it.

use thiserror::Error;

use crate::http::cookie::CookieError;
use crate::http::message::FieldError;

/// The first error of a response's builders, such as
/// [`Response::with_field`](super::Response::with_field).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// A field that cannot be sent.
    #[error("the field {name:?} cannot be sent: {error}")]
    Field {
        /// Its name.
        name: Box<str>,
        /// The reason.
        error: FieldError,
    },
    /// A cookie that browsers would misparse or drop.
    #[error("a cookie cannot be set: {0}")]
    Cookie(CookieError),
}

impl ResponseError {
    pub(crate) fn field(name: &str, error: FieldError) -> Self {
        Self::Field { name: name.into(), error }
    }
}
