//! What the task of a connection shares with the bodies that are read from it, here or in other tasks: the
//! stream, the machine, what is to be sent, and request bodies by their place.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::incoming::{Incoming, State};
use crate::http::h2::{Connection, End, ErrorCode, SendHead, StreamKey};
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::TlsInfo;
use crate::server::access;
use crate::server::limits::Limits;
use crate::service::{BodyError, Downstream, Peer};

/// Deadlines closer together than this are one: the wheel is coarse.
const TICK: Duration = Duration::from_millis(20);

pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) limits: Rc<Limits>,
    pub(super) inner: RefCell<Inner>,
    /// What the machine's times count from.
    started: Instant,
    /// When the stream's deadline is due.
    look_at: Cell<Instant>,
    /// The connection's task, and whether it is running: a body that is read elsewhere must wake it to send
    /// credit.
    task: RefCell<Option<Waker>>,
    is_running: Cell<bool>,
    /// Looked up when somebody asks; boxed, for most connections are never asked about.
    peer: OnceCell<Box<Peer>>,
}

pub(super) struct Inner {
    pub(super) machine: Connection,
    /// Written and not yet sent. Without capacity while there is nothing.
    pub(super) output: Vec<u8>,
    /// By the place of their streams.
    bodies: Vec<Option<Box<Incoming>>>,
}

impl Inner {
    fn body(&mut self, stream: StreamKey) -> Option<&mut Incoming> {
        let body = self.bodies.get_mut(stream.place())?.as_deref_mut()?;
        (body.stream == stream).then_some(body)
    }

    /// A request has a body.
    pub(super) fn begin_body(&mut self, stream: StreamKey, expects_continue: bool) {
        let place = stream.place();
        if self.bodies.len() <= place {
            self.bodies.resize_with(place + 1, || None);
        }
        self.bodies[place] = Some(Box::new(Incoming::new(stream, expects_continue)));
    }

    /// Data of a body has come.
    pub(super) fn push_body(&mut self, stream: StreamKey, data: &[u8], limits: &Limits, now: Instant) {
        let is_read = self.body(stream).is_some_and(|body| body.push(data, limits, now));
        if !is_read {
            self.machine.discard(data.len() as u32, &mut self.output);
        }
    }

    /// A body is whole, or has broken off.
    pub(super) fn end_body(
        &mut self,
        stream: StreamKey,
        trailers: Result<Vec<u8>, crate::http::message::FramingError>,
    ) {
        if let Some(body) = self.body(stream) {
            body.end(trailers);
        }
    }

    /// Nobody will read this body any more.
    pub(super) fn drop_body(&mut self, stream: StreamKey) {
        if self.body(stream).is_none() {
            return;
        }
        let Some(mut body) = self.bodies[stream.place()].take() else { return };
        self.machine.discard(body.unread.len() as u32, &mut self.output);
        body.wake();
    }

    /// The response is out, and nobody reads the request on. True when the client has not ended it.
    pub(super) fn finish(&mut self, stream: StreamKey) -> bool {
        let waits = self.body(stream).is_some_and(|body| body.expects_continue);
        self.drop_body(stream);
        if waits {
            // It holds the body back, and need not send it any more.
            self.machine.reset(stream, ErrorCode::NO_ERROR, &mut self.output);
        }
        self.machine.stream(stream.id()).is_some()
    }

    /// No body will be continued: the client has closed its side.
    pub(super) fn break_bodies(&mut self) {
        for body in self.bodies.iter_mut().flatten() {
            body.fail(BodyError::Disconnected);
        }
    }

    /// Looks at readers that wait: how long until one of them has waited enough.
    pub(super) fn look_at_bodies(&mut self, limits: &Limits, now: Instant) -> Option<Duration> {
        self.bodies.iter_mut().flatten().filter_map(|body| body.look(limits, now)).min()
    }

    /// Tells a client that waits for it to send the body.
    pub(super) fn ask_for_body(&mut self, stream: StreamKey, now: Duration) {
        let Some(body) = self.body(stream) else { return };
        if std::mem::take(&mut body.expects_continue) {
            let head = SendHead { status: Status::CONTINUE, date: b"", lines: b"", length: None };
            self.machine.send_head(stream, &head, End::No, now, &mut self.output);
        }
    }
}

impl Wire {
    pub(super) fn new(stream: Stream, limits: Rc<Limits>) -> Wire {
        let started = stream.ring().now();
        stream.set_multishot(true);
        stream.set_deadline(Some(limits.head_timeout));
        let machine = Connection::new(&limits.h2, &limits.head, &limits.body);
        Wire {
            look_at: Cell::new(started + limits.head_timeout),
            stream,
            limits,
            inner: RefCell::new(Inner { machine, output: Vec::new(), bodies: Vec::new() }),
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

    /// The connection's task runs until [`rest`](Wire::rest).
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

    /// Makes the deadline come after so long, unless it comes before.
    pub(super) fn look_within(&self, after: Duration) {
        let at = self.now() + after;
        if at + TICK < self.look_at.get() {
            self.look_after(after);
        }
    }

    /// Sets the deadline anew.
    pub(super) fn look_after(&self, after: Duration) {
        let after = after.max(TICK);
        self.look_at.set(self.now() + after);
        self.stream.set_deadline(Some(after));
    }
}

impl Downstream for Wire {
    fn poll_piece(&self, exchange: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let now = self.now();
        let found = inner.machine.stream(exchange).filter(|&stream| inner.body(stream).is_some());
        let Some(stream) = found else { return Poll::Ready(Some(Err(BodyError::ExchangeOver))) };
        let Some(body) = inner.body(stream) else {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        };
        if !body.unread.is_empty() {
            let piece = Bytes::from(std::mem::take(&mut body.unread));
            let before = inner.output.len();
            inner.machine.consume(stream, piece.len() as u32, &mut inner.output);
            if inner.output.len() > before {
                self.wake_task();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match &mut body.state {
            State::Whole(_) => Poll::Ready(None),
            State::Broken(error) => Poll::Ready(Some(Err(error.take().unwrap_or(BodyError::Disconnected)))),
            State::Open => {
                body.wait(cx.waker(), now);
                let asks = body.expects_continue;
                inner.ask_for_body(stream, self.clock(now));
                self.look_within(self.limits.stall_timeout);
                if asks {
                    self.wake_task();
                }
                Poll::Pending
            }
        }
    }

    fn trailers(&self, exchange: u32) -> Vec<u8> {
        let mut inner = self.inner.borrow_mut();
        let stream = inner.machine.stream(exchange);
        let body = stream.and_then(|stream| inner.body(stream));
        match body.map(|body| &body.state) {
            Some(State::Whole(trailers)) => trailers.clone(),
            _ => Vec::new(),
        }
    }

    fn peer(&self) -> Peer {
        **self.peer.get_or_init(|| Box::new(access::peer_of(self.stream.socket())))
    }

    fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.stream.tls()
    }
}
