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
//! What is refused is refused as HTTP/1 refuses it, or, where RFC 9113 calls it malformed, reset. Every queue
//! is bounded by a limit that has a name.

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
pub use error::{ConnectionError, ErrorCode, HeadMisdeed, Nuisance, StreamError};
pub use limits::{Budgets, H2Limits};
pub use priority::Priority;
pub use reader::{FrameReader, Payload, Piece};
pub use send::End;
pub use server::{Connection, Event, SendHead, Step};
