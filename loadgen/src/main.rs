//! loadgen: an honest load generator for HTTP servers, and comparisons that a CI job can trust.

mod commands;
mod histogram;
mod report;
mod result;

use std::process::ExitCode;

use clap::Parser;

/// An honest load generator for HTTP servers, and comparisons that a CI job can trust
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Merge(commands::merge::Args),
    Report(commands::report::Args),
}

/// A command line, a file or an option that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Merge(args) => commands::merge::run(&args),
        Command::Report(args) => commands::report::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadgen: {error}");
            ExitCode::from(USAGE)
        }
    }
}
