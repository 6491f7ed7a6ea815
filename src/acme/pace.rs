//! Time for the renewals: a clock that is passed in, and sleep that ends when the server does. Decides
//! nothing about when something is due.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The server ends: leave what you are doing, the state directory is fit to be left at any point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// What the renewals know of time. Tests pass one that jumps.
pub(super) trait Clock: Send + Sync {
    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Waits.
    ///
    /// # Errors
    /// The server ended before or meanwhile.
    fn sleep(&self, time: Duration) -> Result<(), Stopped>;

    /// Whether the server ends, for those who wait in other ways.
    fn is_stopped(&self) -> bool;
}

/// The system's clock, with the switch that ends its sleepers.
#[derive(Clone, Debug, Default)]
pub(super) struct SystemClock {
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl SystemClock {
    /// Ends every sleep, present and future.
    pub(super) fn stop(&self) {
        *self.switch.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.switch.changed.notify_all();
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        let until = Instant::now() + time;
        let mut stopped = self.switch.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let woken = self.switch.changed.wait_timeout(stopped, left);
            stopped = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Stopped)
    }

    fn is_stopped(&self) -> bool {
        *self.switch.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleep_ends_with_the_server() {
        let clock = SystemClock::default();
        assert_eq!(clock.sleep(Duration::from_millis(5)), Ok(()));
        let other = clock.clone();
        let began = Instant::now();
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(600)));
        clock.stop();
        assert_eq!(sleeper.join().unwrap(), Err(Stopped));
        assert_eq!(clock.sleep(Duration::from_secs(600)), Err(Stopped));
        assert!(began.elapsed() < Duration::from_secs(60) && clock.is_stopped());
    }
}
