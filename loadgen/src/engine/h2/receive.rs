//! The receiving side of HTTP/2: frames, each checked against what the RFC allows a server, and what becomes
//! of streams by them.

use quoit::http::h2::frame::{self, FrameHeader, FrameKind, MAX_31_BITS, flag};
use quoit::http::h2::settings::id;
use quoit::http::h2::{ConnectionError, ErrorCode};

use super::answer::read_block;
use super::{Multiplex, Repeated, WINDOW};
use crate::engine::link::Link;
use crate::engine::record::Fault;
use crate::engine::response::Answer;

/// Bytes of a field block at the most, as of a head in HTTP/1.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

impl Multiplex {
    /// RFC 9113, section 3.4: settings come first; section 6.10: a field block is not interrupted.
    pub(super) fn check_order(&self, header: &FrameHeader) -> Result<(), ConnectionError> {
        if self.settings.is_none() && (header.kind != FrameKind::Settings || header.has(flag::ACK)) {
            return Err(ConnectionError::SettingsMissing);
        }
        match (self.block_of, header.kind) {
            (Some((stream, _)), FrameKind::Continuation) if stream == header.stream => Ok(()),
            (None, FrameKind::Continuation) => Err(ConnectionError::ContinuationUnexpected),
            (Some(_), kind) => Err(ConnectionError::BlockInterrupted(kind)),
            (None, _) => Ok(()),
        }
    }

    pub(super) fn handle_frame(
        &mut self,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        match header.kind {
            FrameKind::Headers => {
                self.check_stream(&header)?;
                let parts = frame::headers_parts(&header, payload)?;
                self.count(header.stream, header.length);
                self.block_of = Some((header.stream, header.has(flag::END_STREAM)));
                self.handle_block(link, &header, &payload[parts.fragment])
            }
            FrameKind::Continuation => {
                self.count(header.stream, header.length);
                self.handle_block(link, &header, payload)
            }
            FrameKind::Settings if header.has(flag::ACK) => Ok(()),
            FrameKind::Settings => self.handle_settings(payload),
            FrameKind::Ping if header.has(flag::ACK) => Ok(()),
            FrameKind::Ping => {
                let payload = payload.first_chunk().expect("its length was checked");
                frame::write_ping(&mut self.control, flag::ACK, payload);
                Ok(())
            }
            FrameKind::WindowUpdate => self.widen(header.stream, frame::first_u32(payload) & MAX_31_BITS),
            FrameKind::RstStream => {
                self.check_stream(&header)?;
                self.fail(link, header.stream, Fault::Reset);
                Ok(())
            }
            FrameKind::Goaway => {
                self.leave(link, frame::first_u32(payload) & MAX_31_BITS);
                Ok(())
            }
            FrameKind::PushPromise => Err(ConnectionError::PushPromise),
            FrameKind::Data | FrameKind::Priority | FrameKind::PriorityUpdate | FrameKind::Unknown(_) => {
                Ok(())
            }
        }
    }

    /// RFC 9113, section 5.1: what concerns a stream that was never opened.
    fn check_stream(&self, header: &FrameHeader) -> Result<(), ConnectionError> {
        let is_ours = header.stream % 2 == 1 && header.stream < self.next_id;
        if is_ours { Ok(()) } else { Err(ConnectionError::StreamIdle(header.kind)) }
    }

    fn handle_settings(&mut self, payload: &[u8]) -> Result<(), ConnectionError> {
        let mut settings = self.server();
        settings.apply(payload)?;
        let by = i64::from(settings.initial_window) - i64::from(self.server().initial_window);
        self.streams.iter_mut().for_each(|stream| stream.window += by);
        if self.streams.iter().any(|stream| stream.window > i64::from(MAX_31_BITS)) {
            return Err(ConnectionError::WindowOverflow);
        }
        // Each of them: the smallest has to be signalled (RFC 7541, section 4.2).
        for (setting, value) in frame::settings_of(payload) {
            if setting == id::HEADER_TABLE_SIZE {
                self.encoder.set_table_bytes_max(value);
            }
        }
        self.repeated = Repeated::default();
        self.settings = Some(settings);
        frame::write_settings_ack(&mut self.control);
        Ok(())
    }

    fn widen(&mut self, stream: u32, by: u32) -> Result<(), ConnectionError> {
        let window = match (stream, self.place(stream)) {
            (0, _) => &mut self.window,
            (_, Some(place)) => &mut self.streams[place].window,
            // Of a stream that is over.
            (_, None) => return Ok(()),
        };
        *window += i64::from(by);
        match (by, *window > i64::from(MAX_31_BITS)) {
            (0, _) => Err(ConnectionError::IncrementZero),
            (_, true) => Err(ConnectionError::WindowOverflow),
            _ => Ok(()),
        }
    }

    /// The server takes no stream above `last`, and no new ones.
    fn leave(&mut self, link: &mut Link, last: u32) {
        (self.is_leaving, link.closing) = (true, true);
        let taken = self.streams.partition_point(|stream| stream.id <= last);
        let refused = self.streams.split_off(taken);
        self.bodies -= refused.iter().filter(|stream| stream.unsent() > 0).count();
        if !refused.is_empty() {
            link.fail(refused.into_iter().map(|stream| stream.flight), Fault::Read);
        }
    }

    fn count(&mut self, stream: u32, payload_bytes: u32) {
        if let Some(place) = self.place(stream) {
            self.streams[place].answer.bytes += frame::HEADER_BYTES as u64 + u64::from(payload_bytes);
        }
    }

    /// A fragment of a field block; the answer's, once it is whole.
    fn handle_block(
        &mut self,
        link: &mut Link,
        header: &FrameHeader,
        fragment: &[u8],
    ) -> Result<(), ConnectionError> {
        if self.block.len() + fragment.len() > BLOCK_BYTES_MAX {
            return Err(ConnectionError::BlockTooLong);
        }
        let is_whole = header.has(flag::END_HEADERS);
        if !is_whole || !self.block.is_empty() {
            self.block.extend_from_slice(fragment);
        }
        if !is_whole {
            return Ok(());
        }
        let (stream, ends) = self.block_of.take().expect("a fragment belongs to a block");
        let gathered = std::mem::take(&mut self.block);
        let block = if gathered.is_empty() { fragment } else { &gathered };
        // Also of a stream that is over: the tables of both ends must agree.
        let fields = read_block(&mut self.decoder, block)?;
        let Some(place) = self.place(stream) else { return Ok(()) };
        match self.streams[place].answer.handle_fields(fields, ends) {
            Ok(()) if ends => self.finish(link, place),
            Ok(()) => {}
            Err(()) => self.give_up(link, place),
        }
        Ok(())
    }

    pub(super) fn begin_data(&mut self, header: &FrameHeader) -> Result<(), ConnectionError> {
        self.check_stream(header)?;
        self.count(header.stream, header.length);
        self.data_of = (header.stream, header.has(flag::END_STREAM));
        self.uncredited += header.length;
        if self.uncredited >= WINDOW / 2 {
            frame::write_window_update(&mut self.control, 0, std::mem::take(&mut self.uncredited));
        }
        if let Some(place) = self.place(header.stream) {
            let stream = &mut self.streams[place];
            stream.uncredited += header.length;
            if stream.uncredited >= WINDOW / 2 {
                let by = std::mem::take(&mut stream.uncredited);
                frame::write_window_update(&mut self.control, stream.id, by);
            }
        }
        Ok(())
    }

    pub(super) fn handle_data(&mut self, link: &mut Link, bytes: usize, is_last: bool) {
        let (id, ends) = self.data_of;
        let Some(place) = self.place(id) else { return };
        let answer = &mut self.streams[place].answer;
        let is_sound = answer.handle_data(bytes as u64).is_ok() && !(is_last && ends && answer.is_short());
        match (is_sound, is_last && ends) {
            (false, _) => self.give_up(link, place),
            (true, true) => self.finish(link, place),
            (true, false) => {}
        }
    }

    /// The answer is whole.
    fn finish(&mut self, link: &mut Link, place: usize) {
        let stream = self.streams.remove(place).expect("found by the caller");
        if stream.unsent() > 0 {
            // RFC 9113, section 8.1: the server needs no more of it.
            self.bodies -= 1;
            frame::write_reset(&mut self.control, stream.id, ErrorCode::CANCEL);
        }
        let answer = Answer { status: stream.answer.status, closes: false, bytes: stream.answer.bytes };
        link.handle_answer(&stream.flight, answer, self.heard_ns);
    }

    /// What came on a stream is no answer.
    fn give_up(&mut self, link: &mut Link, place: usize) {
        let id = self.streams[place].id;
        frame::write_reset(&mut self.control, id, ErrorCode::PROTOCOL_ERROR);
        self.fail(link, id, Fault::Protocol);
    }

    fn fail(&mut self, link: &mut Link, id: u32, fault: Fault) {
        let Some(stream) = self.place(id).and_then(|place| self.streams.remove(place)) else { return };
        self.bodies -= usize::from(stream.unsent() > 0);
        link.fail([stream.flight].into_iter(), fault);
        link.closing |= link.core.plan.new_connections;
    }
}
