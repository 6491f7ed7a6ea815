//! `quoit run`: serves what a configuration file says, and follows its changes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use clap::builder::FalseyValueParser;

use super::config_args::ConfigArgs;
use super::watch;
use crate::config::{Config, Depth, Environment};
use crate::observe::log;
use crate::{PlanUpdate, Server};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Reload when the file, or one that it includes or names, has changed
    #[arg(long, env = "QUOIT_WATCH", value_parser = FalseyValueParser::new())]
    watch: bool,
}

pub(super) fn run(args: &RunArgs) -> ExitCode {
    let config = match args.config.load(Depth::Serve) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let plan = config.plan.clone();
    let source = Arc::new(PlanFile { path: args.config.config.clone(), served: Mutex::new(config) });
    let server = server(&source);
    let reloading = source.clone();
    let mut server = server.reload_from(move || reloading.read());
    if args.watch {
        let files = source.clone();
        server = server.on_start(move |_| {
            let files = files.clone();
            watch::start(move || files.files());
        });
    }
    match server.serve(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// The file, and what of it is served.
struct PlanFile {
    path: PathBuf,
    served: Mutex<Config>,
}

impl PlanFile {
    /// Reads the file again.
    ///
    /// # Errors
    /// A line for each mistake.
    fn read(self: &Arc<Self>) -> Result<PlanUpdate, Vec<String>> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let next = served.load_next(&self.path, &Environment::process(), Depth::Serve);
        let next = next.map_err(|error| error.lines())?;
        let changes = served.settings_changed(&next);
        if !changes.is_empty() {
            let list = changes.join(", ");
            return Err(vec![format!("{list}: this cannot be changed while the server runs; restart it")]);
        }
        let update = PlanUpdate::new(next.plan.clone(), served.changes(&next));
        let file = self.clone();
        Ok(update.when_served(move || *file.served.lock().unwrap_or_else(PoisonError::into_inner) = next))
    }

    /// The files whose changes matter.
    fn files(&self) -> Vec<PathBuf> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).files.clone()
    }
}

/// The server that the file asks for.
fn server(source: &PlanFile) -> Server {
    let config = source.served.lock().unwrap_or_else(PoisonError::into_inner);
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
