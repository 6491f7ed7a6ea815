//! quoit: an io_uring, thread-per-core HTTP server for Linux.
//!
//! Folders are layers and imports point down only:
//!
//! ```text
//! cli → supervisor → server → handler → service · net · observe → http · ring
//! ```

pub mod http;
#[allow(unsafe_code, reason = "the one layer that talks to the kernel")]
pub mod ring;
