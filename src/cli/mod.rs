//! The command line: flags as typed, one module per command. Library code of the `quoit` binary; the
//! examples borrow [`WorkerArgs`].

mod args;
mod doctor;
mod serve;

use clap::{Parser, Subcommand};

pub use self::args::WorkerArgs;

/// A web server for Linux: one io_uring and one executor per core.
#[derive(Debug, Parser)]
#[command(name = "quoit", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory over HTTP/1.1.
    Serve(serve::ServeArgs),
    /// Tell what this machine offers and what each missing thing costs.
    Doctor,
}

/// Runs the command line of this process; the exit status.
pub fn main() -> std::process::ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Doctor => doctor::run(),
    }
}
