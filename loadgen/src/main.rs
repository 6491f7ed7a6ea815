//! loadgen: an honest load generator for HTTP servers, and comparisons that a CI job can trust.
//!
//! ```text
//! main → commands → engine | report | stats → plan → result · histogram · exit
//! ```

mod commands;
mod engine;
mod exit;
mod histogram;
mod plan;
mod report;
mod result;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use commands::{bench, capacity, compare, merge, report as render, selftest, usage};
use exit::{Exit, Failure};

/// An honest load generator for HTTP servers, and comparisons that a CI job can trust
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make load and measure what becomes of it: closed loop, or open with -R
    Bench(Box<bench::BenchArgs>),
    /// Find the highest rate at which a running server meets its demands
    Capacity(Box<capacity::CapacityArgs>),
    /// Tell whether a new build is slower: blocks of both, judged with exact intervals
    Compare(Box<compare::CompareArgs>),
    Merge(merge::Args),
    Report(render::Args),
    Selftest(selftest::Args),
}

fn main() -> ExitCode {
    let passed = |()| Exit::Pass;
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => match usage::one_line(&error) {
            Some(line) => return fail(&Failure::Usage(line)),
            None => error.exit(),
        },
    };
    let ended = match flags.command {
        Command::Bench(args) => bench::run(&args),
        Command::Capacity(args) => capacity::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Merge(args) => merge::run(&args).map(passed).map_err(Failure::Usage),
        Command::Report(args) => render::run(&args).map(passed).map_err(Failure::Usage),
        Command::Selftest(args) => selftest::run(&args),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("loadgen: {failure}");
    failure.exit().into()
}
