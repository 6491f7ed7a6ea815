//! The context in which services are built. Knows no server: the tests' harness makes one too.

use std::path::PathBuf;
use std::sync::Arc;

use super::drain::Drain;
use crate::ring::Ring;

/// The core that a service is built for.
pub struct CoreContext {
    /// The core's ring.
    pub ring: Ring,
    /// Number of the worker, from 0.
    pub worker: usize,
    /// Tells services that the worker is about to end.
    pub drain: Drain,
    /// Secret files and directories of the server, which no directory of a plan serves.
    pub secrets: Arc<[PathBuf]>,
}
