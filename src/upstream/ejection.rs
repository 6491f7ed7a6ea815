//! Passive ejection: endpoints are left out for a while because of how they answer. Pure but for its atomics.
//!
//! Signs are failures in a row within a time, and a success rate or a latency far from that of the others.
//! How many may be out is bounded ([`may_eject`]), and the last usable endpoint stays whatever it does.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use super::moment::Moment;
use super::options::EjectionOptions;

/// Failures whose times are kept: the most that [`EjectionOptions::failures_in_a_row`] can ask for.
pub(crate) const FAILURES_KEPT: usize = 32;

/// Endpoints that are needed to compare success rates: the deviation of fewer means nothing.
const COMPARED_MIN: usize = 5;

/// A slow endpoint is at least so much slower than the median: below that latency is not what hurts.
const SLOWER_US_MIN: u64 = 20_000;

/// The failures of one endpoint since its last success.
#[derive(Debug, Default)]
pub(crate) struct Streak {
    count: AtomicU32,
    /// When the latest ones were, each at its number modulo the length.
    at: [AtomicU64; FAILURES_KEPT],
}

impl Streak {
    #[inline]
    pub(crate) fn succeeded(&self) {
        // A store only where something changes: the line stays shared between cores.
        if self.count.load(Relaxed) != 0 {
            self.count.store(0, Relaxed);
        }
    }

    /// Adds a failure; true if it is the one that completes a streak of that length within the window.
    pub(crate) fn failed(&self, options: &EjectionOptions, now: Moment) -> bool {
        let length = options.failures_in_a_row.min(FAILURES_KEPT as u32);
        let before = self.count.fetch_add(1, Relaxed);
        let slot = |number: u32| &self.at[number as usize % FAILURES_KEPT];
        slot(before).store(now.0, Relaxed);
        let first = (before + 1).checked_sub(length).filter(|_| length > 0);
        first.is_some_and(|first| now.since(Moment(slot(first).load(Relaxed))) <= options.window)
    }

    /// Begins anew, after a decision.
    pub(crate) fn clear(&self) {
        self.count.store(0, Relaxed);
    }

    pub(crate) fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }
}

/// An endpoint, for the decision on another one. Those that are down by configuration or drained are none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) is_healthy: bool,
    pub(crate) is_ejected: bool,
}

/// Whether one more endpoint may be left out: `others` are the rest of its upstream.
pub(crate) fn may_eject(others: impl Iterator<Item = Host> + Clone, percent_max: u32) -> bool {
    let hosts = others.clone().count() + 1;
    let ejected = others.clone().filter(|host| host.is_ejected).count();
    let has_usable = others.clone().any(|host| host.is_healthy && !host.is_ejected);
    // Rounded down: the bound holds as it is written.
    has_usable && (ejected + 1) * 100 <= hosts * percent_max as usize
}

/// How long an endpoint is out for the `times`th time in a row, from 1.
pub(crate) fn length(options: &EjectionOptions, times: u32) -> Duration {
    options.time.saturating_mul(times.max(1)).min(options.time_max.max(options.time))
}

/// How many ejections still count, when the last one ended `quiet` ago: one less for each interval.
pub(crate) fn times_left(options: &EjectionOptions, times: u32, quiet: Duration) -> u32 {
    let intervals = quiet.as_millis() / options.interval.as_millis().max(1);
    times.saturating_sub(u32::try_from(intervals).unwrap_or(u32::MAX))
}

/// What an endpoint did in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) requests: u32,
    pub(crate) failures: u32,
    /// Moving average.
    pub(crate) latency_us: Option<u64>,
}

/// Whether the endpoint at `index` is far from the others. Those with too few requests are not compared.
pub(crate) fn is_outlier(tallies: &[Tally], index: usize, options: &EjectionOptions) -> bool {
    let compared = |tally: &&Tally| tally.requests >= options.requests_min.max(1);
    let Some(own) = tallies.get(index).filter(compared) else { return false };
    let others = || tallies.iter().filter(compared);
    let count = others().count();
    if options.success_rate_deviations > 0.0 && count >= COMPARED_MIN {
        let rate = |tally: &Tally| 1.0 - f64::from(tally.failures) / f64::from(tally.requests);
        let mean = others().map(rate).sum::<f64>() / count as f64;
        let variance = others().map(|tally| (rate(tally) - mean).powi(2)).sum::<f64>() / count as f64;
        if rate(own) < mean - options.success_rate_deviations * variance.sqrt() {
            return true;
        }
    }
    if options.latency_factor > 0.0 && count >= 2 {
        let mut latencies: Vec<u64> = others().filter_map(|tally| tally.latency_us).collect();
        latencies.sort_unstable();
        // Of two the faster one.
        let Some(&median) = latencies.get(latencies.len().saturating_sub(1) / 2) else { return false };
        let own = own.latency_us.unwrap_or(0);
        return own as f64 > median as f64 * options.latency_factor && own > median + SLOWER_US_MIN;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment(1_000_000_000);

    fn options() -> EjectionOptions {
        EjectionOptions { window: Duration::from_secs(8), ..EjectionOptions::default() }
    }

    #[test]
    fn failures_in_a_row_are_counted_within_the_window() {
        let streak = Streak::default();
        let fail = |seconds: u64| streak.failed(&options(), START + Duration::from_secs(seconds));
        assert_eq!([0, 1, 2, 3, 4].map(fail), [false, false, false, false, true]);
        streak.clear();
        // Five seconds apart: never five within eight.
        assert!((0..100).all(|step| !fail(100 + 5 * step)));
        streak.clear();
        // Exactly the window is within it.
        assert_eq!([1000, 1002, 1004, 1006, 1008].map(fail), [false, false, false, false, true]);
        streak.clear();
        let late = START + Duration::from_secs(2008) + Duration::from_micros(1);
        assert_eq!([2000, 2002, 2004, 2006].map(fail), [false; 4]);
        assert!(!streak.failed(&options(), late));
    }

    #[test]
    fn a_success_begins_anew() {
        let streak = Streak::default();
        let fail = || streak.failed(&options(), START);
        (0..4).for_each(|_| assert!(!fail()));
        streak.succeeded();
        (0..4).for_each(|_| assert!(!fail()));
        assert!(fail() && streak.count() == 5);
        let never = EjectionOptions { failures_in_a_row: 0, ..options() };
        assert!(!streak.failed(&never, START));
    }

    fn hosts(healthy: usize, ejected: usize, dead: usize) -> impl Iterator<Item = Host> + Clone {
        let host = |is_healthy, is_ejected| Host { is_healthy, is_ejected };
        std::iter::repeat_n(host(true, false), healthy)
            .chain(std::iter::repeat_n(host(true, true), ejected))
            .chain(std::iter::repeat_n(host(false, false), dead))
    }

    #[test]
    fn the_bound_holds_and_the_last_one_stays() {
        assert!(!may_eject(hosts(0, 0, 0), 100));
        assert!(may_eject(hosts(1, 0, 0), 50));
        assert!(!may_eject(hosts(1, 0, 0), 10), "one of two is more than 10 %");
        assert!(may_eject(hosts(2, 0, 0), 50));
        assert!(!may_eject(hosts(1, 1, 0), 50), "two of three are more than half");
        assert!(may_eject(hosts(1, 1, 0), 67));
        assert!(!may_eject(hosts(0, 2, 0), 100), "the last one");
        assert!(!may_eject(hosts(0, 0, 1), 100), "the only one that active checks call healthy");
    }

    #[test]
    fn times_grow_and_are_forgiven() {
        let seconds = |times| length(&options(), times).as_secs();
        assert_eq!([1, 2, 3, 30, 31, u32::MAX].map(seconds), [10, 20, 30, 300, 300, 300]);
        let left = |seconds| times_left(&options(), 3, Duration::from_secs(seconds));
        assert_eq!([0, 9, 10, 29, 30, 1_000_000].map(left), [3, 3, 2, 1, 0, 0]);
    }

    fn tally(failures: u32, latency_us: u64) -> Tally {
        Tally { requests: 100, failures, latency_us: Some(latency_us) }
    }

    #[test]
    fn success_rates_are_compared() {
        let mut tallies = vec![tally(1, 1000); 5];
        tallies.push(tally(40, 1000));
        let outliers = |tallies: &[Tally]| {
            (0..tallies.len()).filter(|&at| is_outlier(tallies, at, &options())).collect::<Vec<_>>()
        };
        assert_eq!(outliers(&tallies), [5]);
        assert_eq!(outliers(&tallies[2..]), [0; 0], "four are too few");
        tallies[5].requests = 99;
        assert_eq!(outliers(&tallies), [0; 0], "too few requests");
        assert_eq!(outliers(&[tally(100, 1000); 8]), [0; 0], "all alike");
    }

    #[test]
    fn latencies_are_compared_if_asked() {
        let by_latency = EjectionOptions { latency_factor: 3.0, ..options() };
        let tallies = [tally(0, 30_000), tally(0, 200_000)];
        assert!(is_outlier(&tallies, 1, &by_latency) && !is_outlier(&tallies, 0, &by_latency));
        assert!(!is_outlier(&tallies, 1, &options()));
        let fast = [tally(0, 300), tally(0, 3_000), tally(0, 400)];
        assert!(!is_outlier(&fast, 1, &by_latency), "three milliseconds hurt nobody");
    }

    proptest! {
        /// Whatever is asked for, at most the percentage is out and one stays.
        #[test]
        fn ejections_are_bounded(
            count in 1..12_usize,
            percent in 0..101_u32,
            asked in prop::collection::vec(0..12_usize, 0..40),
        ) {
            let mut ejected = vec![false; count];
            for index in asked.into_iter().filter(|index| *index < count) {
                let others = ejected.iter().enumerate().filter(|(at, _)| *at != index);
                let others = others.map(|(_, &is_ejected)| Host { is_healthy: true, is_ejected });
                if !ejected[index] && may_eject(others, percent) {
                    ejected[index] = true;
                }
            }
            let out = ejected.iter().filter(|out| **out).count();
            prop_assert!(out * 100 <= count * percent as usize && out < count);
        }
    }
}
