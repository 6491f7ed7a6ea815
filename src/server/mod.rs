//! One core's server: accept, read requests, call the service, write responses, drain.
//!
//! ```text
//! supervisor ── Plan ──► worker (one per core)
//!                          ├─ accept    listeners, capacity, running out of descriptors
//!                          ├─ tls       handshakes
//!                          ├─ h1        one task per connection
//!                          │    ├─ wire      input, output and request body of one connection
//!                          │    └─ respond   heads and bodies onto the wire
//!                          └─ h2        one task per connection, any number of exchanges in it
//! ```
//!
//! What crosses cores is in `shared`, and nowhere else.

mod accept;
mod close;
mod h1;
mod h2;
pub mod harness;
mod plan;
mod shared;
mod start;
mod tls;

pub use self::plan::{ListeningSocket, Plan};
pub use self::shared::{Phase, Shared};
pub use self::start::{CoreContext, StartError, start};
pub use crate::exchange::Limits;
