//! A server to run: its options, and its start.

use std::convert::Infallible;
use std::fmt;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::certificates::watch;
use super::cores::{CoreChoice, choose};
use super::error::RunError;
use super::handle::ServerHandle;
use super::live::{Live, LiveServer, start_log};
use super::reload::{PlanSource, PlanUpdate, ReloadCounts, ServedPlan, lock};
use super::renewals::PlannedRenewals;
use super::signals::SignalWatch;
use super::workers::{Keeper, WhenEnded, WorkerTemplate};
use super::{Running, SupervisorEvent};
#[cfg(feature = "acme")]
use crate::acme::Acme;
use crate::net::Address;
use crate::net::tls::TlsServer;
use crate::observe::access::{Destination, Format};
use crate::observe::log;
use crate::plan::{self, Listener, Plan, PlanService, Secret, SecretKind};
use crate::ring::{self, RingConfig, sys};
use crate::server::{self, BuildPlan, CoreContext, Limits, Shared, StartError, WorkerSetup};
use crate::service::{ProcessValues, Service};

/// Descriptors of an idle server: the process's own, and each worker's (rings, events, listeners, the root),
/// with a margin for connections and files. With fewer the server would start and refuse every connection.
const DESCRIPTORS_MIN: u64 = 16;
const DESCRIPTORS_PER_WORKER_MIN: u64 = 16;

/// Most addresses of this machine that are printed at the start; one with containers has dozens.
const URLS_TOLD_MAX: usize = 4;

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

/// Called once a server has started.
#[derive(Clone)]
struct OnStart(Arc<StartCallback>);

type StartCallback = dyn Fn(&[Address]) + Send + Sync;

impl fmt::Debug for OnStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnStart")
    }
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
        let start = move |setup: WorkerSetup, ended: WhenEnded| {
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
