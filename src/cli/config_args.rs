//! The flag that names the configuration file, and how its mistakes are printed.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Config, ConfigError, Depth, Environment};
use crate::observe::log;

/// The configuration file.
#[derive(Args, Clone, Debug)]
pub(super) struct ConfigArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "QUOIT_CONFIG", default_value = "quoit.toml")]
    pub(super) config: PathBuf,
}

impl ConfigArgs {
    /// Reads the file, or prints every mistake.
    pub(super) fn load(&self, depth: Depth) -> Result<Config, ExitCode> {
        Config::load(&self.config, &Environment::process(), depth).map_err(|error| mistaken(&error))
    }
}

/// Prints every mistake with its place.
pub(super) fn mistaken(error: &ConfigError) -> ExitCode {
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    match error {
        ConfigError::Unreadable { .. } => log::error(error),
        ConfigError::Mistakes(mistakes) => {
            // Whole excerpts, and not the lines of a log.
            log::flush(super::LAST_LINES_WITHIN);
            eprintln!("{}\n", error.render(is_coloured));
            let count = mistakes.count();
            let plural = if count == 1 { "" } else { "s" };
            log::line(format_args!("{count} mistake{plural} in the configuration"));
        }
    }
    ExitCode::FAILURE
}
