//! What a handler asks of a request, by the types of its arguments. Each extractor says how much it takes
//! and answers what it cannot take with a problem that names the field and the reason.

mod body;
mod state;

use std::future::Future;

pub use self::state::{Extension, State};
use super::problem::Problem;
use super::request::Request;
use super::states::States;

/// An argument of a handler.
///
/// Arguments are made one after the other, from left to right; the first that fails answers the request.
pub trait FromRequest: Sized + 'static {
    /// Whether it reads the body. At most one argument of a handler can; a second is told when the router
    /// is built.
    const TAKES_BODY: bool = false;

    /// Takes itself out of the request.
    ///
    /// # Errors
    /// The problem that answers the request.
    fn from_request(request: &mut Request) -> impl Future<Output = Result<Self, Problem>>;

    /// Whether it can work at all with these states; asked when the router is built.
    ///
    /// # Errors
    /// What is missing, in a sentence.
    fn check(_states: &States) -> Result<(), String> {
        Ok(())
    }
}
