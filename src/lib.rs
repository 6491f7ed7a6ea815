//! quoit: an io_uring, thread-per-core HTTP server for Linux.
//!
//! Folders are layers and imports point down only:
//!
//! ```text
//! cli → supervisor → server · acme → plan · exchange → handler → filter → service → net · observe → http · ring
//! ```
//!
//! The [`guide`] leads from the first answer to a server in production.

#[cfg(feature = "acme")]
pub mod acme;
mod exchange;
pub mod filter;
pub mod guide;
pub mod http;
pub mod net;
pub mod observe;
pub mod plan;
#[allow(unsafe_code, reason = "the one layer that talks to the kernel")]
pub mod ring;
pub mod server;
pub mod service;
pub mod supervisor;

pub use server::harness;
pub use supervisor::{LiveTotals, ReplaceError, RunError, Running, Server};
#[cfg(feature = "cli")]
pub mod cli;
pub mod handler;
#[cfg(feature = "tower")]
pub mod tower;

/// The README's program is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
