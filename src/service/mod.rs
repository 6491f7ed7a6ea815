//! The API for applications: requests, responses, the router, extractors, filters, problems.
//!
//! A [`Service`] lives on one core and is called there alone: it and its futures need be neither `Send` nor
//! `Sync`, and its state needs no lock. How requests arrive and responses leave is the server's business.
//!
//! ```text
//! Request ─► Router: host, path, method ─► filters, in order ─► Handler: extractors ─► your function
//!                                                                                         │
//! Response ◄──────────────── filters, in reverse ◄── IntoResponse, Problem ◄──────────────┘
//! ```

mod answer;
mod body;
mod condition;
mod core;
mod decode;
mod drain;
mod escape;
mod events;
pub mod extract;
mod fault;
mod fields;
mod filter;
pub(crate) mod grpc;
mod handler;
mod inform;
mod into_response;
mod life;
mod limits;
mod local;
mod negotiate;
mod part;
mod peer;
mod problem;
mod request;
mod response;
pub mod router;
mod states;
mod streams;
mod tunnel;
mod upgrade;
mod writer;

use std::future::Future;

pub use self::answer::Answer;
pub(crate) use self::answer::AnyService;
pub(crate) use self::body::BodyPiece;
#[doc(hidden)]
pub use self::body::PulledPiece;
pub use self::body::{BodyError, BodyFrame, Downstream, ExchangeId, Frame, RequestBody, StreamBody};
pub use self::core::{CoreContext, LocalValues, ProcessValues};
pub(crate) use self::decode::from_json;
pub use self::drain::Drain;
pub use self::escape::{EscapedHtml, escape_html};
pub use self::events::{Event, EventWriter};
pub use self::extract::{
    Cookies, Extension, Form, FromRequest, Headers, Multipart, Part, Path, Query, State,
};
pub use self::fault::ResponseError;
pub use self::fields::FieldBlock;
pub(crate) use self::filter::ChainLink;
pub use self::filter::{Around, Filter, Next, ProblemRenderer};
pub use self::handler::Handler;
pub use self::inform::{InformError, Interim};
pub use self::into_response::{Html, IntoResponse, Json, Redirect};
pub(crate) use self::life::RouteHold;
#[doc(hidden)]
pub use self::life::RouteLife;
pub use self::limits::{BodyPolicy, ExtractLimits, HalfClose};
pub use self::local::LocalFuture;
pub(crate) use self::negotiate::{ErrorForm, WantedForm, negotiate, settle, wanted_form};
pub use self::part::{
    Attachment, CacheControl, ContentType, ETag, LastModified, Location, ResponsePart, RetryAfter, Vary,
};
pub use self::peer::Peer;
pub use self::problem::{FieldProblem, Problem};
pub(crate) use self::request::RouteFacts;
pub use self::request::{Context, Request};
pub use self::response::{Body, Response};
pub use self::router::{Condition, RouteErrors, RouteMistake, Router, Routes};
pub use self::states::States;
pub use self::tunnel::{Tunnel, TunnelHandler, TunnelReader, TunnelWriter};
pub use self::writer::{BodyWriter, WriterClosed};

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
/// A panic in a handler answers 500, ends that connection and is counted; a client that resets or
/// closes its connection drops the future (see [`HalfClose`]).
pub trait Service: 'static {
    /// Answers one request. A body that is not read is discarded, within limits, or ends the connection.
    fn call(&self, request: Request) -> impl Future<Output = Response>;

    /// Answers a request whose response needs no future; or returns the request, for [`call`](Self::call).
    /// Callers try this first. By default it returns every request.
    ///
    /// # Errors
    /// The request, untouched.
    fn call_now(&self, request: Request) -> Result<Response, Request> {
        Err(request)
    }

    /// Whether this service checks the announced length of bodies by itself, such as a router that has a
    /// [`BodyPolicy`] per route. By default the server checks it before the call.
    fn judges_bodies(&self) -> bool {
        false
    }

    /// Adds what every response of this service has to one that the server gives in its place: to a head that
    /// cannot be read, a body that is too large, a host that the connection does not serve, after a panic. A
    /// router passes it to its filters ([`Filter::refused`]). `context` has what could be read of the head,
    /// possibly nothing. By default nothing is added.
    fn refused(&self, _context: &Context, _response: &mut Response) {}

    /// The route that an exchange has taken, for a service that may be replaced while it is in progress.
    #[doc(hidden)]
    fn life_of(&self, _context: &Context) -> Option<RouteLife> {
        None
    }

    /// All its routes, by the place that differences between plans name.
    #[doc(hidden)]
    fn lives(&self) -> &[(String, RouteLife)] {
        &[]
    }
}

impl<F: AsyncFn(Request) -> Response + 'static> Service for F {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self(request)
    }
}
