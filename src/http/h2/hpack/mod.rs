//! Header compression for HTTP/2 (RFC 7541): [`Decoder`] turns whole field blocks into fields, [`Encoder`]
//! field lines as HTTP/1 has them into blocks. Both keep the state of one connection's one direction, so
//! every block must pass through them, in the order of the wire. They know nothing of frames or streams, and
//! of fields only whether they may be compressed.
//!
//! ```text
//! block ─► Decoder ─► name, value ─► sink          lines ─► BlockWriter ─► block
//!             │ ▲                                               │ ▲
//!             ▼ │                                               ▼ │
//!            DynamicTable (as the peer's encoder)       DynamicTable, Lookup
//! ```
//!
//! Design decisions:
//!
//! - **The decoder's table always agrees with the peer's.** When a list is too large, or the sink breaks, the
//!   rest of the block is still decoded and dropped: a block of 16 KiB can name a 4 KiB field 16,000 times,
//!   at the cost of an index look-up each.
//! - **The encoder does not use Huffman codes.** They save a quarter of the bytes of a literal and cost more
//!   than copying it; what repeats is sent as an index anyway. CPU per request matters more here.
//! - **A line enters the encoder's table when it is seen for the second time,** so that values that never
//!   repeat (request ids, cookies) evict nothing, and connections of one request hold no memory.

mod decoder;
mod encoder;
mod error;
mod huffman;
mod integer;
mod lookup;
mod names;
mod static_table;
mod table;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Field, ListEnd};
pub use encoder::{BlockWriter, Encoder, Indexing};
pub use error::HpackError;

/// Size of both tables before SETTINGS change it, in bytes as RFC 7541 §4.1 counts them
/// (RFC 9113 §6.5.2).
pub const TABLE_BYTES_DEFAULT: u32 = 4096;

/// Overhead of an entry beside its bytes (RFC 7541 §4.1), and a field in a list (RFC 9113 §6.5.2).
pub const FIELD_OVERHEAD_BYTES: u32 = 32;
