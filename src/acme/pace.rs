//! Time for the renewals: an injectable clock, and sleep that ends when the server stops. Makes no schedule.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// The server is stopping. Callers return at once; the state directory is consistent at any point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The clock of the renewals. Tests use a simulated one.
pub(super) trait Clock: Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> SystemTime;

    /// Sleeps.
    ///
    /// # Errors
    /// The server is stopping.
    fn sleep(&self, time: Duration) -> Result<(), Stopped>;

    /// Whether the server is stopping, for other kinds of waiting.
    fn is_stopped(&self) -> bool;
}

/// The system's clock, and the switch that interrupts sleepers.
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
    /// Interrupts every sleep, present and future.
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
