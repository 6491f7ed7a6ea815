//! `quoit serve [DIR]`: turns the flags into a plan, and serves it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::browser;
use super::directory::Directory;
use super::files_args::FilesArgs;
use super::limits_args::LimitsArgs;
use super::log_args::LogArgs;
use super::response_args::ResponseArgs;
use super::tls_args::{Https, TlsArgs};
use crate::config::{Config, Settings};
use crate::observe::log;
use crate::plan::{HandlerOptions, Plan, Site};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Directory to serve [default: the working directory; where there is nothing to serve, a page with the
    /// next steps]
    #[arg(env = "QUOIT_DIR")]
    dir: Option<PathBuf>,

    #[command(flatten)]
    workers: WorkerArgs,

    /// Print nothing at start and stop
    #[arg(long, env = "QUOIT_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,

    /// Open the default browser once the server is ready
    #[arg(long, env = "QUOIT_OPEN", value_parser = FalseyValueParser::new())]
    open: bool,

    /// Print the configuration file that does the same, for quoit run, and serve nothing
    #[arg(long, env = "QUOIT_PRINT_CONFIG", value_parser = FalseyValueParser::new())]
    print_config: bool,

    #[command(flatten, next_help_heading = "Files")]
    files: FilesArgs,

    #[command(flatten, next_help_heading = "Responses")]
    responses: ResponseArgs,

    #[command(flatten, next_help_heading = "TLS")]
    tls: TlsArgs,

    #[command(flatten, next_help_heading = "Certificates by ACME")]
    acme: AcmeArgs,

    #[command(flatten, next_help_heading = "Access log")]
    log: LogArgs,

    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitsArgs,
}

impl ServeArgs {
    /// Every mistake that can be found before anything is read or bound.
    fn check(&self, directory: &Directory) -> Vec<String> {
        let workers = self.workers.check(self.tls.redirect_from());
        let files = self.files.check(directory.path());
        let responses = self.responses.check(directory.path().is_some());
        [workers, files, responses, self.log.check()].concat()
    }
}

impl ServeArgs {
    fn into_plan(self, directory: Directory, https: &Https) -> Plan {
        let handler = match directory.into_path() {
            None => HandlerOptions::Welcome,
            Some(dir) => self.files.handler(dir),
        };
        // The limit on time is inside of the fields and pages of errors, which its 503 gets too.
        let filters = https.filters().iter().cloned().chain(self.responses.filters());
        let filters = filters.chain(self.limits.filters()).collect();
        let default_site = Site { filters, ..Site::of(handler) };
        Plan { listeners: https.listeners(&self.workers.listen), default_site, sites: Vec::new() }
    }
}

/// Prints every mistake, a line each.
fn refused(mistakes: &[String]) -> ExitCode {
    mistakes.iter().for_each(|mistake| log::line(format_args!("{mistake}")));
    ExitCode::FAILURE
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let directory = Directory::choose(args.dir.clone());
    let mistakes = args.check(&directory);
    if !mistakes.is_empty() {
        return refused(&mistakes);
    }
    if args.print_config {
        return print_config(args, directory);
    }
    let acme = match args.acme.open(args.tls.redirects()) {
        Ok(acme) => acme,
        Err(mistake) => return refused(&[mistake]),
    };
    let https = match args.tls.load(&args.workers.listen, acme) {
        Ok(https) => https,
        Err(mistakes) => return refused(&mistakes),
    };
    let scheme = if https.tls().is_some() { "https" } else { "http" };
    let remarks = directory.remarks(&args.files);
    let server = https.apply(args.workers.workers());
    let server = args.log.apply(server.quiet(args.quiet)).limits(args.limits.limits());
    let (quiet, open) = (args.quiet, args.open);
    let server = server.on_start(move |addresses| {
        if !quiet {
            remarks.iter().for_each(|remark| log::line(format_args!("{remark}")));
        }
        if open {
            browser::open(scheme, addresses);
        }
    });
    match server.serve(args.into_plan(directory, &https)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints the file that does the same.
fn print_config(args: ServeArgs, directory: Directory) -> ExitCode {
    let acme = match args.acme.options(args.tls.redirects()) {
        Ok(acme) => acme,
        Err(mistake) => return refused(&[mistake]),
    };
    let (https, options) = match args.tls.outline(&args.workers.listen, acme.as_ref()) {
        Ok(outline) => outline,
        Err(mistakes) => return refused(&mistakes),
    };
    let settings = Settings {
        workers: args.workers.workers,
        cpus: args.workers.cpu_list(),
        unix_mode: args.workers.unix_mode(),
        quiet: args.quiet,
        limits: args.limits.limits(),
        access_log: args.log.access_log(),
    };
    let tls = https.tls().cloned().zip(options);
    let tls: Vec<_> = tls.map(|(tls, options)| ("main".to_owned(), tls, options, acme)).into_iter().collect();
    match Config::write(&args.into_plan(directory, &https), &settings, &tls) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => refused(&[error.to_string()]),
    }
}
