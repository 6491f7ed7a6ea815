//! `quoit serve [DIR]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::acme_args::AcmeArgs;
use super::args::WorkerArgs;
use super::browser;
use super::files_args::FilesArgs;
use super::log_args::LogArgs;
use super::response_args::{Dress, ResponseArgs};
use super::tls_args::TlsArgs;
use crate::handler::welcome;
use crate::observe::log;
use crate::ring::Root;
use crate::server::CoreContext;
use crate::service::Service;
use crate::{RunError, Server};

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Directory to serve; without one, a page that tells how to go on
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
    let server = https.apply(args.workers.server_with(https.tls()));
    let mut server = args.log.apply(server.quiet(args.quiet));
    let dress = match args.responses.load(https) {
        Ok(dress) => dress,
        Err(error) => {
            log::line(format_args!("{error}"));
            return ExitCode::FAILURE;
        }
    };
    if args.open {
        server = server.on_start(move |addresses| browser::open(scheme, addresses));
    }
    let result = match args.dir {
        None => run_dressed(server, dress, |_| Ok(welcome)),
        Some(dir) => {
            let site = args.files.site(dir);
            // Looked at here, where a mistake can still be told in one line; every worker opens its own.
            for dir in site.dirs() {
                if let Err(error) = Root::open(dir) {
                    log::line(format_args!("{}", explain(dir, &error)));
                    return ExitCode::FAILURE;
                }
            }
            run_dressed(server, dress, move |core| {
                site.open(&core.ring).map_err(|(dir, error)| explain(&dir, &error))
            })
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Serves what `make` makes, with the filters of `dress` around it; without any, as it is.
fn run_dressed<S, M>(server: Server, dress: Dress, make: M) -> Result<(), RunError>
where
    S: Service,
    M: Fn(&CoreContext) -> Result<S, String> + Clone + Send + Sync + 'static,
{
    if dress.is_empty() {
        return server.try_run(make);
    }
    server.try_run(move |core| dress.around(core, make(core)?))
}

fn explain(dir: &Path, error: &std::io::Error) -> String {
    let dir = dir.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!(
                "cannot serve {dir}: there is no such directory; check the spelling, or make it with mkdir"
            )
        }
        std::io::ErrorKind::NotADirectory => {
            format!("cannot serve {dir}: it is a file; name the directory it is in")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!(
                "cannot serve {dir}: no permission; this user needs read and search permission (chmod o+rx)"
            )
        }
        _ => format!("cannot serve {dir}: {error}"),
    }
}
