//! One exchange on an HTTP/1.1 connection to an endpoint. The request's body is sent by the same task that
//! waits for the response, so that neither side can wait for the other: the endpoint may answer before it has
//! read everything, and both directions may flow at once.
//!
//! ```text
//! begin ─► poll_head ─► Interim … ─► Final ─► poll_frame … ─► end ─► the link again, if it can be kept
//!             │                        └─ Tunnel ─► into_tunnel
//!             └─ sends head and body meanwhile
//! ```
//!
//! Knows no pool and no policy of retries. Timeouts are the socket's deadline: a store for each wait.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::{ExchangeError, ExchangeFailure};
use super::options::{PoolOptions, UpstreamOptions, UpstreamTimeouts};
use super::outgoing::Outgoing;
use super::progress::{Awaited, Sending};
use super::state::{EndpointState, Health};
use crate::http::h1::{
    BodyCoding, BodyDecoder, CHUNK_END, OutgoingRequest, RequestFacts, ResponseDecoder, ResponseProgress,
    write_chunk_header, write_last_chunk, write_request_head,
};
use crate::http::message::{BodyLimits, Framing, FramingError, ResponseError, ResponseHead};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::net::Stream;
use crate::ring::{Payload, RecvBuf, Ring, later};
use crate::service::{BodyError, BodyPiece, Frame};

/// Pieces of a body up to this size are copied behind what is sent before them.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// Output above this size is sent before more of the body is read.
const GATHERED_BYTES_MAX: usize = 32 * 1024;

/// Bodies above this size are watched for acknowledgements before an endpoint is given up: smaller ones are
/// with its kernel at once.
const WATCHED_BYTES_MIN: u64 = 64 * 1024;

/// How much earlier than an endpoint announces with `Keep-Alive: timeout` its connection is given up.
const KEEP_ALIVE_MARGIN: Duration = Duration::from_millis(250);

/// Between two looks at the health of an endpoint whose response is waited for: short beside the time that
/// checks need to find it, long enough that most responses come before the first one.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A connection to an endpoint, with room for the state of its exchange: an exchange is a pointer, and costs
/// no memory of its own.
pub(crate) struct Link {
    stream: Stream,
    decoder: ResponseDecoder,
    /// Of the last exchange; its memory is used again.
    head: ResponseHead,
    made_at: Instant,
    idle_since: Instant,
    /// As the endpoint announced it.
    idle_time: Option<Duration>,
    exchanges: u32,

    // ---- the exchange in progress ----
    facts: RequestFacts,
    input: Option<RecvBuf>,
    output: Vec<u8>,
    /// A piece of the body that is sent behind the output, without a copy.
    piece: Bytes,
    coding: BodyCoding,
    /// Bytes of a known length that are still to be sent.
    owed: u64,
    sending: Sending,
    awaited: Awaited,
    /// Bytes that the endpoint's kernel had acknowledged when a wait for it began.
    acknowledged: Option<u64>,
    sent_before: u64,
    was_answered: bool,
    body: Option<BodyDecoder>,
    is_chunked: bool,
    is_event_stream: bool,
    /// Whether the response is waited for only while the endpoint is healthy, and until when.
    answer_due: Option<Instant>,

    /// Whose health that is; of the connection, so that an exchange counts no reference.
    health_of: Option<Arc<EndpointState>>,
    /// Counts it among the endpoint's connections until it is dropped, after the stream.
    _open: Box<dyn std::any::Any>,
}

impl Link {
    /// A connection that was just made.
    pub(crate) fn new(stream: Stream, open: impl std::any::Any) -> Box<Self> {
        let now = stream.ring().now();
        stream.set_deadline(None);
        Box::new(Self {
            stream,
            decoder: ResponseDecoder::new(),
            head: ResponseHead::new(),
            made_at: now,
            idle_since: now,
            idle_time: None,
            exchanges: 0,
            facts: RequestFacts { method: Method::Get, asks_upgrade: false },
            input: None,
            output: Vec::new(),
            piece: Bytes::new(),
            coding: BodyCoding::None,
            owed: 0,
            sending: Sending::Done,
            awaited: Awaited::Nothing,
            acknowledged: None,
            sent_before: 0,
            was_answered: false,
            body: None,
            is_chunked: false,
            is_event_stream: false,
            answer_due: None,
            health_of: None,
            _open: Box::new(open),
        })
    }

    /// Its ring.
    pub(crate) fn ring(&self) -> Ring {
        self.stream.ring()
    }

    /// Makes it one that is kept although it was not used: it may be closed before it is.
    pub(super) fn rest(&mut self) {
        self.exchanges = 1;
        self.stream.set_multishot(true);
        self.stream.socket().arm();
    }

    /// Whether another exchange may begin on it: it is open, silent, and neither idle for too long nor too
    /// old.
    pub(crate) fn is_usable(&self, options: &PoolOptions, now: Instant) -> bool {
        let idle = now.saturating_duration_since(self.idle_since);
        let idle_time = self.idle_time.map_or(options.idle_time, |own| own.min(options.idle_time));
        idle < idle_time
            && now.saturating_duration_since(self.made_at) < options.lifetime
            && !self.stream.is_broken()
            && !self.stream.socket().has_ended()
            && self.is_silent()
    }

    /// Whether the endpoint has sent nothing since the last response. With TLS tickets and new keys may come
    /// at any time, and are no response.
    fn is_silent(&self) -> bool {
        if self.stream.is_plain() {
            return !self.stream.has_input();
        }
        self.stream.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending()
    }
}

/// The start of a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeadEvent {
    /// An interim response; another head follows.
    Interim(Status),
    /// The final one.
    Final,
    /// The connection is a tunnel from here on.
    Tunnel,
}

/// An exchange in progress. Dropping it closes the connection.
pub(crate) struct Exchange {
    link: Box<Link>,
}

impl Exchange {
    /// Begins an exchange. With `expects_continue`, the body is held until the endpoint asks for it.
    ///
    /// # Errors
    /// The request cannot be written.
    pub(crate) fn begin(mut link: Box<Link>, request: &OutgoingRequest<'_>) -> Result<Self, ExchangeError> {
        let mut output = link.stream.ring().take_buffer();
        let written = match write_request_head(&mut output, request) {
            Ok(written) => written,
            Err(error) => {
                return Err(ExchangeError::unsent(ExchangeFailure::Request(error.to_string())));
            }
        };
        let sending = match written.body {
            BodyCoding::None => Sending::Done,
            _ if request.expects_continue => Sending::Held,
            _ => Sending::Flowing,
        };
        let owed = if let BodyCoding::Known(length) = written.body { length } else { 0 };
        let sent_before = link.stream.socket().sent();
        link.exchanges = link.exchanges.saturating_add(1);
        link.facts = written.facts;
        link.output = output;
        link.coding = written.body;
        link.owed = owed;
        link.sending = sending;
        link.awaited = Awaited::Nothing;
        link.sent_before = sent_before;
        link.was_answered = false;
        link.body = None;
        link.is_chunked = false;
        link.is_event_stream = false;
        link.answer_due = None;
        // The last exchange left nothing else behind, or the connection had not been kept.
        debug_assert!(link.input.is_none() && link.piece.is_empty());
        Ok(Self { link })
    }

    /// Waits for the response only while the endpoint is not found unhealthy: the request can be sent to
    /// another one.
    pub(crate) fn give_up_when_unhealthy(&mut self, endpoint: &Arc<EndpointState>) {
        self.link.health_of.get_or_insert_with(|| endpoint.clone());
        self.link.answer_due = Some(self.link.idle_since);
    }

    /// The head of the response, once there is one.
    pub(crate) fn head(&self) -> &ResponseHead {
        &self.link.head
    }

    /// The ring.
    pub(crate) fn ring(&self) -> Ring {
        self.link.stream.ring()
    }

    /// Whether all of the request was passed on, or the endpoint does not take the rest.
    pub(crate) fn is_sent(&self) -> bool {
        self.link.output.is_empty()
            && self.link.piece.is_empty()
            && matches!(self.link.sending, Sending::Done | Sending::Refused)
    }

    fn failed(&self, failure: ExchangeFailure) -> ExchangeError {
        let was_written =
            self.link.stream.socket().sent() > self.link.sent_before || self.link.stream.is_sending();
        ExchangeError {
            failure,
            was_written,
            was_answered: self.link.was_answered,
            was_reused: self.link.exchanges > 1,
        }
    }

    // ---- the request ----

    /// Sends what there is of the request, as fast as the endpoint takes it.
    ///
    /// # Errors
    /// The client's body failed.
    fn send(&mut self, body: &mut Outgoing, cx: &mut Context<'_>) -> Result<(), BodyError> {
        loop {
            while self.link.sending == Sending::Flowing
                && self.link.piece.is_empty()
                && self.link.output.len() < GATHERED_BYTES_MAX
            {
                match body.poll_frame(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(Ok(Frame::Data(data)))) => self.add(data)?,
                    Poll::Ready(Some(Ok(Frame::Trailers(trailers)))) => self.end_body(trailers.lines())?,
                    Poll::Ready(Some(Err(error))) => return Err(error),
                    Poll::Ready(None) => self.end_body(b"")?,
                }
            }
            if self.link.output.is_empty() && self.link.piece.is_empty() {
                return Ok(());
            }
            if self.link.stream.is_sending() {
                match self.link.stream.poll_flush(cx) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(Ok(())) => {}
                    // The wait for the response reports it.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => return Ok(()),
                    Poll::Ready(Err(_)) => {
                        self.refuse();
                        return Ok(());
                    }
                }
            } else if self.link.stream.is_broken() {
                self.refuse();
                return Ok(());
            }
            self.link.awaited = Awaited::Nothing;
            let output = std::mem::take(&mut self.link.output);
            let payload = match std::mem::take(&mut self.link.piece) {
                piece if piece.is_empty() => Payload::Buffer(output),
                piece if output.is_empty() => Payload::Shared(piece),
                piece => Payload::Gather(output, piece),
            };
            if matches!(payload, Payload::Gather(..) | Payload::Shared(_))
                && self.link.coding == BodyCoding::Chunked
            {
                self.room().extend_from_slice(CHUNK_END);
            }
            self.link.stream.start_send(payload);
            if self.is_sent() {
                return Ok(());
            }
        }
    }

    /// The output, with memory.
    fn room(&mut self) -> &mut Vec<u8> {
        if self.link.output.capacity() == 0 {
            self.link.output = self.link.stream.ring().take_buffer();
        }
        &mut self.link.output
    }

    fn add(&mut self, data: Bytes) -> Result<(), BodyError> {
        let Some(length) = NonZeroU64::new(data.len() as u64) else { return Ok(()) };
        let is_chunked = self.link.coding == BodyCoding::Chunked;
        if is_chunked {
            write_chunk_header(self.room(), length);
        } else {
            // More than was announced would be the next request.
            let left = self.link.owed.checked_sub(length.get());
            self.link.owed = left.ok_or(BodyError::Framing(FramingError::TooLarge))?;
        }
        if data.len() > COPIED_BYTES_MAX {
            // The end of the chunk follows when the piece is sent.
            self.link.piece = data;
        } else {
            self.room().extend_from_slice(&data);
            if is_chunked {
                self.room().extend_from_slice(CHUNK_END);
            }
        }
        if !is_chunked && self.link.owed == 0 {
            self.link.sending = Sending::Done;
        }
        Ok(())
    }

    fn end_body(&mut self, trailers: &[u8]) -> Result<(), BodyError> {
        if self.link.coding == BodyCoding::Chunked {
            write_last_chunk(self.room(), trailers);
        } else if self.link.owed > 0 {
            return Err(BodyError::Disconnected);
        }
        self.link.sending = Sending::Done;
        Ok(())
    }

    fn refuse(&mut self) {
        self.link.sending = Sending::Refused;
        self.link.output = Vec::new();
        self.link.piece = Bytes::new();
    }

    /// The endpoint wants the body, or there is no use in waiting for it to say so.
    fn release(&mut self) {
        if self.link.sending == Sending::Held {
            self.link.sending = Sending::Flowing;
            self.link.awaited = Awaited::Nothing;
        }
    }

    // ---- waiting ----

    /// Begins the wait that is due, unless it has begun.
    fn begin_wait(&mut self, timeouts: &UpstreamTimeouts, reads_body: bool) {
        let stream = &self.link.stream;
        let awaited = match self.link.sending {
            Sending::Held if !reads_body => Awaited::Asking,
            Sending::Flowing | Sending::Held if stream.is_sending() => Awaited::Taking,
            // Its answer is already there.
            _ if reads_body => Awaited::Body,
            Sending::Flowing | Sending::Held => Awaited::Client,
            Sending::Done | Sending::Refused => Awaited::Answer,
        };
        if self.link.awaited == awaited {
            return;
        }
        self.link.awaited = awaited;
        let is_large = match self.link.coding {
            BodyCoding::None => false,
            BodyCoding::Known(length) => length > WATCHED_BYTES_MIN,
            BodyCoding::Chunked | BodyCoding::UntilClose => true,
        };
        let watches = is_large && matches!(awaited, Awaited::Taking | Awaited::Answer);
        self.link.acknowledged = watches.then(|| stream.acknowledged());
        stream.set_deadline(match awaited {
            Awaited::Nothing | Awaited::Client => None,
            Awaited::Asking => Some(timeouts.expect),
            Awaited::Taking => Some(timeouts.idle),
            Awaited::Answer => match &mut self.link.answer_due {
                None => Some(timeouts.first_byte),
                Some(due) => {
                    *due = later(self.link.stream.ring().now(), timeouts.first_byte);
                    Some(timeouts.first_byte.min(LOOK_EVERY))
                }
            },
            Awaited::Body if self.link.is_event_stream => Some(timeouts.tunnel_idle),
            Awaited::Body => Some(timeouts.idle),
        });
    }

    /// The deadline has passed.
    ///
    /// # Errors
    /// What was waited for is late.
    fn end_wait(&mut self) -> Result<(), ExchangeFailure> {
        let awaited = std::mem::replace(&mut self.link.awaited, Awaited::Nothing);
        self.link.stream.set_deadline(None);
        match awaited {
            // Of a wait before this one.
            Awaited::Nothing | Awaited::Client => Ok(()),
            Awaited::Asking => {
                self.link.sending = Sending::Flowing;
                Ok(())
            }
            // The kernel may hold much of the request, of which the endpoint takes a little now and then.
            Awaited::Taking | Awaited::Answer
                if self.link.acknowledged.is_some_and(|before| self.link.stream.acknowledged() > before) =>
            {
                Ok(())
            }
            Awaited::Answer => self.end_wait_for_answer(),
            Awaited::Taking | Awaited::Body => Err(ExchangeFailure::IdleTimeout),
        }
    }

    /// # Errors
    /// The response is late, or its endpoint was found unhealthy.
    fn end_wait_for_answer(&mut self) -> Result<(), ExchangeFailure> {
        let Some(due) = self.link.answer_due else { return Err(ExchangeFailure::FirstByteTimeout) };
        if self.link.health_of.as_ref().is_some_and(|endpoint| endpoint.health() == Health::Down) {
            return Err(ExchangeFailure::Unhealthy);
        }
        let left = due.saturating_duration_since(self.ring().now());
        if left.is_zero() {
            return Err(ExchangeFailure::FirstByteTimeout);
        }
        self.link.stream.set_deadline(Some(left.min(LOOK_EVERY)));
        self.link.awaited = Awaited::Answer;
        Ok(())
    }

    // ---- the response ----

    /// The next head of the response. The request's body is sent meanwhile.
    ///
    /// # Errors
    /// The exchange has failed; the connection is of no use.
    pub(crate) fn poll_head(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<HeadEvent, ExchangeError>> {
        loop {
            if !self.is_sent()
                && let Err(error) = self.send(body, cx)
            {
                return Poll::Ready(Err(self.failed(ExchangeFailure::Client(error))));
            }
            match self.decode_head(options) {
                Ok(None) => {}
                Ok(Some(event)) => return Poll::Ready(Ok(event)),
                Err(error) => return Poll::Ready(Err(self.failed(ExchangeFailure::Head(error)))),
            }
            match self.link.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(input))) => {
                    self.link.was_answered = true;
                    // A head that has begun has this time for its rest: one that drips is no progress.
                    if !self.link.decoder.has_part() {
                        self.link.awaited = Awaited::Nothing;
                    }
                    self.link.input = Some(input);
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(self.end_of_head())),
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if let Err(failure) = self.end_wait() {
                        return Poll::Ready(Err(self.failed(failure)));
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.failed(ExchangeFailure::Lost(error))));
                }
                Poll::Pending => {
                    self.begin_wait(&options.timeouts, false);
                    return Poll::Pending;
                }
            }
        }
    }

    /// The connection ended before a head was complete.
    fn end_of_head(&self) -> ExchangeError {
        self.failed(match self.link.decoder.end_of_input() {
            ResponseError::ClosedBeforeResponse => ExchangeFailure::Closed,
            error => ExchangeFailure::Head(error),
        })
    }

    fn decode_head(&mut self, options: &UpstreamOptions) -> Result<Option<HeadEvent>, ResponseError> {
        let Link { decoder, head, input: held, facts, .. } = &mut *self.link;
        let Some(input) = held else { return Ok(None) };
        let progress = decoder.handle_bytes(input, &options.response_limits, facts, head)?;
        let (consumed, event) = match progress {
            ResponseProgress::Incomplete => (input.len(), None),
            ResponseProgress::Interim { consumed } => (consumed, Some(HeadEvent::Interim(head.status()))),
            ResponseProgress::Complete { consumed, .. } => (consumed, Some(HeadEvent::Final)),
            ResponseProgress::Tunnel { consumed } => (consumed, Some(HeadEvent::Tunnel)),
        };
        if consumed < input.len() {
            input.advance(consumed);
        } else {
            *held = None;
        }
        if event == Some(HeadEvent::Interim(Status::CONTINUE)) {
            self.release();
        }
        Ok(event)
    }

    /// Begins the body of the final response.
    ///
    /// # Errors
    /// It is longer than allowed.
    pub(crate) fn begin_body(&mut self, options: &UpstreamOptions) -> Result<(), ExchangeError> {
        // An endpoint that answers without asking for the content does not want it.
        if self.link.sending == Sending::Held {
            self.refuse();
        }
        let framing = self.link.head.framing();
        let limits = BodyLimits { body_bytes_max: options.response_bytes_max, ..BodyLimits::DEFAULT };
        let decoder = BodyDecoder::new(framing, &limits);
        self.link.body = Some(decoder.map_err(|error| self.failed(ExchangeFailure::Body(error)))?);
        self.link.is_chunked = framing == Framing::Chunked;
        if !framing.is_empty() {
            let kind = self.link.head.field("content-type").unwrap_or_default();
            self.link.is_event_stream =
                kind.get(..17).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"));
        }
        Ok(())
    }

    /// Whether the response was received to its end, its trailers included.
    pub(crate) fn is_received(&self) -> bool {
        self.link.body.as_ref().is_some_and(BodyDecoder::is_done)
    }

    /// Whether the content in hand may be all of it.
    pub(crate) fn may_be_whole(&self) -> bool {
        let in_hand = self.link.input.as_ref().map_or(0, |input| input.len() as u64);
        match self.link.head.framing() {
            Framing::None | Framing::Chunked => true,
            Framing::Length(length) => length <= in_hand,
            Framing::UntilClose | Framing::Tunnel => false,
        }
    }

    /// Whether the response has trailers that were not returned.
    pub(crate) fn has_trailers(&self) -> bool {
        self.link.body.as_ref().is_some_and(|body| body.is_done() && body.trailers().len() > 0)
    }

    /// The content in hand, in one piece; empty if there is none.
    ///
    /// # Errors
    /// It is malformed.
    pub(crate) fn take_data(&mut self) -> Result<Bytes, FramingError> {
        let Link { input: held, body, .. } = &mut *self.link;
        let (Some(input), Some(decoder)) = (&mut *held, body) else { return Ok(Bytes::new()) };
        let mut data = Bytes::new();
        let mut joined = Vec::new();
        let mut at = 0;
        while at < input.len() && !decoder.is_done() {
            let step = match decoder.handle_bytes(&input[at..]) {
                Ok(step) => step,
                // What came before it is returned first.
                Err(_) if !data.is_empty() || !joined.is_empty() => break,
                Err(error) => return Err(error),
            };
            let piece = &input[at + step.data.start..at + step.data.end];
            at += step.consumed;
            if piece.is_empty() {
                continue;
            }
            if data.is_empty() && joined.is_empty() && (at == input.len() || decoder.is_done()) {
                data = Bytes::copy_from_slice(piece);
                continue;
            }
            if joined.is_empty() {
                joined.reserve(input.len() - at + piece.len());
                joined.extend_from_slice(&data);
            }
            joined.extend_from_slice(piece);
        }
        if at < input.len() {
            input.advance(at);
        } else {
            *held = None;
        }
        Ok(if joined.is_empty() { data } else { joined.into() })
    }

    /// The content in hand, in its buffer, if that holds nothing else.
    fn take_received(&mut self) -> Option<RecvBuf> {
        if self.link.is_chunked {
            return None;
        }
        let input = self.link.input.take()?;
        let decoder = self.link.body.as_mut()?;
        let fits = decoder.remaining().is_none_or(|left| left >= input.len() as u64);
        // Of a body without framing every byte is content; only a limit could refuse some.
        if fits && decoder.handle_bytes(&input).is_ok_and(|step| step.data == (0..input.len())) {
            return Some(input);
        }
        self.link.input = Some(input);
        None
    }

    /// As [`poll_frame`](Self::poll_frame), with content in its buffer where that holds nothing else.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn poll_piece(
        &mut self,
        body: &mut Outgoing,
        options: &UpstreamOptions,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyPiece, ExchangeError>>> {
        if self.link.input.is_none() && !self.is_received() && self.is_sent() && !self.link.is_chunked {
            match self.link.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(input))) => {
                    self.link.awaited = Awaited::Nothing;
                    self.link.input = Some(input);
                }
                Poll::Pending if self.link.awaited == Awaited::Body => return Poll::Pending,
                // The rest is the same for both.
                _ => {}
            }
        }
        if let Some(received) = self.take_received() {
            return Poll::Ready(Some(Ok(BodyPiece::Received(received))));
        }
        self.poll_frame(body, options, cx).map(|frame| frame.map(|frame| frame.map(BodyPiece::Frame)))
    }

    /// The next frame of the body; `None` at its end. The rest of the request is sent meanwhile.
    ///
    /// # Errors
    /// The exchange has failed; the connection is of no use.
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
            match self.take_data() {
                Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.failed(ExchangeFailure::Body(error))))),
            }
            if self.is_received() {
                let trailers = self.link.body.as_mut().map(BodyDecoder::take_trailers).unwrap_or_default();
                return Poll::Ready((!trailers.is_empty()).then_some(Ok(Frame::Trailers(trailers))));
            }
            match self.link.stream.poll_recv(cx) {
                Poll::Ready(Ok(Some(input))) => {
                    self.link.awaited = Awaited::Nothing;
                    self.link.input = Some(input);
                }
                Poll::Ready(Ok(None)) => {
                    let ended = self.link.body.as_mut().map_or(Ok(()), BodyDecoder::end_of_input);
                    if let Err(error) = ended {
                        return Poll::Ready(Some(Err(self.failed(ExchangeFailure::Body(error)))));
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    if let Err(failure) = self.end_wait() {
                        return Poll::Ready(Some(Err(self.failed(failure))));
                    }
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Some(Err(self.failed(ExchangeFailure::Lost(error)))));
                }
                Poll::Pending => {
                    self.begin_wait(&options.timeouts, true);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sends more of the request, while the client receives nothing of the response.
    ///
    /// # Errors
    /// The client's body failed.
    pub(crate) fn work(&mut self, body: &mut Outgoing, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        if self.is_sent() {
            return Ok(());
        }
        self.send(body, cx).map_err(|error| self.failed(ExchangeFailure::Client(error)))
    }

    /// Waits, after the end of the response, for the rest of the request to be sent. Ready when the endpoint
    /// took it all or refuses it.
    ///
    /// # Errors
    /// The client's body failed, or the endpoint takes nothing for too long.
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
            // The end of the connection is the end of the upload as well.
            match self.link.stream.poll_recv(cx) {
                Poll::Ready(Ok(input)) => {
                    self.link.input = input;
                    self.refuse();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                    self.end_wait().map_err(|failure| self.failed(failure))?;
                }
                Poll::Ready(Err(_)) => {
                    self.refuse();
                    return Poll::Ready(Ok(()));
                }
                Poll::Pending => {
                    self.begin_wait(&options.timeouts, false);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ends the exchange: the connection, if another exchange may begin on it.
    pub(crate) fn end(self) -> Option<Box<Link>> {
        let mut link = self.link;
        let is_whole = link.body.take().is_none_or(|body| body.is_done())
            && link.input.is_none()
            && link.sending == Sending::Done
            && link.output.is_empty()
            && link.piece.is_empty();
        if !is_whole || !link.head.keep_alive() || !link.is_silent() || link.stream.is_broken() {
            return None;
        }
        link.idle_since = link.stream.ring().now();
        link.idle_time = keep_alive_timeout(&link.head).or(link.idle_time);
        if link.exchanges == 1 {
            // It is kept, so multishot receives pay off from here on.
            link.stream.set_multishot(true);
        }
        link.stream.socket().arm();
        Some(link)
    }

    /// The connection as a tunnel, and what was received of it. What only exchanges need is dropped, because
    /// tunnels live long.
    pub(crate) fn into_tunnel(self) -> H1Tunnel {
        let Link { stream, input, _open, .. } = *self.link;
        stream.set_multishot(true);
        H1Tunnel { stream, input, _open }
    }
}

/// A connection whose protocol was switched.
pub(crate) struct H1Tunnel {
    stream: Stream,
    /// What was received behind the head.
    input: Option<RecvBuf>,
    _open: Box<dyn std::any::Any>,
}

impl H1Tunnel {
    pub(super) fn set_idle(&mut self, idle: Duration) {
        self.stream.set_deadline(Some(idle));
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    pub(super) fn start_send(&mut self, bytes: Bytes) {
        self.stream.start_send(Payload::Shared(bytes));
    }

    pub(super) fn shut(&mut self) {
        self.stream.socket().shutdown_write();
    }

    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        if let Some(early) = self.input.take() {
            return Poll::Ready(Ok(Some(Bytes::copy_from_slice(&early))));
        }
        let received = self.stream.poll_recv(cx);
        received.map(|received| received.map(|bytes| bytes.map(|bytes| Bytes::copy_from_slice(&bytes))))
    }
}

/// How long the endpoint keeps the connection, less a margin: `Keep-Alive: timeout=5, max=100`.
fn keep_alive_timeout(head: &ResponseHead) -> Option<Duration> {
    let value = head.field("keep-alive")?;
    let parameters = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let mut timeout = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_at_checked(8)?;
        let digits = std::str::from_utf8(value).ok()?.trim();
        name.eq_ignore_ascii_case(b"timeout=").then(|| digits.parse().ok())?
    });
    let seconds: u32 = timeout.next_back()?;
    Some(Duration::from_secs(seconds.into()).saturating_sub(KEEP_ALIVE_MARGIN))
}
