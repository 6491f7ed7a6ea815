//! The HTTP/1.1 driver of one connection: a loop over exchanges.
//!
//! ```text
//! read head ─► call the service ─► write response ─► discard the rest of the body ───────┐
//!     ▲          (pulls the body)                                                        │
//!     └──────────────────────────── kept alive ◄─────────────────────────────────────────┘
//! ```
//!
//! Responses to pipelined requests gather in one buffer, which is sent when no further head is received, when
//! it is large, or when a handler has to wait.

mod respond;
mod wire;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use self::respond::{BrokenOff, WrittenResponse};
use self::wire::{H1Wire, WireInput};
use super::close::{self, CloseMode};
use super::departure::Departure;
use crate::exchange::{
    BegunExchange, LogEntry, RefusedRequest, Worker, call, cut_response, end_of, is_over, misdirected,
    open as open_exchange, poll_call, refuse_head, refuse_unread,
};
use crate::http::h1::{HeadProgress, Persistence, RequestDecoder};
use crate::http::message::RequestError;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::net::Stream;
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::RecvBuf;
use crate::service::{Context, Response, Service};

/// Gathered responses above this size are sent before the next request is read.
const GATHERED_BYTES_MAX: usize = 32 * 1024;

/// What follows the last exchange of a connection.
enum AfterExchanges {
    Close(CloseMode),
    /// The client uses HTTP/2; these bytes of it were received before the input in hand.
    SwitchToH2(Box<[u8]>),
    /// None has come for a while: another loop over exchanges begins when there is input.
    Rest,
}

impl From<CloseMode> for AfterExchanges {
    fn from(mode: CloseMode) -> Self {
        Self::Close(mode)
    }
}

/// Why there is no next request.
enum NoRequest {
    /// The client closed its direction or was idle for too long, or the server is draining.
    Closed,
    /// The client took too long within a head, of which this was received.
    HeadTimedOut(Context),
    /// The head is refused; this could be read of it.
    Refused(RequestError, Context),
    /// None has come for a while.
    Resting,
    /// The connection failed, or the client does not receive the responses to earlier requests.
    Lost(io::Error),
}

impl From<io::Error> for NoRequest {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// A connection that uses HTTP/2, and what was received on it.
pub(super) struct Switched {
    pub(super) stream: Stream,
    /// Before `input`; seldom anything.
    pub(super) early: Vec<u8>,
    pub(super) input: Option<RecvBuf>,
}

/// A connection that is about to be served.
pub(super) struct NewConnection(Rc<H1Wire>);

/// Takes a stream; separate from [`serve`], so that no future has room for one.
pub(super) fn open<S>(worker: &Worker<S>, stream: Stream) -> NewConnection {
    NewConnection(Rc::new(H1Wire::new(stream, worker.limits(), worker.connection_ends_at())))
}

/// Serves a connection until it ends, or until an HTTP/2 preface arrives. What is not needed between requests
/// is boxed: a connection that rests is its wire, its slot in the ring and this future.
pub(super) async fn serve<S: Service>(
    worker: &Rc<Worker<S>>,
    NewConnection(wire): NewConnection,
) -> Option<Box<Switched>> {
    let after = loop {
        match Box::pin(serve_exchanges(worker, &wire)).await {
            AfterExchanges::Rest => {}
            after => break after,
        }
        let received = poll_fn(|cx| poll_between(worker, &wire, cx)).await;
        if let Err(none) = after_wait(worker, &wire, None, received) {
            break Box::pin(end_without_request(worker, &wire, none)).await;
        }
    };
    if Rc::strong_count(&wire) > 1 {
        wire.end_reading();
    }
    match after {
        AfterExchanges::SwitchToH2(early) => {
            // No request has been read, so no handler shares the wire.
            let (stream, input) = Rc::into_inner(wire)?.into_parts();
            Some(Box::new(Switched { stream, early: early.into_vec(), input }))
        }
        AfterExchanges::Close(mode) => {
            if mode == CloseMode::Linger {
                wire.drop_input();
            }
            Box::pin(close::close(worker, wire, mode)).await;
            None
        }
        AfterExchanges::Rest => unreachable!("a connection that rests has not ended"),
    }
}

/// Why a connection is not served.
pub(super) struct TurnedAway {
    pub(super) status: Status,
    pub(super) detail: &'static str,
    /// A `Retry-After`.
    pub(super) retry_after: Option<&'static str>,
    /// Time for the client to send its request; one that sends nothing is not answered.
    pub(super) within: Duration,
}

/// Refuses the first request of a connection, as one whose head is refused, and ends the connection. `input`
/// is what was received of it.
pub(super) async fn turn_away<S: Service>(
    worker: &Rc<Worker<S>>,
    NewConnection(wire): NewConnection,
    input: Option<RecvBuf>,
    TurnedAway { status, detail, retry_after, within }: TurnedAway,
) {
    wire.give_input(input);
    let mut decoder = RequestDecoder::new();
    let next = {
        let mut deadline = pin!(worker.ring.sleep(within));
        let mut next = pin!(next_head::<S, false>(worker, &wire, &mut decoder));
        poll_fn(|cx| match next.as_mut().poll(cx) {
            Poll::Ready(next) => Poll::Ready(Some(next)),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| None),
        })
        .await
    };
    let context = match next {
        // HTTP/2 begins with frames, before which no response can be read.
        Some(Err(NoRequest::Refused(RequestError::Http2Preface, _))) => return,
        Some(Ok(context) | Err(NoRequest::Refused(_, context) | NoRequest::HeadTimedOut(context))) => context,
        // A part of a head says what may be answered, although no more of it comes.
        None | Some(Err(NoRequest::Closed)) if !decoder.is_idle() => {
            let mut context = Context::take();
            decoder.salvage(&worker.limits().head, context.head_mut());
            context
        }
        Some(Err(_)) | None => return,
    };
    let mut refused = refuse_unread(worker, &context, wire.clone(), wire.exchange(), status, detail);
    if let Some(after) = retry_after {
        refused.response.set_field("Retry-After", after).expect("a valid value");
    }
    let mode = end_with(worker, &wire, refused).await;
    wire.drop_input();
    Box::pin(close::close(worker, wire, mode)).await;
}

async fn serve_exchanges<S: Service>(worker: &Rc<Worker<S>>, wire: &Rc<H1Wire>) -> AfterExchanges {
    let mut decoder = RequestDecoder::new();
    loop {
        let context = match next_head::<S, true>(worker, wire, &mut decoder).await {
            Ok(context) => context,
            Err(NoRequest::Refused(RequestError::Http2Preface, _)) if wire.is_new() => {
                return AfterExchanges::SwitchToH2(decoder.take_partial().into_boxed_slice());
            }
            Err(none) => return end_without_request(worker, wire, none).await,
        };
        wire.begin_exchange();
        let keep_alive = context.head().keep_alive();
        let BegunExchange { kind, entry, is_misdirected } =
            open_exchange(worker, wire.stream(), &context, wire.clone(), wire.exchange());
        if is_misdirected {
            let response = misdirected(worker, &entry);
            return end_with(worker, wire, RefusedRequest { kind, entry, response }).await.into();
        }
        let body = wire.begin_body(context.head());
        // Held while the request is in progress: the worker's service may be replaced meanwhile.
        let service = worker.service();
        let answered = match call(worker, &*service, &entry, context, body) {
            Ok(response) => Some(response),
            Err(future) => {
                let mut future = pin!(future);
                let mut departure = Departure::default();
                let mut hold = None;
                poll_fn(|cx| {
                    let polled = poll_answer(worker, wire, &entry, future.as_mut(), &mut departure, cx);
                    if polled.is_pending() && is_over(worker, &service, &entry, &mut hold) {
                        return Poll::Ready(Some(cut_response()));
                    }
                    polled
                })
                .await
            }
        };
        let Some(response) = answered else {
            entry.end(worker, None, 0, Ended::ClientGone);
            return if wire.is_broken() { CloseMode::Abort } else { wire.close_mode() }.into();
        };
        // A client that sent CONNECT may have sent a tunnel's bytes behind it. They may come from another
        // party, and are not read as a request where the tunnel is refused.
        let is_connect = kind.method == Method::Connect;
        let keep = keep_alive
            && !is_connect
            && !response.closes()
            && !wire.is_aged()
            && (!worker.drain.has_begun() || wire.owes_answers(&worker.drain));
        let wanted = if keep { Persistence::KeepAlive } else { Persistence::Close };
        let WrittenResponse { status, connection, rest, body_bytes } =
            respond::begin(worker, wire, kind, &entry, response, wanted);
        let hold = rest.as_ref().and_then(|_| worker.hold(&service, entry.context()));
        let entry = entry.if_logged(worker);
        let sent = match rest {
            Some(rest) => rest.send(worker, wire, entry.as_ref(), hold.as_ref()).await,
            None => Ok(body_bytes),
        };
        if let Some(entry) = entry {
            let (body_bytes, end) = match &sent {
                Ok(body_bytes) => (*body_bytes, Ended::Complete),
                Err(broken) => (broken.body_bytes, end_of(&broken.error)),
            };
            entry.end(worker, Some(status), body_bytes, end);
        }
        if let Err(broken) = sent {
            return Box::pin(break_off(worker, wire, broken)).await.into();
        }
        if connection == Persistence::Close {
            return wire.close_mode().into();
        }
        if wire.body_is_open() && Box::pin(wire.discard_body()).await.is_err() {
            return CloseMode::Linger.into();
        }
        wire.end_exchange();
    }
}

/// The next head: from received input, or after waiting for more. `IS_SERVED` keeps its two callers apart:
/// the loop over exchanges has a copy of its own, which the compiler makes part of it.
async fn next_head<S: Service, const IS_SERVED: bool>(
    worker: &Worker<S>,
    wire: &H1Wire,
    decoder: &mut RequestDecoder,
) -> Result<Context, NoRequest> {
    let mut in_head = !decoder.is_idle();
    loop {
        if wire.has_input_in_hand() {
            let mut context = Context::take();
            let progress = match wire.take_head(decoder, context.head_mut()) {
                Ok(progress) => progress,
                Err(error) => return Err(NoRequest::Refused(error, context)),
            };
            match progress {
                HeadProgress::Complete { .. } if wire.output_len() < GATHERED_BYTES_MAX => {
                    return Ok(context);
                }
                HeadProgress::Complete { .. } => {
                    wire.push_output().await?;
                    return Ok(context);
                }
                HeadProgress::Incomplete => {}
            }
        }
        if wire.output_len() > 0 {
            wire.push_output().await?;
        }
        if !in_head && !decoder.is_idle() {
            in_head = true;
            wire.expect_head();
        }
        let received = if in_head {
            poll_fn(|cx| wire.poll_input(false, cx)).await
        } else {
            wire.wait_for_request();
            poll_fn(|cx| poll_between(worker, wire, cx)).await
        };
        after_wait(worker, wire, in_head.then_some(&mut *decoder), received)?;
    }
}

/// Waits for input between requests.
fn poll_between<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    cx: &mut TaskContext<'_>,
) -> Poll<io::Result<WireInput>> {
    let polled = wire.poll_input(true, cx);
    if polled.is_pending() && worker.drain.has_begun() && wire.idle_is_over() {
        return Poll::Ready(Ok(WireInput::Ended));
    }
    polled
}

/// What the end of a wait for input says of the next request, of which `begun` has a part.
fn after_wait<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    begun: Option<&mut RequestDecoder>,
    received: io::Result<WireInput>,
) -> Result<(), NoRequest> {
    Err(match (received, begun) {
        (Ok(WireInput::Received), _) => return Ok(()),
        (Ok(WireInput::Ended), _) => NoRequest::Closed,
        (Ok(WireInput::Rests), _) => NoRequest::Resting,
        (Err(error), _) if error.kind() != io::ErrorKind::TimedOut || wire.owes_output() => {
            NoRequest::Lost(error)
        }
        (Err(_), None) => NoRequest::Closed,
        (Err(_), Some(decoder)) => {
            let mut context = Context::take();
            decoder.salvage(&worker.limits().head, context.head_mut());
            NoRequest::HeadTimedOut(context)
        }
    })
}

/// What becomes of a connection without a next request.
async fn end_without_request<S: Service>(
    worker: &Rc<Worker<S>>,
    wire: &Rc<H1Wire>,
    none: NoRequest,
) -> AfterExchanges {
    match none {
        NoRequest::Closed => wire.close_mode().into(),
        NoRequest::Resting => AfterExchanges::Rest,
        NoRequest::Lost(error) => close::mode_after(worker, &error).into(),
        NoRequest::HeadTimedOut(context) => {
            worker.counters.timed_out.bump();
            let detail = "the request head did not arrive in time";
            let (status, id) = (Status::REQUEST_TIMEOUT, wire.exchange());
            let refused = refuse_unread(worker, &context, wire.clone(), id, status, detail);
            end_with(worker, wire, refused).await.into()
        }
        NoRequest::Refused(error, context) => {
            let refused = refuse_head(worker, &context, wire.clone(), wire.exchange(), error);
            end_with(worker, wire, refused).await.into()
        }
    }
}

/// Polls the service's future. `None` when the client has left; the handler is then dropped.
fn poll_answer<S: Service, F: Future<Output = Response>>(
    worker: &Worker<S>,
    wire: &H1Wire,
    entry: &LogEntry,
    call: Pin<&mut F>,
    departure: &mut Departure,
    cx: &mut TaskContext<'_>,
) -> Poll<Option<Response>> {
    match poll_call(worker, entry, call, cx, Some) {
        Poll::Pending => poll_meanwhile(worker, wire, departure, cx),
        ready => ready,
    }
}

/// While a handler waits: earlier responses are sent, held input leaves the buffer pool, and the handler ends
/// when the client leaves.
fn poll_meanwhile<S: Service>(
    worker: &Worker<S>,
    wire: &H1Wire,
    departure: &mut Departure,
    cx: &mut TaskContext<'_>,
) -> Poll<Option<Response>> {
    wire.detach_input();
    if wire.is_broken() || matches!(wire.poll_push(cx), Poll::Ready(Err(_))) {
        return Poll::Ready(None);
    }
    let watched = wire.watch(cx);
    departure.poll(worker, wire.stream(), wire.half_close(), cx, watched).map(|()| None)
}

/// After a response that could not be completed.
async fn break_off<S: Service>(worker: &Worker<S>, wire: &H1Wire, broken: BrokenOff) -> CloseMode {
    if broken.error.kind() == io::ErrorKind::TimedOut {
        return close::mode_after(worker, &broken.error);
    }
    // The output written before the error is still sent.
    if broken.is_until_close {
        let _ = wire.push_output().await;
        let _ = wire.ready().await;
        return CloseMode::Abort;
    }
    wire.close_mode()
}

/// Writes the response to a request that is not served; the rest of the input cannot be read.
#[cold]
fn end_with<'a, S: Service>(
    worker: &'a Worker<S>,
    wire: &'a Rc<H1Wire>,
    refused: RefusedRequest,
) -> Pin<Box<dyn Future<Output = CloseMode> + 'a>> {
    Box::pin(async move {
        let RefusedRequest { kind, entry, response } = refused;
        wire.open_gate();
        let WrittenResponse { status, rest, body_bytes, .. } =
            respond::begin(worker, wire, kind, &entry, response, Persistence::Close);
        // An error page may be too large to be in the output.
        let sent = match rest {
            Some(rest) => rest.send(worker, wire, Some(&entry), None).await,
            None => Ok(body_bytes),
        };
        let (body_bytes, end) = match &sent {
            Ok(body_bytes) => (*body_bytes, Ended::Refused),
            Err(broken) => (broken.body_bytes, end_of(&broken.error)),
        };
        entry.end(worker, Some(status), body_bytes, end);
        match sent {
            Ok(_) => CloseMode::Linger,
            Err(broken) => break_off(worker, wire, broken).await,
        }
    })
}
