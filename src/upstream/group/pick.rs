//! An endpoint that was chosen for a request, and what the outcome of the exchange does to it.

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::super::breaker::{Trial, Verdict};
use super::super::ejection::{Tally, is_outlier};
use super::super::endpoint::Endpoint;
use super::super::moment::Moment;
use super::Group;
use crate::http::status::Status;
use crate::observe::log;

/// How an exchange with an endpoint ended, as far as the endpoint is to blame. What the client or this side
/// did is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A response with this status began.
    Response(Status),
    /// No connection, by refusal or by time.
    ConnectFailed,
    /// The connection was lost, or what came is no valid response.
    Broken,
    /// It did not answer in time.
    TimedOut,
}

/// What an outcome says of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// It works, and its latency counts.
    Good,
    /// An error of the application: earns no traffic, and ejects nothing.
    Error,
    /// It fails.
    Failure,
}

/// An endpoint that was chosen. Its request counts as in flight until this is dropped; if no outcome was
/// recorded by then, it was the client who left.
#[derive(Debug)]
pub struct Pick {
    endpoint: Rc<Endpoint>,
    group: Rc<Group>,
    trial: Option<Trial>,
    set_cookie: Option<Rc<[u8]>>,
    recorded: Recorded,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Recorded {
    Nothing,
    Success,
    Failure,
}

impl Pick {
    /// A request to `endpoint` that was just counted as in flight, as a trial of its breaker or not.
    pub(super) fn new(
        endpoint: Rc<Endpoint>,
        group: Rc<Group>,
        trial: Option<Trial>,
        set_cookie: Option<Rc<[u8]>>,
    ) -> Self {
        Self { endpoint, group, trial, set_cookie, recorded: Recorded::Nothing }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Rc<Endpoint> {
        &self.endpoint
    }

    /// The value of a Set-Cookie field that keeps the client at this endpoint, if it has none that does.
    pub fn set_cookie(&self) -> Option<&[u8]> {
        self.set_cookie.as_deref()
    }

    /// Notes that another endpoint has answered the request first, after this one had it for as long: no
    /// failure, but its latency is at least that.
    pub(in crate::upstream) fn outpaced(&self, waited: Duration, now: Instant) {
        let state = self.endpoint.state();
        state.set_quality(state.quality().outpaced(waited, self.group.shared.moment(now)));
    }

    /// Records how the exchange went, `latency` after it was sent. A response whose body breaks off later is
    /// recorded a second time.
    pub fn record(&mut self, outcome: Outcome, latency: Duration, now: Instant) {
        let (options, state) = (&self.group.options, self.endpoint.state());
        let moment = self.group.shared.moment(now);
        let sign = sign(outcome, &options.ejection.failures);
        if self.recorded == Recorded::Nothing {
            state.end_wait();
            state.count_request();
        }
        let quality = state.quality();
        let has_failed = sign == Sign::Failure;
        match sign {
            Sign::Good => state.set_quality(quality.succeeded(latency, moment)),
            Sign::Error | Sign::Failure => state.set_quality(quality.failed(moment)),
        }
        if let Some(breaker) = &options.breaker {
            let verdict = if has_failed { Verdict::Failure } else { Verdict::Success };
            if state.breaker().record(self.trial.take(), verdict, breaker, moment) {
                self.group.breaker_changed(&self.endpoint, now);
            }
        }
        if has_failed {
            state.count_failure();
            self.recorded = Recorded::Failure;
            if state.streak().failed(&options.ejection, moment) {
                let count = state.streak().count();
                self.group.eject(&self.endpoint, moment, format_args!("{count} failures in a row"));
            }
        } else {
            self.recorded = Recorded::Success;
        }
        self.group.compare(moment);
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        let state = self.endpoint.state();
        state.in_flight.fetch_sub(1, Relaxed);
        if self.recorded == Recorded::Nothing {
            state.end_wait();
        }
        // Only now: a response whose body breaks off is no success between two failures.
        if self.recorded == Recorded::Success {
            state.streak().succeeded();
        }
        if let (Some(trial), Some(breaker)) = (self.trial, &self.group.options.breaker) {
            // The client left: the place is free, and nothing is known.
            state.breaker().record(Some(trial), Verdict::Unknown, breaker, Moment::default());
        }
    }
}

fn sign(outcome: Outcome, failures: &[u16]) -> Sign {
    match outcome {
        Outcome::Response(status) if failures.contains(&status.code()) => Sign::Failure,
        // 501 and 505 are right answers to a wrong request.
        Outcome::Response(status) if status.code() >= 500 && !matches!(status.code(), 501 | 505) => {
            Sign::Error
        }
        Outcome::Response(_) => Sign::Good,
        Outcome::ConnectFailed | Outcome::Broken | Outcome::TimedOut => Sign::Failure,
    }
}

impl Group {
    fn breaker_changed(&self, endpoint: &Endpoint, now: Instant) {
        self.shared.changed();
        let status = endpoint.state().breaker().status(self.shared.moment(now));
        let (name, id) = (&self.options.name, endpoint.state().id());
        log::line(format_args!("upstream {name}: the circuit breaker of {id} is {status}"));
    }

    fn eject(&self, endpoint: &Rc<Endpoint>, now: Moment, why: std::fmt::Arguments<'_>) {
        let endpoints = self.endpoints();
        let others = endpoints.iter().filter(|other| !Rc::ptr_eq(other, endpoint) && other.is_enabled());
        let others = others.map(|other| other.state());
        if let Some(time) = self.shared.eject(endpoint.state(), others, &self.options.ejection, now) {
            self.meter.iter().for_each(|meter| meter.ejections.bump());
            let (name, id) = (&self.options.name, endpoint.state().id());
            log::line(format_args!("upstream {name}: {id} is left out for {time:?}: {why}"));
        }
    }

    /// Compares the endpoints with each other, once in an interval of all cores.
    #[inline]
    fn compare(&self, now: Moment) {
        let options = &self.options.ejection;
        let compares = options.success_rate_deviations > 0.0 || options.latency_factor > 0.0;
        if compares && self.shared.compares(options.interval, now) {
            self.eject_outliers(now);
        }
    }

    fn eject_outliers(&self, now: Moment) {
        let endpoints = self.endpoints();
        let tallies = endpoints.iter().map(|endpoint| {
            let (requests, failures) = endpoint.state().take_tally();
            Tally { requests, failures, latency_us: endpoint.state().quality().at(now).latency_us() }
        });
        let tallies: Vec<_> = tallies.collect();
        for (index, endpoint) in endpoints.iter().enumerate() {
            if is_outlier(&tallies, index, &self.options.ejection) {
                let Tally { requests, failures, .. } = tallies[index];
                let why = format_args!(
                    "{failures} of {requests} requests failed, or it is far slower than the others"
                );
                self.eject(endpoint, now, why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{Balance, BreakerOptions, EjectionOptions, UpstreamOptions};
    use super::super::lab::{Lab, MS, OK, digit, good, upstream};
    use super::super::{NoEndpoint, PickKey, Tried};
    use super::*;
    use crate::harness::on_core;

    #[test]
    fn in_flight_counts_until_the_end() {
        on_core(async |core| {
            let lab = Lab::new(&upstream(&["127.0.0.1:1"]), 2, &core);
            let endpoint = lab.cores[1].endpoints()[0].clone();
            let in_flight = || endpoint.state().in_flight.load(Relaxed);
            let (mut first, second) = (lab.pick().unwrap(), lab.pick().unwrap());
            first.record(OK, MS, lab.now);
            assert_eq!(in_flight(), 2);
            drop((first, second));
            assert_eq!((in_flight(), endpoint.state().counts()), (0, (1, 0)));
        });
    }

    #[test]
    fn an_endpoint_that_hangs_gets_little_and_one_with_an_open_stream_is_no_such() {
        on_core(async |core| {
            let mut lab = Lab::new(&upstream(&["127.0.0.1:1", "127.0.0.1:2"]), 2, &core);
            let usual = |digit| (OK, if digit == 1 { MS } else { 20 * MS });
            lab.shares(100, usual);
            // A request to the first one that is not answered.
            let hanging = loop {
                let mut pick = lab.pick().unwrap();
                if digit(&pick) == 1 {
                    break pick;
                }
                pick.record(OK, 20 * MS, lab.now);
            };
            lab.later(200 * MS);
            assert_eq!(lab.shares(200, usual), [(2, 200)].into());
            // One that has begun to answer, for however long.
            drop(hanging);
            let mut streaming = lab.pick().unwrap();
            streaming.record(OK, MS, lab.now);
            lab.later(Duration::from_secs(100));
            assert!(lab.shares(200, |_| (OK, MS)).len() == 2);
        });
    }

    #[test]
    fn an_endpoint_that_was_slow_is_found_to_have_recovered() {
        on_core(async |core| {
            let mut lab = Lab::new(&upstream(&["127.0.0.1:1", "127.0.0.1:2"]), 2, &core);
            let slow = |digit| (OK, if digit == 1 { 500 * MS } else { MS });
            lab.shares(100, slow);
            assert_eq!(lab.shares(200, slow), [(2, 200)].into());
            // Still slow: one request in ten seconds.
            for _ in 0..3 {
                lab.later(Duration::from_secs(11));
                assert_eq!(lab.shares(200, slow), [(1, 1), (2, 199)].into());
            }
            lab.later(Duration::from_secs(11));
            // The measurements of a second.
            let counts = (0..10).map(|_| {
                lab.later(100 * MS);
                lab.shares(200, good).get(&1).copied().unwrap_or(0)
            });
            let counts: Vec<_> = counts.collect();
            assert!(counts[9] > 50, "{counts:?}");
        });
    }

    #[test]
    fn failures_in_a_row_eject_on_every_core_and_time_brings_back() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2"]);
            options.balance = Balance::RoundRobin;
            let mut lab = Lab::new(&options, 3, &core);
            let one_fails = |digit| (if digit == 1 { Outcome::ConnectFailed } else { OK }, MS);
            lab.shares(200, one_fails);
            assert_eq!(lab.shares(300, one_fails), [(2, 300)].into());
            lab.later(Duration::from_secs(10));
            // Back, and out again for twice the time.
            lab.shares(300, one_fails);
            lab.later(Duration::from_secs(11));
            assert_eq!(lab.shares(300, one_fails), [(2, 300)].into());
            lab.later(Duration::from_secs(10));
            assert!(lab.shares(300, good)[&1] > 100);
        });
    }

    #[test]
    fn the_last_one_stays_and_down_ones_do_not_count() {
        on_core(async |core| {
            let refused = |_| (Outcome::ConnectFailed, MS);
            for (addresses, down) in
                [(&["127.0.0.1:1"][..], None), (&["127.0.0.1:1", "127.0.0.1:2"][..], Some(1))]
            {
                let mut options = upstream(addresses);
                options.name = format!("a{}", addresses.len());
                down.into_iter().for_each(|down: usize| options.endpoints[down].down = true);
                let lab = Lab::new(&options, 2, &core);
                assert_eq!(lab.shares(100, refused), [(1, 100)].into());
            }
            // All refuse: half may be out, the others go on being tried.
            let lab = Lab::new(&upstream(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]), 2, &core);
            lab.shares(100, refused);
            let out = lab.cores[0].endpoints();
            let moment = lab.cores[0].shared.moment(lab.now);
            let out = out.iter().filter(|endpoint| endpoint.state().ejected_until() > moment);
            assert_eq!(out.count(), 1);
        });
    }

    #[test]
    fn a_body_that_breaks_off_is_a_failure_and_not_a_success_before_it() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2"]);
            options.balance = Balance::RoundRobin;
            let lab = Lab::new(&options, 1, &core);
            for _ in 0..10 {
                let mut pick = lab.pick().unwrap();
                pick.record(OK, MS, lab.now);
                if digit(&pick) == 1 {
                    pick.record(Outcome::Broken, MS, lab.now);
                }
            }
            assert_eq!(lab.shares(100, good), [(2, 100)].into());
            assert_eq!(lab.cores[0].endpoints()[0].state().counts(), (5, 5));
        });
    }

    #[test]
    fn what_the_client_does_moves_no_counter() {
        on_core(async |core| {
            let lab = Lab::new(&upstream(&["127.0.0.1:1"]), 1, &core);
            (0..100).for_each(|_| drop(lab.pick().unwrap()));
            for code in [400, 404, 429, 501] {
                lab.shares(5, |_| (Outcome::Response(Status::new(code).unwrap()), MS));
            }
            let endpoint = lab.cores[0].endpoints()[0].clone();
            assert_eq!((endpoint.state().counts(), endpoint.state().streak().count()), ((20, 0), 0));
            assert_eq!(endpoint.state().quality().failure_rate(), 0.0);
        });
    }

    #[test]
    fn errors_earn_no_traffic_and_pass() {
        on_core(async |core| {
            let lab = Lab::new(&upstream(&["127.0.0.1:1", "127.0.0.1:2"]), 4, &core);
            let error = Status::new(500).unwrap();
            let shares = lab.shares(2000, |digit| match digit {
                1 => (OK, 50 * MS),
                _ => (Outcome::Response(error), MS),
            });
            assert!(shares.get(&2).is_none_or(|count| *count <= 1000), "{shares:?}");
            let lab = Lab::new(&UpstreamOptions { name: "b".into(), ..upstream(&["127.0.0.1:1"]) }, 1, &core);
            assert_eq!(lab.shares(50, |_| (Outcome::Response(error), MS)), [(1, 50)].into());
        });
    }

    #[test]
    fn a_breaker_opens_and_is_tried_by_few() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1"]);
            options.breaker =
                Some(BreakerOptions { open_time: Duration::from_secs(2), ..BreakerOptions::default() });
            let mut lab = Lab::new(&options, 8, &core);
            lab.shares(10, |digit| (if digit == 1 { Outcome::Broken } else { OK }, MS));
            let refused = lab.pick().map(drop).unwrap_err();
            let NoEndpoint::Overloaded { retry_after } = refused else { panic!("{refused:?}") };
            assert!(retry_after > Duration::from_secs(1) && retry_after <= Duration::from_millis(2002));
            (0..100).for_each(|_| assert!(lab.pick().is_err()));
            lab.later(Duration::from_millis(2002));
            let trial = lab.pick().expect("a trial");
            let pick = |core: &Rc<Group>| core.pick(&PickKey::default(), &Tried::default(), lab.now);
            assert!(lab.cores.iter().all(|core| pick(core).is_err()));
            drop(trial);
            let mut trial = lab.pick().expect("the cancelled one freed its place");
            trial.record(Outcome::Response(Status::NOT_FOUND), MS, lab.now);
            assert!(lab.cores.iter().all(|core| pick(core).is_ok()));
        });
    }

    #[test]
    fn an_upstream_without_signs_is_never_ejected() {
        on_core(async |core| {
            let ejection = EjectionOptions { failures_in_a_row: 0, ..EjectionOptions::default() };
            let options = UpstreamOptions { ejection, ..upstream(&["127.0.0.1:1", "127.0.0.1:2"]) };
            let lab = Lab::new(&options, 1, &core);
            lab.shares(100, |_| (Outcome::ConnectFailed, MS));
            assert!(lab.cores[0].endpoints().iter().all(|at| at.state().ejections() == 0));
        });
    }
}
