//! HTTP/1.1 (RFC 9112), both sides, as machines without I/O and without a clock. On the server's side
//! [`RequestDecoder`] finds heads and [`write_head`] writes answers; on the client's side
//! [`write_request_head`] and [`ResponseDecoder`] are their counterparts. [`BodyDecoder`] reads the bodies of
//! both. The caller brings bytes, buffers and limits, and decides what an error costs the connection.
//!
//! ```text
//! bytes in ─► RequestDecoder ─► RequestHead ─► framing ─► BodyDecoder ─► ranges of data, trailers
//!                  ▲                                          │
//!                  └───────────── the next request ◄──────────┘
//! OutgoingResponse ─► write_head ─► bytes out, then the body as BodyCoding says
//! ```
//!
//! The client's side is the same with the arrows turned round, and with interim responses before the one
//! that counts.
//!
//! Strict on purpose: whatever two readers could take in two ways is refused, since that is how requests are
//! smuggled past a proxy, and how responses get to another client than theirs.

mod body;
mod chunked;
mod encode;
mod encode_request;
mod facts;
mod request;
mod response;
mod scan;
mod scan_response;
mod straddling;
#[cfg(test)]
mod tests;

pub use body::BodyDecoder;
pub use chunked::BodyStep;
pub use encode::{
    BodyCoding, BodyLength, CHUNK_END, CONTINUE, OutgoingResponse, Persistence, RequestContext, WrittenHead,
    write_chunk_header, write_head, write_last_chunk,
};
pub use encode_request::{
    ConnectionOptions, OutgoingRequest, RequestWriteError, WrittenRequest, write_request_head,
};
pub use request::{HeadProgress, RequestDecoder};
pub use response::{RequestFacts, ResponseDecoder, ResponseProgress};
