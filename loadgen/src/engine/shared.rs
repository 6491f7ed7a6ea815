//! What crosses cores: the origin of time, the end, and news for observers. Locks nothing that a
//! request passes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Answers that are no HTTP, without a single one that is, after which the target is no HTTP server.
const GARBAGE_MAX: u64 = 16;

/// Shared by the cores of a run and the thread that started them.
#[derive(Debug)]
pub(super) struct Shared {
    origin: OnceLock<Instant>,
    end_ns: AtomicU64,
    broken_off: AtomicBool,
    answered: AtomicBool,
    garbage: AtomicU64,
    not_http: OnceLock<String>,
    /// Which of several addresses answered first: all connections of a run go there.
    address: OnceLock<usize>,
}

impl Shared {
    pub(super) fn new(end_ns: u64) -> Self {
        Self {
            origin: OnceLock::new(),
            end_ns: AtomicU64::new(end_ns),
            broken_off: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            garbage: AtomicU64::new(0),
            not_http: OnceLock::new(),
            address: OnceLock::new(),
        }
    }

    /// The address to connect to, of so many; `None` while it is not known which one answers.
    pub(super) fn address(&self, addresses: usize) -> Option<usize> {
        if addresses == 1 { Some(0) } else { self.address.get().copied() }
    }

    /// This one answered. The first one that did stays, and is returned.
    pub(super) fn choose_address(&self, address: usize) -> usize {
        *self.address.get_or_init(|| address)
    }

    pub(super) fn origin(&self) -> Option<Instant> {
        self.origin.get().copied()
    }

    pub(super) fn start(&self, origin: Instant) {
        self.origin.set(origin).expect("a run starts once");
    }

    /// End of the measured phase, in nanoseconds from the origin.
    #[inline]
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns.load(Ordering::Relaxed)
    }

    /// Ends the run early.
    pub(super) fn break_off(&self, end_ns: u64) {
        self.end_ns.fetch_min(end_ns, Ordering::Relaxed);
        self.broken_off.store(true, Ordering::Release);
    }

    pub(super) fn is_broken_off(&self) -> bool {
        self.broken_off.load(Ordering::Acquire)
    }

    /// A response came. Written once: each response reads it, and cores share its cache line.
    pub(super) fn note_answer(&self) {
        if !self.answered.load(Ordering::Relaxed) {
            self.answered.store(true, Ordering::Relaxed);
        }
    }

    /// Something came that is no response.
    pub(super) fn note_garbage(&self, what: &str) {
        let count = self.garbage.fetch_add(1, Ordering::Relaxed);
        if count >= GARBAGE_MAX && !self.answered.load(Ordering::Relaxed) {
            let _ = self.not_http.set(what.to_owned());
            self.break_off(0);
        }
    }

    /// Why the target is no HTTP server, if it is none.
    pub(super) fn not_http(&self) -> Option<&str> {
        self.not_http.get().map(String::as_str)
    }
}
