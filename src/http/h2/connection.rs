//! One end of an HTTP/2 connection (RFC 9113), as far as both roles have it in common: what is open, what was
//! agreed, and how it ends. Reading is in `receive`, writing in `send`; what differs between a server and a
//! client is behind [`Role`]. There is no socket and no clock in any of them.
//!
//! The caller passes what it received to [`handle_bytes`](Connection::handle_bytes), which gives one event
//! at a time, and a buffer that answers are appended to: acknowledgements, credit, refusals. It must send
//! that buffer, in order, and should take no more input while it cannot. Messages are appended to the same
//! buffer: a head, data as far as [`sendable`](Connection::sendable) allows, trailers.

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
use super::stream::Stream;
use super::streams::{Closed, Streams};
use crate::http::message::{BodyLimits, FramingError, HeadLimits, Trailers};

/// A stream of this connection: its place, and its number, which tells whether it is still the same.
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

    /// A small number that no other open stream has: an index for what the caller knows of the stream.
    pub fn place(self) -> usize {
        self.place as usize
    }
}

/// How far one call came; `E` is the role's event.
#[derive(Debug)]
pub struct Step<E> {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// What they hold; `None` when all of the input was taken.
    pub event: Option<E>,
}

/// What happened, in terms that both roles have; each reports it to its caller in its own.
#[derive(Debug)]
pub enum Shared {
    /// Data, which has to be given back with [`Connection::consume`].
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
        /// No final head of a response had come.
        before_head: bool,
    },
    /// We have reset a stream for an error of the peer's.
    Failed {
        /// Which one it was.
        stream: StreamKey,
        /// The reason.
        error: StreamError,
    },
    /// We have reset a stream that was never open.
    Refused(StreamError),
    /// The peer opens no more streams, and has looked at none of ours above `last`.
    Goaway {
        /// The highest stream that may have been looked at.
        last: u32,
        /// The reason.
        code: ErrorCode,
    },
}

/// What a server and a client differ in. Implemented by the two, and by nothing else.
pub trait Role: fmt::Debug + Sized {
    /// What heads are read into.
    type Head;
    /// What the caller is handed.
    type Event;
    /// Whether this is the client, which opens the streams.
    const IS_CLIENT: bool;

    /// What the caller is handed for this; `None` where its role has no use for it.
    fn event(shared: Shared) -> Option<Self::Event>;

    /// A field block on a stream above all that were open.
    ///
    /// # Errors
    /// As [`Connection::handle_bytes`].
    fn handle_new_stream(
        connection: &mut Connection<Self>,
        block: &Block<'_>,
        head: &mut Self::Head,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Self>;

    /// A head on an open stream that waits for one.
    ///
    /// # Errors
    /// As [`Connection::handle_bytes`].
    fn handle_awaited_head(
        connection: &mut Connection<Self>,
        stream: StreamKey,
        block: &Block<'_>,
        head: &mut Self::Head,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Handled<Self>;

    /// Looks at a setting of the peer's whose meaning depends on the role.
    ///
    /// # Errors
    /// When the peer's role may not have it.
    fn check_setting(id: u16, value: u32) -> Result<(), ConnectionError>;
}

/// What one piece of input comes to.
pub(super) type Handled<R> = Result<Option<<R as Role>::Event>, ConnectionError>;

/// A whole field block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) depends_on_itself: bool,
    pub(super) bytes: &'a [u8],
}

/// How far this side has come in closing the connection gracefully (RFC 9113 §6.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    No,
    /// GOAWAY without a last stream was sent; what the client sends before it has it is still served.
    Announced,
    /// Streams of the peer's above this one are not looked at.
    Final(u32),
}

/// A field block that CONTINUATION is to continue.
#[derive(Debug)]
pub(super) struct OpenBlock {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) depends_on_itself: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) continuations: u32,
}

/// The stream that the parts of a DATA frame are for.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataFrame {
    /// `None`: they are passed over.
    pub(super) stream: Option<StreamKey>,
    pub(super) ends: bool,
    /// Whether it carried anything.
    pub(super) carried: bool,
}

/// What the PING behind GOAWAY carries: its answer shows that GOAWAY has arrived.
pub(super) const LEAVE_PING: [u8; 8] = *b"goodbye.";

/// One end of a connection, in the role `R`.
#[derive(Debug)]
pub struct Connection<R: Role> {
    pub(super) role: R,
    pub(super) limits: H2Limits,
    pub(super) head_limits: HeadLimits,
    pub(super) body_limits: BodyLimits,
    /// Bytes of the preface that were read; all of them in a client, which reads none.
    pub(super) preface: u8,
    pub(super) settings_seen: bool,
    /// The peer has acknowledged our settings.
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
    /// Bytes of data that were handed out and not given back yet, of all streams.
    ///
    /// INVARIANT: with what the peer may still send ([`unread_possible`](Connection::unread_possible)) at
    /// most [`H2Limits::unread_bytes_max`], which is looked at when a stream opens and when its window grows.
    pub(super) unread: u64,
    pub(super) send: SendWindow,
    pub(super) floods: Floods,
    pub(super) leaving: Leaving,
    /// The last stream that the peer's GOAWAY named.
    pub(super) peer_leaves: Option<u32>,
    /// A priority was changed since it was last asked for.
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
            streams: Streams::default(),
            highest: 0,
            recv: RecvWindow::new(limits.connection_window()),
            unread: 0,
            send: SendWindow::new(WINDOW_DEFAULT),
            floods: Floods::new(limits.budgets),
            leaving: Leaving::No,
            peer_leaves: None,
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
        // A peer that does not know our settings yet may fill the default window.
        let window = if self.settings_known { self.limits.initial_window() } else { WINDOW_DEFAULT };
        RecvWindow::new(window)
    }

    /// The peer has acknowledged our settings, and keeps to them from now on. What a stream is owed may be
    /// due now that its window is smaller, and nothing else may come that would have it announced.
    pub(super) fn know_settings(&mut self, out: &mut Vec<u8>) {
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

    // ---- what is known ----

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

    /// Whether the peer has begun something short and not completed it: its preface, a frame that is not
    /// DATA, a field block. A short timeout fits then.
    pub fn is_within_frame(&self) -> bool {
        !self.reader.is_between_frames() || self.block.is_some() || !self.settings_seen
    }

    /// Whether the preface, or what stands in its place, has not been read to its end.
    pub fn is_new(&self) -> bool {
        usize::from(self.preface) < frame::PREFACE.len()
    }

    /// Whether nothing can be sent on any stream before the peer opens the connection's window.
    pub fn is_shut(&self) -> bool {
        self.send.available() == 0
    }

    /// Whether one side has sent its last GOAWAY and every stream that it let pass is over.
    pub fn is_over(&self) -> bool {
        (matches!(self.leaving, Leaving::Final(_)) || self.peer_leaves.is_some()) && self.streams.len() == 0
    }

    /// Whether we have sent GOAWAY.
    pub fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    // ---- leaving ----

    /// Sends GOAWAY with the last stream of the peer's. What is open is finished, what comes is passed over,
    /// and no stream is opened any more.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.leaving, Leaving::Final(_)) {
            let last = self.peer_highest();
            self.leaving = Leaving::Final(last);
            frame::write_goaway(out, last, ErrorCode::NO_ERROR, "");
        }
    }

    /// The highest stream that the peer has opened: none where only we may, since push is refused.
    fn peer_highest(&self) -> u32 {
        if R::IS_CLIENT { 0 } else { self.highest }
    }

    /// Ends the connection for an error. Send what is in `out`, then close.
    pub fn fail(&mut self, error: ConnectionError, out: &mut Vec<u8>) {
        let last = match self.leaving {
            Leaving::Final(last) => last,
            Leaving::No | Leaving::Announced => self.peer_highest(),
        };
        self.leaving = Leaving::Final(last);
        frame::write_goaway(out, last, error.code(), &error.to_string());
    }

    // ---- streams ----

    pub(super) fn get(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key.place).filter(|stream| stream.id == key.id)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut Stream> {
        self.streams.at(key.place).filter(|stream| stream.id == key.id)
    }

    /// Resets a stream, unless it is closed.
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode, out: &mut Vec<u8>) {
        if self.get(stream).is_some() {
            self.streams.change(stream.place, Closed::ResetByUs, |_| None);
            frame::write_reset(out, stream.id, code);
        }
    }

    /// Gives the stream credit for data that was handed out and is gone: read, or thrown away. The first time
    /// that credit is announced for it, the stream's window grows too. The stream may be closed.
    pub fn consume(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        self.discard(bytes, out);
        self.credit_stream(stream, bytes, out);
    }

    /// Whether one stream's window can be so much larger: beside it there must be room for the windows of all
    /// open streams, and for as many more as may be opened, so that growth costs no stream its place.
    fn has_room_for_growth(&self, by: u32) -> bool {
        let initial = self.limits.initial_window();
        let windows = self.streams.iter().map(|stream| u64::from(stream.unread_max().max(initial)));
        let unopened = u64::from(self.limits.streams_max).saturating_sub(self.streams.len() as u64);
        let reserved = windows.sum::<u64>() + unopened * u64::from(initial);
        // They differ where streams are over and their data is not read yet.
        reserved.max(self.unread_possible()) + u64::from(by) <= self.limits.unread_bytes_max()
    }

    /// Whether the window of one more stream can be filled. It always can be, unless streams are over whose
    /// data is not read yet, or our settings are not known yet.
    pub(super) fn has_room_for_stream(&self) -> bool {
        let window = u64::from(self.new_stream_window().full());
        self.unread_possible() + window <= self.limits.unread_bytes_max()
    }

    /// What can be unread before more is consumed: what is, the rest of a DATA frame whose start was handed
    /// out, and what the peer may send besides.
    fn unread_possible(&self) -> u64 {
        let on_its_way = if self.data.stream.is_some() { self.reader.data_left() } else { 0 };
        let usable = self.streams.iter().map(|stream| u64::from(stream.usable()));
        self.unread + u64::from(on_its_way) + usable.sum::<u64>()
    }

    /// Notes that data was thrown away that had been handed out. Its stream gets no credit: nothing is read
    /// there any more, and the peer need not send more.
    pub fn discard(&mut self, bytes: u32, _out: &mut Vec<u8>) {
        self.unread = self.unread.saturating_sub(u64::from(bytes));
    }

    /// Bytes of data that were handed out and neither consumed nor discarded yet.
    pub fn unread_bytes(&self) -> u64 {
        self.unread
    }

    pub(super) fn credit_stream(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        let grown = self.limits.grown_window();
        let Some(known) = self.get_mut(stream) else { return };
        // What is not read on keeps its window as it is.
        if !known.is_read() {
            return;
        }
        let Some(incoming) = known.incoming() else { return };
        incoming.window.consume(bytes);
        if !incoming.window.is_due() {
            return;
        }
        // All streams are looked at here: once for most bodies, and where there is no room once for each
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
        if let Some(incoming) = self.get_mut(stream).and_then(Stream::incoming) {
            frame::write_window_update(out, stream.id, incoming.window.grow(full));
        }
    }

    /// Counts a DATA frame against the connection's window, and gives the credit for it back at once.
    ///
    /// The connection's window bounds what is on its way, not what is unread: were its credit withheld until
    /// data is read, a few streams that are not read could use it up, and stop all others, whose data is
    /// wanted (RFC 9113 §5.2.2). Memory is bounded by the windows of the streams instead, which are given
    /// back only for what was read: together they are at most [`H2Limits::unread_bytes_max`], and none of
    /// them depends on another one's reader. Only whether one grows depends on the others.
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
