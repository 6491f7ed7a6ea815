//! TLS as clients meet it: the built program serves curl, openssl and rustls over real sockets. How files are
//! checked is tested where they are read; this tests client authentication, selection and reloads.

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/edges.rs"]
mod edges;
#[path = "tls/lab.rs"]
mod lab;
#[path = "tls/presenting.rs"]
mod presenting;
#[path = "tls/reload.rs"]
mod reload;
#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "cli/server.rs"]
mod server;
#[path = "tls/slow.rs"]
mod slow;
#[path = "common/wait.rs"]
mod wait;
