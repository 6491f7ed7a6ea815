//! How the program ends: its exit codes, and failures that carry one. Prints nothing.

use std::fmt;
use std::process::ExitCode;

/// Exit codes of every command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Done, and nothing that was demanded is missed.
    Pass = 0,
    /// Head is worse than base, or an SLO was missed.
    Regressed = 1,
    /// The command line or a file it names is wrong.
    Usage = 2,
    /// The figures cannot be believed.
    Invalid = 3,
    /// Noise hides whether head is worse.
    Inconclusive = 4,
    /// The target did not start or answers with errors.
    Target = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended before its end: a cause and a remedy in one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// Ours to mend: flags or files.
    Usage(String),
    /// The generator or the machine spoiled the measurement.
    Invalid(String),
    /// The server did.
    Target(String),
    /// A signal ended it.
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Invalid(_) => Exit::Invalid,
            Self::Target(_) => Exit::Target,
            // What was measured until then decides nothing.
            Self::Interrupted => Exit::Inconclusive,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Invalid(text) | Self::Target(text) => f.write_str(text),
            Self::Interrupted => f.write_str("stopped by a signal before the end"),
        }
    }
}

impl std::error::Error for Failure {}
