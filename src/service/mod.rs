//! What a server answers with: the request, the response, their bodies, and the trait between them.
//!
//! A [`Service`] lives on one core and is called there alone: it and its futures need be neither `Send` nor
//! `Sync`, and its state needs no lock. How requests arrive and responses leave is the server's business.

mod body;
mod request;
mod response;

use std::future::Future;

pub use self::body::{BodyError, BodySource, RequestBody, StreamBody};
pub(crate) use self::request::PooledHead;
pub use self::request::Request;
pub use self::response::{Body, FieldBlock, Response};

/// Answers requests, on the core it was made for.
///
/// Closures and functions are services:
///
/// ```
/// use quoit::service::{Request, Response, Service};
///
/// fn accepts(_: impl Service) {}
/// accepts(async |request: Request| Response::text(format!("you asked for {}", request.head().path())));
/// ```
///
/// A panic in a handler answers 500, ends that connection and is counted; a client that resets its
/// connection drops the future.
pub trait Service: 'static {
    /// Answers one request. A body that is not read is read over, within limits, or ends the connection.
    fn call(&self, request: Request) -> impl Future<Output = Response>;
}

impl<F: AsyncFn(Request) -> Response + 'static> Service for F {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self(request)
    }
}
