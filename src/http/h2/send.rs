//! The writing half of a connection: messages into frames, as far as the peer's windows allow. Heads are
//! written by the roles.

use std::time::Duration;

use super::connection::{Connection, Role, StreamKey};
use super::error::ErrorCode;
use super::frame::{FRAME_BYTES_DEFAULT, FrameHeader, HEADER_BYTES, Kind, flag};
use super::stream::{State, Stream};
use super::streams::Closed;

/// Whether a frame ends our side of its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// More follows.
    No,
    /// Nothing follows.
    Yes,
}

impl<R: Role> Connection<R> {
    /// Appends trailers, which end our side of the stream. Field lines as HTTP/1 has them.
    pub fn send_trailers(&mut self, stream: StreamKey, lines: &[u8], now: Duration, out: &mut Vec<u8>) {
        if !self.is_open(stream) {
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        self.encoder.begin(out).lines(lines);
        self.end_block(stream.id, start, End::Yes, out);
        self.end_stream(stream, End::Yes, now, out);
    }

    /// Writes the header of the frame whose block lies behind its place.
    #[inline]
    pub(super) fn end_block(&mut self, stream: u32, start: usize, end: End, out: &mut Vec<u8>) {
        let length = out.len() - start - HEADER_BYTES;
        let ends = if end == End::Yes { flag::END_STREAM } else { 0 };
        if length > self.peer.frame_bytes as usize {
            return split_block(out, start, ends, stream, self.peer.frame_bytes as usize);
        }
        let flags = flag::END_HEADERS | ends;
        let header = FrameHeader { length: length as u32, kind: Kind::Headers, flags, stream };
        out[start..start + HEADER_BYTES].copy_from_slice(&header.bytes());
    }

    /// Bytes of data that the next frame of this stream may carry: nothing while a window is shut.
    #[inline]
    pub fn sendable(&self, stream: StreamKey) -> usize {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        let window = outgoing.map_or(0, |outgoing| outgoing.window.available());
        // Longer frames would let others of their urgency wait longer, and save next to nothing.
        window.min(self.send.available()).min(FRAME_BYTES_DEFAULT) as usize
    }

    /// Whether the stream's own window is shut.
    pub fn is_stream_shut(&self, stream: StreamKey) -> bool {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        outgoing.is_some_and(|outgoing| outgoing.window.available() == 0)
    }

    /// Appends the header of a DATA frame. Exactly `length` bytes of data must be appended next; no more
    /// than [`sendable`](Connection::sendable) said. False, and nothing is appended, when the stream is
    /// closed.
    #[inline]
    pub fn begin_data_frame(
        &mut self,
        stream: StreamKey,
        length: usize,
        end: End,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(header) = self.data_frame(stream, length, end, now) else { return false };
        out.extend_from_slice(&header);
        true
    }

    /// As [`begin_data_frame`](Connection::begin_data_frame), for data that lies behind the place of its
    /// header already.
    #[inline]
    pub fn data_frame(
        &mut self,
        stream: StreamKey,
        length: usize,
        end: End,
        now: Duration,
    ) -> Option<[u8; HEADER_BYTES]> {
        let length = length as u32;
        let outgoing = self.get_mut(stream).and_then(Stream::outgoing_mut)?;
        outgoing.window.take(length);
        self.send.take(length);
        self.floods.worked();
        let flags = if end == End::Yes { flag::END_STREAM } else { 0 };
        // What may follow the data is RST_STREAM, and that must not stand between header and data.
        if end == End::Yes {
            self.half_close(stream, now);
        }
        Some(FrameHeader { length, kind: Kind::Data, flags, stream: stream.id }.bytes())
    }

    /// Asks a client to end a request that it is still sending, though its response is out, when more is
    /// announced than it could send: call after the data of the last frame (RFC 9113 §8.1). Does nothing in a
    /// client.
    pub fn stop_request(&mut self, stream: StreamKey, out: &mut Vec<u8>) {
        let Some(known) = self.get_mut(stream) else { return };
        if let State::HalfClosedLocal { incoming, .. } = &known.state
            && !incoming.reads_on
            && incoming.exceeds_window()
        {
            self.reset(stream, ErrorCode::NO_ERROR, out);
        }
    }

    pub(super) fn end_stream(&mut self, stream: StreamKey, end: End, now: Duration, out: &mut Vec<u8>) {
        if end == End::Yes {
            self.half_close(stream, now);
            self.stop_request(stream, out);
        }
    }

    fn half_close(&mut self, stream: StreamKey, now: Duration) {
        self.streams.change(stream.place, Closed::Ended, |known| known.ended_locally(now));
    }
}

/// Lays a block that is too long for one frame into several.
#[cold]
fn split_block(out: &mut Vec<u8>, start: usize, flags: u8, stream: u32, frame_bytes: usize) {
    let block = out.split_off(start);
    let mut fragments = block[HEADER_BYTES..].chunks(frame_bytes).peekable();
    let (mut kind, mut flags) = (Kind::Headers, flags);
    while let Some(fragment) = fragments.next() {
        let end = if fragments.peek().is_none() { flag::END_HEADERS } else { 0 };
        FrameHeader { length: fragment.len() as u32, kind, flags: flags | end, stream }.write(out);
        out.extend_from_slice(fragment);
        (kind, flags) = (Kind::Continuation, 0);
    }
}
