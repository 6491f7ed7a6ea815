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
    Body, BodyError, Context, Downstream, ExchangeId, Peer, Request, RequestBody, Response, Service,
};

/// An exchange whose request's head was read.
pub(crate) struct BegunExchange {
    pub(crate) kind: RequestKind,
    /// Its entry in the access log; `None` without a log.
    pub(crate) entry: Option<LogEntry>,
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
    let is_misdirected = !stream.serves(context.head().authority());
    BegunExchange { kind: RequestKind::from(context.head()), entry, is_misdirected }
}

/// The response to a request for another host (RFC 9110 §7.4, §15.5.20).
#[cold]
pub(crate) fn misdirected<S>(worker: &Worker<S>) -> Response {
    worker.counters.refused.bump();
    let detail = "this connection was made for another host; open one for this host";
    Response::error(Status::MISDIRECTED_REQUEST, detail)
}

/// The response to a body whose announced length is over the limit, unless the service checks that by itself.
#[inline]
fn too_large<S: Service>(worker: &Worker<S>, service: &S, body: &RequestBody) -> Option<Response> {
    if body.length() == Some(0) || service.judges_bodies() || !body.is_too_large() {
        return None;
    }
    worker.counters.refused.bump();
    Some(Response::error(Status::CONTENT_TOO_LARGE, &FramingError::TooLarge.to_string()))
}

/// Calls the service: its response, or a future of it. A plain function, so that a connection keeps room for
/// the future alone, and not for the request moved into it as well. Refusals and panics close the connection:
/// for versions in which a connection has one exchange at a time.
pub(crate) fn call<'s, S: Service>(
    worker: &Worker<S>,
    service: &'s S,
    context: Context,
    body: RequestBody,
) -> Result<Response, impl Future<Output = Response> + use<'s, S>> {
    if let Some(refusal) = too_large(worker, service, &body) {
        return Ok(refusal.closing());
    }
    let request = Request::new(context, body);
    // Handlers may panic before there is a future.
    let called = catch_unwind(AssertUnwindSafe(|| match service.call_now(request) {
        Ok(response) => Ok(response),
        Err(request) => Err(service.call(request)),
    }));
    called.unwrap_or_else(|panic| Ok(panicked(worker, &*panic).closing()))
}

/// Calls the service for a response that needs no future; or returns the request.
#[inline]
pub(crate) fn call_now<S: Service>(
    worker: &Worker<S>,
    service: &S,
    context: Context,
    body: RequestBody,
) -> Result<Response, Request> {
    if let Some(refusal) = too_large(worker, service, &body) {
        return Ok(refusal);
    }
    let request = Request::new(context, body);
    let called = catch_unwind(AssertUnwindSafe(|| service.call_now(request)));
    called.unwrap_or_else(|panic| Ok(panicked(worker, &*panic)))
}

/// The response to a request whose handler panicked.
#[cold]
pub(crate) fn panicked<S>(worker: &Worker<S>, panic: &(dyn Any + Send)) -> Response {
    worker.counters.panics.bump();
    log::line(format_args!("a handler panicked: {}", log::panic_text(panic)));
    let detail = "the handler failed; the server's log has the cause";
    Response::error(Status::INTERNAL_SERVER_ERROR, detail)
}

/// The response to a head that cannot be read; logs it.
#[cold]
pub(crate) fn refuse_head<S>(
    worker: &Worker<S>,
    error: RequestError,
    peer: impl FnOnce() -> Peer,
) -> Response {
    worker.counters.refused.bump();
    refuse_unread(worker, error.status(), &error.to_string(), peer)
}

/// As [`refuse_head`], for a reason other than malformed syntax.
#[cold]
pub(crate) fn refuse_unread<S>(
    worker: &Worker<S>,
    status: Status,
    detail: &str,
    peer: impl FnOnce() -> Peer,
) -> Response {
    let response = Response::error(status, detail);
    let bytes = match response.body() {
        Body::Bytes(bytes) => bytes.len() as u64,
        _ => 0,
    };
    refused(worker, peer, status, bytes);
    response
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

/// An exchange that is logged when it ends.
pub(crate) struct LogEntry(Context);

impl LogEntry {
    /// Records a request whose head is complete; `None` without a log.
    #[inline]
    pub(crate) fn begin<S>(worker: &Worker<S>, context: &Context) -> Option<Self> {
        worker.access.as_ref()?;
        // Now, because the address of the peer is lost when the connection is reset.
        context.peer();
        context.begin(worker.ring.now());
        Some(Self(context.clone()))
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
        let record = Record {
            peer: known(context.peer()),
            head: Some(context.head()),
            status: status.map_or(CLIENT_GONE, Status::code),
            body_bytes,
            duration: context.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            user: user.as_ref().map(|user| user.name().as_bytes()),
            request_id: id.as_ref().map(|id| id.as_str().as_bytes()),
            end,
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

/// Logs a request that was refused before its head was complete.
#[cold]
pub(crate) fn refused<S>(worker: &Worker<S>, peer: impl FnOnce() -> Peer, status: Status, body_bytes: u64) {
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
