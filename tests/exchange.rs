//! What an exchange can do beside request and response, over HTTP/1.1 and HTTP/2 alike: interim responses,
//! trailers both ways, both directions at once, tunnels, and limits that a route or a handler sets. Each
//! test runs the same routes through both protocols.

mod common;

#[path = "exchange/abuse.rs"]
mod abuse;
#[path = "exchange/bodies.rs"]
mod bodies;
#[path = "exchange/interim.rs"]
mod interim;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/peer.rs"]
mod peer;
#[path = "exchange/site.rs"]
mod site;
#[path = "exchange/tunnels.rs"]
mod tunnels;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;
