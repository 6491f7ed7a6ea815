//! Reloads while there is work: what is on unchanged routes is never disturbed, what is on others ends in
//! time, and nothing of former configurations is left. Against the built program.
#![cfg(feature = "config")]

#[path = "proxy_h2/certs.rs"]
mod certs;
#[path = "common/mod.rs"]
mod common;
#[path = "reload/generations.rs"]
mod generations;
#[path = "proxy/lab.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which need all of it")]
mod lab;
#[path = "reload/named.rs"]
mod named;
#[path = "reload/retired.rs"]
mod retired;
#[path = "proxy_h2/secure.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which need all of it")]
mod secure;
#[path = "cli/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which need all of it")]
mod server;
#[path = "reload/site.rs"]
mod site;
#[path = "reload/storms.rs"]
mod storms;
#[path = "reload/undisturbed.rs"]
mod undisturbed;

use common as wait;
