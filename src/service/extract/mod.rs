//! Extractors: the arguments of handlers, by type. Each has limits, and answers a request that it cannot
//! extract from with a problem that names the field and the reason.
//!
//! | argument | extracts | answers otherwise |
//! |---|---|---|
//! | [`Path<T>`] | the path's parameters | 400 |
//! | [`Query<T>`] | the query | 400 |
//! | [`Json<T>`](super::Json) | a JSON body | 415, 413, 400 no JSON, 422 other JSON |
//! | [`Form<T>`] | a form's body | 415, 413, 400 no form, 422 other fields |
//! | [`Multipart`] | a form's body with files, part by part | 415, 413, 400 |
//! | `String` | a body of text | 415 another charset, 413, 400 no UTF-8 |
//! | `Bytes`, [`RequestBody`](super::RequestBody) | the body whole, or streamed | 413 |
//! | [`Request`] | everything, the body streamed | |
//! | [`Headers`], [`Cookies`], [`Peer`](super::Peer) | fields, cookies, the peer's address | |
//! | [`ClientCertificate`](crate::net::tls::ClientCertificate) | the client's identity (mutual TLS) | 403 |
//! | [`Context`](super::Context) | the exchange | |
//! | [`State<T>`], [`Extension<T>`] | values of the router, values of filters | 500 |
//! | `Result<T, Problem>` | any of these, or the problem | |
//!
//! The limits are [`ExtractLimits`](super::ExtractLimits). An application adds extractors by implementing
//! [`FromRequest`].

mod body;
mod fields;
mod multipart;
mod refusal;
mod state;
mod typed;

use std::future::Future;

pub use self::fields::{Cookies, Headers};
pub use self::multipart::{Multipart, Part};
pub use self::state::{Extension, State};
pub use self::typed::{Form, Path, Query};
use super::problem::Problem;
use super::request::Request;
use super::states::States;

/// An argument of a handler.
///
/// Arguments are made one after the other, from left to right; the first that fails answers the request.
pub trait FromRequest: Sized + 'static {
    /// Whether it reads the body. At most one argument of a handler can; a second is an error when the router
    /// is built.
    const TAKES_BODY: bool = false;

    /// Extracts itself from the request.
    ///
    /// # Errors
    /// The problem that answers the request.
    fn from_request(request: &mut Request) -> impl Future<Output = Result<Self, Problem>>;

    /// Whether these states suffice; checked when the router is built.
    ///
    /// # Errors
    /// What is missing, as a sentence.
    fn check(_states: &States) -> Result<(), String> {
        Ok(())
    }
}

/// For a handler that answers failed extraction by itself.
impl<T: FromRequest> FromRequest for Result<T, Problem> {
    const TAKES_BODY: bool = T::TAKES_BODY;

    async fn from_request(request: &mut Request) -> Result<Self, Problem> {
        Ok(T::from_request(request).await)
    }

    fn check(states: &States) -> Result<(), String> {
        T::check(states)
    }
}
