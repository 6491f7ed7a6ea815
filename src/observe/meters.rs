//! What one core measures of routes and upstreams: plain numbers with one writer, read from other threads on
//! request. Names are those of the configuration; nothing that a client sends is one.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Counter;

/// Buckets of durations with a bound: each holds twice as much as the one before.
pub const BOUNDS: usize = 21;

/// The first bound is `2^-13` s, the last one `2^7` s, so that whole seconds and their halves are bounds.
const UNITS_PER_SECOND: u64 = 1 << 13;

/// The bound of a bucket, in seconds; a duration that equals it is within.
pub fn bound_seconds(bucket: usize) -> f64 {
    (1_u64 << bucket) as f64 / UNITS_PER_SECOND as f64
}

/// Durations by their length.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last one has no bound.
    buckets: [Counter; BOUNDS + 1],
    sum_ns: Counter,
}

impl Histogram {
    /// Counts a duration: two additions.
    #[inline]
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].bump();
        self.sum_ns.add(ns);
    }

    /// The counts so far.
    pub fn counts(&self) -> HistogramCounts {
        let buckets = self.buckets.each_ref().map(Counter::count);
        HistogramCounts { buckets, sum: Duration::from_nanos(self.sum_ns.count()) }
    }
}

/// The bucket of a duration.
#[inline]
fn bucket(ns: u64) -> usize {
    // 10^9 and 2^13 have the factor 2^9 in common. A division by a constant is a multiplication.
    const SHARED: u64 = 1 << 9;
    let units = ns.saturating_sub(1).saturating_mul(UNITS_PER_SECOND / SHARED) / (1_000_000_000 / SHARED);
    // Whole units below it: none for what is within the first bound.
    ((u64::BITS - units.leading_zeros()) as usize).min(BOUNDS)
}

/// The counts of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramCounts {
    /// Durations in each bucket alone; the last one has no bound.
    pub buckets: [u64; BOUNDS + 1],
    /// Of all durations.
    pub sum: Duration,
}

impl HistogramCounts {
    /// Durations in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl AddAssign<&HistogramCounts> for HistogramCounts {
    fn add_assign(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}

/// Ways in which a request ends, for [`RouteMeter::answered`].
pub const CLASSES: [&str; 7] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// What is measured of a route on one core.
#[derive(Debug, Default)]
pub struct RouteMeter {
    answered: [Counter; CLASSES.len()],
    /// From the request's head to the response's.
    pub to_head: Histogram,
    /// From the request's head to the end of a complete response that is no tunnel and no stream of events.
    pub whole: Histogram,
    /// Tunnels, and streams of events: their length says nothing of the route.
    pub endless: Counter,
}

impl RouteMeter {
    /// Counts a response by its status; `None` for a client that left before there was one.
    #[inline]
    pub fn answered(&self, status: Option<u16>) {
        let class = status.map_or(0, |code| usize::from(code / 100).min(CLASSES.len() - 1));
        self.answered[class].bump();
    }

    /// The counts so far.
    pub fn counts(&self) -> RouteCounts {
        RouteCounts {
            answered: self.answered.each_ref().map(Counter::count),
            to_head: self.to_head.counts(),
            whole: self.whole.counts(),
            endless: self.endless.count(),
        }
    }
}

/// The counts of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteCounts {
    /// By class, as [`CLASSES`].
    pub answered: [u64; CLASSES.len()],
    /// See [`RouteMeter`].
    pub to_head: HistogramCounts,
    /// See [`RouteMeter`].
    pub whole: HistogramCounts,
    /// See [`RouteMeter`].
    pub endless: u64,
}

impl AddAssign<&RouteCounts> for RouteCounts {
    fn add_assign(&mut self, other: &Self) {
        self.answered.iter_mut().zip(other.answered).for_each(|(sum, count)| *sum += count);
        self.to_head += &other.to_head;
        self.whole += &other.whole;
        self.endless += other.endless;
    }
}

/// What is measured of an upstream on one core. None of it depends on how fast the client is.
#[derive(Debug, Default)]
pub struct UpstreamMeter {
    /// Waiting for a connection where their number is limited; of requests that had to wait.
    pub queue: Histogram,
    /// Connecting, TLS included.
    pub connect: Histogram,
    /// From the end of the request to the head of the response.
    pub to_head: Histogram,
    /// Requests that were sent once more.
    pub retries: Counter,
    /// Endpoints that were left out because of how they answered.
    pub ejections: Counter,
}

impl UpstreamMeter {
    /// The counts so far.
    pub fn counts(&self) -> UpstreamCounts {
        UpstreamCounts {
            queue: self.queue.counts(),
            connect: self.connect.counts(),
            to_head: self.to_head.counts(),
            retries: self.retries.count(),
            ejections: self.ejections.count(),
        }
    }
}

/// The counts of an upstream; see [`UpstreamMeter`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the meter")]
pub struct UpstreamCounts {
    pub queue: HistogramCounts,
    pub connect: HistogramCounts,
    pub to_head: HistogramCounts,
    pub retries: u64,
    pub ejections: u64,
}

impl AddAssign<&UpstreamCounts> for UpstreamCounts {
    fn add_assign(&mut self, other: &Self) {
        self.queue += &other.queue;
        self.connect += &other.connect;
        self.to_head += &other.to_head;
        self.retries += other.retries;
        self.ejections += other.ejections;
    }
}

/// Which route it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteLabel {
    /// The host of its site; `default` for the default one.
    pub site: String,
    /// Methods, pattern and conditions; `fallback`, or `none` for requests without a route.
    pub route: String,
}

type Named<K, M> = Mutex<BTreeMap<K, Arc<M>>>;

/// The meters of one core. They outlive the services that count with them: what the next plan has too goes on
/// counting where it was, and so does a worker that takes the place of a lost one.
#[derive(Default)]
pub struct CoreMeters {
    // Both locked only while a plan is built or dropped, or the counts are read.
    routes: Named<RouteLabel, RouteMeter>,
    upstreams: Named<String, UpstreamMeter>,
}

impl CoreMeters {
    /// The meter of a route, made if there is none.
    pub fn route(&self, label: RouteLabel) -> Arc<RouteMeter> {
        locked(&self.routes).entry(label).or_default().clone()
    }

    /// The meter of an upstream, made if there is none.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMeter> {
        locked(&self.upstreams).entry(name.to_owned()).or_default().clone()
    }

    /// Forgets the meters that nothing counts with any more.
    pub fn prune(&self) {
        locked(&self.routes).retain(|_, meter| Arc::strong_count(meter) > 1);
        locked(&self.upstreams).retain(|_, meter| Arc::strong_count(meter) > 1);
    }

    /// Calls `see` with the counts of every route, in the order of their names.
    pub fn each_route(&self, mut see: impl FnMut(&RouteLabel, &RouteCounts)) {
        locked(&self.routes).iter().for_each(|(label, meter)| see(label, &meter.counts()));
    }

    /// Calls `see` with the counts of every upstream, in the order of their names.
    pub fn each_upstream(&self, mut see: impl FnMut(&str, &UpstreamCounts)) {
        locked(&self.upstreams).iter().for_each(|(name, meter)| see(name, &meter.counts()));
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for CoreMeters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (routes, upstreams) = (locked(&self.routes).len(), locked(&self.upstreams).len());
        write!(f, "CoreMeters({routes} routes, {upstreams} upstreams)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_within_its_bound_and_above_the_one_before() {
        let units = 1_000_000_000.0 / UNITS_PER_SECOND as f64;
        for ns in (0..2_000_000).step_by(997).chain((0..38).flat_map(|bit| [1 << bit, (1 << bit) + 1])) {
            let bucket = bucket(ns);
            let bound = |bucket: usize| bound_seconds(bucket) * 1e9;
            assert!(bucket == BOUNDS || ns as f64 <= bound(bucket), "{ns} in {bucket}");
            assert!(bucket == 0 || ns as f64 > bound(bucket - 1), "{ns} in {bucket}");
        }
        assert_eq!((bucket(0), bucket(units as u64), bucket(u64::MAX)), (0, 0, BOUNDS));
        assert_eq!((bound_seconds(13), bound_seconds(BOUNDS - 1)), (1.0, 128.0));
        assert_eq!((bucket(1_000_000_000), bucket(1_000_000_001)), (13, 14));
        assert_eq!((bucket(500_000_000), bucket(500_000_001)), (12, 13));
    }

    #[test]
    fn meters_go_with_their_last_user_and_counts_with_their_name() {
        let meters = CoreMeters::default();
        let label = |route: &str| RouteLabel { site: "default".into(), route: route.into() };
        let (kept, removed) = (meters.route(label("GET /")), meters.route(label("GET /old")));
        kept.answered(Some(200));
        kept.answered(Some(999));
        kept.answered(None);
        removed.answered(Some(404));
        // The next plan has one of them.
        let again = meters.route(label("GET /"));
        drop((kept, removed));
        meters.prune();
        again.answered(Some(204));
        again.whole.record(Duration::from_millis(3));
        let mut seen = Vec::new();
        meters.each_route(|label, counts| seen.push((label.route.clone(), *counts)));
        assert_eq!(seen.len(), 1);
        let counts = seen[0].1;
        assert_eq!((&*seen[0].0, counts.answered), ("GET /", [1, 0, 2, 0, 0, 0, 1]));
        assert_eq!((counts.whole.count(), counts.whole.sum), (1, Duration::from_millis(3)));
        let mut sum = counts;
        sum += &counts;
        assert_eq!((sum.answered[2], sum.whole.count()), (4, 2));
    }
}
