//! What is known of upstreams, as values: for the administrator's commands, metrics and tests.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::breaker::BreakerStatus;
use super::moment::Moment;
use super::slow_start;
use super::state::{EndpointState, Health, UpstreamState};

/// An upstream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// The balancing policy, as text.
    pub balance: String,
    /// Retries that are saved up.
    pub retries_saved: u64,
    /// Whether health is ignored, because no endpoint, or fewer than the panic threshold, is usable.
    pub panics: bool,
    /// Its endpoints, in the order in which they became known.
    pub endpoints: Vec<EndpointStatus>,
}

/// An endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// As it is configured, with its address if that is a name.
    pub endpoint: String,
    /// The weight in force.
    pub weight: u32,
    /// Whether an administrator has set the weight.
    pub is_weight_set: bool,
    /// Gets requests only while no other is usable.
    pub backup: bool,
    /// Down by configuration.
    pub down: bool,
    /// Drained by an administrator.
    pub drained: bool,
    /// What active checks have found.
    pub health: Health,
    /// For how long it is still left out, because of how it answered.
    pub ejected_for: Option<Duration>,
    /// Ejections that count for the length of the next one.
    pub ejections: u32,
    /// Failures in a row.
    pub failures_in_a_row: u32,
    /// The circuit breaker, if there is one.
    pub breaker: Option<BreakerStatus>,
    /// What its slow start leaves it of its share, from 0 to 1.
    pub share: f64,
    /// Moving average of the time to the first byte, if it was measured.
    pub latency: Option<Duration>,
    /// Moving average of the part of its requests that failed.
    pub failure_rate: f64,
    /// Requests in flight.
    pub in_flight: u32,
    /// Open connections, idle ones included.
    pub connections: u32,
    /// Requests that wait for a connection.
    pub queued: u32,
    /// Requests with an outcome since it is known.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
}

impl UpstreamStatus {
    pub(super) fn of(state: &UpstreamState, now: Instant) -> Self {
        let moment = state.moment(now);
        Self {
            name: state.name().to_owned(),
            balance: state.options().map_or(String::new(), |options| options.balance.to_string()),
            retries_saved: state.budget.saved(),
            panics: state.panics(),
            endpoints: state
                .endpoints()
                .iter()
                .map(|endpoint| endpoint_status(state, endpoint, moment))
                .collect(),
        }
    }
}

impl EndpointStatus {
    /// Whether it may get requests: neither down, drained, unhealthy, left out nor behind an open breaker.
    pub fn is_usable(&self) -> bool {
        let is_off = self.down || self.drained || self.weight == 0;
        let is_open = self.breaker == Some(BreakerStatus::Open);
        !is_off && !is_open && self.health != Health::Down && self.ejected_for.is_none()
    }
}

fn endpoint_status(of: &UpstreamState, state: &EndpointState, now: Moment) -> EndpointStatus {
    let (configured, upstream) = (state.options(), of.options());
    let (requests, failures) = state.counts();
    let quality = state.quality().at(now);
    let slow_start = upstream.as_ref().and_then(|options| options.slow_start);
    let share =
        slow_start.map_or(slow_start::WHOLE, |length| slow_start::ramp(state.ramp_from(), length, now).share);
    let has_breaker = upstream.is_some_and(|options| options.breaker.is_some());
    EndpointStatus {
        endpoint: state.id().to_string(),
        weight: state.weight_set().or(configured.as_ref().map(|c| c.weight)).unwrap_or(1),
        is_weight_set: state.weight_set().is_some(),
        backup: configured.as_ref().is_some_and(|c| c.backup),
        down: configured.as_ref().is_some_and(|c| c.down),
        drained: state.is_drained(),
        health: state.health(),
        ejected_for: (state.ejected_until() > now).then(|| state.ejected_until().since(now)),
        ejections: state.ejections(),
        failures_in_a_row: state.streak().count(),
        breaker: has_breaker.then(|| state.breaker().status(now)),
        share: f64::from(share) / f64::from(slow_start::WHOLE),
        latency: quality.latency_us().map(Duration::from_micros),
        failure_rate: quality.failure_rate(),
        in_flight: state.in_flight.load(Relaxed),
        connections: state.open.load(Relaxed),
        queued: state.queued.load(Relaxed),
        requests,
        failures,
    }
}
