//! Writes responses: small bodies follow their head at once, larger ones are sent in the order of their
//! priority.

use std::io;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;

use super::exchange::{ExchangeState, Sends, ShutWindow, StreamExchange};
use super::outgoing::{OutputSource, SendStep, StreamOutput};
use super::session::H2Session;
use super::signal::Hub;
use super::wire::{OUTPUT_BYTES_MAX, OUTPUT_BYTES_MIN, WireState};
use crate::exchange::{BeforeResponse, Delivery, LogEntry, Pulled, RequestKind, admit, end_of};
use crate::http::h2::{EndStream, ErrorCode, SendHead, StreamKey};
use crate::http::status::Status;
use crate::observe::access::ExchangeEnd as Ended;
use crate::ring::Payload;
use crate::service::{Body, ExchangeId, RequestBody, Response, RouteHold, Service};

/// Bodies up to this size are written behind their head when there is room, before other streams' data.
const SMALL_BYTES_MAX: usize = 16 * 1024;

impl<S: Service> H2Session<'_, S> {
    /// Writes a response's head, and its body if it fits at once.
    #[inline]
    pub(super) fn respond(
        &mut self,
        stream: StreamKey,
        kind: RequestKind,
        entry: LogEntry,
        response: Response,
    ) {
        self.respond_held(stream, kind, entry, response, None);
    }

    /// As [`respond`](Self::respond), of a route on which the exchange counts as one in progress already.
    #[inline]
    pub(super) fn respond_held(
        &mut self,
        stream: StreamKey,
        kind: RequestKind,
        entry: LogEntry,
        mut response: Response,
        hold: Option<RouteHold>,
    ) {
        let Delivery { length, announced, has_content, .. } = admit(self.worker, &entry, kind, &mut response);
        let hold = match response.body() {
            Body::Empty | Body::Bytes(_) => None,
            _ => hold.or_else(|| self.worker.hold(&self.worker.service(), entry.context())),
        };
        let entry = entry.if_logged(self.worker);
        if response.closes() && self.goaway_since.is_none() {
            // A stream is open, so this does not end the connection.
            let _ = self.announce_goaway();
        }
        let before = self.wire.inner.borrow_mut().with_gate(stream, |gate| gate.begin(&mut response));
        let body = response.take_body();
        let status = response.status();
        let now = self.wire.now();
        let clock = self.wire.clock(now);
        let (sent, priority) = {
            let inner = &mut *self.wire.inner.borrow_mut();
            if let Some(BeforeResponse { asks, interim }) = before {
                if asks {
                    inner.send_interim(stream, Status::CONTINUE, b"", clock);
                }
                if let Some(interim) = interim {
                    inner.send_interim(stream, interim.status(), interim.fields(), clock);
                }
            }
            let WireState { machine, output, .. } = inner;
            if !machine.is_open(stream) {
                return entry.into_iter().for_each(|entry| {
                    entry.end(self.worker, Some(status), 0, Ended::ClientGone);
                });
            }
            if output.capacity() == 0 {
                *output = self.worker.ring.take_buffer();
            }
            let mut date = self.worker.date.borrow_mut();
            let date: &[u8] =
                if response.is_dated() { b"" } else { date.at(self.worker.ring.unix_seconds()) };
            let head = SendHead {
                status,
                // `Date: ` and CRLF around it.
                date: date.get(6..date.len().saturating_sub(2)).unwrap_or_default(),
                lines: response.fields(),
                length: announced,
            };
            let end = if has_content { EndStream::No } else { EndStream::Yes };
            machine.send_head(stream, &head, end, clock, output);
            let small = match &body {
                Body::Bytes(bytes) if has_content && bytes.len() <= SMALL_BYTES_MAX => Some(bytes),
                _ => None,
            };
            let sent = match small {
                Some(bytes) if output.len() < OUTPUT_BYTES_MAX && machine.sendable(stream) >= bytes.len() => {
                    if machine.begin_data_frame(stream, bytes.len(), EndStream::Yes, clock, output) {
                        output.extend_from_slice(bytes);
                        machine.stop_request(stream, output);
                    }
                    Some(bytes.len() as u64)
                }
                _ => (!has_content).then_some(0),
            };
            (sent, machine.priority(stream))
        };
        if let Some(sent) = sent {
            self.finish(stream);
            if let Some(entry) = entry {
                entry.end(self.worker, Some(status), sent, Ended::Complete);
            }
            return;
        }
        let (source, piece) = match body {
            Body::Empty => (OutputSource::Bytes, Bytes::new()),
            Body::Bytes(bytes) => (OutputSource::Bytes, bytes),
            Body::File(file, range) => (OutputSource::File(file, range, None), Bytes::new()),
            Body::Stream(made) => {
                (OutputSource::Stream(Pulled::new(made, length, entry.as_ref())), Bytes::new())
            }
            Body::Tunnel(handler) => {
                let input = self.tunnel_input(stream);
                (OutputSource::Stream(Pulled::new(handler.open(input), None, entry.as_ref())), Bytes::new())
            }
        };
        let body = StreamOutput::new(stream, source, piece);
        let sends = Sends { entry, status, body, priority, waits: false, may_work: true, shut: None };
        let rank = sends.rank();
        let state = ExchangeState::Sends(sends);
        let exchange = StreamExchange { stream, kind, state, quiet: None, signal: None, hold };
        self.keep(Box::new(exchange));
        let at = self.sending.iter().position(|&other| self.rank(other) > rank);
        self.sending.insert(at.unwrap_or(self.sending.len()), stream.place());
    }

    /// The input of a tunnel.
    fn tunnel_input(&self, stream: StreamKey) -> RequestBody {
        if !self.wire.inner.borrow().has_body(stream) {
            return RequestBody::empty();
        }
        RequestBody::new(self.wire.clone(), ExchangeId::new(u64::from(stream.id())), None)
    }

    pub(super) fn rank(&self, place: usize) -> (u8, bool) {
        match self.exchanges.get(place) {
            Some(Some(exchange)) => match &exchange.state {
                ExchangeState::Sends(sends) => sends.rank(),
                ExchangeState::Called { .. } => (u8::MAX, true),
            },
            _ => (u8::MAX, true),
        }
    }

    /// Writes as much of the bodies as windows allow, and sends the output.
    pub(super) fn send(&mut self, cx: &mut TaskContext<'_>) -> io::Result<()> {
        loop {
            // What is written while a send is in progress is sent no earlier, and would be held with it.
            let is_sending = self.wire.stream.is_sending();
            if !is_sending {
                self.write_bodies(cx);
            }
            let is_empty = self.wire.inner.borrow().output.is_empty();
            if is_empty && !(is_sending && self.has_ready_body()) {
                // What the kernel has taken is still watched, until the client has it.
                let stream = &self.wire.stream;
                if self.send_since.is_some() && !stream.is_sending() && stream.socket().unacknowledged() == 0
                {
                    self.send_since = None;
                }
                return Ok(());
            }
            match self.wire.stream.poll_flush(cx) {
                Poll::Pending => {
                    self.is_slow |= self.wire.stream.is_send_waiting();
                    if self.send_since.is_none() {
                        self.send_since = Some(self.wire.now());
                        self.wire.look_within(self.wire.limits.stall_timeout);
                    }
                    return Ok(());
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => {
                    self.send_since = None;
                    self.active_since = self.wire.now();
                    if is_empty {
                        continue;
                    }
                    let output = std::mem::take(&mut self.wire.inner.borrow_mut().output);
                    self.wire.stream.start_send(Payload::Buffer(output));
                }
            }
            if self.sending.is_empty() {
                return Ok(());
            }
        }
    }

    /// How much output to gather for the next send: to a client that does not take all of one at once, what
    /// the socket has room for, and at least a frame, because the rest would be held until it does.
    fn output_bytes_max(&mut self) -> usize {
        // With TLS it is known most of the time, and otherwise a system call.
        if !std::mem::take(&mut self.is_slow) && self.wire.stream.is_plain() {
            return OUTPUT_BYTES_MAX;
        }
        self.wire.stream.send_room(OUTPUT_BYTES_MAX).max(OUTPUT_BYTES_MIN)
    }

    /// Whether a response may have something to send that was not asked for it.
    fn has_ready_body(&self) -> bool {
        self.sending.iter().any(|&place| match self.exchanges[place].as_deref() {
            Some(StreamExchange { state: ExchangeState::Sends(sends), .. }) => !sends.waits,
            _ => false,
        })
    }

    pub(super) fn write_bodies(&mut self, cx: &mut TaskContext<'_>) {
        if self.sending.is_empty() {
            return;
        }
        if self.wire.inner.borrow_mut().machine.take_reprioritized() {
            self.reorder();
        }
        let output_bytes_max = self.output_bytes_max();
        let mut at = 0;
        while let Some(&place) = self.sending.get(at) {
            {
                let output = &mut self.wire.inner.borrow_mut().output;
                if output.len() >= output_bytes_max {
                    return;
                }
                if output.capacity() == 0 {
                    *output = self.worker.ring.take_buffer();
                }
            }
            // Taken out while it is polled, because the body may read this connection's own requests.
            let Some(mut exchange) = self.exchanges[place].take() else {
                self.sending.remove(at);
                continue;
            };
            let step = self.step(&mut exchange, cx);
            let ExchangeState::Sends(sends) = &mut exchange.state else {
                self.sending.remove(at);
                continue;
            };
            match step {
                SendStep::Wrote => {
                    sends.may_work = true;
                    if sends.priority.incremental {
                        // Behind the others of its rank: incremental responses take turns.
                        let rank = sends.rank();
                        self.exchanges[place] = Some(exchange);
                        let behind = self.sending[at..].iter().position(|&other| self.rank(other) > rank);
                        let to = behind.map_or(self.sending.len(), |offset| at + offset);
                        self.sending[at..to].rotate_left(1);
                        continue;
                    }
                    self.exchanges[place] = Some(exchange);
                }
                SendStep::Shut => {
                    if sends.shut.is_none() {
                        let sent_by_all = self.wire.inner.borrow().body_bytes_sent;
                        let (since, sent) = (self.wire.now(), sends.body.sent);
                        sends.shut = Some(ShutWindow { since, sent, sent_by_all });
                        self.wire.look_within(self.wire.limits.h2.window_timeout);
                    }
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                SendStep::Waits => {
                    sends.waits = true;
                    self.exchanges[place] = Some(exchange);
                    at += 1;
                }
                SendStep::Done => {
                    self.sending.remove(at);
                    self.finish(exchange.stream);
                    exchange.end(self.worker, Ended::Complete);
                }
                SendStep::Failed(error) => {
                    self.sending.remove(at);
                    self.reset(exchange.stream, ErrorCode::INTERNAL_ERROR);
                    exchange.end(self.worker, end_of(&error));
                }
            }
        }
    }

    /// Lets bodies that cannot be sent continue their other work, such as reading their requests: otherwise
    /// each side could wait for the other. True when one has come to its end by that, which can be sent.
    pub(super) fn work(&mut self, cx: &TaskContext<'_>) -> bool {
        let mut at = 0;
        let mut may_end = false;
        while let Some(&place) = self.sending.get(at) {
            at += 1;
            let may_work = match self.exchanges[place].as_deref() {
                Some(StreamExchange { state: ExchangeState::Sends(sends), .. }) => {
                    sends.may_work && !sends.waits
                }
                _ => false,
            };
            if !may_work {
                continue;
            }
            // Taken out while it is polled, because the body may read this connection's own requests.
            let Some(mut exchange) = self.exchanges[place].take() else { continue };
            let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone())).clone();
            let waker = exchange.waker(&hub).clone();
            let ExchangeState::Sends(sends) = &mut exchange.state else { continue };
            sends.may_work = false;
            match sends.body.work(self.worker, &mut TaskContext::from_waker(&waker)) {
                Ok(()) => {
                    may_end |= sends.body.is_at_end();
                    self.exchanges[place] = Some(exchange);
                }
                Err(error) => {
                    at -= 1;
                    self.sending.remove(at);
                    self.reset(exchange.stream, ErrorCode::INTERNAL_ERROR);
                    exchange.end(self.worker, end_of(&error));
                }
            }
        }
        may_end
    }

    /// After a complete response. Data that still arrives for the request is discarded for a while.
    pub(super) fn finish(&mut self, stream: StreamKey) {
        let is_lingering = self.wire.inner.borrow_mut().finish(stream);
        if is_lingering {
            self.wire.look_within(self.wire.limits.linger_timeout);
        }
    }

    /// Ends a stream whose response cannot be completed.
    pub(super) fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        let inner = &mut *self.wire.inner.borrow_mut();
        inner.machine.reset(stream, code, &mut inner.output);
        inner.drop_body(stream);
    }

    pub(super) fn step(&mut self, exchange: &mut StreamExchange, cx: &TaskContext<'_>) -> SendStep {
        let ExchangeState::Sends(sends) = &mut exchange.state else { return SendStep::Waits };
        if sends.waits {
            return SendStep::Waits;
        }
        if self.is_eof {
            // No window opens any more: whether the response is at its end has to be found out now.
            sends.body.probe();
        }
        if sends.body.needs_waker() {
            let hub = self.hub.get_or_insert_with(|| Hub::new(cx.waker().clone())).clone();
            let waker = exchange.waker(&hub).clone();
            let ExchangeState::Sends(sends) = &mut exchange.state else { return SendStep::Waits };
            return sends.body.step(self.worker, &self.wire, &mut TaskContext::from_waker(&waker));
        }
        sends.body.step(self.worker, &self.wire, &mut TaskContext::from_waker(cx.waker()))
    }

    /// Sorts the responses again after a change of priorities.
    #[cold]
    pub(super) fn reorder(&mut self) {
        let machine = &self.wire.inner.borrow().machine;
        for place in &self.sending {
            if let Some(exchange) = &mut self.exchanges[*place]
                && let ExchangeState::Sends(sends) = &mut exchange.state
            {
                sends.priority = machine.priority(exchange.stream);
            }
        }
        let mut sending = std::mem::take(&mut self.sending);
        sending.sort_by_key(|&place| self.rank(place));
        self.sending = sending;
    }
}
