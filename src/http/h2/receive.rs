//! The receiving half of a connection: turns frames into events, and each error of RFC 9113 into the reaction
//! that it requires.

use std::ops::ControlFlow;
use std::time::Duration;

use super::connection::{
    CommonEvent, Connection, Consumed, DataFrame, GOAWAY_PING, GoawayState, Handled, OpenBlock,
    ReceivedBlock, Role, StreamKey,
};
use super::error::{ConnectionError, ErrorCode, FloodKind, StreamError};
use super::fields::{TrailerError, TrailerParser};
use super::frame::{self, FrameHeader, FrameKind, MAX_31_BITS, PREFACE, PRIORITY_BYTES, flag};
use super::hpack::ListEnd;
use super::priority::Priority;
use super::reader::FramePart;
use super::settings::id::HEADER_TABLE_SIZE;
use super::stream::{ExpectedContent, H2Stream, RecvHalf, StreamState};
use super::streams::ClosedStream;
use crate::http::message::FramingError;

impl<R: Role> Connection<R> {
    /// Handles received bytes, up to the first event. Replies that the protocol requires are appended to
    /// `out`. `head` is filled when the event is a head, and unspecified otherwise. `now` is the time since
    /// an arbitrary epoch, the same for all calls.
    ///
    /// # Errors
    /// An error that ends the connection: call [`fail`](Connection::fail), send, close.
    #[inline]
    pub fn handle_bytes(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        head: &mut R::Head,
        now: Duration,
    ) -> Result<Consumed<R::Event>, ConnectionError> {
        let mut at = if self.is_new() { self.handle_preface(input)? } else { 0 };
        if self.is_new() {
            return Ok(Consumed { consumed: at, event: None });
        }
        loop {
            let start = at;
            let (taken, piece) = self.reader.read(&input[at..])?;
            at += taken;
            let event = match piece {
                FramePart::Incomplete => return Ok(Consumed { consumed: at, event: None }),
                FramePart::Whole(header, payload) => {
                    self.check_order(&header)?;
                    self.handle_frame(&header, &input[start..][payload], out, head, now)?
                }
                FramePart::Header(header) => {
                    self.check_order(&header)?;
                    None
                }
                FramePart::Frame(header, payload) => {
                    self.handle_frame(&header, payload.bytes(&input[start..]), out, head, now)?
                }
                FramePart::DataHeader(header) => {
                    self.check_order(&header)?;
                    self.begin_data(&header, out, now)?
                }
                FramePart::Data { data, padding, is_last } => {
                    let data = start + data.start..start + data.end;
                    self.handle_data(data, padding, is_last, out, now)?
                }
            };
            if event.is_some() {
                return Ok(Consumed { consumed: at, event });
            }
        }
    }

    fn handle_preface(&mut self, input: &[u8]) -> Result<usize, ConnectionError> {
        let rest = &PREFACE[usize::from(self.preface)..];
        let taken = rest.len().min(input.len());
        if rest[..taken] != input[..taken] {
            return Err(ConnectionError::PrefaceMalformed);
        }
        self.preface += taken as u8;
        Ok(taken)
    }

    /// Whether a frame of this type is allowed now, before its payload is read.
    #[inline]
    fn check_order(&mut self, header: &FrameHeader) -> Result<(), ConnectionError> {
        if let Some(block) = &mut self.block {
            if header.kind != FrameKind::Continuation || header.stream != block.stream {
                return Err(ConnectionError::BlockInterrupted(header.kind));
            }
            block.continuations += 1;
            let bytes = block.bytes.len() + header.length as usize;
            if block.continuations > self.limits.continuations_max
                || bytes > self.limits.block_bytes_max as usize
            {
                return Err(ConnectionError::BlockTooLong);
            }
            return Ok(());
        }
        if !self.settings_seen && (header.kind != FrameKind::Settings || header.has(flag::ACK)) {
            return Err(ConnectionError::SettingsMissing);
        }
        match header.kind {
            FrameKind::Continuation => Err(ConnectionError::ContinuationUnexpected),
            FrameKind::PushPromise => Err(ConnectionError::PushPromise),
            _ => Ok(()),
        }
    }

    #[inline]
    fn handle_frame(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        head: &mut R::Head,
        now: Duration,
    ) -> Handled<R> {
        match header.kind {
            FrameKind::Headers => self.handle_headers(header, payload, out, head, now),
            FrameKind::Continuation => self.handle_continuation(header, payload, out, head, now),
            FrameKind::WindowUpdate => self.handle_window_update(header.stream, payload, out, now),
            FrameKind::RstStream => self.handle_reset(header.stream, payload, now),
            FrameKind::Settings => self.handle_settings(header, payload, out, now).map(|()| None),
            FrameKind::Ping => self.handle_ping(header, payload, out, now).map(|()| None),
            FrameKind::Priority => self.handle_priority(header, payload, out, now),
            FrameKind::PriorityUpdate => self.handle_priority_update(payload, now).map(|()| None),
            FrameKind::Goaway => self.handle_goaway(payload, now),
            // Never passed on by the reader and by `check_order`.
            FrameKind::Data | FrameKind::PushPromise => Ok(None),
            FrameKind::Unknown(_) => self.floods.spend(FloodKind::UnknownFrames, now).map(|()| None),
        }
    }

    // ---- field blocks ----

    fn handle_headers(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        head: &mut R::Head,
        now: Duration,
    ) -> Handled<R> {
        let parts = frame::headers_parts(header, payload)?;
        let (stream, ends) = (header.stream, header.has(flag::END_STREAM));
        let depends_on_itself = parts.depends_on == Some(stream);
        let bytes = &payload[parts.fragment];
        if header.has(flag::END_HEADERS) {
            return self.handle_block(
                &ReceivedBlock { stream, ends, depends_on_itself, bytes },
                out,
                head,
                now,
            );
        }
        let bytes = bytes.to_vec();
        self.block = Some(Box::new(OpenBlock { stream, ends, depends_on_itself, bytes, continuations: 0 }));
        Ok(None)
    }

    fn handle_continuation(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        head: &mut R::Head,
        now: Duration,
    ) -> Handled<R> {
        let Some(block) = &mut self.block else { return Err(ConnectionError::ContinuationUnexpected) };
        block.bytes.extend_from_slice(payload);
        if !header.has(flag::END_HEADERS) {
            return Ok(None);
        }
        match self.block.take() {
            Some(block) => {
                let OpenBlock { stream, ends, depends_on_itself, ref bytes, .. } = *block;
                self.handle_block(&ReceivedBlock { stream, ends, depends_on_itself, bytes }, out, head, now)
            }
            None => Ok(None),
        }
    }

    /// Handles a whole field block. It is decoded even when it is refused, because the tables of both ends
    /// must agree.
    #[inline]
    fn handle_block(
        &mut self,
        block: &ReceivedBlock<'_>,
        out: &mut Vec<u8>,
        head: &mut R::Head,
        now: Duration,
    ) -> Handled<R> {
        let id = block.stream;
        if id.is_multiple_of(2) {
            return Err(ConnectionError::StreamEven);
        }
        if id > self.highest {
            return R::handle_new_stream(self, block, head, now, out);
        }
        if let Some(stream) = self.stream(id) {
            let incoming = self.get_mut(stream).and_then(H2Stream::incoming);
            return match incoming.map(|incoming| incoming.content) {
                Some(ExpectedContent::Head(_)) => R::handle_awaited_head(self, stream, block, head, now, out),
                _ => self.handle_trailers(stream, block, out, now),
            };
        }
        match self.streams.closed(id) {
            // Sent by the server before RST_STREAM arrived, on a stream reset long ago.
            ClosedStream::Forgotten if R::IS_CLIENT => {
                self.floods.spend(FloodKind::IdleData, now)?;
                self.skip_block(block.bytes)
            }
            ClosedStream::Ended | ClosedStream::Forgotten => {
                Err(ConnectionError::StreamClosed(FrameKind::Headers))
            }
            ClosedStream::Skipped => Err(ConnectionError::StreamNotIncreasing),
            ClosedStream::ResetByUs => {
                if !self.streams.was_block_in_transit(id) {
                    self.floods.spend(FloodKind::IdleData, now)?;
                }
                self.skip_block(block.bytes)
            }
            ClosedStream::ResetByPeer => {
                self.skip_block(block.bytes)?;
                self.refuse(id, StreamError::AfterEnd, out, now).map(|_| None)
            }
        }
    }

    /// Decodes a block and ignores its fields.
    pub(super) fn skip_block(&mut self, bytes: &[u8]) -> Handled<R> {
        self.decoder.decode(bytes, u32::MAX, |_| ControlFlow::Break(()))?;
        Ok(None)
    }

    /// Handles a block on an open stream, after its head.
    fn handle_trailers(
        &mut self,
        stream: StreamKey,
        block: &ReceivedBlock<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        let has_ended = |known: &mut H2Stream| matches!(known.state, StreamState::HalfClosedRemote { .. });
        if self.get_mut(stream).is_some_and(has_ended) {
            // The state alone decides (RFC 9113 §5.1): what the fields are does not change the code.
            self.skip_block(block.bytes)?;
            return self.stream_error(stream, StreamError::AfterEnd, out, now);
        }
        let mut parser = TrailerParser::new(&self.body_limits);
        let list_bytes_max = u32::from(self.limits.list_bytes_max);
        let end = self.decoder.decode(block.bytes, list_bytes_max, |field| parser.handle_field(field))?;
        let trailers = match end {
            ListEnd::Whole => Ok(parser.finish()),
            ListEnd::TooLarge => Err(FramingError::TrailersTooLong),
            ListEnd::Broken(TrailerError::Refused(error)) => Err(error),
            ListEnd::Broken(TrailerError::Malformed) => {
                return self.stream_error(stream, StreamError::TrailersMalformed, out, now);
            }
        };
        let Some(known) = self.get_mut(stream) else { return Ok(None) };
        let error = match &known.state {
            StreamState::HalfClosedRemote { .. } => Some(StreamError::AfterEnd),
            _ if block.depends_on_itself => Some(StreamError::DependsOnItself),
            StreamState::Open(incoming, _) | StreamState::HalfClosedLocal { incoming, .. }
                if incoming.content == ExpectedContent::Tunnel =>
            {
                Some(StreamError::HeadersInTunnel)
            }
            _ if !block.ends => Some(StreamError::TrailersNotLast),
            StreamState::Open(incoming, _) => incoming.end().err(),
            StreamState::HalfClosedLocal { incoming, .. } if incoming.reads_on => incoming.end().err(),
            StreamState::HalfClosedLocal { .. } => None,
        };
        if let Some(error) = error {
            return self.stream_error(stream, error, out, now);
        }
        let is_read = known.is_read();
        self.streams.change(stream.place, ClosedStream::Ended, H2Stream::ended_remotely);
        Ok(if is_read { R::event(CommonEvent::Trailers { stream, trailers }) } else { None })
    }

    // ---- data ----

    fn begin_data(&mut self, header: &FrameHeader, out: &mut Vec<u8>, now: Duration) -> Handled<R> {
        let (id, length) = (header.stream, header.length);
        self.receive_for_connection(length, out)?;
        self.data = DataFrame { stream: None, ends: header.has(flag::END_STREAM), carried: false };
        let Some(stream) = self.stream(id) else {
            if id > self.highest || id.is_multiple_of(2) {
                return Err(ConnectionError::StreamIdle(FrameKind::Data));
            }
            match self.streams.closed(id) {
                ClosedStream::Ended | ClosedStream::Skipped => {
                    return Err(ConnectionError::StreamClosed(FrameKind::Data));
                }
                ClosedStream::ResetByUs if self.streams.was_in_transit(id, length) => {}
                ClosedStream::ResetByUs => self.floods.spend(FloodKind::IdleData, now)?,
                ClosedStream::ResetByPeer => {
                    self.floods.spend(FloodKind::IdleData, now)?;
                    self.refuse(id, StreamError::AfterEnd, out, now)?;
                }
                ClosedStream::Forgotten => self.floods.spend(FloodKind::IdleData, now)?,
            }
            return Ok(None);
        };
        let received = match self.get_mut(stream).and_then(H2Stream::incoming) {
            Some(RecvHalf { content: ExpectedContent::Head(_), .. }) => Err(StreamError::DataBeforeHead),
            Some(incoming) => incoming.receive(length).and_then(|()| {
                // Checked before data is handed out, if the length is known without reading the pad length.
                let is_known = !header.has(flag::PADDED);
                if is_known { incoming.check(length, header.has(flag::END_STREAM)) } else { Ok(()) }
            }),
            None => Err(StreamError::AfterEnd),
        };
        if let Err(error) = received {
            return self.stream_error(stream, error, out, now);
        }
        self.data.stream = Some(stream);
        Ok(None)
    }

    /// Handles a part of the current DATA frame. Its stream may have been closed meanwhile.
    fn handle_data(
        &mut self,
        data: std::ops::Range<usize>,
        padding: u32,
        is_last: bool,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        let length = data.len() as u32;
        let frame = self.data;
        self.data.carried |= length > 0;
        if is_last && !self.data.carried && !frame.ends {
            self.floods.spend(FloodKind::IdleData, now)?;
        }
        let ends = is_last && frame.ends;
        let open = frame.stream.and_then(|stream| Some((stream, self.get_mut(stream)?)));
        let Some((stream, known)) = open else { return Ok(None) };
        let is_read = known.is_read();
        let counted = match known.incoming() {
            Some(incoming) => {
                let counted = incoming.count(length);
                if ends { counted.and_then(|()| incoming.end()) } else { counted }
            }
            None => Ok(()),
        };
        if let Err(error) = counted {
            return self.stream_error(stream, error, out, now);
        }
        if !is_read {
            // The response was sent: so much of the rest is discarded.
            if ends {
                self.streams.change(stream.place, ClosedStream::Ended, H2Stream::ended_remotely);
            } else {
                self.credit_discarded(stream, length + padding, out);
                self.stop_request(stream, out);
            }
            return Ok(None);
        }
        // Before credit is given, because growth of a window depends on the unread bytes.
        self.unread += u64::from(length);
        if padding > 0 {
            self.credit_stream(stream, padding, out);
        }
        if ends {
            self.streams.change(stream.place, ClosedStream::Ended, H2Stream::ended_remotely);
        }
        self.floods.count_received(length);
        if length == 0 && !ends {
            return Ok(None);
        }
        Ok(R::event(CommonEvent::Data { stream, data, ends }))
    }

    // ---- other frames ----

    #[inline]
    fn handle_window_update(
        &mut self,
        id: u32,
        payload: &[u8],
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        self.floods.spend(FloodKind::WindowUpdates, now)?;
        let increment = frame::first_u32(payload) & MAX_31_BITS;
        if id == 0 {
            if increment == 0 {
                return Err(ConnectionError::IncrementZero);
            }
            self.send.widen(increment).map_err(|_| ConnectionError::WindowOverflow)?;
            return Ok(None);
        }
        let Some(stream) = self.stream(id) else {
            return self.check_not_idle(id, FrameKind::WindowUpdate).map(|()| None);
        };
        if increment == 0 {
            return self.stream_error(stream, StreamError::IncrementZero, out, now);
        }
        let widened = self.get_mut(stream).map(|known| known.send_window().widen(increment));
        match widened {
            Some(Err(_)) => self.stream_error(stream, StreamError::WindowOverflow, out, now),
            Some(Ok(())) | None => Ok(None),
        }
    }

    fn handle_reset(&mut self, id: u32, payload: &[u8], now: Duration) -> Handled<R> {
        let Some(stream) = self.stream(id) else {
            self.check_not_idle(id, FrameKind::RstStream)?;
            self.streams.reset_after_end(id);
            return self.spend_reset(now).map(|()| None);
        };
        let incoming = self.get_mut(stream).and_then(H2Stream::incoming);
        let before_head =
            incoming.is_some_and(|incoming| matches!(incoming.content, ExpectedContent::Head(_)));
        self.streams.change(stream.place, ClosedStream::ResetByPeer, |_| None);
        self.spend_reset(now)?;
        Ok(R::event(CommonEvent::Reset { stream, code: ErrorCode(frame::first_u32(payload)), before_head }))
    }

    fn handle_goaway(&mut self, payload: &[u8], now: Duration) -> Handled<R> {
        self.floods.spend(FloodKind::Goaways, now)?;
        // `FrameHeader::check` has checked the length.
        let last = frame::first_u32(payload) & MAX_31_BITS;
        let code = ErrorCode(frame::first_u32(&payload[payload.len().min(4)..]));
        // The last stream may not increase (RFC 9113 §6.8).
        let last = self.peer_goaway.map_or(last, |before| before.min(last));
        self.peer_goaway = Some(last);
        if R::IS_CLIENT {
            let above = self.streams.iter_mut().filter(|(_, stream)| stream.id > last);
            let places: Vec<u32> = above.map(|(place, _)| place).collect();
            places
                .into_iter()
                .for_each(|place| self.streams.change(place, ClosedStream::ResetByPeer, |_| None));
        }
        Ok(R::event(CommonEvent::Goaway { last, code }))
    }

    fn check_not_idle(&self, id: u32, kind: FrameKind) -> Result<(), ConnectionError> {
        if id > self.highest || id.is_multiple_of(2) {
            return Err(ConnectionError::StreamIdle(kind));
        }
        Ok(())
    }

    #[cold]
    fn handle_settings(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), ConnectionError> {
        if header.has(flag::ACK) {
            if self.settings_known {
                // SETTINGS were sent once, and acknowledged before.
                return self.floods.spend(FloodKind::Settings, now);
            }
            self.settings_acknowledged(out);
            return Ok(());
        }
        self.settings_seen = true;
        self.floods.begin(now);
        self.floods.spend(FloodKind::Settings, now)?;
        let window_before = self.peer.initial_window;
        self.peer.apply(payload)?;
        let by = i64::from(self.peer.initial_window) - i64::from(window_before);
        if by != 0 {
            for (_, stream) in self.streams.iter_mut() {
                stream.send_window().shift(by).map_err(|_| ConnectionError::WindowOverflow)?;
            }
        }
        for (setting, value) in frame::settings_of(payload) {
            R::check_setting(setting, value)?;
            // Each value counts, because the smallest must be announced (RFC 7541 §4.2).
            if setting == HEADER_TABLE_SIZE {
                self.encoder.set_table_bytes_max(value);
            }
        }
        frame::write_settings_ack(out);
        Ok(())
    }

    fn handle_ping(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), ConnectionError> {
        let Some(payload) = payload.first_chunk::<8>() else { return Ok(()) };
        if header.has(flag::ACK) {
            if self.goaway == GoawayState::Announced && *payload == GOAWAY_PING {
                self.leave(out);
                return Ok(());
            }
            return self.floods.spend(FloodKind::Pings, now);
        }
        self.floods.spend(FloodKind::Pings, now)?;
        frame::write_ping(out, flag::ACK, payload);
        Ok(())
    }

    #[cold]
    fn handle_priority(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        self.floods.spend(FloodKind::Priorities, now)?;
        let error = if payload.len() != PRIORITY_BYTES {
            StreamError::PriorityLength
        } else if frame::first_u32(payload) & MAX_31_BITS == header.stream {
            StreamError::DependsOnItself
        } else {
            return Ok(None);
        };
        match self.stream(header.stream) {
            Some(stream) => self.stream_error(stream, error, out, now),
            // A stream that was not opened cannot be reset.
            None if header.stream > self.highest && error == StreamError::PriorityLength => {
                Err(ConnectionError::FrameLength(FrameKind::Priority))
            }
            None if header.stream > self.highest => Err(ConnectionError::StreamIdle(FrameKind::Priority)),
            None => self.refuse(header.stream, error, out, now).map(|_| None),
        }
    }

    #[cold]
    fn handle_priority_update(&mut self, payload: &[u8], now: Duration) -> Result<(), ConnectionError> {
        self.floods.spend(FloodKind::Priorities, now)?;
        let id = frame::first_u32(payload) & MAX_31_BITS;
        if R::IS_CLIENT {
            // Only clients send PRIORITY_UPDATE (RFC 9218 §7.1).
            return Err(ConnectionError::PriorityUpdateMalformed);
        }
        let value = &payload[payload.len().min(4)..];
        if id.is_multiple_of(2) || !value.is_ascii() {
            return Err(ConnectionError::PriorityUpdateMalformed);
        }
        let stream = self.stream(id).and_then(|stream| self.get_mut(stream));
        if let Some(outgoing) = stream.and_then(H2Stream::outgoing_mut) {
            outgoing.priority = Priority::parse(value);
            self.reprioritized = true;
        }
        Ok(())
    }

    // ---- stream errors ----

    /// Resets an open stream because of an error. It counts against the same budget as a reset by the peer.
    pub(super) fn stream_error(
        &mut self,
        stream: StreamKey,
        error: StreamError,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        self.spend_reset(now)?;
        self.reset(stream, error.code(), out);
        Ok(R::event(CommonEvent::Failed { stream, error }))
    }

    /// Resets a stream that is not open.
    #[cold]
    pub(super) fn refuse(
        &mut self,
        id: u32,
        error: StreamError,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Handled<R> {
        self.spend_reset(now)?;
        self.remember_refused(id);
        frame::write_reset(out, id, error.code());
        Ok(R::event(CommonEvent::Refused(error)))
    }

    /// Records a stream that was not opened: what the peer may have sent on it is in transit.
    pub(super) fn remember_refused(&mut self, id: u32) {
        self.streams.remember_own_reset(id, self.new_stream_window().full());
    }

    /// Counts a reset against its budget, which responses restore that were not reset.
    pub(super) fn spend_reset(&mut self, now: Duration) -> Result<(), ConnectionError> {
        self.floods.earn_resets(self.streams.take_outlived());
        self.floods.spend(FloodKind::Resets, now)
    }
}
