//! The sending side of HTTP/2: heads of requests, and their bodies as far as the server's windows let
//! them.

use quoit::http::h2::frame::{self, FrameHeader, FrameKind, flag};

use super::answer::Came;
use super::{Multiplex, Stream};
use crate::engine::core::Core;
use crate::engine::record::Flight;

/// Bytes of bodies in one send: what is beyond leaves with the next.
const SEND_BYTES_MAX: usize = 256 * 1024;

impl Multiplex {
    /// Writes the head of a request, and takes its stream into the books.
    pub(super) fn begin(&mut self, core: &Core, mut flight: Flight, now_ns: u64, out: &mut Vec<u8>) {
        let (id, before) = (self.next_id, out.len());
        self.next_id += 2;
        let spec = &core.plan.mix.specs()[flight.endpoint as usize];
        let body = match &spec.fixed {
            Some(lines) => {
                let body = spec.shared_body().cloned().unwrap_or_default();
                if core.plan.mix.specs().len() == 1 {
                    self.write_same_head(lines, body.is_empty(), out);
                } else {
                    self.write_head(lines, body.is_empty(), out);
                }
                body
            }
            None => {
                let (filling, lines) = &mut *core.filling.borrow_mut();
                lines.clear();
                let body = spec.render_lines(filling, lines);
                filling.advance();
                self.write_head(lines, body.is_empty(), out);
                body
            }
        };
        let bytes = out.len() - before + body.len();
        core.record.borrow_mut().handle_sent(&mut flight, now_ns, bytes as u64);
        self.bodies += usize::from(!body.is_empty());
        let window = i64::from(self.server().initial_window);
        let answer = Came::new(spec.is_head);
        self.streams.push_back(Stream { id, flight, answer, uncredited: 0, body, sent: 0, window });
    }

    /// As [`write_head`](Self::write_head), for lines that never change.
    fn write_same_head(&mut self, lines: &[u8], ends: bool, out: &mut Vec<u8>) {
        let (stream, start) = (self.next_id - 2, out.len());
        if self.repeated.is_settled {
            let flags = flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 };
            let length = self.repeated.block.len() as u32;
            FrameHeader { length, kind: FrameKind::Headers, flags, stream }.write(out);
            return out.extend_from_slice(&self.repeated.block);
        }
        self.write_head(lines, ends, out);
        let block = &out[start + frame::HEADER_BYTES..];
        self.repeated.is_settled =
            block == self.repeated.block && block.len() <= self.server().frame_bytes as usize;
        self.repeated.block.clear();
        self.repeated.block.extend_from_slice(block);
    }

    /// HEADERS of the newest stream, and CONTINUATION where one frame does not hold them.
    fn write_head(&mut self, lines: &[u8], ends: bool, out: &mut Vec<u8>) {
        let (stream, start) = (self.next_id - 2, out.len());
        let frame_bytes = self.server().frame_bytes as usize;
        out.extend_from_slice(&[0; frame::HEADER_BYTES]);
        self.encoder.begin(out).lines(lines);
        let length = out.len() - start - frame::HEADER_BYTES;
        let ends = if ends { flag::END_STREAM } else { 0 };
        let first = length.min(frame_bytes);
        let flags = ends | if first == length { flag::END_HEADERS } else { 0 };
        let header = FrameHeader { length: first as u32, kind: FrameKind::Headers, flags, stream };
        out[start..start + frame::HEADER_BYTES].copy_from_slice(&header.bytes());
        let rest = out.split_off(start + frame::HEADER_BYTES + first);
        let mut parts = rest.chunks(frame_bytes).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { flag::END_HEADERS } else { 0 };
            FrameHeader { length: part.len() as u32, kind: FrameKind::Continuation, flags, stream }
                .write(out);
            out.extend_from_slice(part);
        }
    }

    /// As much of the bodies as the windows let out, oldest stream first.
    pub(super) fn write_bodies(&mut self, out: &mut Vec<u8>) {
        let frame_bytes = self.server().frame_bytes as usize;
        for stream in self.streams.iter_mut().filter(|stream| stream.unsent() > 0) {
            while stream.unsent() > 0 && out.len() < SEND_BYTES_MAX {
                let window = stream.window.min(self.window).max(0) as usize;
                let length = stream.unsent().min(window).min(frame_bytes);
                if length == 0 {
                    break;
                }
                let part = &stream.body[stream.sent..stream.sent + length];
                stream.sent += length;
                let flags = if stream.unsent() == 0 { flag::END_STREAM } else { 0 };
                FrameHeader { length: length as u32, kind: FrameKind::Data, flags, stream: stream.id }
                    .write(out);
                out.extend_from_slice(part);
                stream.window -= length as i64;
                self.window -= length as i64;
            }
            self.bodies -= usize::from(stream.unsent() == 0);
        }
    }
}
