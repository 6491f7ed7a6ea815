//! What the commands that serve by their flags have in common: the server, its TLS, and the file that does
//! the same. What is served is the command's own.

use std::process::ExitCode;

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::limits_args::LimitsArgs;
use super::log_args::LogArgs;
use super::tls_args::{Https, TlsArgs};
use crate::Server;
use crate::config::{Config, Settings};
use crate::observe::log;
use crate::plan::Plan;

/// The flags of a server, whatever it serves.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) workers: WorkerArgs,
    pub(super) quiet: bool,
    pub(super) tls: TlsArgs,
    pub(super) acme: AcmeArgs,
    pub(super) log: LogArgs,
    pub(super) limits: LimitsArgs,
}

impl Serving {
    /// Every mistake that can be found before anything is read or bound.
    pub(super) fn check(&self) -> Vec<String> {
        [self.workers.check(self.tls.redirect_from()), self.log.check()].concat()
    }

    /// What would be served, and the file that says it. Reads no certificate and touches no state of ACME.
    pub(super) fn as_config(
        &self,
        plan: impl FnOnce(&Self, &Https) -> Plan,
    ) -> Result<(Plan, Settings, String), Vec<String>> {
        let acme = self.acme.options(self.tls.redirects()).map_err(|mistake| vec![mistake])?;
        let (https, options) = self.tls.outline(&self.workers.listen, acme.as_ref())?;
        let settings = Settings {
            workers: self.workers.workers,
            cpus: self.workers.cpu_list(),
            unix_mode: self.workers.unix_mode(),
            quiet: self.quiet,
            limits: self.limits.limits(),
            access_log: self.log.access_log(),
            admin: None,
            metrics: None,
        };
        let tls = https.tls().cloned().zip(options);
        let tls: Vec<_> =
            tls.map(|(tls, options)| ("main".to_owned(), tls, options, acme)).into_iter().collect();
        let plan = plan(self, &https);
        let text = Config::write(&plan, &settings, &tls).map_err(|error| vec![error.to_string()])?;
        Ok((plan, settings, text))
    }

    /// Prints the file that does the same.
    pub(super) fn print_config(&self, plan: impl FnOnce(&Self, &Https) -> Plan) -> ExitCode {
        match self.as_config(plan) {
            Ok((_, _, text)) => {
                say_part!("{text}");
                ExitCode::SUCCESS
            }
            Err(mistakes) => refused(&mistakes),
        }
    }

    /// Serves until a signal. `ready` adds what the command does at the start.
    pub(super) fn serve(
        &self,
        plan: impl FnOnce(&Self, &Https) -> Plan,
        ready: impl FnOnce(Server, &Https) -> Server,
    ) -> ExitCode {
        let https = match self.open() {
            Ok(https) => https,
            Err(mistakes) => return refused(&mistakes),
        };
        let server = https.apply(self.workers.workers()).quiet(self.quiet);
        let server = self.log.apply(server).limits(self.limits.limits());
        match ready(server, &https).serve(plan(self, &https)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                log::error(&error);
                ExitCode::FAILURE
            }
        }
    }

    /// Reads certificates, and opens the state of ACME.
    fn open(&self) -> Result<Https, Vec<String>> {
        let acme = self.acme.open(self.tls.redirects()).map_err(|mistake| vec![mistake])?;
        self.tls.load(&self.workers.listen, acme)
    }
}

/// Prints every mistake, a line each.
pub(super) fn refused(mistakes: &[String]) -> ExitCode {
    mistakes.iter().for_each(|mistake| log::line(format_args!("{mistake}")));
    ExitCode::FAILURE
}
