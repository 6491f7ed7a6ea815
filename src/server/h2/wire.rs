//! The state that a connection's task shares with request bodies, which other tasks may read: the stream, the
//! protocol machine, the output, and request bodies by their place.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::incoming::{InputProgress, StreamInput};
use crate::exchange::{CurrentLimits, Gate, TICK, peer_of};
use crate::http::h2::frame::{FRAME_BYTES_DEFAULT, HEADER_BYTES};
use crate::http::h2::{Connection, EndStream, ErrorCode, SendHead, StreamKey};
use crate::http::message::{FramingError, Trailers};
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::TlsInfo;
use crate::ring::later;
use crate::server::close::ClosableWire;
use crate::service::{
    BodyError, BodyFrame, BodyPolicy, Downstream, ExchangeId, Frame, HalfClose, InformError, Peer,
};

/// Output that is gathered before bodies wait for it to be sent. With one more frame it still fits the
/// buffers that the ring keeps for reuse.
pub(super) const OUTPUT_BYTES_MAX: usize = 46 * 1024;

/// Output beyond which no input is read, so that what the client asks for and does not read, such as answers
/// to PINGs, has an end. Above what bodies write, including their last frame: a response that waits for its
/// client must not stop the reading, because clients exist that give all credit they owe before they read on.
/// Twice as much would not fit the buffers that the ring keeps.
pub(super) const UNREAD_OUTPUT_BYTES_MAX: usize = 63 * 1024;
const _: () =
    assert!(OUTPUT_BYTES_MAX + HEADER_BYTES + FRAME_BYTES_DEFAULT as usize <= UNREAD_OUTPUT_BYTES_MAX);

/// The same for a client that is slow: a frame.
pub(super) const OUTPUT_BYTES_MIN: usize = 16 * 1024;

pub(super) struct H2Wire {
    pub(super) stream: Stream,
    pub(super) limits: Rc<CurrentLimits>,
    pub(super) inner: RefCell<WireState>,
    /// The origin of the machine's clock.
    started: Instant,
    /// When the stream's deadline is due.
    look_at: Cell<Instant>,
    /// The connection's task, and whether it is running: a body that is read elsewhere must wake it to send
    /// credit.
    task: RefCell<Option<Waker>>,
    is_running: Cell<bool>,
    /// Looked up on first use; boxed, because it is not needed on most connections.
    peer: OnceCell<Box<Peer>>,
}

pub(super) struct WireState {
    pub(super) machine: Connection,
    /// Written and not yet sent. Without capacity while there is nothing.
    pub(super) output: Vec<u8>,
    /// Bytes of all responses that windows apply to.
    pub(super) body_bytes_sent: u64,
    /// By the place of their streams.
    bodies: Vec<Option<Box<StreamInput>>>,
    /// How far the response of each stream has come, by their places.
    gates: Vec<(StreamKey, Gate)>,
}

impl WireState {
    /// The open stream of an exchange.
    fn stream(&self, exchange: ExchangeId) -> Option<StreamKey> {
        self.machine.stream(u32::try_from(exchange.number()).ok()?)
    }

    fn body(&mut self, stream: StreamKey) -> Option<&mut StreamInput> {
        let body = self.bodies.get_mut(stream.place())?.as_deref_mut()?;
        (body.stream == stream).then_some(body)
    }

    /// Sets the gate of a new request's stream.
    #[inline]
    pub(super) fn open_gate(&mut self, stream: StreamKey, gate: Gate) {
        let place = stream.place();
        if self.gates.len() <= place {
            self.gates.resize(place + 1, (stream, Gate::SHUT));
        }
        self.gates[place] = (stream, gate);
    }

    /// The gate of a stream; a shut one where there is none.
    #[inline]
    pub(super) fn with_gate<T>(&mut self, stream: StreamKey, change: impl FnOnce(&mut Gate) -> T) -> T {
        match self.gates.get_mut(stream.place()) {
            Some((known, gate)) if *known == stream => change(gate),
            _ => change(&mut { Gate::SHUT }),
        }
    }

    /// Whether the request has a body, or a tunnel's input, that is read.
    pub(super) fn has_body(&self, stream: StreamKey) -> bool {
        self.bodies.get(stream.place()).and_then(Option::as_ref).is_some_and(|body| body.stream == stream)
    }

    /// A request has a body, or what follows its head is a tunnel's.
    pub(super) fn begin_body(&mut self, stream: StreamKey, length: Option<u64>, policy: BodyPolicy) {
        let place = stream.place();
        if self.bodies.len() <= place {
            self.bodies.resize_with(place + 1, || None);
        }
        self.bodies[place] = Some(Box::new(StreamInput::new(stream, length, policy)));
    }

    /// Data of a body has arrived.
    pub(super) fn push_body(&mut self, stream: StreamKey, data: &[u8], now: Instant) {
        self.with_gate(stream, Gate::content_came);
        let is_read = self.body(stream).is_some_and(|body| body.push(data, now));
        if !is_read {
            self.machine.discard(stream, data.len() as u32, &mut self.output);
        }
    }

    /// A body is complete, or has failed.
    pub(super) fn end_body(&mut self, stream: StreamKey, trailers: Result<Trailers, FramingError>) {
        if let Some(body) = self.body(stream) {
            body.end(trailers);
        }
    }

    /// Drops a body that will not be read further.
    pub(super) fn drop_body(&mut self, stream: StreamKey) {
        if self.body(stream).is_none() {
            return;
        }
        let Some(mut body) = self.bodies[stream.place()].take() else { return };
        self.machine.discard(stream, body.unread.len() as u32, &mut self.output);
        body.wake();
    }

    /// The response is complete, and the request is not read further. True when the client has not ended it.
    pub(super) fn finish(&mut self, stream: StreamKey) -> bool {
        let withholds = self.with_gate(stream, |gate| {
            gate.end();
            gate.withholds_content()
        });
        if withholds {
            // The client waits for 100 Continue and need not send the body.
            self.machine.reset(stream, ErrorCode::NO_ERROR, &mut self.output);
        }
        self.drop_body(stream);
        self.machine.stream(stream.id()).is_some()
    }

    /// Fails all incomplete bodies: the client closed its direction.
    pub(super) fn break_bodies(&mut self) {
        for body in self.bodies.iter_mut().flatten() {
            body.fail(BodyError::Disconnected);
        }
    }

    /// Bytes of a stream's body that were received.
    pub(super) fn received(&mut self, stream: StreamKey) -> u64 {
        self.body(stream).map_or(0, |body| body.received())
    }

    /// A stream's reader waits from now on, because its client has received something.
    pub(super) fn restart_wait(&mut self, stream: StreamKey, now: Instant) {
        if let Some(body) = self.body(stream) {
            body.restart_wait(now);
        }
    }

    /// All readers wait from now on: the drain, which has just begun, leaves their clients less time.
    pub(super) fn restart_waits(&mut self, now: Instant) {
        self.bodies.iter_mut().flatten().for_each(|body| body.restart_wait(now));
    }

    /// Checks readers that wait: the time until the first of their timeouts.
    pub(super) fn look_at_bodies(&mut self, now: Instant, limits: &CurrentLimits) -> Option<Duration> {
        self.bodies.iter_mut().flatten().filter_map(|body| body.look(now, limits)).min()
    }

    /// Sends 100 Continue if the client waits for it; whether it was sent.
    fn ask_for_body(&mut self, stream: StreamKey, now: Duration) -> bool {
        let asks = self.with_gate(stream, Gate::ask_for_content);
        if asks {
            self.send_interim(stream, Status::CONTINUE, b"", now);
        }
        asks
    }

    /// Writes an interim response.
    pub(super) fn send_interim(&mut self, stream: StreamKey, status: Status, lines: &[u8], now: Duration) {
        let head = SendHead { status, date: b"", lines, length: None };
        self.machine.send_head(stream, &head, EndStream::No, now, &mut self.output);
    }
}

impl H2Wire {
    pub(super) fn new(stream: Stream, limits: Rc<CurrentLimits>) -> H2Wire {
        let started = stream.ring().now();
        stream.set_multishot(true);
        stream.set_deadline(Some(limits.head_timeout));
        let machine = Connection::new(&limits.h2, &limits.head, &limits.body);
        H2Wire {
            look_at: Cell::new(started + limits.head_timeout),
            stream,
            limits,
            inner: RefCell::new(WireState {
                machine,
                output: Vec::new(),
                body_bytes_sent: 0,
                bodies: Vec::new(),
                gates: Vec::new(),
            }),
            started,
            task: RefCell::new(None),
            is_running: Cell::new(false),
            peer: OnceCell::new(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.stream.ring().now()
    }

    /// The machine's time.
    pub(super) fn clock(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.started)
    }

    /// The connection's task runs until [`rest`](H2Wire::rest).
    pub(super) fn run(&self, task: &Waker) {
        self.is_running.set(true);
        let mut known = self.task.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }

    pub(super) fn rest(&self) {
        self.is_running.set(false);
    }

    fn wake_task(&self) {
        if self.is_running.get() {
            return;
        }
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    // ---- deadlines ----

    /// Moves the deadline to this time from now, unless it is earlier.
    pub(super) fn look_within(&self, after: Duration) {
        let at = later(self.now(), after.max(TICK));
        if at + TICK < self.look_at.get() {
            self.look_after(after);
        }
    }

    /// Whether it is time for a look.
    pub(super) fn is_due(&self) -> bool {
        self.now() >= self.look_at.get()
    }

    /// Sets the deadline anew.
    pub(super) fn look_after(&self, after: Duration) {
        let after = after.max(TICK);
        self.look_at.set(later(self.now(), after));
        self.stream.set_deadline(Some(after));
    }
}

impl ClosableWire for H2Wire {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Ends with a GOAWAY, so that the client knows which requests were not processed (RFC 9113 §6.8), unless
    /// it was told.
    fn take_last_output(&self) -> Vec<u8> {
        let inner = &mut *self.inner.borrow_mut();
        inner.machine.leave(&mut inner.output);
        std::mem::take(&mut inner.output)
    }

    fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Downstream for H2Wire {
    fn poll_frame(&self, exchange: ExchangeId, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let now = self.now();
        let Some(stream) = inner.stream(exchange) else {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        };
        let Some(body) = inner.body(stream) else {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        };
        if let Some(error) = body.refuse_length() {
            return Poll::Ready(Some(Err(error)));
        }
        if !body.unread.is_empty() {
            let piece = Bytes::from(std::mem::take(&mut body.unread));
            let before = inner.output.len();
            inner.machine.consume(stream, piece.len() as u32, &mut inner.output);
            if inner.output.len() > before {
                self.wake_task();
            }
            return Poll::Ready(Some(Ok(Frame::Data(piece))));
        }
        match &mut body.progress {
            InputProgress::Whole(trailers) if trailers.is_empty() => Poll::Ready(None),
            InputProgress::Whole(trailers) => {
                Poll::Ready(Some(Ok(Frame::Trailers(std::mem::take(trailers)))))
            }
            InputProgress::Broken(error) => {
                Poll::Ready(Some(Err(error.take().unwrap_or(BodyError::Disconnected))))
            }
            InputProgress::Open => {
                body.wait(cx.waker(), now);
                let timeout = self.limits.policy_now(body.policy).stall_timeout;
                if inner.ask_for_body(stream, self.clock(now)) {
                    self.wake_task();
                }
                if let Some(timeout) = timeout {
                    self.look_within(timeout);
                }
                Poll::Pending
            }
        }
    }

    fn set_body_policy(&self, exchange: ExchangeId, policy: BodyPolicy) {
        let mut inner = self.inner.borrow_mut();
        if let Some(stream) = inner.stream(exchange)
            && let Some(body) = inner.body(stream)
        {
            body.policy = policy;
        }
    }

    fn body_policy(&self, exchange: ExchangeId) -> BodyPolicy {
        let mut inner = self.inner.borrow_mut();
        let stream = inner.stream(exchange);
        let known = stream.and_then(|stream| inner.body(stream)).map(|body| body.policy);
        known.unwrap_or_else(|| self.limits.body_policy())
    }

    fn set_half_close(&self, exchange: ExchangeId, half_close: HalfClose) {
        let mut inner = self.inner.borrow_mut();
        if let Some(stream) = inner.stream(exchange) {
            inner.with_gate(stream, |gate| gate.set_half_close(half_close));
        }
    }

    fn inform(&self, exchange: ExchangeId, status: Status, lines: &[u8]) -> Result<(), InformError> {
        let mut inner = self.inner.borrow_mut();
        let stream = inner.stream(exchange).ok_or(InformError::TooLate)?;
        let waiting = inner.output.len();
        inner.with_gate(stream, |gate| gate.inform(status, lines, waiting))?;
        inner.send_interim(stream, status, lines, self.clock(self.now()));
        self.wake_task();
        Ok(())
    }

    fn peer(&self) -> Peer {
        **self.peer.get_or_init(|| Box::new(peer_of(self.stream.socket())))
    }

    fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.stream.tls()
    }
}
