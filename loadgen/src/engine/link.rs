//! What every protocol's connection has in common towards the core: its seat, where freed requests are
//! booked, and whether the connection is to end. Knows no bytes.

use std::rc::Rc;

use super::core::Core;
use super::record::{Fault, Flight};
use super::response::Answer;

/// A connection's place on its core.
pub(super) struct Link {
    pub(super) core: Rc<Core>,
    pub(super) seat: usize,
    /// Since when there is room for another request.
    pub(super) free_since_ns: u64,
    /// Whether the connection takes no further request and ends with the last one in flight.
    pub(super) closing: bool,
}

impl Link {
    /// A request was answered.
    #[inline]
    pub(super) fn handle_answer(&mut self, flight: &Flight, answer: Answer, now_ns: u64) {
        let core = &*self.core;
        core.shared.note_answer();
        let (is_expected, is_within) = (core.plan.expect.accepts(answer.status), core.is_within(now_ns));
        core.record.borrow_mut().handle_answer(flight, answer, is_expected, now_ns, is_within, self.seat);
        self.free_since_ns = now_ns;
        self.closing |= answer.closes || core.plan.new_connections || core.is_churn_due(now_ns);
    }

    /// Requests failed.
    pub(super) fn fail(&mut self, flights: impl Iterator<Item = Flight>, fault: Fault) {
        let now_ns = self.core.now_ns();
        let is_within = self.core.is_within(now_ns);
        let mut record = self.core.record.borrow_mut();
        flights.for_each(|flight| record.handle_fault(&flight, fault, now_ns, is_within));
        drop(record);
        self.free_since_ns = now_ns;
    }

    /// Requests were not answered in time.
    pub(super) fn time_out(&mut self, flights: impl Iterator<Item = Flight>) {
        let now_ns = self.core.now_ns();
        let is_within = self.core.is_within(now_ns);
        let mut record = self.core.record.borrow_mut();
        flights.for_each(|flight| record.handle_timeout(&flight, now_ns, is_within));
        drop(record);
        self.free_since_ns = now_ns;
    }

    /// The run has ended before the requests did.
    pub(super) fn leave_unfinished(&mut self, flights: impl Iterator<Item = Flight>) {
        let now_ns = self.core.now_ns();
        let mut record = self.core.record.borrow_mut();
        flights.for_each(|flight| record.handle_unfinished(&flight, now_ns));
    }

    /// Whether the answer has no content whatever its fields announce.
    pub(super) fn is_head(&self, flight: &Flight) -> bool {
        self.core.plan.mix.specs()[flight.endpoint as usize].is_head
    }
}
