//! HTTP/1.1 through a socket: what a client sends, what it reads, and what the connection is good for
//! afterwards. Knows the wire alone; slow and broken peers are in `limits`, files in `files`.

mod common;

#[path = "http/connections.rs"]
mod connections;
#[path = "http/lab.rs"]
mod lab;
#[path = "http/refusals.rs"]
mod refusals;
#[path = "http/responses.rs"]
mod responses;
#[path = "http/uploads.rs"]
mod uploads;
