//! Waiting in tests: for what happens, never for a time in which it should have happened. The only sleeps of
//! the test programs' own threads are here.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::thread;
use std::time::{Duration, Instant};

/// Longest wait for anything that should happen at once. Generous, because of loaded machines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks. Nothing is missed by it: what is waited for stays.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until there is something to find.
#[track_caller]
pub(crate) fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, look)
}

/// As [`until`], for what takes longer or may not take as long.
#[track_caller]
pub(crate) fn until_within<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Lets time pass where time itself is what is tested, and nothing shows that it has passed. `why` says so.
pub(crate) fn time_passes(time: Duration, why: &str) {
    assert!(!why.is_empty());
    thread::sleep(time);
}
