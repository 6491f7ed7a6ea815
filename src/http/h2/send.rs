//! The writing half of a connection: messages into frames, as far as the peer's windows allow. Heads are
//! written by the roles.

use std::time::Duration;

use super::connection::{Connection, Role, StreamKey};
use super::error::ErrorCode;
use super::frame::{FRAME_BYTES_DEFAULT, FrameHeader, FrameKind, HEADER_BYTES, flag};
use super::stream::{H2Stream, StreamState};
use super::streams::ClosedStream;

/// Whether a frame carries END_STREAM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndStream {
    /// More follows.
    No,
    /// Nothing follows.
    Yes,
}

impl<R: Role> Connection<R> {
    /// Appends trailers, with END_STREAM. Field lines as HTTP/1 has them.
    pub fn send_trailers(&mut self, stream: StreamKey, lines: &[u8], now: Duration, out: &mut Vec<u8>) {
        if !self.is_open(stream) {
            return;
        }
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        self.encoder.begin(out).lines(lines);
        self.end_block(stream.id, start, EndStream::Yes, out);
        self.end_stream(stream, EndStream::Yes, now, out);
    }

    /// Writes the header of the frame, in the place reserved before its block.
    #[inline]
    pub(super) fn end_block(&mut self, stream: u32, start: usize, end: EndStream, out: &mut Vec<u8>) {
        let length = out.len() - start - HEADER_BYTES;
        let ends = if end == EndStream::Yes { flag::END_STREAM } else { 0 };
        if length > self.peer.frame_bytes as usize {
            return split_block(out, start, ends, stream, self.peer.frame_bytes as usize);
        }
        let flags = flag::END_HEADERS | ends;
        let header = FrameHeader { length: length as u32, kind: FrameKind::Headers, flags, stream };
        out[start..start + HEADER_BYTES].copy_from_slice(&header.bytes());
    }

    /// Bytes of data that the next frame of this stream may carry: 0 while a window is exhausted.
    #[inline]
    pub fn sendable(&self, stream: StreamKey) -> usize {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        let window = outgoing.map_or(0, |outgoing| outgoing.window.available());
        // Longer frames would delay streams of equal urgency, and save almost nothing.
        window.min(self.send.available()).min(FRAME_BYTES_DEFAULT) as usize
    }

    /// Whether the stream's own window is shut.
    pub fn is_stream_shut(&self, stream: StreamKey) -> bool {
        let outgoing = self.get(stream).and_then(|known| known.outgoing());
        outgoing.is_some_and(|outgoing| outgoing.window.available() == 0)
    }

    /// Appends the header of a DATA frame. Exactly `length` bytes of data must be appended next; no more
    /// than [`sendable`](Connection::sendable) returned. False, and nothing is appended, when the stream is
    /// closed.
    #[inline]
    pub fn begin_data_frame(
        &mut self,
        stream: StreamKey,
        length: usize,
        end: EndStream,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(header) = self.data_frame(stream, length, end, now) else { return false };
        out.extend_from_slice(&header);
        true
    }

    /// As [`begin_data_frame`](Connection::begin_data_frame), for data that already follows the place of its
    /// header.
    #[inline]
    pub fn data_frame(
        &mut self,
        stream: StreamKey,
        length: usize,
        end: EndStream,
        now: Duration,
    ) -> Option<[u8; HEADER_BYTES]> {
        let length = length as u32;
        let outgoing = self.get_mut(stream).and_then(H2Stream::outgoing_mut)?;
        outgoing.window.take(length);
        self.send.take(length);
        self.floods.count_sent(length);
        let flags = if end == EndStream::Yes { flag::END_STREAM } else { 0 };
        // `stop_request` is left to the caller: RST_STREAM must not be written between header and data.
        if end == EndStream::Yes {
            self.half_close(stream, now);
        }
        Some(FrameHeader { length, kind: FrameKind::Data, flags, stream: stream.id }.bytes())
    }

    /// Resets a stream with NO_ERROR when its response was sent and the rest of its request is more than is
    /// discarded (RFC 9113 §8.1): call after the data of the last frame. Does nothing in a client.
    pub fn stop_request(&mut self, stream: StreamKey, out: &mut Vec<u8>) {
        let Some(known) = self.get_mut(stream) else { return };
        if let StreamState::HalfClosedLocal { incoming, .. } = &known.state
            && !incoming.reads_on
            && incoming.exceeds_discard()
        {
            self.reset(stream, ErrorCode::NO_ERROR, out);
        }
    }

    pub(super) fn end_stream(&mut self, stream: StreamKey, end: EndStream, now: Duration, out: &mut Vec<u8>) {
        if end == EndStream::Yes {
            self.half_close(stream, now);
            self.stop_request(stream, out);
        }
    }

    fn half_close(&mut self, stream: StreamKey, now: Duration) {
        self.floods.count_response();
        let is_last = |known: &H2Stream| matches!(known.state, StreamState::HalfClosedRemote { .. });
        if self.get(stream).is_some_and(is_last) {
            self.streams.remove(stream.place, ClosedStream::Ended);
        } else {
            self.streams.change(stream.place, ClosedStream::Ended, |known| known.ended_locally(now));
        }
    }
}

/// Splits a block that is too long for one frame.
#[cold]
fn split_block(out: &mut Vec<u8>, start: usize, flags: u8, stream: u32, frame_bytes: usize) {
    let block = out.split_off(start);
    let mut fragments = block[HEADER_BYTES..].chunks(frame_bytes).peekable();
    let (mut kind, mut flags) = (FrameKind::Headers, flags);
    while let Some(fragment) = fragments.next() {
        let end = if fragments.peek().is_none() { flag::END_HEADERS } else { 0 };
        FrameHeader { length: fragment.len() as u32, kind, flags: flags | end, stream }.write(out);
        out.extend_from_slice(fragment);
        (kind, flags) = (FrameKind::Continuation, 0);
    }
}
