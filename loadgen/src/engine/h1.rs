//! HTTP/1.1 on one connection: requests in the order of sending, answers in the same order.

use std::collections::VecDeque;

use bytes::Bytes;
use quoit::ring::Payload;

use super::connection::Exchanges;
use super::core::Core;
use super::link::Link;
use super::record::{Fault, Flight};
use super::response::{Answer, Misdeed, Reader};
use crate::plan::request::RequestSpec;

/// Requests of a connection, each behind the one before it.
#[derive(Default)]
pub(super) struct Pipeline {
    reader: Reader,
    /// In the order of sending.
    flights: VecDeque<Flight>,
    /// Of them, those that wait to be sent: the last ones.
    unsent: usize,
}

impl Exchanges for Pipeline {
    type Misdeed = Misdeed;

    fn handle_opened(&mut self, now_ns: u64) {
        self.reader = Reader::default();
        self.flights.iter_mut().for_each(|flight| flight.ready_ns = flight.ready_ns.max(now_ns));
    }

    #[inline]
    fn in_flight(&self) -> usize {
        self.flights.len() - self.unsent
    }

    #[inline]
    fn unsent(&self) -> usize {
        self.unsent
    }

    #[inline]
    fn room(&self, planned: usize) -> usize {
        planned
    }

    #[inline]
    fn push(&mut self, flight: Flight) {
        self.flights.push_back(flight);
        self.unsent += 1;
    }

    #[inline]
    fn wants_to_send(&self) -> bool {
        self.unsent > 0
    }

    /// All that waits to be sent, at once; up to a body that is shared.
    #[inline]
    fn write(&mut self, link: &Link) -> Payload {
        let core = &*link.core;
        let first = self.in_flight();
        // A closed loop looked at the clock when it took the request.
        let now_ns = if core.is_closed_loop() { self.flights[first].ready_ns } else { core.now_ns() };
        let specs = core.plan.mix.specs();
        let mut record = core.record.borrow_mut();
        let spec = &specs[self.flights[first].endpoint as usize];
        if let (1, Some(fixed), None) = (self.unsent, &spec.fixed, spec.shared_body()) {
            record.handle_sent(&mut self.flights[first], now_ns, fixed.len() as u64);
            self.unsent = 0;
            return Payload::Shared(fixed.clone());
        }
        let mut buffer = core.ring.take_buffer();
        for flight in self.flights.range_mut(first..) {
            let (before, spec) = (buffer.len(), &specs[flight.endpoint as usize]);
            write_request(core, spec, &mut buffer);
            let body = spec.shared_body();
            let bytes = buffer.len() - before + body.map_or(0, Bytes::len);
            record.handle_sent(flight, now_ns, bytes as u64);
            self.unsent -= 1;
            if let Some(body) = body {
                // What waits behind it leaves with the next send.
                return Payload::Gather(buffer, body.clone());
            }
        }
        Payload::Buffer(buffer)
    }

    fn handle_input(&mut self, link: &mut Link, mut input: &[u8]) -> Result<(), Misdeed> {
        let now_ns = link.core.turn_ns();
        while !input.is_empty() {
            let flight = self.flights.front().filter(|flight| flight.sent_ns.is_some());
            let flight = flight.ok_or(Misdeed::Unasked)?;
            let (endpoint, is_head) = (flight.endpoint as usize, link.is_head(flight));
            let mut known = link.core.known.borrow_mut();
            let (used, answer) = self.reader.handle_bytes(input, is_head, &mut known[endpoint])?;
            drop(known);
            input = &input[used..];
            if let Some(answer) = answer {
                // What comes behind the answer to the only request belongs to it: its length is not what it
                // says (RFC 9112, section 6.3), and it is not the answer that was asked for.
                if !input.is_empty() && self.in_flight() == 1 {
                    return Err(Misdeed::Unasked);
                }
                self.handle_answer(link, answer, now_ns);
            }
        }
        Ok(())
    }

    fn handle_end(&mut self, link: &mut Link) {
        if self.in_flight() > 0
            && let Ok(Some(answer)) = self.reader.handle_end()
        {
            self.handle_answer(link, answer, link.core.turn_ns());
        }
    }

    #[inline]
    fn oldest_ns(&self) -> Option<u64> {
        self.flights.front().and_then(|flight| flight.sent_ns)
    }

    /// What comes behind an answer that is late cannot come before it.
    fn expire(&mut self, _link: &mut Link) -> bool {
        false
    }

    fn take_all(&mut self) -> impl Iterator<Item = Flight> {
        self.unsent = 0;
        self.flights.drain(..)
    }
}

impl Pipeline {
    #[inline]
    fn handle_answer(&mut self, link: &mut Link, answer: Answer, now_ns: u64) {
        let flight = self.flights.pop_front().expect("looked at by the caller");
        link.handle_answer(&flight, answer, now_ns);
        if answer.closes {
            // RFC 9112, section 9.6: what was sent behind it is not answered.
            let sent = self.in_flight();
            link.fail(self.flights.drain(..sent), Fault::Read);
        }
    }
}

/// Writes a request, but for a body that is shared.
fn write_request(core: &Core, spec: &RequestSpec, out: &mut Vec<u8>) {
    if let Some(fixed) = &spec.fixed {
        return out.extend_from_slice(fixed);
    }
    let (filling, scratch) = &mut *core.filling.borrow_mut();
    spec.render(filling, scratch, out);
    filling.advance();
}
