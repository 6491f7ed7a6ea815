//! What has been seen of an endpoint: its latency and how often it fails, as one number that fits an atomic.
//! Pure: callers pass the time.
//!
//! The latency is a *peak* average: it rises at once to a slower response, and falls gradually. An endpoint
//! that slows down is therefore noticed with its first slow response, and one that recovers is tried again
//! when its average has decayed. Failures never enter the latency, because many are fast; they have an
//! average of their own, which makes an endpoint dearer and forbids that it be preferred.

use std::time::Duration;

use super::moment::{Moment, micros};

/// In which time an average without new measurements halves. In five seconds some requests arrive even at
/// quiet sites; ten times as long would keep a recovered endpoint unused for minutes.
const HALF_LIFE_MS: u64 = 5_000;

/// One failure counts for so much of the average: a single one in a calm time changes nothing
/// ([`SUSPICIOUS`]), two do.
const FAILURE_PART: u32 = 32;

/// The scale of the failure average.
const FAILURES_ALL: u32 = 4095;

/// From this average on an endpoint is not preferred: 5 %.
const SUSPICIOUS: u32 = FAILURES_ALL / 20;

/// Times by which an endpoint that only fails is dearer than one that never does, less one.
const FAILURE_COST: u64 = 8;

/// After which time an average without new measurements is old, at least and in multiples of itself.
const STALE_US_MIN: u64 = 1_000_000;
const STALE_TIMES: u64 = 20;

/// A stamp has 24 bits of 16 ms, which wrap after 74 hours; an endpoint that was unused for exactly so long
/// passes for recently used, which costs one choice.
const STAMP_SHIFT_US: u32 = 14;
const STAMP_MASK: u64 = (1 << 24) - 1;
const LATENCY_MASK: u64 = (1 << 28) - 1;

/// Latency (28 bits, microseconds), failures (12 bits), when they were updated (24 bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Quality {
    /// Zero: never measured.
    latency_us: u64,
    failures: u32,
    stamp: u64,
}

impl Quality {
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            latency_us: bits & LATENCY_MASK,
            failures: (bits >> 28) as u32 & FAILURES_ALL,
            stamp: bits >> 40,
        }
    }

    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        self.latency_us | u64::from(self.failures) << 28 | self.stamp << 40
    }

    /// As it is at `now`, with what time has taken off.
    #[inline]
    pub(crate) fn at(self, now: Moment) -> Self {
        let age_ms = self.age_ms(now);
        // A measured latency stays measured.
        let latency_us = halved(self.latency_us, age_ms).max(u64::from(self.latency_us > 0));
        let failures = halved(u64::from(self.failures), age_ms) as u32;
        Self { latency_us, failures, stamp: stamp(now) }
    }

    /// After a wait of this time without a response, which another endpoint gave.
    #[must_use]
    pub(crate) fn outpaced(self, waited: Duration, now: Moment) -> Self {
        let seen_us = micros(waited).clamp(1, LATENCY_MASK);
        let mut next = self.at(now);
        next.latency_us = self.latency_us.max(seen_us);
        next
    }

    /// After a response that is no failure.
    #[inline]
    #[must_use]
    pub(crate) fn succeeded(self, latency: Duration, now: Moment) -> Self {
        let seen_us = micros(latency).clamp(1, LATENCY_MASK);
        let age_ms = self.age_ms(now);
        let mut next = self.at(now);
        next.latency_us = if self.latency_us == 0 || seen_us >= self.latency_us {
            seen_us
        } else {
            // The older the average, the more the new measurement counts, and at least an eighth, so that a
            // busy endpoint's average follows its last dozens of responses.
            let part = (age_ms * 64 / HALF_LIFE_MS).clamp(8, 64);
            (self.latency_us * (64 - part) + seen_us * part) / 64
        };
        next.failures -= next.failures.div_ceil(FAILURE_PART);
        next
    }

    /// After a failure. The latency stays: a fast failure is no fast endpoint.
    #[inline]
    #[must_use]
    pub(crate) fn failed(self, now: Moment) -> Self {
        let mut next = self.at(now);
        next.latency_us = self.latency_us;
        next.failures =
            (next.failures + (FAILURES_ALL - next.failures).div_ceil(FAILURE_PART)).min(FAILURES_ALL);
        next
    }

    /// Whether the latency is so old that a request is due that measures it: no more than a twentieth of the
    /// time is spent on requests to an endpoint that has become slow.
    #[inline]
    pub(crate) fn is_stale(self, now: Moment) -> bool {
        self.is_proven() && self.age_us(now) > STALE_US_MIN.max(STALE_TIMES * self.latency_us)
    }

    /// The latency, unless nothing was measured.
    #[inline]
    pub(crate) fn latency_us(self) -> Option<u64> {
        (self.latency_us > 0).then_some(self.latency_us)
    }

    /// The part of recent requests that failed, from 0 to 1.
    pub(crate) fn failure_rate(self) -> f64 {
        f64::from(self.failures) / f64::from(FAILURES_ALL)
    }

    /// Whether enough is known, and nothing bad, for this endpoint to be preferred to one that was drawn.
    #[inline]
    pub(crate) fn is_proven(self) -> bool {
        self.latency_us > 0 && self.failures < SUSPICIOUS
    }

    /// `cost`, and more for failures.
    #[inline]
    pub(crate) fn with_failures(self, cost: u64) -> u64 {
        let scale = u64::from(FAILURES_ALL);
        cost.saturating_mul(scale + FAILURE_COST * u64::from(self.failures)) / scale
    }

    /// Time since the last outcome, by the clock of stamps.
    #[inline]
    pub(crate) fn age_us(self, now: Moment) -> u64 {
        (stamp(now).wrapping_sub(self.stamp) & STAMP_MASK) << STAMP_SHIFT_US
    }

    #[inline]
    fn age_ms(self, now: Moment) -> u64 {
        self.age_us(now) >> 10
    }
}

#[inline]
fn stamp(now: Moment) -> u64 {
    (now.0 >> STAMP_SHIFT_US) & STAMP_MASK
}

/// Halved once per half-life, and linear between.
#[inline]
fn halved(value: u64, age_ms: u64) -> u64 {
    let (times, rest) = (age_ms / HALF_LIFE_MS, age_ms % HALF_LIFE_MS);
    let value = value.checked_shr(times as u32).unwrap_or(0);
    value - value * rest / (2 * HALF_LIFE_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment(1_000_000_000);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slow_response_shows_at_once_and_fades() {
        let fast = Quality::default().succeeded(ms(1), START);
        assert_eq!(fast.latency_us(), Some(1000));
        let slow = fast.succeeded(ms(500), START + ms(10));
        assert_eq!(slow.latency_us(), Some(500_000));
        let after = slow.at(START + ms(10) + ms(2 * HALF_LIFE_MS)).latency_us().expect("measured");
        assert!((120_000..132_000).contains(&after), "{after}");
        let mut again = slow;
        for step in 1..60 {
            again = again.succeeded(ms(1), START + ms(10 + step));
        }
        assert!(again.latency_us().expect("measured") < 2_000, "{again:?}");
    }

    #[test]
    fn what_was_measured_stays_measured() {
        let old = Quality::default().succeeded(Duration::ZERO, START);
        assert_eq!(old.at(START + Duration::from_secs(3600)).latency_us(), Some(1));
        assert_eq!(Quality::default().at(START).latency_us(), None);
    }

    #[test]
    fn errors_do_not_look_fast() {
        let known = Quality::default().succeeded(ms(50), START);
        let mut failing = known;
        for step in 0..100 {
            failing = failing.failed(START + ms(step));
        }
        assert_eq!(failing.latency_us(), known.latency_us());
        assert!(!failing.is_proven() && failing.failure_rate() > 0.9, "{failing:?}");
        assert!(failing.with_failures(100) > 8 * known.with_failures(100));
        assert_eq!(Quality::default().failed(START).latency_us(), None);
    }

    #[test]
    fn what_was_slow_is_measured_again() {
        let slow = Quality::default().succeeded(ms(500), START);
        assert!(!slow.is_stale(START + ms(9_900)) && slow.is_stale(START + ms(10_100)));
        let fast = Quality::default().succeeded(ms(1), START);
        assert!(!fast.is_stale(START + ms(900)) && fast.is_stale(START + ms(1_100)));
        let failing = (0..9).fold(slow, |quality, _| quality.failed(START));
        assert!(!failing.is_stale(START + ms(11_000)) && !Quality::default().is_stale(START + ms(11_000)));
    }

    #[test]
    fn one_failure_in_a_calm_time_changes_nothing() {
        let good = Quality::default().succeeded(ms(5), START);
        assert!(good.is_proven() && good.failed(START).is_proven());
        assert!(!good.failed(START).failed(START).is_proven());
        assert!(good.failed(START).failed(START).at(START + ms(HALF_LIFE_MS)).is_proven());
        assert!(!Quality::default().is_proven());
    }

    proptest! {
        #[test]
        fn bits_are_the_whole_of_it(
            outcomes in prop::collection::vec((any::<bool>(), 0..400_000_u64, 0..9_000_u64), 0..60),
        ) {
            let (mut quality, mut now) = (Quality::default(), START);
            for (failed, latency_ms, later_ms) in outcomes {
                now = now + ms(later_ms);
                quality = if failed { quality.failed(now) } else { quality.succeeded(ms(latency_ms), now) };
                prop_assert_eq!(Quality::from_bits(quality.to_bits()), quality);
                prop_assert!((0.0..=1.0).contains(&quality.failure_rate()));
                prop_assert!(quality.at(now + ms(later_ms)).latency_us() <= quality.latency_us());
            }
        }
    }
}
