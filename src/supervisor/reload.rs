//! Replaces the plan in force on every worker, with what changes beside it: all of it, or nothing.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::error::ReplaceError;
use super::live::{LiveServer, PreparedChange, SettingsChange, log_file};
use crate::observe::access::{Destination, Format};
use crate::observe::log;
use crate::plan::{Listener, Plan, PlanDiff, Secret, SecretKind};
use crate::server::{InProgress, Limits, Message, Phase, Shared, WorkerChange};

/// Time limit for workers to build the service of a plan: directories on slow disks, and closures of users.
const PREPARED_WITHIN: Duration = Duration::from_secs(10);

/// Time limit for workers to switch to the prepared service, which takes microseconds: a late core is blocked
/// by a handler.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);

/// Where a reload takes its plan from.
#[derive(Clone)]
pub(super) struct PlanSource(pub(super) Arc<ReadPlan>);

pub(super) type ReadPlan = dyn Fn() -> Result<PlanUpdate, Vec<String>> + Send + Sync;

impl fmt::Debug for PlanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlanSource")
    }
}

/// A plan that is to replace the one in force.
pub struct PlanUpdate {
    plan: Plan,
    changes: Vec<String>,
    settings: SettingsChange,
    when_served: Option<Box<dyn FnOnce() + Send>>,
}

impl PlanUpdate {
    /// This plan; without listeners it keeps the current ones. `changes` are reported once it is served, a
    /// line each.
    pub fn new(plan: Plan, changes: Vec<String>) -> Self {
        Self { plan, changes, settings: SettingsChange::default(), when_served: None }
    }

    /// With these limits for connections that begin from then on. [`Limits::drain_timeout`] stays as it was.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = Some(limits);
        self
    }

    /// With this access log for exchanges that end from then on, or none.
    pub fn access_log(mut self, log: Option<(Destination, Option<Format>)>) -> Self {
        self.settings.access = Some(log);
        self
    }

    /// Calls this once the plan is served.
    pub fn when_served(mut self, callback: impl FnOnce() + Send + 'static) -> Self {
        self.when_served = Some(Box::new(callback));
        self
    }
}

impl fmt::Debug for PlanUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanUpdate").field("changes", &self.changes).finish_non_exhaustive()
    }
}

/// The outcome of a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadOutcome {
    /// Whether what was read is served now.
    pub is_served: bool,
    /// What changed, or why nothing did, a line each.
    pub lines: Vec<String>,
}

/// Reloads of a server so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    /// Those after which the new plan was served.
    pub served: u64,
    /// Those that changed nothing because of a mistake.
    pub refused: u64,
    /// When the last one was served.
    pub last_served: Option<SystemTime>,
}

/// The plan in force. Locked while it is replaced, so that a worker that is started again has the new one.
pub(super) struct ServedPlan {
    /// With listeners.
    pub(super) plan: Arc<Plan>,
    /// Number of plans prepared so far.
    pub(super) versions: u64,
    pub(super) reloads: ReloadCounts,
}

pub(super) fn lock(served: &Mutex<ServedPlan>) -> MutexGuard<'_, ServedPlan> {
    served.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the plan from its source, or the one in force, and builds it on every worker, so that the files
/// which it names are read again.
pub(super) fn reload_plan(
    shared: &Shared,
    served: &Mutex<ServedPlan>,
    live: &LiveServer,
    source: Option<&PlanSource>,
    secrets: &[Secret],
) -> ReloadOutcome {
    let mut served = lock(served);
    let outcome = reload_served(shared, &mut served, live, source, secrets);
    if outcome.is_served {
        served.reloads.served += 1;
        served.reloads.last_served = Some(SystemTime::now());
    } else {
        served.reloads.refused += 1;
    }
    let what = if outcome.is_served { "reloaded" } else { "not reloaded" };
    outcome.lines.iter().for_each(|line| log::line(format_args!("{what}: {line}")));
    outcome
}

fn reload_served(
    shared: &Shared,
    served: &mut ServedPlan,
    live: &LiveServer,
    source: Option<&PlanSource>,
    secrets: &[Secret],
) -> ReloadOutcome {
    let refused = |lines| ReloadOutcome { is_served: false, lines };
    if shared.phase() != Phase::Serve {
        return refused(vec![ReplaceError::Ending.to_string()]);
    }
    let update = match source {
        None => Ok(PlanUpdate::new(Plan::clone(&served.plan), Vec::new())),
        Some(PlanSource(read)) => read(),
    };
    let PlanUpdate { plan, changes, settings, when_served } = match update {
        Ok(update) => update,
        Err(mistakes) => return refused(mistakes),
    };
    let outcome = replace(shared, served, live, secrets, plan, settings);
    if let (Ok(_) | Err(ReplaceError::NotConfirmed { .. }), Some(callback)) = (&outcome, when_served) {
        callback();
    }
    match outcome {
        Ok((_, counts)) => {
            let mut lines = changes;
            if lines.is_empty() {
                lines.push("what the configuration names was read again".to_owned());
            }
            lines.extend(in_progress(counts));
            ReloadOutcome { is_served: true, lines }
        }
        // It is in force.
        Err(error @ ReplaceError::NotConfirmed { .. }) => {
            ReloadOutcome { is_served: true, lines: vec![error.to_string()] }
        }
        Err(ReplaceError::Plan(mistakes)) => {
            let mistakes = mistakes.to_string();
            let line = |mistake: &str| format!("{mistake}; what was read before stays in force");
            refused(mistakes.lines().map(line).collect())
        }
        Err(error) => refused(vec![error.to_string()]),
    }
}

/// What becomes of exchanges that began before.
fn in_progress(counts: InProgress) -> Vec<String> {
    let InProgress { kept, draining } = counts;
    let mut lines = Vec::new();
    if kept > 0 {
        lines.push(format!("in progress on unchanged routes, and goes on: {kept}"));
    }
    if draining > 0 {
        lines.push(format!(
            "in progress on removed or changed routes, and is cut unless it ends within \
             limits.reload_drain_timeout: {draining}"
        ));
    }
    lines
}

/// Replaces the plan in force on every worker, and what changes with it, and returns the changes.
pub(super) fn replace(
    shared: &Shared,
    served: &mut ServedPlan,
    live: &LiveServer,
    secrets: &[Secret],
    mut plan: Plan,
    settings: SettingsChange,
) -> Result<(PlanDiff, InProgress), ReplaceError> {
    let current = served.plan.clone();
    let is_same = |listeners: &[Listener]| {
        let mut left = current.listeners.clone();
        // Several may ask for any port of one address.
        let is_known = |one: &Listener| {
            let index = left.iter().position(|other| other == one);
            index.map(|index| left.swap_remove(index)).is_some()
        };
        listeners.iter().all(is_known) && left.is_empty()
    };
    if plan.listeners.is_empty() || is_same(&plan.listeners) {
        plan.listeners.clone_from(&current.listeners);
    }
    let diff = current.diff(&plan);
    let log = settings.access.as_ref().and_then(log_file);
    let log = log.map(|path| Secret { kind: SecretKind::AccessLog, path });
    plan.check_beside(&secrets.iter().cloned().chain(log).collect::<Vec<_>>())?;
    let _changing = live.changing();
    let prepared = live.now().prepare(&plan.listeners, settings, shared.workers());
    let mut prepared: PreparedChange = prepared.map_err(|error| ReplaceError::Prepare(Box::new(error)))?;
    let per_worker = std::mem::take(&mut prepared.per_worker);
    let outcome = swap(shared, served, plan, per_worker, &diff);
    if matches!(outcome, Ok(_) | Err(ReplaceError::NotConfirmed { .. })) {
        let former = live.now().apply(prepared);
        if let Some(former) = former {
            let written = former.finish();
            live.now().written += written;
        }
    }
    Ok((diff, outcome?))
}

/// Lets every worker build this plan, and then switch to it.
fn swap(
    shared: &Shared,
    served: &mut ServedPlan,
    plan: Plan,
    changes: Vec<WorkerChange>,
    diff: &PlanDiff,
) -> Result<InProgress, ReplaceError> {
    served.versions += 1;
    let (version, workers) = (served.versions, shared.workers());
    let plan = Arc::new(plan);
    // Workers are asked in their order.
    let changes = RefCell::new(changes.into_iter());
    let change = || Box::new(changes.borrow_mut().next().unwrap_or_default());
    let prepare = |reply| Message::Prepare { version, plan: plan.clone(), change: change(), reply };
    let outcomes = shared.ask(PREPARED_WITHIN, prepare);
    let prepared = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    if prepared < workers {
        shared.notify(|| Message::Abandon);
        let mistakes = outcomes.into_iter().find_map(Result::err);
        return Err(mistakes.map_or(ReplaceError::NotPrepared { prepared, workers }, ReplaceError::Plan));
    }
    let gone: Arc<[String]> = diff.gone().map(str::to_owned).collect();
    let commit = |reply| Message::Commit { version, gone: gone.clone(), reply };
    let counts = shared.ask(COMMITTED_WITHIN, commit);
    served.plan = plan;
    let committed = counts.len();
    if committed < workers {
        return Err(ReplaceError::NotConfirmed { committed, workers });
    }
    let sum = |count: fn(&InProgress) -> usize| counts.iter().map(count).sum();
    Ok(InProgress { kept: sum(|counts| counts.kept), draining: sum(|counts| counts.draining) })
}
