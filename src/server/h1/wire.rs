//! One connection's input, output and current request body; the loop, the request's body and the response
//! share it. Knows how long to wait for a client, and nothing of what is said.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::no_body;
use crate::http::h1::{BodyDecoder, CONTINUE, HeadProgress, RequestDecoder};

use crate::http::message::{Framing, RequestHead};
use crate::http::message::{RequestError, push_field};
use crate::net::Stream;
use crate::net::tls::TlsInfo;
use crate::ring::{Payload, RecvBuf};
use crate::server::access;
use crate::server::limits::Limits;
use crate::service::{BodyError, Downstream, Peer, RequestBody};

pub(super) struct Wire {
    stream: Stream,
    limits: Rc<Limits>,
    /// Received and not yet consumed; never empty.
    input: RefCell<Option<RecvBuf>>,
    /// Written and not yet sent. Without capacity while there is nothing.
    output: RefCell<Vec<u8>>,
    /// The current request's body, if it has one; boxed, for an idle connection has none.
    body: RefCell<Option<Box<IncomingBody>>>,
    /// Number of the current exchange; a body of an earlier one reads nothing.
    exchange: Cell<u32>,
    /// The client waits for `100 Continue` before it sends the body.
    expects_continue: Cell<bool>,
    /// The body could not be read: where the next request begins is unknown.
    body_failed: Cell<bool>,
    /// Since when the connection has been idle.
    idle_since: Cell<Instant>,
    idle: Cell<bool>,
    /// A send is being watched for progress, and what the peer had acknowledged at the last look.
    watching_send: Cell<bool>,
    acknowledged: Cell<u64>,
    /// Looked up when somebody asks; boxed, for most connections are never asked about.
    peer: OnceCell<Box<Peer>>,
}

struct IncomingBody {
    decoder: BodyDecoder,
    /// Waiting for the body: since when, how long in this window, how much came in it.
    pull: Pull,
}

#[derive(Clone, Copy, Default)]
struct Pull {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Wire {
    pub(super) fn new(stream: Stream, limits: Rc<Limits>) -> Self {
        stream.set_deadline(Some(limits.head_timeout));
        let now = stream.ring().now();
        Self {
            stream,
            limits,
            input: RefCell::new(None),
            output: RefCell::new(Vec::new()),
            body: RefCell::new(None),
            exchange: Cell::new(0),
            expects_continue: Cell::new(false),
            body_failed: Cell::new(false),
            idle_since: Cell::new(now),
            idle: Cell::new(false),
            watching_send: Cell::new(false),
            acknowledged: Cell::new(0),
            peer: OnceCell::new(),
        }
    }

    /// Whether no request has come to its end, and the client may speak what it likes: with TLS it has said
    /// what that is.
    pub(super) fn is_new(&self) -> bool {
        self.exchange.get() == 0 && self.stream.is_plain()
    }

    /// Gives away the stream, and what was received on it and not consumed.
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

    /// Whether the client sent something that nobody read.
    pub(super) fn has_unread(&self) -> bool {
        self.has_input_in_hand() || self.stream.has_input() || self.body_is_open() || self.body_failed.get()
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

    /// From here the whole head must arrive within its time.
    pub(super) fn expect_head(&self) {
        self.stream.set_deadline(Some(self.limits.head_timeout));
    }

    /// Waits for input: true when there is some, false at the end of the stream. Between requests (`idle`) a
    /// response that is still leaving is not idleness, as long as it moves.
    pub(super) fn poll_input(&self, idle: bool, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            match ready!(self.stream.poll_recv(cx)) {
                Ok(Some(buffer)) => {
                    self.idle.set(false);
                    *self.input.borrow_mut() = Some(buffer);
                    return Poll::Ready(Ok(true));
                }
                Ok(None) => return Poll::Ready(Ok(false)),
                // TLS without its close_notify. Between messages nothing can have been cut off but a request,
                // and a head that is not whole is no request.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(false)),
                Err(error) if error.kind() == io::ErrorKind::TimedOut && idle && self.idle.get() => {
                    self.check_idle()?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Between requests the deadline is a stall's, so that a response that does not leave is found in time.
    fn begin_idle(&self) {
        self.idle.set(true);
        self.idle_since.set(self.stream.ring().now());
        self.stream.set_deadline(Some(self.limits.stall_timeout.min(self.limits.idle_timeout)));
    }

    fn check_idle(&self) -> io::Result<()> {
        if self.stream.is_sending() {
            self.check_progress()?;
            self.idle_since.set(self.stream.ring().now());
            return Ok(());
        }
        let idle = self.stream.ring().now().saturating_duration_since(self.idle_since.get());
        // A tick of slack: the wheel is coarse.
        let left = self.limits.idle_timeout.saturating_sub(idle);
        if left < Duration::from_millis(20) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_deadline(Some(left.min(self.limits.stall_timeout)));
        Ok(())
    }

    /// Copies held input to the heap: a handler that waits must not keep receive buffers from others.
    pub(super) fn detach_input(&self) {
        if let Some(buffer) = self.input.borrow_mut().as_mut() {
            buffer.detach();
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.stream.is_broken()
    }

    pub(super) fn watch(&self, cx: &mut Context<'_>) {
        self.stream.watch(cx);
    }

    // ---- exchanges ----

    /// The body of a request whose head was just read.
    pub(super) fn begin_body(self: &Rc<Self>, head: &RequestHead) -> Result<RequestBody, BodyError> {
        let framing = head.framing();
        if framing.is_empty() {
            return Ok(no_body());
        }
        let decoder = BodyDecoder::new(framing, &self.limits.body).map_err(|error| {
            self.body_failed.set(true);
            BodyError::Framing(error)
        })?;
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::Tunnel => None,
        };
        let in_hand = self.input.borrow().as_ref().map_or(0, |buffer| buffer.len() as u64);
        if length.is_none_or(|length| length > in_hand) {
            // The rest is pulled piece by piece: TCP holds back what nobody asked for.
            self.stream.set_multishot(false);
        }
        *self.body.borrow_mut() = Some(Box::new(IncomingBody { decoder, pull: Pull::default() }));
        self.expects_continue.set(head.expects_continue());
        Ok(RequestBody::new(self.clone(), self.exchange.get(), length))
    }

    /// Whether the current request's body has not been read to its end.
    pub(super) fn body_is_open(&self) -> bool {
        self.body.borrow().as_ref().is_some_and(|body| !body.decoder.is_done())
    }

    /// Tells a client that waits for it to send the body. The answer leaves with what comes next.
    pub(super) fn ask_for_body(&self) {
        if self.body_is_open() && self.expects_continue.replace(false) {
            self.write(|output| output.extend_from_slice(CONTINUE));
        }
    }

    /// Whether the connection can carry another request after this one: not when the body failed, or when
    /// the client waits for a `100 Continue` that it will not get.
    pub(super) fn can_continue(&self) -> bool {
        !self.body_failed.get() && (!self.expects_continue.get() || !self.body_is_open())
    }

    /// Reads over what is left of a body, within limits; an error means that it is not worth it.
    pub(super) async fn discard_body(&self) -> io::Result<()> {
        self.push_output().await?;
        let mut left = self.limits.discard_bytes_max;
        loop {
            match poll_fn(|cx| self.poll_piece(self.exchange.get(), cx)).await {
                None => return Ok(()),
                Some(Ok(piece)) if piece.len() as u64 <= left => left -= piece.len() as u64,
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
            // Kept alive, so multishot receives pay from here on.
            self.stream.set_multishot(true);
        }
        self.exchange.set(self.exchange.get().wrapping_add(1));
        self.expects_continue.set(false);
        self.begin_idle();
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

    pub(super) fn take_output(&self) -> Vec<u8> {
        self.output.take()
    }

    /// Ready when no send is in progress. A send that takes long is watched: it must move.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.stream.poll_flush(cx) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if self.watching_send.replace(true) {
                        self.check_progress()?;
                    } else {
                        // The deadline of something else ran out; this wait begins only now.
                        self.stream.set_deadline(Some(self.limits.stall_timeout));
                    }
                }
                Poll::Ready(result) => {
                    self.watching_send.set(false);
                    return Poll::Ready(result);
                }
                Poll::Pending => {
                    if !self.watching_send.replace(true) {
                        self.stream.set_deadline(Some(self.limits.stall_timeout));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// At the end of a stall window: did the peer take enough since the last look?
    pub(super) fn check_progress(&self) -> io::Result<()> {
        let acknowledged = self.stream.acknowledged();
        let moved = acknowledged - self.acknowledged.replace(acknowledged).min(acknowledged);
        if moved < self.limits.rate_min * self.limits.stall_timeout.as_secs().max(1) {
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

    /// Starts sending the output as soon as the send before it is done.
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

    /// Sends what is left and closes.
    pub(super) async fn finish(&self) -> io::Result<()> {
        self.ready().await?;
        if self.output_len() > 0 || !self.stream.is_plain() {
            self.stream.start_last_send(Payload::Buffer(self.output.take()));
            self.ready().await?;
        }
        Ok(())
    }

    /// Ends the connection with a reset: what the peer did not take is dropped, here and in the kernel.
    pub(super) fn reset(self) {
        self.stream.abort();
    }

    /// Sends what is left, ends our direction, and reads over what the client sends for a while: a reset
    /// at once could take the response with it (RFC 9112 §9.6).
    pub(super) async fn linger(&self) -> io::Result<()> {
        self.push_output().await?;
        self.ready().await?;
        self.stream.close_write().await?;
        self.input.borrow_mut().take();
        self.stream.set_multishot(false);
        self.stream.set_deadline(Some(self.limits.linger_timeout));
        while let Ok(Some(_)) = self.stream.recv().await {}
        Ok(())
    }

    // ---- the request's body ----

    /// Notes the end of a wait for the body; an error when the client has been too slow for too long.
    fn end_pull(&self, bytes: usize) -> Result<(), BodyError> {
        let mut body = self.body.borrow_mut();
        let Some(IncomingBody { pull, .. }) = body.as_deref_mut() else { return Ok(()) };
        pull.bytes += bytes as u64;
        if let Some(since) = pull.since.take() {
            pull.waited += self.stream.ring().now().saturating_duration_since(since);
            if pull.waited >= self.limits.stall_timeout {
                let too_slow = pull.bytes < self.limits.rate_min * pull.waited.as_secs();
                *pull = Pull::default();
                return if too_slow { Err(BodyError::TimedOut) } else { Ok(()) };
            }
        }
        Ok(())
    }

    /// Whether a wait for the body has begun.
    fn is_pulling(&self) -> bool {
        self.body.borrow().as_ref().is_some_and(|body| body.pull.since.is_some())
    }

    /// The next piece of the body that lies in the input in hand.
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

    fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if let Some(piece) = self.decode_piece() {
                return Poll::Ready(Some(piece));
            }
            if !self.body_is_open() {
                return Poll::Ready(None);
            }
            self.ask_for_body();
            if let Poll::Ready(Err(_)) = self.poll_push(cx) {
                return Poll::Ready(Some(Err(BodyError::Disconnected)));
            }
            match self.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(buffer))) => {
                    self.end_pull(buffer.len())?;
                    *self.input.borrow_mut() = Some(buffer);
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Some(Err(BodyError::Disconnected))),
                Poll::Ready(Err(error)) => {
                    let timed_out = error.kind() == io::ErrorKind::TimedOut;
                    if timed_out && !self.is_pulling() {
                        // A deadline of something else: this wait begins only now.
                        self.begin_pull();
                        continue;
                    }
                    let error = if timed_out { BodyError::TimedOut } else { BodyError::Disconnected };
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending => {
                    if !self.is_pulling() {
                        self.begin_pull();
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn begin_pull(&self) {
        if let Some(body) = self.body.borrow_mut().as_deref_mut() {
            body.pull.since = Some(self.stream.ring().now());
        }
        self.stream.set_deadline(Some(self.limits.stall_timeout));
    }
}

impl Downstream for Wire {
    fn poll_piece(&self, exchange: u32, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if exchange != self.exchange.get() {
            return Poll::Ready(Some(Err(BodyError::ExchangeOver)));
        }
        if self.body_failed.get() {
            return Poll::Ready(Some(Err(BodyError::Disconnected)));
        }
        let piece = ready!(self.poll_body(cx));
        if matches!(piece, Some(Err(_))) {
            self.body_failed.set(true);
        }
        Poll::Ready(piece)
    }

    fn trailers(&self, exchange: u32) -> Vec<u8> {
        let mut lines = Vec::new();
        let body = self.body.borrow();
        let decoder = body.as_ref().map(|body| &body.decoder);
        if let Some(decoder) = decoder.filter(|body| exchange == self.exchange.get() && body.is_done()) {
            for (name, value) in decoder.trailers() {
                // What came in as a field can go out as one.
                let _ = push_field(&mut lines, name, value);
            }
        }
        lines
    }

    fn tls(&self) -> Option<Rc<TlsInfo>> {
        self.stream.tls()
    }

    fn peer(&self) -> Peer {
        **self.peer.get_or_init(|| Box::new(access::peer_of(self.stream.socket())))
    }
}
