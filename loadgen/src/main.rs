//! loadgen: an honest load generator for HTTP servers, and comparisons that a CI job can trust.
//!
//! ```text
//! main → commands → engine | report | stats → plan → result · histogram · exit
//! ```

mod commands;
mod engine;
mod exit;
#[allow(unreachable_pub, reason = "the seam of all parts, written as a library would be")]
mod histogram;
mod plan;
mod report;
#[allow(unreachable_pub, reason = "the seam of all parts, written as a library would be")]
mod result;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{bench, compare};

/// An honest load generator for HTTP servers, and comparisons that a CI job can trust.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make load and measure what becomes of it: closed loop, or open with -R
    Bench(Box<bench::BenchArgs>),
    /// Tell whether a new build is slower: blocks of both, judged with exact intervals
    Compare(Box<compare::CompareArgs>),
}

fn main() -> ExitCode {
    let ended = match Flags::parse().command {
        Command::Bench(args) => bench::run(&args),
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
