//! Active checks of one endpoint: at intervals with jitter, by thresholds, as long as a plan asks for them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::answer::CheckFailure;
use super::{ask_h1, ask_h2};
use crate::net::{Address, Stream};
use crate::observe::log;
use crate::ring::Ring;
use crate::upstream::balance::hash::hash;
use crate::upstream::balance::random::Random;
use crate::upstream::options::{CheckKind, CheckOptions, EndpointOptions, UpstreamProtocol};
use crate::upstream::state::{CheckPlan, EndpointState, Health, UpstreamState};
use crate::upstream::tls::ClientTls;

/// What the checks so far mean. Pure.
#[derive(Debug, Default)]
struct Thresholds {
    /// Results in a row that contradict the current health.
    against: u32,
}

impl Thresholds {
    /// The health after this result. The first one decides at once: nothing is known that it could
    /// contradict.
    fn take(&mut self, before: Health, succeeded: bool, options: &CheckOptions) -> Health {
        let needed = match before {
            Health::Unknown if succeeded => 1,
            Health::Unknown | Health::Up => options.down_after,
            Health::Down => options.up_after,
        };
        if succeeded == (before == Health::Up) && before != Health::Unknown {
            self.against = 0;
            return before;
        }
        self.against += 1;
        if self.against < needed.max(1) {
            return before;
        }
        self.against = 0;
        if succeeded { Health::Up } else { Health::Down }
    }
}

/// Checks an endpoint until no plan asks for it or it is no longer in use.
pub(super) async fn watch(upstream: Weak<UpstreamState>, endpoint: Weak<EndpointState>, ring: Ring) {
    let mut thresholds = Thresholds::default();
    let seed = endpoint.upgrade().map_or(0, |endpoint| hash(endpoint.id().to_string().as_bytes()));
    let mut random = Random::new(seed ^ ring.unix_seconds());
    let mut is_first = true;
    loop {
        let Some((state, of)) = endpoint.upgrade().zip(upstream.upgrade()) else { return };
        let Some(plan) = state.check_plan() else {
            // Nothing is checked any more, so nothing is known.
            of.set_health(&state, Health::Unknown, of.moment(ring.now()));
            state.end_checks();
            // A plan that came meanwhile saw this task and started none.
            if state.check_plan().is_none() || !state.begin_checks() {
                return;
            }
            continue;
        };
        if is_first {
            // Many endpoints are known at once: their checks spread over the interval, the first ones soon.
            is_first = false;
            drop((state, of));
            ring.sleep(plan.options.interval.mul_f64(random.below(100) as f64 / 1000.0)).await;
            continue;
        }
        let secure = of.current_tls().zip(state.options());
        drop((state, of));
        let result = ring.within(plan.options.timeout, check(&plan, secure, &ring)).await;
        let result = result.unwrap_or(Err(CheckFailure::Timeout));
        let Some((state, of)) = endpoint.upgrade().zip(upstream.upgrade()) else { return };
        let before = state.health();
        let after = thresholds.take(before, result.is_ok(), &plan.options);
        if after != before {
            of.set_health(&state, after, of.moment(ring.now()));
            report(&of, &state, before, &result);
        }
        drop((state, of));
        ring.sleep(spread(plan.options.interval, &mut random)).await;
    }
}

/// The interval, a tenth more or less: checks of many proxies do not fall into step.
fn spread(interval: Duration, random: &mut Random) -> Duration {
    interval.mul_f64(0.9 + random.below(200) as f64 / 1000.0)
}

fn report(of: &UpstreamState, state: &EndpointState, before: Health, result: &Result<(), CheckFailure>) {
    let (name, id) = (of.name(), state.id());
    match result {
        Err(why) => log::line(format_args!("upstream {name}: {id} is unhealthy: {why}")),
        Ok(()) if before == Health::Down => log::line(format_args!("upstream {name}: {id} is healthy again")),
        Ok(()) => {}
    }
}

/// Whether the check is sent over HTTP/2: `auto` is HTTP/1.1 for checks, whatever requests use.
fn speaks_http2(plan: &CheckPlan) -> bool {
    let is_grpc = matches!(plan.options.kind, CheckKind::Grpc { .. });
    is_grpc || plan.protocol == UpstreamProtocol::Http2
}

async fn check(
    plan: &CheckPlan,
    secure: Option<(Arc<ClientTls>, Arc<EndpointOptions>)>,
    ring: &Ring,
) -> Result<(), CheckFailure> {
    let socket = match &plan.address {
        Address::Inet(addr) => ring.connect(*addr).await?,
        Address::Unix(path) => ring.connect_unix(path.as_os_str().as_encoded_bytes()).await?,
    };
    let stream = match secure {
        // A connection is all that is asked for.
        _ if plan.options.kind == CheckKind::Tcp => return Ok(()),
        Some((tls, endpoint)) => {
            let needs_http1 = !speaks_http2(plan);
            let connected = tls.connect(socket, &endpoint, needs_http1).await;
            connected.map_err(|why| CheckFailure::Tls(why.to_string()))?
        }
        None => Stream::from(socket),
    };
    match &plan.options.kind {
        CheckKind::Http { path, host, statuses, body } => {
            let (host, text) = (host.as_deref().unwrap_or(&plan.authority), body.as_deref());
            let answer = if speaks_http2(plan) {
                ask_h2::get(&stream, host, path).await?
            } else {
                ask_h1::get(&stream, host, path, text).await?
            };
            if !statuses.iter().any(|range| range.contains(&answer.status)) {
                return Err(CheckFailure::Status(answer.status));
            }
            let is_there = |text: &str| memchr::memmem::find(&answer.body, text.as_bytes()).is_some();
            if text.is_none_or(is_there) { Ok(()) } else { Err(CheckFailure::NoText) }
        }
        CheckKind::Grpc { service } => ask_h2::grpc(&stream, &plan.authority, service).await,
        CheckKind::Tcp => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_results_in_a_row() {
        let options = CheckOptions { up_after: 2, down_after: 3, ..CheckOptions::default() };
        let (mut thresholds, mut health) = (Thresholds::default(), Health::Unknown);
        let mut take = |succeeded| {
            health = thresholds.take(health, succeeded, &options);
            health
        };
        assert_eq!(take(true), Health::Up);
        assert_eq!([false, false, true].map(&mut take), [Health::Up; 3]);
        assert_eq!([false, false, false].map(&mut take), [Health::Up, Health::Up, Health::Down]);
        assert_eq!(
            [true, false, true, true].map(&mut take),
            [Health::Down, Health::Down, Health::Down, Health::Up]
        );
    }

    #[test]
    fn what_never_answered_goes_down_by_the_threshold() {
        let options = CheckOptions { down_after: 2, ..CheckOptions::default() };
        let mut thresholds = Thresholds::default();
        assert_eq!(thresholds.take(Health::Unknown, false, &options), Health::Unknown);
        assert_eq!(thresholds.take(Health::Unknown, false, &options), Health::Down);
    }

    #[test]
    fn intervals_are_spread_by_a_tenth() {
        let (second, mut random) = (Duration::from_secs(1), Random::new(3));
        let spread: Vec<_> = (0..100).map(|_| spread(second, &mut random).as_millis()).collect();
        assert!(spread.iter().all(|ms| (900..=1100).contains(ms)));
        assert!(spread.iter().max() > spread.iter().min());
    }
}
