//! From a request to its handler, by host, path and method.
//!
//! ```
//! use quoit::service::{Context, Router};
//!
//! let api = Router::new()
//!     .get("/users/{id}", async |request: Context| format!("user {:?}", request.raw_parameter("id")))
//!     .delete("/users/{id}", async || ());
//! let routes = Router::new()
//!     .get("/", async || "hello")
//!     .nest("/api", api)
//!     .build()
//!     .expect("no two routes answer the same requests");
//! ```
//!
//! **Patterns.** `{name}` matches one segment that is not empty; `{*name}` at the end matches the rest of the
//! path, which may be empty; other segments are text, compared after percent-decoding and with case. A slash
//! at the end is significant.
//!
//! **Precedence.** From the left, segment by segment: text before `{name}` before `{*name}`; where the better
//! branch has no match, the next one is tried. The path is matched first, then the method: a path with only
//! GET answers DELETE with 405, even if a less specific pattern has a DELETE. Of hosts, a name comes before
//! the longest `*.suffix`, and both before routes without a host; a host with routes of its own has no
//! others.
//!
//! **Conditions** ([`Router::when`]) look at fields and the query. A pattern matches if at least one of its
//! routes has no conditions, or only such as hold; otherwise the next less specific pattern is tried. Of the
//! routes of a pattern whose conditions hold, those with more conditions come first, then those that ask for
//! more whole values, then for more beginnings of values; routes without conditions are last. Among them the
//! first that has the method answers. Two routes of one method and pattern that could both answer a request
//! and of which neither comes first are an error.
//!
//! **Defaults.** A path with GET answers HEAD, every path answers OPTIONS, and 404 and 405 are problem
//! documents, as is 501 for a method that no route has.
//!
//! **Paths** are matched in their normal form ([`path::normalize`](crate::http::path::normalize)), which
//! filters and handlers see too: `//a/./%62` is `/a/b`. Requests with a `..` segment are refused before they
//! are routed.
//!
//! **Scopes.** The filters, states, limits, fallback and problem renderer of a router apply to its routes and
//! its misses, and to nested routers unless they have their own; filters accumulate, the outer router's
//! outside. The order of calls on the builder matters only among filters.

mod build;
mod decision;
mod error;
mod pattern;
mod routes;
mod tree;

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

pub use self::decision::PathMismatch;
pub(crate) use self::decision::{DispatchTarget, RouteName, check_host, mismatch};
pub use self::error::{RouteError, RouteErrors, RouteMistake};
pub use self::pattern::PatternError;
use self::routes::MethodName;
pub use self::routes::Routes;
use super::Service;
use super::answer::AnyService;
pub use super::condition::{Condition, ConditionPart, ConditionTest};
pub(crate) use super::condition::{ConditionSubject, suffix};
use super::filter::{AnyAround, Around, ChainLink, Filter, ProblemRenderer};
use super::handler::{Handler, HandlerService};
use super::limits::{BodyPolicy, ExtractLimits, HalfClose};
use super::problem::Problem;
use super::request::Context;
use super::response::Response;
use super::states::States;
use crate::observe::meters::RouteMeter;

/// Where a route was defined.
type SourceLocation = &'static Location<'static>;

/// Checks whether the router has the states that a handler needs.
type Check = fn(&States) -> Result<(), String>;

/// Routes to be built; see the [module](self).
#[derive(Default)]
pub struct Router {
    routes: Vec<RouteDraft>,
    nested: Vec<(String, SourceLocation, Router)>,
    hosts: Vec<(String, SourceLocation, Router)>,
    links: Vec<ChainLink>,
    conditions: Vec<Condition>,
    states: States,
    limits: Option<Rc<ExtractLimits>>,
    body_policy: Option<BodyPolicy>,
    half_close: Option<HalfClose>,
    meter: Option<Arc<RouteMeter>>,
    problems: Option<Rc<ProblemRenderer>>,
    fallback: Option<RouteDraft>,
    /// A host that inherits nothing from the router around it.
    is_alone: bool,
}

struct RouteDraft {
    /// `None` for all methods.
    method: Option<MethodName>,
    pattern: String,
    place: SourceLocation,
    check: Check,
    service: Rc<dyn AnyService>,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident $token:literal;)+) => {
        $(
            $(#[$doc])*
            #[track_caller]
            pub fn $name<A: 'static>(self, pattern: &str, handler: impl Handler<A>) -> Self {
                self.on($token, pattern, handler)
            }
        )+
    };
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    methods! {
        /// Answers GET and, without content, HEAD.
        get "GET";
        /// Answers HEAD, where producing GET's response would cost too much.
        head "HEAD";
        /// Answers POST.
        post "POST";
        /// Answers PUT.
        put "PUT";
        /// Answers PATCH.
        patch "PATCH";
        /// Answers DELETE.
        delete "DELETE";
        /// Answers OPTIONS in place of the router.
        options "OPTIONS";
    }

    /// Answers a method by name, such as `PROPFIND`.
    #[track_caller]
    pub fn on<A: 'static>(self, method: &str, pattern: &str, handler: impl Handler<A>) -> Self {
        self.add(Some(MethodName::new(method)), pattern, handler)
    }

    /// Answers every method that has no handler of its own at this pattern.
    #[track_caller]
    pub fn any<A: 'static>(self, pattern: &str, handler: impl Handler<A>) -> Self {
        self.add(None, pattern, handler)
    }

    /// Passes every method at this pattern to a service.
    #[track_caller]
    pub fn service(mut self, pattern: &str, service: impl Service) -> Self {
        self.routes.push(RouteDraft::new(None, pattern, Location::caller(), |_| Ok(()), Rc::new(service)));
        self
    }

    /// Nests a router below a prefix, `/api` or `/users/{id}`. Its `/` is the prefix itself. An empty prefix
    /// adds its routes here, with its own filters around them.
    #[track_caller]
    pub fn nest(mut self, prefix: &str, router: Router) -> Self {
        self.nested.push((prefix.to_owned(), Location::caller(), router));
        self
    }

    /// Gives a host routes of its own: `example.com`, or `*.example.com` for every name below it.
    #[track_caller]
    pub fn host(mut self, host: &str, router: Router) -> Self {
        self.hosts.push((host.to_owned(), Location::caller(), router));
        self
    }

    /// Handles requests that match no route, in place of 404.
    #[track_caller]
    pub fn fallback<A: 'static, H: Handler<A>>(mut self, handler: H) -> Self {
        let service = Rc::new(HandlerService::new(handler));
        self.fallback = Some(RouteDraft::new(None, "", Location::caller(), H::check, service));
        self
    }

    /// Handles requests that match no route with a service.
    #[track_caller]
    pub fn fallback_service(mut self, service: impl Service) -> Self {
        self.fallback = Some(RouteDraft::new(None, "", Location::caller(), |_| Ok(()), Rc::new(service)));
        self
    }

    /// Adds a filter inside those added before.
    pub fn filter(mut self, filter: impl Filter) -> Self {
        self.links.push(ChainLink::Filter(Rc::new(filter)));
        self
    }

    /// Adds a filter that may wait, inside those added before.
    pub fn around(mut self, around: impl Around) -> Self {
        let around: Rc<dyn AnyAround> = Rc::new(around);
        self.links.push(ChainLink::Around(around));
        self
    }

    /// Restricts the routes of this router and of those nested in it to requests for which the condition
    /// holds, beside those of the routers around it. Misses stay as they are.
    pub fn when(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Gives handlers a value, extracted with [`State`](super::State).
    pub fn state<T: 'static>(mut self, value: T) -> Self {
        self.states.insert(value);
        self
    }

    /// Sets the limits of extractors.
    pub fn limits(mut self, limits: ExtractLimits) -> Self {
        self.limits = Some(Rc::new(limits));
        self
    }

    /// Sets the policy for request bodies, in place of the server's: their size and their minimum rate.
    pub fn body_policy(mut self, policy: BodyPolicy) -> Self {
        self.body_policy = Some(policy);
        self
    }

    /// Sets what becomes of an exchange whose client closes its sending direction while the handler makes it
    /// wait: by default it ends.
    pub fn half_close(mut self, half_close: HalfClose) -> Self {
        self.half_close = Some(half_close);
        self
    }

    /// Renders problems differently from `application/problem+json`: those of extractors, of the router, and
    /// those that handlers return.
    pub fn problems(mut self, render: impl Fn(&Context, Problem) -> Response + 'static) -> Self {
        self.problems = Some(Rc::new(render));
        self
    }

    /// Passes a method at this pattern, or every method without one, to a service that routes may share.
    #[track_caller]
    pub(crate) fn shared(mut self, method: Option<&str>, pattern: &str, service: Rc<dyn AnyService>) -> Self {
        let method = method.map(MethodName::new);
        self.routes.push(RouteDraft::new(method, pattern, Location::caller(), |_| Ok(()), service));
        self
    }

    /// Handles requests that match no route.
    #[track_caller]
    pub(crate) fn shared_fallback(mut self, service: Rc<dyn AnyService>) -> Self {
        self.fallback = Some(RouteDraft::new(None, "", Location::caller(), |_| Ok(()), service));
        self
    }

    /// Measures the requests of its routes, and those that match none.
    pub(crate) fn meter(mut self, meter: Arc<RouteMeter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Adds filters inside those added before.
    pub(crate) fn links(mut self, links: impl IntoIterator<Item = ChainLink>) -> Self {
        self.links.extend(links);
        self
    }

    /// As [`host`](Self::host), without the filters, states, limits and fallback of this router.
    #[track_caller]
    pub(crate) fn host_alone(mut self, host: &str, router: Router) -> Self {
        self.hosts.push((host.to_owned(), Location::caller(), Router { is_alone: true, ..router }));
        self
    }

    /// Checks the routes and builds their tables.
    ///
    /// # Errors
    /// Every mistake at once, each with its place in the source.
    pub fn build(self) -> Result<Routes, RouteErrors> {
        build::build(self)
    }

    #[track_caller]
    fn add<A: 'static, H: Handler<A>>(
        mut self,
        method: Option<MethodName>,
        pattern: &str,
        handler: H,
    ) -> Self {
        let service = Rc::new(HandlerService::new(handler));
        self.routes.push(RouteDraft::new(method, pattern, Location::caller(), H::check, service));
        self
    }
}

impl RouteDraft {
    fn new(
        method: Option<MethodName>,
        pattern: &str,
        place: SourceLocation,
        check: Check,
        service: Rc<dyn AnyService>,
    ) -> Self {
        Self { method, pattern: pattern.to_owned(), place, check, service }
    }
}
