//! The reverse proxy over sockets: scripted endpoints on one side, which record what they get, and raw
//! clients on the other.

mod common;

#[path = "proxy/bodies.rs"]
mod bodies;
#[path = "proxy/fields.rs"]
mod fields;
#[path = "proxy/interim.rs"]
mod interim;
#[path = "proxy/lab.rs"]
mod lab;
#[path = "proxy/leaving.rs"]
mod leaving;
#[path = "proxy/names.rs"]
mod names;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/peer.rs"]
mod peer;
#[path = "proxy/plans.rs"]
mod plans;
#[path = "proxy/pools.rs"]
mod pools;
#[path = "proxy/responses.rs"]
mod responses;
#[path = "proxy/retries.rs"]
mod retries;
#[path = "proxy/tunnels.rs"]
mod tunnels;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;
