//! Times as numbers, for atomics: microseconds since the process began to count. Reads no clock.

use std::ops::Add;
use std::time::{Duration, Instant};

/// A point in time. The earliest one is that at which the [`Epoch`] was taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Moment(pub(crate) u64);

/// Where moments begin. All states of a process share one, so that their moments compare.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn new(now: Instant) -> Self {
        // A second before, so that no moment of this process is zero, which stands for "never".
        Self(now.checked_sub(Duration::from_secs(1)).unwrap_or(now))
    }

    #[inline]
    pub(crate) fn moment(self, now: Instant) -> Moment {
        Moment(micros(now.saturating_duration_since(self.0)))
    }
}

impl Moment {
    /// Later than anything.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// How long it is since `earlier`; zero if that is later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(micros(after)))
    }
}

/// Whole microseconds; centuries are as many as fit.
#[inline]
pub(crate) fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ordered_and_never_zero() {
        let start = Instant::now();
        let epoch = Epoch::new(start);
        let (first, later) = (epoch.moment(start), epoch.moment(start + Duration::from_millis(3)));
        assert!(Moment::default() < first && first < later && later < Moment::NEVER);
        assert_eq!(later.since(first), Duration::from_millis(3));
        assert_eq!(first.since(later), Duration::ZERO);
        assert_eq!(first + Duration::MAX, Moment::NEVER);
    }
}
