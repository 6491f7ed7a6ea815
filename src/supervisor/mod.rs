//! The process: binds, starts one worker per core, waits for signals, drains, reports.

mod certificates;
mod cores;
mod handle;
mod live;
mod renewals;
mod signals;
mod workers;

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;

use self::certificates::CertificateWatch;
pub use self::cores::{CoreChoice, CoreError, available, choose, parse_list, quota};
pub use self::handle::{Measured, ReloadCounts, ReloadOutcome, ServerHandle};
use self::live::{Live, LiveServer, LogChoice, PreparedChange, SettingsChange};
use self::renewals::{PlannedRenewals, RunningRenewals};
use self::signals::{Asked, SignalWatch};
use self::workers::{Crew, CrewOutcome, Keeper, Report, WorkerTemplate};
#[cfg(feature = "acme")]
use crate::acme::Acme;
use crate::net::tls::TlsServer;
use crate::net::{Address, BindError, reachable_addresses};
use crate::observe::access::{AccessLog, CoreLog, Destination, Format, LogWriter, OpenError};
use crate::observe::{Totals, log};
use crate::plan::{self, Listener, Plan, PlanDiff, PlanErrors, PlanService, Secret, SecretKind};
use crate::ring::{self, RingConfig, sys};
use crate::server::{
    self, BuildPlan, CoreContext, InProgress, Limits, Message, Phase, Shared, StartError, WorkerChange,
    WorkerSetup,
};
use crate::service::{ProcessValues, Service};

/// Descriptors of an idle server: the process's own, and each worker's (rings, events, listeners, the root),
/// with a margin for connections and files. With fewer the server would start and refuse every connection.
const DESCRIPTORS_MIN: u64 = 16;
const DESCRIPTORS_PER_WORKER_MIN: u64 = 16;

/// Most addresses of this machine that are printed at the start; one with containers has dozens.
const URLS_TOLD_MAX: usize = 4;

/// Time limit for workers to reply with their counters. A serving core replies within milliseconds.
const TOTALS_WITHIN: Duration = Duration::from_secs(1);

/// Time limit for workers to build the service of a plan: directories on slow disks, and closures of users.
const PREPARED_WITHIN: Duration = Duration::from_secs(10);

/// Time limit for workers to switch to the prepared service, which takes microseconds: a late core is blocked
/// by a handler.
const COMMITTED_WITHIN: Duration = Duration::from_secs(5);

/// After the drain's time limit, for a core to notice it. One that has not ended by then is blocked.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// For the keeper of the workers to report. It never waits for a core.
const REPORT_WITHIN: Duration = Duration::from_millis(200);

/// Time for the last lines on standard error.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(500);

/// A server to run: its addresses, cores and limits.
///
/// ```no_run
/// use quoit::service::{Request, Response};
/// use quoit::Server;
///
/// # fn main() -> Result<(), quoit::RunError> {
/// Server::new()
///     .listen("127.0.0.1:8080".parse().expect("an address"))
///     .run(|_core| async |_request: Request| Response::text("Hello, World!"))
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Server {
    addresses: Vec<Listener>,
    workers: Option<usize>,
    cpus: Option<Vec<usize>>,
    limits: Limits,
    ring: RingConfig,
    access: Option<(Destination, Option<Format>)>,
    renewals: PlannedRenewals,
    unix_mode: Option<u32>,
    quiet: bool,
    on_start: Option<OnStart>,
    plan_source: Option<PlanSource>,
    beside: Option<Beside>,
    measured: bool,
}

/// Called with the running server.
#[derive(Clone)]
struct Beside(Arc<BesideCallback>);

type BesideCallback = dyn Fn(ServerHandle) + Send + Sync;

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beside")
    }
}

/// Where a reload takes its plan from.
#[derive(Clone)]
struct PlanSource(Arc<ReadPlan>);

type ReadPlan = dyn Fn() -> Result<PlanUpdate, Vec<String>> + Send + Sync;

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

/// Called once a server has started.
#[derive(Clone)]
struct OnStart(Arc<StartCallback>);

type StartCallback = dyn Fn(&[Address]) + Send + Sync;

impl fmt::Debug for OnStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStart")
    }
}

/// Why a server could not start, or failed. A `main` that returns it prints cause and remedy: `Debug` writes
/// what `Display` does.
#[derive(Error)]
#[non_exhaustive]
pub enum RunError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The configured cores are not available.
    #[error(transparent)]
    Cores(#[from] CoreError),
    /// A worker could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The plan has errors.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// The limit on descriptors is too low for the workers alone.
    #[error(
        "the limit on file descriptors is {limit} and this many workers need {needed} before the first \
         connection; raise it with ulimit -n or LimitNOFILE=, or use fewer --workers"
    )]
    Descriptors {
        /// RLIMIT_NOFILE.
        limit: u64,
        /// The number that the workers need to serve connections.
        needed: u64,
    },
    /// The access log could not be opened.
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    /// Signal handling could not be set up, or descriptors ran out before the start.
    #[error("the system refused a basic resource at start: {0}")]
    System(#[source] std::io::Error),
    /// A worker was lost, and could not be started again.
    #[error("a worker ended unexpectedly: {0}")]
    WorkerLost(String),
    /// Workers did not end, because something blocks their cores. Their threads still run.
    #[error(
        "worker {} did not end in time: a handler blocks its core; blocking work belongs in Ring::blocking",
        list(.workers)
    )]
    Stuck {
        /// Numbers of the workers.
        workers: Vec<usize>,
    },
}

fn list(workers: &[usize]) -> String {
    let workers: Vec<String> = workers.iter().map(ToString::to_string).collect();
    workers.join(", ")
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a plan was not replaced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The server was started with its own service, which no plan can replace.
    #[error("the server was started without a plan; start it with Server::start_plan")]
    NoPlan,
    /// The server is draining or stopping.
    #[error("the server is ending")]
    Ending,
    /// An address could not be bound, or the access log could not be opened. Nothing was changed.
    #[error(transparent)]
    Prepare(Box<RunError>),
    /// The plan has errors. Nothing was changed.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// Not every worker prepared the plan in time. Nothing was changed.
    #[error("{prepared} of {workers} workers prepared the plan in time; it was given up on all of them")]
    NotPrepared {
        /// Workers that prepared it.
        prepared: usize,
        /// Workers in all.
        workers: usize,
    },
    /// The plan is in force, but not every worker confirmed it in time: one whose core is blocked by a
    /// handler switches as soon as that returns.
    #[error("the plan is in force, but {committed} of {workers} workers switched to it in time")]
    NotConfirmed {
        /// Workers that switched to it.
        committed: usize,
        /// Workers in all.
        workers: usize,
    },
}

impl Server {
    /// A server with default limits on 127.0.0.1:8080, one worker per core.
    pub fn new() -> Self {
        Self::default()
    }

    /// Listens on this address too. Without any, 127.0.0.1:8080.
    pub fn listen(mut self, address: Address) -> Self {
        self.addresses.push(Listener { address, tls: None });
        self
    }

    /// Listens on this address too, with TLS: HTTP/2 or HTTP/1.1, as negotiated by ALPN. The same `tls` may
    /// be used for several addresses.
    pub fn listen_tls(mut self, address: Address, tls: Arc<TlsServer>) -> Self {
        self.addresses.push(Listener { address, tls: Some(tls.into()) });
        self
    }

    /// Runs this many workers. Default: one per core that affinity and the cgroup's quota allow. Fewer
    /// workers than cores are not pinned, unless [`cpus`](Self::cpus) says where: other processes choose too.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Pins workers to these CPUs, in turn. Default: the allowed ones, if there is a worker for each.
    pub fn cpus(mut self, cpus: Vec<usize>) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the sizes of each worker's ring; for tests that exercise its bounds.
    pub fn ring(mut self, ring: RingConfig) -> Self {
        self.ring = ring;
        self
    }

    /// Writes a line for each exchange to `destination`. Without a `format`: coloured lines for a terminal,
    /// JSON for everything else. On SIGUSR1, or after a rename, the file is reopened. Default: no log.
    pub fn access_log(mut self, destination: Destination, format: Option<Format>) -> Self {
        self.access = Some((destination, format));
        self
    }

    /// Renews certificates while the server runs, beside its cores: the files of `acme` have to be among
    /// those of `tls`, which is reloaded after every renewal.
    #[cfg(feature = "acme")]
    pub fn renew(mut self, acme: Acme, tls: Arc<TlsServer>) -> Self {
        self.renewals.push(acme, tls);
        self
    }

    /// Gives the files of Unix sockets these permissions, such as 0o660. Default: what the umask leaves.
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix_mode = Some(mode);
        self
    }

    /// Measures requests by route and upstreams by name, for [`ServerHandle::measured`]: a few additions per
    /// request of a plan. Default: not.
    pub fn measured(mut self, measured: bool) -> Self {
        self.measured = measured;
        self
    }

    /// Prints nothing at start and stop.
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// Calls `callback` once the server listens, with its addresses and the ports that the kernel chose. For
    /// [`run`](Self::run), which does not return before the end. Long-running work belongs on another thread.
    pub fn on_start(mut self, callback: impl Fn(&[Address]) + Send + Sync + 'static) -> Self {
        self.on_start = Some(OnStart(Arc::new(callback)));
        self
    }

    /// Calls `callback` once the server serves, with a handle for other threads of the process. As with
    /// [`on_start`](Self::on_start), long-running work belongs on another thread.
    pub fn beside(mut self, callback: impl Fn(ServerHandle) + Send + Sync + 'static) -> Self {
        self.beside = Some(Beside(Arc::new(callback)));
        self
    }

    /// Takes the plan from here when a server of a [`Plan`] is reloaded, by SIGHUP or [`Running::reload`]; on
    /// an error, whose lines are reported, the plan in force stays. Called on a thread of its own. Default:
    /// the plan in force is built anew.
    pub fn reload_from(
        mut self,
        source: impl Fn() -> Result<PlanUpdate, Vec<String>> + Send + Sync + 'static,
    ) -> Self {
        self.plan_source = Some(PlanSource(Arc::new(source)));
        self
    }

    /// Serves until SIGTERM, SIGINT or SIGQUIT, then drains; a second signal stops at once. SIGUSR1 reopens
    /// the access log; SIGHUP does too, and reads certificates and what a plan names again. `make` builds
    /// each core's service on that core, also when a worker was lost by a panic and is started again.
    ///
    /// The process ends a second and a half after [`Limits::drain_timeout`] at the latest, or after the
    /// second signal, even if a handler blocks its core. Panics of a worker's thread are reported as lines; a
    /// hook set before has those of other threads.
    ///
    /// # Errors
    /// The cause and its remedy, before anything was served; or that a worker failed.
    pub fn run<S, M>(self, make: M) -> Result<(), RunError>
    where
        S: Service,
        M: Fn(&CoreContext) -> S + Send + Sync + Clone + 'static,
    {
        self.try_run(move |core| Ok::<_, Infallible>(make(core)))
    }

    /// As [`run`](Self::run), with a service whose construction can fail, such as a
    /// [`Router`](crate::service::Router) with conflicting routes. That is reported as
    /// [`StartError::Service`], before anything was served.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn try_run<S, E, M>(self, make: M) -> Result<(), RunError>
    where
        S: Service,
        E: fmt::Display,
        M: Fn(&CoreContext) -> Result<S, E> + Send + Sync + Clone + 'static,
    {
        self.run_with(|server, cores| server.start_on(cores, make, None))
    }

    /// Serves this plan until SIGTERM or SIGINT, as [`run`](Self::run) does. The plan's listeners, if any,
    /// replace those given to [`listen`](Self::listen).
    ///
    /// # Errors
    /// As [`run`](Self::run); every error of the plan.
    pub fn serve(self, plan: Plan) -> Result<(), RunError> {
        plan.check_beside(&self.secrets())?;
        self.run_with(|server, cores| server.start_plan_on(cores, plan))
    }

    fn run_with(
        self,
        start: impl FnOnce(Self, CoreChoice) -> Result<Running, RunError>,
    ) -> Result<(), RunError> {
        // Before any thread starts, so that every thread inherits the limit and no signal is lost.
        sys::raise_descriptor_limit();
        let cores = self.check()?;
        let signals = SignalWatch::start(self.limits.drain_timeout).map_err(RunError::System)?;
        let (on_start, beside) = (self.on_start.clone(), self.beside.clone());
        let running = start(self, cores)?;
        let events = running.events.clone();
        signals.listen(move |asked| {
            // Fails only when the server has ended.
            let _ = events.send(SupervisorEvent::Asked(asked));
        });
        if !running.quiet {
            announce(&running.urls(), &running.urls_for_others(), &running.cores);
        }
        if let Some(OnStart(callback)) = on_start {
            callback(&running.addresses);
        }
        if let Some(Beside(callback)) = beside {
            callback(running.handle());
        }
        running.wait()
    }

    /// Binds, starts the workers and returns: for programs and tests that stop the server themselves.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn start<S, M>(self, make: M) -> Result<Running, RunError>
    where
        S: Service,
        M: Fn(&CoreContext) -> S + Send + Sync + Clone + 'static,
    {
        self.try_start(move |core| Ok::<_, Infallible>(make(core)))
    }

    /// As [`start`](Self::start), with a service whose construction can fail.
    ///
    /// # Errors
    /// As [`try_run`](Self::try_run).
    pub fn try_start<S, E, M>(self, make: M) -> Result<Running, RunError>
    where
        S: Service,
        E: fmt::Display,
        M: Fn(&CoreContext) -> Result<S, E> + Send + Sync + Clone + 'static,
    {
        let cores = self.check()?;
        self.start_on(cores, make, None)
    }

    /// Binds, starts the workers with this plan and returns. The plan's listeners, if any, replace those
    /// given to [`listen`](Self::listen).
    ///
    /// # Errors
    /// As [`start`](Self::start); every error of the plan.
    pub fn start_plan(self, plan: Plan) -> Result<Running, RunError> {
        plan.check_beside(&self.secrets())?;
        let cores = self.check()?;
        self.start_plan_on(cores, plan)
    }

    fn start_plan_on(mut self, cores: CoreChoice, mut plan: Plan) -> Result<Running, RunError> {
        if plan.listeners.is_empty() {
            plan.listeners = self.listeners();
        }
        self.addresses = plan.listeners.clone();
        let (secrets, plan_source) = (self.secrets(), self.plan_source.clone());
        let served = Arc::new(Mutex::new(ServedPlan {
            plan: Arc::new(plan),
            versions: 0,
            reloads: ReloadCounts::default(),
        }));
        let for_workers = served.clone();
        // A worker that is started again serves the plan that is in force by then.
        let make = move |core: &CoreContext| {
            let plan = lock(&for_workers).plan.clone();
            plan.build(core)
        };
        let mut running = self.start_on(cores, make, Some(Plan::build as BuildPlan<PlanService>))?;
        (running.served, running.secrets, running.plan_source) = (Some(served), secrets, plan_source);
        Ok(running)
    }

    /// What no directory may serve, beside the secrets of a plan.
    fn secrets(&self) -> Vec<Secret> {
        let mut secrets = plan::keys(&self.addresses);
        if let Some((Destination::File(path), _)) = &self.access {
            secrets.push(Secret { kind: SecretKind::AccessLog, path: path.clone() });
        }
        secrets.extend(self.renewals.secrets());
        secrets
    }

    /// The addresses to listen on, unless the plan has listeners.
    fn listeners(&self) -> Vec<Listener> {
        if self.addresses.is_empty() {
            let address = Address::Inet(([127, 0, 0, 1], 8080).into());
            return vec![Listener { address, tls: None }];
        }
        self.addresses.clone()
    }

    /// Checks that the process has the resources that the workers need; returns where they run.
    fn check(&self) -> Result<CoreChoice, RunError> {
        log::start();
        let cores = choose(self.workers, self.cpus.as_deref()).map_err(RunError::Cores)?;
        let needed = DESCRIPTORS_MIN + DESCRIPTORS_PER_WORKER_MIN * cores.workers as u64;
        let (limit, _) = sys::descriptor_limit();
        if limit < needed {
            return Err(RunError::Descriptors { limit, needed });
        }
        ring::check().map_err(|error| RunError::Start(StartError::Ring(error)))?;
        Ok(cores)
    }

    fn start_on<S, E, M>(
        self,
        mut cores: CoreChoice,
        make: M,
        build_plan: Option<BuildPlan<S>>,
    ) -> Result<Running, RunError>
    where
        S: Service,
        E: fmt::Display,
        M: Fn(&CoreContext) -> Result<S, E> + Send + Sync + Clone + 'static,
    {
        let listeners = self.listeners();
        let limits = self.limits.clone();
        let mut live = Live::bind(&listeners, cores.workers, self.unix_mode, limits, self.quiet)?;
        let (addresses, tls) = (live.addresses(), live.tls());
        let (shared, mailboxes) = Shared::new(cores.workers).map_err(RunError::System)?;
        let shared = Arc::new(shared);
        let secrets = self.secrets().into_iter().map(|secret| secret.path).collect();
        let (log, access) = start_log(self.access.clone(), cores.workers)?;
        (live.access, live.log) = (self.access, log);
        let live = LiveServer::new(live);
        let process = ProcessValues::default();
        let template = WorkerTemplate {
            workers: cores.workers,
            cpus: cores.cpus.clone(),
            live: live.clone(),
            ring: self.ring.clone(),
            secrets,
            process: process.clone(),
            measured: self.measured,
        };
        let start = move |setup: WorkerSetup, ended: workers::WhenEnded| {
            let make = make.clone();
            let make = move |core: &CoreContext| make(core).map_err(|error| error.to_string());
            server::start(setup, make, build_plan, ended)
        };
        let mut keeper = Keeper::new(shared.clone(), template, Box::new(start));
        cores.limit(keeper.start_all(mailboxes, access).map_err(RunError::Start)?);
        // After the workers: the CA validates challenges as soon as they are requested.
        let beside =
            watch(&tls, self.quiet).and_then(|certificates| Ok((certificates, self.renewals.start()?)));
        let (certificates, renewals) = match beside {
            Ok(beside) => beside,
            Err(error) => {
                keeper.abandon();
                return Err(RunError::System(error));
            }
        };
        live.now().certificates = certificates;
        let (events, inbox) = mpsc::channel();
        let reports = events.clone();
        let report = move |report| {
            // Fails only when the server was dropped: it serves until the process ends.
            let _ = reports.send(SupervisorEvent::Report(report));
        };
        Ok(Running {
            served: None,
            plan_source: None,
            process,
            began: Instant::now(),
            secrets: Vec::new(),
            addresses,
            live,
            cores,
            shared,
            crew: keeper.keep(report).map_err(RunError::System)?,
            events,
            inbox: Mutex::new(inbox),
            reloads: None,
            drain_timeout: self.limits.drain_timeout,
            renewals,
            quiet: self.quiet,
        })
    }
}

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

/// The plan in force. Locked while it is replaced, so that a worker that is started again has the new one.
struct ServedPlan {
    /// With listeners.
    plan: Arc<Plan>,
    /// Number of plans prepared so far.
    versions: u64,
    reloads: ReloadCounts,
}

fn lock(served: &Mutex<ServedPlan>) -> MutexGuard<'_, ServedPlan> {
    served.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Takes the plan from its source, or the one in force, and builds it on every worker, so that the files
/// which it names are read again.
fn reload_plan(
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

/// Replaces the plan in force on every worker, and what changes with it, and returns the changes.
fn replace(
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
    let log = settings.access.as_ref().and_then(live::log_file);
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

/// Watches the certificates of all TLS listeners, each once.
fn watch(tls: &[Option<Arc<TlsServer>>], quiet: bool) -> std::io::Result<Option<CertificateWatch>> {
    let mut servers: Vec<Arc<TlsServer>> = Vec::new();
    for tls in tls.iter().flatten() {
        if !servers.iter().any(|known| Arc::ptr_eq(known, tls)) {
            servers.push(tls.clone());
        }
    }
    if servers.is_empty() { Ok(None) } else { CertificateWatch::start(servers, quiet).map(Some) }
}

/// Opens the log and starts its writer: its handle, and the core log of each worker.
fn start_log(access: LogChoice, workers: usize) -> Result<(Option<LogWriter>, Vec<CoreLog>), RunError> {
    let Some((destination, format)) = access else { return Ok((None, Vec::new())) };
    let log = AccessLog::open(&destination, format).map_err(RunError::AccessLog)?;
    let (writer, logs) = log.start(workers).map_err(RunError::System)?;
    Ok((Some(writer), logs))
}

/// Waits for the last lines, once every worker has ended, and counts lost lines.
fn finish_log(log: Option<LogWriter>, written: u64, totals: &mut Totals) {
    let written = written + log.map_or(0, LogWriter::finish);
    totals.lines_lost = totals.logged.saturating_sub(written);
}

fn announce(urls: &[String], urls_for_others: &[String], cores: &CoreChoice) {
    let plural = if cores.workers == 1 { "" } else { "s" };
    log::line(format_args!("serving on {}", urls.join(", ")));
    if !urls_for_others.is_empty() {
        let (told, rest) = urls_for_others.split_at(urls_for_others.len().min(URLS_TOLD_MAX));
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        log::line(format_args!("other machines reach it at {}{more}", told.join(", ")));
    }
    log::line(format_args!("{} worker{plural} on CPU {}; stop with Ctrl-C", cores.workers, cores.where_to()));
}
