//! `quoit serve [DIR]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::args::WorkerArgs;
use super::files_args::FilesArgs;
use crate::handler::welcome;
use crate::observe::log;
use crate::ring::Root;

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Directory to serve; without one, a page that tells how to go on
    dir: Option<PathBuf>,

    #[command(flatten)]
    workers: WorkerArgs,

    /// Print nothing at start and stop
    #[arg(long)]
    quiet: bool,

    #[command(flatten, next_help_heading = "Files")]
    files: FilesArgs,
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let server = args.workers.server().quiet(args.quiet);
    let result = match args.dir {
        None => server.run(|_| welcome),
        Some(dir) => {
            let site = args.files.site(dir);
            // Looked at here, where a mistake can still be told in one line; every worker opens its own.
            for dir in site.dirs() {
                if let Err(error) = Root::open(dir) {
                    log::line(format_args!("{}", explain(dir, &error)));
                    return ExitCode::FAILURE;
                }
            }
            server.try_run(move |core| site.open(&core.ring).map_err(|(dir, error)| explain(&dir, &error)))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::line(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
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
