//! What one worker is started with: its number, its CPU, its listening sockets. Decided before any worker
//! starts and never changed; what requests are answered with is the service's business.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::shared::Message;
use crate::exchange::Limits;
use crate::net::tls::TlsServer;
use crate::observe::access::CoreLog;
use crate::ring::{Mailbox, RingConfig};

/// A listening socket, and what is spoken on it.
pub struct ListeningSocket {
    /// The socket.
    pub socket: OwnedFd,
    /// What clients are presented; plain HTTP without.
    pub tls: Option<Arc<TlsServer>>,
}

/// What a worker is started with.
pub struct WorkerSetup {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Workers in all.
    pub workers: usize,
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Its listening sockets.
    pub listeners: Vec<ListeningSocket>,
    /// Where the supervisor's messages arrive.
    pub mailbox: Mailbox<Message>,
    /// The limits.
    pub limits: Limits,
    /// Sizes of its ring.
    pub ring: RingConfig,
    /// Its end of the access log, if there is one.
    pub access: Option<CoreLog>,
}
