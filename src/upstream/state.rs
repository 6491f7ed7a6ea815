//! What the cores of a process know together of upstreams and their endpoints: numbers without locks, and
//! where to find them.

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::breaker::Breaker;
use super::budget::Budget;
use super::ejection::{self, Host, Streak};
use super::moment::{Epoch, Moment};
use super::options::{
    CheckOptions, EjectionOptions, EndpointAddress, EndpointOptions, UpstreamOptions, UpstreamProtocol,
};
use super::quality::Quality;
use super::tls::ClientTls;
use crate::net::Address;

/// One endpoint of one upstream, for all cores. What every request changes is on a cache line of its own. All
/// accesses are relaxed: each number is used by itself.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct EndpointState {
    /// Requests that were sent to it and whose exchange has not ended.
    pub in_flight: AtomicU32,
    /// Connections to it, idle ones included.
    pub open: AtomicU32,
    /// Requests that wait for a connection because of `connections_max`.
    pub queued: AtomicU32,
    /// Requests of those in flight that have no outcome yet.
    awaiting: AtomicU32,
    /// Since when there are such requests.
    awaits_since: AtomicU64,
    /// A [`Quality`].
    quality: AtomicU64,
    requests: AtomicU64,
    failures: AtomicU64,
    rest: Rest,
}

/// What changes seldom.
#[derive(Debug)]
#[repr(align(64))]
struct Rest {
    id: EndpointId,
    health: AtomicU8,
    drained: AtomicBool,
    /// By an administrator; [`NO_WEIGHT`]: that of the options.
    weight: AtomicU32,
    ramp_from: AtomicU64,
    ejected_until: AtomicU64,
    ejections: AtomicU32,
    streak: Streak,
    breaker: Breaker,
    /// Requests and failures when success rates were compared last.
    compared: [AtomicU64; 2],
    /// By the plan that was built last.
    options: ArcSwapOption<EndpointOptions>,
    /// How it is checked by the plan in force.
    check: ArcSwapOption<CheckPlan>,
    /// Whether a task of the watching thread checks it.
    is_checked: AtomicBool,
}

const NO_WEIGHT: u32 = u32::MAX;

/// What an endpoint is known by: as it is configured, and for a name one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointId {
    pub(crate) configured: EndpointAddress,
    pub(crate) address: Address,
}

/// `HOST:PORT`, with the address in parentheses if the host is a name; `srv:NAME` with address and port.
impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.configured.fmt(f)?;
        match (&self.configured, &self.address) {
            (EndpointAddress::Tcp { host, .. }, Address::Inet(addr)) if addr.ip().to_string() != *host => {
                write!(f, " ({})", addr.ip())
            }
            (EndpointAddress::Service(_), Address::Inet(addr)) => write!(f, " ({addr})"),
            _ => Ok(()),
        }
    }
}

/// How an endpoint is to be checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckPlan {
    pub(crate) options: CheckOptions,
    /// What is connected to, with the port of the check.
    pub(crate) address: Address,
    /// The value of `Host`, unless the options have one.
    pub(crate) authority: String,
    pub(crate) protocol: UpstreamProtocol,
}

/// What active checks have found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Health {
    /// Nothing yet, or there are no checks: passes for healthy.
    #[default]
    Unknown,
    /// Healthy.
    Up,
    /// Not.
    Down,
}

impl EndpointState {
    pub(crate) fn new(id: EndpointId, now: Moment) -> Self {
        let rest = Rest {
            id,
            health: AtomicU8::default(),
            drained: AtomicBool::default(),
            weight: AtomicU32::new(NO_WEIGHT),
            ramp_from: AtomicU64::new(now.0),
            ejected_until: AtomicU64::default(),
            ejections: AtomicU32::default(),
            streak: Streak::default(),
            breaker: Breaker::default(),
            compared: Default::default(),
            options: ArcSwapOption::empty(),
            check: ArcSwapOption::empty(),
            is_checked: AtomicBool::default(),
        };
        Self {
            in_flight: AtomicU32::default(),
            open: AtomicU32::default(),
            queued: AtomicU32::default(),
            awaiting: AtomicU32::default(),
            awaits_since: AtomicU64::default(),
            quality: AtomicU64::default(),
            requests: AtomicU64::default(),
            failures: AtomicU64::default(),
            rest,
        }
    }

    pub(crate) fn id(&self) -> &EndpointId {
        &self.rest.id
    }

    /// Latency and failures as they were last measured.
    #[inline]
    pub(crate) fn quality(&self) -> Quality {
        Quality::from_bits(self.quality.load(Relaxed))
    }

    /// Of two cores at once one measurement may be lost: it is an average.
    #[inline]
    pub(crate) fn set_quality(&self, quality: Quality) {
        self.quality.store(quality.to_bits(), Relaxed);
    }

    /// A request was sent to it.
    #[inline]
    pub(crate) fn begin_wait(&self, now: Moment) {
        if self.awaiting.fetch_add(1, Relaxed) == 0 {
            self.awaits_since.store(now.0, Relaxed);
        }
    }

    /// One of the requests has an outcome, or is given up.
    #[inline]
    pub(crate) fn end_wait(&self) {
        self.awaiting.fetch_sub(1, Relaxed);
    }

    /// How long a request has waited since the last outcome of any, in microseconds.
    #[inline]
    pub(crate) fn waited_us(&self, now: Moment) -> u64 {
        match self.awaiting.load(Relaxed) {
            0 => 0,
            _ => self.quality().age_us(now).min(now.0.saturating_sub(self.awaits_since.load(Relaxed))),
        }
    }

    #[inline]
    pub(crate) fn count_request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Requests that had an outcome, and those of them that failed, since the endpoint is known.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.requests.load(Relaxed), self.failures.load(Relaxed))
    }

    /// The counts since the last call.
    pub(crate) fn take_tally(&self) -> (u32, u32) {
        let (requests, failures) = self.counts();
        let since = |at: usize, now: u64| {
            u32::try_from(now.saturating_sub(self.rest.compared[at].swap(now, Relaxed))).unwrap_or(u32::MAX)
        };
        let tally = (since(0, requests), since(1, failures));
        (tally.0, tally.1.min(tally.0))
    }

    #[inline]
    pub(crate) fn streak(&self) -> &Streak {
        &self.rest.streak
    }

    #[inline]
    pub(crate) fn breaker(&self) -> &Breaker {
        &self.rest.breaker
    }

    pub(crate) fn health(&self) -> Health {
        match self.rest.health.load(Relaxed) {
            0 => Health::Unknown,
            1 => Health::Up,
            _ => Health::Down,
        }
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.rest.drained.load(Relaxed)
    }

    /// The weight that an administrator has set.
    pub(crate) fn weight_set(&self) -> Option<u32> {
        Some(self.rest.weight.load(Relaxed)).filter(|weight| *weight != NO_WEIGHT)
    }

    pub(crate) fn ramp_from(&self) -> Moment {
        Moment(self.rest.ramp_from.load(Relaxed))
    }

    pub(crate) fn ejected_until(&self) -> Moment {
        Moment(self.rest.ejected_until.load(Relaxed))
    }

    pub(crate) fn ejections(&self) -> u32 {
        self.rest.ejections.load(Relaxed)
    }

    pub(crate) fn options(&self) -> Option<Arc<EndpointOptions>> {
        self.rest.options.load_full()
    }

    pub(crate) fn set_options(&self, options: &EndpointOptions) {
        if self.rest.options.load().as_deref() != Some(options) {
            self.rest.options.store(Some(Arc::new(options.clone())));
        }
    }

    pub(crate) fn check_plan(&self) -> Option<Arc<CheckPlan>> {
        self.rest.check.load_full()
    }

    pub(crate) fn set_check_plan(&self, plan: Option<CheckPlan>) {
        if self.rest.check.load().as_deref() != plan.as_ref() {
            self.rest.check.store(plan.map(Arc::new));
        }
    }

    /// Whether the caller is to begin checks; at most one caller is.
    pub(crate) fn begin_checks(&self) -> bool {
        !self.rest.is_checked.swap(true, AcqRel)
    }

    pub(crate) fn end_checks(&self) {
        self.rest.is_checked.store(false, Release);
    }

    fn begin_ramp(&self, from: Moment) {
        self.rest.ramp_from.store(from.0, Relaxed);
    }
}

/// One upstream, for all cores and all plans that name it.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    name: String,
    epoch: Epoch,
    /// Of the plan that was built last.
    options: ArcSwapOption<UpstreamOptions>,
    /// Retries.
    pub(crate) budget: Budget,
    /// Turns of round robin.
    pub(crate) turns: AtomicU64,
    /// Changes with everything that decides who may get requests, except time.
    changes: AtomicU64,
    /// Whether health is ignored, because too little is usable.
    panics: AtomicBool,
    /// When success rates are compared next.
    compare_at: AtomicU64,
    // Locked only while lists are built.
    endpoints: Mutex<Vec<Weak<EndpointState>>>,
    // Held while it is decided whether one more may be left out, so that the bound holds over all cores.
    ejecting: Mutex<()>,
    /// Of the plan that was built last. Locked only while plans are built, and for checks.
    tls: Mutex<Option<Arc<ClientTls>>>,
}

impl UpstreamState {
    pub(crate) fn new(name: &str, epoch: Epoch) -> Self {
        Self {
            name: name.to_owned(),
            epoch,
            options: ArcSwapOption::empty(),
            budget: Budget::default(),
            turns: AtomicU64::default(),
            changes: AtomicU64::default(),
            panics: AtomicBool::default(),
            compare_at: AtomicU64::default(),
            endpoints: Mutex::default(),
            ejecting: Mutex::default(),
            tls: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn options(&self) -> Option<Arc<UpstreamOptions>> {
        self.options.load_full()
    }

    /// Sets what connections are secured with from now on.
    pub(crate) fn set_tls(&self, tls: Option<Arc<ClientTls>>) {
        *locked(&self.tls) = tls;
    }

    /// What connections were last secured with.
    pub(crate) fn current_tls(&self) -> Option<Arc<ClientTls>> {
        locked(&self.tls).clone()
    }

    pub(crate) fn set_options(&self, options: &Arc<UpstreamOptions>) {
        self.options.store(Some(options.clone()));
    }

    #[inline]
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        self.epoch.moment(now)
    }

    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }

    /// Makes every core look again who may get requests.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Relaxed);
    }

    /// Whether health is ignored. Returns whether that is news to all cores, and true.
    pub(crate) fn set_panics(&self, panics: bool) -> bool {
        self.panics() != panics && self.panics.swap(panics, Relaxed) != panics && panics
    }

    pub(crate) fn panics(&self) -> bool {
        self.panics.load(Relaxed)
    }

    /// The state of an endpoint, as it is while any plan or core knows it, or a new one.
    pub(crate) fn endpoint(&self, id: &EndpointId, now: Moment) -> Arc<EndpointState> {
        let mut endpoints = locked(&self.endpoints);
        endpoints.retain(|state| state.strong_count() > 0);
        let known = endpoints.iter().find_map(|state| state.upgrade().filter(|state| state.id() == id));
        known.unwrap_or_else(|| {
            let state = Arc::new(EndpointState::new(id.clone(), now));
            endpoints.push(Arc::downgrade(&state));
            state
        })
    }

    /// All endpoints that some core knows.
    pub(crate) fn endpoints(&self) -> Vec<Arc<EndpointState>> {
        locked(&self.endpoints).iter().filter_map(Weak::upgrade).collect()
    }

    /// Leaves an endpoint out for a while, if there are others enough. Returns for how long.
    pub(crate) fn eject<'a>(
        &self,
        endpoint: &EndpointState,
        others: impl Iterator<Item = &'a EndpointState> + Clone,
        options: &EjectionOptions,
        now: Moment,
    ) -> Option<Duration> {
        let _deciding = locked(&self.ejecting);
        let hosts = others.map(|other| Host {
            is_healthy: other.health() != Health::Down,
            is_ejected: other.ejected_until() > now,
        });
        endpoint.streak().clear();
        let until = endpoint.ejected_until();
        if until > now || !ejection::may_eject(hosts, options.percent_max) {
            return None;
        }
        let times = ejection::times_left(options, endpoint.ejections(), now.since(until)) + 1;
        let length = ejection::length(options, times);
        let until = now + length;
        endpoint.rest.ejections.store(times, Relaxed);
        endpoint.rest.ejected_until.store(until.0, Relaxed);
        endpoint.begin_ramp(until);
        self.changed();
        Some(length)
    }

    /// Whether it is this caller's turn to compare success rates; true for at most one in an interval.
    #[inline]
    pub(crate) fn compares(&self, interval: Duration, now: Moment) -> bool {
        let due = self.compare_at.load(Relaxed);
        now.0 >= due
            && self.compare_at.compare_exchange(due, (now + interval).0, Relaxed, Relaxed).is_ok()
            && due > 0
    }

    /// What active checks have found. A return begins a slow start.
    pub(crate) fn set_health(&self, endpoint: &EndpointState, health: Health, now: Moment) {
        let before = endpoint.health();
        endpoint.rest.health.store(health as u8, Relaxed);
        if before == Health::Down && health != Health::Down {
            endpoint.begin_ramp(now);
            // It was checked, which counts more than what was seen before it went.
            endpoint.rest.ejected_until.store(0, Relaxed);
            endpoint.streak().clear();
        }
        if (before == Health::Down) != (health == Health::Down) {
            self.changed();
        }
    }

    /// Gives an endpoint no more requests, or gives it requests again; what is open goes on.
    pub(crate) fn set_drained(&self, endpoint: &EndpointState, drained: bool, now: Moment) {
        if endpoint.rest.drained.swap(drained, Relaxed) && !drained {
            endpoint.begin_ramp(now);
        }
        self.changed();
    }

    /// Sets a weight in place of the configured one, or removes it.
    pub(crate) fn set_weight(&self, endpoint: &EndpointState, weight: Option<u32>) {
        endpoint.rest.weight.store(weight.unwrap_or(NO_WEIGHT), Relaxed);
        self.changed();
    }
}

/// No invariant spans two values of these lists, so a panic of another thread broke none.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn id(text: &str) -> EndpointId {
        let address = text.parse().unwrap();
        EndpointId { configured: text.parse().unwrap(), address: Address::Inet(address) }
    }

    #[test]
    fn what_every_request_changes_is_on_one_line() {
        assert_eq!(std::mem::offset_of!(EndpointState, in_flight), 0);
        assert!(std::mem::offset_of!(EndpointState, failures) < 64);
        assert_eq!(std::mem::offset_of!(EndpointState, rest), 64);
    }

    #[test]
    fn an_ejected_endpoint_returns_by_itself_and_is_out_longer_the_next_time() {
        let upstream = UpstreamState::new("a", Epoch::new(Instant::now()));
        let (a, b) = (
            upstream.endpoint(&id("127.0.0.1:1"), Moment(1)),
            upstream.endpoint(&id("127.0.0.1:2"), Moment(1)),
        );
        let (options, now) = (EjectionOptions::default(), Moment(60_000_000));
        let eject = |one: &EndpointState, other: &EndpointState, now| {
            upstream.eject(one, [other].into_iter(), &options, now)
        };
        assert_eq!(eject(&a, &b, now), Some(options.time));
        assert_eq!((a.ejected_until(), a.ramp_from()), (now + options.time, now + options.time));
        assert_eq!(eject(&a, &b, now), None, "it is out");
        assert_eq!(eject(&b, &a, now), None, "the last one");
        let back = now + options.time;
        assert_eq!(eject(&a, &b, back), Some(2 * options.time));
        assert_eq!(upstream.changes(), 2);
        // Checked and found well: it is in again at once.
        upstream.set_health(&a, Health::Down, back);
        upstream.set_health(&a, Health::Up, back);
        assert!(a.ejected_until() <= back);
    }

    #[test]
    fn rates_are_compared_once_in_an_interval() {
        let upstream = UpstreamState::new("a", Epoch::new(Instant::now()));
        let compares = |seconds: u64| upstream.compares(Duration::from_secs(10), Moment(seconds * 1_000_000));
        assert_eq!([1, 2, 11, 12, 25, 26].map(compares), [false, false, true, false, true, false]);
    }

    #[test]
    fn a_tally_is_what_came_since() {
        let state = EndpointState::new(id("127.0.0.1:1"), Moment(1));
        (0..3).for_each(|_| state.count_request());
        state.count_failure();
        assert_eq!((state.take_tally(), state.take_tally(), state.counts()), ((3, 1), (0, 0), (3, 1)));
    }

    #[test]
    fn endpoints_are_written_with_what_their_name_stands_for() {
        assert_eq!(id("127.0.0.1:1").to_string(), "127.0.0.1:1");
        let named = EndpointId { configured: "a.test:80".parse().unwrap(), ..id("10.0.0.1:80") };
        assert_eq!(named.to_string(), "a.test:80 (10.0.0.1)");
    }
}
