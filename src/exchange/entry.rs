//! The context of an exchange until it ends: its line in the access log, and what is added to a response that
//! the server gives in place of the service. Without an access log nothing is recorded.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::filter::{RequestId, User};
use crate::http::status::Status;
use crate::observe::access::{self, CLIENT_GONE, ExchangeEnd, Record};
use crate::observe::{RequestSpan, SpanEnd, log};
use crate::ring::Socket;
use crate::service::{BodyError, Context, Peer, Response, Service};

/// Why the server answered in place of the service; inserted into the context, for the access log.
pub(super) struct Refusal(pub(super) String);

/// Adds what the service's responses have in common.
#[cold]
pub(super) fn complete_refusal<S: Service>(worker: &Worker<S>, context: &Context, response: &mut Response) {
    let service = worker.service();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| service.refused(context, response))) {
        worker.counters.panics.bump();
        log::line(format_args!("a filter panicked: {}", log::panic_text(&*panic)));
    }
}

/// The context of an exchange, for what is decided about its response, and then for the access log; and its
/// span.
pub(crate) struct LogEntry(Context, RequestSpan);

impl LogEntry {
    /// Records a request whose head is complete.
    #[inline]
    pub(crate) fn begin<S>(worker: &Worker<S>, context: &Context) -> Self {
        if worker.is_logged.get() {
            // Now, because the address of the peer is lost when the connection is reset.
            context.peer();
            context.begin(worker.ring.now());
        }
        if worker.meters.is_some() {
            context.begin(worker.ring.now());
        }
        let span = RequestSpan::begin(context.head());
        if span.is_on() {
            context.begin(worker.ring.now());
            context.insert(span.clone());
        }
        Self(context.clone(), span)
    }

    pub(crate) fn span(&self) -> &RequestSpan {
        &self.1
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0
    }

    /// The same while the body is sent; `None` without a log, meters and a span, so that the context is free
    /// again.
    #[inline]
    pub(crate) fn if_logged<S>(self, worker: &Worker<S>) -> Option<Self> {
        (worker.is_logged.get() || worker.meters.is_some() || self.1.is_on()).then_some(self)
    }

    /// Counts the response of a route, and how long it took.
    #[inline(never)]
    pub(crate) fn measure_head<S>(&self, worker: &Worker<S>, response: &Response, is_tunnel: bool) {
        let context = &self.0;
        context.with_meter(|meter| {
            meter.answered(Some(response.status().code()));
            meter.to_head.record(elapsed(context, worker.ring.now()));
            if is_tunnel || response.is_event_stream() {
                meter.endless.bump();
                context.set_endless();
            }
        });
    }

    /// Logs and measures the exchange, and ends its span. Without a `status` the client disconnected before
    /// there was a response.
    pub(crate) fn end<S>(
        self,
        worker: &Worker<S>,
        status: Option<Status>,
        body_bytes: u64,
        end: ExchangeEnd,
    ) {
        if self.1.is_on() {
            self.end_span(status, body_bytes);
        }
        if worker.meters.is_some() {
            self.measure_end(worker, status, end);
        }
        let Some(log) = worker.access.borrow().clone() else { return };
        let context = self.0;
        let now = Instant::now();
        let (id, user) = (context.get::<RequestId>(), context.get::<User>());
        let refusal = context.get::<Refusal>();
        let record = Record {
            peer: known(context.peer()),
            head: Some(context.head()).filter(|head| head.len_bytes() > 0),
            status: status.map_or(CLIENT_GONE, Status::code),
            body_bytes,
            duration: elapsed(&context, now),
            user: user.as_ref().map(|user| user.name().as_bytes()),
            request_id: id.as_ref().map(|id| id.as_str().as_bytes()),
            end: if refusal.is_some() && end == ExchangeEnd::Complete { ExchangeEnd::Refused } else { end },
            reason: refusal.as_ref().map(|refusal| &*refusal.0),
        };
        worker.counters.logged.bump();
        log.record(&record, now);
    }

    fn measure_end<S>(&self, worker: &Worker<S>, status: Option<Status>, end: ExchangeEnd) {
        let context = &self.0;
        context.with_meter(|meter| match status {
            None => meter.answered(None),
            Some(_) if end == ExchangeEnd::Complete && !context.is_endless() => {
                meter.whole.record(elapsed(context, worker.ring.now()));
            }
            Some(_) => {}
        });
    }

    #[cold]
    fn end_span(&self, status: Option<Status>, body_bytes: u64) {
        let Self(context, span) = self;
        span.record_end(&SpanEnd {
            status: status.map(Status::code),
            body_bytes,
            duration: context.since().map_or(Duration::ZERO, |since| since.elapsed()),
            route: context.route(),
        });
        // An application may keep the context for longer than the exchange.
        context.insert(RequestSpan::none());
    }
}

/// Time since the exchange began.
fn elapsed(context: &Context, now: Instant) -> Duration {
    context.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
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
