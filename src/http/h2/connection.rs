//! A server's end of one HTTP/2 connection (RFC 9113): what is open, what was agreed, and how it ends.
//! Reading is in `receive`, writing in `send`; there is no socket and no clock in any of them.
//!
//! The caller passes what it received to [`handle_bytes`](Connection::handle_bytes), which gives one event
//! at a time, and a buffer that answers are appended to: acknowledgements, credit, refusals. It must send
//! that buffer, in order, and should take no more input while it cannot. Responses are appended to the same
//! buffer: a head, data as far as [`sendable`](Connection::sendable) says, trailers.

use std::ops::Range;
use std::time::Duration;

use super::error::{ConnectionError, ErrorCode, StreamError};
use super::floods::Floods;
use super::flow::{RecvWindow, SendWindow};
use super::frame::{self, FRAME_BYTES_DEFAULT, MAX_31_BITS};
use super::hpack;
use super::limits::H2Limits;
use super::priority::Priority;
use super::reader::FrameReader;
use super::request::Scratch;
use super::settings::{Settings, WINDOW_DEFAULT, id};
use super::stream::State;
use super::streams::{Closed, Streams};
use crate::http::message::{BodyLimits, FramingError, HeadLimits, RequestError};

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

/// What the input says.
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
    /// Data of a request's body, whose bytes have to be given back with [`Connection::consume`]. `ends`: it
    /// is the last of it.
    Data {
        /// Its stream.
        stream: StreamKey,
        /// Where it lies within the input; may be empty.
        data: Range<usize>,
        /// Whether the body ends with it.
        ends: bool,
    },
    /// A request's body has ended with trailers, as field lines; or with some that are refused.
    Trailers {
        /// Its stream.
        stream: StreamKey,
        /// The lines, each with its CRLF.
        lines: Result<Vec<u8>, FramingError>,
    },
    /// A stream is no more. Its reader and its response are to be given up.
    Reset {
        /// Which one it was.
        stream: StreamKey,
        /// The client's misdeed, which was answered with RST_STREAM; `None` when the client reset it.
        error: Option<StreamError>,
    },
    /// A request that gets no answer, and whose stream was reset.
    Malformed(StreamError),
}

/// How far one call came.
#[derive(Debug)]
pub struct Step {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// What they say; `None` when all of the input was taken.
    pub event: Option<Event>,
}

/// Leaving (RFC 9113 §6.8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Leaving {
    No,
    /// The client was told that we will; what it sent before it hears that is still served.
    Announced,
    /// Streams above this one are not looked at.
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

/// What PING carries that tells when GOAWAY has arrived.
pub(super) const LEAVE_PING: [u8; 8] = *b"goodbye.";

/// A server's end of a connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) limits: H2Limits,
    pub(super) head_limits: HeadLimits,
    pub(super) body_limits: BodyLimits,
    /// Bytes of the preface that were read.
    pub(super) preface: u8,
    pub(super) settings_seen: bool,
    /// The client knows our settings.
    pub(super) settings_known: bool,
    pub(super) reader: FrameReader,
    pub(super) block: Option<Box<OpenBlock>>,
    pub(super) data: DataFrame,
    pub(super) scratch: Scratch,
    pub(super) decoder: hpack::Decoder,
    pub(super) encoder: hpack::Encoder,
    pub(super) peer: Settings,
    pub(super) streams: Streams,
    /// The highest stream that the client opened.
    pub(super) highest: u32,
    pub(super) recv: RecvWindow,
    /// Bytes of data that were handed out and not given back yet, of all streams.
    ///
    /// INVARIANT: at most [`H2Limits::unread_bytes_max`]: each stream's window bounds its own share, and only
    /// open streams have one.
    pub(super) unread: u64,
    pub(super) send: SendWindow,
    pub(super) floods: Floods,
    pub(super) leaving: Leaving,
    pub(super) peer_leaves: bool,
    /// A priority was changed since somebody asked.
    pub(super) reprioritized: bool,
}

impl Connection {
    /// A connection of which nothing was read. [`start`](Connection::start) it.
    pub fn new(limits: &H2Limits, heads: &HeadLimits, bodies: &BodyLimits) -> Connection {
        Connection {
            limits: *limits,
            head_limits: *heads,
            body_limits: *bodies,
            preface: 0,
            settings_seen: false,
            settings_known: false,
            reader: FrameReader::new(FRAME_BYTES_DEFAULT),
            block: None,
            data: DataFrame { stream: None, ends: false, carried: false },
            scratch: Scratch::default(),
            decoder: hpack::Decoder::new(),
            encoder: hpack::Encoder::new(),
            peer: Settings::DEFAULT,
            streams: Streams::default(),
            highest: 0,
            recv: RecvWindow::new(limits.connection_window.max(WINDOW_DEFAULT)),
            unread: 0,
            send: SendWindow::new(WINDOW_DEFAULT),
            floods: Floods::new(limits.budgets),
            leaving: Leaving::No,
            peer_leaves: false,
            reprioritized: false,
        }
    }

    /// Appends what a server says first: SETTINGS, and the connection's window.
    pub fn start(&self, out: &mut Vec<u8>) {
        let settings = [
            (id::MAX_CONCURRENT_STREAMS, self.limits.streams_max),
            (id::INITIAL_WINDOW_SIZE, self.limits.stream_window()),
            (id::MAX_HEADER_LIST_SIZE, u32::from(self.limits.list_bytes_max)),
            // RFC 7540's tree of dependencies is not looked at.
            (id::NO_RFC7540_PRIORITIES, 1),
            (id::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let sent = settings.len() - usize::from(!self.limits.connect_protocol);
        frame::write_settings(out, &settings[..sent]);
        if let Some(more @ 1..) = self.recv.left().checked_sub(WINDOW_DEFAULT) {
            frame::write_window_update(out, 0, more);
        }
    }

    // ---- what is known ----

    /// Streams that are open, in whatever half.
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// The open stream with this number.
    pub fn stream(&self, id: u32) -> Option<StreamKey> {
        self.streams.find(id).map(|place| StreamKey { place, id })
    }

    /// Whether this stream still takes a response.
    pub fn is_open(&self, stream: StreamKey) -> bool {
        self.get(stream).is_some_and(|known| known.outgoing().is_some())
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

    /// Whether the client owes us the rest of something short: its preface, a frame that is not DATA, a
    /// field block. It should hurry then.
    pub fn is_within_frame(&self) -> bool {
        !self.reader.is_between_frames() || self.block.is_some() || !self.settings_seen
    }

    /// Whether the preface, or what stands in its place, has not been read to its end.
    pub fn is_new(&self) -> bool {
        usize::from(self.preface) < frame::PREFACE.len()
    }

    /// Whether nothing can be sent on any stream before the client opens the connection's window.
    pub fn is_shut(&self) -> bool {
        self.send.available() == 0
    }

    /// Whether one side said goodbye and every stream it let pass is over.
    pub fn is_over(&self) -> bool {
        (matches!(self.leaving, Leaving::Final(_)) || self.peer_leaves) && self.streams.len() == 0
    }

    /// Whether the client was told that we leave.
    pub fn is_leaving(&self) -> bool {
        self.leaving != Leaving::No
    }

    // ---- leaving ----

    /// Says that no new streams should come, without turning those away that are on their way: the final
    /// word follows when the client has answered a PING, or with [`leave`](Connection::leave).
    pub fn announce_leave(&mut self, out: &mut Vec<u8>) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Announced;
            frame::write_goaway(out, MAX_31_BITS, ErrorCode::NO_ERROR, "");
            frame::write_ping(out, 0, &LEAVE_PING);
        }
    }

    /// Says which stream is the last. What is open is finished, what comes is passed over.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.leaving, Leaving::Final(_)) {
            self.leaving = Leaving::Final(self.highest);
            frame::write_goaway(out, self.highest, ErrorCode::NO_ERROR, "");
        }
    }

    /// Ends the connection for a misdeed. Send what is in `out`, then close.
    pub fn fail(&mut self, error: ConnectionError, out: &mut Vec<u8>) {
        let last = match self.leaving {
            Leaving::Final(last) => last,
            Leaving::No | Leaving::Announced => self.highest,
        };
        self.leaving = Leaving::Final(last);
        frame::write_goaway(out, last, error.code(), &error.to_string());
    }

    // ---- streams ----

    pub(super) fn get(&self, key: StreamKey) -> Option<&super::stream::Stream> {
        self.streams.get(key.place).filter(|stream| stream.id == key.id)
    }

    pub(super) fn get_mut(&mut self, key: StreamKey) -> Option<&mut super::stream::Stream> {
        self.streams.at(key.place).filter(|stream| stream.id == key.id)
    }

    /// Resets a stream, unless it is closed.
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode, out: &mut Vec<u8>) {
        if self.get(stream).is_some() {
            self.streams.change(stream.place, Closed::ResetByUs, |_| None);
            frame::write_reset(out, stream.id, code);
        }
    }

    /// Resets streams whose response has been out for so long, while the request still is not whole.
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

    /// Gives the stream credit for data that was handed out and is gone: read, or thrown away. The stream may
    /// be closed.
    pub fn consume(&mut self, stream: StreamKey, bytes: u32, out: &mut Vec<u8>) {
        self.discard(bytes, out);
        self.credit_stream(stream, bytes, out);
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
        let Some(known) = self.get_mut(stream) else { return };
        // What is not read on keeps its window as it is.
        if !known.is_read() {
            return;
        }
        let Some(incoming) = known.incoming() else { return };
        incoming.window.consume(bytes);
        if let Some(increment) = incoming.window.announce() {
            frame::write_window_update(out, stream.id, increment);
        }
    }

    /// Counts a DATA frame against the connection's window, and gives the credit for it back at once.
    ///
    /// The connection's window bounds what is on its way, not what is unread: were its credit withheld until
    /// data is read, a few streams that are not read could use it up, and stop all others, whose data is
    /// wanted (RFC 9113 §5.2.2). Memory is bounded by the windows of the streams instead, which are given
    /// back only for what was read: together they hold at most [`H2Limits::unread_bytes_max`], and none of
    /// them depends on another one's reader.
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
