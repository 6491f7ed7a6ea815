//! An upstream on one core: its endpoints as they are now, and their state, which cores share. What other
//! cores change is noticed by one number.

mod choose;
mod key;
#[cfg(test)]
mod lab;
mod mistake;
mod pick;

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher as _, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

pub use self::choose::{NoEndpoint, Tried};
pub use self::key::PickKey;
pub use self::mistake::UpstreamMistake;
pub use self::pick::{Outcome, Pick};
use super::balance::random::Random;
use super::connect_tunnel::ConnectTunnel;
use super::endpoint::Endpoint;
use super::moment::Moment;
use super::options::UpstreamOptions;
use super::registry::Upstreams;
use super::state::{CheckPlan, UpstreamState};
use super::table::Table;
use super::tls::ClientTls;
use super::watch::{NameState, Wanted};
use crate::net::Address;
use crate::observe::log;
use crate::observe::meters::UpstreamMeter;
use crate::service::CoreContext;

/// Requests whose part of the retry budget is deposited together, so that most of them write nothing that
/// other cores write.
const DEPOSITED_TOGETHER: u32 = 16;

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

impl Group {
    /// The upstream with these options on this core, with the state that its endpoints have in the process.
    ///
    /// # Errors
    /// The first mistake.
    pub fn new(options: &Arc<UpstreamOptions>, core: &CoreContext) -> Result<Rc<Self>, UpstreamMistake> {
        Self::of_origin(options, None, None, core)
    }

    /// As [`new`](Self::new). `looked_up` is the name of the first endpoint where it is not looked up by
    /// the thread that watches; `tunnel` is opened through each endpoint to what is behind it.
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
        let names = options.endpoints.iter().map(|endpoint| {
            let wanted = Wanted::of(&endpoint.address, options.resolver)?;
            let name = looked_up.take().unwrap_or_else(|| upstreams.name(wanted));
            name.add_user(&shared);
            Some(name)
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

    /// Its options.
    pub fn options(&self) -> &Arc<UpstreamOptions> {
        &self.options
    }

    /// What is measured of it on this core, if metrics are on.
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
}

#[cfg(test)]
mod tests {
    use super::super::options::Balance;
    use super::super::state::Health;
    use super::lab::{Lab, MS, good, upstream};
    use super::*;
    use crate::harness::on_core;

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
}
