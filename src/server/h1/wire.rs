//! The input, output and current request body of one connection, shared by the driver's loop, the request's
//! body and the response. Applies timeouts; knows nothing of the content of messages.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::exchange::{CurrentLimits, Gate, Pace, Progress, TICK, peer_of};
use crate::http::h1::{BodyDecoder, CONTINUE, HeadProgress, RequestDecoder};
use crate::http::message::{BodyLimits, Framing, RequestError, RequestHead};
use crate::http::status::Status;
use crate::net::Stream;
use crate::net::tls::TlsInfo;
use crate::ring::{Payload, RecvBuf, Waits, Watched};
use crate::server::close::{ClosableWire, CloseMode};
use crate::service::{
    BodyError, BodyFrame, BodyPolicy, Downstream, Drain, ExchangeId, Frame, HalfClose, InformError, Peer,
    RequestBody,
};

/// A connection that is idle for so long rests: it gives up what only exchanges need. Clients that send more
/// often never pay for that, and the others once per pause.
const RESTS_AFTER: Duration = Duration::from_millis(100);

/// What a wait for input found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WireInput {
    /// Some, which is in hand.
    Received,
    /// The end of the stream.
    Ended,
    /// Nothing for [`RESTS_AFTER`]; only between requests, and once until the next.
    Rests,
}

/// What a connection waits for, and its deadline is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaited {
    /// The rest of a head, or the first one.
    Head,
    /// The next request.
    Request,
    /// Nothing: an exchange is in progress, or the next one has not been looked for.
    Nothing,
}

pub(super) struct H1Wire {
    stream: Stream,
    limits: Rc<CurrentLimits>,
    /// Received and not yet consumed; never empty.
    input: RefCell<Option<RecvBuf>>,
    /// Written and not yet sent. Without capacity while there is nothing.
    output: RefCell<Vec<u8>>,
    /// The current request's body, if it has one; boxed, because an idle connection has none.
    body: RefCell<Option<Box<IncomingBody>>>,
    /// Number of the current exchange; bodies of earlier exchanges fail.
    exchange: Cell<u64>,
    /// How far the response of the current exchange has come.
    gate: Cell<Gate>,
    /// The body could not be read: where the next request begins is unknown.
    body_failed: Cell<bool>,
    /// Since when the connection has been idle.
    idle_since: Cell<Instant>,
    awaited: Cell<Awaited>,
    /// The next check of an idle connection lets it rest.
    may_rest: Cell<bool>,
    /// A send is watched for progress.
    watching_send: Cell<bool>,
    progress: Cell<Progress>,
    /// When the connection is as old as it may become; boxed, because there is seldom a limit.
    ends_at: Option<Box<Instant>>,
    /// Looked up on first use; boxed, because it is not needed on most connections.
    peer: OnceCell<Box<Peer>>,
}

/// A request's body that was not read to its end, or a tunnel's input.
struct IncomingBody {
    /// For a tunnel, framed until the connection ends.
    decoder: BodyDecoder,
    pace: Pace,
    policy: BodyPolicy,
    /// Bytes of content, where the client announced them.
    length: Option<u64>,
    /// The trailers were returned.
    is_over: bool,
    is_tunnel: bool,
    /// Bytes received.
    received: u64,
    /// Bytes that had been sent to the client at the last check of a wait.
    sent_before: u64,
}

impl IncomingBody {
    fn new(framing: Framing, limits: &BodyLimits, policy: BodyPolicy) -> Box<IncomingBody> {
        // The policy limits the length, because a route may have its own.
        let limits = BodyLimits { body_bytes_max: None, ..*limits };
        let mut decoder = BodyDecoder::new(framing, &limits).expect("no length is too large without a limit");
        decoder.set_bytes_max(policy.bytes_max);
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose | Framing::Tunnel => None,
        };
        let is_tunnel = framing == Framing::UntilClose;
        Box::new(IncomingBody {
            decoder,
            pace: Pace::default(),
            policy,
            length,
            is_over: false,
            is_tunnel,
            received: 0,
            sent_before: 0,
        })
    }
}

impl H1Wire {
    pub(super) fn new(stream: Stream, limits: Rc<CurrentLimits>, ends_at: Option<Instant>) -> Self {
        stream.set_deadline(Some(limits.head_timeout));
        let now = stream.ring().now();
        Self {
            stream,
            limits,
            input: RefCell::new(None),
            output: RefCell::new(Vec::new()),
            body: RefCell::new(None),
            exchange: Cell::new(0),
            gate: Cell::new(Gate::SHUT),
            body_failed: Cell::new(false),
            idle_since: Cell::new(now),
            awaited: Cell::new(Awaited::Head),
            may_rest: Cell::new(false),
            watching_send: Cell::new(false),
            progress: Cell::default(),
            ends_at: ends_at.map(Box::new),
            peer: OnceCell::new(),
        }
    }

    /// Whether an HTTP/2 preface is still accepted: before the first request, and without TLS, where ALPN
    /// decides.
    pub(super) fn is_new(&self) -> bool {
        self.exchange.get() == 0 && self.stream.is_plain()
    }

    /// Whether the connection is to end with the response that is written next.
    pub(super) fn is_aged(&self) -> bool {
        self.age_left().is_some_and(|left| left < TICK)
    }

    /// Time until the connection is as old as it may become.
    fn age_left(&self) -> Option<Duration> {
        let ends_at = self.ends_at.as_deref()?;
        Some(ends_at.saturating_duration_since(self.stream.ring().now()))
    }

    /// The stream, and the input that was received and not consumed.
    pub(super) fn into_parts(self) -> (Stream, Option<RecvBuf>) {
        (self.stream, self.input.into_inner())
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    // ---- input ----

    pub(super) fn has_input_in_hand(&self) -> bool {
        self.input.borrow().is_some()
    }

    /// How to close the connection after its last response.
    pub(super) fn close_mode(&self) -> CloseMode {
        let has_unread = self.has_input_in_hand()
            || self.stream.has_input()
            || self.body_is_open()
            || self.body_failed.get();
        if has_unread { CloseMode::Linger } else { CloseMode::Finish }
    }

    /// Continues a head with the input in hand.
    pub(super) fn take_head(
        &self,
        decoder: &mut RequestDecoder,
        head: &mut RequestHead,
    ) -> Result<HeadProgress, RequestError> {
        let mut input = self.input.borrow_mut();
        let Some(buffer) = input.as_mut() else { return Ok(HeadProgress::Incomplete) };
        let progress = decoder.handle_bytes(buffer, &self.limits.head, head)?;
        match progress {
            HeadProgress::Complete { consumed } if consumed < buffer.len() => buffer.advance(consumed),
            _ => *input = None,
        }
        Ok(progress)
    }

    /// From here on, the whole head must arrive within its timeout.
    pub(super) fn expect_head(&self) {
        if self.awaited.replace(Awaited::Head) == Awaited::Nothing {
            self.stream.socket().set_waits(Waits::Request);
        }
        self.stream.set_deadline(Some(self.limits.head_timeout));
    }

    /// Waits for input. Between requests (`idle`), a connection that is still sending a response is not idle
    /// while the send makes progress.
    pub(super) fn poll_input(&self, idle: bool, cx: &mut Context<'_>) -> Poll<io::Result<WireInput>> {
        loop {
            match ready!(self.stream.poll_recv(cx)) {
                Ok(Some(buffer)) => {
                    *self.input.borrow_mut() = Some(buffer);
                    return Poll::Ready(Ok(WireInput::Received));
                }
                Ok(None) => return Poll::Ready(Ok(WireInput::Ended)),
                // TLS closed without close_notify. Between messages only a request can have been truncated,
                // and an incomplete head is not served.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(WireInput::Ended));
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && idle && self.is_idle() => {
                    if !self.may_rest.replace(false) {
                        self.check_idle()?;
                    } else if self.owes_output() {
                        // Its progress is judged over the whole of the stall timeout, which begins here.
                        self.stream.set_deadline(Some(self.idle_check()));
                    } else {
                        self.check_idle()?;
                        return Poll::Ready(Ok(WireInput::Rests));
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Between requests the stall timeout applies too, so that a response that is not received is noticed in
    /// time.
    ///
    /// Called when there is something to wait for: between requests that were received together a connection
    /// is not idle.
    pub(super) fn wait_for_request(&self) {
        if self.awaited.get() != Awaited::Nothing {
            return;
        }
        self.awaited.set(Awaited::Request);
        self.stream.socket().set_waits(Waits::Request);
        self.idle_since.set(self.stream.ring().now());
        self.may_rest.set(true);
        self.stream.set_deadline(Some(self.idle_check().min(RESTS_AFTER)));
    }

    fn is_idle(&self) -> bool {
        self.awaited.get() == Awaited::Request
    }

    /// The head of a request is complete.
    #[inline]
    pub(super) fn begin_exchange(&self) {
        if self.awaited.replace(Awaited::Nothing) != Awaited::Nothing {
            self.stream.socket().set_waits(Waits::No);
        }
    }

    /// Time until the next check of an idle connection.
    fn idle_check(&self) -> Duration {
        let usual = self.limits.idle_timeout.min(self.limits.stall_timeout);
        self.age_left().map_or(usual, |left| left.min(usual))
    }

    /// During a drain: whether an idle connection has waited for long enough; if not, it is asked again when
    /// it has. A new connection is idle since it was accepted.
    pub(super) fn idle_is_over(&self) -> bool {
        if self.stream.is_sending() {
            return false;
        }
        let idle = self.stream.ring().now().saturating_duration_since(self.idle_since.get());
        let left = self.limits.idle_timeout.saturating_sub(idle);
        if left < TICK && !self.stream.socket().has_arrived() {
            return true;
        }
        self.stream.set_deadline(Some(left.max(TICK)));
        false
    }

    /// During a drain: whether there are requests behind the current one that have to be answered. What was
    /// received always has; what arrives, only within the first moments, or a client that pipelines without
    /// end would never be closed.
    pub(super) fn owes_answers(&self, drain: &Drain) -> bool {
        let is_early = drain.is_within(self.limits.drain_grace, self.stream.ring().now());
        self.has_input_in_hand() || is_early && self.stream.socket().has_arrived()
    }

    /// Whether the client has not received everything: what fits the kernel's buffer is sent, but it holds
    /// memory as long as the client takes nothing.
    pub(super) fn owes_output(&self) -> bool {
        self.stream.is_sending() || self.stream.socket().unacknowledged() > 0
    }

    fn check_idle(&self) -> io::Result<()> {
        if self.owes_output() {
            self.check_progress()?;
            self.idle_since.set(self.stream.ring().now());
            return Ok(());
        }
        let idle = self.stream.ring().now().saturating_duration_since(self.idle_since.get());
        let left = self.limits.idle_timeout.saturating_sub(idle);
        let mut left = left.min(self.age_left().unwrap_or(Duration::MAX));
        if left < TICK {
            if !self.stream.socket().has_arrived() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // A request is in the kernel, and a receive is in flight.
            left = TICK;
        }
        self.stream.set_deadline(Some(left.min(self.limits.stall_timeout)));
        Ok(())
    }

    /// Copies held input to the heap: what waits, for a handler, the source of a response or the client,
    /// must not keep receive buffers of the shared pool.
    pub(super) fn detach_input(&self) {
        if let Some(buffer) = self.input.borrow_mut().as_mut() {
            buffer.detach();
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.stream.is_broken()
    }

    /// Watches the client while nothing is read from it.
    pub(super) fn watch(&self, cx: &mut Context<'_>) -> Watched {
        if !self.stream.is_plain() && !self.body_is_open() && !self.has_input_in_hand() {
            self.read_ahead(cx);
        }
        self.stream.watch(cx)
    }

    /// Reads what follows the request, because a close_notify shows only when it is decrypted. Not where the
    /// request's body may still be read.
    fn read_ahead(&self, cx: &mut Context<'_>) {
        loop {
            match self.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(mut buffer))) => {
                    buffer.detach();
                    *self.input.borrow_mut() = Some(buffer);
                }
                // The deadline of an earlier wait.
                Poll::Ready(Err(error))
                    if error.kind() == io::ErrorKind::TimedOut && !self.is_watching_send() =>
                {
                    self.stream.set_deadline(None);
                    continue;
                }
                // Not valid TLS, and an alert was sent: nothing may follow it.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    self.body_failed.set(true);
                    self.stream.socket().shutdown_write();
                }
                _ => {}
            }
            return;
        }
    }

    /// What becomes of the exchange when the client closes its sending direction. A tunnel whose handler has
    /// read its end goes on, because the handler has noticed the end.
    pub(super) fn half_close(&self) -> HalfClose {
        let knows = |body: &IncomingBody| body.is_tunnel && body.decoder.is_done();
        if self.body.borrow().as_deref().is_some_and(knows) {
            return HalfClose::Serve;
        }
        self.gate.get().half_close()
    }

    // ---- exchanges ----

    /// The current exchange.
    pub(super) fn exchange(&self) -> ExchangeId {
        ExchangeId::new(self.exchange.get())
    }

    /// The body of a request whose head is complete.
    pub(super) fn begin_body(self: &Rc<Self>, head: &RequestHead) -> RequestBody {
        let mut gate = Gate::new(head);
        if self.has_input_in_hand() {
            gate.content_came();
        }
        self.gate.set(gate);
        let framing = head.framing();
        if framing.is_empty() {
            return RequestBody::empty();
        }
        let body = IncomingBody::new(framing, &self.limits.body, self.limits.body_policy());
        let length = body.length;
        let in_hand = self.input.borrow().as_ref().map_or(0, |buffer| buffer.len() as u64);
        if length.is_none_or(|length| length > in_hand) {
            // The rest is pulled piece by piece, so that TCP's flow control slows down the client.
            self.stream.set_multishot(false);
        }
        *self.body.borrow_mut() = Some(body);
        RequestBody::new(self.clone(), self.exchange(), length)
    }

    /// The input of a tunnel: all further input of the connection.
    pub(super) fn begin_tunnel(self: &Rc<Self>) -> RequestBody {
        let body = IncomingBody::new(Framing::UntilClose, &self.limits.body, BodyPolicy::UNLIMITED);
        *self.body.borrow_mut() = Some(body);
        self.stream.set_deadline(None);
        self.stream.set_multishot(true);
        RequestBody::new(self.clone(), self.exchange(), None)
    }

    /// Bytes of the current request's body, or of a tunnel's input, that were received.
    pub(super) fn received(&self) -> u64 {
        self.body.borrow().as_ref().map_or(0, |body| body.received)
    }

    /// Whether the current exchange is a tunnel.
    pub(super) fn is_tunnel(&self) -> bool {
        self.body.borrow().as_ref().is_some_and(|body| body.is_tunnel)
    }

    /// Whether the current request's body has not been read to its end.
    pub(super) fn body_is_open(&self) -> bool {
        self.body.borrow().as_ref().is_some_and(|body| !body.decoder.is_done())
    }

    /// Admits a response to a request whose head could not be read.
    pub(super) fn open_gate(&self) {
        self.gate.set(Gate::OPEN);
    }

    /// Lets `change` the gate.
    pub(super) fn with_gate<T>(&self, change: impl FnOnce(&mut Gate) -> T) -> T {
        let mut gate = self.gate.get();
        let result = change(&mut gate);
        self.gate.set(gate);
        result
    }

    /// Writes 100 Continue if the client waits for it; whether it did. It is sent with the next output.
    fn ask_for_body(&self) -> bool {
        let asks = self.with_gate(Gate::ask_for_content);
        if asks {
            self.write_continue();
        }
        asks
    }

    /// Writes 100 Continue behind the output.
    pub(super) fn write_continue(&self) {
        self.write(|output| output.extend_from_slice(CONTINUE));
    }

    /// Sends the output now, or once the send before it is done: then by the connection's own task, for this
    /// may be another one, which must not take its place in waiting for that.
    fn push_soon(&self) {
        if self.stream.is_sending() {
            self.stream.socket().wake();
        } else {
            self.stream.start_send(Payload::Buffer(self.output.take()));
        }
    }

    /// Whether the connection can carry another request after this one: not after the body failed, nor while
    /// the client waits for a 100 Continue that will not be sent.
    pub(super) fn can_continue(&self) -> bool {
        !self.body_failed.get() && !self.gate.get().withholds_content()
    }

    /// Discards the rest of a body, within limits; beyond them it fails, and the connection is closed.
    pub(super) async fn discard_body(&self) -> io::Result<()> {
        self.push_output().await?;
        let mut left = self.limits.discard_bytes_max;
        loop {
            match poll_fn(|cx| self.poll_frame(self.exchange(), cx)).await {
                None => return Ok(()),
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Ok(Frame::Data(piece))) if piece.len() as u64 <= left => left -= piece.len() as u64,
                Some(Ok(_) | Err(_)) => {
                    self.body_failed.set(true);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }

    /// After a response that keeps the connection.
    pub(super) fn end_exchange(&self) {
        if self.body.borrow_mut().take().is_some() || self.exchange.get() == 0 {
            // The connection is kept alive, so multishot receives pay off from here on.
            self.stream.set_multishot(true);
        }
        self.exchange.set(self.exchange.get().wrapping_add(1));
        self.with_gate(Gate::end);
    }

    /// The connection ends: reads of its bodies, which handlers may still hold, fail.
    pub(super) fn end_reading(&self) {
        self.exchange.set(self.exchange.get().wrapping_add(1));
        self.gate.set(Gate::SHUT);
        self.stream.socket().wake();
    }

    // ---- output ----

    pub(super) fn output_len(&self) -> usize {
        self.output.borrow().len()
    }

    /// Lets `write` append to the output.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut output = self.output.borrow_mut();
        if output.capacity() == 0 {
            *output = self.stream.ring().take_buffer();
        }
        write(&mut output)
    }

    /// Writes an interim response behind the output.
    pub(super) fn write_interim(&self, status: Status, lines: &[u8]) {
        self.write(|output| {
            status.write_line(output);
            output.extend_from_slice(lines);
            output.extend_from_slice(b"\r\n");
        });
    }

    pub(super) fn take_output(&self) -> Vec<u8> {
        self.output.take()
    }

    /// Ready when no send is in progress. A send that takes long is watched: it must make progress.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stream.poll_flush(cx) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if self.watching_send.replace(true) {
                        self.check_progress()?;
                    } else {
                        // The deadline of an earlier wait ran out; this wait begins only now.
                        self.stream.set_deadline(Some(self.limits.stall_timeout));
                    }
                }
                Poll::Ready(result) => {
                    self.watching_send.set(false);
                    return Poll::Ready(result);
                }
                Poll::Pending => {
                    self.detach_input();
                    if !self.watching_send.replace(true) {
                        self.stream.set_deadline(Some(self.limits.stall_timeout));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// At the end of a stall window: an error unless the client has received enough.
    pub(super) fn check_progress(&self) -> io::Result<()> {
        let mut progress = self.progress.get();
        let is_enough = progress.is_enough(&self.stream, &self.limits);
        self.progress.set(progress);
        if !is_enough {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_deadline(Some(self.limits.stall_timeout));
        Ok(())
    }

    pub(super) fn stall_timeout(&self) -> Duration {
        self.limits.stall_timeout
    }

    pub(super) async fn ready(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_ready(cx)).await
    }

    /// Starts sending the output once the previous send has completed.
    pub(super) fn poll_push(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.output_len() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_ready(cx))?;
        self.stream.start_send(Payload::Buffer(self.output.take()));
        Poll::Ready(Ok(()))
    }

    pub(super) async fn push_output(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_push(cx)).await
    }

    /// Input that was received before the connection was opened.
    pub(super) fn give_input(&self, input: Option<RecvBuf>) {
        *self.input.borrow_mut() = input;
    }

    /// Drops input that was received and not consumed.
    pub(super) fn drop_input(&self) {
        self.input.borrow_mut().take();
    }

    // ---- the request's body ----

    /// Records that input has arrived for the body; an error when the client was slower than its policy
    /// allows.
    fn end_wait(&self, bytes: usize) -> Result<(), BodyError> {
        let mut body = self.body.borrow_mut();
        let Some(IncomingBody { pace, policy, received, .. }) = body.as_deref_mut() else { return Ok(()) };
        *received += bytes as u64;
        pace.receive(bytes, self.stream.ring().now(), policy).map_err(|_| BodyError::TimedOut)
    }

    /// Whether a wait for the body has begun.
    fn is_waiting(&self) -> bool {
        self.body.borrow().as_ref().is_some_and(|body| body.pace.is_waiting())
    }

    /// Begins a wait for the body.
    fn begin_wait(&self) -> Result<(), BodyError> {
        let left = self.look_at_wait()?;
        // A send that is watched keeps its deadline, or a client that sends a little and reads nothing would
        // move it for ever. The wait is checked when that deadline is due.
        if !self.is_watching_send() {
            self.stream.set_deadline(left);
        }
        Ok(())
    }

    /// Checks a wait for the body at a deadline.
    fn end_of_wait(&self) -> Result<(), BodyError> {
        let left = self.look_at_wait()?;
        if self.is_watching_send() {
            return self.check_progress().map_err(|_| BodyError::TimedOut);
        }
        self.stream.set_deadline(left);
        Ok(())
    }

    /// How long a wait for the body may go on. `None` for as long as it takes.
    fn look_at_wait(&self) -> Result<Option<Duration>, BodyError> {
        let mut body = self.body.borrow_mut();
        let Some(body) = body.as_deref_mut() else { return Ok(None) };
        let sent = self.stream.socket().sent();
        let has_received = std::mem::replace(&mut body.sent_before, sent) != sent;
        let now = self.stream.ring().now();
        if has_received && self.limits.receiving_excuses(body.is_tunnel) {
            body.pace.restart(now);
        }
        let IncomingBody { pace, policy, .. } = body;
        pace.begin(now);
        pace.look(now, *policy, &self.limits).map_err(|_| BodyError::TimedOut)
    }

    fn is_watching_send(&self) -> bool {
        self.watching_send.get() && self.stream.is_sending()
    }

    /// The next piece of the body from the held input.
    fn decode_piece(&self) -> Option<Result<Bytes, BodyError>> {
        let mut body = self.body.borrow_mut();
        let decoder = &mut body.as_mut()?.decoder;
        let mut input = self.input.borrow_mut();
        while let Some(buffer) = input.as_mut() {
            if decoder.is_done() {
                break;
            }
            let step = match decoder.handle_bytes(buffer) {
                Ok(step) => step,
                Err(error) => return Some(Err(BodyError::Framing(error))),
            };
            let piece = Bytes::copy_from_slice(&buffer[step.data]);
            if step.consumed < buffer.len() {
                buffer.advance(step.consumed);
            } else {
                *input = None;
            }
            if !piece.is_empty() {
                return Some(Ok(piece));
            }
        }
        None
    }

    /// After the content: the trailers, if there are any, and then the end.
    fn end_of_body(&self) -> Option<BodyFrame> {
        let mut body = self.body.borrow_mut();
        let body = body.as_mut()?;
        if std::mem::replace(&mut body.is_over, true) {
            return None;
        }
        let trailers = body.decoder.take_trailers();
        (!trailers.is_empty()).then_some(Ok(Frame::Trailers(trailers)))
    }

    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        let refused = self.body.borrow().as_ref().and_then(|body| body.policy.refuse_length(body.length));
        if let Some(error) = refused {
            return Poll::Ready(Some(Err(error)));
        }
        loop {
            if let Some(piece) = self.decode_piece() {
                return Poll::Ready(Some(piece.map(Frame::Data)));
            }
            let is_over = self.body.borrow().as_ref().is_none_or(|body| body.is_over);
            if is_over || !self.body_is_open() {
                return Poll::Ready(self.end_of_body());
            }
            if self.ask_for_body() {
                self.push_soon();
            }
            match self.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(buffer))) => {
                    self.end_wait(buffer.len())?;
                    self.with_gate(Gate::content_came);
                    *self.input.borrow_mut() = Some(buffer);
                }
                Poll::Ready(Ok(None)) => {
                    if !self.end_of_input() {
                        return Poll::Ready(Some(Err(BodyError::Disconnected)));
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    // The deadline may belong to an earlier wait: then this wait begins only now.
                    self.end_of_wait()?;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Some(Err(BodyError::Disconnected))),
                Poll::Pending => {
                    if !self.is_waiting() {
                        self.begin_wait()?;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// The client closed its direction: whether the body may end there.
    fn end_of_input(&self) -> bool {
        self.body.borrow_mut().as_mut().is_some_and(|body| body.decoder.end_of_input().is_ok())
    }
}

impl ClosableWire for H1Wire {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn take_last_output(&self) -> Vec<u8> {
        self.output.take()
    }

    fn into_stream(self) -> Stream {
        self.stream
    }
}

impl Downstream for H1Wire {
    fn poll_frame(&self, exchange: ExchangeId, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        if exchange != self.exchange() {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        }
        if self.body_failed.get() {
            return Poll::Ready(Some(Err(BodyError::Disconnected)));
        }
        let frame = ready!(self.poll_body(cx));
        if matches!(frame, Some(Err(_))) {
            self.body_failed.set(true);
        }
        Poll::Ready(frame)
    }

    fn set_body_policy(&self, exchange: ExchangeId, policy: BodyPolicy) {
        if exchange != self.exchange() {
            return;
        }
        if let Some(body) = self.body.borrow_mut().as_deref_mut() {
            body.decoder.set_bytes_max(policy.bytes_max);
            body.policy = policy;
        }
    }

    fn body_policy(&self, exchange: ExchangeId) -> BodyPolicy {
        let body = self.body.borrow();
        let known = body.as_ref().filter(|_| exchange == self.exchange()).map(|body| body.policy);
        known.unwrap_or_else(|| self.limits.body_policy())
    }

    fn set_half_close(&self, exchange: ExchangeId, half_close: HalfClose) {
        if exchange == self.exchange() {
            self.with_gate(|gate| gate.set_half_close(half_close));
        }
    }

    fn inform(&self, exchange: ExchangeId, status: Status, lines: &[u8]) -> Result<(), InformError> {
        if exchange != self.exchange() {
            return Err(InformError::TooLate);
        }
        let waiting = self.output_len();
        self.with_gate(|gate| gate.inform(status, lines, waiting))?;
        self.write_interim(status, lines);
        self.push_soon();
        Ok(())
    }

    fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.stream.tls()
    }

    fn peer(&self) -> Peer {
        **self.peer.get_or_init(|| Box::new(peer_of(self.stream.socket())))
    }
}
