//! The client's role on a connection (RFC 9113): requests are written, responses read. What is the same for a
//! server is in `connection`, `receive` and `send`.
//!
//! Push is not allowed: SETTINGS_ENABLE_PUSH=0 is sent first, and PUSH_PROMISE ends the connection. Which
//! requests may be repeated is part of the events (RFC 9113 §8.7); repeating them is left to the caller.

use std::ops::Range;
use std::time::Duration;

use super::connection::{self, Block, Handled, Leaving, Role, Shared, StreamKey};
use super::error::{ConnectionError, ErrorCode, Nuisance, StreamError};
use super::flow::SendWindow;
use super::frame::{HEADER_BYTES, MAX_31_BITS, PREFACE};
use super::hpack::{Indexing, ListEnd};
use super::limits::H2Limits;
use super::priority::Priority;
use super::response::{Parsed, ResponseParser};
use super::send::End;
use super::settings::id;
use super::stream::{Content, Incoming, Outgoing, State, Stream};
use super::streams::Closed;
use crate::http::message::{BodyLimits, FramingError, HeadLimits, ResponseHead, Trailers};
use crate::http::method::Method;

/// A client's end of a connection.
pub type Connection = connection::Connection<Client>;

/// How far one call came.
pub type Step = connection::Step<Event>;

/// Streams that are opened before the server's SETTINGS have come: as many as RFC 9113 §6.5.2 advises servers
/// to allow at least. A server that allows fewer refuses the rest, which may then be repeated.
const STREAMS_BEFORE_SETTINGS: u32 = 100;

/// The role of a client.
#[derive(Debug)]
pub struct Client;

/// What was received.
#[derive(Debug)]
pub enum Event {
    /// A response's head; it was filled in.
    Head {
        /// Its stream.
        stream: StreamKey,
        /// Whether it is an interim one: another head follows.
        interim: bool,
        /// Whether the response ends with it.
        ends: bool,
    },
    /// Data of a response's body or of a tunnel, whose bytes have to be given back with
    /// `consume`.
    Data {
        /// Its stream.
        stream: StreamKey,
        /// Where it lies within the input; may be empty.
        data: Range<usize>,
        /// Whether the response ends with it.
        ends: bool,
    },
    /// A response has ended with trailers.
    Trailers {
        /// Its stream.
        stream: StreamKey,
        /// The fields, or why they are refused.
        trailers: Result<Trailers, FramingError>,
    },
    /// A stream is closed before its end.
    Reset {
        /// Which one it was.
        stream: StreamKey,
        /// The reason: the server's, or the one that we gave for its error.
        code: ErrorCode,
        /// The server has not processed the request, so that it may be repeated, whatever its method (RFC
        /// 9113 §8.7): the code is REFUSED_STREAM, or HTTP_1_1_REQUIRED, and then only HTTP/1.1 will do.
        may_retry: bool,
        /// The server's error, which was answered with RST_STREAM; `None` when the server reset the stream.
        error: Option<StreamError>,
    },
    /// The server takes no more requests on this connection. All streams above `last` are closed with this
    /// event, and may be repeated on another one: the server has not processed them. Those up to it go on.
    Goaway {
        /// The highest stream that the server may have processed.
        last: u32,
        /// The reason.
        code: ErrorCode,
    },
}

/// The head of a request. Everything in it must be valid: it is sent as it is.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The method's token.
    pub method: &'a str,
    /// `:scheme`; not sent with a plain CONNECT.
    pub scheme: &'a str,
    /// `:authority`; not sent when it is empty.
    pub authority: &'a str,
    /// `:path`, with its query; not sent with a plain CONNECT.
    pub path: &'a str,
    /// `:protocol`, which makes CONNECT an extended one (RFC 8441).
    pub protocol: Option<&'a str>,
    /// Field lines as HTTP/1 has them. Names may have any case; fields about the connection are left out.
    /// `Host` is not: leave it out where `authority` says the same.
    pub lines: &'a [u8],
    /// More field lines, sent as never-indexed literals (RFC 7541 §6.2.3).
    pub never_indexed: &'a [u8],
    /// `content-length`.
    pub length: Option<u64>,
}

impl Role for Client {
    type Head = ResponseHead;
    type Event = Event;
    const IS_CLIENT: bool = true;

    #[inline]
    fn event(shared: Shared) -> Option<Event> {
        Some(match shared {
            Shared::Data { stream, data, ends } => Event::Data { stream, data, ends },
            Shared::Trailers { stream, trailers } => Event::Trailers { stream, trailers },
            Shared::Reset { stream, code, before_head } => {
                let is_refused = matches!(code, ErrorCode::REFUSED_STREAM | ErrorCode::HTTP_1_1_REQUIRED);
                Event::Reset { stream, code, may_retry: is_refused && before_head, error: None }
            }
            Shared::Failed { stream, error } => {
                Event::Reset { stream, code: error.code(), may_retry: false, error: Some(error) }
            }
            // Its stream was over before.
            Shared::Refused(_) => return None,
            Shared::Goaway { last, code } => Event::Goaway { last, code },
        })
    }

    /// Servers open streams by PUSH_PROMISE alone.
    #[cold]
    fn handle_new_stream(
        _: &mut Connection,
        _: &Block<'_>,
        _: &mut ResponseHead,
        _: Duration,
        _: &mut Vec<u8>,
    ) -> Handled<Client> {
        Err(ConnectionError::StreamIdle(super::frame::Kind::Headers))
    }

    fn handle_awaited_head(
        connection: &mut Connection,
        stream: StreamKey,
        block: &Block<'_>,
        head: &mut ResponseHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Client> {
        connection.handle_response(stream, block, head, now, out)
    }

    fn check_setting(setting: u16, value: u32) -> Result<(), ConnectionError> {
        if setting == id::ENABLE_PUSH && value != 0 { Err(ConnectionError::PushEnabled) } else { Ok(()) }
    }
}

impl Connection {
    /// A connection on which nothing was sent. [`start`](Connection::start) it.
    ///
    /// Limits mean what they mean for a server, with responses in place of requests, but for `streams_max`:
    /// so many requests at once at the most, even if the server allows more.
    pub fn new(limits: &H2Limits, heads: &HeadLimits, bodies: &BodyLimits) -> Connection {
        Connection::with_role(Client, limits, heads, bodies)
    }

    /// Appends what a client sends first: the preface, SETTINGS, and the connection's window. Requests may
    /// follow at once.
    pub fn start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(PREFACE);
        let settings = [
            (id::ENABLE_PUSH, 0),
            (id::INITIAL_WINDOW_SIZE, self.limits.initial_window()),
            (id::MAX_HEADER_LIST_SIZE, u32::from(self.limits.list_bytes_max)),
            (id::NO_RFC7540_PRIORITIES, 1),
        ];
        self.write_start(&settings, out);
    }

    /// Whether another request can be sent now: neither side is leaving, fewer streams are open than the
    /// server and we allow, and what is unread of responses that are over leaves room for another. When only
    /// numbers of streams are used up, so is the connection.
    pub fn can_send_request(&self) -> bool {
        let allowed = match self.peer.streams_max {
            Some(allowed) => allowed,
            None if self.settings_seen => u32::MAX,
            None => STREAMS_BEFORE_SETTINGS,
        };
        self.leaving == Leaving::No
            && self.peer_leaves.is_none()
            && self.streams.len() < allowed.min(self.limits.streams_max) as usize
            && self.highest < MAX_31_BITS
            && self.has_room_for_stream()
    }

    /// Whether the server has announced that it takes extended CONNECT (RFC 8441 §3).
    pub fn accepts_connect_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// Appends the head of a request, and gives its stream. `None`, and nothing is appended, when no request
    /// [can be sent](Connection::can_send_request), or when it has a `protocol` and the server did not
    /// announce that it takes one.
    pub fn send_request(
        &mut self,
        head: &SendRequest<'_>,
        end: End,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Option<StreamKey> {
        if !self.can_send_request() || head.protocol.is_some() && !self.peer.connect_protocol {
            return None;
        }
        // The first is 1, and all are odd.
        let id = if self.highest == 0 { 1 } else { self.highest + 2 };
        self.highest = id;
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        let mut block = self.encoder.begin(out);
        let method = Method::from_token(head.method.as_bytes());
        block.field(b":method", head.method.as_bytes(), Indexing::Repeats);
        if method != Method::Connect || head.protocol.is_some() {
            block.field(b":scheme", head.scheme.as_bytes(), Indexing::Repeats);
            block.field(b":path", head.path.as_bytes(), Indexing::Repeats);
        }
        if !head.authority.is_empty() {
            block.field(b":authority", head.authority.as_bytes(), Indexing::Repeats);
        }
        if let Some(protocol) = head.protocol {
            block.field(b":protocol", protocol.as_bytes(), Indexing::Repeats);
        }
        block.lines(head.lines);
        block.lines_never_indexed(head.never_indexed);
        if let Some(length) = head.length {
            block.content_length(length);
        }
        self.end_block(id, start, end, out);
        let incoming = Incoming::response(self.new_stream_window(), method);
        let window = SendWindow::new(self.peer.initial_window);
        let state = match end {
            End::No => State::Open(incoming, Outgoing { window, priority: Priority::DEFAULT }),
            End::Yes => State::HalfClosedLocal { incoming, window, since: now },
        };
        Some(StreamKey { place: self.streams.insert(Stream { id, state }), id })
    }

    fn handle_response(
        &mut self,
        stream: StreamKey,
        block: &Block<'_>,
        head: &mut ResponseHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Client> {
        let incoming = self.get_mut(stream).and_then(Stream::incoming);
        let Some(Content::Head(method)) = incoming.map(|incoming| incoming.content) else {
            return self.pass_over(block.bytes);
        };
        let mut parser = ResponseParser::new(head, &self.head_limits);
        let list_bytes_max = u32::from(self.limits.list_bytes_max).min(super::request::HEAD_BYTES_MAX);
        let end = self.decoder.decode(block.bytes, list_bytes_max, |field| parser.handle_field(field))?;
        let parsed = match end {
            _ if block.depends_on_itself => Err(StreamError::DependsOnItself),
            ListEnd::Whole => parser.finish(method, block.ends),
            ListEnd::TooLarge => Err(StreamError::HeadTooLarge),
            ListEnd::Broken(error) => Err(error),
        };
        let interim = match parsed {
            Ok(Parsed::Interim) => {
                self.floods.spend(Nuisance::InterimHeads, now)?;
                true
            }
            Ok(Parsed::Final { content, length }) => {
                self.floods.answered();
                if let Some(incoming) = self.get_mut(stream).and_then(Stream::incoming) {
                    incoming.begin(length, content);
                }
                if block.ends {
                    self.streams.change(stream.place, Closed::Ended, Stream::ended_remotely);
                }
                false
            }
            Err(error) => return self.stream_error(stream, error, out, now),
        };
        Ok(Some(Event::Head { stream, interim, ends: block.ends }))
    }
}
