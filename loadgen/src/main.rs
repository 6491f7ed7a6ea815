//! loadgen: an honest load generator for HTTP servers, and comparisons that a CI job can trust.

mod commands;
mod exit;
mod histogram;
mod result;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::compare;

/// An honest load generator for HTTP servers, and comparisons that a CI job can trust.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell whether a new build is slower: blocks of both, judged with exact intervals
    Compare(Box<compare::CompareArgs>),
}

fn main() -> ExitCode {
    let ended = match Flags::parse().command {
        Command::Compare(args) => compare::run(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("loadgen: {failure}");
            failure.exit().into()
        }
    }
}
