//! `quoit serve [DIR]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::args::WorkerArgs;
use crate::handler::{Files, FilesOptions, welcome};
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
}

pub(super) fn run(args: ServeArgs) -> ExitCode {
    let server = args.workers.server().quiet(args.quiet);
    let result = match args.dir {
        None => server.run(|_| welcome),
        Some(dir) => {
            // Looked at here, where a mistake can still be told in one line; every worker opens its own.
            if let Err(error) = Root::open(&dir) {
                log::line(format_args!("{}", explain(&dir, &error)));
                return ExitCode::FAILURE;
            }
            // One for all workers: their clones share what is compressed.
            let options = FilesOptions::default();
            server.try_run(move |core| {
                Files::new(core.ring.clone(), &dir, options.clone()).map_err(|error| explain(&dir, &error))
            })
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
