//! Who may get requests, as one core sees it: made when something changes, read by every choice.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::balance::consistent::Circle;
use super::balance::hash::hash;
use super::balance::least;
use super::balance::random::Random;
use super::balance::rendezvous;
use super::balance::round_robin::Round;
use super::balance::seats::{Row, Seating, Standing};
use super::balance::sticky::Codes;
use super::balance::two_choices::{self, Load};
use super::endpoint::Endpoint;
use super::moment::Moment;
use super::options::{Balance, EndpointAddress, EndpointOptions, UpstreamOptions};
use super::quality::Quality;
use super::slow_start::{Ramp, ramp};
use super::state::{EndpointId, Health, UpstreamState};
use super::watch::{Found, NameState};
use crate::net::Address;

/// The endpoints of an upstream and their seats.
#[derive(Debug)]
pub(super) struct Table {
    /// [`UpstreamState::changes`] at the time.
    changes: u64,
    pub(super) endpoints: Rc<[Rc<Endpoint>]>,
    pub(super) seating: Seating,
    /// Of round robin, by row.
    rounds: Vec<Round>,
    circle: Circle,
    /// The hashes of the endpoints' names, for rendezvous.
    names: Vec<u64>,
    weights: Vec<u32>,
    pub(super) codes: Option<Codes>,
}

impl Table {
    pub(super) fn new(
        options: &UpstreamOptions,
        names: &[Option<Arc<NameState>>],
        shared: &UpstreamState,
        now: Moment,
    ) -> Self {
        let mut table = Self {
            changes: 0,
            endpoints: Rc::new([]),
            seating: Seating::default(),
            rounds: Vec::new(),
            circle: Circle::default(),
            names: Vec::new(),
            weights: Vec::new(),
            codes: None,
        };
        table.changes = shared.changes();
        table.set_endpoints(options, current(options, names, &[], shared, now));
        table.seat(options, now);
        table
    }

    /// Whether nothing has changed since.
    #[inline]
    pub(super) fn is_current(&self, shared: &UpstreamState, now: Moment) -> bool {
        self.changes == shared.changes() && now < self.seating.valid_until
    }

    /// Looks again at the addresses of names and at what is known of the endpoints. Returns endpoints that
    /// are new.
    pub(super) fn look_again(
        &mut self,
        options: &UpstreamOptions,
        names: &[Option<Arc<NameState>>],
        shared: &UpstreamState,
        now: Moment,
    ) -> Vec<Rc<Endpoint>> {
        // Read before what it stands for: a change meanwhile makes this look again.
        let changes = shared.changes();
        let mut new = Vec::new();
        if changes != self.changes && names.iter().any(Option::is_some) {
            let found = current(options, names, &self.endpoints, shared, now);
            let is_known =
                |endpoint: &Rc<Endpoint>| self.endpoints.iter().any(|known| Rc::ptr_eq(known, endpoint));
            new = found.iter().filter(|endpoint| !is_known(endpoint)).cloned().collect();
            if !new.is_empty() || found.len() != self.endpoints.len() {
                self.set_endpoints(options, found);
            }
        }
        if changes != self.changes && self.weights != weights(&self.endpoints) {
            self.set_endpoints(options, self.endpoints.to_vec());
        }
        self.changes = changes;
        self.seat(options, now);
        new
    }

    fn set_endpoints(&mut self, options: &UpstreamOptions, endpoints: Vec<Rc<Endpoint>>) {
        let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.state().id().to_string()).collect();
        self.weights = weights(&endpoints);
        match options.balance {
            Balance::Hash(_) => {
                self.circle =
                    Circle::new(names.iter().map(String::as_bytes).zip(self.weights.iter().copied()));
            }
            Balance::Rendezvous(_) => self.names = names.iter().map(|name| hash(name.as_bytes())).collect(),
            _ => {}
        }
        self.codes = options.sticky.as_ref().and_then(|sticky| {
            let names = names.iter().map(String::as_bytes);
            Codes::new(&sticky.cookie, sticky.max_age, &sticky.secret.0, &options.name, names).ok()
        });
        self.endpoints = endpoints.into();
    }

    fn seat(&mut self, options: &UpstreamOptions, now: Moment) {
        let standings: Vec<_> = self.endpoints.iter().map(|at| standing(options, at, now)).collect();
        self.seating = Seating::new(&standings, options.ejection.panic_percent, now);
        if options.balance == Balance::RoundRobin {
            self.rounds = self.seating.rows().map(Round::new).collect();
        }
    }

    /// Chooses by the policy; `key` is the hash of the request's key, if it has one.
    #[inline]
    pub(super) fn choose(
        &self,
        balance: &Balance,
        key: Option<u64>,
        turn: impl Fn() -> u64,
        taken: &impl Fn(usize) -> bool,
        random: &mut Random,
        now: Moment,
    ) -> Option<usize> {
        let load = Live { endpoints: &self.endpoints, now };
        let in_row = |(at, row): (usize, Row<'_>)| match (balance, key) {
            (Balance::RoundRobin, _) => self.rounds[at].pick(turn(), taken),
            (Balance::LeastRequests, _) => least::pick(row, &load, taken, random),
            (Balance::Hash(_), Some(key)) => self.circle.pick(key, row, &load, taken),
            (Balance::Rendezvous(_), Some(key)) => {
                let endpoint = |index: usize| (self.names[index], self.weights[index]);
                rendezvous::pick(key, row, endpoint, taken)
            }
            // Requests without a key are spread.
            (Balance::PowerOfTwo | Balance::Hash(_) | Balance::Rendezvous(_), _) => {
                two_choices::pick(row, &load, taken, random)
            }
        };
        self.seating.rows().enumerate().find_map(in_row)
    }
}

/// The endpoints as they do now.
struct Live<'a> {
    endpoints: &'a [Rc<Endpoint>],
    now: Moment,
}

impl Load for Live<'_> {
    #[inline]
    fn in_flight(&self, index: usize) -> u32 {
        self.endpoints[index].state().in_flight.load(Relaxed)
    }

    #[inline]
    fn quality(&self, index: usize) -> Quality {
        self.endpoints[index].state().quality().at(self.now)
    }

    #[inline]
    fn is_stale(&self, index: usize) -> bool {
        self.endpoints[index].state().quality().is_stale(self.now)
    }

    #[inline]
    fn waited_us(&self, index: usize) -> u64 {
        self.endpoints[index].state().waited_us(self.now)
    }
}

/// The endpoints that the options name, with each address of a name; known ones are kept.
fn current(
    options: &UpstreamOptions,
    names: &[Option<Arc<NameState>>],
    known: &[Rc<Endpoint>],
    shared: &UpstreamState,
    now: Moment,
) -> Vec<Rc<Endpoint>> {
    let mut found: Vec<Rc<Endpoint>> = Vec::new();
    for (endpoint, name) in options.endpoints.iter().zip(names) {
        let mut add = |address: Address, options: EndpointOptions| {
            let id = EndpointId { configured: endpoint.address.clone(), address };
            let is_same = |known: &&Rc<Endpoint>| *known.state().id() == id && *known.options() == options;
            let same = known.iter().find(is_same).cloned();
            found.push(same.unwrap_or_else(|| Rc::new(Endpoint::new(options, shared.endpoint(&id, now)))));
        };
        match (&endpoint.address, name) {
            (EndpointAddress::Unix(path), _) => add(Address::Unix(path.clone()), endpoint.clone()),
            (_, Some(name)) => {
                let found = name.found();
                found.iter().for_each(|found| add(Address::Inet(found.addr), options_of(endpoint, found)));
            }
            (EndpointAddress::Tcp { host, port }, None) => {
                let ip = host.parse::<IpAddr>().ok();
                ip.into_iter().for_each(|ip| add(Address::Inet((ip, *port).into()), endpoint.clone()));
            }
            (EndpointAddress::Service(_), None) => {}
        }
    }
    found
}

/// The options of one address of a name. Of a service each host is an endpoint of its own, with its part of
/// the weight, and its name in `Host` and in its certificate.
fn options_of(endpoint: &EndpointOptions, found: &Found) -> EndpointOptions {
    let Some(service) = &found.service else { return endpoint.clone() };
    EndpointOptions {
        address: EndpointAddress::Tcp { host: service.host.clone(), port: found.addr.port() },
        weight: endpoint.weight.saturating_mul(service.weight),
        backup: endpoint.backup || service.is_backup,
        ..endpoint.clone()
    }
}

fn standing(options: &UpstreamOptions, endpoint: &Endpoint, now: Moment) -> Standing {
    let (of, state) = (endpoint.options(), endpoint.state());
    let slow_start = options.slow_start.map_or(Ramp::DONE, |length| {
        let begun = state.ramp_from();
        // One that begins later is not there yet.
        if begun > now { Ramp { next: begun, ..ramp(begun, length, now) } } else { ramp(begun, length, now) }
    });
    Standing {
        weight: endpoint.weight(),
        backup: of.backup,
        is_local: options.zone.is_none() || options.zone == of.zone,
        enabled: endpoint.is_enabled(),
        healthy: state.health() != Health::Down,
        ejected_until: state.ejected_until(),
        open_until: options.breaker.as_ref().map_or(Moment::default(), |_| state.breaker().open_until()),
        ramp: slow_start,
    }
}

fn weights(endpoints: &[Rc<Endpoint>]) -> Vec<u32> {
    endpoints.iter().map(|endpoint| endpoint.weight()).collect()
}
