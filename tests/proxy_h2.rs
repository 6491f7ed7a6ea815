//! The reverse proxy in front of endpoints that speak TLS and HTTP/2, over sockets.

mod common;

#[path = "proxy_h2/certs.rs"]
mod certs;
#[path = "proxy_h2/frames.rs"]
mod frames;
#[path = "proxy_h2/grpc.rs"]
mod grpc;
#[allow(dead_code, reason = "shared with the tests of the proxy, which use more of it")]
#[path = "proxy/lab.rs"]
mod lab;
#[path = "proxy_h2/other.rs"]
mod other;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/peer.rs"]
mod peer;
#[path = "proxy_h2/secure.rs"]
mod secure;
#[path = "proxy_h2/streams.rs"]
mod streams;
#[path = "proxy_h2/tls.rs"]
mod tls;
#[path = "proxy_h2/tunnels.rs"]
mod tunnels;
#[allow(dead_code, reason = "shared with the tests of HTTP/2, which use more of it")]
#[path = "h2/wire.rs"]
mod wire;
