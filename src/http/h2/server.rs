//! The server's role on a connection (RFC 9113): receives requests, sends responses. The part common to both
//! roles is in `connection`, `receive` and `send`.

use std::ops::Range;
use std::time::Duration;

use super::connection::{
    self, CommonEvent, GOAWAY_PING, GoawayState, Handled, ReceivedBlock, Role, StreamKey,
};
use super::error::{ConnectionError, ErrorCode, StreamError};
use super::flow::SendWindow;
use super::frame::{self, HEADER_BYTES, MAX_31_BITS};
use super::hpack::{Field, ListEnd};
use super::limits::H2Limits;
use super::priority::Priority;
use super::request::{HeadError, HeadParser, HeadScratch, ParsedRequest};
use super::send::EndStream;
use super::settings::id;
use super::stream::{ExpectedContent, H2Stream, RecvHalf, SendHalf, StreamState};
use crate::http::message::{
    BodyLimits, Framing, FramingError, HeadLimits, RequestError, RequestHead, Trailers,
};
use crate::http::status::Status;

/// A server's end of a connection.
pub type Connection = connection::Connection<ServerRole>;

/// Consumed bytes and the first event.
pub type Consumed = connection::Consumed<Event>;

/// The role of a server, with the state that a client does not have.
#[derive(Debug, Default)]
pub struct ServerRole {
    scratch: HeadScratch,
}

/// What was received.
#[derive(Debug)]
pub enum Event {
    /// A request head, which was written to `head`. `ends`: it has no body.
    Head {
        /// Its stream.
        stream: StreamKey,
        /// Whether the client has ended the stream.
        ends: bool,
    },
    /// A request that must be answered with the status of this error.
    Refused {
        /// Its stream.
        stream: StreamKey,
        /// Why.
        error: RequestError,
    },
    /// Data of a request body; its bytes must be returned with `consume`.
    Data {
        /// Its stream.
        stream: StreamKey,
        /// Where it lies within the input; may be empty.
        data: Range<usize>,
        /// Whether the body ends with it.
        ends: bool,
    },
    /// A request's body has ended with trailers.
    Trailers {
        /// Its stream.
        stream: StreamKey,
        /// The fields, or why they are refused.
        trailers: Result<Trailers, FramingError>,
    },
    /// A stream is closed. The reader of its body and its response should be dropped.
    Reset {
        /// Which one it was.
        stream: StreamKey,
        /// The client's error, which was answered with RST_STREAM; `None` when the client reset it.
        error: Option<StreamError>,
    },
    /// A malformed or refused request, whose stream was reset.
    Malformed(StreamError),
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct SendHead<'a> {
    /// The status; an interim one is followed by another head.
    pub status: Status,
    /// The value of `date`, or nothing.
    pub date: &'a [u8],
    /// Field lines as HTTP/1 has them. Names may have any case; connection-specific fields are left out.
    pub lines: &'a [u8],
    /// `content-length`.
    pub length: Option<u64>,
}

impl Role for ServerRole {
    type Head = RequestHead;
    type Event = Event;
    const IS_CLIENT: bool = false;

    #[inline]
    fn event(shared: CommonEvent) -> Option<Event> {
        Some(match shared {
            CommonEvent::Data { stream, data, ends } => Event::Data { stream, data, ends },
            CommonEvent::Trailers { stream, trailers } => Event::Trailers { stream, trailers },
            CommonEvent::Reset { stream, .. } => Event::Reset { stream, error: None },
            CommonEvent::Failed { stream, error } => Event::Reset { stream, error: Some(error) },
            CommonEvent::Refused(error) => Event::Malformed(error),
            // It concerns pushed streams, of which there are none.
            CommonEvent::Goaway { .. } => return None,
        })
    }

    #[inline]
    fn handle_new_stream(
        connection: &mut Connection,
        block: &ReceivedBlock<'_>,
        head: &mut RequestHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<ServerRole> {
        connection.handle_request(block, out, head, now)
    }

    /// Streams of a server never wait for a head: it is what opens them.
    fn handle_awaited_head(
        connection: &mut Connection,
        _: StreamKey,
        block: &ReceivedBlock<'_>,
        _: &mut RequestHead,
        _: Duration,
        _: &mut Vec<u8>,
    ) -> Handled<ServerRole> {
        connection.skip_block(block.bytes)
    }

    fn check_setting(_: u16, _: u32) -> Result<(), ConnectionError> {
        Ok(())
    }
}

impl Connection {
    /// A connection on which nothing was received. [`start`](Connection::start) it.
    pub fn new(limits: &H2Limits, heads: &HeadLimits, bodies: &BodyLimits) -> Connection {
        Connection::with_role(ServerRole::default(), limits, heads, bodies)
    }

    /// Appends the start of the connection: SETTINGS, and the connection's window.
    pub fn start(&self, out: &mut Vec<u8>) {
        let settings = [
            (id::MAX_CONCURRENT_STREAMS, self.limits.streams_max),
            (id::INITIAL_WINDOW_SIZE, self.limits.initial_window()),
            (id::MAX_HEADER_LIST_SIZE, u32::from(self.limits.list_bytes_max)),
            // The dependency tree of RFC 7540 is ignored.
            (id::NO_RFC7540_PRIORITIES, 1),
            (id::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let sent = settings.len() - usize::from(!self.limits.connect_protocol);
        self.write_start(&settings[..sent], out);
    }

    /// The priority of the stream's response.
    pub fn priority(&self, stream: StreamKey) -> Priority {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        outgoing.map_or(Priority::DEFAULT, |outgoing| outgoing.priority)
    }

    /// Whether the client changed a priority since the last call.
    pub fn take_reprioritized(&mut self) -> bool {
        std::mem::take(&mut self.reprioritized)
    }

    /// Marks the tunnel of this stream's CONNECT as open: its data is handed out after END_STREAM was sent
    /// too, because each side of a tunnel ends independently (RFC 9113 §8.5). No timeout applies to the
    /// stream from then on; the caller must `reset` it when it abandons the tunnel.
    pub fn open_tunnel(&mut self, stream: StreamKey) {
        if let Some(incoming) = self.get_mut(stream).and_then(H2Stream::incoming)
            && incoming.content == ExpectedContent::Tunnel
        {
            incoming.reads_on = true;
        }
    }

    /// Sends a first GOAWAY, which refuses no stream in transit: the final one follows when the client has
    /// acknowledged a PING, or with [`leave`](Connection::leave).
    pub fn announce_leave(&mut self, out: &mut Vec<u8>) {
        if self.goaway == GoawayState::NotSent {
            self.goaway = GoawayState::Announced;
            frame::write_goaway(out, MAX_31_BITS, ErrorCode::NO_ERROR, "");
            frame::write_ping(out, 0, &GOAWAY_PING);
        }
    }

    /// Resets streams whose response was sent and whose request is still incomplete, if in `timeout` fewer
    /// than `bytes_min` of it came.
    pub fn reset_lingering(&mut self, now: Duration, timeout: Duration, bytes_min: u64, out: &mut Vec<u8>) {
        let mut over = Vec::new();
        for (place, stream) in self.streams.iter_mut() {
            if stream.lingers_too_long(now, timeout, bytes_min) {
                over.push(StreamKey { place, id: stream.id });
            }
        }
        over.into_iter().for_each(|key| self.reset(key, ErrorCode::NO_ERROR, out));
    }

    fn handle_request(
        &mut self,
        block: &ReceivedBlock<'_>,
        out: &mut Vec<u8>,
        head: &mut RequestHead,
        now: Duration,
    ) -> Handled<ServerRole> {
        let id = block.stream;
        // Clients open streams with odd numbers; the next one is 1, or two above the highest.
        let next = if self.highest == 0 { 1 } else { self.highest + 2 };
        if id > next {
            self.streams.skip(next, id - 2);
        }
        self.highest = id;
        if matches!(self.goaway, GoawayState::Final(_)) {
            self.spend_reset(now)?;
            self.remember_refused(id);
            return self.skip_block(block.bytes);
        }
        let has_room = block.ends || self.has_room_for_stream();
        if self.streams.len() >= self.limits.streams_max as usize || !has_room {
            self.skip_block(block.bytes)?;
            return self.refuse(id, StreamError::TooManyStreams, out, now);
        }
        if block.depends_on_itself {
            self.skip_block(block.bytes)?;
            return self.refuse(id, StreamError::DependsOnItself, out, now);
        }
        match self.parse_head(block, head)? {
            Ok(ParsedRequest { length, priority }) => {
                let content = if head.framing() == Framing::Tunnel {
                    ExpectedContent::Tunnel
                } else {
                    ExpectedContent::Body
                };
                let stream = self.open(id, block.ends, length, content, priority);
                Ok(Some(Event::Head { stream, ends: block.ends }))
            }
            Err(HeadError::Malformed(malformed)) => {
                self.refuse(id, StreamError::Malformed(malformed), out, now)
            }
            Err(HeadError::Refused(error)) => {
                let stream = self.open(id, block.ends, None, ExpectedContent::Body, Priority::DEFAULT);
                Ok(Some(Event::Refused { stream, error }))
            }
        }
    }

    fn parse_head(
        &mut self,
        block: &ReceivedBlock<'_>,
        head: &mut RequestHead,
    ) -> Result<Result<ParsedRequest, HeadError>, ConnectionError> {
        let connect_protocol = self.limits.connect_protocol;
        let list_bytes_max = u32::from(self.limits.list_bytes_max);
        let scratch = &mut self.role.scratch;
        let mut parser = HeadParser::new(head, scratch, &self.head_limits, list_bytes_max, connect_protocol);
        // The parser bounds the list, because it knows which fields are parts of one.
        let end =
            self.decoder.decode(block.bytes, u32::MAX, |field: Field<'_>| parser.handle_field(field))?;
        Ok(match end {
            ListEnd::Whole => parser.finish(block.ends),
            ListEnd::TooLarge => Err(HeadError::Refused(parser.give_up(RequestError::HeadTooLong))),
            ListEnd::Broken(reason) => Err(HeadError::Malformed(reason)),
        })
    }

    fn open(
        &mut self,
        id: u32,
        ends: bool,
        length: Option<u64>,
        content: ExpectedContent,
        priority: Priority,
    ) -> StreamKey {
        let outgoing = SendHalf { window: SendWindow::new(self.peer.initial_window), priority };
        let state = if ends {
            StreamState::HalfClosedRemote { outgoing, unread_max: 0 }
        } else {
            let window = self.new_stream_window();
            let discard_bytes_max = self.limits.discard_bytes_max;
            StreamState::Open(RecvHalf::request(window, length, content, discard_bytes_max), outgoing)
        };
        StreamKey { place: self.streams.insert(H2Stream { id, state }), id }
    }

    /// Appends the head of a response, unless its stream is closed.
    #[inline]
    pub fn send_head(
        &mut self,
        stream: StreamKey,
        head: &SendHead<'_>,
        end: EndStream,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        self.send_head_with(stream, head, b"", end, now, out);
    }

    /// As [`send_head`](Connection::send_head), with more field lines that are sent as never-indexed literals
    /// (RFC 7541 §6.2.3): fields that an intermediary received so, or that are secret.
    #[inline]
    pub fn send_head_with(
        &mut self,
        stream: StreamKey,
        head: &SendHead<'_>,
        never_indexed: &[u8],
        end: EndStream,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        if !self.is_open(stream) {
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let mut block = self.encoder.begin(out);
        block.status(head.status);
        if !head.date.is_empty() {
            block.date(head.date);
        }
        block.lines(head.lines);
        if !never_indexed.is_empty() {
            block.lines_never_indexed(never_indexed);
        }
        if let Some(length) = head.length {
            block.content_length(length);
        }
        self.end_block(stream.id, start, end, out);
        self.end_stream(stream, end, now, out);
    }
}
