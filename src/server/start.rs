//! Starts and runs a worker: its thread, core, executor and ring; the supervisor's messages; serving,
//! draining and stopping.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};
use thiserror::Error;

use super::accept;
use super::setup::{ListeningSocket, WorkerSetup};
use super::shared::{Message, Phase, WorkerTotals};
use crate::exchange::{self, Drain, Worker};
use crate::http::date::DateLine;
use crate::observe::access::CoreLog;
use crate::observe::{Counters, Totals, log};
use crate::plan::{Plan, PlanErrors};
use crate::ring::{Mailbox, Ring, SetupError, sys};
use crate::service::{CoreContext, Service};

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
    /// The service could not be built.
    #[error("{0}")]
    Service(String),
}

/// Builds the service of a plan on its core.
pub type BuildPlan<S> = fn(&Plan, &CoreContext) -> Result<S, PlanErrors>;

/// Starts a worker on its own thread; `make` builds its service there. Returns once it serves.
/// With `build_plan` the service can be replaced by that of another plan.
///
/// # Errors
/// What the kernel refused, and the remedy.
pub fn start<S, M>(
    setup: WorkerSetup,
    make: M,
    build_plan: Option<BuildPlan<S>>,
) -> Result<ExecutorJoinHandle<Totals>, StartError>
where
    S: Service,
    M: FnOnce(&CoreContext) -> Result<S, String> + Send + 'static,
{
    let (started, starting) = mpsc::sync_channel(1);
    let handle = LocalExecutorBuilder::new(Placement::Fixed(setup.cpu))
        .name(&format!("quoit-{}", setup.index))
        .preempt_timer(PREEMPT_EVERY)
        .io_memory(EXECUTOR_IO_BYTES)
        .spawn(move || async move {
            match Ring::new(setup.ring.clone()) {
                Ok(ring) => {
                    let (descriptors, _) = sys::descriptor_limit();
                    ring.set_files_max(setup.limits.files_per_worker(descriptors, setup.workers));
                    let context = CoreContext { ring, worker: setup.index };
                    match make(&context) {
                        Ok(service) => run(setup, context, service, build_plan, started).await,
                        Err(error) => {
                            let _ = started.send(Err(StartError::Service(error)));
                            Totals::default()
                        }
                    }
                }
                Err(error) => {
                    let _ = started.send(Err(StartError::Ring(error)));
                    Totals::default()
                }
            }
        })
        .map_err(|error| executor_error(&error))?;
    match starting.recv() {
        Ok(Ok(())) => Ok(handle),
        Ok(Err(error)) => Err(error),
        Err(mpsc::RecvError) => Err(match handle.join() {
            Ok(_) => StartError::Executor("it ended at once".to_owned()),
            Err(error) => executor_error(&error),
        }),
    }
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
    started: mpsc::SyncSender<Result<(), StartError>>,
) -> Totals {
    let ring = core.ring.clone();
    let connections_max = setup.limits.connections_per_worker(sys::descriptor_limit().0, setup.workers);
    let worker = Rc::new(Worker {
        date: RefCell::new(DateLine::new(ring.unix_seconds())),
        ring: ring.clone(),
        service: RefCell::new(Rc::new(service)),
        limits: Rc::new(setup.limits),
        counters: Counters::default(),
        access: setup.access,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        open: Cell::new(0),
        connections_max,
        handshakes: Cell::new(0),
        drain: Drain::default(),
    });
    for ListeningSocket { socket, tls } in setup.listeners {
        let listener = ring.accept_on(socket);
        ring.spawn(accept::run(worker.clone(), listener, tls), |_| ());
    }
    let control =
        Control { worker: worker.clone(), core, build_plan, prepared: None, drain: None, stops: false };
    ring.spawn(control.run(setup.mailbox), |_| ());
    if worker.access.is_some() {
        ring.spawn(exchange::flush(worker.clone()), |_| ());
    }
    let _ = started.send(Ok(()));
    ring.drive().await;
    if let Some(log) = &worker.access {
        log.finish();
    }
    totals(&worker)
}

/// The worker's counters.
fn totals<S>(worker: &Worker<S>) -> Totals {
    let logged = worker.access.as_ref().map_or(0, CoreLog::recorded);
    Totals { logged, ..worker.counters.totals() }
}

/// Handles the supervisor's messages, and ends the worker: serve, then drain, then stop.
struct Control<S> {
    worker: Rc<Worker<S>>,
    core: CoreContext,
    build_plan: Option<BuildPlan<S>>,
    /// A prepared service and its version, until it is committed or abandoned.
    prepared: Option<(u64, S)>,
    /// The drain, once it has begun. It ends with the last connection, or at its timeout.
    drain: Option<Pin<Box<dyn Future<Output = ()>>>>,
    stops: bool,
}

impl<S: Service> Control<S> {
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
            Message::Totals(reply) => {
                let worker = &self.worker;
                // The supervisor may no longer wait for the reply.
                let _ = reply.send(WorkerTotals { totals: totals(worker), open: worker.open.get() });
            }
            Message::Prepare { version, plan, reply } => {
                self.abandon();
                let Some(build) = self.build_plan else { return };
                let built = catch_unwind(AssertUnwindSafe(|| build(&plan, &self.core)))
                    .unwrap_or_else(|panic| Err(PlanErrors::panicked(log::panic_text(&*panic))));
                let _ = reply.send(built.map(|service| self.prepared = Some((version, service))));
            }
            Message::Commit { version, reply } => {
                if let Some((_, service)) = self.prepared.take_if(|(known, _)| *known == version) {
                    self.worker.replace_service(service);
                    let _ = reply.send(());
                }
            }
            Message::Abandon => self.abandon(),
        }
    }

    fn abandon(&mut self) {
        self.worker.discard(self.prepared.take());
    }

    fn enter(&mut self, phase: Phase) {
        if phase >= Phase::Drain && self.drain.is_none() {
            self.worker.drain.begin();
            self.worker.ring.wake_readers();
            self.drain = Some(Box::pin(drained(self.worker.clone())));
        }
        if phase == Phase::Stop {
            self.stops = true;
        }
    }
}

/// Ready once no connection is open, or after the drain timeout.
async fn drained<S>(worker: Rc<Worker<S>>) {
    let mut deadline = pin!(worker.ring.sleep(worker.limits.drain_timeout));
    let mut tick = Box::pin(worker.ring.sleep(DRAIN_TICK));
    poll_fn(|cx| {
        while tick.as_mut().poll(cx).is_ready() {
            tick = Box::pin(worker.ring.sleep(DRAIN_TICK));
        }
        let over = worker.open.get() == 0 || deadline.as_mut().poll(cx).is_ready();
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
