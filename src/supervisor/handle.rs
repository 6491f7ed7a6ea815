//! A running server as other threads of the process see it: its counters, its upstreams, and a reload that
//! waits for its outcome. For an administrator's socket beside the cores.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::live::LiveServer;
use super::reload::{PlanSource, ReloadCounts, ReloadOutcome, ServedPlan, lock, reload_plan};
use super::{LiveTotals, SupervisorEvent, live_totals};
use crate::observe::Totals;
use crate::observe::meters::{RouteCounts, RouteLabel, UpstreamCounts};
use crate::plan::Secret;
use crate::server::{Message, Shared};
use crate::service::ProcessValues;
use crate::upstream::Upstreams;

/// What other threads may ask of a running server. Clones are the same server.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) shared: Arc<Shared>,
    pub(super) served: Option<Arc<Mutex<ServedPlan>>>,
    pub(super) plan_source: Option<PlanSource>,
    pub(super) secrets: Vec<Secret>,
    pub(super) process: ProcessValues,
    pub(super) events: mpsc::Sender<SupervisorEvent>,
    pub(super) live: LiveServer,
    pub(super) began: Instant,
}

/// What a server has measured, by names of its configuration.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Requests of routes.
    pub routes: BTreeMap<RouteLabel, RouteCounts>,
    /// Exchanges with upstreams.
    pub upstreams: BTreeMap<String, UpstreamCounts>,
}

impl ServerHandle {
    /// Its addresses as clients write them.
    pub fn urls(&self) -> Vec<String> {
        self.live.now().urls()
    }

    /// Time since the start.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// As [`Running::totals`](super::Running::totals).
    pub fn totals(&self) -> LiveTotals {
        live_totals(&self.shared, super::TOTALS_WITHIN)
    }

    /// What its routes and upstreams have measured so far, summed over the workers. Empty unless the server
    /// is [`measured`](crate::Server::measured). Includes workers that do not reply.
    pub fn measured(&self) -> Measured {
        let mut all = Measured::default();
        for meters in self.shared.all_meters() {
            meters.each_route(|label, counts| *all.routes.entry(label.clone()).or_default() += counts);
            meters.each_upstream(|name, counts| *all.upstreams.entry(name.to_owned()).or_default() += counts);
        }
        all
    }

    /// The counters of each worker, and how many connections it has open; `None` for one that does not reply
    /// in time.
    pub fn cores(&self) -> Vec<(Totals, Option<usize>)> {
        let open = self.shared.ask(super::TOTALS_WITHIN, Message::Open);
        let open_of = |core| open.iter().find(|(worker, _)| *worker == core).map(|(_, open)| *open);
        let totals = self.shared.totals_of_each().into_iter().enumerate();
        totals.map(|(core, totals)| (totals, open_of(core))).collect()
    }

    /// The state of its upstreams.
    pub fn upstreams(&self) -> Arc<Upstreams> {
        self.process.get::<Upstreams>()
    }

    /// Reloads as SIGHUP does, and returns what came of it. Blocking; reloads take turns.
    pub fn reload(&self) -> ReloadOutcome {
        // The log and the certificates are the supervisor's. Fails only when the server has ended.
        let _ = self.events.send(SupervisorEvent::ReloadFiles);
        match &self.served {
            Some(served) => {
                reload_plan(&self.shared, served, &self.live, self.plan_source.as_ref(), &self.secrets)
            }
            None => ReloadOutcome {
                is_served: false,
                lines: vec!["the server was started without a plan, so there is none to reload".to_owned()],
            },
        }
    }

    /// The reloads so far.
    pub fn reloads(&self) -> ReloadCounts {
        self.served.as_ref().map_or_else(ReloadCounts::default, |served| lock(served).reloads)
    }
}
