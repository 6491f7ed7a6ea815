//! One exchange on a stream of an HTTP/2 connection. As in HTTP/1.1, the task that waits for the response
//! sends the request's body, and both directions may flow at once.
//!
//! Content is held back until the endpoint's SETTINGS have come: one that takes no exchange at all refuses a
//! request of which nothing was pulled from the client, and that can be sent elsewhere.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::carrier::{Carrier, Inbox, StreamFailure};
use crate::http::h1::{BodyLength, OutgoingRequest};
use crate::http::h2::client::SendRequest;
use crate::http::h2::{EndStream, StreamError, StreamKey};
use crate::http::message::{Framing, FramingError, ResponseError, ResponseHead, Trailers};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::ring::{Ring, later};
use crate::service::{BodyError, Frame};
use crate::upstream::error::{ExchangeError, ExchangeFailure};
use crate::upstream::h1::HeadEvent;
use crate::upstream::options::{UpstreamOptions, UpstreamTimeouts};
use crate::upstream::outgoing::Outgoing;
use crate::upstream::progress::{Awaited, Sending};
use crate::upstream::state::{EndpointState, Health};

/// Time between two looks at the health of an endpoint that is to answer.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// An exchange in progress. Dropping it resets its stream unless that has ended.
pub(crate) struct H2Exchange {
    pub(super) carrier: Rc<Carrier>,
    pub(super) stream: StreamKey,
    pub(super) inbox: Rc<RefCell<Inbox>>,
    head: ResponseHead,
    /// It was begun by an extended CONNECT.
    asks_tunnel: bool,
    sending: Sending,
    /// Content that is being sent.
    piece: Bytes,
    /// What follows it: a frame, or the end of the body.
    ahead: Option<Option<Frame>>,
    /// Bytes of a known length that are still to be sent.
    owed: Option<u64>,
    awaited: Awaited,
    /// The last byte of the request's head in the connection's output.
    begun_at: u64,
    was_reused: bool,
    was_answered: bool,
    received: u64,
    body_bytes_max: Option<u64>,
    is_event_stream: bool,
    /// Where the response is waited for only while this is not found unhealthy.
    health_of: Option<Arc<EndpointState>>,
    /// When the response is late.
    answer_due: Option<Instant>,
}

impl H2Exchange {
    /// Begins an exchange on a connection that has room for it.
    ///
    /// # Errors
    /// It has none, or a tunnel is asked of an endpoint that opens none.
    pub(crate) fn begin(
        carrier: Rc<Carrier>,
        request: &OutgoingRequest<'_>,
        never_indexed: &[u8],
    ) -> Result<Self, ExchangeError> {
        let protocol = request.connection.upgrade;
        let (has_body, length) = match request.length {
            _ if protocol.is_some() => (false, None),
            BodyLength::Known(0) => {
                let method = Method::from_token(request.method.as_bytes());
                (false, matches!(method, Method::Post | Method::Put).then_some(0))
            }
            BodyLength::Known(length) => (true, Some(length)),
            BodyLength::None => (false, None),
            BodyLength::Chunked | BodyLength::UntilClose => (true, None),
        };
        let expects = has_body && request.expects_continue;
        let mut lines = Vec::with_capacity(request.fields.len() + 64);
        lines.extend_from_slice(request.fields);
        if request.connection.trailers {
            lines.extend_from_slice(b"te: trailers\r\n");
        }
        if expects {
            lines.extend_from_slice(b"expect: 100-continue\r\n");
        }
        let head = SendRequest {
            method: if protocol.is_some() { "CONNECT" } else { request.method },
            scheme: if carrier.is_tls { "https" } else { "http" },
            authority: request.authority,
            path: request.target,
            protocol,
            lines: &lines,
            never_indexed,
            length,
        };
        let end = if has_body || protocol.is_some() { EndStream::No } else { EndStream::Yes };
        let now = carrier.time(carrier.now());
        let mut state = carrier.state.borrow_mut();
        let (machine, out) = state.parts();
        if protocol.is_some() && machine.has_settings() && !machine.accepts_connect_protocol() {
            return Err(ExchangeError::unsent(ExchangeFailure::NoTunnel));
        }
        let stream = machine.send_request(&head, end, now, out);
        let begun_at = carrier.taken.get() + state.out.len() as u64;
        drop(state);
        let Some(stream) = stream else { return Err(ExchangeError::unsent(ExchangeFailure::Refused)) };
        Ok(Self {
            inbox: carrier.enter(stream),
            stream,
            head: ResponseHead::new(),
            asks_tunnel: protocol.is_some(),
            sending: match has_body {
                false => Sending::Done,
                true if expects => Sending::Held,
                true => Sending::Flowing,
            },
            piece: Bytes::new(),
            ahead: None,
            owed: if has_body { length } else { None },
            awaited: Awaited::Nothing,
            begun_at,
            was_reused: carrier.carried.get() > 0,
            was_answered: false,
            received: 0,
            body_bytes_max: None,
            is_event_stream: false,
            health_of: None,
            answer_due: None,
            carrier,
        })
    }

    pub(crate) fn give_up_when_unhealthy(&mut self, endpoint: &Arc<EndpointState>) {
        self.health_of = Some(endpoint.clone());
    }

    pub(crate) fn head(&self) -> &ResponseHead {
        &self.head
    }

    pub(crate) fn ring(&self) -> Ring {
        self.carrier.stream.ring()
    }

    pub(crate) fn is_sent(&self) -> bool {
        matches!(self.sending, Sending::Done | Sending::Refused)
    }

    fn failed(&self, failure: ExchangeFailure) -> ExchangeError {
        let was_written = match failure {
            ExchangeFailure::Refused => false,
            _ => self.carrier.taken.get() >= self.begun_at,
        };
        ExchangeError { failure, was_written, was_answered: self.was_answered, was_reused: self.was_reused }
    }

    /// The failure that was received.
    fn take_failure(&mut self) -> Option<ExchangeError> {
        let failure = self.inbox.borrow_mut().failure.take()?;
        let was_answered = self.was_answered;
        self.was_answered |= matches!(failure, StreamFailure::Malformed(_));
        Some(self.failed(match failure {
            StreamFailure::Refused => ExchangeFailure::Refused,
            StreamFailure::Reset(code) => ExchangeFailure::Reset(format!("{code:?}")),
            StreamFailure::Malformed(StreamError::HeadTooLarge) => {
                ExchangeFailure::Head(ResponseError::HeadTooLong)
            }
            StreamFailure::Malformed(error) => {
                ExchangeFailure::Protocol(format!("its response is refused: {error:?}"))
            }
            StreamFailure::Trailers(error) => ExchangeFailure::Body(error),
            StreamFailure::Protocol(why) => ExchangeFailure::Protocol(why),
            StreamFailure::Closed if was_answered => ExchangeFailure::Body(FramingError::Truncated),
            StreamFailure::Closed => ExchangeFailure::Closed,
            StreamFailure::Lost(kind) => ExchangeFailure::Lost(kind.into()),
            StreamFailure::NoSettings => ExchangeFailure::NoSettings,
        }))
    }

    // ---- the request ----

    /// Sends what there is of the body, as far as windows and the output allow.
    ///
    /// # Errors
    /// The client's body failed.
    fn send(&mut self, body: &mut Outgoing, cx: &mut Context<'_>) -> Result<(), BodyError> {
        while self.sending == Sending::Flowing {
            if self.piece.is_empty() {
                let frame = match self.ahead.take() {
                    Some(frame) => frame,
                    None if !self.may_write() => break,
                    None => match body.poll_frame(cx) {
                        Poll::Pending => break,
                        Poll::Ready(frame) => frame.transpose()?,
                    },
                };
                match frame {
                    Some(Frame::Data(data)) => {
                        if let Some(owed) = &mut self.owed {
                            // More than was announced is an error of the client.
                            let left = owed.checked_sub(data.len() as u64);
                            *owed = left.ok_or(BodyError::Framing(FramingError::TooLarge))?;
                        }
                        self.piece = data;
                    }
                    Some(Frame::Trailers(trailers)) => self.end_body(Some(&trailers))?,
                    None => self.end_body(None)?,
                }
                continue;
            }
            if !self.may_write() {
                break;
            }
            let room = self.carrier.state.borrow().machine.sendable(self.stream);
            if room == 0 {
                if self.carrier.state.borrow().machine.is_open(self.stream) {
                    self.inbox.borrow_mut().waits_to_send = true;
                } else {
                    self.refuse();
                }
                break;
            }
            if self.piece.len() <= room
                && self.ahead.is_none()
                && let Poll::Ready(next) = body.poll_frame(cx)
            {
                self.ahead = Some(next.transpose()?);
            }
            let part = self.piece.split_to(room.min(self.piece.len()));
            let is_whole = self.owed.is_none_or(|owed| owed == 0);
            let is_last = self.piece.is_empty() && matches!(self.ahead, Some(None)) && is_whole;
            let end = if is_last { EndStream::Yes } else { EndStream::No };
            self.carrier.write_data(self.stream, &part, end);
            if is_last {
                self.sending = Sending::Done;
            }
            self.awaited = Awaited::Nothing;
        }
        Ok(())
    }

    /// Whether content may be written now; otherwise its exchange is woken when it may.
    fn may_write(&self) -> bool {
        let may = self.carrier.has_settings() && self.carrier.takes_output();
        self.inbox.borrow_mut().waits_to_send |= !may;
        may
    }

    fn end_body(&mut self, trailers: Option<&Trailers>) -> Result<(), BodyError> {
        if self.owed.is_some_and(|owed| owed > 0) {
            return Err(BodyError::Disconnected);
        }
        match trailers {
            Some(trailers) => {
                let now = self.carrier.time(self.carrier.now());
                let mut state = self.carrier.state.borrow_mut();
                let (machine, out) = state.parts();
                machine.send_trailers(self.stream, trailers.lines(), now, out);
                drop(state);
                self.carrier.kick();
            }
            None => self.carrier.write_data(self.stream, b"", EndStream::Yes),
        }
        self.sending = Sending::Done;
        self.awaited = Awaited::Nothing;
        Ok(())
    }

    fn refuse(&mut self) {
        self.sending = Sending::Refused;
        self.piece = Bytes::new();
        self.ahead = None;
    }

    // ---- waiting ----

    fn begin_wait(&mut self, timeouts: &UpstreamTimeouts, reads_body: bool, cx: &Context<'_>) {
        let mut inbox = self.inbox.borrow_mut();
        if !inbox.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            inbox.waker = Some(cx.waker().clone());
        }
        let awaited = match self.sending {
            Sending::Held if !reads_body => Awaited::Asking,
            Sending::Flowing if inbox.waits_to_send => Awaited::Taking,
            _ if reads_body => Awaited::Body,
            Sending::Flowing | Sending::Held => Awaited::Client,
            Sending::Done | Sending::Refused => Awaited::Answer,
        };
        if self.awaited == awaited {
            return;
        }
        self.awaited = awaited;
        let time: Option<Duration> = match awaited {
            Awaited::Nothing | Awaited::Client => None,
            Awaited::Asking => Some(timeouts.expect),
            Awaited::Taking => Some(timeouts.idle),
            Awaited::Answer => {
                self.answer_due = Some(later(self.carrier.now(), timeouts.first_byte));
                let looks = self.health_of.is_some();
                Some(if looks { timeouts.first_byte.min(LOOK_EVERY) } else { timeouts.first_byte })
            }
            Awaited::Body if self.is_event_stream => Some(timeouts.tunnel_idle),
            Awaited::Body => Some(timeouts.idle),
        };
        inbox.deadline = time.map(|time| later(self.carrier.now(), time));
        inbox.deadline.into_iter().for_each(|at| self.carrier.look_by(at));
    }

    /// Whether the deadline has passed, and what that means.
    fn end_wait(&mut self) -> Option<Result<(), ExchangeFailure>> {
        if !std::mem::take(&mut self.inbox.borrow_mut().is_late) {
            return None;
        }
        Some(match std::mem::replace(&mut self.awaited, Awaited::Nothing) {
            Awaited::Nothing | Awaited::Client => Ok(()),
            Awaited::Asking => {
                self.sending = Sending::Flowing;
                Ok(())
            }
            Awaited::Answer => self.end_wait_for_answer(),
            Awaited::Taking | Awaited::Body => Err(ExchangeFailure::IdleTimeout),
        })
    }

    /// The response is late, or its endpoint was found unhealthy.
    fn end_wait_for_answer(&mut self) -> Result<(), ExchangeFailure> {
        if self.health_of.as_ref().is_some_and(|endpoint| endpoint.health() == Health::Down) {
            return Err(ExchangeFailure::Unhealthy);
        }
        let now = self.carrier.now();
        let Some(due) = self.answer_due.filter(|due| *due > now) else {
            return Err(ExchangeFailure::FirstByteTimeout);
        };
        let at = due.min(now + LOOK_EVERY);
        self.inbox.borrow_mut().deadline = Some(at);
        self.carrier.look_by(at);
        self.awaited = Awaited::Answer;
        Ok(())
    }

    // ---- the response ----

    pub(crate) fn poll_head(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HeadEvent, ExchangeError>> {
        loop {
            self.work(body, cx)?;
            let head = self.inbox.borrow_mut().heads.pop_front();
            if let Some(head) = head {
                self.was_answered = true;
                self.awaited = Awaited::Nothing;
                self.head = head;
                let status = self.head.status();
                if status == Status::CONTINUE && self.sending == Sending::Held {
                    self.sending = Sending::Flowing;
                }
                return Poll::Ready(Ok(match status {
                    _ if status.is_informational() => HeadEvent::Interim(status),
                    _ if self.asks_tunnel && status.is_success() => HeadEvent::Tunnel,
                    _ => HeadEvent::Final,
                }));
            }
            if let Some(error) = self.take_failure() {
                return Poll::Ready(Err(error));
            }
            match self.end_wait() {
                Some(Ok(())) => {}
                Some(Err(failure)) => return Poll::Ready(Err(self.failed(failure))),
                None => {
                    self.begin_wait(&options.timeouts, false, cx);
                    return Poll::Pending;
                }
            }
        }
    }

    pub(crate) fn begin_body(&mut self, options: &UpstreamOptions) -> Result<(), ExchangeError> {
        if self.sending == Sending::Held {
            self.refuse();
        }
        if self.asks_tunnel {
            // Refused: nothing follows.
            self.carrier.write_data(self.stream, b"", EndStream::Yes);
        }
        self.body_bytes_max = options.response_bytes_max;
        if let (Framing::Length(length), Some(most)) = (self.head.framing(), self.body_bytes_max)
            && length > most
        {
            return Err(self.failed(ExchangeFailure::Body(FramingError::TooLarge)));
        }
        let kind = self.head.field("content-type").unwrap_or_default();
        let begins = |text: &str| {
            kind.get(..text.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(text.as_bytes()))
        };
        // Streams of calls are as silent as streams of events.
        self.is_event_stream = begins("text/event-stream") || begins("application/grpc");
        Ok(())
    }

    pub(crate) fn is_received(&self) -> bool {
        let inbox = self.inbox.borrow();
        inbox.has_ended && inbox.data.is_empty()
    }

    pub(crate) fn may_be_whole(&self) -> bool {
        self.inbox.borrow().has_ended
    }

    pub(crate) fn has_trailers(&self) -> bool {
        self.inbox.borrow().trailers.as_ref().is_some_and(|trailers| !trailers.is_empty())
    }

    /// A piece of content.
    pub(super) fn take_piece(&mut self) -> Result<Option<Bytes>, FramingError> {
        let Some(data) = self.inbox.borrow_mut().data.pop_front() else { return Ok(None) };
        let data = data.freeze();
        self.received += data.len() as u64;
        let mut state = self.carrier.state.borrow_mut();
        let (machine, out) = state.parts();
        let before = out.len();
        machine.consume(self.stream, data.len() as u32, out);
        let has_written = out.len() > before;
        drop(state);
        if has_written {
            self.carrier.kick();
        }
        if self.body_bytes_max.is_some_and(|most| self.received > most) {
            return Err(FramingError::TooLarge);
        }
        Ok(Some(data))
    }

    /// Drops what a tunnel does not need, because tunnels live long.
    pub(super) fn shed(&mut self) {
        self.head = ResponseHead::new();
        self.health_of = None;
    }

    pub(crate) fn take_data(&mut self) -> Result<Bytes, FramingError> {
        let Some(first) = self.take_piece()? else { return Ok(Bytes::new()) };
        if self.inbox.borrow().data.is_empty() {
            return Ok(first);
        }
        let mut joined = first.to_vec();
        while let Some(piece) = self.take_piece()? {
            joined.extend_from_slice(&piece);
        }
        Ok(joined.into())
    }

    pub(crate) fn poll_frame(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, ExchangeError>>> {
        loop {
            if let Err(error) = self.work(body, cx) {
                return Poll::Ready(Some(Err(error)));
            }
            match self.take_piece() {
                Ok(Some(data)) => {
                    self.awaited = Awaited::Nothing;
                    return Poll::Ready(Some(Ok(Frame::Data(data))));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(self.failed(ExchangeFailure::Body(error))))),
            }
            if self.is_received() {
                let trailers = self.inbox.borrow_mut().trailers.take().unwrap_or_default();
                return Poll::Ready((!trailers.is_empty()).then_some(Ok(Frame::Trailers(trailers))));
            }
            if let Some(error) = self.take_failure() {
                return Poll::Ready(Some(Err(error)));
            }
            match self.end_wait() {
                Some(Ok(())) => {}
                Some(Err(failure)) => return Poll::Ready(Some(Err(self.failed(failure)))),
                None => {
                    self.begin_wait(&options.timeouts, true, cx);
                    return Poll::Pending;
                }
            }
        }
    }

    pub(crate) fn work(&mut self, body: &mut Outgoing, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        self.send(body, cx).map_err(|error| self.failed(ExchangeFailure::Client(error)))
    }

    pub(crate) fn poll_sent(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ExchangeError>> {
        loop {
            self.work(body, cx)?;
            if self.is_sent() {
                return Poll::Ready(Ok(()));
            }
            if self.carrier.is_lost() || !self.carrier.state.borrow().machine.is_open(self.stream) {
                self.refuse();
                return Poll::Ready(Ok(()));
            }
            match self.end_wait() {
                Some(Ok(())) => {}
                Some(Err(failure)) => return Poll::Ready(Err(self.failed(failure))),
                None => {
                    self.begin_wait(&options.timeouts, false, cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for H2Exchange {
    fn drop(&mut self) {
        self.carrier.release(self.stream, &self.inbox);
    }
}
