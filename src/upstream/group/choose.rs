//! The choice of an endpoint for a request.
//!
//! A choice reads the core's own table and, of the endpoints it compares, one cache line each. It takes no
//! lock, allocates nothing and looks nothing up.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::super::balance::seats::Vacant;
use super::super::breaker::{Admission, Trial};
use super::super::endpoint::Endpoint;
use super::super::moment::Moment;
use super::super::options::BreakerOptions;
use super::super::state::EndpointState;
use super::Group;
use super::key::PickKey;
use super::pick::Pick;

/// What is answered when the endpoints are busy rather than broken.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

/// The endpoints that were tried for a request.
#[derive(Debug, Default)]
pub struct Tried(Vec<Rc<Endpoint>>);

impl Tried {
    /// Adds the endpoint of a try that failed.
    pub fn add(&mut self, endpoint: &Rc<Endpoint>) {
        self.0.push(endpoint.clone());
    }

    /// Whether this endpoint was tried.
    pub fn contains(&self, endpoint: &Endpoint) -> bool {
        self.0.iter().any(|tried| std::ptr::eq(&**tried, endpoint))
    }

    /// Takes the last one out again.
    pub(in crate::upstream) fn forget_last(&mut self) {
        self.0.pop();
    }

    /// Number of tries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Why there is no endpoint for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoEndpoint {
    /// None is usable: down, draining or unhealthy.
    #[error("no endpoint of the upstream is usable")]
    Unavailable,
    /// The addresses of its names are not known yet: they are being looked up for the first time.
    #[error("the addresses of the upstream are being looked up")]
    Unresolved,
    /// Circuit breakers are open, or too much is in flight.
    #[error("the endpoints of the upstream are overloaded")]
    Overloaded {
        /// When to come again.
        retry_after: Duration,
    },
}

impl Group {
    /// Chooses an endpoint, one that was not tried if there is one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(self: &Rc<Self>, key: &PickKey<'_>, tried: &Tried, now: Instant) -> Result<Pick, NoEndpoint> {
        let moment = self.shared.moment(now);
        if tried.is_empty() {
            self.count_request();
        }
        self.look_again(moment);
        let table = self.table.borrow();
        if let Some(vacant) = table.seating.vacant {
            return Err(self.vacant(vacant, table.endpoints.is_empty(), moment));
        }
        let breaker = self.options.breaker.as_ref();
        let sticky = || {
            let (codes, context) = (table.codes.as_ref()?, key.context()?);
            codes.find(context.head().fields_named("cookie"))
        };
        let (sticky, hashed) = (sticky(), key.hash(&self.options.balance));
        let mut random = self.random.borrow_mut();
        for avoids_tried in [true, false] {
            if !avoids_tried && tried.is_empty() {
                break;
            }
            let taken = |index: usize| {
                let endpoint = &table.endpoints[index];
                avoids_tried && tried.contains(endpoint)
                    || breaker.is_some_and(|breaker| refuses(endpoint.state(), breaker, moment))
            };
            let turn = || self.shared.turns.fetch_add(1, Relaxed);
            let has_seat = |index: usize| table.seating.rows().any(|row| row.seat(index).is_some());
            // Each turn that chooses an endpoint in vain makes it refuse, so this ends.
            for _ in 0..=table.endpoints.len() {
                let kept = sticky.filter(|&index| has_seat(index) && !taken(index));
                let choose =
                    || table.choose(&self.options.balance, hashed, turn, &taken, &mut random, moment);
                let Some(index) = kept.or_else(choose) else { break };
                let endpoint = &table.endpoints[index];
                let Some(trial) = admit(endpoint.state(), breaker, moment) else { continue };
                let set_cookie = match &table.codes {
                    Some(codes) if kept.is_none() => Some(codes.set_cookie(index)),
                    _ => None,
                };
                endpoint.state().begin_wait(moment);
                let (endpoint, group) = (endpoint.clone(), self.clone());
                return Ok(Pick::new(endpoint, group, trial, set_cookie));
            }
        }
        Err(NoEndpoint::Overloaded { retry_after: RETRY_AFTER_BUSY })
    }

    fn vacant(&self, vacant: Vacant, is_empty: bool, now: Moment) -> NoEndpoint {
        match vacant {
            Vacant::Open(until) => NoEndpoint::Overloaded { retry_after: until.since(now) },
            Vacant::Disabled if is_empty && self.names.iter().flatten().any(|name| name.is_pending()) => {
                NoEndpoint::Unresolved
            }
            Vacant::Disabled => NoEndpoint::Unavailable,
        }
    }
}

/// Whether an endpoint takes no request now, although it has a seat.
fn refuses(state: &EndpointState, breaker: &BreakerOptions, now: Moment) -> bool {
    let is_full = breaker.in_flight_max.is_some_and(|max| state.in_flight.load(Relaxed) >= max);
    is_full || state.breaker().refuses(breaker, now)
}

/// Counts a request as in flight, if the endpoint takes it: `Some`, with the trial if it is one.
#[inline]
fn admit(state: &EndpointState, breaker: Option<&BreakerOptions>, now: Moment) -> Option<Option<Trial>> {
    let before = state.in_flight.fetch_add(1, Relaxed);
    let Some(breaker) = breaker else { return Some(None) };
    // Counted first, so that the bound holds over all cores.
    let admission = match breaker.in_flight_max {
        Some(max) if before >= max => Admission::Refused,
        _ => state.breaker().admit(breaker, now),
    };
    match admission {
        Admission::Free => Some(None),
        Admission::Trial(trial) => Some(Some(trial)),
        Admission::Refused => {
            state.in_flight.fetch_sub(1, Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{Balance, StickyOptions, StickySecret};
    use super::super::super::registry::Upstreams;
    use super::super::lab::{Lab, digit, good, upstream};
    use super::*;
    use crate::harness::{Call, on_core};
    use crate::service::{Context, Router};

    #[test]
    fn round_robin_is_exact_over_cores_and_untried_ones_come_first() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
            options.balance = Balance::RoundRobin;
            options.endpoints[2].weight = 2;
            let lab = Lab::new(&options, 8, &core);
            assert_eq!(lab.shares(400, good), [(1, 100), (2, 100), (3, 200)].into());
            let (mut tried, mut seen) = (Tried::default(), Vec::new());
            for _ in 0..4 {
                let pick = lab.cores[0].pick(&PickKey::default(), &tried, lab.now).unwrap();
                seen.push(digit(&pick));
                tried.add(pick.endpoint());
            }
            seen[..3].sort_unstable();
            assert_eq!(seen[..3], [1, 2, 3], "the fourth try has no other");
        });
    }

    #[test]
    fn a_bound_of_requests_in_flight_holds_over_cores() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2"]);
            options.breaker = Some(BreakerOptions { in_flight_max: Some(3), ..BreakerOptions::default() });
            let lab = Lab::new(&options, 4, &core);
            let picks =
                (0..20).map(|n| lab.cores[n % 4].pick(&PickKey::default(), &Tried::default(), lab.now));
            let picks: Vec<_> = picks.filter_map(Result::ok).collect();
            assert_eq!(picks.len(), 6);
            assert!(lab.cores[0].endpoints().iter().all(|at| at.state().in_flight.load(Relaxed) == 3));
        });
    }

    #[test]
    fn a_sticky_cookie_is_set_once_and_followed_while_its_endpoint_is_usable() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
            let secret = StickySecret(b"key".to_vec());
            options.sticky = Some(StickyOptions { cookie: "lb".into(), secret, max_age: None });
            let lab = Lab::new(&options, 1, &core);
            let (group, now) = (lab.cores[0].clone(), lab.now);
            let service = Router::new().get("/", async move |context: Context| {
                let pick = group.pick(&PickKey::of(&context), &Tried::default(), now).unwrap();
                let set = pick.set_cookie().map(|value| String::from_utf8(value.to_vec()).unwrap());
                format!("{} {}", digit(&pick), set.unwrap_or_default())
            });
            let service = service.build().unwrap();
            let first = Call::get("/").send(&service).await.text().to_owned();
            let (endpoint, set) = first.split_once(' ').unwrap();
            let cookie = set.split(';').next().unwrap();
            for _ in 0..30 {
                let call = Call::get("/").header("Cookie", "a=b").header("Cookie", &format!("c=d; {cookie}"));
                assert_eq!(call.send(&service).await.text(), format!("{endpoint} "));
            }
            let upstreams = core.process.get::<Upstreams>();
            upstreams.set_drained(None, &format!("127.0.0.1:{endpoint}"), true, now);
            let moved = Call::get("/").header("Cookie", cookie).send(&service).await.text().to_owned();
            assert!(!moved.starts_with(endpoint) && moved.contains(" lb="), "{moved}");
        });
    }
}
