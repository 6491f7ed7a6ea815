//! Everything that crosses cores: the phase of the server, and a way to make a worker look at it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, Ordering};

use crate::ring::sys;

/// What the server is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Serving.
    Serve,
    /// Finishing what is open, taking nothing new.
    Drain,
    /// Stopping at once.
    Stop,
}

/// The supervisor's hold on its workers.
#[derive(Debug)]
pub struct Shared {
    phase: AtomicU8,
    /// One per worker; readable when the phase changed.
    events: Vec<OwnedFd>,
}

impl Shared {
    /// For this many workers.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub fn new(workers: usize) -> io::Result<Self> {
        let events = (0..workers).map(|_| sys::eventfd(true)).collect::<io::Result<_>>()?;
        Ok(Self { phase: AtomicU8::new(Phase::Serve as u8), events })
    }

    /// Sets the phase and tells every worker.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        for event in &self.events {
            sys::signal_event(event.as_raw_fd());
        }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serve,
            1 => Phase::Drain,
            _ => Phase::Stop,
        }
    }

    /// The event of one worker.
    pub(super) fn event(&self, worker: usize) -> &OwnedFd {
        &self.events[worker]
    }

    /// Forgets that the event was signalled.
    pub(super) fn clear_event(&self, worker: usize) {
        sys::clear_event(self.events[worker].as_raw_fd());
    }
}
