//! The configuration of one worker: its number, its CPU, its listening sockets. Decided before any worker
//! starts and never changed. Knows nothing of the service.

use std::path::PathBuf;
use std::sync::Arc;

use super::change::ListeningSocket;
use super::shared::Message;
use crate::exchange::Limits;
use crate::observe::Counters;
use crate::observe::access::CoreLog;
use crate::observe::meters::CoreMeters;
use crate::ring::{Mailbox, RingConfig};
use crate::service::ProcessValues;

/// The configuration of a worker.
pub struct WorkerSetup {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Workers in all.
    pub workers: usize,
    /// The CPU it is pinned to; `None` to run on every CPU of the process.
    pub cpu: Option<usize>,
    /// Its listening sockets.
    pub listeners: Vec<ListeningSocket>,
    /// Where the supervisor's messages arrive.
    pub mailbox: Mailbox<Message>,
    /// The limits.
    pub limits: Limits,
    /// Secret files and directories, which no handler serves.
    pub secrets: Arc<[PathBuf]>,
    /// What the services of all workers share.
    pub process: ProcessValues,
    /// Sizes of its ring.
    pub ring: RingConfig,
    /// Its counters, which outlive it.
    pub counters: Arc<Counters>,
    /// What is measured of its routes and upstreams, if metrics are on.
    pub meters: Option<Arc<CoreMeters>>,
    /// Its end of the access log, if there is one.
    pub access: Option<CoreLog>,
}
