//! The guide, from the first answer to a server in production. Documentation only: nothing here is compiled
//! but the examples, all of which are tests.
//!
//! 1. [`hello`]: a server in five lines, and how it runs
//! 2. [`routes`]: from a request to a function and its arguments
//! 3. [`state`]: what a core has for itself, and what all cores share
//! 4. [`blocking`]: databases, hashes, everything that would hold up a core
//! 5. [`background`]: tasks beside requests, and the notice that the server stops
//! 6. [`errors`]: one place that says what each means to a client
//! 7. [`filters`]: what happens around handlers
//! 8. [`streaming`]: bodies of any size, in both directions
//! 9. [`client`]: requests to other servers, from handlers
//! 10. [`files`]: directories and single files
//! 11. [`testing`]: whole applications without sockets
//! 12. [`axum`]: an application that exists moves over
//! 13. [`limits`]: what a client can meet, and where to change it
//! 14. [`tls`]: certificates, and what changes when they do
//! 15. [`tracing`]: a span for each request
//! 16. [`configuration`]: a file for sites, routes, upstreams, and how it is checked, tested and changed
//! 17. [`proxy`]: what servers behind a proxy, and clients in front of it, can rely on
//! 18. [`deployment`]: systemd, containers, proxies, logs, restarts
//!
//! The examples `api` (REST over SQLite, with a page), `upload` (files of any size to disk), `aggregate` (the
//! answers of two services as one) and `axum` in `examples/` are what the chapters lead to.

#[doc = include_str!("guide/hello.md")]
pub mod hello {}

#[doc = include_str!("guide/routes.md")]
pub mod routes {}

#[doc = include_str!("guide/state.md")]
pub mod state {}

#[doc = include_str!("guide/blocking.md")]
pub mod blocking {}

#[doc = include_str!("guide/background.md")]
pub mod background {}

#[doc = include_str!("guide/errors.md")]
pub mod errors {}

#[doc = include_str!("guide/filters.md")]
pub mod filters {}

#[doc = include_str!("guide/streaming.md")]
pub mod streaming {}

#[doc = include_str!("guide/client.md")]
pub mod client {}

#[doc = include_str!("guide/files.md")]
pub mod files {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/axum.md")]
pub mod axum {}

#[doc = include_str!("guide/limits.md")]
pub mod limits {}

#[doc = include_str!("guide/tls.md")]
pub mod tls {}

#[doc = include_str!("guide/tracing.md")]
pub mod tracing {}

#[doc = include_str!("guide/configuration.md")]
pub mod configuration {}

#[doc = include_str!("guide/proxy.md")]
pub mod proxy {}

#[doc = include_str!("guide/deployment.md")]
pub mod deployment {}
