//! Why a server could not start or failed, and why a plan was not replaced.

use std::fmt;

use thiserror::Error;

use super::cores::CoreError;
use crate::net::BindError;
use crate::observe::access::OpenError;
use crate::plan::PlanErrors;
use crate::server::StartError;

/// Why a server could not start, or failed. A `main` that returns it prints cause and remedy: `Debug` writes
/// what `Display` does.
#[derive(Error)]
#[non_exhaustive]
pub enum RunError {
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The configured cores are not available.
    #[error(transparent)]
    Cores(#[from] CoreError),
    /// A worker could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The plan has errors.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// The limit on descriptors is too low for the workers alone.
    #[error(
        "the limit on file descriptors is {limit} and this many workers need {needed} before the first \
         connection; raise it with ulimit -n or LimitNOFILE=, or use fewer --workers"
    )]
    Descriptors {
        /// RLIMIT_NOFILE.
        limit: u64,
        /// The number that the workers need to serve connections.
        needed: u64,
    },
    /// The access log could not be opened.
    #[error(transparent)]
    AccessLog(#[from] OpenError),
    /// Signal handling could not be set up, or descriptors ran out before the start.
    #[error("the system refused a basic resource at start: {0}")]
    System(#[source] std::io::Error),
    /// A worker was lost, and could not be started again.
    #[error("a worker ended unexpectedly: {0}")]
    WorkerLost(String),
    /// Workers did not end, because something blocks their cores. Their threads still run.
    #[error(
        "worker {} did not end in time: a handler blocks its core; blocking work belongs in Ring::blocking",
        list(.workers)
    )]
    Stuck {
        /// Numbers of the workers.
        workers: Vec<usize>,
    },
}

fn list(workers: &[usize]) -> String {
    let workers: Vec<String> = workers.iter().map(ToString::to_string).collect();
    workers.join(", ")
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a plan was not replaced.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The server was started with its own service, which no plan can replace.
    #[error("the server was started without a plan; start it with Server::start_plan")]
    NoPlan,
    /// The server is draining or stopping.
    #[error("the server is ending")]
    Ending,
    /// An address could not be bound, or the access log could not be opened. Nothing was changed.
    #[error(transparent)]
    Prepare(Box<RunError>),
    /// The plan has errors. Nothing was changed.
    #[error(transparent)]
    Plan(#[from] PlanErrors),
    /// Not every worker prepared the plan in time. Nothing was changed.
    #[error("{prepared} of {workers} workers prepared the plan in time; it was given up on all of them")]
    NotPrepared {
        /// Workers that prepared it.
        prepared: usize,
        /// Workers in all.
        workers: usize,
    },
    /// The plan is in force, but not every worker confirmed it in time: one whose core is blocked by a
    /// handler switches as soon as that returns.
    #[error("the plan is in force, but {committed} of {workers} workers switched to it in time")]
    NotConfirmed {
        /// Workers that switched to it.
        committed: usize,
        /// Workers in all.
        workers: usize,
    },
}
