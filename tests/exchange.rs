//! Exchanges beyond request and response, over HTTP/1.1 and HTTP/2: interim responses, trailers in both
//! directions, full duplex, tunnels, and limits of routes and handlers. Each test runs the same routes over
//! both protocols.

mod common;

#[path = "exchange/abuse.rs"]
mod abuse;
#[path = "exchange/bodies.rs"]
mod bodies;
#[path = "exchange/departures.rs"]
mod departures;
#[path = "exchange/drains.rs"]
mod drains;
#[path = "exchange/interim.rs"]
mod interim;
#[path = "exchange/panics.rs"]
mod panics;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/peer.rs"]
mod peer;
#[path = "exchange/refusals.rs"]
mod refusals;
#[path = "exchange/site.rs"]
mod site;
#[path = "exchange/tunnels.rs"]
mod tunnels;
#[path = "exchange/voice.rs"]
mod voice;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;
