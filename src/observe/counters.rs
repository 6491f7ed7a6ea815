//! Counters of one core: plain cells, no atomics. Summed over the cores on request, by messages.

use std::cell::Cell;
use std::ops::AddAssign;

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// One more.
    pub fn bump(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// The count so far.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: Counter,
    /// Requests whose head was complete and valid.
    pub requests: Counter,
    /// Requests refused before any handler (4xx).
    pub refused: Counter,
    /// Connections answered 503 because the worker had no free slot.
    pub over_capacity: Counter,
    /// Accepts that failed because descriptors or memory ran out.
    pub accept_failures: Counter,
    /// Connections ended because the peer was too slow.
    pub timed_out: Counter,
    /// Handlers and connections that panicked.
    pub panics: Counter,
    /// Failed TLS handshakes.
    pub handshakes_failed: Counter,
}

/// A snapshot of the counters, which can be sent across threads and added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// See [`Counters`]; the same names.
    pub accepted: u64,
    /// Requests.
    pub requests: u64,
    /// Refused requests.
    pub refused: u64,
    /// Connections over capacity.
    pub over_capacity: u64,
    /// Failed accepts.
    pub accept_failures: u64,
    /// Connections that were too slow.
    pub timed_out: u64,
    /// Panics.
    pub panics: u64,
    /// Failed TLS handshakes.
    pub handshakes_failed: u64,
    /// Exchanges of the access log, lost lines included.
    pub logged: u64,
    /// Lines of the access log that were lost; known when the writer has ended.
    pub lines_lost: u64,
}

impl Counters {
    /// A snapshot of the counters.
    pub fn totals(&self) -> Totals {
        Totals {
            accepted: self.accepted.count(),
            requests: self.requests.count(),
            refused: self.refused.count(),
            over_capacity: self.over_capacity.count(),
            accept_failures: self.accept_failures.count(),
            timed_out: self.timed_out.count(),
            panics: self.panics.count(),
            handshakes_failed: self.handshakes_failed.count(),
            logged: 0,
            lines_lost: 0,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.requests += other.requests;
        self.refused += other.refused;
        self.over_capacity += other.over_capacity;
        self.accept_failures += other.accept_failures;
        self.timed_out += other.timed_out;
        self.panics += other.panics;
        self.handshakes_failed += other.handshakes_failed;
        self.logged += other.logged;
        self.lines_lost += other.lines_lost;
    }
}
