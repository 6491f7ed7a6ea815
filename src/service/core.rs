//! The context in which services are built. Knows no server: the tests' harness makes one too.

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
}
