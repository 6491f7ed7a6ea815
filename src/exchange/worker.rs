//! The state that a worker's connections share, on their core.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::CurrentLimits;
use crate::http::date::DateLine;
use crate::net::tls::Lane;
use crate::observe::Counters;
use crate::observe::access::CoreLog;
use crate::observe::log;
use crate::observe::meters::CoreMeters;
use crate::ring::{Ring, later};
use crate::service::{Context, Drain, RouteHold, RouteLife, Service};

/// The state of one worker, shared by its connections.
pub(crate) struct Worker<S> {
    pub(crate) ring: Ring,
    /// Answers requests. Replaced as a whole; a request in progress keeps the service it began with.
    pub(crate) service: RefCell<Rc<S>>,
    /// Replaced as a whole; a connection keeps those that it began with.
    pub(crate) limits: RefCell<Rc<CurrentLimits>>,
    pub(crate) counters: Arc<Counters>,
    /// The access log, if there is one. Replaced as a whole.
    pub(crate) access: RefCell<Option<Rc<CoreLog>>>,
    /// Whether there is one.
    pub(crate) is_logged: Cell<bool>,
    pub(crate) date: RefCell<DateLine>,
    pub(crate) scratch: RefCell<Vec<u8>>,
    pub(crate) open: Cell<usize>,
    pub(crate) connections_max: Cell<usize>,
    /// TLS handshakes in progress.
    pub(crate) handshakes: Cell<usize>,
    pub(crate) handshake_lane: Lane,
    /// Listeners that may still accept.
    pub(crate) accepting: Cell<usize>,
    /// When a connection was accepted last.
    pub(crate) accepted_at: Cell<Option<Instant>>,
    pub(crate) drain: Drain,
    /// Routes of former services that have exchanges in progress.
    pub(crate) former: RefCell<Vec<FormerRoute>>,
    /// How often exchanges were cut, so that those who have many look only then.
    pub(crate) cuts: Cell<u32>,
    /// What is measured of routes and upstreams, if metrics are on.
    pub(crate) meters: Option<Arc<CoreMeters>>,
}

/// A route of a service that was replaced.
pub(crate) struct FormerRoute {
    place: String,
    life: RouteLife,
    /// When its exchanges are cut; `None` while a route that equals it is in force.
    ends_at: Option<Instant>,
}

/// The exchanges that were in progress when a service was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InProgress {
    /// On routes that did not change.
    pub kept: usize,
    /// On routes that were removed or changed, which have until a deadline.
    pub draining: usize,
}

impl<S> Worker<S> {
    /// The service that answers requests now.
    #[inline]
    pub(crate) fn service(&self) -> Rc<S> {
        self.service.borrow().clone()
    }

    /// The limits for what begins now.
    #[inline]
    pub(crate) fn limits(&self) -> Rc<CurrentLimits> {
        self.limits.borrow().clone()
    }

    /// Writes lines of exchanges that end from now on to this log. Returns the former one.
    pub(crate) fn replace_log(&self, log: Option<Rc<CoreLog>>) -> Option<Rc<CoreLog>> {
        self.is_logged.set(log.is_some());
        self.access.replace(log)
    }

    /// When a connection that begins now is to end, if there is a limit on its age.
    pub(crate) fn connection_ends_at(&self) -> Option<Instant> {
        let age = self.limits().connection_age_max?;
        let early = age / 10 / 1024 * spread(self.counters.accepted.count());
        Some(later(self.ring.now(), age.saturating_sub(early)))
    }

    /// Counts an exchange, which is about to wait, as one in progress on its route.
    pub(crate) fn hold(&self, service: &S, context: &Context) -> Option<RouteHold>
    where
        S: Service,
    {
        service.life_of(context).map(|life| life.hold())
    }

    /// Answers further requests with this service; requests in progress keep the one before, and those on
    /// routes at places that are `gone` are cut by [`cut_due`](Self::cut_due) after this time.
    pub(crate) fn replace_service(&self, service: S, gone: &[String], after: Duration) -> InProgress
    where
        S: Service,
    {
        let before = self.service.replace(Rc::new(service));
        let (ends_at, mut counts) = (later(self.ring.now(), after), InProgress::default());
        let mut former = self.former.borrow_mut();
        let used = before.lives().iter().filter(|(_, life)| life.in_progress() > 0).cloned();
        former.extend(used.map(|(place, life)| FormerRoute { place, life, ends_at: None }));
        former.retain_mut(|route| {
            if route.ends_at.is_none() && gone.contains(&route.place) {
                route.ends_at = Some(ends_at);
            }
            let count = if route.ends_at.is_some() { &mut counts.draining } else { &mut counts.kept };
            *count += route.life.in_progress();
            route.life.in_progress() > 0
        });
        drop(former);
        // The old service is dropped after the borrow, because its destructors may access the worker.
        self.discard(before);
        self.prune_meters();
        counts
    }

    /// Forgets the meters of services that are gone.
    pub(crate) fn prune_meters(&self) {
        self.meters.iter().for_each(|meters| meters.prune());
    }

    /// Cuts the exchanges whose time is over: returns their number.
    pub(crate) fn cut_due(&self) -> usize {
        let (now, mut count) = (self.ring.now(), 0);
        self.former.borrow_mut().retain(|route| {
            let is_due = route.ends_at.is_some_and(|at| at <= now);
            if is_due {
                count += route.life.in_progress();
                route.life.end();
            }
            !is_due && route.life.in_progress() > 0
        });
        if count > 0 {
            self.counters.cut.add(count as u64);
            self.cuts.set(self.cuts.get().wrapping_add(1));
            self.ring.wake_sockets();
        }
        count
    }

    /// Drops a service. A panic of its destructors does not reach the caller's task.
    pub(crate) fn discard<T>(&self, service: T) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(service))) {
            self.counters.panics.bump();
            log::line(format_args!("a service panicked when it was dropped: {}", log::panic_text(&*panic)));
        }
    }
}

/// 0 to 1023, far apart for numbers that follow each other: multiples of the golden ratio.
fn spread(number: u64) -> u32 {
    (number as u32).wrapping_mul(0x9e37_79b9) >> 22
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that begin together end apart, whatever their number.
    #[test]
    fn numbers_are_spread_evenly() {
        for first in [0, 1000, u64::from(u32::MAX) - 5] {
            let mut spreads: Vec<u32> = (first..first + 16).map(spread).collect();
            spreads.sort_unstable();
            assert!(
                spreads.windows(2).all(|pair| pair[1] - pair[0] > 20) && spreads[15] < 1024,
                "{spreads:?}"
            );
            assert!(spreads[0] < 128 && spreads[15] > 896, "{spreads:?}");
        }
    }
}
