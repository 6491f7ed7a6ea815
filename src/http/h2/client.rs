//! The client's role on a connection (RFC 9113): sends requests, receives responses. The part common to both
//! roles is in `connection`, `receive` and `send`.
//!
//! Push is disabled: SETTINGS_ENABLE_PUSH=0 is sent first, and PUSH_PROMISE ends the connection. Events say
//! which requests may be retried (RFC 9113 §8.7); retrying is left to the caller.

use std::ops::Range;
use std::time::Duration;

use super::connection::{self, CommonEvent, GoawayState, Handled, ReceivedBlock, Role, StreamKey};
use super::error::{ConnectionError, ErrorCode, FloodKind, StreamError};
use super::flow::SendWindow;
use super::frame::{HEADER_BYTES, MAX_31_BITS, PREFACE, write_ping};
use super::hpack::{Indexing, ListEnd};
use super::limits::H2Limits;
use super::priority::Priority;
use super::response::{ParsedResponse, ResponseParser};
use super::send::EndStream;
use super::settings::id;
use super::stream::{ExpectedContent, H2Stream, RecvHalf, SendHalf, StreamState};
use super::streams::ClosedStream;
use crate::http::message::{BodyLimits, FramingError, HeadLimits, ResponseHead, Trailers};
use crate::http::method::Method;

/// A client's end of a connection.
pub type Connection = connection::Connection<ClientRole>;

/// Consumed bytes and the first event.
pub type Consumed = connection::Consumed<Event>;

/// Streams that are opened before the server's SETTINGS have come: as many as RFC 9113 §6.5.2 advises servers
/// to allow at least. A server that allows fewer refuses the rest, which may then be retried.
const STREAMS_BEFORE_SETTINGS: u32 = 100;

/// The role of a client.
#[derive(Debug)]
pub struct ClientRole;

/// What was received.
#[derive(Debug)]
pub enum Event {
    /// A response head, which was written to `head`.
    Head {
        /// Its stream.
        stream: StreamKey,
        /// Whether it is an interim one: another head follows.
        interim: bool,
        /// Whether the response ends with it.
        ends: bool,
    },
    /// Data of a response body or of a tunnel; its bytes must be returned with `consume`.
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
        /// The code that the server sent, or that was sent to it.
        code: ErrorCode,
        /// The server has not processed the request, so it may be retried, whatever its method (RFC 9113
        /// §8.7): the code is REFUSED_STREAM, or HTTP_1_1_REQUIRED, and then only HTTP/1.1 is accepted.
        may_retry: bool,
        /// The server's error, which was answered with RST_STREAM; `None` when the server reset the stream.
        error: Option<StreamError>,
    },
    /// GOAWAY was received. All streams above `last` are closed with this event and may be retried on another
    /// connection, because the server has not processed them. Other streams continue.
    Goaway {
        /// The highest stream that the server may have processed.
        last: u32,
        /// The reason.
        code: ErrorCode,
    },
}

/// The head of a request. All parts must be valid; they are not checked.
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
    /// Field lines as HTTP/1 has them. Names may have any case; connection-specific fields are left out.
    /// `Host` is sent: leave it out where `authority` has the same value.
    pub lines: &'a [u8],
    /// More field lines, sent as never-indexed literals (RFC 7541 §6.2.3).
    pub never_indexed: &'a [u8],
    /// `content-length`.
    pub length: Option<u64>,
}

impl Role for ClientRole {
    type Head = ResponseHead;
    type Event = Event;
    const IS_CLIENT: bool = true;

    #[inline]
    fn event(shared: CommonEvent) -> Option<Event> {
        Some(match shared {
            CommonEvent::Data { stream, data, ends } => Event::Data { stream, data, ends },
            CommonEvent::Trailers { stream, trailers } => Event::Trailers { stream, trailers },
            CommonEvent::Reset { stream, code, before_head } => {
                let is_refused = matches!(code, ErrorCode::REFUSED_STREAM | ErrorCode::HTTP_1_1_REQUIRED);
                Event::Reset { stream, code, may_retry: is_refused && before_head, error: None }
            }
            CommonEvent::Failed { stream, error } => {
                Event::Reset { stream, code: error.code(), may_retry: false, error: Some(error) }
            }
            // Its stream was closed before.
            CommonEvent::Refused(_) => return None,
            CommonEvent::Goaway { last, code } => Event::Goaway { last, code },
        })
    }

    /// Servers open streams by PUSH_PROMISE alone.
    #[cold]
    fn handle_new_stream(
        _: &mut Connection,
        _: &ReceivedBlock<'_>,
        _: &mut ResponseHead,
        _: Duration,
        _: &mut Vec<u8>,
    ) -> Handled<ClientRole> {
        Err(ConnectionError::StreamIdle(super::frame::FrameKind::Headers))
    }

    fn handle_awaited_head(
        connection: &mut Connection,
        stream: StreamKey,
        block: &ReceivedBlock<'_>,
        head: &mut ResponseHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<ClientRole> {
        connection.handle_response(stream, block, head, now, out)
    }

    fn check_setting(setting: u16, value: u32) -> Result<(), ConnectionError> {
        if setting == id::ENABLE_PUSH && value != 0 { Err(ConnectionError::PushEnabled) } else { Ok(()) }
    }
}

impl Connection {
    /// A connection on which nothing was sent. [`start`](Connection::start) it.
    ///
    /// Limits apply as in a server, to responses instead of requests; `streams_max` bounds concurrent
    /// requests even if the server allows more.
    pub fn new(limits: &H2Limits, heads: &HeadLimits, bodies: &BodyLimits) -> Connection {
        Connection::with_role(ClientRole, limits, heads, bodies)
    }

    /// Appends the start of the connection: the preface, SETTINGS, and the connection's window. Requests may
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

    /// Whether another request can be sent now: no GOAWAY was sent or received, both limits on streams allow
    /// one more, and unread data of closed streams leaves room. When the stream numbers are exhausted, a new
    /// connection is needed.
    pub fn can_send_request(&self) -> bool {
        let allowed = match self.peer.streams_max {
            Some(allowed) => allowed,
            None if self.settings_seen => u32::MAX,
            None => STREAMS_BEFORE_SETTINGS,
        };
        self.goaway == GoawayState::NotSent
            && self.peer_goaway.is_none()
            && self.streams.len() < allowed.min(self.limits.streams_max) as usize
            && self.highest < MAX_31_BITS
            && self.has_room_for_stream()
    }

    /// Whether the server's SETTINGS have come, and allow at least one request.
    pub fn is_open_to_requests(&self) -> bool {
        self.settings_seen && self.peer.streams_max != Some(0)
    }

    /// Whether the server's SETTINGS have come.
    pub fn has_settings(&self) -> bool {
        self.settings_seen
    }

    /// Whether the server has announced support of extended CONNECT (RFC 8441 §3).
    pub fn accepts_connect_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// Appends a PING, which the server has to acknowledge. Nothing reports the acknowledgement: any input
    /// shows that the server is alive.
    pub fn ping(&self, out: &mut Vec<u8>) {
        write_ping(out, 0, b"alive?..");
    }

    /// Appends the head of a request, and returns its stream. `None`, and nothing is appended, when no
    /// request [can be sent](Connection::can_send_request), or when it has a `protocol` and the server did
    /// not announce support of extended CONNECT.
    pub fn send_request(
        &mut self,
        head: &SendRequest<'_>,
        end: EndStream,
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
        let incoming = RecvHalf::response(self.new_stream_window(), method);
        let window = SendWindow::new(self.peer.initial_window);
        let state = match end {
            EndStream::No => StreamState::Open(incoming, SendHalf { window, priority: Priority::DEFAULT }),
            EndStream::Yes => {
                StreamState::HalfClosedLocal { incoming, window, since: now, discard_left_then: 0 }
            }
        };
        Some(StreamKey { place: self.streams.insert(H2Stream { id, state }), id })
    }

    fn handle_response(
        &mut self,
        stream: StreamKey,
        block: &ReceivedBlock<'_>,
        head: &mut ResponseHead,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<ClientRole> {
        let incoming = self.get_mut(stream).and_then(H2Stream::incoming);
        let Some(ExpectedContent::Head(method)) = incoming.map(|incoming| incoming.content) else {
            return self.skip_block(block.bytes);
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
            Ok(ParsedResponse::Interim) => {
                self.floods.spend(FloodKind::InterimHeads, now)?;
                true
            }
            Ok(ParsedResponse::Final { content, length }) => {
                self.floods.count_response();
                if let Some(incoming) = self.get_mut(stream).and_then(H2Stream::incoming) {
                    incoming.begin(length, content);
                }
                if block.ends {
                    self.streams.change(stream.place, ClosedStream::Ended, H2Stream::ended_remotely);
                }
                false
            }
            Err(error) => return self.stream_error(stream, error, out, now),
        };
        Ok(Some(Event::Head { stream, interim, ends: block.ends }))
    }
}
