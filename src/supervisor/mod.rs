//! The process: binds, starts one worker per core, waits for signals, drains, reports.

mod certificates;
mod cores;
mod error;
mod handle;
mod live;
mod reload;
mod renewals;
mod signals;
mod start;
mod workers;

use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use self::cores::{CoreChoice, CoreError, available, choose, parse_list, quota};
pub use self::error::{ReplaceError, RunError};
pub use self::handle::{Measured, ServerHandle};
use self::live::{LiveServer, SettingsChange};
use self::reload::{PlanSource, ServedPlan, lock, reload_plan, replace};
pub use self::reload::{PlanUpdate, ReloadCounts, ReloadOutcome};
use self::renewals::RunningRenewals;
use self::signals::Asked;
pub use self::start::Server;
use self::workers::{Crew, CrewOutcome, Report};
use crate::net::{Address, reachable_addresses};
use crate::observe::access::LogWriter;
use crate::observe::{Totals, log};
use crate::plan::{Plan, PlanDiff, Secret};
use crate::server::{Message, Phase, Shared};
use crate::service::ProcessValues;

/// Time limit for workers to reply with their counters. A serving core replies within milliseconds.
const TOTALS_WITHIN: Duration = Duration::from_secs(1);

/// After the drain's time limit, for a core to notice it. One that has not ended by then is blocked.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// For the keeper of the workers to report. It never waits for a core.
const REPORT_WITHIN: Duration = Duration::from_millis(200);

/// Time for the last lines on standard error.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

/// A running server.
pub struct Running {
    /// Where reloads take the plan from.
    plan_source: Option<PlanSource>,
    /// What its cores share.
    process: ProcessValues,
    began: Instant,
    /// The plan that is served, if it was started with one.
    served: Option<Arc<Mutex<ServedPlan>>>,
    /// What none of its directories may serve.
    secrets: Vec<Secret>,
    addresses: Vec<Address>,
    /// What a reload may change beside the plan.
    live: LiveServer,
    cores: CoreChoice,
    shared: Arc<Shared>,
    crew: Crew,
    /// Signals, and what the crew reports.
    events: mpsc::Sender<SupervisorEvent>,
    inbox: Mutex<mpsc::Receiver<SupervisorEvent>>,
    /// To the thread that reloads the plan; the first reload starts it.
    reloads: Option<mpsc::SyncSender<()>>,
    drain_timeout: Duration,
    renewals: RunningRenewals,
    quiet: bool,
}

/// Counters of a running server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveTotals {
    /// Counters since the start, of all workers: they never shrink, also when one is lost, is started again,
    /// or does not reply. Lost lines of the access log are known only at the end.
    pub totals: Totals,
    /// Connections open on the workers that replied.
    pub open: usize,
    /// Workers that replied in time.
    pub answered: usize,
    /// Workers in all. More than `answered` if a core is blocked or has ended.
    pub workers: usize,
}

enum SupervisorEvent {
    Asked(Asked),
    /// The access log and the certificates, beside a plan that is reloaded by a handle.
    ReloadFiles,
    Report(Report),
}

/// The counters so far, and what the workers that reply within this time have open.
fn live_totals(shared: &Shared, limit: Duration) -> LiveTotals {
    let open = shared.ask(limit, Message::Open);
    LiveTotals {
        totals: shared.totals(),
        open: open.iter().map(|(_, open)| open).sum(),
        answered: open.len(),
        workers: shared.workers(),
    }
}

impl Running {
    /// The addresses at the start, with the ports that the kernel chose. See [`urls`](Self::urls) for those
    /// of now.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The addresses by which other machines may reach listeners on every interface.
    fn urls_for_others(&self) -> Vec<String> {
        let mut urls = Vec::new();
        let live = self.live.now();
        for (address, tls) in live.addresses().iter().zip(live.tls()) {
            let Address::Inet(addr) = address else { continue };
            if !addr.ip().is_unspecified() {
                continue;
            }
            let scheme = if tls.is_some() { "https" } else { "http" };
            let others = reachable_addresses().into_iter().filter(|ip| ip.is_ipv4() == addr.is_ipv4());
            urls.extend(others.map(|ip| format!("{scheme}://{}", SocketAddr::new(ip, addr.port()))));
        }
        urls
    }

    /// The addresses as clients write them: `https://127.0.0.1:8443`, `unix:/run/quoit.sock`.
    pub fn urls(&self) -> Vec<String> {
        self.live.now().urls()
    }

    /// The plan that is served, with the listeners as they were given; `None` if it was started without a
    /// plan.
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.served.as_ref().map(|served| lock(served).plan.clone())
    }

    /// Replaces the plan, its listeners included, and returns the changes. New addresses are bound, then
    /// every worker builds the new service, and only if all succeed, all switch to it; requests in progress
    /// are completed by the service that they began with. When it returns `Ok`, no later request is answered
    /// by the old plan. A plan without listeners keeps the current ones.
    ///
    /// Building blocks each core for as long as [`Plan::build`] takes.
    ///
    /// # Errors
    /// Why the plan was not replaced. Nothing has changed then, except after [`ReplaceError::NotConfirmed`].
    pub fn replace_plan(&mut self, plan: Plan) -> Result<PlanDiff, ReplaceError> {
        let Some(served) = &self.served else { return Err(ReplaceError::NoPlan) };
        if self.shared.phase() != Phase::Serve {
            return Err(ReplaceError::Ending);
        }
        let settings = SettingsChange::default();
        let replaced = replace(&self.shared, &mut lock(served), &self.live, &self.secrets, plan, settings);
        replaced.map(|(diff, _)| diff)
    }

    /// The counters so far, and what the workers that reply within a second have open.
    pub fn totals(&self) -> LiveTotals {
        self.totals_within(TOTALS_WITHIN)
    }

    /// As [`totals`](Self::totals), with another time limit. Each worker replies between two requests, so the
    /// connections of a core that is blocked by a handler are missing until it runs again.
    pub fn totals_within(&self, limit: Duration) -> LiveTotals {
        live_totals(&self.shared, limit)
    }

    /// A handle for other threads of the process.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            shared: self.shared.clone(),
            served: self.served.clone(),
            plan_source: self.plan_source.clone(),
            secrets: self.secrets.clone(),
            process: self.process.clone(),
            events: self.events.clone(),
            live: self.live.clone(),
            began: self.began,
        }
    }

    /// Reopens the access log by its name, after it was renamed.
    pub fn reopen_log(&self) {
        self.live.now().reopen_log();
    }

    /// Reloads the files of all certificates, on the watcher thread.
    pub fn reload_certificates(&self) {
        self.live.now().reload_certificates();
    }

    /// Takes the plan from [`Server::reload_from`], and reads again what is named by its files: certificates,
    /// even if they look unchanged, and what the plan names, such as users and error pages; and reopens the
    /// access log. What cannot be read is reported, and what was read before stays in force. Returns at once.
    pub fn reload(&mut self) {
        self.reopen_log();
        self.reload_certificates();
        let Some(served) = &self.served else { return };
        let reloads = self.reloads.get_or_insert_with(|| {
            let (shared, served) = (self.shared.clone(), served.clone());
            let (source, secrets) = (self.plan_source.clone(), self.secrets.clone());
            let live = self.live.clone();
            // One reload that waits is enough, whatever number of them was asked for.
            let (reloads, asked) = mpsc::sync_channel(1);
            let thread = thread::Builder::new().name("reload".to_owned());
            let run = move || {
                asked
                    .iter()
                    .for_each(|()| drop(reload_plan(&shared, &served, &live, source.as_ref(), &secrets)))
            };
            if let Err(error) = thread.spawn(run) {
                log::line(format_args!("not reloaded: no thread for it: {error}"));
            }
            reloads
        });
        if let Err(mpsc::TrySendError::Disconnected(())) = reloads.try_send(()) {
            self.reloads = None;
        }
    }

    /// Drains open connections within the drain's time limit, and returns the counters.
    ///
    /// # Errors
    /// A worker that was lost, or one that did not end in time.
    pub fn stop(self) -> Result<Totals, RunError> {
        self.renewals.stop();
        self.crew.drain();
        let deadline = Instant::now() + self.drain_timeout + STUCK_AFTER;
        self.outcome(Some(deadline), |_| ())
    }

    fn wait(self) -> Result<(), RunError> {
        let quiet = self.quiet;
        let totals = self.outcome(None, |totals| {
            if totals.lines_lost > 0 {
                log::line(format_args!("{} lines of the access log were lost", totals.lines_lost));
            }
            if !quiet {
                log::line(format_args!(
                    "stopped after {} requests on {} connections ({} refused, {} too slow, {} over capacity, \
                     {} panics)",
                    totals.requests,
                    totals.accepted,
                    totals.refused,
                    totals.timed_out,
                    totals.over_capacity,
                    totals.panics
                ));
            }
        });
        totals.map(drop)
    }

    /// Does what signals ask for until the workers have ended, or until they are given up; `tell` reports the
    /// counters. With a `deadline` the drain has begun.
    fn outcome(mut self, deadline: Option<Instant>, tell: impl FnOnce(&Totals)) -> Result<Totals, RunError> {
        let CrewOutcome { mut totals, lost, stuck } = self.ended(deadline);
        let (log, written) = {
            let mut live = self.live.now();
            (live.log.take(), live.written)
        };
        finish_log(log, written, &mut totals);
        tell(&totals);
        log::flush(LAST_LINES_WITHIN);
        match lost {
            _ if !stuck.is_empty() => Err(RunError::Stuck { workers: stuck }),
            Some(text) => Err(RunError::WorkerLost(text)),
            None => Ok(totals),
        }
    }

    fn ended(&mut self, mut deadline: Option<Instant>) -> CrewOutcome {
        let mut given_up = false;
        loop {
            let inbox = self.inbox.get_mut().unwrap_or_else(PoisonError::into_inner);
            let event = match deadline {
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match event {
                Ok(SupervisorEvent::Asked(Asked::ReopenLog)) => self.reopen_log(),
                Ok(SupervisorEvent::ReloadFiles) => {
                    self.reopen_log();
                    self.reload_certificates();
                }
                Ok(SupervisorEvent::Asked(Asked::Reload)) if deadline.is_none() => self.reload(),
                Ok(SupervisorEvent::Asked(Asked::Reload)) => {}
                Ok(SupervisorEvent::Asked(Asked::Stop)) => match &mut deadline {
                    None => {
                        if !self.quiet {
                            log::line(format_args!("draining; a second signal stops at once"));
                        }
                        self.renewals.stop();
                        self.crew.drain();
                        deadline = Some(Instant::now() + self.drain_timeout + STUCK_AFTER);
                    }
                    Some(deadline) => {
                        self.crew.stop();
                        *deadline = (*deadline).min(Instant::now() + STUCK_AFTER);
                    }
                },
                Ok(SupervisorEvent::Report(Report::Draining)) => {
                    self.renewals.stop();
                    deadline.get_or_insert(Instant::now() + self.drain_timeout + STUCK_AFTER);
                }
                Ok(SupervisorEvent::Report(Report::Ended(outcome))) => return outcome,
                Err(RecvTimeoutError::Timeout) if !given_up => {
                    given_up = true;
                    // Those that still can end do.
                    self.crew.stop();
                    self.crew.give_up();
                    deadline = Some(Instant::now() + REPORT_WITHIN);
                }
                // The keeper itself hangs in a start; a sender is kept, so that the channel is open.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return CrewOutcome {
                        stuck: (0..self.cores.workers).collect(),
                        ..CrewOutcome::default()
                    };
                }
            }
        }
    }
}

/// Waits for the last lines, once every worker has ended, and counts lost lines.
fn finish_log(log: Option<LogWriter>, written: u64, totals: &mut Totals) {
    let written = written + log.map_or(0, LogWriter::finish);
    totals.lines_lost = totals.logged.saturating_sub(written);
}
