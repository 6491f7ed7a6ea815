//! `quoit serve [DIR]`: turns the flags into a plan, and serves it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::browser;
use super::files_args::FilesArgs;
use super::log_args::LogArgs;
use super::response_args::ResponseArgs;
use super::tls_args::TlsArgs;
use crate::observe::log;
use crate::plan::{HandlerOptions, Plan, Site};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Directory to serve; without one, a page with the next steps
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
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let acme = match args.acme.open(args.tls.redirects()) {
        Ok(acme) => acme,
        Err(mistake) => {
            log::line(format_args!("{mistake}"));
            return ExitCode::FAILURE;
        }
    };
    let https = match args.tls.load(&args.workers.listen, acme) {
        Ok(https) => https,
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| log::line(format_args!("{mistake}")));
            return ExitCode::FAILURE;
        }
    };
    let scheme = if https.tls().is_some() { "https" } else { "http" };
    let listeners = https.listeners(&args.workers.listen);
    let handler = match args.dir {
        None => HandlerOptions::Welcome,
        Some(dir) => args.files.handler(dir),
    };
    let filters = https.filters().iter().cloned().chain(args.responses.filters()).collect();
    let default_site = Site { filters, ..Site::of(handler) };
    let plan = Plan { listeners, default_site, sites: Vec::new() };

    let server = https.apply(args.workers.workers());
    let mut server = args.log.apply(server.quiet(args.quiet));
    if args.open {
        server = server.on_start(move |addresses| browser::open(scheme, addresses));
    }
    match server.serve(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}
