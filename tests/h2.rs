//! HTTP/2 through a socket, without TLS: every error that RFC 9113 names gets its error code, floods do not
//! affect other clients, and whatever is served over HTTP/1.1 is served here too. Knows the wire alone: its
//! frames are written by hand (`wire`), and the `h2` crate is a second client (`oracle`).

mod common;

#[path = "h2/drain.rs"]
mod drain;
#[path = "h2/exchanges.rs"]
mod exchanges;
#[path = "h2/floods.rs"]
mod floods;
#[path = "h2/frames.rs"]
mod frames;
#[path = "http/lab.rs"]
mod lab;
#[path = "h2/oracle.rs"]
mod oracle;
#[allow(dead_code, reason = "shared with the tests of exchanges")]
#[path = "h2/peer.rs"]
mod peer;
#[path = "h2/requests.rs"]
mod requests;
#[path = "h2/time.rs"]
mod time;
#[path = "h2/windows.rs"]
mod windows;
#[path = "h2/wire.rs"]
mod wire;
