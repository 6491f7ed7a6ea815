//! One end of an HTTP/2 connection (RFC 9113), the part common to both roles: open streams, settings,
//! shutdown. Reading is in `receive`, writing in `send`, differences between server and client behind
//! [`Role`]. No sockets, no clock.
//!
//! The caller passes what it received to [`handle_bytes`](Connection::handle_bytes), which gives one event
//! at a time, and a buffer that replies are appended to: acknowledgements, credit, refusals. The caller
//! must send that buffer, in order, and should read no more input while it cannot. Messages are appended to
//! the same buffer: a head, data as far as [`sendable`](Connection::sendable) allows, trailers.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::error::{ConnectionError, ErrorCode, StreamError};
use super::floods::Floods;
use super::flow::{RecvWindow, SendWindow};
use super::frame::{self, FRAME_BYTES_DEFAULT};
use super::hpack;
use super::limits::H2Limits;
use super::reader::FrameReader;
use super::settings::{Settings, WINDOW_DEFAULT};
use super::stream::H2Stream;
use super::streams::{ClosedStream, Streams};
use crate::http::message::{BodyLimits, FramingError, HeadLimits, Trailers};

/// A stream of this connection: its place, and its number, which detects reuse of the place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamKey {
    pub(super) place: u32,
    pub(super) id: u32,
}

impl StreamKey {
    /// The stream's number.
    pub fn id(self) -> u32 {
        self.id
    }

    /// An index unique among open streams, for the caller's own state of the stream.
    pub fn place(self) -> usize {
        self.place as usize
    }
}

/// How much of the input one call consumed, and what it found; `E` is the role's event.
#[derive(Debug)]
pub struct Consumed<E> {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// The first event in them; `None` when all of the input was taken.
    pub event: Option<E>,
}

/// An event common to both roles; each role converts it to its own event type.
#[derive(Debug)]
pub enum CommonEvent {
    /// Data; its bytes must be returned with [`Connection::consume`].
    Data {
        /// Its stream.
        stream: StreamKey,
        /// Where it lies within the input; may be empty.
        data: Range<usize>,
        /// Whether the peer's side of the stream ends with it.
        ends: bool,
    },
    /// The peer's side of the stream ends with trailers.
    Trailers {
        /// Its stream.
        stream: StreamKey,
        /// The fields, or why they are refused.
        trailers: Result<Trailers, FramingError>,
    },
    /// The peer has reset a stream.
    Reset {
        /// Which one it was.
        stream: StreamKey,
        /// The reason.
        code: ErrorCode,
        /// No final response head had been received.
        before_head: bool,
    },
    /// This end has reset a stream because of an error of the peer.
    Failed {
        /// Which one it was.
        stream: StreamKey,
        /// The reason.
        error: StreamError,
    },
    /// This end has reset a stream that was never open.
    Refused(StreamError),
    /// GOAWAY was received: the peer has processed no stream of this end above `last`.
    Goaway {
        /// The highest stream that may have been processed.
        last: u32,
        /// The reason.
        code: ErrorCode,
    },
}

/// The differences between server and client. Implemented by these two alone.
pub trait Role: fmt::Debug + Sized {
    /// The type that received heads are written to.
    type Head;
    /// The event type that the caller receives.
    type Event;
    /// Whether this is the client, which opens the streams.
    const IS_CLIENT: bool;

    /// Converts a common event; `None` where the role does not report it.
    fn event(shared: CommonEvent) -> Option<Self::Event>;

    /// Handles a field block on a stream above all that were opened.
    ///
    /// # Errors
    /// As [`Connection::handle_bytes`].
    fn handle_new_stream(
        connection: &mut Connection<Self>,
        block: &ReceivedBlock<'_>,
        head: &mut Self::Head,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Self>;

    /// Handles a head on an open stream that awaits one.
    ///
    /// # Errors
    /// As [`Connection::handle_bytes`].
    fn handle_awaited_head(
        connection: &mut Connection<Self>,
        stream: StreamKey,
        block: &ReceivedBlock<'_>,
        head: &mut Self::Head,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Self>;

    /// Validates a setting whose meaning depends on the peer's role.
    ///
    /// # Errors
    /// When the peer's role may not send it.
    fn check_setting(id: u16, value: u32) -> Result<(), ConnectionError>;
}

/// The result of handling one part of the input.
pub(super) type Handled<R> = Result<Option<<R as Role>::Event>, ConnectionError>;

/// A whole field block.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedBlock<'a> {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) depends_on_itself: bool,
    pub(super) bytes: &'a [u8],
}

/// The GOAWAY frames sent by this end (RFC 9113 §6.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum GoawayState {
    NotSent,
    /// GOAWAY with the highest possible last stream was sent; streams opened meanwhile are still served.
    Announced,
    /// The final GOAWAY was sent: streams of the peer above this one are ignored.
    Final(u32),
}

/// An incomplete field block: CONTINUATION must follow.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) depends_on_itself: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) continuations: u32,
}

/// The DATA frame that is being received.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataFrame {
    /// `None`: its data is ignored.
    pub(super) stream: Option<StreamKey>,
    pub(super) ends: bool,
    /// Whether any data has been received in it.
    pub(super) carried: bool,
}

/// Opaque data of the PING sent after GOAWAY: its acknowledgement shows that GOAWAY has arrived.
pub(super) const GOAWAY_PING: [u8; 8] = *b"draining";

/// One end of a connection, in the role `R`.
#[derive(Debug)]
pub struct Connection<R: Role> {
    pub(super) role: R,
    pub(super) limits: H2Limits,
    pub(super) head_limits: HeadLimits,
    pub(super) body_limits: BodyLimits,
    /// Bytes of the preface that were read; its full length in a client, which receives none.
    pub(super) preface: u8,
    pub(super) settings_seen: bool,
    /// The peer has acknowledged the settings of this end.
    pub(super) settings_known: bool,
    pub(super) reader: FrameReader,
    pub(super) block: Option<Box<OpenBlock>>,
    pub(super) data: DataFrame,
    pub(super) decoder: hpack::Decoder,
    pub(super) encoder: hpack::Encoder,
    pub(super) peer: Settings,
    pub(super) streams: Streams,
    /// The highest stream that was opened. Clients open all of them.
    pub(super) highest: u32,
    pub(super) recv: RecvWindow,
    /// Bytes of data that were handed out and neither consumed nor discarded yet, of all streams.
    ///
    /// INVARIANT: with what the peer may still send ([`unread_possible`](Connection::unread_possible)) at
    /// most [`H2Limits::unread_bytes_max`], which is checked when a stream opens and when its window grows.
    pub(super) unread: u64,
    pub(super) send: SendWindow,
    pub(super) floods: Floods,
    pub(super) goaway: GoawayState,
    /// The last stream that the peer's GOAWAY named.
    pub(super) peer_goaway: Option<u32>,
    /// A priority was changed since `take_reprioritized` was last called.
    pub(super) reprioritized: bool,
}

impl<R: Role> Connection<R> {
    pub(super) fn with_role(
        role: R,
        limits: &H2Limits,
        heads: &HeadLimits,
        bodies: &BodyLimits,
    ) -> Connection<R> {
        Connection {
            role,
            limits: *limits,
            head_limits: *heads,
            body_limits: *bodies,
            preface: if R::IS_CLIENT { frame::PREFACE.len() as u8 } else { 0 },
            settings_seen: false,
            settings_known: false,
            reader: FrameReader::new(FRAME_BYTES_DEFAULT),
            block: None,
            data: DataFrame { stream: None, ends: false, carried: false },
            decoder: hpack::Decoder::new(),
            encoder: hpack::Encoder::new(),
            peer: Settings::DEFAULT,
            streams: Streams::new(limits.streams_max),
            highest: 0,
            recv: RecvWindow::new(limits.connection_window()),
            unread: 0,
            send: SendWindow::new(WINDOW_DEFAULT),
            floods: Floods::new(limits.budgets),
            goaway: GoawayState::NotSent,
            peer_goaway: None,
            reprioritized: false,
        }
    }

    /// Appends SETTINGS, and opens the connection's window.
    pub(super) fn write_start(&self, settings: &[(u16, u32)], out: &mut Vec<u8>) {
        frame::write_settings(out, settings);
        if let Some(more @ 1..) = self.recv.left().checked_sub(WINDOW_DEFAULT) {
            frame::write_window_update(out, 0, more);
        }
    }

    /// The window of a stream that is opened now.
    pub(super) fn new_stream_window(&self) -> RecvWindow {
        // Until it has received SETTINGS the peer may fill the default window.
        let window = if self.settings_known { self.limits.initial_window() } else { WINDOW_DEFAULT };
        RecvWindow::new(window)
    }

    /// The peer has acknowledged the settings and applies them from now on. Credit of a stream may become due
    /// because its window is smaller; no later event may announce it, so it is announced here.
    pub(super) fn settings_acknowledged(&mut self, out: &mut Vec<u8>) {
        let smaller_by = WINDOW_DEFAULT - self.limits.initial_window();
        if !self.settings_known && smaller_by > 0 {
            for (_, stream) in self.streams.iter_mut() {
                let (id, is_read) = (stream.id, stream.is_read());
                let Some(incoming) = stream.incoming() else { continue };
                incoming.window.shrink(smaller_by);
                if is_read && let Some(increment) = incoming.window.announce() {
                    frame::write_window_update(out, id, increment);
                }
            }
        }
        self.settings_known = true;
    }

    // ---- state ----

    /// Streams that are open, on either side.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The open stream with this number.
    pub fn stream(&self, id: u32) -> Option<StreamKey> {
        self.streams.find(id).map(|place| StreamKey { place, id })
    }

    /// Whether something can still be sent on this stream.
    pub fn is_open(&self, stream: StreamKey) -> bool {
        self.get(stream).is_some_and(|known| known.outgoing().is_some())
    }

    /// Whether the preface, a frame other than DATA, or a field block is incomplete. A short timeout should
    /// apply then.
    pub fn is_within_frame(&self) -> bool {
        !self.reader.is_between_frames() || self.block.is_some() || !self.settings_seen
    }

    /// Whether the preface has not been read to its end.
    pub fn is_new(&self) -> bool {
        usize::from(self.preface) < frame::PREFACE.len()
    }

    /// Whether nothing can be sent on any stream before the peer opens the connection's window.
    pub fn is_shut(&self) -> bool {
        self.send.available() == 0
    }

    /// Whether one side has sent its final GOAWAY and no stream is open.
    pub fn is_over(&self) -> bool {
        (matches!(self.goaway, GoawayState::Final(_)) || self.peer_goaway.is_some())
            && self.streams.len() == 0
    }

    /// Whether this end has sent GOAWAY.
    pub fn is_leaving(&self) -> bool {
        self.goaway != GoawayState::NotSent
    }

    // ---- shutdown ----

    /// Sends the final GOAWAY with the peer's last stream. Open streams are finished, later ones ignored, and
    /// no stream is opened by this end any more.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.goaway, GoawayState::Final(_)) {
            let last = self.peer_highest();
            self.goaway = GoawayState::Final(last);
            frame::write_goaway(out, last, ErrorCode::NO_ERROR, "");
        }
    }

    /// The highest stream that the peer has opened: 0 in a client, because push is refused.
    fn peer_highest(&self) -> u32 {
        if R::IS_CLIENT { 0 } else { self.highest }
    }

    /// Ends the connection for an error. Send what is in `out`, then close.
    pub fn fail(&mut self, error: ConnectionError, out: &mut Vec<u8>) {
        let last = match self.goaway {
            GoawayState::Final(last) => last,
            GoawayState::NotSent | GoawayState::Announced => self.peer_highest(),
        };
        self.goaway = GoawayState::Final(last);
        frame::write_goaway(out, last, error.code(), &error.to_string());
    }

    // ---- streams ----

    pub(super) fn get(&self, key: StreamKey) -> Option<&H2Stream> {
        self.streams.get(key.place).filter(|stream| stream.id == key.id)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut H2Stream> {
        self.streams.at(key.place).filter(|stream| stream.id == key.id)
    }

    /// Resets a stream, unless it is closed.
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode, out: &mut Vec<u8>) {
        if self.get(stream).is_some() {
            self.streams.remove(stream.place, ClosedStream::ResetByUs);
            frame::write_reset(out, stream.id, code);
        }
    }

    /// Gives the stream credit for data that was handed out and has been read. The first time that credit is
    /// announced, the stream's window grows too. The stream may be closed.
    pub fn consume(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        self.no_longer_unread(bytes);
        self.credit_stream(stream, bytes, out);
    }

    /// Notes that data that was handed out has been discarded. Its stream, which may be closed, gets credit
    /// for a bounded amount ([`H2Limits::discard_bytes_max`]).
    pub fn discard(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        self.no_longer_unread(bytes);
        self.credit_discarded(stream, bytes, out);
    }

    fn no_longer_unread(&mut self, bytes: u32) {
        self.unread = self.unread.saturating_sub(u64::from(bytes));
    }

    pub(super) fn credit_discarded(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        let Some(incoming) = self.get_mut(stream).and_then(H2Stream::incoming) else { return };
        if let Some(increment) = incoming.discard(bytes) {
            frame::write_window_update(out, stream.id, increment);
        }
    }

    /// Whether one stream's window can grow by `by`: room must remain for the windows of all open streams and
    /// of those that may still be opened, so that growth never causes a stream to be refused.
    fn has_room_for_growth(&self, by: u32) -> bool {
        let initial = self.limits.initial_window();
        let windows = self.streams.iter().map(|stream| u64::from(stream.unread_max().max(initial)));
        let unopened = u64::from(self.limits.streams_max).saturating_sub(self.streams.len() as u64);
        let reserved = windows.sum::<u64>() + unopened * u64::from(initial);
        // They differ when streams are closed and their data is not read yet.
        reserved.max(self.unread_possible()) + u64::from(by) <= self.limits.unread_bytes_max()
    }

    /// Whether the window of one more stream fits. It always does, unless data of closed streams is unread,
    /// or the settings are not acknowledged yet.
    pub(super) fn has_room_for_stream(&self) -> bool {
        let window = u64::from(self.new_stream_window().full());
        self.unread_possible() + window <= self.limits.unread_bytes_max()
    }

    /// Bytes that can become unread before more is consumed: those unread now, the rest of the current DATA
    /// frame, and what the windows still allow.
    fn unread_possible(&self) -> u64 {
        let on_its_way = if self.data.stream.is_some() { self.reader.data_left() } else { 0 };
        let usable = self.streams.iter().map(|stream| u64::from(stream.usable()));
        self.unread + u64::from(on_its_way) + usable.sum::<u64>()
    }

    /// Bytes of data that were handed out and neither consumed nor discarded yet.
    pub fn unread_bytes(&self) -> u64 {
        self.unread
    }

    pub(super) fn credit_stream(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        let grown = self.limits.grown_window();
        let Some(known) = self.get_mut(stream) else { return };
        if !known.is_read() {
            return self.credit_discarded(stream, bytes, out);
        }
        let Some(incoming) = known.incoming() else { return };
        incoming.window.consume(bytes);
        if !incoming.window.is_due() {
            return;
        }
        // `has_room_for_growth` visits all streams: once for most bodies, and without room once for each
        // announcement.
        let full = incoming.window.full();
        if full < grown && incoming.needs_more_window() && self.has_room_for_growth(grown - full) {
            self.announce_credit(stream, grown, out);
        } else {
            self.announce_credit(stream, full, out);
        }
    }

    /// Announces all credit that a stream has, and a window that is as large as `full`.
    fn announce_credit(&mut self, stream: StreamKey, full: u32, out: &mut Vec<u8>) {
        if let Some(incoming) = self.get_mut(stream).and_then(H2Stream::incoming) {
            frame::write_window_update(out, stream.id, incoming.window.grow(full));
        }
    }

    /// Counts a DATA frame against the connection's window, and returns the credit for it at once.
    ///
    /// The connection's window bounds data in transit, not unread data: if its credit were withheld until
    /// data is read, a few unread streams could exhaust it and block all others (RFC 9113 §5.2.2). Memory is
    /// bounded by the windows of the streams instead, which are credited only for data that was read:
    /// together they are at most [`H2Limits::unread_bytes_max`], and none of them depends on another
    /// stream's reader. Only whether one grows depends on the others.
    pub(super) fn receive_for_connection(
        &mut self,
        bytes: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), ConnectionError> {
        self.recv.receive(bytes).map_err(|_| ConnectionError::DataBeyondWindow)?;
        self.recv.consume(bytes);
        if let Some(increment) = self.recv.announce() {
            frame::write_window_update(out, 0, increment);
        }
        Ok(())
    }
}
