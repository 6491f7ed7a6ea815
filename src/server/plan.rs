//! What to serve and where, decided before any worker starts and never changed.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::exchange::Limits;
use crate::net::tls::TlsServer;
use crate::observe::access::CoreLog;
use crate::ring::RingConfig;

/// A listening socket, and what is spoken on it.
pub struct ListeningSocket {
    /// The socket.
    pub socket: OwnedFd,
    /// What clients are presented; plain HTTP without.
    pub tls: Option<Arc<TlsServer>>,
}

/// The plan of one worker.
pub struct Plan {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Workers in all.
    pub workers: usize,
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Its listening sockets.
    pub listeners: Vec<ListeningSocket>,
    /// The limits.
    pub limits: Limits,
    /// Sizes of its ring.
    pub ring: RingConfig,
    /// Its end of the access log, if there is one.
    pub access: Option<CoreLog>,
}
