//! HTTP/2 (RFC 9113) on one connection, the client's end: requests are streams, answers come in any order.
//! Frames and field blocks are read and written by `quoit::http::h2`, which is held against other
//! implementations; which stream stands where, and what it is booked as, is decided here.

use std::collections::VecDeque;

use bytes::Bytes;
use quoit::http::h2::frame::{self, FRAME_BYTES_DEFAULT, FrameHeader, Kind, MAX_31_BITS, PREFACE, flag};
use quoit::http::h2::hpack::{Decoder, Encoder};
use quoit::http::h2::settings::{Settings, WINDOW_DEFAULT, id};
use quoit::http::h2::{ConnectionError, ErrorCode, FrameReader, Piece};
use quoit::ring::Payload;

use super::connection::Exchanges;
use super::core::Core;
use super::h2_answer::{Came, read_block};
use super::link::Link;
use super::record::{Fault, Flight};
use super::response::Answer;

/// Window of each stream and of the connection: what is read is only counted, so that no window should hold a
/// server back. The half of the largest there is, so that it can be widened.
const WINDOW: u32 = 1 << 30;

/// Streams at once before the server has said how many: what RFC 9113, section 6.5.2, asks of it at least.
const STREAMS_UNTOLD: usize = 100;

/// Bytes of a field block at the most, as of a head in HTTP/1.
const BLOCK_BYTES_MAX: usize = 64 * 1024;

/// Bytes of bodies in one send: what is beyond leaves with the next.
const SEND_BYTES_MAX: usize = 256 * 1024;

/// A request on its way.
struct Stream {
    id: u32,
    flight: Flight,
    answer: Came,
    /// Bytes received that were not credited.
    uncredited: u32,
    /// Its body, what of it was sent, and how much more the server takes.
    body: Bytes,
    sent: usize,
    window: i64,
}

impl Stream {
    fn unsent(&self) -> usize {
        self.body.len() - self.sent
    }
}

/// A connection's streams.
pub(super) struct Multiplex {
    reader: FrameReader,
    decoder: Decoder,
    encoder: Encoder,
    /// The server's; `None` before it told them.
    settings: Option<Settings>,
    /// Those in flight, by number, which is in the order of sending.
    streams: VecDeque<Stream>,
    unsent: VecDeque<Flight>,
    next_id: u32,
    /// Whether the server said that it takes no further stream.
    is_leaving: bool,
    /// The connection's windows: what the server takes, and what it sent that was not credited.
    window: i64,
    uncredited: u32,
    /// Streams whose body is not sent.
    bodies: usize,
    /// A field block in pieces, and of which stream; with whether that ends there.
    block: Vec<u8>,
    block_of: Option<(u32, bool)>,
    /// The DATA frame that is coming: its stream, and whether that ends there.
    data_of: (u32, bool),
    /// Frames of the connection itself that wait to be sent.
    control: Vec<u8>,
    /// When something came last.
    heard_ns: u64,
}

impl Default for Multiplex {
    fn default() -> Self {
        Self {
            reader: FrameReader::new(FRAME_BYTES_DEFAULT),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            settings: None,
            streams: VecDeque::new(),
            unsent: VecDeque::new(),
            next_id: 1,
            is_leaving: false,
            window: i64::from(WINDOW_DEFAULT),
            uncredited: 0,
            bodies: 0,
            block: Vec::new(),
            block_of: None,
            data_of: (0, false),
            control: Vec::new(),
            heard_ns: 0,
        }
    }
}

impl Exchanges for Multiplex {
    type Misdeed = ConnectionError;

    fn handle_opened(&mut self, now_ns: u64) {
        debug_assert!(self.streams.is_empty());
        let mut unsent = std::mem::take(&mut self.unsent);
        unsent.iter_mut().for_each(|flight| flight.ready_ns = flight.ready_ns.max(now_ns));
        *self = Self { unsent, heard_ns: now_ns, ..Self::default() };
        self.control.extend_from_slice(PREFACE);
        frame::write_settings(&mut self.control, &[(id::ENABLE_PUSH, 0), (id::INITIAL_WINDOW_SIZE, WINDOW)]);
        frame::write_window_update(&mut self.control, 0, WINDOW - WINDOW_DEFAULT);
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.streams.len()
    }

    #[inline]
    fn unsent(&self) -> usize {
        self.unsent.len()
    }

    #[inline]
    fn room(&self, planned: usize) -> usize {
        planned.min(self.streams_max())
    }

    #[inline]
    fn push(&mut self, flight: Flight) {
        self.unsent.push_back(flight);
    }

    fn wants_to_send(&self) -> bool {
        let may_begin =
            !self.is_leaving && !self.unsent.is_empty() && self.streams.len() < self.streams_max();
        let has_body = || {
            self.bodies > 0 && self.window > 0 && self.streams.iter().any(|s| s.unsent() > 0 && s.window > 0)
        };
        !self.control.is_empty() || may_begin || has_body()
    }

    fn write(&mut self, link: &Link) -> Payload {
        let core = &*link.core;
        let mut out = core.ring.take_buffer();
        out.append(&mut self.control);
        let now_ns = match self.unsent.front() {
            // A closed loop looked at the clock when it took the request.
            Some(flight) if core.is_closed_loop() => flight.ready_ns,
            _ => core.now_ns(),
        };
        while !self.is_leaving && self.streams.len() < self.streams_max() {
            let Some(flight) = self.unsent.pop_front() else { break };
            self.begin(core, flight, now_ns, &mut out);
        }
        self.write_bodies(&mut out);
        Payload::Buffer(out)
    }

    fn handle_input(&mut self, link: &mut Link, mut input: &[u8]) -> Result<(), ConnectionError> {
        self.heard_ns = link.core.turn_ns();
        loop {
            let (used, piece) = self.reader.read(input)?;
            match piece {
                Piece::Incomplete => break,
                Piece::Header(header) => self.check_order(&header)?,
                Piece::Frame(header, payload) => self.handle_frame(link, header, payload.bytes(input))?,
                Piece::DataHeader(header) => {
                    self.check_order(&header)?;
                    self.begin_data(&header)?;
                }
                Piece::Data { data, is_last, .. } => self.handle_data(link, data.len(), is_last),
            }
            input = &input[used..];
        }
        link.closing |= self.next_id > MAX_31_BITS - 2;
        Ok(())
    }

    fn handle_end(&mut self, _link: &mut Link) -> bool {
        self.streams.is_empty()
    }

    /// What waits to be sent and may not be waits as well.
    #[inline]
    fn oldest_ns(&self) -> Option<u64> {
        let oldest = self.streams.front().and_then(|stream| stream.flight.sent_ns);
        oldest.or_else(|| self.unsent.front().map(|flight| flight.ready_ns))
    }

    /// Streams time out one by one, unless nothing at all came since the oldest began.
    fn expire(&mut self, link: &mut Link) -> bool {
        let (now_ns, timeout_ns) = (link.core.now_ns(), link.core.plan.timeout.as_nanos() as u64);
        let is_late = |stream: &Stream| {
            stream.flight.sent_ns.is_some_and(|sent_ns| now_ns.saturating_sub(sent_ns) >= timeout_ns)
        };
        if self.oldest_ns().is_none_or(|oldest_ns| self.heard_ns < oldest_ns) {
            return false;
        }
        while self.streams.front().is_some_and(is_late) {
            let stream = self.streams.pop_front().expect("it was looked at");
            frame::write_reset(&mut self.control, stream.id, ErrorCode::CANCEL);
            self.bodies -= usize::from(stream.unsent() > 0);
            link.time_out([stream.flight].into_iter());
        }
        link.closing |= link.core.plan.new_connections;
        true
    }

    fn take_all(&mut self) -> impl Iterator<Item = Flight> {
        self.bodies = 0;
        self.streams.drain(..).map(|stream| stream.flight).chain(self.unsent.drain(..))
    }
}

impl Multiplex {
    fn streams_max(&self) -> usize {
        let told =
            self.settings.map(|settings| settings.streams_max.map_or(usize::MAX, |most| most as usize));
        told.unwrap_or(STREAMS_UNTOLD)
    }

    fn server(&self) -> Settings {
        self.settings.unwrap_or(Settings::DEFAULT)
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    /// Writes the head of a request, and takes its stream into the books.
    fn begin(&mut self, core: &Core, mut flight: Flight, now_ns: u64, out: &mut Vec<u8>) {
        let (id, before) = (self.next_id, out.len());
        self.next_id += 2;
        let spec = &core.plan.mix.specs()[flight.endpoint as usize];
        let body = match &spec.fixed {
            Some(lines) => {
                self.write_head(lines, core.bodies[flight.endpoint as usize].is_empty(), out);
                core.bodies[flight.endpoint as usize].clone()
            }
            None => {
                let (filling, lines) = &mut *core.filling.borrow_mut();
                let mut body = Vec::new();
                lines.clear();
                spec.render_lines(filling, &mut body, lines);
                filling.advance();
                self.write_head(lines, body.is_empty(), out);
                Bytes::from(body)
            }
        };
        let bytes = out.len() - before + body.len();
        core.record.borrow_mut().handle_sent(&mut flight, now_ns, bytes as u64);
        self.bodies += usize::from(!body.is_empty());
        let window = i64::from(self.server().initial_window);
        let answer = Came::new(spec.is_head);
        self.streams.push_back(Stream { id, flight, answer, uncredited: 0, body, sent: 0, window });
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
        let header = FrameHeader { length: first as u32, kind: Kind::Headers, flags, stream };
        out[start..start + frame::HEADER_BYTES].copy_from_slice(&header.bytes());
        let rest = out.split_off(start + frame::HEADER_BYTES + first);
        let mut parts = rest.chunks(frame_bytes).peekable();
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_none() { flag::END_HEADERS } else { 0 };
            FrameHeader { length: part.len() as u32, kind: Kind::Continuation, flags, stream }.write(out);
            out.extend_from_slice(part);
        }
    }

    /// As much of the bodies as the windows let out, oldest stream first.
    fn write_bodies(&mut self, out: &mut Vec<u8>) {
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
                FrameHeader { length: length as u32, kind: Kind::Data, flags, stream: stream.id }.write(out);
                out.extend_from_slice(part);
                stream.window -= length as i64;
                self.window -= length as i64;
            }
            self.bodies -= usize::from(stream.unsent() == 0);
        }
    }

    /// RFC 9113, section 3.4: settings come first; section 6.10: a field block is not interrupted.
    fn check_order(&self, header: &FrameHeader) -> Result<(), ConnectionError> {
        if self.settings.is_none() && (header.kind != Kind::Settings || header.has(flag::ACK)) {
            return Err(ConnectionError::SettingsMissing);
        }
        match (self.block_of, header.kind) {
            (Some((stream, _)), Kind::Continuation) if stream == header.stream => Ok(()),
            (None, Kind::Continuation) => Err(ConnectionError::ContinuationUnexpected),
            (Some(_), kind) => Err(ConnectionError::BlockInterrupted(kind)),
            (None, _) => Ok(()),
        }
    }

    fn handle_frame(
        &mut self,
        link: &mut Link,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<(), ConnectionError> {
        match header.kind {
            Kind::Headers => {
                self.check_stream(&header)?;
                let parts = frame::headers_parts(&header, payload)?;
                self.count(header.stream, header.length);
                self.block_of = Some((header.stream, header.has(flag::END_STREAM)));
                self.handle_block(link, &header, &payload[parts.fragment])
            }
            Kind::Continuation => {
                self.count(header.stream, header.length);
                self.handle_block(link, &header, payload)
            }
            Kind::Settings if header.has(flag::ACK) => Ok(()),
            Kind::Settings => self.handle_settings(payload),
            Kind::Ping if header.has(flag::ACK) => Ok(()),
            Kind::Ping => {
                let payload = payload.first_chunk().expect("its length was checked");
                frame::write_ping(&mut self.control, flag::ACK, payload);
                Ok(())
            }
            Kind::WindowUpdate => self.widen(header.stream, frame::first_u32(payload) & MAX_31_BITS),
            Kind::RstStream => {
                self.check_stream(&header)?;
                self.fail(link, header.stream, Fault::Reset);
                Ok(())
            }
            Kind::Goaway => {
                self.leave(link, frame::first_u32(payload) & MAX_31_BITS);
                Ok(())
            }
            Kind::PushPromise => Err(ConnectionError::PushPromise),
            Kind::Data | Kind::Priority | Kind::PriorityUpdate | Kind::Unknown(_) => Ok(()),
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
        self.encoder.set_table_bytes_max(settings.table_bytes);
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

    fn begin_data(&mut self, header: &FrameHeader) -> Result<(), ConnectionError> {
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

    fn handle_data(&mut self, link: &mut Link, bytes: usize, is_last: bool) {
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
