//! HTTP/2 (RFC 9113) as machines without I/O and without a clock: one core (frames, HPACK, flow control,
//! floods, streams) and two thin roles on it, [`server::Connection`] and [`client::Connection`]. `frame`,
//! `settings` and `hpack` are free of roles.
//!
//! ```text
//! bytes in ─► FrameReader ─► Connection ─► Head, Data, Trailers, Reset
//!                             │  ▲   │
//!                   credit,   │  │   └──► streams, windows, budgets
//!                   refusals  ▼  │
//! bytes out ◄──────────── heads, data, trailers
//! ```
//!
//! A request's head lands in the [`RequestHead`](super::message::RequestHead) that HTTP/1 fills too, and a
//! response's in the [`ResponseHead`](super::message::ResponseHead), so that layers above see no difference.
//! Requests are refused with the same status as in HTTP/1; what RFC 9113 calls malformed is reset. Every
//! queue has a named bound.

pub mod client;
mod connection;
mod error;
mod fields;
mod floods;
pub mod flow;
pub mod frame;
pub mod hpack;
mod kind;
mod limits;
mod priority;
mod reader;
mod receive;
mod request;
mod response;
mod send;
pub mod server;
pub mod settings;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

pub use connection::StreamKey;
pub use error::{ConnectionError, ErrorCode, FloodKind, MalformedHead, StreamError};
pub use limits::{Budgets, H2Limits};
pub use priority::Priority;
pub use reader::{FramePart, FramePayload, FrameReader};
pub use send::EndStream;
pub use server::{Connection, Consumed, Event, SendHead};
