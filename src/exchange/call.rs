//! Calls the service, for every protocol: refuses misdirected and oversized requests, returns the response or
//! a future of it, and catches panics.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::answer::RequestKind;
use super::entry::{LogEntry, Refusal, complete_refusal};
use super::worker::Worker;
use crate::http::message::{FramingError, RequestError, Version};
use crate::http::status::Status;
use crate::net::Stream;
use crate::observe::access::CoreLog;
use crate::observe::log;
use crate::ring::Ring;
use crate::service::{Context, Downstream, ExchangeId, Request, RequestBody, Response, RouteHold, Service};

/// An exchange whose request's head was read.
pub(crate) struct BegunExchange {
    pub(crate) kind: RequestKind,
    pub(crate) entry: LogEntry,
    /// The request is for a host that this connection does not serve: [`misdirected`] answers it. Not the
    /// response itself, because an idle connection would keep room for it.
    pub(crate) is_misdirected: bool,
}

/// Begins an exchange on `stream`.
#[inline]
pub(crate) fn open<S>(
    worker: &Worker<S>,
    stream: &Stream,
    context: &Context,
    downstream: Rc<dyn Downstream>,
    exchange: ExchangeId,
) -> BegunExchange {
    worker.counters.requests.bump();
    context.set_downstream(downstream, exchange);
    let entry = LogEntry::begin(worker, context);
    let is_misdirected = !stream.serves(|| context.head().authority());
    BegunExchange { kind: RequestKind::from(context.head()), entry, is_misdirected }
}

/// The response to a request for another host (RFC 9110 §7.4, §15.5.20).
#[cold]
pub(crate) fn misdirected<S: Service>(worker: &Worker<S>, entry: &LogEntry) -> Response {
    worker.counters.refused.bump();
    let detail = "this connection was made for another host; open one for this host";
    entry.span().run(|| refusal(worker, entry.context(), Status::MISDIRECTED_REQUEST, detail))
}

/// A response in place of the service's, with what its responses have in common.
#[cold]
fn refusal<S: Service>(worker: &Worker<S>, context: &Context, status: Status, detail: &str) -> Response {
    context.insert(Refusal(detail.to_owned()));
    let mut response = Response::error(status, detail);
    complete_refusal(worker, context, &mut response);
    response
}

/// The response to a body whose announced length is over the limit, unless the service checks that by itself.
#[inline]
fn too_large<S: Service>(
    worker: &Worker<S>,
    service: &S,
    context: &Context,
    body: &RequestBody,
) -> Option<Response> {
    if body.length() == Some(0) || service.judges_bodies() || !body.is_too_large() {
        return None;
    }
    worker.counters.refused.bump();
    let detail = FramingError::TooLarge.to_string();
    Some(ending(refusal(worker, context, Status::CONTENT_TOO_LARGE, &detail), context))
}

/// A response behind which a connection ends that has one exchange at a time: the request's body is unread.
#[cold]
fn ending(response: Response, context: &Context) -> Response {
    match context.head().version() {
        Version::Http10 | Version::Http11 => response.closing(),
        Version::Http2 => response,
    }
}

/// Calls the service: its response, or a future of it. A plain function, so that a connection keeps room for
/// the future alone, and not for the request moved into it as well.
pub(crate) fn call<'s, S: Service>(
    worker: &Worker<S>,
    service: &'s S,
    entry: &LogEntry,
    context: Context,
    body: RequestBody,
) -> Result<Response, impl Future<Output = Response> + use<'s, S>> {
    if let Some(refusal) = entry.span().run(|| too_large(worker, service, &context, &body)) {
        return Ok(refusal);
    }
    let request = Request::new(context, body);
    // Handlers may panic before there is a future.
    let called = catch_unwind(AssertUnwindSafe(|| {
        entry.span().run(|| match service.call_now(request) {
            Ok(response) => Ok(response),
            Err(request) => Err(service.call(request)),
        })
    }));
    called.unwrap_or_else(|panic| Ok(panicked(worker, entry, &*panic)))
}

/// Polls the future of a handler: a panic becomes a response. `wrap` makes of the response what the caller
/// returns, so that it is moved once.
#[inline]
pub(crate) fn poll_call<S: Service, F: Future<Output = Response> + ?Sized, T>(
    worker: &Worker<S>,
    entry: &LogEntry,
    call: Pin<&mut F>,
    cx: &mut TaskContext<'_>,
    wrap: impl FnOnce(Response) -> T,
) -> Poll<T> {
    match catch_unwind(AssertUnwindSafe(|| entry.span().run(|| call.poll(cx)))) {
        Ok(Poll::Ready(response)) => Poll::Ready(wrap(response)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(wrap(panicked(worker, entry, &*panic))),
    }
}

/// Whether an exchange whose handler waits is to end, because a reload has removed or changed its route. The
/// first call counts it as one in progress; `hold` keeps that.
#[inline]
pub(crate) fn is_over<S: Service>(
    worker: &Worker<S>,
    service: &S,
    entry: &LogEntry,
    hold: &mut Option<Option<RouteHold>>,
) -> bool {
    let hold = hold.get_or_insert_with(|| worker.hold(service, entry.context()));
    hold.as_ref().is_some_and(RouteHold::is_over)
}

/// The response of an exchange whose handler has not responded by the time that a reload left it.
#[cold]
pub(crate) fn cut_response() -> Response {
    let detail = "what answers at this path has changed meanwhile; try again";
    Response::error(Status::SERVICE_UNAVAILABLE, detail)
}

/// Why a response breaks off whose route a reload has removed or changed.
#[cold]
pub(crate) fn route_is_over() -> io::Error {
    io::Error::other("a reload has removed or changed its route")
}

/// Calls the service for a response that needs no future; or returns the request.
#[inline]
pub(crate) fn call_now<S: Service>(
    worker: &Worker<S>,
    service: &S,
    entry: &LogEntry,
    context: Context,
    body: RequestBody,
) -> Result<Response, Request> {
    if let Some(refusal) = entry.span().run(|| too_large(worker, service, &context, &body)) {
        return Ok(refusal);
    }
    let request = Request::new(context, body);
    let called = catch_unwind(AssertUnwindSafe(|| entry.span().run(|| service.call_now(request))));
    called.unwrap_or_else(|panic| Ok(panicked(worker, entry, &*panic)))
}

/// Bytes of a path that are written beside a panic: it is the client's.
const PATH_LOGGED_MAX: usize = 256;

/// The response to a request whose handler panicked; logs the request.
#[cold]
fn panicked<S: Service>(worker: &Worker<S>, entry: &LogEntry, panic: &(dyn Any + Send)) -> Response {
    entry.span().run(|| answer_panic(worker, entry, panic))
}

fn answer_panic<S: Service>(worker: &Worker<S>, entry: &LogEntry, panic: &(dyn Any + Send)) -> Response {
    worker.counters.panics.bump();
    let (context, text) = (entry.context(), log::panic_text(panic));
    let (method, path) = (context.head().method_str(), context.head().path().as_bytes());
    // Without the query, which may be secret.
    let path = path[..path.len().min(PATH_LOGGED_MAX)].escape_ascii();
    match context.route() {
        none if none.is_empty() => log::line(format_args!("a handler panicked: {text} ({method} {path})")),
        route => log::line(format_args!("a handler panicked: {text} ({method} {path}, route {route})")),
    }
    let detail = "the handler failed; the server's log has the cause";
    let mut response = Response::error(Status::INTERNAL_SERVER_ERROR, detail);
    complete_refusal(worker, entry.context(), &mut response);
    ending(response, entry.context())
}

/// A request that is answered although its head could not be read.
pub(crate) struct RefusedRequest {
    pub(crate) kind: RequestKind,
    pub(crate) entry: LogEntry,
    pub(crate) response: Response,
}

/// Refuses a head that is malformed or breaks a limit. `context` has what could be read of it.
#[cold]
pub(crate) fn refuse_head<S: Service>(
    worker: &Worker<S>,
    context: &Context,
    downstream: Rc<dyn Downstream>,
    exchange: ExchangeId,
    error: RequestError,
) -> RefusedRequest {
    worker.counters.refused.bump();
    refuse_unread(worker, context, downstream, exchange, error.status(), &error.to_string())
}

/// As [`refuse_head`], for another reason.
#[cold]
pub(crate) fn refuse_unread<S: Service>(
    worker: &Worker<S>,
    context: &Context,
    downstream: Rc<dyn Downstream>,
    exchange: ExchangeId,
    status: Status,
    detail: &str,
) -> RefusedRequest {
    context.set_downstream(downstream, exchange);
    let entry = LogEntry::begin(worker, context);
    let response = entry.span().run(|| refusal(worker, context, status, detail));
    RefusedRequest { kind: RequestKind::of_refused(context.head()), entry, response }
}

/// Lines are handed to the writer at least this often. The delay is too short to notice when watching the
/// log, and five wake-ups per second are negligible on a core that serves; an idle core has no lines.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Hands over gathered lines, for as long as the log is the worker's.
pub(crate) async fn flush(ring: Ring, log: Rc<CoreLog>) {
    loop {
        poll_fn(|cx| log.poll_lines(cx)).await;
        if log.is_retired() {
            return;
        }
        ring.sleep(FLUSH_EVERY).await;
        log.flush();
    }
}
