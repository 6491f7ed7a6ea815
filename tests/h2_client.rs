//! The client's role of HTTP/2 through a socket, without TLS, against servers of other makes: `nghttpd`,
//! `h2o` and the `h2` crate; and against this project's own. Knows the public machine and the wire's events,
//! and nothing of the servers' inside.

mod common;

#[path = "h2_client/crate_h2.rs"]
mod crate_h2;
#[path = "h2_client/driver.rs"]
mod driver;
#[path = "h2_client/h2o.rs"]
mod h2o;
#[path = "http/lab.rs"]
mod lab;
#[path = "h2_client/nghttpd.rs"]
mod nghttpd;
#[path = "h2_client/own.rs"]
mod own;
#[path = "h2_client/process.rs"]
mod process;
