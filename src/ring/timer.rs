//! A coarse timer wheel: tokens that expire at a tick. Reads no clock and does not interpret tokens.
//!
//! One wheel serves a whole core. A tick is [`TICK_MS`] long, so a deadline fires up to two ticks late
//! (because of rounding, and of the elapsed part of the first tick) and never early. Connections keep at most
//! one entry each and move their deadline by storing a number; the entry is checked against it when it fires
//! (see `socket`).

use std::time::{Duration, Instant};

/// Length of a tick in milliseconds. Deadlines are seconds long, for which a tenth of a second would do; 16
/// ms also serves `sleep`. Halving it doubles the wake-ups of an idle core with timers.
pub(super) const TICK_MS: u64 = 16;

/// Slots of the wheel: one turn is 16 s, so that the usual deadlines are found within their first turn.
const SLOTS: u64 = 1024;

/// Entries whose capacity an empty slot keeps. Thousands of connections that were accepted together move from
/// slot to slot together; if every slot kept that capacity, it would add up to megabytes.
const SLOT_KEPT: usize = 32;

/// A time that no process lives to see, from now.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The time that is `after` later than `now`; a century, where that is more: for who wants no limit it is one
/// to write `Duration::MAX`, which no clock can add.
#[inline]
pub fn later(now: Instant, after: Duration) -> Instant {
    now + after.min(NEVER)
}

/// The tick that is at least `duration` after any moment of tick `now`: one tick more than the duration has,
/// because `now` has partly elapsed.
pub(super) fn due(now: u64, duration: Duration) -> u64 {
    now + ticks(duration) + 1
}

/// Ticks that cover `duration`, rounded up so that nothing fires early; at least one.
pub(super) fn ticks(duration: Duration) -> u64 {
    let ms = duration.as_secs().saturating_mul(1000);
    let ms = ms.saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000_000)));
    ms.div_ceil(TICK_MS).max(1)
}

/// The wheel. `due` and `now` are ticks since the ring was made.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<(u64, u64)>>,
    /// Every tick up to and including this one has fired.
    fired_to: u64,
    len: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), fired_to: 0, len: 0 }
    }

    /// Adds `token`, to fire at tick `due` (at the next tick if that has passed).
    pub(super) fn insert(&mut self, due: u64, token: u64) {
        let due = due.max(self.fired_to + 1);
        self.slots[(due % SLOTS) as usize].push((due, token));
        self.len += 1;
    }

    /// Moves every token that is due at `now` or earlier into `fired`, with its due tick.
    pub(super) fn advance(&mut self, now: u64, fired: &mut Vec<(u64, u64)>) {
        if now <= self.fired_to {
            return;
        }
        if self.len > 0 {
            // After a long sleep every slot is visited once, not once per missed tick.
            let first = (self.fired_to + 1).max((now + 1).saturating_sub(SLOTS));
            for tick in first..=now {
                let slot = &mut self.slots[(tick % SLOTS) as usize];
                let before = slot.len();
                slot.retain(|&(due, token)| {
                    if due <= now {
                        fired.push((due, token));
                    }
                    due > now
                });
                self.len -= before - slot.len();
                if slot.is_empty() && slot.capacity() > SLOT_KEPT {
                    *slot = Vec::new();
                }
            }
        }
        self.fired_to = now;
    }

    /// The first tick at which a token may be due, or `None` when the wheel is empty. Entries of later rounds
    /// may make it early, never late.
    pub(super) fn next_due(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        (self.fired_to + 1..=self.fired_to + SLOTS)
            .find(|tick| !self.slots[(tick % SLOTS) as usize].is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired_at(wheel: &mut Wheel, now: u64) -> Vec<u64> {
        let mut fired = Vec::new();
        wheel.advance(now, &mut fired);
        fired.into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn fires_in_time_and_once() {
        let mut wheel = Wheel::new();
        wheel.insert(5, 50);
        wheel.insert(7, 70);
        assert_eq!(wheel.next_due(), Some(5));
        assert!(fired_at(&mut wheel, 4).is_empty());
        assert_eq!(fired_at(&mut wheel, 6), [50]);
        assert_eq!(fired_at(&mut wheel, 7), [70]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn later_turns_stay_in_their_slot() {
        let mut wheel = Wheel::new();
        wheel.insert(3 + SLOTS, 1);
        wheel.insert(3, 2);
        assert_eq!(fired_at(&mut wheel, 3), [2]);
        assert!(fired_at(&mut wheel, SLOTS).is_empty());
        assert_eq!(fired_at(&mut wheel, 3 + SLOTS), [1]);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new();
        for due in [1, 2, SLOTS - 1, SLOTS, SLOTS + 1, 5 * SLOTS] {
            wheel.insert(due, due);
        }
        let mut all = fired_at(&mut wheel, 6 * SLOTS);
        all.sort_unstable();
        assert_eq!(all, [1, 2, SLOTS - 1, SLOTS, SLOTS + 1, 5 * SLOTS]);
    }

    #[test]
    fn a_crowd_leaves_no_room_behind() {
        let mut wheel = Wheel::new();
        (0..10_000).for_each(|token| wheel.insert(3, token));
        assert_eq!(fired_at(&mut wheel, 3).len(), 10_000);
        assert!(wheel.slots.iter().all(|slot| slot.capacity() <= SLOT_KEPT));
    }

    #[test]
    fn the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new();
        assert!(fired_at(&mut wheel, 100).is_empty());
        wheel.insert(3, 9);
        assert_eq!(wheel.next_due(), Some(101));
        assert_eq!(fired_at(&mut wheel, 101), [9]);
    }

    #[test]
    fn durations_round_up() {
        assert_eq!(ticks(Duration::ZERO), 1);
        assert_eq!(ticks(Duration::from_millis(TICK_MS + 1)), 2);
        assert_eq!(ticks(Duration::from_micros(TICK_MS * 1000 + 1)), 2);
        assert_eq!(due(7, Duration::from_millis(TICK_MS)), 9);
        assert!(due(7, Duration::MAX) > 1 << 40);
        let now = Instant::now();
        assert!(later(now, Duration::MAX) > later(now, Duration::from_secs(1 << 31)));
    }
}
