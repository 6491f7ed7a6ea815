//! A worker's life: its thread, core, executor and ring; serving, draining, stopping.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use glommio::{ExecutorJoinHandle, GlommioError, LocalExecutorBuilder, Placement};

use super::accept;
use super::plan::{ListeningSocket, Plan};
use super::shared::{Phase, Shared};
use crate::exchange::{self, Drain, Worker};
use crate::http::date::DateLine;
use crate::observe::{Counters, Totals};
use crate::ring::{Ring, SetupError, sys};
use crate::service::Service;

/// glommio's preemption timer. Not used as such: the ring's driver says why, and what it does instead.
const PREEMPT_EVERY: Duration = Duration::from_secs(3600);

/// Bytes of registered buffers for glommio's own file reads, which nothing here uses: the least it takes. Its
/// default of 10 MiB would be resident and pinned on every core.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// Bytes of a large file that move per step. Half of a typical second-level cache, so that what was just
/// read is still there when it is sent.
const SCRATCH_BYTES: usize = 256 * 1024;

/// Turns of the ring that connections get to close once they were told to stop.
const TURNS_TO_CLOSE: u32 = 64;

/// What a service is made from, on its core.
pub struct CoreContext {
    /// The core's ring.
    pub ring: Ring,
    /// Number of the worker, from 0.
    pub worker: usize,
}

/// Why a worker could not start.
#[derive(Debug)]
pub enum StartError {
    /// The kernel refused the ring.
    Ring(SetupError),
    /// The executor could not be made.
    Executor(String),
    /// The service could not be built.
    Service(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => error.fmt(f),
            Self::Executor(error) => write!(f, "the executor did not start: {error}"),
            Self::Service(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for StartError {}

/// Starts a worker on its own thread; `make` builds its service there. Returns once it serves.
///
/// # Errors
/// What the kernel refused, and the remedy.
pub fn start<S, M>(plan: Plan, shared: Arc<Shared>, make: M) -> Result<ExecutorJoinHandle<Totals>, StartError>
where
    S: Service,
    M: FnOnce(&CoreContext) -> Result<S, String> + Send + 'static,
{
    let (started, starting) = mpsc::sync_channel(1);
    let handle = LocalExecutorBuilder::new(Placement::Fixed(plan.cpu))
        .name(&format!("quoit-{}", plan.index))
        .preempt_timer(PREEMPT_EVERY)
        .io_memory(EXECUTOR_IO_BYTES)
        .spawn(move || async move {
            match Ring::new(plan.ring.clone()) {
                Ok(ring) => {
                    let context = CoreContext { ring, worker: plan.index };
                    match make(&context) {
                        Ok(service) => run(plan, shared, context.ring, service, started).await,
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

/// glommio makes rings of its own, which meet the same refusals.
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
    plan: Plan,
    shared: Arc<Shared>,
    ring: Ring,
    service: S,
    started: mpsc::SyncSender<Result<(), StartError>>,
) -> Totals {
    let connections_max = plan.limits.connections_per_worker(sys::descriptor_limit().0, plan.workers);
    let worker = Rc::new(Worker {
        date: RefCell::new(DateLine::new(ring.unix_seconds())),
        ring: ring.clone(),
        service: RefCell::new(Rc::new(service)),
        limits: Rc::new(plan.limits),
        counters: Counters::default(),
        access: plan.access,
        scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
        open: Cell::new(0),
        connections_max,
        handshakes: Cell::new(0),
        drain: Drain::default(),
    });
    for ListeningSocket { socket, tls } in plan.listeners {
        let listener = ring.accept_on(socket);
        ring.spawn(accept::run(worker.clone(), listener, tls), |_| ());
    }
    ring.spawn(follow_phase(worker.clone(), shared, plan.index), |_| ());
    if worker.access.is_some() {
        ring.spawn(exchange::flush(worker.clone()), |_| ());
    }
    let _ = started.send(Ok(()));
    ring.drive().await;
    let mut totals = worker.counters.totals();
    if let Some(log) = &worker.access {
        log.finish();
        totals.logged = log.recorded();
    }
    totals
}

/// Follows the supervisor: serve, then drain, then stop.
async fn follow_phase<S: Service>(worker: Rc<Worker<S>>, shared: Arc<Shared>, index: usize) {
    let changed = async |from: Phase| {
        while shared.phase() == from {
            if worker.ring.readable(shared.event(index)).await.is_err() {
                return;
            }
            shared.clear_event(index);
        }
    };
    changed(Phase::Serve).await;
    worker.drain.begin();
    worker.ring.wake_readers();
    let mut stop = std::pin::pin!(changed(Phase::Drain));
    let mut deadline = std::pin::pin!(worker.ring.sleep(worker.limits.drain_timeout));
    let mut tick = Box::pin(worker.ring.sleep(Duration::from_millis(20)));
    poll_fn(|cx| {
        while tick.as_mut().poll(cx).is_ready() {
            tick = Box::pin(worker.ring.sleep(Duration::from_millis(20)));
        }
        let over = worker.open.get() == 0
            || stop.as_mut().poll(cx).is_ready()
            || deadline.as_mut().poll(cx).is_ready();
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    // What outlived the drain ends now. Each connection is woken with an error and closes.
    worker.ring.fail_sockets();
    for _ in 0..TURNS_TO_CLOSE {
        if worker.open.get() == 0 {
            break;
        }
        worker.ring.next_turn().await;
    }
    worker.ring.stop();
}
