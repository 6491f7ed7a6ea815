//! Wakes a core from another thread, from any kind of wait. Knows no queue: what the core checks after a
//! wake-up is up to its owner.
//!
//! A core waits in its ring or, parked, in the executor. The first wait is ended by an eventfd that the ring
//! polls. The second would be too, but late: the kernel defers the ring's own event when it is raised from
//! within another eventfd's wake-up, for an RCU grace period (measured on 6.18: 12 to 20 ms, and up to 130).
//! So a parked core is woken by the ring's event directly.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sys;

/// Wakes one core; written at most once between two checks of the core.
pub(super) struct WakeUp {
    /// Polled by the ring.
    pub(super) event: OwnedFd,
    /// The event on which the core sleeps when it is parked, once the core is known.
    parked: OnceLock<OwnedFd>,
    /// Whether the event is, or is about to be, readable.
    raised: AtomicBool,
}

impl WakeUp {
    /// For a core that is not known yet.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub(super) fn new() -> io::Result<Self> {
        let event = sys::eventfd(true)?;
        Ok(Self { event, parked: OnceLock::new(), raised: AtomicBool::new(false) })
    }

    /// Sets the event that wakes the core when it is parked. What was raised before is found by the core's
    /// first check. Only the first call has an effect.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(super) fn attach(&self, parked: impl AsFd) -> io::Result<()> {
        if self.parked.get().is_none() {
            let _ = self.parked.set(parked.as_fd().try_clone_to_owned()?);
        }
        Ok(())
    }

    /// Called after something was queued: a core that clears this later sees it.
    pub(super) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // In this order: a core that wakes from parking finds the completion of the poll.
            sys::signal_event(self.event.as_raw_fd());
            if let Some(parked) = self.parked.get() {
                sys::signal_event(parked.as_raw_fd());
            }
        }
    }

    /// Called before the queue is read: what is queued later raises it again.
    pub(super) fn clear(&self) {
        sys::clear_event(self.event.as_raw_fd());
        self.raised.swap(false, Ordering::AcqRel);
    }
}
