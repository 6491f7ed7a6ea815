//! One HTTP/2 connection to an endpoint, and the task that drives it: what exchanges write leaves with one
//! send, and what is received is put into their inboxes.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use crate::http::h2::client::{Connection, Event};
use crate::http::h2::{ConnectionError, EndStream, ErrorCode, H2Limits, StreamError, StreamKey};
use crate::http::message::{BodyLimits, FramingError, HeadLimits, ResponseHead, Trailers};
use crate::net::Stream;
use crate::observe::log;
use crate::ring::{Payload, Wakers, later};
use crate::upstream::error::ExchangeFailure;
use crate::upstream::options::UpstreamOptions;

/// Output beyond which exchanges wait with more content.
const OUTPUT_BYTES_MAX: usize = 48 * 1024;

/// Output beyond which nothing is read: the endpoint does not take what it has asked for.
const UNREAD_OUTPUT_BYTES_MAX: usize = 128 * 1024;

/// Time for the last frames of a connection that ends.
const FAREWELL_TIME: Duration = Duration::from_secs(1);

/// Time between two PINGs while nothing but their acknowledgements comes: servers of gRPC take more as abuse,
/// and close the connection (ENHANCE_YOUR_CALM).
const PING_AGAIN: Duration = Duration::from_secs(5 * 60);

/// Time after which an idle connection is closed where requests of other cores wait for its place.
const GIVE_BACK_AFTER: Duration = Duration::from_millis(32);

/// Content is joined with what came before and was not taken yet, up to this length: a piece costs more than
/// a byte, and how much a frame carries is the endpoint's choice.
const JOINED_BYTES: usize = 4 * 1024;

/// What is known of an endpoint that has sent nothing for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Life {
    /// It was not asked since it last sent a part of a response.
    Assumed,
    /// It was sent a PING at this time, and nothing came since.
    Asked(Instant),
    /// It answered the last PING.
    Shown,
}

/// Why a stream ended before its response did.
#[derive(Debug)]
pub(super) enum StreamFailure {
    /// The endpoint has not processed the request (RFC 9113 §8.7).
    Refused,
    /// The endpoint reset it.
    Reset(ErrorCode),
    /// The response is malformed.
    Malformed(StreamError),
    /// The trailers are.
    Trailers(FramingError),
    /// The endpoint broke the protocol on the connection.
    Protocol(String),
    /// The connection was closed.
    Closed,
    /// The connection was lost.
    Lost(io::ErrorKind),
    /// SETTINGS, which an endpoint sends first, did not come in time.
    NoSettings,
}

/// What was received for one exchange, and not taken yet. Data is bounded by the stream's window, heads by
/// the budget of interim ones.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) heads: VecDeque<ResponseHead>,
    pub(super) data: VecDeque<BytesMut>,
    pub(super) trailers: Option<Trailers>,
    pub(super) has_ended: bool,
    pub(super) failure: Option<StreamFailure>,
    pub(super) waker: Option<Waker>,
    /// Waits for a window, or for output to leave.
    pub(super) waits_to_send: bool,
    pub(super) deadline: Option<Instant>,
    pub(super) is_late: bool,
}

impl Inbox {
    fn wake(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    fn add(&mut self, data: &[u8]) {
        match self.data.back_mut() {
            Some(last) if last.len() + data.len() <= JOINED_BYTES => last.extend_from_slice(data),
            _ if data.is_empty() => {}
            _ => self.data.push_back(BytesMut::from(data)),
        }
    }
}

/// An exchange's stream as the driver knows it.
type Known = (StreamKey, Rc<RefCell<Inbox>>);

pub(super) struct CarrierState {
    pub(super) machine: Connection,
    pub(super) out: Vec<u8>,
    /// By the places of their streams.
    streams: Vec<Option<Known>>,
    head: ResponseHead,
}

impl CarrierState {
    /// To write with.
    pub(super) fn parts(&mut self) -> (&mut Connection, &mut Vec<u8>) {
        (&mut self.machine, &mut self.out)
    }

    fn inbox(&self, stream: StreamKey) -> Option<&Rc<RefCell<Inbox>>> {
        let (key, inbox) = self.streams.get(stream.place())?.as_ref()?;
        (*key == stream).then_some(inbox)
    }

    fn all(&self) -> impl Iterator<Item = &Known> {
        self.streams.iter().flatten()
    }
}

/// Where a connection is kept for further exchanges.
pub(super) trait CarrierOwner {
    /// There may be room for another exchange.
    fn wake_first(&self);
    /// Whether requests of other cores wait for the place of a connection.
    fn is_wanted_elsewhere(&self) -> bool;
    /// It has ended, or takes no exchange any more.
    fn forget(&self, carrier: &Carrier);
    /// It has ended before the endpoint spoke: requests that wait for it fail.
    fn failed(&self, failure: &ExchangeFailure);
}

/// A connection.
pub(crate) struct Carrier {
    pub(super) stream: Stream,
    pub(super) state: RefCell<CarrierState>,
    pub(super) is_tls: bool,
    made_at: Instant,
    /// When SETTINGS must have come.
    settings_due: Instant,
    /// Since when it has no stream.
    idle_since: Cell<Instant>,
    idle_time: Duration,
    /// The number of connections is limited: others may wait for the place of an idle one.
    is_limited: bool,
    lifetime: Duration,
    /// Exchanges at once: one before the endpoint's SETTINGS, which it sends first, so that none is refused
    /// for their number; and less than it announces where it has refused some.
    room: Cell<usize>,
    /// Bytes that were passed to the socket.
    pub(super) taken: Cell<u64>,
    /// Responses that began.
    pub(super) carried: Cell<u32>,
    /// No exchange begins any more.
    is_leaving: Cell<bool>,
    has_ended: Cell<bool>,
    /// When something was last received, or the first of the open streams began.
    heard_at: Cell<Instant>,
    life: Cell<Life>,
    ping: Duration,
    ping_answer: Duration,
    /// When deadlines are looked at next.
    look_at: Cell<Option<Instant>>,
    driver: RefCell<Option<Waker>>,
    /// Requests for tunnels that wait for the endpoint's SETTINGS.
    awaiting_settings: RefCell<Wakers>,
    pool: Weak<dyn CarrierOwner>,
    /// Counts it among the endpoint's connections.
    open: Cell<Option<Box<dyn Any>>>,
}

impl Carrier {
    /// Starts the protocol and the driver on a connection that was just made.
    pub(super) fn start(
        stream: Stream,
        options: &UpstreamOptions,
        pool: Weak<dyn CarrierOwner>,
        open: impl Any,
    ) -> Rc<Self> {
        let ring = stream.ring();
        let limits = &options.response_limits;
        let heads = HeadLimits { fields_max: limits.fields_max, ..HeadLimits::DEFAULT };
        let h2 = H2Limits { list_bytes_max: limits.head_bytes_max, ..H2Limits::DEFAULT };
        let bodies = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
        let machine = Connection::new(&h2, &heads, &bodies);
        let mut out = ring.take_buffer();
        machine.start(&mut out);
        let now = ring.now();
        let carrier = Rc::new(Self {
            is_tls: !stream.is_plain(),
            stream,
            state: RefCell::new(CarrierState {
                machine,
                out,
                streams: Vec::new(),
                head: ResponseHead::new(),
            }),
            made_at: now,
            settings_due: later(now, options.timeouts.connect),
            idle_since: Cell::new(now),
            idle_time: options.pool.idle_time,
            is_limited: options.pool.connections_max.is_some(),
            lifetime: options.pool.lifetime,
            room: Cell::new(1),
            taken: Cell::new(0),
            carried: Cell::new(0),
            is_leaving: Cell::new(false),
            has_ended: Cell::new(false),
            heard_at: Cell::new(now),
            life: Cell::new(Life::Assumed),
            ping: options.timeouts.ping,
            ping_answer: options.timeouts.ping_answer,
            look_at: Cell::new(None),
            driver: RefCell::new(None),
            awaiting_settings: RefCell::default(),
            pool,
            open: Cell::new(Some(Box::new(open))),
        });
        carrier.stream.set_multishot(true);
        let driven = carrier.clone();
        ring.spawn(async move { driven.drive().await }, |panic| {
            let why = log::panic_text(&*panic);
            log::line(format_args!("a connection to an endpoint by HTTP/2 panicked: {why}"));
        });
        carrier
    }

    /// The time of the machine.
    pub(super) fn time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.made_at)
    }

    pub(super) fn now(&self) -> Instant {
        self.stream.ring().now()
    }

    /// Whether it takes no exchange any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_leaving.get() || self.has_ended.get()
    }

    /// Whether nothing is received or sent on it any more.
    pub(in crate::upstream) fn is_lost(&self) -> bool {
        self.has_ended.get()
    }

    /// Whether another exchange may begin now.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        if !self.is_over() && now.saturating_duration_since(self.made_at) >= self.lifetime {
            self.leave();
        }
        let state = self.state.borrow();
        !self.is_over()
            && !self.stream.is_broken()
            && !self.stream.socket().has_ended()
            && state.machine.open_streams() < self.room.get()
            && state.machine.can_send_request()
    }

    /// Ends it once its exchanges have.
    pub(super) fn leave(&self) {
        if !self.is_leaving.replace(true) {
            self.kick();
        }
    }

    /// Whether the endpoint's SETTINGS have come.
    pub(super) fn has_settings(&self) -> bool {
        self.state.borrow().machine.has_settings()
    }

    /// Ready once it has, which does not take longer than a connection.
    ///
    /// # Errors
    /// The connection has ended.
    pub(in crate::upstream) fn poll_settings(&self, cx: &Context<'_>) -> Poll<Result<(), ExchangeFailure>> {
        if self.is_lost() {
            let is_late = !self.has_settings() && self.now() >= self.settings_due;
            let failure = if is_late { ExchangeFailure::NoSettings } else { ExchangeFailure::Closed };
            return Poll::Ready(Err(failure));
        }
        if self.has_settings() {
            return Poll::Ready(Ok(()));
        }
        self.awaiting_settings.borrow_mut().add(cx);
        Poll::Pending
    }

    /// Whether there is room for more content in the output.
    pub(super) fn takes_output(&self) -> bool {
        self.state.borrow().out.len() < OUTPUT_BYTES_MAX
    }

    /// Writes content, as much as the stream's window allows, or the end of its direction.
    pub(super) fn write_data(&self, stream: StreamKey, bytes: &[u8], end: EndStream) {
        let now = self.time(self.now());
        let mut state = self.state.borrow_mut();
        let (machine, out) = state.parts();
        if machine.begin_data_frame(stream, bytes.len(), end, now, out) {
            out.extend_from_slice(bytes);
        }
        drop(state);
        self.kick();
    }

    /// Makes the driver look again.
    pub(super) fn kick(&self) {
        let driver = self.driver.borrow();
        driver.iter().for_each(Waker::wake_by_ref);
    }

    /// Enters the stream of an exchange that begins.
    pub(super) fn enter(&self, stream: StreamKey) -> Rc<RefCell<Inbox>> {
        let inbox = Rc::<RefCell<Inbox>>::default();
        let now = self.now();
        if self.state.borrow().machine.open_streams() == 1 {
            // Without streams no input was due.
            self.heard_at.set(now);
        }
        self.look_by(later(now, self.ping));
        let streams = &mut self.state.borrow_mut().streams;
        if streams.len() <= stream.place() {
            streams.resize_with(stream.place() + 1, || None);
        }
        streams[stream.place()] = Some((stream, inbox.clone()));
        self.kick();
        inbox
    }

    /// The exchange is over: what it has not read is discarded, and a stream that is open is reset.
    pub(super) fn release(&self, stream: StreamKey, inbox: &RefCell<Inbox>) {
        let mut state = self.state.borrow_mut();
        let CarrierState { machine, out, streams, .. } = &mut *state;
        for data in inbox.borrow_mut().data.drain(..) {
            machine.discard(stream, data.len() as u32, out);
        }
        machine.reset(stream, ErrorCode::CANCEL, out);
        if let Some(place) = streams.get_mut(stream.place())
            && place.as_ref().is_some_and(|(key, _)| *key == stream)
        {
            *place = None;
        }
        drop(state);
        self.rests();
        self.kick();
        if let Some(pool) = self.pool.upgrade() {
            pool.wake_first();
        }
    }

    /// Looks at deadlines at this time at the latest.
    pub(super) fn look_by(&self, at: Instant) {
        if self.look_at.get().is_none_or(|known| at < known) {
            self.look_at.set(Some(at));
            self.stream.set_deadline(Some(at.saturating_duration_since(self.now())));
        }
    }

    /// Without streams, it ends after a while.
    fn rests(&self) {
        if self.state.borrow().all().next().is_none() && !self.has_ended.get() {
            let now = self.now();
            self.idle_since.set(now);
            self.look_by(later(now, self.idle_looks()));
        }
    }

    /// Time until an idle connection is looked at.
    fn idle_looks(&self) -> Duration {
        if self.is_limited { GIVE_BACK_AFTER.min(self.idle_time) } else { self.idle_time }
    }

    /// Sends a PING to an endpoint that is silent; returns when to look again, `None` if it did not answer.
    fn look_for_life(&self, now: Instant) -> Option<Instant> {
        if let Life::Asked(at) = self.life.get() {
            let due = later(at, self.ping_answer);
            return (now < due).then_some(due);
        }
        let after = if self.life.get() == Life::Shown { self.ping.max(PING_AGAIN) } else { self.ping };
        let due = later(self.heard_at.get(), after);
        if now < due {
            return Some(due);
        }
        let mut state = self.state.borrow_mut();
        let (machine, out) = state.parts();
        machine.ping(out);
        self.life.set(Life::Asked(now));
        Some(later(now, self.ping_answer))
    }

    /// Returns `false` once the endpoint has not answered a PING in time.
    fn look_at_deadlines(&self) -> bool {
        let now = self.now();
        self.stream.set_deadline(None);
        self.look_at.set(None);
        let mut next: Option<Instant> = None;
        if !self.has_settings() {
            if now >= self.settings_due {
                return false;
            }
            next = Some(self.settings_due);
        }
        let mut is_idle = true;
        for (_, inbox) in self.state.borrow().all() {
            is_idle = false;
            let mut inbox = inbox.borrow_mut();
            match inbox.deadline {
                Some(at) if at <= now => {
                    inbox.deadline = None;
                    inbox.is_late = true;
                    inbox.wake();
                }
                Some(at) => next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        if is_idle {
            let at = later(self.idle_since.get(), self.idle_time);
            let is_wanted = self.is_limited && self.pool.upgrade().is_some_and(|p| p.is_wanted_elsewhere());
            if at <= now || is_wanted {
                self.is_leaving.set(true);
            } else {
                let at = at.min(later(now, self.idle_looks()));
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        } else {
            let Some(at) = self.look_for_life(now) else { return false };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next.into_iter().for_each(|at| self.look_by(at));
        true
    }

    async fn drive(self: Rc<Self>) {
        self.rests();
        self.look_by(self.settings_due);
        let failure = poll_fn(|cx| self.poll(cx)).await;
        self.end(failure);
        // GOAWAY, and with TLS close_notify.
        self.stream.set_deadline(Some(FAREWELL_TIME));
        if self.stream.flush().await.is_ok() {
            let out = std::mem::take(&mut self.state.borrow_mut().out);
            if !out.is_empty() {
                self.stream.start_send(Payload::Buffer(out));
            }
            let _ = self.stream.close_write().await;
        }
        drop(self.open.take());
        if let Some(pool) = self.pool.upgrade() {
            pool.wake_first();
        }
    }

    /// Tells all exchanges that the connection has ended.
    fn end(&self, failure: Option<StreamFailure>) {
        self.has_ended.set(true);
        self.awaiting_settings.take().wake();
        let mut state = self.state.borrow_mut();
        if failure.is_none() {
            let CarrierState { machine, out, .. } = &mut *state;
            machine.leave(out);
        }
        for (_, inbox) in state.streams.drain(..).flatten() {
            let mut inbox = inbox.borrow_mut();
            if !inbox.has_ended && inbox.failure.is_none() {
                inbox.failure = Some(match &failure {
                    Some(StreamFailure::Protocol(why)) => StreamFailure::Protocol(why.clone()),
                    Some(StreamFailure::Lost(kind)) => StreamFailure::Lost(*kind),
                    Some(StreamFailure::NoSettings) => StreamFailure::NoSettings,
                    _ => StreamFailure::Closed,
                });
            }
            inbox.wake();
        }
        drop(state);
        if let Some(pool) = self.pool.upgrade() {
            if matches!(failure, Some(StreamFailure::NoSettings)) {
                pool.failed(&ExchangeFailure::NoSettings);
            }
            pool.forget(self);
        }
    }

    /// What it means that the socket failed in this way.
    fn lost(&self, kind: io::ErrorKind) -> StreamFailure {
        match kind {
            io::ErrorKind::TimedOut if !self.has_settings() => StreamFailure::NoSettings,
            kind => StreamFailure::Lost(kind),
        }
    }

    /// Ready when the connection has ended: why, or nothing if this side ends it.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<StreamFailure>> {
        *self.driver.borrow_mut() = Some(cx.waker().clone());
        loop {
            if let Err(error) = self.send(cx) {
                return Poll::Ready(Some(self.lost(error.kind())));
            }
            if self.is_leaving.get() && self.state.borrow().all().next().is_none() {
                return Poll::Ready(None);
            }
            if self.state.borrow().out.len() > UNREAD_OUTPUT_BYTES_MAX {
                return Poll::Pending;
            }
            match self.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(input))) => {
                    if let Err(error) = self.receive(&input) {
                        let mut state = self.state.borrow_mut();
                        let CarrierState { machine, out, .. } = &mut *state;
                        let why = error.to_string();
                        machine.fail(error, out);
                        return Poll::Ready(Some(StreamFailure::Protocol(why)));
                    }
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Some(StreamFailure::Closed)),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if !self.look_at_deadlines() {
                        return Poll::Ready(Some(self.lost(error.kind())));
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Some(StreamFailure::Lost(error.kind()))),
                Poll::Pending if self.state.borrow().out.is_empty() || self.stream.is_sending() => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
    }

    /// Passes the output to the socket, once what went before it has left.
    fn send(&self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.state.borrow().out.is_empty() {
            return Ok(());
        }
        while self.stream.is_sending() {
            match self.stream.poll_flush(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if !self.look_at_deadlines() {
                        return Err(error);
                    }
                }
                Poll::Ready(sent) => sent?,
            }
        }
        let out = std::mem::take(&mut self.state.borrow_mut().out);
        self.taken.set(self.taken.get() + out.len() as u64);
        self.stream.start_send(Payload::Buffer(out));
        self.wake_senders();
        Ok(())
    }

    fn wake_senders(&self) {
        let state = self.state.borrow();
        for (key, inbox) in state.all() {
            let mut inbox = inbox.borrow_mut();
            if inbox.waits_to_send && (state.machine.sendable(*key) > 0 || !state.machine.is_open(*key)) {
                inbox.waits_to_send = false;
                inbox.wake();
            }
        }
    }

    fn receive(&self, input: &[u8]) -> Result<(), ConnectionError> {
        let now = self.now();
        self.heard_at.set(now);
        if matches!(self.life.get(), Life::Asked(_)) {
            self.life.set(Life::Shown);
        }
        let now = self.time(now);
        let mut state = self.state.borrow_mut();
        let could_send = state.machine.can_send_request();
        let was_open = state.machine.is_open_to_requests();
        let mut at = 0;
        while at < input.len() {
            let CarrierState { machine, out, head, .. } = &mut *state;
            let had_settings = machine.has_settings();
            let step = machine.handle_bytes(&input[at..], out, head, now)?;
            if !had_settings && machine.has_settings() {
                self.room.set(usize::MAX);
                self.awaiting_settings.take().wake();
            }
            if let Some(event) = step.event {
                self.handle(&mut state, event, &input[at..]);
            }
            at += step.consumed;
        }
        let has_room = !could_send && state.machine.can_send_request();
        // Where it is full, another connection may be made now.
        let is_known = !was_open && state.machine.is_open_to_requests();
        drop(state);
        self.wake_senders();
        if (has_room || is_known)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.wake_first();
        }
        Ok(())
    }

    fn handle(&self, state: &mut CarrierState, event: Event, input: &[u8]) {
        if !matches!(event, Event::Goaway { .. }) {
            self.life.set(Life::Assumed);
        }
        match event {
            Event::Head { stream, interim, ends } => {
                let head = std::mem::take(&mut state.head);
                let Some(inbox) = state.inbox(stream) else { return };
                let mut inbox = inbox.borrow_mut();
                inbox.heads.push_back(head);
                inbox.has_ended |= ends;
                inbox.wake();
                if !interim {
                    self.carried.set(self.carried.get().saturating_add(1));
                    self.room.set(self.room.get().saturating_add(1));
                }
            }
            Event::Data { stream, data, ends } => {
                let data = &input[data];
                match state.inbox(stream) {
                    Some(inbox) => {
                        let mut inbox = inbox.borrow_mut();
                        inbox.add(data);
                        inbox.has_ended |= ends;
                        inbox.wake();
                    }
                    None => {
                        let CarrierState { machine, out, .. } = state;
                        machine.discard(stream, data.len() as u32, out);
                    }
                }
            }
            Event::Trailers { stream, trailers } => {
                let Some(inbox) = state.inbox(stream) else { return };
                let mut inbox = inbox.borrow_mut();
                match trailers {
                    Ok(trailers) => {
                        inbox.trailers = Some(trailers);
                        inbox.has_ended = true;
                    }
                    Err(error) => inbox.failure = Some(StreamFailure::Trailers(error)),
                }
                inbox.wake();
            }
            Event::Reset { stream, code, may_retry, error } => {
                if code == ErrorCode::REFUSED_STREAM && error.is_none() {
                    // As many as are open now are taken, whatever was announced; at least one is tried.
                    self.room.set(state.machine.open_streams().max(1));
                }
                let Some(inbox) = state.inbox(stream) else { return };
                let mut inbox = inbox.borrow_mut();
                // After the end of a response it is about the rest of the request.
                if !inbox.has_ended {
                    inbox.failure = Some(match error {
                        Some(error) => StreamFailure::Malformed(error),
                        None if may_retry => StreamFailure::Refused,
                        None => StreamFailure::Reset(code),
                    });
                }
                inbox.wake();
            }
            Event::Goaway { last, .. } => {
                self.is_leaving.set(true);
                for (_, inbox) in state.all().filter(|(key, _)| key.id() > last) {
                    let mut inbox = inbox.borrow_mut();
                    inbox.failure = Some(StreamFailure::Refused);
                    inbox.wake();
                }
                if let Some(pool) = self.pool.upgrade() {
                    pool.forget(self);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_are_kept_as_pieces() {
        let mut inbox = Inbox::default();
        for byte in 0..=u8::MAX {
            inbox.add(b"");
            (0..40).for_each(|_| inbox.add(&[byte]));
        }
        inbox.add(&[7; 3 * JOINED_BYTES]);
        inbox.add(b"end");
        let lengths: Vec<_> = inbox.data.iter().map(BytesMut::len).collect();
        assert_eq!(lengths, [JOINED_BYTES, JOINED_BYTES, 2048, 3 * JOINED_BYTES, 3]);
        assert!(inbox.data.iter().flatten().take(10_240).copied().eq((0..10_240).map(|at| (at / 40) as u8)));
    }
}
