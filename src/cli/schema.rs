//! `quoit schema`: the JSON schema of configuration files, for editors.

use std::process::ExitCode;

use crate::config::Config;

pub(super) fn run() -> ExitCode {
    say!("{}", Config::schema());
    ExitCode::SUCCESS
}
