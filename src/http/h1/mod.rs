//! HTTP/1.1 (RFC 9112), the server's side, as machines without I/O and without a clock: [`RequestDecoder`]
//! finds heads, [`BodyDecoder`] bodies, [`write_head`] and its kin write answers. The caller brings bytes,
//! buffers and limits, and decides what an error costs the connection.
//!
//! ```text
//! bytes in ─► RequestDecoder ─► RequestHead ─► framing ─► BodyDecoder ─► ranges of data, trailers
//!                  ▲                                          │
//!                  └───────────── the next request ◄──────────┘
//! ResponseHead ─► write_head ─► bytes out, then the body as BodyCoding says
//! ```
//!
//! Strict on purpose: whatever two readers could take in two ways is refused, since that is how requests are
//! smuggled past a proxy.

mod body;
mod chunked;
mod encode;
mod facts;
mod request;
mod scan;
#[cfg(test)]
mod tests;

pub use body::BodyDecoder;
pub use chunked::BodyStep;
pub use encode::{
    BodyCoding, BodyLength, CHUNK_END, CONTINUE, Connection, RequestContext, ResponseHead, Written,
    write_chunk_header, write_head, write_last_chunk,
};
pub use request::{HeadProgress, RequestDecoder};
