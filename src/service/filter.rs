//! Filters: code that runs on requests before a handler and on responses after it, in order.
//!
//! ```text
//! request ─► filter 1 ─► filter 2 ─► handler
//!                                       │
//! response ◄─ filter 1 ◄─ filter 2 ◄────┘
//! ```
//!
//! A [`Filter`] is synchronous and costs a call; an [`Around`] may wait (ask a database, hash a password,
//! time out) and costs a future.

use std::future::Future;
use std::ops::{ControlFlow, Range};
use std::rc::Rc;

use super::answer::{Answer, AnyService, ResponseFilters, ResponsePath};
use super::local::LocalFuture;
use super::negotiate::settle;
use super::problem::Problem;
use super::request::{Context, Request};
use super::response::Response;

/// Runs on every request before its handler and on every response after it.
///
/// The responses that the router makes by itself (404, 405, OPTIONS) pass the filters of their scope too. A
/// response of a filter that ended the descent passes the filters before that one.
pub trait Filter: 'static {
    /// Before the handler. `Break` answers at once: filters further down and the handler do not run.
    fn before(&self, _request: &mut Request) -> ControlFlow<Response> {
        ControlFlow::Continue(())
    }

    /// After the handler.
    fn after(&self, _context: &Context, _response: &mut Response) {}

    /// In place of [`after`](Self::after), for a response that the server gives by itself: to a head that
    /// cannot be read, a body that is too large, a host that the connection does not serve, after a panic of
    /// a handler. [`before`](Self::before) may not have been called, and `context` has what could be read of
    /// the head, possibly nothing. By default nothing is added; a filter whose fields belong to every
    /// response adds them here too.
    fn refused(&self, _context: &Context, _response: &mut Response) {}
}

/// Wraps the filters and the handler further down, and may wait before and after them.
///
/// Closures are such filters:
///
/// ```
/// use quoit::service::{Next, Request, Response, Router};
///
/// Router::new().around(async |request: Request, next: Next<'_>| -> Response {
///     let mut response = next.run(request).await;
///     let _ = response.add_field("X-Seen", "yes");
///     response
/// });
/// ```
pub trait Around: 'static {
    /// Answers the request, with the help of `next` or without.
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> impl Future<Output = Response> + 'a;
}

impl<F> Around for F
where
    F: for<'n> AsyncFn(Request, Next<'n>) -> Response + 'static,
{
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> impl Future<Output = Response> + 'a {
        self(request, next)
    }
}

pub(crate) trait AnyAround {
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> LocalFuture<'a, Response>;
}

impl<A: Around> AnyAround for A {
    fn call<'a>(&'a self, request: Request, next: Next<'a>) -> LocalFuture<'a, Response> {
        Box::pin(Around::call(self, request, next))
    }
}

/// One filter of a chain.
#[derive(Clone)]
pub(crate) enum ChainLink {
    Filter(Rc<dyn Filter>),
    Around(Rc<dyn AnyAround>),
}

/// Maps a problem to the response that renders it.
pub type ProblemRenderer = dyn Fn(&Context, Problem) -> Response;

/// The filters of one route, outermost first.
#[derive(Clone, Default)]
pub(crate) struct Chain {
    pub(crate) links: Vec<ChainLink>,
    pub(crate) problems: Option<Rc<ProblemRenderer>>,
}

impl Chain {
    /// Passes a response that the server gives by itself.
    pub(crate) fn refused(&self, context: &Context, response: &mut Response) {
        settle(context, response);
        if let Some(render) = &self.problems
            && let Some(problem) = response.take_problem()
        {
            let closes = response.closes();
            *response = render(context, problem);
            if closes {
                response.close();
            }
        }
        for link in self.links.iter().rev() {
            if let ChainLink::Filter(filter) = link {
                filter.refused(context, response);
            }
        }
    }

    /// Sends a request down to `service`.
    pub(crate) fn run<'a>(&'a self, service: &'a dyn AnyService, request: Request) -> Answer<'a> {
        Next { chain: self, from: 0, service }.run(request)
    }
}

impl ResponseFilters for Chain {
    fn filter_response(&self, entered: Range<usize>, context: &Context, mut response: Response) -> Response {
        settle(context, &mut response);
        if let Some(render) = &self.problems
            && let Some(problem) = response.take_problem()
        {
            response = render(context, problem);
        }
        for link in self.links[entered].iter().rev() {
            if let ChainLink::Filter(filter) = link {
                filter.after(context, &mut response);
            }
        }
        response
    }
}

/// What an [`Around`] wraps: the rest of the filters, and the handler.
pub struct Next<'a> {
    chain: &'a Chain,
    from: usize,
    service: &'a dyn AnyService,
}

impl<'a> Next<'a> {
    /// Passes the request on.
    pub fn run(self, mut request: Request) -> Answer<'a> {
        let Self { chain, from, service } = self;
        if chain.links.len() == from && chain.problems.is_none() {
            return service.answer(request);
        }
        let context = request.context().clone();
        let mut entered = from;
        let answer = loop {
            match chain.links.get(entered) {
                None => break service.answer(request),
                Some(ChainLink::Filter(filter)) => {
                    if let ControlFlow::Break(response) = filter.before(&mut request) {
                        break Answer::now(response);
                    }
                }
                Some(ChainLink::Around(around)) => {
                    let next = Next { chain, from: entered + 1, service };
                    break Answer::boxed(around.call(request, next));
                }
            }
            entered += 1;
        };
        answer.through(ResponsePath { chain, entered: from..entered, context })
    }
}
