//! An upstream on one core: chooses an endpoint for a request, and records how its exchange went.
//!
//! A choice reads the core's own table and, of the endpoints it compares, one cache line each. It takes no
//! lock, allocates nothing and looks nothing up; what other cores change is noticed by one number.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::balance::hash::hash;
use super::balance::random::Random;
use super::balance::seats::Vacant;
use super::breaker::{Admission, Trial, Verdict};
use super::connect_tunnel::ConnectTunnel;
use super::ejection::{Tally, is_outlier};
use super::endpoint::Endpoint;
use super::moment::Moment;
use super::options::{Balance, BreakerOptions, EndpointAddress, HashKey, UpstreamOptions};
use super::registry::Upstreams;
use super::state::{CheckPlan, EndpointState, UpstreamState};
use super::table::Table;
use super::tls::{self, ClientTls};
use super::watch::NameState;
use crate::http::cookie;
use crate::http::status::Status;
use crate::net::Address;
use crate::observe::log;
use crate::observe::meters::UpstreamMeter;
use crate::service::{Context, CoreContext};

/// Requests whose part of the retry budget is deposited together, so that most of them write nothing that
/// other cores write.
const DEPOSITED_TOGETHER: u32 = 16;

/// What is answered when the endpoints are busy rather than broken.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

/// Why an upstream cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpstreamMistake {
    /// It has no endpoint.
    #[error("the upstream {0} has no endpoint; give it at least one address")]
    Empty(String),
    /// Two endpoints have the same address.
    #[error("the upstream {upstream} names {address} twice; give each endpoint once, with a weight")]
    Twice {
        /// The upstream.
        upstream: String,
        /// The address.
        address: String,
    },
    /// TLS to the endpoints cannot be set up.
    #[error("TLS to the upstream {upstream} cannot be set up: {why}")]
    Tls {
        /// The upstream.
        upstream: String,
        /// What to change.
        why: String,
    },
    /// The sticky cookie cannot be set.
    #[error("the sticky cookie of the upstream {upstream} cannot be set: {why}")]
    Cookie {
        /// The upstream.
        upstream: String,
        /// Why.
        why: cookie::CookieError,
    },
}

/// An upstream on one core.
#[derive(Debug)]
pub struct Group {
    options: Arc<UpstreamOptions>,
    shared: Arc<UpstreamState>,
    upstreams: Arc<Upstreams>,
    tls: Option<Arc<ClientTls>>,
    tunnel: Option<ConnectTunnel>,
    /// The addresses of each configured endpoint that is a name.
    names: Vec<Option<Arc<NameState>>>,
    table: RefCell<Table>,
    random: RefCell<Random>,
    /// Requests that were not deposited in the retry budget yet.
    undeposited: Cell<u32>,
    /// Whether this group has been used, so that its plan is the one in force.
    in_force: Cell<bool>,
    meter: Option<Arc<UpstreamMeter>>,
}

/// What of a request may decide about its endpoint. Nothing is read of it unless the policy needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickKey<'a> {
    context: Option<&'a Context>,
    client: Option<IpAddr>,
}

impl<'a> PickKey<'a> {
    /// Of this request.
    pub fn of(context: &'a Context) -> Self {
        Self { context: Some(context), client: None }
    }

    /// The address of the client, where it is not that of the peer.
    pub fn client(self, client: Option<IpAddr>) -> Self {
        Self { client, ..self }
    }

    /// The request.
    pub fn context(&self) -> Option<&'a Context> {
        self.context
    }

    /// The hash of what this policy looks at; `None` if the request lacks it or it is empty.
    fn hash(&self, balance: &Balance) -> Option<u64> {
        let (Balance::Hash(key) | Balance::Rendezvous(key)) = balance else { return None };
        let head = self.context?.head();
        match key {
            // Several fields with one name are one list (RFC 9110 §5.3).
            HashKey::Header(name) => {
                let mut values = head.fields_named(name);
                let first = values.next().filter(|value| !value.is_empty())?;
                Some(values.fold(hash(first), |hashed, value| hash(value) ^ hashed.rotate_left(7)))
            }
            HashKey::Cookie(name) => {
                let mut pairs = cookie::pairs(head.fields_named("cookie"));
                pairs.find(|(named, value)| named == name && !value.is_empty()).map(|(_, value)| hash(value))
            }
            HashKey::Path => {
                Some(head.path()).filter(|path| !path.is_empty()).map(|path| hash(path.as_bytes()))
            }
            HashKey::ClientAddress => {
                let peer = || self.context.and_then(|context| context.peer().addr()).map(|addr| addr.ip());
                match self.client.or_else(peer)?.to_canonical() {
                    IpAddr::V4(ip) => Some(hash(&ip.octets())),
                    IpAddr::V6(ip) => Some(hash(&ip.octets())),
                }
            }
        }
    }
}

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
    pub(super) fn forget_last(&mut self) {
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
    pub(super) fn outpaced(&self, waited: Duration, now: Instant) {
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
    /// The upstream with these options on this core, with the state that its endpoints have in the process.
    ///
    /// # Errors
    /// The first mistake.
    pub fn new(options: &Arc<UpstreamOptions>, core: &CoreContext) -> Result<Rc<Self>, UpstreamMistake> {
        Self::of_origin(options, None, None, core)
    }

    /// As [`new`](Self::new). `looked_up` is the name of the first endpoint where somebody else looks it up
    /// than the thread that watches; `tunnel` is opened through each endpoint to what is behind it.
    ///
    /// # Errors
    /// The first mistake.
    pub(crate) fn of_origin(
        options: &Arc<UpstreamOptions>,
        mut looked_up: Option<Arc<NameState>>,
        tunnel: Option<ConnectTunnel>,
        core: &CoreContext,
    ) -> Result<Rc<Self>, UpstreamMistake> {
        Self::check(options)?;
        let upstreams = core.process.get::<Upstreams>();
        let shared = upstreams.upstream(&options.name);
        let tls = upstreams.tls(options);
        let tls = tls.map_err(|why| UpstreamMistake::Tls { upstream: options.name.clone(), why })?;
        shared.set_tls(tls.clone());
        shared.set_options(options);
        let names = options.endpoints.iter().map(|endpoint| match &endpoint.address {
            EndpointAddress::Tcp { host, port } if host.parse::<IpAddr>().is_err() => {
                let name = looked_up.take().unwrap_or_else(|| upstreams.name(host, *port));
                name.add_user(&shared);
                Some(name)
            }
            _ => None,
        });
        let names: Vec<_> = names.collect();
        let now = shared.moment(core.ring.now());
        let table = RefCell::new(Table::new(options, &names, &shared, now));
        let seed = RandomState::new().hash_one(core.worker);
        let group = Rc::new(Self {
            options: options.clone(),
            shared,
            upstreams,
            tls,
            tunnel,
            names,
            table,
            random: RefCell::new(Random::new(seed)),
            undeposited: Cell::new(0),
            in_force: Cell::new(false),
            meter: core.meters.as_ref().map(|meters| meters.upstream(&options.name)),
        });
        // Before the first request; checks of an endpoint that another plan has too change with the first
        // one.
        let endpoints = group.endpoints();
        endpoints
            .iter()
            .filter(|endpoint| endpoint.state().check_plan().is_none())
            .for_each(|at| group.watch(at));
        Ok(group)
    }

    /// Finds what is wrong with the options without a core and without files.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(options: &UpstreamOptions) -> Result<(), UpstreamMistake> {
        if options.endpoints.is_empty() {
            return Err(UpstreamMistake::Empty(options.name.clone()));
        }
        for (index, endpoint) in options.endpoints.iter().enumerate() {
            if options.endpoints[..index].iter().any(|before| before.address == endpoint.address) {
                let (upstream, address) = (options.name.clone(), endpoint.address.to_string());
                return Err(UpstreamMistake::Twice { upstream, address });
            }
        }
        if let Some(sticky) = &options.sticky {
            let set = cookie::SetCookie::new(&sticky.cookie, "0").to_value();
            set.map_err(|why| UpstreamMistake::Cookie { upstream: options.name.clone(), why })?;
        }
        tls::check_names(options).map_err(|why| UpstreamMistake::Tls { upstream: options.name.clone(), why })
    }

    /// As [`check`](Self::check), with the files that the options name.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check_files(options: &UpstreamOptions) -> Result<(), UpstreamMistake> {
        Self::check(options)?;
        tls::check_files(options).map_err(|why| UpstreamMistake::Tls { upstream: options.name.clone(), why })
    }

    /// Its options.
    pub fn options(&self) -> &Arc<UpstreamOptions> {
        &self.options
    }

    /// What is measured of it on this core, if anybody reads it.
    #[inline]
    pub(crate) fn meter(&self) -> Option<&UpstreamMeter> {
        self.meter.as_deref()
    }

    /// What its connections are secured with.
    pub(crate) fn tls(&self) -> Option<&ClientTls> {
        self.tls.as_deref()
    }

    /// What connections pass a forward proxy with.
    pub(crate) fn tunnel(&self) -> Option<&ConnectTunnel> {
        self.tunnel.as_ref()
    }

    /// Its endpoints, with the addresses that names have now.
    pub fn endpoints(&self) -> Rc<[Rc<Endpoint>]> {
        self.table.borrow().endpoints.clone()
    }

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
            let (codes, context) = (table.codes.as_ref()?, key.context?);
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
                return Ok(Pick { endpoint, group, trial, set_cookie, recorded: Recorded::Nothing });
            }
        }
        Err(NoEndpoint::Overloaded { retry_after: RETRY_AFTER_BUSY })
    }

    /// Whether one more try is within the retry budget, which it is then taken from.
    pub fn may_retry(&self, now: Instant) -> bool {
        self.deposit();
        let may = self.shared.budget.withdraw(self.shared.moment(now));
        if may && let Some(meter) = &self.meter {
            meter.retries.bump();
        }
        may
    }

    fn count_request(&self) {
        self.undeposited.set(self.undeposited.get() + 1);
        if self.undeposited.get() >= DEPOSITED_TOGETHER {
            self.deposit();
        }
    }

    fn deposit(&self) {
        let requests = self.undeposited.take();
        if requests > 0 {
            self.shared.budget.deposit(requests, self.options.retries.budget_percent);
        }
    }

    #[inline]
    fn look_again(&self, now: Moment) {
        if self.in_force.get() && self.table.borrow().is_current(&self.shared, now) {
            return;
        }
        let new = self.table.borrow_mut().look_again(&self.options, &self.names, &self.shared, now);
        if self.shared.set_panics(self.table.borrow().seating.panics) {
            let name = &self.options.name;
            log::line(format_args!(
                "upstream {name}: no endpoint is usable; all are tried whatever their health"
            ));
        }
        if self.in_force.replace(true) {
            new.iter().for_each(|endpoint| self.watch(endpoint));
        } else {
            self.shared.set_options(&self.options);
            self.endpoints().iter().for_each(|endpoint| self.watch(endpoint));
        }
    }

    /// Its endpoints as they are now. A plan that was not used yet stays one that is not in force.
    pub(super) fn current_endpoints(&self, now: Instant) -> Rc<[Rc<Endpoint>]> {
        let moment = self.shared.moment(now);
        if self.in_force.get() {
            self.look_again(moment);
        } else {
            // All are watched with the first use.
            let _ = self.table.borrow_mut().look_again(&self.options, &self.names, &self.shared, moment);
        }
        self.endpoints()
    }

    /// Has an endpoint checked as the options say.
    fn watch(&self, endpoint: &Endpoint) {
        let checks = self.options.checks.as_ref().filter(|_| !endpoint.options().down);
        let plan = checks.map(|options| CheckPlan {
            options: options.clone(),
            address: match (endpoint.address(), options.port) {
                (Address::Inet(addr), Some(port)) => Address::Inet((addr.ip(), port).into()),
                (address, _) => address.clone(),
            },
            authority: endpoint.authority().to_owned(),
            protocol: self.options.protocol,
        });
        let is_checked = plan.is_some();
        endpoint.state().set_check_plan(plan);
        if is_checked
            && endpoint.state().begin_checks()
            && let Some(watcher) = self.upstreams.watcher()
        {
            watcher.check(&self.shared, endpoint.shared());
        }
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
    use std::collections::BTreeMap;

    use super::super::options::{EjectionOptions, StickyOptions, StickySecret};
    use super::super::state::Health;
    use super::*;
    use crate::harness::{Call, on_core};
    use crate::service::Router;

    const MS: Duration = Duration::from_millis(1);
    const OK: Outcome = Outcome::Response(Status::OK);

    fn upstream(addresses: &[&str]) -> UpstreamOptions {
        UpstreamOptions::new("a", addresses).unwrap()
    }

    /// Groups of several cores, with one clock.
    struct Lab {
        cores: Vec<Rc<Group>>,
        now: Instant,
    }

    impl Lab {
        fn new(options: &UpstreamOptions, cores: usize, core: &CoreContext) -> Self {
            let options = Arc::new(options.clone());
            let groups = (0..cores).map(|_| Group::new(&options, core).unwrap());
            Self { cores: groups.collect(), now: core.ring.now() }
        }

        fn later(&mut self, time: Duration) {
            self.now += time;
        }

        fn pick(&self) -> Result<Pick, NoEndpoint> {
            self.cores[0].pick(&PickKey::default(), &Tried::default(), self.now)
        }

        /// One request whose outcome depends on its endpoint's last digit; returns that.
        fn request(&self, core: usize, outcome: impl Fn(u8) -> (Outcome, Duration)) -> u8 {
            let pick = self.cores[core].pick(&PickKey::default(), &Tried::default(), self.now);
            let mut pick = pick.expect("an endpoint");
            let digit = digit(&pick);
            let (outcome, latency) = outcome(digit);
            pick.record(outcome, latency, self.now);
            digit
        }

        /// How many of so many requests, one after the other and spread over the cores, go to each endpoint.
        fn shares(&self, count: usize, outcome: impl Fn(u8) -> (Outcome, Duration)) -> BTreeMap<u8, usize> {
            let mut shares = BTreeMap::new();
            for request in 0..count {
                *shares.entry(self.request(request % self.cores.len(), &outcome)).or_default() += 1;
            }
            shares
        }
    }

    fn digit(pick: &Pick) -> u8 {
        *pick.endpoint().options().address.to_string().as_bytes().last().unwrap() - b'0'
    }

    fn good(_: u8) -> (Outcome, Duration) {
        (OK, MS)
    }

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
    fn a_slow_start_grows_to_the_share_and_survives_a_new_plan() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1"]);
            options.slow_start = Some(500 * MS);
            options.balance = Balance::RoundRobin;
            let lab = Lab::new(&options, 4, &core);
            assert_eq!(lab.shares(10, good), [(1, 10)].into());
            let both =
                UpstreamOptions { endpoints: upstream(&["127.0.0.1:1", "127.0.0.1:2"]).endpoints, ..options };
            let mut with_both = Lab::new(&both, 4, &core);
            let state = with_both.cores[0].shared.clone();
            let first = state.endpoint(with_both.cores[0].endpoints()[0].state().id(), Moment::default());
            // As if the first one had been known since before the process began.
            state.set_health(&first, Health::Down, Moment::default());
            state.set_health(&first, Health::Up, Moment::default());
            let (start, mut before) = (core.ring.now(), 0);
            for step in [0, 150, 300, 450] {
                with_both.now = start + step * MS;
                // A plan that is built anew in the middle changes nothing.
                let again = Lab { cores: Lab::new(&both, 4, &core).cores, now: with_both.now };
                let (count, same) = (with_both.shares(400, good)[&2], again.shares(400, good)[&2]);
                assert!(count > before && count < 200, "{step}: {count}");
                assert!(count.abs_diff(same) < 20, "{count} {same}");
                before = count;
            }
            with_both.now = start + 600 * MS;
            assert_eq!(with_both.shares(400, good)[&2], 200);
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
    fn an_administrator_drains_and_weighs() {
        on_core(async |core| {
            let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2"]);
            options.balance = Balance::RoundRobin;
            let lab = Lab::new(&options, 2, &core);
            lab.shares(10, good);
            let upstreams = core.process.get::<Upstreams>();
            upstreams.set_drained(None, "127.0.0.1:1", true, lab.now);
            assert_eq!(lab.shares(10, good), [(2, 10)].into());
            upstreams.set_drained(None, "127.0.0.1:1", false, lab.now);
            upstreams.set_weight(None, "127.0.0.1:2", Some(4));
            assert_eq!(lab.shares(10, good), [(1, 2), (2, 8)].into());
            upstreams.set_drained(None, "127.0.0.1:1", true, lab.now);
            upstreams.set_drained(None, "127.0.0.1:2", true, lab.now);
            assert_eq!(lab.pick().map(drop).unwrap_err(), NoEndpoint::Unavailable);
            let status = &upstreams.status(lab.now)[0];
            assert!(status.endpoints.iter().all(|endpoint| endpoint.drained && !endpoint.is_usable()));
        });
    }

    #[test]
    fn keys_keep_their_endpoint_on_every_core() {
        on_core(async |core| {
            let long = "x".repeat(8000);
            let keys = [
                HashKey::Header("X-User".into()),
                HashKey::Cookie("user".into()),
                HashKey::Path,
                HashKey::ClientAddress,
            ];
            let balances =
                keys.into_iter().flat_map(|key| [Balance::Hash(key.clone()), Balance::Rendezvous(key)]);
            for balance in balances {
                let mut options = upstream(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
                options.balance = balance;
                let lab = Lab::new(&options, 3, &core);
                let cores = lab.cores.clone();
                let turns = Cell::new(0);
                let service = Router::new().get("/{*rest}", async move |context: Context| {
                    turns.set(turns.get() + 1);
                    let client = context.head().field("x-client").map(|text| text[0]);
                    let client = client.map(|last| IpAddr::from([10, 0, 0, last]));
                    let key = PickKey::of(&context).client(client);
                    let pick = cores[turns.get() % 3].pick(&key, &Tried::default(), lab.now).unwrap();
                    digit(&pick).to_string()
                });
                let service = service.build().unwrap();
                let mut seen = BTreeMap::<String, usize>::new();
                for number in 0..60_u8 {
                    let user = if number == 7 { long.clone() } else { format!("u{number}") };
                    let (path, cookie) = (format!("/{number}"), format!("a=1; user={number}; b=2"));
                    let client = char::from(b'!' + number);
                    let call = || {
                        let call = Call::get(&path).header("X-User", &user).header("Cookie", &cookie);
                        call.header("X-Client", &client.to_string())
                    };
                    let first = call().send(&service).await.text().to_owned();
                    for _ in 0..4 {
                        assert_eq!(call().send(&service).await.text(), first, "{}", options.balance);
                    }
                    *seen.entry(first).or_default() += 1;
                }
                assert!(seen.len() == 3, "{}: {seen:?}", options.balance);
                // Missing or empty: spread. A path is never missing.
                if !options.balance.to_string().ends_with("path") {
                    let mut spread = BTreeMap::<String, usize>::new();
                    for _ in 0..60 {
                        let call = Call::get("/").header("X-User", "").header("Cookie", "user=");
                        *spread.entry(call.send(&service).await.text().to_owned()).or_default() += 1;
                    }
                    assert!(spread.len() == 3, "{}: {spread:?}", options.balance);
                }
            }
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

    #[test]
    fn mistakes_are_found_without_a_core() {
        let check = |addresses: &[&str]| Group::check(&UpstreamOptions::new("api", addresses).unwrap());
        assert_eq!(check(&["a:1", "b:1"]), Ok(()));
        assert_eq!(check(&[]), Err(UpstreamMistake::Empty("api".into())));
        let twice = check(&["a:1", "A:1"]).unwrap_err().to_string();
        assert_eq!(twice, "the upstream api names a:1 twice; give each endpoint once, with a weight");
        let secret = StickySecret(b"key".to_vec());
        let sticky = StickyOptions { cookie: "a b".into(), secret, max_age: None };
        let cookie = Group::check(&UpstreamOptions { sticky: Some(sticky), ..upstream(&["a:1"]) });
        assert!(cookie.unwrap_err().to_string().contains("sticky cookie"));
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
