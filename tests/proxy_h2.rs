//! The reverse proxy in front of endpoints that speak TLS and HTTP/2, over sockets.

mod common;

#[path = "proxy_h2/certs.rs"]
mod certs;
#[allow(dead_code, reason = "shared with the tests of the proxy, which use more of it")]
#[path = "proxy/lab.rs"]
mod lab;
#[path = "proxy_h2/secure.rs"]
mod secure;
#[path = "proxy_h2/tls.rs"]
mod tls;
