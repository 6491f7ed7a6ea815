//! Keeps the workers: starts them, starts one again on its CPU when it is lost, begins the drain, and adds up
//! what they report at their end. One thread; knows no signals and no plans.
//!
//! The listening sockets are kept open here until the drain: connections that the kernel has queued for a
//! worker that is lost are accepted by the one that takes its place, and its share of new connections never
//! falls into a hole.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::live::LiveServer;
use crate::observe::access::CoreLog;
use crate::observe::{Totals, log};
use crate::ring::{Mailbox, RingConfig};
use crate::server::{Message, Phase, Shared, StartError, WorkerOutcome, WorkerSetup};
use crate::service::ProcessValues;

/// Workers that are started again within [`RESTARTS_WITHIN`]. A fault that occurs once in a while costs the
/// connections of one core; one that returns at once ends the process, so that its own supervisor acts.
const RESTARTS_MAX: usize = 5;
const RESTARTS_WITHIN: Duration = Duration::from_secs(60);

/// What every worker of a server is started with.
pub(super) struct WorkerTemplate {
    pub(super) workers: usize,
    /// The CPU of each worker; empty if they are not pinned.
    pub(super) cpus: Vec<usize>,
    /// The listening sockets, the limits and the access log.
    pub(super) live: LiveServer,
    pub(super) ring: RingConfig,
    /// What no handler serves.
    pub(super) secrets: Arc<[PathBuf]>,
    /// What the services of all workers share, also those of a worker that is started again.
    pub(super) process: ProcessValues,
    /// Whether routes and upstreams are measured.
    pub(super) measured: bool,
}

impl WorkerTemplate {
    fn setup(
        &self,
        shared: &Shared,
        index: usize,
        mailbox: Mailbox<Message>,
        access: Option<CoreLog>,
    ) -> io::Result<WorkerSetup> {
        let _unchanged = self.live.changing();
        let live = self.live.now();
        Ok(WorkerSetup {
            index,
            workers: self.workers,
            cpu: self.cpus.get(index).copied(),
            listeners: live.sockets_of(index)?,
            mailbox,
            limits: live.limits.clone(),
            ring: self.ring.clone(),
            secrets: self.secrets.clone(),
            process: self.process.clone(),
            counters: shared.counters(index),
            meters: self.measured.then(|| shared.meters(index)),
            access: access.or_else(|| live.another_log()),
        })
    }
}

/// Starts a worker; calls the second argument when it has ended.
pub(super) type StartWorker = dyn Fn(WorkerSetup, WhenEnded) -> Result<JoinHandle<()>, StartError> + Send;
pub(super) type WhenEnded = Box<dyn FnOnce(WorkerOutcome) + Send>;

/// What the keeper reports.
pub(super) enum Report {
    /// It has begun to drain by itself, because a worker was lost for good.
    Draining,
    /// The workers have ended; or some have not, and were given up.
    Ended(CrewOutcome),
}

/// The end of the workers.
#[derive(Debug, Default)]
pub(super) struct CrewOutcome {
    pub(super) totals: Totals,
    /// Why a worker was lost and not started again.
    pub(super) lost: Option<String>,
    /// Workers that were given up while they still ran.
    pub(super) stuck: Vec<usize>,
}

enum Event {
    Ended { index: usize, start: u64, outcome: WorkerOutcome },
    Drain,
    Stop,
    GiveUp,
}

/// The handle of the keeper's thread. Without it the workers serve until the process ends.
pub(super) struct Crew {
    events: Sender<Event>,
}

impl Crew {
    /// Begins the drain.
    pub(super) fn drain(&self) {
        let _ = self.events.send(Event::Drain);
    }

    /// Ends the drain.
    pub(super) fn stop(&self) {
        let _ = self.events.send(Event::Stop);
    }

    /// Asks for the report at once, whatever still runs.
    pub(super) fn give_up(&self) {
        let _ = self.events.send(Event::GiveUp);
    }
}

/// Workers that are being started, and then kept.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    template: WorkerTemplate,
    start: Box<StartWorker>,
    events: Sender<Event>,
    inbox: Receiver<Event>,
    running: Vec<Option<RunningWorker>>,
    /// Number of starts so far; events of a start that failed, or of a worker that was replaced, are ignored.
    starts: u64,
    restarts: Vec<Instant>,
    outcome: CrewOutcome,
}

struct RunningWorker {
    start: u64,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, template: WorkerTemplate, start: Box<StartWorker>) -> Self {
        let (events, inbox) = mpsc::channel();
        Self {
            shared,
            template,
            start,
            events,
            inbox,
            running: Vec::new(),
            starts: 0,
            restarts: Vec::new(),
            outcome: CrewOutcome::default(),
        }
    }

    /// Starts the workers, each with its mailbox. When the system has too little for all of them, fewer
    /// serve, which is reported; returns how many. On an error none is left.
    pub(super) fn start_all(
        &mut self,
        mailboxes: Vec<Mailbox<Message>>,
        mut access: Vec<CoreLog>,
    ) -> Result<usize, StartError> {
        access.reverse();
        let planned = mailboxes.len();
        for (index, mailbox) in mailboxes.into_iter().enumerate() {
            match self.start_one(index, mailbox, access.pop()) {
                Ok(worker) => self.running.push(Some(worker)),
                Err(error) if index > 0 && error.is_shortage() => {
                    log::line(format_args!("{index} of {planned} workers serve: {error}"));
                    self.shared.truncate(index);
                    // A socket without a worker would be a hole in the group that shares the port.
                    self.template.live.now().truncate(index);
                    break;
                }
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
            }
        }
        Ok(self.running.len())
    }

    /// Stops what was started, and waits for it.
    pub(super) fn abandon(&mut self) {
        self.shared.set_phase(Phase::Stop);
        for worker in self.running.drain(..).flatten() {
            let _ = worker.thread.join();
        }
    }

    /// Keeps the workers on a thread of its own, which calls `report`.
    pub(super) fn keep(self, report: impl Fn(Report) + Send + 'static) -> io::Result<Crew> {
        let crew = Crew { events: self.events.clone() };
        let thread = thread::Builder::new().name("supervisor".to_owned());
        thread.spawn(move || self.run(report))?;
        Ok(crew)
    }

    fn start_one(
        &mut self,
        index: usize,
        mailbox: Mailbox<Message>,
        access: Option<CoreLog>,
    ) -> Result<RunningWorker, StartError> {
        self.starts += 1;
        let (start, events) = (self.starts, self.events.clone());
        let ended = move |outcome| {
            // The keeper may have given up.
            let _ = events.send(Event::Ended { index, start, outcome });
        };
        let setup = self.template.setup(&self.shared, index, mailbox, access).map_err(StartError::Thread)?;
        let thread = (self.start)(setup, Box::new(ended))?;
        Ok(RunningWorker { start, thread })
    }

    fn run(mut self, report: impl Fn(Report)) {
        while self.running.iter().any(Option::is_some) {
            // Cannot fail: a sender is kept for the next start.
            let Ok(event) = self.inbox.recv() else { return };
            match event {
                Event::Ended { index, start, outcome } => {
                    // None for one of a start that failed.
                    let slot = self.running.get_mut(index);
                    let worker = slot.and_then(|slot| slot.take_if(|worker| worker.start == start));
                    let Some(worker) = worker else { continue };
                    // It has sent its last word: only its thread's own state is left to be dropped.
                    let _ = worker.thread.join();
                    match outcome {
                        Ok(()) => {}
                        Err(text) => self.handle_loss(index, text, &report),
                    }
                }
                Event::Drain => self.enter(Phase::Drain),
                Event::Stop => self.enter(Phase::Stop),
                Event::GiveUp => break,
            }
        }
        let running = |(index, worker): (usize, &Option<RunningWorker>)| worker.as_ref().map(|_| index);
        self.outcome.totals = self.shared.totals();
        self.outcome.stuck = self.running.iter().enumerate().filter_map(running).collect();
        report(Report::Ended(self.outcome));
    }

    fn enter(&mut self, phase: Phase) {
        // First, so that no connection is queued on a socket that no worker reads.
        self.template.live.now().truncate(0);
        self.shared.set_phase(phase);
    }

    fn handle_loss(&mut self, index: usize, text: String, report: &impl Fn(Report)) {
        if self.shared.phase() != Phase::Serve {
            self.outcome.lost = Some(text);
            return;
        }
        let now = Instant::now();
        self.restarts.retain(|at| now.saturating_duration_since(*at) < RESTARTS_WITHIN);
        if self.restarts.len() < RESTARTS_MAX {
            self.restarts.push(now);
            log::line(format_args!(
                "worker {index} was lost with its connections, and is started again: {text}"
            ));
            match self.restart(index) {
                Ok(worker) => {
                    self.running[index] = Some(worker);
                    return;
                }
                Err(error) => log::line(format_args!("worker {index} could not be started again: {error}")),
            }
        } else {
            let within = RESTARTS_WITHIN.as_secs();
            log::line(format_args!(
                "worker {index} was lost, after {RESTARTS_MAX} losses within {within} s; the server drains \
                 and ends: {text}"
            ));
        }
        self.outcome.lost = Some(text);
        self.enter(Phase::Drain);
        report(Report::Draining);
    }

    fn restart(&mut self, index: usize) -> Result<RunningWorker, StartError> {
        let mailbox = self.shared.replace(index).map_err(StartError::Thread)?;
        self.start_one(index, mailbox, None)
    }
}
