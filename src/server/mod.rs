//! One core's server: accepts, reads requests, calls the service, writes responses, drains.
//!
//! ```text
//! supervisor ── WorkerSetup, Message ──► worker (one per core)
//!                          ├─ accept    listeners, capacity, running out of descriptors
//!                          ├─ tls       handshakes
//!                          ├─ departure clients that leave while they wait
//!                          ├─ h1        one task per connection
//!                          │    ├─ wire      input, output and request body of one connection
//!                          │    └─ respond   heads and bodies onto the wire
//!                          └─ h2        one task per connection, any number of exchanges in it
//! ```
//!
//! Only `shared` holds what crosses cores.

mod accept;
mod change;
mod close;
mod departure;
mod h1;
mod h2;
pub mod harness;
mod setup;
mod shared;
mod start;
mod tls;

pub use self::change::{ListeningSocket, WorkerChange};
pub use self::setup::WorkerSetup;
pub use self::shared::{Message, Phase, Shared};
pub use self::start::{BuildPlan, StartError, WorkerOutcome, start};
pub use crate::exchange::{InProgress, Limits};
pub use crate::service::CoreContext;
