//! quoit: an io_uring, thread-per-core HTTP server for Linux.
//!
//! [`Server`] binds addresses and runs a [`Service`](service::Service) on every core, each with its own ring,
//! executor and connections. Services are made on their core, so that handlers and their state need not be
//! `Send` and take no locks. The [`guide`] leads from the first response to a server in production.
//!
//! # The public interface
//!
//! * [`Server`], [`Running`], [`Limits`], [`CoreContext`]: where to listen, on which cores,
//!   within which limits.
//! * [`service`]: requests, responses, routes, extractors, problem documents.
//! * [`filter`], [`handler`]: what most servers want around their routes, and files.
//! * [`http`]: the grammar of HTTP without I/O: methods, status codes, cookies, ranges, conditions.
//! * [`net`]: addresses and TLS. [`ring`]: what handlers may do that waits: files, timers, blocking calls.
//! * [`plan`]: what is served as a value: built, compared, explained, and replaced while it is served.
//! * [`client`]: requests to other servers, for handlers.
//! * [`upstream`]: groups of servers that requests are forwarded to, and how one is chosen.
//! * [`observe`]: the access log, counters, lines for the operator.
//! * [`harness`]: requests to a service without a network, for tests.
//! * With their features: [`acme`], [`config`], a plan from a file, [`tower`], and [`cli`], the flags of the
//!   `quoit` command.
//!
//! # Features
//!
//! `cli` is the default and switches on all but `tower` and `tracing`. A library user sets
//! `default-features = false` and chooses: `acme` (certificates from a CA), `auth` (`filter::BasicAuth`),
//! `compress` (`filter::Compress` and compressed files), `config` (a plan from a file), `self-signed` (a
//! certificate for development), `tower` (tower services and axum), `tracing` (spans and events).
//!
//! # Inside
//!
//! Folders are layers and imports point down only:
//!
//! ```text
//! cli → supervisor → config → server · acme → plan · exchange → client · handler · tower → filter · upstream
//!     → service
//!     → net · observe → http · ring
//! ```

// Documentation of a build without them has no page to link to.
#![cfg_attr(
    not(all(feature = "acme", feature = "cli", feature = "config", feature = "tower")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(feature = "acme")]
pub mod acme;
#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
#[cfg(feature = "config")]
pub mod config;
mod exchange;
pub mod filter;
pub mod guide;
pub mod handler;
pub mod http;
pub mod net;
pub mod observe;
pub mod plan;
#[allow(unsafe_code, reason = "the one layer that talks to the kernel")]
pub mod ring;
pub mod service;
#[cfg(feature = "tower")]
pub mod tower;
pub mod upstream;

pub use server::harness;
pub use server::{CoreContext, Limits, StartError};
pub use supervisor::{
    CoreError, LiveTotals, Measured, PlanUpdate, ReloadCounts, ReloadOutcome, ReplaceError, RunError,
    Running, Server, ServerHandle,
};

// Workers and what starts them. What users need of them is above; tests of this repository name the rest.
#[doc(hidden)]
pub mod server;
#[doc(hidden)]
pub mod supervisor;

/// The README's program is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
