//! Reloads while there is work: what is on unchanged routes is never disturbed, what is on others ends in
//! time, and nothing of former configurations is left. Against the built program.
#![cfg(feature = "config")]

#[path = "common/mod.rs"]
mod common;
#[path = "proxy/lab.rs"]
#[allow(dead_code, reason = "shared with the tests of the proxy, which need all of it")]
mod lab;
#[path = "reload/retired.rs"]
mod retired;
#[path = "cli/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line, which need all of it")]
mod server;
#[path = "reload/site.rs"]
mod site;
#[path = "reload/undisturbed.rs"]
mod undisturbed;

use common as wait;
