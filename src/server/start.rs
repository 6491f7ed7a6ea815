//! Starts and runs a worker: its thread, core, executor and ring; the supervisor's messages; serving,
//! draining and stopping.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use glommio::{GlommioError, LocalExecutorBuilder, Placement};
use thiserror::Error;

use super::accept::{self, WorkerListener};
use super::change::{ListeningSocket, WorkerChange};
use super::setup::WorkerSetup;
use super::shared::{Message, Phase};
use crate::exchange::{self, CurrentLimits, Worker};
use crate::http::date::DateLine;
use crate::observe::log;
use crate::plan::{Plan, PlanErrors};
use crate::ring::{Mailbox, Ring, SetupError, sys};
use crate::service::{CoreContext, Drain, LocalValues, Service};

/// glommio's preemption timer, set so that it never fires; the ring's driver documents the reason.
const PREEMPT_EVERY: Duration = Duration::from_secs(3600);

/// Bytes of registered buffers for glommio's own file reads, which are not used here: the least it allows.
/// Its default of 10 MiB would be resident and pinned on every core.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Bytes of a large file that are copied per step. Half of a typical second-level cache, so that the bytes
/// just read are still cached when they are sent.
const SCRATCH_BYTES: usize = 256 * 1024;

/// How often a draining worker checks whether its last connection has ended.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Turns of the ring for connections to close when the worker stops.
const TURNS_TO_CLOSE: u32 = 64;

/// Why a worker could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The kernel refused the ring.
    #[error(transparent)]
    Ring(#[from] SetupError),
    /// The executor could not be made.
    #[error("the executor did not start: {0}")]
    Executor(String),
    /// The system has no thread for it.
    #[error(
        "no thread for a worker ({0}); raise the limit on processes (ulimit -u, TasksMax= in systemd, \
         --pids-limit in docker), or use fewer --workers"
    )]
    Thread(#[source] io::Error),
    /// It cannot run on its CPU.
    #[error("a worker cannot be pinned to CPU {cpu}; choose other --cpus")]
    Pin {
        /// The CPU.
        cpu: usize,
    },
    /// The service could not be built.
    #[error("{0}")]
    Service(String),
}

impl StartError {
    /// Whether the system has too little left for one more worker, so that fewer workers can serve.
    pub fn is_shortage(&self) -> bool {
        matches!(self, Self::Thread(_) | Self::Ring(SetupError::LockedMemory { .. }))
    }
}

/// Builds the service of a plan on its core.
pub type BuildPlan<S> = fn(&Plan, &CoreContext) -> Result<S, PlanErrors>;

/// Starts a worker on its own thread; `make` builds its service there. Returns once it serves.
/// With `build_plan` the service can be replaced by that of another plan. `ended` is called with the outcome
/// when the worker has ended, whatever the reason; its last act before the thread ends.
///
/// # Errors
/// What the kernel refused, and the remedy.
pub fn start<S, M>(
    setup: WorkerSetup,
    make: M,
    build_plan: Option<BuildPlan<S>>,
    ended: impl FnOnce(WorkerOutcome) + Send + 'static,
) -> Result<JoinHandle<()>, StartError>
where
    S: Service,
    M: FnOnce(&CoreContext) -> Result<S, String> + Send + 'static,
{
    let (started, starting) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(format!("quoit-{}", setup.index));
    let body = move || {
        let notice = Notice { ended: Some(ended), outcome: Err("its thread was torn down".to_owned()) };
        notice.of(|| work(setup, make, build_plan, &started));
    };
    let handle = thread.spawn(body).map_err(StartError::Thread)?;
    match starting.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(StartError::Executor("it ended at once".to_owned())),
    }
}

/// How a worker ended: an error says why it was lost.
pub type WorkerOutcome = Result<(), String>;

/// Calls `ended` however the thread ends.
struct Notice<F: FnOnce(WorkerOutcome)> {
    ended: Option<F>,
    outcome: WorkerOutcome,
}

impl<F: FnOnce(WorkerOutcome)> Notice<F> {
    fn of(mut self, work: impl FnOnce() -> WorkerOutcome) {
        self.outcome = match catch_unwind(AssertUnwindSafe(work)) {
            Ok(outcome) => outcome,
            Err(panic) => Err(log::panic_text(&*panic).to_owned()),
        };
    }
}

impl<F: FnOnce(WorkerOutcome)> Drop for Notice<F> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            ended(std::mem::replace(&mut self.outcome, Ok(())));
        }
    }
}

type Started = mpsc::SyncSender<Result<(), StartError>>;

/// The thread of a worker: a start that failed is sent to `started`, and is no loss.
fn work<S, M>(
    setup: WorkerSetup,
    make: M,
    build_plan: Option<BuildPlan<S>>,
    started: &Started,
) -> WorkerOutcome
where
    S: Service,
    M: FnOnce(&CoreContext) -> Result<S, String> + 'static,
{
    log::limit_causes();
    let failed = |error| {
        let _ = started.send(Err(error));
        Ok(())
    };
    // Before the executor allocates, so that its memory is near the CPU. Not by the executor: it asks sysfs
    // for the topology, which need not be mounted.
    if let Some(cpu) = setup.cpu
        && !core_affinity::set_for_current(core_affinity::CoreId { id: cpu })
    {
        return failed(StartError::Pin { cpu });
    }
    let builder = LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(PREEMPT_EVERY)
        .io_memory(EXECUTOR_IO_BYTES);
    let executor = match builder.make() {
        Ok(executor) => executor,
        Err(error) => return failed(executor_error(&error)),
    };
    // Kept outside the executor, for the sockets of a worker that is lost.
    let kept: Rc<OnceCell<Ring>> = Rc::default();
    let (ring_of, started) = (kept.clone(), started.clone());
    let serve = async move {
        let ring = match Ring::new(setup.ring.clone()) {
            Ok(ring) => ring,
            Err(error) => {
                let _ = started.send(Err(StartError::Ring(error)));
                return Ok(());
            }
        };
        let (descriptors, _) = sys::descriptor_limit();
        ring.set_files_max(setup.limits.files_per_worker(descriptors, setup.workers));
        setup.secrets.iter().for_each(|secret| ring.keep_back(secret));
        let context = CoreContext {
            ring: ring.clone(),
            worker: setup.index,
            drain: Drain::default(),
            process: setup.process.clone(),
            local: LocalValues::default(),
            meters: setup.meters.clone(),
        };
        match make(&context) {
            Ok(service) => {
                let _ = ring_of.set(ring);
                run(setup, context, service, build_plan, started).await
            }
            Err(error) => {
                let _ = started.send(Err(StartError::Service(error)));
                Ok(())
            }
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| executor.run(serve)));
    let outcome = outcome.unwrap_or_else(|panic| Err(log::panic_text(&*panic).to_owned()));
    if let Some(ring) = kept.get()
        && outcome.is_err()
    {
        ring.abandon();
    }
    outcome
}

/// glommio makes rings of its own, which the kernel refuses for the same reasons.
fn executor_error<T: fmt::Debug>(error: &GlommioError<T>) -> StartError {
    match error {
        GlommioError::IoError(io) => match io.raw_os_error() {
            Some(code) => {
                let io = std::io::Error::from_raw_os_error(code);
                StartError::Ring(SetupError::from_io("the executor's rings", io))
            }
            None => StartError::Executor(io.to_string()),
        },
        other => StartError::Executor(other.to_string()),
    }
}

async fn run<S: Service>(
    setup: WorkerSetup,
    core: CoreContext,
    service: S,
    build_plan: Option<BuildPlan<S>>,
    started: Started,
) -> WorkerOutcome {
    let ring = core.ring.clone();
    let lost: Rc<OnceCell<String>> = Rc::default();
    let descriptors = sys::descriptor_limit().0;
    let connections_max = setup.limits.connections_per_worker(descriptors, setup.workers);
    let worker = Rc::new(Worker {
        date: RefCell::new(DateLine::new(ring.unix_seconds())),
        ring: ring.clone(),
        service: RefCell::new(Rc::new(service)),
        limits: RefCell::new(Rc::new(CurrentLimits::new(setup.limits, core.drain.clone()))),
        counters: setup.counters,
        is_logged: Cell::new(setup.access.is_some()),
        access: RefCell::new(setup.access.map(Rc::new)),
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        open: Cell::new(0),
        connections_max: Cell::new(connections_max),
        handshakes: Cell::new(0),
        handshake_lane: Default::default(),
        accepting: Cell::new(0),
        accepted_at: Cell::new(None),
        drain: core.drain.clone(),
        former: RefCell::default(),
        cuts: Cell::new(0),
        meters: setup.meters,
    });
    let mut control = Control {
        worker: worker.clone(),
        core,
        build_plan,
        prepared: None,
        drain: None,
        stops: false,
        listeners: Vec::new(),
        workers: setup.workers,
        lost: lost.clone(),
    };
    setup.listeners.into_iter().for_each(|socket| control.listen(socket));
    control.hand_over_lines();
    spawn_vital(&ring, &lost, "obeys the supervisor", control.run(setup.mailbox));
    let _ = started.send(Ok(()));
    ring.drive().await;
    if let Some(log) = worker.access.take() {
        log.finish();
    }
    match lost.get() {
        Some(text) => Err(text.clone()),
        None => Ok(()),
    }
}

/// Spawns a task without which the worker does not serve: if it panics the worker ends, and is lost.
fn spawn_vital(
    ring: &Ring,
    lost: &Rc<OnceCell<String>>,
    what: &'static str,
    task: impl Future<Output = ()> + 'static,
) {
    let (stopped, lost) = (ring.clone(), lost.clone());
    ring.spawn(task, move |panic| {
        let _ = lost.set(format!("the task that {what} panicked: {}", log::panic_text(&*panic)));
        stopped.stop();
    });
}

/// Handles the supervisor's messages, and ends the worker: serve, then drain, then stop.
struct Control<S> {
    worker: Rc<Worker<S>>,
    core: CoreContext,
    build_plan: Option<BuildPlan<S>>,
    /// A prepared service and its version, until it is committed or abandoned.
    prepared: Option<(u64, S, Box<WorkerChange>)>,
    /// The drain, once it has begun. It ends with the last connection, or at its timeout.
    drain: Option<Pin<Box<dyn Future<Output = ()>>>>,
    stops: bool,
    /// Those that accept.
    listeners: Vec<Rc<WorkerListener>>,
    /// Workers in all.
    workers: usize,
    lost: Rc<OnceCell<String>>,
}

impl<S: Service> Control<S> {
    /// Accepts on a socket.
    fn listen(&mut self, ListeningSocket { listener: number, socket, tls }: ListeningSocket) {
        let listener = self.core.ring.accept_on(socket);
        let listener = WorkerListener { number, listener, tls: RefCell::new(tls), retired: Drain::default() };
        let listener = Rc::new(listener);
        self.set_user_timeout(&listener);
        self.listeners.push(listener.clone());
        self.worker.accepting.set(self.worker.accepting.get() + 1);
        let accepting = accept::run(self.worker.clone(), listener);
        spawn_vital(&self.core.ring, &self.lost, "accepts connections", accepting);
    }

    /// Above the own time limit: the kernel must not end a connection first.
    fn set_user_timeout(&self, of: &WorkerListener) {
        let user_timeout = self.worker.limits().stall_timeout.saturating_mul(2);
        if let Err(error) = of.listener.set_user_timeout(user_timeout) {
            let effect = "clients that receive nothing are disconnected after two minutes";
            log::line(format_args!("{effect}, whatever the stall timeout: {error}"));
        }
    }

    /// Hands over lines of the access log, if there is one.
    fn hand_over_lines(&self) {
        let Some(log) = self.worker.access.borrow().clone() else { return };
        let flush = exchange::flush(self.core.ring.clone(), log);
        spawn_vital(&self.core.ring, &self.lost, "hands over lines of the access log", flush);
    }

    /// Changes what changes beside the service.
    fn apply(&mut self, change: WorkerChange) {
        let WorkerChange { added, removed, tls, limits, access, secret: _ } = change;
        let worker = self.worker.clone();
        if let Some(limits) = limits {
            let descriptors = sys::descriptor_limit().0;
            worker.connections_max.set(limits.connections_per_worker(descriptors, self.workers));
            worker.limits.replace(Rc::new(CurrentLimits::new(limits, worker.drain.clone())));
            self.listeners.iter().for_each(|listener| self.set_user_timeout(listener));
        }
        if let Some(log) = access {
            worker.replace_log(log.map(Rc::new)).iter().for_each(|former| former.retire());
            self.hand_over_lines();
        }
        for (number, tls) in tls {
            let of = self.listeners.iter().find(|listener| listener.number == number);
            of.into_iter().for_each(|listener| drop(listener.tls.replace(tls.clone())));
        }
        let now = worker.ring.now();
        for retired in self.listeners.extract_if(.., |listener| removed.contains(&listener.number)) {
            retired.retired.begin(now);
        }
        // A worker that has begun to drain meanwhile accepts nothing more.
        if !worker.drain.has_begun() {
            added.into_iter().for_each(|socket| self.listen(socket));
        }
    }

    async fn run(mut self, mailbox: Mailbox<Message>) {
        let ring = self.worker.ring.clone();
        loop {
            let mut message = pin!(mailbox.receive(&ring));
            let next = poll_fn(|cx| {
                let over =
                    self.stops || self.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(cx).is_ready());
                if over { Poll::Ready(None) } else { message.as_mut().poll(cx).map(Some) }
            });
            match next.await {
                None => break,
                Some(Ok(Some(message))) => self.handle(message),
                // The supervisor has dropped its senders: the worker serves until the process ends.
                Some(Ok(None)) => match self.drain.take() {
                    None => return,
                    Some(drain) => {
                        drain.await;
                        break;
                    }
                },
                Some(Err(error)) => {
                    log::line(format_args!("a worker lost its mailbox and drains: {error}"));
                    self.enter(Phase::Drain);
                    if let Some(drain) = self.drain.take() {
                        drain.await;
                    }
                    break;
                }
            }
        }
        end(&self.worker).await;
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Phase(phase) => self.enter(phase),
            Message::Open(reply) => {
                // The supervisor may no longer wait for the reply.
                let _ = reply.send((self.core.worker, self.worker.open.get()));
            }
            Message::Prepare { version, plan, change, reply } => {
                self.abandon();
                change.secret.iter().for_each(|secret| self.core.ring.keep_back(secret));
                let Some(build) = self.build_plan else { return };
                let built = catch_unwind(AssertUnwindSafe(|| build(&plan, &self.core)))
                    .unwrap_or_else(|panic| Err(PlanErrors::panicked(log::panic_text(&*panic))));
                if built.is_err() {
                    self.worker.prune_meters();
                }
                let _ = reply.send(built.map(|service| self.prepared = Some((version, service, change))));
            }
            Message::Commit { version, gone, reply } => {
                if let Some((_, service, change)) = self.prepared.take_if(|(known, ..)| *known == version) {
                    self.apply(*change);
                    let after = self.worker.limits().reload_drain_timeout;
                    let counts = self.worker.replace_service(service, &gone, after);
                    if counts.draining > 0 {
                        cut_later(&self.worker, after);
                    }
                    let _ = reply.send(counts);
                }
            }
            Message::Abandon => self.abandon(),
        }
    }

    fn abandon(&mut self) {
        if let Some((_, service, _)) = self.prepared.take() {
            self.worker.discard(service);
            self.worker.prune_meters();
        }
    }

    fn enter(&mut self, phase: Phase) {
        if phase >= Phase::Drain && self.drain.is_none() {
            let worker = &self.worker;
            worker.drain.begin(worker.ring.now());
            worker.ring.hasten_sockets(worker.limits().drain_stall_timeout);
            self.drain = Some(Box::pin(drained(self.worker.clone())));
        }
        if phase == Phase::Stop {
            self.stops = true;
        }
    }
}

/// Cuts what is left on routes that were removed or changed, after this time.
fn cut_later<S: 'static>(worker: &Rc<Worker<S>>, after: Duration) {
    let (ring, worker) = (worker.ring.clone(), Rc::downgrade(worker));
    let clock = ring.clone();
    let cut = async move {
        clock.sleep(after).await;
        // Not held meanwhile: the worker may end before.
        let Some(worker) = worker.upgrade() else { return };
        let count = worker.cut_due();
        if count > 0 {
            log::line(format_args!(
                "cut {count} responses, uploads or tunnels on routes that a reload removed or changed, \
                 {after:?} after it (limits.reload_drain_timeout)"
            ));
        }
    };
    let on_panic = |panic: Box<dyn Any + Send>| {
        log::line(format_args!("what a reload removed is not cut: {}", log::panic_text(&*panic)));
    };
    ring.spawn(cut, on_panic);
}

/// Ready once no connection is open and none can come, or after the drain timeout.
async fn drained<S>(worker: Rc<Worker<S>>) {
    let mut deadline = pin!(worker.ring.sleep(worker.limits().drain_timeout));
    let mut tick = Box::pin(worker.ring.sleep(DRAIN_TICK));
    poll_fn(|cx| {
        while tick.as_mut().poll(cx).is_ready() {
            tick = Box::pin(worker.ring.sleep(DRAIN_TICK));
        }
        let is_done = worker.open.get() == 0 && worker.accepting.get() == 0;
        let over = is_done || deadline.as_mut().poll(cx).is_ready();
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Ends the connections that outlived the drain, by waking each with an error; then ends the driver.
async fn end<S>(worker: &Worker<S>) {
    worker.ring.fail_sockets();
    for _ in 0..TURNS_TO_CLOSE {
        if worker.open.get() == 0 {
            break;
        }
        worker.ring.next_turn().await;
    }
    worker.ring.stop();
}
