//! Listening sockets, and what changes on a worker beside its service.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::exchange::Limits;
use crate::net::tls::TlsServer;
use crate::observe::access::CoreLog;

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
