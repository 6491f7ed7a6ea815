//! Counters of one core, which outlive its worker: the one that takes the place of a lost worker continues
//! them. Read from other threads on request.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only grows. One thread at a time counts, so that it costs what a plain number does.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    #[inline]
    pub fn bump(&self) {
        // Not an atomic addition: there is one writer.
        self.0.store(self.count() + 1, Ordering::Relaxed);
    }

    /// This many more.
    pub fn add(&self, count: u64) {
        self.0.store(self.count() + count, Ordering::Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a worker, in cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
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
    /// Exchanges cut after a reload that removed or changed their route.
    pub cut: Counter,
    /// Handlers and connections that panicked.
    pub panics: Counter,
    /// Failed TLS handshakes.
    pub handshakes_failed: Counter,
    /// Exchanges of the access log, lost lines included.
    pub logged: Counter,
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
    /// Exchanges cut after a reload.
    pub cut: u64,
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
            cut: self.cut.count(),
            panics: self.panics.count(),
            handshakes_failed: self.handshakes_failed.count(),
            logged: self.logged.count(),
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
        self.cut += other.cut;
        self.panics += other.panics;
        self.handshakes_failed += other.handshakes_failed;
        self.logged += other.logged;
        self.lines_lost += other.lines_lost;
    }
}
