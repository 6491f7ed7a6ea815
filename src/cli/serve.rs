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
use super::tls_args::TlsArgs;
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
    let acme = match args.acme.open(args.tls.redirects()) {
        Ok(acme) => acme,
        Err(mistake) => return refused(&[mistake]),
    };
    let https = match args.tls.load(&args.workers.listen, acme) {
        Ok(https) => https,
        Err(mistakes) => return refused(&mistakes),
    };
    let scheme = if https.tls().is_some() { "https" } else { "http" };
    let listeners = https.listeners(&args.workers.listen);
    let remarks = directory.remarks(&args.files);
    let handler = match directory.into_path() {
        None => HandlerOptions::Welcome,
        Some(dir) => args.files.handler(dir),
    };
    // The limit on time is inside of the fields and pages of errors, which its 503 gets too.
    let filters = https.filters().iter().cloned().chain(args.responses.filters());
    let filters = filters.chain(args.limits.filters()).collect();
    let default_site = Site { filters, ..Site::of(handler) };
    let plan = Plan { listeners, default_site, sites: Vec::new() };

    let server = https.apply(args.workers.workers());
    let server = args.log.apply(server.quiet(args.quiet)).limits(args.limits.limits());
    let server = server.on_start(move |addresses| {
        if !args.quiet {
            remarks.iter().for_each(|remark| log::line(format_args!("{remark}")));
        }
        if args.open {
            browser::open(scheme, addresses);
        }
    });
    match server.serve(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}
