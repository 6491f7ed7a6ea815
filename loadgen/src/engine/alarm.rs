//! Waiting to the microsecond: a timer of the kernel's, polled by the ring, whose own clock ticks in 16 ms.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use quoit::ring::Ring;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer.
pub(super) struct Alarm(OwnedFd);

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?))
    }

    /// Waits for `duration`, which is above 0. Setting the timer discards an expiry before.
    pub(super) async fn wait(&self, ring: &Ring, duration: Duration) -> io::Result<()> {
        let it_value = Timespec {
            tv_sec: duration.as_secs() as i64,
            tv_nsec: i64::from(duration.subsec_nanos().max(1)),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        ring.readable(&self.0).await
    }
}
