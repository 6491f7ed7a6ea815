//! HTTP/1.1 through a socket: requests, responses, and whether the connection is kept. Knows the wire alone;
//! slow and broken peers are in `limits`, files in `files`.

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
