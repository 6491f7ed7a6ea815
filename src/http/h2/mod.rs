//! HTTP/2 (RFC 9113) as machines without I/O and without a clock.

pub mod hpack;
