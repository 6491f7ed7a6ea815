//! The task of one connection: input into calls, answers into output, and who has waited too long for whom.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::exchange::{Exchange, Sends, State};
use super::outgoing::{Outgoing, Source, Step};
use super::signal::Hub;
use super::wire::{Inner, Wire};
use crate::http::h1::{BodyError as FramingError, RequestError};
use crate::http::h2::{ConnectionError, End, ErrorCode, Event, SendHead, StreamKey};
use crate::http::head::Framing;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::observe::access::End as Ended;
use crate::ring::{Payload, RecvBuf};
use crate::server::access::{self, Entry};
use crate::server::call::{call, panicked};
use crate::server::worker::Worker;
use crate::service::{Body, Context, Downstream, LocalFuture, Request, RequestBody, Response, Service};

/// Output that is gathered before bodies wait for it to leave. With a frame more it still fits the buffers
/// that the ring keeps for reuse.
const OUTPUT_BYTES_MAX: usize = 46 * 1024;

/// Bodies up to this size leave behind their head when there is room, whoever else is sending.
const SMALL_BYTES_MAX: usize = 16 * 1024;

/// Time for a client to hear that we leave, before streams it opens are turned away: a round trip, usually.
const GOODBYE_TIME: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Everything that is to be said is in the output.
    Close,
    /// Nothing more can reach the client, or nothing more should: a reset.
    Abort,
}

pub(super) struct Session<'a, S> {
    worker: &'a Rc<Worker<S>>,
    wire: Rc<Wire>,
    /// For the next head.
    context: Option<Context>,
    input: Option<RecvBuf>,
    /// The client has closed its side.
    is_eof: bool,
    /// By the place of their streams.
    exchanges: Vec<Option<Box<Exchange<'a>>>>,
    /// Places of exchanges whose handler has not answered.
    called: Vec<usize>,
    /// Places of exchanges whose response is on its way, in the order in which they are sent.
    sending: Vec<usize>,
    /// Made when the first exchange has to wait.
    hub: Option<Arc<Hub>>,
    idle_since: Instant,
    /// Since when something short is owed to us: the preface, a frame that is not DATA, a field block.
    frame_since: Option<Instant>,
    /// Since when a send is watched for progress.
    send_since: Option<Instant>,
    acknowledged: u64,
    goodbye_since: Option<Instant>,
}

impl<'a, S: Service> Session<'a, S> {
    pub(super) fn new(worker: &'a Rc<Worker<S>>, wire: Rc<Wire>) -> Self {
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
            idle_since: now,
            frame_since: Some(now),
            send_since: None,
            acknowledged: 0,
            goodbye_since: None,
        }
    }

    /// Says what a server says first, and takes what was received before.
    pub(super) fn begin(&mut self, early: &[u8], input: Option<RecvBuf>) -> Option<Ending> {
        {
            let inner = &mut *self.wire.inner.borrow_mut();
            inner.output = self.worker.ring.take_buffer();
            inner.machine.start(&mut inner.output);
        }
        self.input = input;
        // No longer than the preface, of which it is the beginning.
        let mut head = Context::take();
        let taken = {
            let inner = &mut *self.wire.inner.borrow_mut();
            inner.machine.handle_bytes(early, &mut inner.output, head.head_mut(), Duration::ZERO)
        };
        taken.err().map(|error| self.fail(error))
    }

    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Ending> {
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

    fn run(&mut self, cx: &mut TaskContext<'_>) -> Poll<Ending> {
        loop {
            if let Err(error) = self.take_input(cx) {
                return Poll::Ready(self.fail(error));
            }
            if self.wire.stream.is_broken() {
                return Poll::Ready(Ending::Abort);
            }
            self.follow_drain();
            self.poll_handlers(cx);
            match self.send(cx) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => match self.look() {
                    Some(ending) => return Poll::Ready(ending),
                    None => continue,
                },
                Err(_) => return Poll::Ready(Ending::Abort),
            }
            let (is_over, waits) = {
                let inner = &*self.wire.inner.borrow();
                let is_done = self.is_eof && inner.machine.open_streams() == 0;
                (is_done || inner.machine.is_over(), inner.output.len() >= OUTPUT_BYTES_MAX)
            };
            if is_over {
                return Poll::Ready(Ending::Close);
            }
            if self.is_eof || waits {
                // What is not taken holds the client back; the send that is in progress wakes us.
                self.wire.stream.watch(cx);
                return Poll::Pending;
            }
            match self.wire.stream.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(buffer))) => {
                    self.idle_since = self.wire.now();
                    self.input = Some(buffer);
                }
                Poll::Ready(Ok(None)) => {
                    self.is_eof = true;
                    self.wire.inner.borrow_mut().break_bodies();
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if let Some(ending) = self.look() {
                        return Poll::Ready(ending);
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(self.lose(&error)),
            }
        }
    }

    /// The connection cannot be read any more.
    #[cold]
    fn lose(&mut self, error: &io::Error) -> Ending {
        if error.kind() == io::ErrorKind::InvalidData {
            // No records of this TLS connection; the peer was told by an alert.
            self.worker.counters.refused.bump();
            return Ending::Close;
        }
        Ending::Abort
    }

    /// Ends the connection for a misdeed.
    #[cold]
    fn fail(&mut self, error: ConnectionError) -> Ending {
        match error {
            ConnectionError::FrameTimedOut | ConnectionError::WindowStalled => {
                self.worker.counters.timed_out.bump();
            }
            _ => self.worker.counters.refused.bump(),
        }
        let inner = &mut *self.wire.inner.borrow_mut();
        inner.machine.fail(error, &mut inner.output);
        Ending::Close
    }

    fn follow_drain(&mut self) {
        if self.worker.drain.has_begun() && self.goodbye_since.is_none() {
            self.say_goodbye();
        }
    }

    #[cold]
    fn say_goodbye(&mut self) {
        self.goodbye_since = Some(self.wire.now());
        let inner = &mut *self.wire.inner.borrow_mut();
        inner.machine.announce_leave(&mut inner.output);
        self.wire.look_within(GOODBYE_TIME);
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
            Event::Head { stream, .. } => {
                if let Some(context) = self.context.take() {
                    self.begin_exchange(stream, context, cx);
                }
            }
            Event::Data { stream, data, ends } => {
                let limits = &self.wire.limits;
                let inner = &mut *self.wire.inner.borrow_mut();
                inner.push_body(stream, &input[data], limits, now);
                if ends {
                    inner.end_body(stream, Ok(Vec::new()));
                }
            }
            Event::Trailers { stream, lines } => self.wire.inner.borrow_mut().end_body(stream, lines),
            Event::Refused { stream, error } => self.refuse_head(stream, error),
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

    /// Drops an exchange whose stream is over: its handler too.
    fn give_up(&mut self, stream: StreamKey, end: Ended) {
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

    // ---- calls ----

    #[inline]
    fn begin_exchange(&mut self, stream: StreamKey, context: Context, cx: &mut TaskContext<'_>) {
        let worker = self.worker;
        worker.counters.requests.bump();
        let method = context.head().method();
        context.set_downstream(self.wire.clone());
        let entry = Entry::begin(worker, &context);
        if !self.wire.stream.serves(context.head().authority()) {
            let detail = "this connection was made for another host; open one for this host";
            return self.refuse(stream, method, entry, Status::MISDIRECTED_REQUEST, detail);
        }
        let length = match context.head().framing() {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        let body = if length == Some(0) {
            RequestBody::empty()
        } else {
            let max = self.wire.limits.body.body_bytes_max;
            if length.is_some_and(|length| max.is_some_and(|max| length > max)) {
                let error = FramingError::TooLarge;
                return self.refuse(stream, method, entry, error.status(), &error.to_string());
            }
            let expects_continue = context.head().expects_continue();
            self.wire.inner.borrow_mut().begin_body(stream, expects_continue);
            RequestBody::new(self.wire.clone(), stream.id(), length)
        };
        match call(worker, Request::new(context, body)) {
            Ok(response) => self.respond(stream, method, entry, response),
            Err(future) => self.wait(stream, method, entry, Box::pin(future), cx),
        }
    }

    /// Polls a handler's future, and keeps it if it has to wait.
    fn wait(
        &mut self,
        stream: StreamKey,
        method: Method,
        entry: Option<Entry>,
        future: LocalFuture<'a, Response>,
        cx: &mut TaskContext<'_>,
    ) {
        let state = State::Called(future);
        let mut exchange = Box::new(Exchange { stream, method, entry, state, signal: None });
        match self.poll_handler(&mut exchange, cx) {
            Poll::Ready(response) => {
                let entry = exchange.entry.take();
                drop(exchange);
                self.respond(stream, method, entry, response);
            }
            Poll::Pending => {
                self.called.push(stream.place());
                self.keep(exchange);
            }
        }
    }

    fn keep(&mut self, exchange: Box<Exchange<'a>>) {
        let place = exchange.stream.place();
        if self.exchanges.len() <= place {
            self.exchanges.resize_with(place + 1, || None);
        }
        self.exchanges[place] = Some(exchange);
    }

    fn poll_handler(&mut self, exchange: &mut Exchange<'a>, cx: &TaskContext<'_>) -> Poll<Response> {
        let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone())).clone();
        let waker = exchange.waker(&hub).clone();
        let State::Called(future) = &mut exchange.state else { return Poll::Pending };
        let mut cx = TaskContext::from_waker(&waker);
        match catch_unwind(AssertUnwindSafe(|| pin!(future).poll(&mut cx))) {
            Ok(polled) => polled,
            Err(panic) => Poll::Ready(panicked(self.worker, &*panic)),
        }
    }

    /// Polls the handlers that signalled.
    fn poll_handlers(&mut self, cx: &mut TaskContext<'_>) {
        if !self.hub.as_ref().is_some_and(|hub| hub.take()) {
            return;
        }
        for place in &self.sending {
            if let Some(Exchange { state: State::Sends(sends), signal: Some((signal, _)), .. }) =
                self.exchanges[*place].as_deref_mut()
                && signal.take()
            {
                sends.waits = false;
            }
        }
        let mut at = 0;
        while let Some(&place) = self.called.get(at) {
            let is_called = self.exchanges[place].as_ref().is_some_and(|exchange| exchange.is_called());
            if !is_called {
                at += 1;
                continue;
            }
            let Some(mut exchange) = self.exchanges[place].take() else { continue };
            match self.poll_handler(&mut exchange, cx) {
                Poll::Pending => {
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                Poll::Ready(response) => {
                    self.called.swap_remove(at);
                    let Exchange { stream, method, entry, .. } = *exchange;
                    self.respond(stream, method, entry, response);
                }
            }
        }
    }

    // ---- responses ----

    /// Writes a response's head, and its body as far as it goes at once.
    #[inline]
    fn respond(&mut self, stream: StreamKey, method: Method, entry: Option<Entry>, mut response: Response) {
        if response.status().is_informational() {
            response = Response::error(Status::INTERNAL_SERVER_ERROR, "the handler gave no final response");
        }
        if response.closes() && self.goodbye_since.is_none() {
            self.say_goodbye();
        }
        let body = response.take_body();
        let status = response.status();
        let length = match &body {
            Body::Empty => Some(0),
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::File(_, range) => Some(range.end - range.start),
            Body::Stream(stream) => stream.length(),
        };
        let is_bodiless = status.forbids_body()
            || method == Method::Head
            || method == Method::Connect && status.is_success()
            || length == Some(0) && !matches!(body, Body::Stream(_));
        let is_empty = matches!(body, Body::Empty);
        let announced = match status {
            Status::NO_CONTENT => None,
            Status::NOT_MODIFIED if is_empty => None,
            _ if method == Method::Connect && status.is_success() => None,
            _ => length,
        };
        let now = self.wire.now();
        let clock = self.wire.clock(now);
        let (sent, priority) = {
            let inner = &mut *self.wire.inner.borrow_mut();
            if matches!(body, Body::Stream(_)) {
                // It may be made of the request's body, which has to be asked for before the response begins.
                inner.ask_for_body(stream, clock);
            }
            let Inner { machine, output, .. } = inner;
            if output.capacity() == 0 {
                *output = self.worker.ring.take_buffer();
            }
            let mut date = self.worker.date.borrow_mut();
            let date = date.at(self.worker.ring.unix_seconds());
            let head = SendHead {
                status,
                // `Date: ` and CRLF around it.
                date: date.get(6..date.len().saturating_sub(2)).unwrap_or_default(),
                lines: response.fields(),
                length: announced,
            };
            let end = if is_bodiless { End::Yes } else { End::No };
            machine.send_head(stream, &head, end, clock, output);
            let small = match &body {
                Body::Bytes(bytes) if !is_bodiless && bytes.len() <= SMALL_BYTES_MAX => Some(bytes),
                _ => None,
            };
            let sent = match small {
                Some(bytes) if output.len() < OUTPUT_BYTES_MAX && machine.sendable(stream) >= bytes.len() => {
                    if machine.begin_data_frame(stream, bytes.len(), End::Yes, clock, output) {
                        output.extend_from_slice(bytes);
                        machine.stop_request(stream, output);
                    }
                    Some(bytes.len() as u64)
                }
                _ => is_bodiless.then_some(0),
            };
            (sent, machine.priority(stream))
        };
        if let Some(sent) = sent {
            self.finish(stream);
            if let Some(entry) = entry {
                entry.end(self.worker, Some(status), sent, Ended::Complete);
            }
            return;
        }
        let (source, piece) = match body {
            Body::Empty => (Source::Bytes, Bytes::new()),
            Body::Bytes(bytes) => (Source::Bytes, bytes),
            Body::File(file, range) => (Source::File(file, range, None), Bytes::new()),
            Body::Stream(made) => (Source::Stream(made, length), Bytes::new()),
        };
        let body = Outgoing::new(stream, source, piece);
        let sends = Sends { status, body, priority, waits: false, shut: None };
        let rank = sends.rank();
        let exchange = Exchange { stream, method, entry, state: State::Sends(sends), signal: None };
        self.keep(Box::new(exchange));
        let at = self.sending.iter().position(|&other| self.rank(other) > rank);
        self.sending.insert(at.unwrap_or(self.sending.len()), stream.place());
    }

    fn rank(&self, place: usize) -> (u8, bool) {
        match self.exchanges.get(place) {
            Some(Some(exchange)) => match &exchange.state {
                State::Sends(sends) => sends.rank(),
                State::Called(_) => (u8::MAX, true),
            },
            _ => (u8::MAX, true),
        }
    }

    /// Answers a request that is not served.
    #[cold]
    fn refuse(
        &mut self,
        stream: StreamKey,
        method: Method,
        entry: Option<Entry>,
        status: Status,
        detail: &str,
    ) {
        self.worker.counters.refused.bump();
        self.respond(stream, method, entry, Response::error(status, detail));
    }

    /// Answers a request whose head could not be read.
    #[cold]
    fn refuse_head(&mut self, stream: StreamKey, error: RequestError) {
        let response = Response::error(error.status(), &error.to_string());
        let bytes = match response.body() {
            Body::Bytes(bytes) => bytes.len() as u64,
            _ => 0,
        };
        self.worker.counters.refused.bump();
        self.respond(stream, Method::Get, None, response);
        let peer = || Downstream::peer(&*self.wire);
        access::refused(self.worker, peer, error.status(), bytes);
    }

    // ---- output ----

    /// Writes what may be sent of the bodies on their way, and sends what is written.
    fn send(&mut self, cx: &mut TaskContext<'_>) -> io::Result<()> {
        loop {
            self.write_bodies(cx);
            if self.wire.inner.borrow().output.is_empty() {
                if self.send_since.is_some() && !self.wire.stream.is_sending() {
                    self.send_since = None;
                }
                return Ok(());
            }
            match self.wire.stream.poll_flush(cx) {
                Poll::Pending => {
                    if self.send_since.is_none() {
                        self.send_since = Some(self.wire.now());
                        self.wire.look_within(self.wire.limits.stall_timeout);
                    }
                    return Ok(());
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => {
                    self.send_since = None;
                    self.idle_since = self.wire.now();
                    let output = std::mem::take(&mut self.wire.inner.borrow_mut().output);
                    self.wire.stream.start_send(Payload::Buffer(output));
                }
            }
            if self.sending.is_empty() {
                return Ok(());
            }
        }
    }

    fn write_bodies(&mut self, cx: &mut TaskContext<'_>) {
        if self.sending.is_empty() {
            return;
        }
        if self.wire.inner.borrow_mut().machine.take_reprioritized() {
            self.reorder();
        }
        let mut at = 0;
        while let Some(&place) = self.sending.get(at) {
            {
                let output = &mut self.wire.inner.borrow_mut().output;
                if output.len() >= OUTPUT_BYTES_MAX {
                    return;
                }
                if output.capacity() == 0 {
                    *output = self.worker.ring.take_buffer();
                }
            }
            // Taken out meanwhile: a body may be made of this connection's own requests.
            let Some(mut exchange) = self.exchanges[place].take() else {
                self.sending.remove(at);
                continue;
            };
            let step = self.step(&mut exchange, cx);
            let State::Sends(sends) = &mut exchange.state else {
                self.sending.remove(at);
                continue;
            };
            match step {
                Step::Wrote => {
                    if sends.priority.incremental {
                        // Behind the others of its rank: they take turns.
                        let rank = sends.rank();
                        self.exchanges[place] = Some(exchange);
                        let behind = self.sending[at..].iter().position(|&other| self.rank(other) > rank);
                        let to = behind.map_or(self.sending.len(), |offset| at + offset);
                        self.sending[at..to].rotate_left(1);
                        continue;
                    }
                    self.exchanges[place] = Some(exchange);
                }
                Step::Shut => {
                    if sends.shut.is_none() {
                        sends.shut = Some((self.wire.now(), sends.body.sent));
                        self.wire.look_within(self.wire.limits.h2.window_timeout);
                    }
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                Step::Waits => {
                    sends.waits = true;
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                Step::Done => {
                    self.sending.remove(at);
                    self.finish(exchange.stream);
                    exchange.end(self.worker, Ended::Complete);
                }
                Step::Failed(error) => {
                    self.sending.remove(at);
                    self.reset(exchange.stream, ErrorCode::INTERNAL_ERROR);
                    exchange.end(self.worker, access::end_of(&error));
                }
            }
        }
    }

    /// After a response that is out. What still comes of the request is read over for a while.
    fn finish(&mut self, stream: StreamKey) {
        let is_lingering = self.wire.inner.borrow_mut().finish(stream);
        if is_lingering {
            self.wire.look_within(self.wire.limits.linger_timeout);
        }
    }

    /// Ends a stream whose response cannot be completed.
    fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        let inner = &mut *self.wire.inner.borrow_mut();
        inner.drop_body(stream);
        inner.machine.reset(stream, code, &mut inner.output);
    }

    fn step(&mut self, exchange: &mut Exchange<'a>, cx: &TaskContext<'_>) -> Step {
        let State::Sends(sends) = &mut exchange.state else { return Step::Waits };
        if sends.waits {
            return Step::Waits;
        }
        if sends.body.needs_waker() {
            let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone())).clone();
            let waker = exchange.waker(&hub).clone();
            let State::Sends(sends) = &mut exchange.state else { return Step::Waits };
            return sends.body.step(self.worker, &self.wire, &mut TaskContext::from_waker(&waker));
        }
        sends.body.step(self.worker, &self.wire, &mut TaskContext::from_waker(cx.waker()))
    }

    /// After priorities were changed.
    #[cold]
    fn reorder(&mut self) {
        let machine = &self.wire.inner.borrow().machine;
        for place in &self.sending {
            if let Some(exchange) = &mut self.exchanges[*place]
                && let State::Sends(sends) = &mut exchange.state
            {
                sends.priority = machine.priority(exchange.stream);
            }
        }
        let mut sending = std::mem::take(&mut self.sending);
        sending.sort_by_key(|&place| self.rank(place));
        self.sending = sending;
    }

    // ---- time ----

    /// Looks at everything that may have lasted too long, and sets the next look.
    #[cold]
    fn look(&mut self) -> Option<Ending> {
        let now = self.wire.now();
        let limits = self.wire.limits.clone();
        let left = |since: Instant, time: Duration| time.saturating_sub(now.saturating_duration_since(since));
        let mut next = limits.idle_timeout.min(limits.stall_timeout);
        if let Some(since) = self.frame_since {
            let left = left(since, limits.head_timeout);
            if left.is_zero() {
                return Some(self.fail(ConnectionError::FrameTimedOut));
            }
            next = next.min(left);
        }
        if self.wire.stream.is_sending() {
            let since = *self.send_since.get_or_insert(now);
            if left(since, limits.stall_timeout).is_zero() {
                let acknowledged = self.wire.stream.acknowledged();
                let moved = acknowledged.saturating_sub(self.acknowledged);
                if moved < limits.rate_min * limits.stall_timeout.as_secs().max(1) {
                    self.worker.counters.timed_out.bump();
                    return Some(Ending::Abort);
                }
                (self.acknowledged, self.send_since) = (acknowledged, Some(now));
            }
        } else {
            self.send_since = None;
        }
        if let Some(ending) = self.look_at_windows(now, &mut next) {
            return Some(ending);
        }
        let inner = &mut *self.wire.inner.borrow_mut();
        if let Some(left) = inner.look_at_bodies(&limits, now) {
            next = next.min(left);
        }
        if inner.machine.open_streams() > self.called.len() + self.sending.len() {
            inner.machine.reset_lingering(self.wire.clock(now), limits.linger_timeout, &mut inner.output);
            next = next.min(limits.linger_timeout);
        }
        if let Some(since) = self.goodbye_since {
            if left(since, GOODBYE_TIME).is_zero() {
                inner.machine.leave(&mut inner.output);
            } else {
                next = next.min(left(since, GOODBYE_TIME));
            }
        }
        if inner.machine.open_streams() == 0 && !self.wire.stream.is_sending() && inner.output.is_empty() {
            let left = left(self.idle_since, limits.idle_timeout);
            if left < Duration::from_millis(20) {
                inner.machine.leave(&mut inner.output);
                return Some(Ending::Close);
            }
            next = next.min(left);
        }
        self.wire.look_after(next);
        None
    }

    /// Looks at responses that wait for the client's windows.
    fn look_at_windows(&mut self, now: Instant, next: &mut Duration) -> Option<Ending> {
        let limits = self.wire.limits.clone();
        let mut stalled = Vec::new();
        for place in &self.sending {
            let Some(Exchange { stream, state: State::Sends(sends), .. }) =
                self.exchanges[*place].as_deref_mut()
            else {
                continue;
            };
            let Some((since, sent_then)) = sends.shut else { continue };
            let left = limits.h2.window_timeout.saturating_sub(now.saturating_duration_since(since));
            if !left.is_zero() {
                *next = (*next).min(left);
                continue;
            }
            let moved = sends.body.sent - sent_then;
            sends.shut = None;
            if moved < limits.rate_min * limits.h2.window_timeout.as_secs().max(1) {
                stalled.push(*stream);
            }
        }
        if stalled.is_empty() {
            return None;
        }
        let is_shut = self.wire.inner.borrow().machine.is_shut();
        if is_shut && stalled.len() == self.sending.len() {
            return Some(self.fail(ConnectionError::WindowStalled));
        }
        for stream in stalled {
            self.worker.counters.timed_out.bump();
            self.reset(stream, ErrorCode::ENHANCE_YOUR_CALM);
            self.give_up(stream, Ended::TooSlow);
        }
        None
    }
}

/// What is not over when the connection is.
impl<S> Drop for Session<'_, S> {
    fn drop(&mut self) {
        for exchange in self.exchanges.drain(..).flatten() {
            self.wire.inner.borrow_mut().drop_body(exchange.stream);
            exchange.end(self.worker, Ended::ClientGone);
        }
    }
}
