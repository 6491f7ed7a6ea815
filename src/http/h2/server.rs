//! The server's role on a connection (RFC 9113): requests are read, responses written. What is the same for a
//! client is in `connection`, `receive` and `send`.

use std::ops::Range;
use std::time::Duration;

use super::connection::{self, Block, Handled, LEAVE_PING, Leaving, Role, Shared, StreamKey};
use super::error::{ConnectionError, ErrorCode, StreamError};
use super::flow::SendWindow;
use super::frame::{self, HEADER_BYTES, MAX_31_BITS};
use super::hpack::{Field, ListEnd};
use super::limits::H2Limits;
use super::priority::Priority;
use super::request::{HEAD_BYTES_MAX, HeadParser, Parsed, Scratch, Verdict};
use super::send::End;
use super::settings::id;
use super::stream::{Content, Incoming, Outgoing, State, Stream};
use super::streams::Closed;
use crate::http::message::{
    BodyLimits, Framing, FramingError, HeadLimits, RequestError, RequestHead, Trailers,
};
use crate::http::status::Status;

/// A server's end of a connection.
pub type Connection = connection::Connection<Server>;

/// How far one call came.
pub type Step = connection::Step<Event>;

/// The role of a server: what it keeps beside what both roles have.
#[derive(Debug, Default)]
pub struct Server {
    scratch: Scratch,
}

/// What was received.
#[derive(Debug)]
pub enum Event {
    /// A request; its head was filled in. `ends`: it has no body.
    Head {
        /// Its stream.
        stream: StreamKey,
        /// Whether the client has ended the stream.
        ends: bool,
    },
    /// A request that is to be answered with this error's status.
    Refused {
        /// Its stream.
        stream: StreamKey,
        /// Why.
        error: RequestError,
    },
    /// Data of a request's body, whose bytes have to be given back with `consume`. `ends`: it
    /// is the last of it.
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
    /// A stream is closed. The reader of its body and its response are to be dropped.
    Reset {
        /// Which one it was.
        stream: StreamKey,
        /// The client's error, which was answered with RST_STREAM; `None` when the client reset it.
        error: Option<StreamError>,
    },
    /// A request that gets no response, and whose stream was reset.
    Malformed(StreamError),
}

/// The head of a response.
#[derive(Clone, Copy, Debug)]
pub struct SendHead<'a> {
    /// The status; an interim one is followed by another head.
    pub status: Status,
    /// The value of `date`, or nothing.
    pub date: &'a [u8],
    /// Field lines as HTTP/1 has them. Names may have any case; fields about the connection are left out.
    pub lines: &'a [u8],
    /// `content-length`.
    pub length: Option<u64>,
}

impl Role for Server {
    type Head = RequestHead;
    type Event = Event;
    const IS_CLIENT: bool = false;

    #[inline]
    fn event(shared: Shared) -> Option<Event> {
        Some(match shared {
            Shared::Data { stream, data, ends } => Event::Data { stream, data, ends },
            Shared::Trailers { stream, trailers } => Event::Trailers { stream, trailers },
            Shared::Reset { stream, .. } => Event::Reset { stream, error: None },
            Shared::Failed { stream, error } => Event::Reset { stream, error: Some(error) },
            Shared::Refused(error) => Event::Malformed(error),
            // The streams that it speaks of are pushes, of which there are none.
            Shared::Goaway { .. } => return None,
        })
    }

    #[inline]
    fn handle_new_stream(
        connection: &mut Connection,
        block: &Block<'_>,
        head: &mut RequestHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Server> {
        connection.handle_request(block, out, head, now)
    }

    /// Streams of a server never wait for a head: it is what opens them.
    fn handle_awaited_head(
        connection: &mut Connection,
        _: StreamKey,
        block: &Block<'_>,
        _: &mut RequestHead,
        _: Duration,
        _: &mut Vec<u8>,
    ) -> Handled<Server> {
        connection.pass_over(block.bytes)
    }

    fn check_setting(_: u16, _: u32) -> Result<(), ConnectionError> {
        Ok(())
    }
}

impl Connection {
    /// A connection of which nothing was read. [`start`](Connection::start) it.
    pub fn new(limits: &H2Limits, heads: &HeadLimits, bodies: &BodyLimits) -> Connection {
        Connection::with_role(Server::default(), limits, heads, bodies)
    }

    /// Appends what a server sends first: SETTINGS, and the connection's window.
    pub fn start(&self, out: &mut Vec<u8>) {
        let settings = [
            (id::MAX_CONCURRENT_STREAMS, self.limits.streams_max),
            (id::INITIAL_WINDOW_SIZE, self.limits.initial_window()),
            (id::MAX_HEADER_LIST_SIZE, u32::from(self.limits.list_bytes_max)),
            // RFC 7540's tree of dependencies is not looked at.
            (id::NO_RFC7540_PRIORITIES, 1),
            (id::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let sent = settings.len() - usize::from(!self.limits.connect_protocol);
        self.write_start(&settings[..sent], out);
    }

    /// How urgent its response is.
    pub fn priority(&self, stream: StreamKey) -> Priority {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        outgoing.map_or(Priority::DEFAULT, |outgoing| outgoing.priority)
    }

    /// Whether the client changed a priority since this was last asked.
    pub fn take_reprioritized(&mut self) -> bool {
        std::mem::take(&mut self.reprioritized)
    }

    /// The tunnel that this stream's CONNECT asked for is open, and its data is handed out after our
    /// END_STREAM too: each side of a tunnel ends for itself (RFC 9113 §8.5). From then on no time limits
    /// the stream here; `reset` it when the tunnel is given up.
    pub fn open_tunnel(&mut self, stream: StreamKey) {
        if let Some(incoming) = self.get_mut(stream).and_then(Stream::incoming)
            && incoming.content == Content::Tunnel
        {
            incoming.reads_on = true;
        }
    }

    /// Asks for no new streams, without refusing those that are on their way: the final GOAWAY follows when
    /// the client has answered a PING, or with [`leave`](Connection::leave).
    pub fn announce_leave(&mut self, out: &mut Vec<u8>) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Announced;
            frame::write_goaway(out, MAX_31_BITS, ErrorCode::NO_ERROR, "");
            frame::write_ping(out, 0, &LEAVE_PING);
        }
    }

    /// Resets streams whose response has been out for so long, while the request still is not complete.
    pub fn reset_lingering(&mut self, now: Duration, patience: Duration, out: &mut Vec<u8>) {
        let mut over = Vec::new();
        for (place, stream) in self.streams.iter_mut() {
            let State::HalfClosedLocal { since, .. } = stream.state else { continue };
            if !stream.is_read() && now.saturating_sub(since) >= patience {
                over.push(StreamKey { place, id: stream.id });
            }
        }
        over.into_iter().for_each(|key| self.reset(key, ErrorCode::NO_ERROR, out));
    }

    fn handle_request(
        &mut self,
        block: &Block<'_>,
        out: &mut Vec<u8>,
        head: &mut RequestHead,
        now: Duration,
    ) -> Handled<Server> {
        let id = block.stream;
        self.highest = id;
        if matches!(self.leaving, Leaving::Final(_)) {
            self.streams.remember(id, Closed::ResetByUs);
            return self.pass_over(block.bytes);
        }
        let has_room = block.ends || self.has_room_for_stream();
        if self.streams.len() >= self.limits.streams_max as usize || !has_room {
            self.pass_over(block.bytes)?;
            return self.refuse(id, StreamError::TooManyStreams, out, now);
        }
        if block.depends_on_itself {
            self.pass_over(block.bytes)?;
            return self.refuse(id, StreamError::DependsOnItself, out, now);
        }
        match self.parse_head(block, head)? {
            Ok(Parsed { length, priority }) => {
                let content = if head.framing() == Framing::Tunnel { Content::Tunnel } else { Content::Body };
                let stream = self.open(id, block.ends, length, content, priority);
                Ok(Some(Event::Head { stream, ends: block.ends }))
            }
            Err(Verdict::Malformed(misdeed)) => self.refuse(id, StreamError::Malformed(misdeed), out, now),
            Err(Verdict::Refused(error)) => {
                let stream = self.open(id, block.ends, None, Content::Body, Priority::DEFAULT);
                Ok(Some(Event::Refused { stream, error }))
            }
        }
    }

    fn parse_head(
        &mut self,
        block: &Block<'_>,
        head: &mut RequestHead,
    ) -> Result<Result<Parsed, Verdict>, ConnectionError> {
        let connect_protocol = self.limits.connect_protocol;
        let mut parser = HeadParser::new(head, &mut self.role.scratch, &self.head_limits, connect_protocol);
        let list_bytes_max = u32::from(self.limits.list_bytes_max).min(HEAD_BYTES_MAX);
        let end = self
            .decoder
            .decode(block.bytes, list_bytes_max, |field: Field<'_>| parser.handle_field(field))?;
        Ok(match end {
            ListEnd::Whole => parser.finish(block.ends),
            ListEnd::TooLarge => Err(Verdict::Refused(RequestError::HeadTooLong)),
            ListEnd::Broken(verdict) => Err(verdict),
        })
    }

    fn open(
        &mut self,
        id: u32,
        ends: bool,
        length: Option<u64>,
        content: Content,
        priority: Priority,
    ) -> StreamKey {
        let outgoing = Outgoing { window: SendWindow::new(self.peer.initial_window), priority };
        let state = if ends {
            State::HalfClosedRemote { outgoing, unread_max: 0 }
        } else {
            let window = self.new_stream_window();
            State::Open(Incoming::request(window, length, content), outgoing)
        };
        StreamKey { place: self.streams.insert(Stream { id, state }), id }
    }

    /// Appends the head of a response, unless its stream is closed.
    #[inline]
    pub fn send_head(
        &mut self,
        stream: StreamKey,
        head: &SendHead<'_>,
        end: End,
        now: Duration,
        out: &mut Vec<u8>,
    ) {
        self.send_head_with(stream, head, b"", end, now, out);
    }

    /// As [`send_head`](Connection::send_head), with more field lines that are sent as never-indexed literals
    /// (RFC 7541 §6.2.3): those that came so to an intermediary, or that are secret.
    #[inline]
    pub fn send_head_with(
        &mut self,
        stream: StreamKey,
        head: &SendHead<'_>,
        never_indexed: &[u8],
        end: End,
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
        if !head.status.is_informational() {
            self.floods.answered();
        }
        self.end_stream(stream, end, now, out);
    }
}
