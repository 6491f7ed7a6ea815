//! What to serve and where, decided before any worker starts and never changed.

use std::os::fd::OwnedFd;

use super::limits::Limits;
use crate::observe::access::CoreLog;
use crate::ring::RingConfig;

/// The plan of one worker.
pub struct Plan {
    /// Number of the worker, from 0.
    pub index: usize,
    /// Workers in all.
    pub workers: usize,
    /// The CPU it is pinned to.
    pub cpu: usize,
    /// Its listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// The limits.
    pub limits: Limits,
    /// Sizes of its ring.
    pub ring: RingConfig,
    /// Its end of the access log, if there is one.
    pub access: Option<CoreLog>,
}
