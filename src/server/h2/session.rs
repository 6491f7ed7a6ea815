//! The task of one connection: turns input into calls and responses into output, follows the drain.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use super::exchange::StreamExchange;
use super::signal::{Hub, SignalWaker};
use super::wire::{H2Wire, UNREAD_OUTPUT_BYTES_MAX};
use crate::exchange::{Progress, Worker};
use crate::http::h2::{ConnectionError, Event, StreamKey};
use crate::http::message::Trailers;
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::{RecvBuf, Waits};
use crate::server::close::{self, CloseMode};
use crate::service::{Context, Service};

/// Time between the first GOAWAY and the one that refuses further streams (RFC 9113 §6.8): more than a round
/// trip, so that the client has received the first.
pub(super) const GOAWAY_NOTICE: Duration = Duration::from_secs(1);

pub(super) struct H2Session<'a, S> {
    pub(super) worker: &'a Rc<Worker<S>>,
    pub(super) wire: Rc<H2Wire>,
    /// For the next head.
    pub(super) context: Option<Context>,
    pub(super) input: Option<RecvBuf>,
    /// The client closed its direction.
    pub(super) is_eof: bool,
    /// By the place of their streams.
    pub(super) exchanges: Vec<Option<Box<StreamExchange>>>,
    /// Places of exchanges whose handler is pending.
    pub(super) called: Vec<usize>,
    /// Places of exchanges whose response is being sent, in sending order.
    pub(super) sending: Vec<usize>,
    /// Made when the first handler is polled.
    pub(super) hub: Option<Arc<Hub>>,
    /// Of a handler that ended when it was first polled.
    pub(super) spare_signal: Option<SignalWaker>,
    /// Since when no request is in progress. Other frames than a request's do not count: a client could keep
    /// a connection for ever with PINGs.
    pub(super) idle_since: Instant,
    /// When anything was last sent or received.
    pub(super) active_since: Instant,
    /// Since when the client has to complete the preface, a frame that is not DATA, or a field block.
    pub(super) frame_since: Option<Instant>,
    /// A send has waited for the client.
    pub(super) is_slow: bool,
    /// Since when a send is watched for progress.
    pub(super) send_since: Option<Instant>,
    pub(super) progress: Progress,
    pub(super) goaway_since: Option<Instant>,
    /// When the connection is as old as it may become.
    pub(super) ends_at: Option<Instant>,
    /// Since when the client's direction is closed while exchanges wait.
    pub(super) half_closed: Option<Instant>,
    /// How often exchanges of the worker had been cut when those of this connection were looked at.
    pub(super) cuts: u32,
}

impl<'a, S: Service> H2Session<'a, S> {
    pub(super) fn new(worker: &'a Rc<Worker<S>>, wire: Rc<H2Wire>) -> Self {
        let now = wire.now();
        Self {
            worker,
            wire,
            context: None,
            input: None,
            is_eof: false,
            exchanges: Vec::new(),
            called: Vec::new(),
            sending: Vec::new(),
            hub: None,
            spare_signal: None,
            idle_since: now,
            active_since: now,
            frame_since: Some(now),
            is_slow: false,
            send_since: None,
            progress: Progress::default(),
            goaway_since: None,
            ends_at: worker.connection_ends_at(),
            half_closed: None,
            cuts: worker.cuts.get(),
        }
    }

    /// Writes the server's SETTINGS, and takes the input that was received before.
    pub(super) fn begin(&mut self, early: &[u8], input: Option<RecvBuf>) -> Option<CloseMode> {
        {
            let inner = &mut *self.wire.inner.borrow_mut();
            inner.output = self.worker.ring.take_buffer();
            inner.machine.start(&mut inner.output);
        }
        self.input = input;
        if let Some(ends_at) = self.ends_at {
            self.wire.look_within(ends_at.saturating_duration_since(self.wire.now()));
        }
        // The beginning of the preface, and no more.
        let mut head = Context::take();
        let taken = {
            let inner = &mut *self.wire.inner.borrow_mut();
            inner.machine.handle_bytes(early, &mut inner.output, head.head_mut(), Duration::ZERO)
        };
        taken.err().map(|error| self.fail(error))
    }

    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<CloseMode> {
        self.wire.run(cx.waker());
        if let Some(hub) = &self.hub {
            hub.begin();
        }
        let polled = self.run(cx);
        self.wire.rest();
        if polled.is_pending() && self.hub.as_ref().is_some_and(|hub| hub.rest()) {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn run(&mut self, cx: &mut TaskContext<'_>) -> Poll<CloseMode> {
        loop {
            if self.wire.inner.borrow().machine.open_streams() > 0 {
                self.idle_since = self.wire.now();
            }
            if let Err(error) = self.take_input(cx) {
                return Poll::Ready(self.fail(error));
            }
            if self.wire.stream.is_broken() {
                return Poll::Ready(CloseMode::Abort);
            }
            if let Some(mode) = self.follow_drain() {
                return Poll::Ready(mode);
            }
            if self.cuts != self.worker.cuts.get() {
                self.cuts = self.worker.cuts.get();
                self.cut_exchanges();
            }
            self.poll_handlers(cx);
            match self.send(cx) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => match self.look() {
                    Some(mode) => return Poll::Ready(mode),
                    None => continue,
                },
                Err(_) => return Poll::Ready(CloseMode::Abort),
            }
            if self.is_eof {
                self.give_up_shut();
            }
            if self.work(cx) {
                continue;
            }
            let (is_over, waits) = {
                let inner = &mut *self.wire.inner.borrow_mut();
                // A stream that the client has not ended stays open, and cannot be ended after the end of
                // input.
                let is_done = self.is_eof && self.called.is_empty() && self.sending.is_empty();
                let is_over = inner.machine.is_over();
                if is_over {
                    // GOAWAY names the last request that was processed (RFC 9113 §6.8), also to a client that
                    // has sent its own.
                    inner.machine.leave(&mut inner.output);
                }
                (is_done || is_over, inner.output.len() >= UNREAD_OUTPUT_BYTES_MAX)
            };
            if is_over {
                return Poll::Ready(self.over());
            }
            if self.is_eof || waits {
                // No receive is in progress that would see the deadline.
                if self.wire.is_due() {
                    match self.look() {
                        Some(mode) => return Poll::Ready(mode),
                        None => continue,
                    }
                }
                // Unread input slows the client down by TCP's flow control; the completion of the send wakes
                // the task.
                self.wire.stream.watch(cx);
                return Poll::Pending;
            }
            match self.wire.stream.poll_recv(cx) {
                Poll::Pending => {
                    if self.wire.inner.borrow().machine.open_streams() == 0 {
                        self.wire.stream.socket().set_waits(Waits::Request);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Some(buffer))) => {
                    self.active_since = self.wire.now();
                    self.input = Some(buffer);
                }
                Poll::Ready(Ok(None)) => {
                    self.is_eof = true;
                    self.wire.inner.borrow_mut().break_bodies();
                    self.begin_departure();
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if let Some(mode) = self.look() {
                        return Poll::Ready(mode);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(close::mode_after(self.worker, &error)),
            }
        }
    }

    /// Ends the connection with a connection error (RFC 9113 §5.4.1).
    #[cold]
    pub(super) fn fail(&mut self, error: ConnectionError) -> CloseMode {
        match error {
            ConnectionError::FrameTimedOut | ConnectionError::WindowStalled => {
                self.worker.counters.timed_out.bump();
            }
            _ => self.worker.counters.refused.bump(),
        }
        let inner = &mut *self.wire.inner.borrow_mut();
        inner.machine.fail(error, &mut inner.output);
        CloseMode::Linger
    }

    fn follow_drain(&mut self) -> Option<CloseMode> {
        if !self.worker.drain.has_begun() || self.goaway_since.is_some() {
            return None;
        }
        let mode = self.announce_goaway();
        // From now on silence counts.
        self.wire.inner.borrow_mut().restart_waits(self.wire.now());
        self.wire.look_within(Duration::ZERO);
        mode
    }

    /// Announces GOAWAY; on an idle connection the only one, after which the output is sent and it closes.
    #[cold]
    pub(super) fn announce_goaway(&mut self) -> Option<CloseMode> {
        self.goaway_since = Some(self.wire.now());
        let is_idle = self.is_silent() && self.wire.inner.borrow().machine.open_streams() == 0;
        let inner = &mut *self.wire.inner.borrow_mut();
        if is_idle {
            inner.machine.leave(&mut inner.output);
            return Some(CloseMode::Finish);
        }
        inner.machine.announce_leave(&mut inner.output);
        self.wire.look_within(GOAWAY_NOTICE);
        None
    }

    /// Whether the connection has been idle in both directions for the time of a GOAWAY notice.
    fn is_silent(&self) -> bool {
        self.wire.now().saturating_duration_since(self.active_since) >= GOAWAY_NOTICE
            && !self.wire.stream.is_sending()
            && !self.wire.stream.has_input()
    }

    /// How to close after the last stream.
    #[cold]
    pub(super) fn over(&self) -> CloseMode {
        if self.is_silent() { CloseMode::Finish } else { CloseMode::Linger }
    }

    // ---- input ----

    fn take_input(&mut self, cx: &mut TaskContext<'_>) -> Result<(), ConnectionError> {
        let Some(mut buffer) = self.input.take() else { return Ok(()) };
        let now = self.wire.now();
        let clock = self.wire.clock(now);
        loop {
            let context = self.context.get_or_insert_with(Context::take);
            let step = {
                let inner = &mut *self.wire.inner.borrow_mut();
                if inner.output.capacity() == 0 {
                    inner.output = self.worker.ring.take_buffer();
                }
                inner.machine.handle_bytes(&buffer, &mut inner.output, context.head_mut(), clock)?
            };
            let Some(event) = step.event else { break };
            self.handle(event, &buffer, now, cx);
            if step.consumed == buffer.len() {
                break;
            }
            buffer.advance(step.consumed);
        }
        let owes = self.wire.inner.borrow().machine.is_within_frame();
        if owes != self.frame_since.is_some() {
            self.frame_since = owes.then_some(now);
            if owes {
                self.wire.look_within(self.wire.limits.head_timeout);
            }
        }
        Ok(())
    }

    #[inline]
    fn handle(&mut self, event: Event, input: &[u8], now: Instant, cx: &mut TaskContext<'_>) {
        match event {
            Event::Head { stream, ends } => {
                self.idle_since = now;
                if let Some(context) = self.context.take() {
                    self.begin_exchange(stream, ends, context, cx);
                }
            }
            Event::Data { stream, data, ends } => {
                let inner = &mut *self.wire.inner.borrow_mut();
                inner.push_body(stream, &input[data], now);
                if ends {
                    inner.end_body(stream, Ok(Trailers::new()));
                }
            }
            Event::Trailers { stream, trailers } => {
                self.wire.inner.borrow_mut().end_body(stream, trailers);
            }
            Event::Refused { stream, error } => {
                self.idle_since = now;
                let context = self.context.take().unwrap_or_else(Context::take);
                self.refuse_unread(stream, error, &context);
            }
            Event::Malformed(_) => self.worker.counters.refused.bump(),
            Event::Reset { stream, error } => {
                if error.is_some() {
                    self.worker.counters.refused.bump();
                }
                self.wire.inner.borrow_mut().drop_body(stream);
                self.give_up(stream, Ended::ClientGone);
            }
        }
    }

    /// Drops an exchange whose stream was reset, and its handler.
    pub(super) fn give_up(&mut self, stream: StreamKey, end: Ended) {
        let place = stream.place();
        let is_known = matches!(self.exchanges.get(place), Some(Some(known)) if known.stream == stream);
        if !is_known {
            return;
        }
        self.called.retain(|&other| other != place);
        self.sending.retain(|&other| other != place);
        if let Some(exchange) = self.exchanges[place].take() {
            exchange.end(self.worker, end);
        }
    }
}

/// Ends the exchanges that are in progress when the connection ends.
impl<S> Drop for H2Session<'_, S> {
    fn drop(&mut self) {
        for exchange in self.exchanges.drain(..).flatten() {
            self.wire.inner.borrow_mut().drop_body(exchange.stream);
            exchange.end(self.worker, Ended::ClientGone);
        }
    }
}
