//! The configuration of one worker: its number, its CPU, its listening sockets. Decided before any worker
//! starts and never changed. Knows nothing of the service.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use super::shared::Message;
use crate::exchange::Limits;
use crate::net::tls::TlsServer;
use crate::observe::Counters;
use crate::observe::access::CoreLog;
use crate::observe::meters::CoreMeters;
use crate::ring::{Mailbox, RingConfig};
use crate::service::ProcessValues;

/// A listening socket, with or without TLS.
#[derive(Debug)]
pub struct ListeningSocket {
    /// Number of its listener, the same on every worker.
    pub listener: u64,
    /// The socket.
    pub socket: OwnedFd,
    /// The TLS configuration; `None` for plain HTTP.
    pub tls: Option<Arc<TlsServer>>,
}

/// What changes on a worker beside its service, when it switches to the next one.
#[derive(Debug, Default)]
pub struct WorkerChange {
    /// Sockets that it accepts on from then on.
    pub added: Vec<ListeningSocket>,
    /// Listeners that accept nothing more.
    pub removed: Vec<u64>,
    /// Listeners whose next connections have this TLS, or none.
    pub tls: Vec<(u64, Option<Arc<TlsServer>>)>,
    /// The limits of connections that begin from then on.
    pub limits: Option<Limits>,
    /// The access log from then on; `Some(None)` for none any more.
    pub access: Option<Option<CoreLog>>,
    /// A file that no handler may serve: the log's.
    pub secret: Option<PathBuf>,
}

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
    /// What is measured of its routes and upstreams, if anybody reads it.
    pub meters: Option<Arc<CoreMeters>>,
    /// Its end of the access log, if there is one.
    pub access: Option<CoreLog>,
}
