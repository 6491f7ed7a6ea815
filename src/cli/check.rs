//! `quoit check`: whether a configuration can be served, and what it would serve.

use std::process::ExitCode;

use clap::Args;

use super::config_args::ConfigArgs;
use crate::config::Depth;

#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Say nothing if there is no mistake
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(args: &CheckArgs) -> ExitCode {
    match args.config.load(Depth::Check) {
        Err(code) => code,
        Ok(config) => {
            if !args.quiet {
                say!("{}", config.shown);
            }
            ExitCode::SUCCESS
        }
    }
}
