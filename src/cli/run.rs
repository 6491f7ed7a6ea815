//! `quoit run`: serves what a configuration file says, and follows its changes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use clap::Args;
use clap::builder::FalseyValueParser;
use signal_hook::consts::SIGHUP;
use signal_hook::low_level::raise;

use super::admin::socket;
use super::config_args::ConfigArgs;
use super::watch::{self, Reading};
use crate::config::{Config, ConfigError, Depth, Environment};
use crate::observe::log;
use crate::{PlanUpdate, Running, Server};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Reload when the file, or one that it includes or names, has changed
    #[arg(long, env = "QUOIT_WATCH", value_parser = FalseyValueParser::new())]
    watch: bool,
}

pub(super) fn run(args: &RunArgs) -> ExitCode {
    // Until the server catches it, SIGHUP would end the process; and the file may be read by then.
    let is_early = Arc::new(AtomicBool::new(false));
    if let Err(error) = signal_hook::flag::register(SIGHUP, is_early.clone()) {
        log::line(format_args!("SIGHUP ends this process until it serves: {error}"));
    }
    let began = SystemTime::now();
    let config = match args.config.load(Depth::Serve) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let plan = config.plan.clone();
    let tried = Mutex::new(Reading { began, files: config.files.clone() });
    let source = Arc::new(PlanFile { path: args.config.config.clone(), served: Mutex::new(config), tried });
    let server = server(&source);
    let reloading = source.clone();
    let mut server = server.reload_from(move || reloading.read());
    let (files, is_watched) = (source.clone(), args.watch);
    server = server.on_start(move |_| {
        if is_early.load(Ordering::Relaxed) {
            let _ = raise(SIGHUP);
        }
        if is_watched {
            let files = files.clone();
            watch::start(move || files.reading());
        }
    });
    let beside = Arc::new(Mutex::new(Vec::new()));
    let (admin, metrics, is_quiet) = {
        let settings = &lock(&source.served).settings;
        (settings.admin.clone(), settings.metrics.clone(), settings.quiet)
    };
    if admin.is_some() || metrics.is_some() {
        let beside = beside.clone();
        server = server.measured(true).beside(move |handle| {
            let admin = admin.iter().map(|path| socket::start(path, handle.clone()));
            let metrics = metrics.iter().map(|address| socket::start_metrics(address, handle.clone()));
            for (what, started) in
                admin.map(|one| ("administrator's socket", one)).chain(metrics.map(|one| ("metrics", one)))
            {
                match started {
                    Ok(running) => {
                        if what == "metrics" && !is_quiet {
                            log::line(format_args!("metrics at {}/metrics", running.urls().join(", ")));
                        }
                        lock(&beside).push(running);
                    }
                    Err(error) => log::line(format_args!("there is no listener for the {what}: {error}")),
                }
            }
        });
    }
    let outcome = server.serve(plan);
    let running = std::mem::take(&mut *lock(&beside));
    for error in running.into_iter().filter_map(|one: Running| one.stop().err()) {
        log::error(&error);
    }
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file, and what of it is served.
struct PlanFile {
    path: PathBuf,
    served: Mutex<Config>,
    /// What was read last, served or refused.
    tried: Mutex<Reading>,
}

impl PlanFile {
    /// Reads the file again.
    ///
    /// # Errors
    /// A line for each mistake.
    fn read(self: &Arc<Self>) -> Result<PlanUpdate, Vec<String>> {
        let served = lock(&self.served);
        let began = SystemTime::now();
        let next = served.load_next(&self.path, &Environment::process(), Depth::Serve);
        let files = match &next {
            Ok(next) => next.files.clone(),
            Err(ConfigError::Mistakes(mistakes)) => mistakes.files().to_vec(),
            Err(ConfigError::Unreadable { path, .. }) => vec![path.clone()],
        };
        *lock(&self.tried) = Reading { began, files };
        let next = next.map_err(|error| error.lines())?;
        let changes = served.settings_fixed(&next);
        if !changes.is_empty() {
            let list = changes.join(", ");
            return Err(vec![format!("{list}: this cannot be changed while the server runs; restart it")]);
        }
        let mut update = PlanUpdate::new(next.plan.clone(), served.changes(&next));
        let (old, new) = (&served.settings, &next.settings);
        if old.limits != new.limits {
            update = update.limits(new.limits.clone());
        }
        if old.access_log != new.access_log {
            update = update.access_log(new.access_log.clone());
        }
        let file = self.clone();
        Ok(update.when_served(move || *lock(&file.served) = next))
    }

    /// The files whose changes matter: also those of a configuration that was refused, because its remedy may
    /// be in one that only it names.
    fn reading(&self) -> Reading {
        let served = lock(&self.served).files.clone();
        let Reading { began, mut files } = lock(&self.tried).clone();
        files.extend(served);
        files.sort();
        files.dedup();
        Reading { began, files }
    }
}

/// The server that the file asks for.
fn server(source: &PlanFile) -> Server {
    let config = lock(&source.served);
    let settings = &config.settings;
    let mut server = Server::new().limits(settings.limits.clone()).quiet(settings.quiet);
    if let Some(workers) = settings.workers {
        server = server.workers(workers);
    }
    if let Some(cpus) = &settings.cpus {
        server = server.cpus(cpus.clone());
    }
    if let Some(mode) = settings.unix_mode {
        server = server.unix_mode(mode);
    }
    if let Some((destination, format)) = &settings.access_log {
        server = server.access_log(destination.clone(), *format);
    }
    config.renewals().fold(server, |server, (acme, tls)| server.renew(acme, tls))
}
