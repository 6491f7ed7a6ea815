//! HTTP/1.1 (RFC 9112), both roles, as state machines without I/O and without a clock. On the server side
//! [`RequestDecoder`] decodes heads and [`write_head`] encodes responses; on the client side
//! [`write_request_head`] and [`ResponseDecoder`] are their counterparts. [`BodyDecoder`] decodes the bodies
//! of both. The caller supplies bytes, buffers and limits, and decides how an error affects the connection.
//!
//! ```text
//! bytes in ─► RequestDecoder ─► RequestHead ─► framing ─► BodyDecoder ─► ranges of data, trailers
//!                  ▲                                          │
//!                  └───────────── the next request ◄──────────┘
//! OutgoingResponse ─► write_head ─► bytes out, then the body as BodyCoding says
//! ```
//!
//! On the client side the directions are reversed, and interim responses precede the final one.
//!
//! Strict on purpose: whatever two recipients could parse differently is refused, because such differences
//! allow request and response smuggling.

mod body;
mod chunked;
mod encode;
mod encode_request;
mod facts;
mod request;
mod response;
mod salvage;
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
pub(crate) use encode_request::reserved_field;
pub use encode_request::{
    ConnectionOptions, OutgoingRequest, RequestWriteError, WrittenRequest, write_request_head,
};
pub use request::{HeadProgress, RequestDecoder};
pub use response::{RequestFacts, ResponseDecoder, ResponseProgress};
