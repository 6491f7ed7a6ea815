//! `quoit diff OLD NEW`: what changes in effect from one configuration to another, route by route.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::config_args::mistaken;
use crate::config::{Config, Depth, Environment};

#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// The configuration that is served now
    old: PathBuf,

    /// The configuration that is to replace it
    new: PathBuf,
}

/// As `diff`: 0 without differences, 1 with some, 2 on trouble.
pub(super) fn run(args: &DiffArgs) -> ExitCode {
    let environment = Environment::process();
    let loaded = Config::load(&args.old, &environment, Depth::Structure).and_then(|old| {
        let new = old.load_next(&args.new, &environment, Depth::Structure)?;
        Ok(old.changes(&new))
    });
    match loaded {
        Ok(changes) if changes.is_empty() => {
            say!("no changes");
            ExitCode::SUCCESS
        }
        Ok(changes) => {
            changes.iter().for_each(|change| say!("{change}"));
            ExitCode::from(1)
        }
        Err(error) => {
            mistaken(&error);
            ExitCode::from(2)
        }
    }
}
