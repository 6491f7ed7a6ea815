//! Calls the service, for every protocol: refuses misdirected and oversized requests, returns the response or
//! a future of it, catches panics, and records the exchange for the access log. Without an access log nothing
//! is recorded.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::answer::RequestKind;
use super::worker::Worker;
use crate::filter::{RequestId, User};
use crate::http::message::{FramingError, RequestError};
use crate::http::status::Status;
use crate::net::Stream;
use crate::observe::access::{self, CLIENT_GONE, ExchangeEnd, Record};
use crate::observe::log;
use crate::ring::Socket;
use crate::service::{
    BodyError, Context, Downstream, ExchangeId, Peer, Request, RequestBody, Response, Service,
};

/// An exchange whose request's head was read.
pub(crate) struct BegunExchange {
    pub(crate) kind: RequestKind,
    pub(crate) entry: LogEntry,
    /// The request is for a host that this connection does not serve: [`misdirected`] answers it. Not the
    /// response itself, because an idle connection would keep room for it.
    pub(crate) is_misdirected: bool,
}

/// Why the server answered in place of the service; inserted into the context, for the access log.
struct Refusal(String);

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
    let is_misdirected = !stream.serves(context.head().authority());
    BegunExchange { kind: RequestKind::from(context.head()), entry, is_misdirected }
}

/// The response to a request for another host (RFC 9110 §7.4, §15.5.20).
#[cold]
pub(crate) fn misdirected<S: Service>(worker: &Worker<S>, entry: &LogEntry) -> Response {
    worker.counters.refused.bump();
    let detail = "this connection was made for another host; open one for this host";
    refusal(worker, entry.context(), Status::MISDIRECTED_REQUEST, detail)
}

/// A response in place of the service's, with what its responses have in common.
#[cold]
fn refusal<S: Service>(worker: &Worker<S>, context: &Context, status: Status, detail: &str) -> Response {
    context.insert(Refusal(detail.to_owned()));
    let mut response = Response::error(status, detail);
    complete_refusal(worker, context, &mut response);
    response
}

/// Adds what the service's responses have in common.
#[cold]
pub(super) fn complete_refusal<S: Service>(worker: &Worker<S>, context: &Context, response: &mut Response) {
    let service = worker.service();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| service.refused(context, response))) {
        worker.counters.panics.bump();
        log::line(format_args!("a filter panicked: {}", log::panic_text(&*panic)));
    }
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
    Some(refusal(worker, context, Status::CONTENT_TOO_LARGE, &detail))
}

/// Calls the service: its response, or a future of it. A plain function, so that a connection keeps room for
/// the future alone, and not for the request moved into it as well. Refusals and panics close the connection:
/// for versions in which a connection has one exchange at a time.
pub(crate) fn call<'s, S: Service>(
    worker: &Worker<S>,
    service: &'s S,
    entry: &LogEntry,
    context: Context,
    body: RequestBody,
) -> Result<Response, impl Future<Output = Response> + use<'s, S>> {
    if let Some(refusal) = too_large(worker, service, &context, &body) {
        return Ok(refusal.closing());
    }
    let request = Request::new(context, body);
    // Handlers may panic before there is a future.
    let called = catch_unwind(AssertUnwindSafe(|| match service.call_now(request) {
        Ok(response) => Ok(response),
        Err(request) => Err(service.call(request)),
    }));
    called.unwrap_or_else(|panic| Ok(panicked(worker, entry, &*panic).closing()))
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
    if let Some(refusal) = too_large(worker, service, &context, &body) {
        return Ok(refusal);
    }
    let request = Request::new(context, body);
    let called = catch_unwind(AssertUnwindSafe(|| service.call_now(request)));
    called.unwrap_or_else(|panic| Ok(panicked(worker, entry, &*panic)))
}

/// The response to a request whose handler panicked.
#[cold]
pub(crate) fn panicked<S: Service>(
    worker: &Worker<S>,
    entry: &LogEntry,
    panic: &(dyn Any + Send),
) -> Response {
    worker.counters.panics.bump();
    log::line(format_args!("a handler panicked: {}", log::panic_text(panic)));
    let detail = "the handler failed; the server's log has the cause";
    let mut response = Response::error(Status::INTERNAL_SERVER_ERROR, detail);
    complete_refusal(worker, entry.context(), &mut response);
    response
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
    let response = refusal(worker, context, status, detail);
    RefusedRequest { kind: RequestKind::of_refused(context.head()), entry, response }
}

/// Lines are handed to the writer at least this often. The delay is too short to notice when watching the
/// log, and five wake-ups per second are negligible on a core that serves; an idle core has no lines.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Hands over gathered lines, for as long as the worker runs.
pub(crate) async fn flush<S>(worker: Rc<Worker<S>>) {
    let Some(log) = &worker.access else { return };
    loop {
        poll_fn(|cx| log.poll_lines(cx)).await;
        worker.ring.sleep(FLUSH_EVERY).await;
        log.flush();
    }
}

/// The context of an exchange, for what is decided about its response, and then for the access log.
pub(crate) struct LogEntry(Context);

impl LogEntry {
    /// Records a request whose head is complete.
    #[inline]
    pub(crate) fn begin<S>(worker: &Worker<S>, context: &Context) -> Self {
        if worker.access.is_some() {
            // Now, because the address of the peer is lost when the connection is reset.
            context.peer();
            context.begin(worker.ring.now());
        }
        Self(context.clone())
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0
    }

    /// The same while the body is sent; `None` without a log, so that the context is free again.
    #[inline]
    pub(crate) fn if_logged<S>(self, worker: &Worker<S>) -> Option<Self> {
        worker.access.is_some().then_some(self)
    }

    /// Logs the exchange. Without a `status` the client disconnected before there was a response.
    pub(crate) fn end<S>(
        self,
        worker: &Worker<S>,
        status: Option<Status>,
        body_bytes: u64,
        end: ExchangeEnd,
    ) {
        let Some(log) = &worker.access else { return };
        let Self(context) = self;
        let now = Instant::now();
        let (id, user) = (context.get::<RequestId>(), context.get::<User>());
        let refusal = context.get::<Refusal>();
        let record = Record {
            peer: known(context.peer()),
            head: Some(context.head()).filter(|head| head.len_bytes() > 0),
            status: status.map_or(CLIENT_GONE, Status::code),
            body_bytes,
            duration: context.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            user: user.as_ref().map(|user| user.name().as_bytes()),
            request_id: id.as_ref().map(|id| id.as_str().as_bytes()),
            end: if refusal.is_some() && end == ExchangeEnd::Complete { ExchangeEnd::Refused } else { end },
            reason: refusal.as_ref().map(|refusal| &*refusal.0),
        };
        log.record(&record, now);
    }
}

/// Which side ended a response early.
pub(crate) fn end_of(error: &io::Error) -> ExchangeEnd {
    use io::ErrorKind as Kind;
    let of_request = error.get_ref().and_then(|error| error.downcast_ref::<BodyError>());
    match (error.kind(), of_request) {
        (_, Some(BodyError::TimedOut)) | (Kind::TimedOut, _) => ExchangeEnd::TooSlow,
        (_, Some(BodyError::Disconnected)) => ExchangeEnd::ClientGone,
        (Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected, _) => {
            ExchangeEnd::ClientGone
        }
        _ => ExchangeEnd::BodyFailed,
    }
}

/// Logs a request that was refused before anything of it was read.
#[cold]
pub(crate) fn refused<S>(
    worker: &Worker<S>,
    peer: impl FnOnce() -> Peer,
    status: Status,
    body_bytes: u64,
    reason: &str,
) {
    let Some(log) = &worker.access else { return };
    let record = Record {
        peer: known(peer()),
        head: None,
        status: status.code(),
        body_bytes,
        duration: Duration::ZERO,
        user: None,
        request_id: None,
        end: ExchangeEnd::Refused,
        reason: Some(reason),
    };
    log.record(&record, Instant::now());
}

/// The address of the peer. Costs one or two system calls.
pub(crate) fn peer_of(socket: &Socket) -> Peer {
    match socket.peer_addr() {
        Some(addr) => Peer::Inet(addr),
        // The local address is still known after the peer has reset the connection.
        None if !socket.is_open() || socket.local_addr().is_some() => Peer::Unknown,
        None => Peer::Unix,
    }
}

fn known(peer: Peer) -> access::LoggedPeer {
    match peer {
        Peer::Inet(addr) => access::LoggedPeer::Inet(addr),
        Peer::Unix => access::LoggedPeer::Unix,
        Peer::Unknown => access::LoggedPeer::Unknown,
    }
}
