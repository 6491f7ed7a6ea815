//! HTTP without I/O: bytes in, events and bytes out. Nothing in here opens a socket, reads a clock or depends
//! on its callers.

pub mod accept;
pub mod accept_encoding;
pub(crate) mod base64;
#[doc(hidden)] // What `handler::Files` sends for several ranges.
pub mod byteranges;
pub mod conditional;
pub mod content_type;
pub mod cookie;
pub mod date;
// The protocol machines, used by loadgen and the fuzz targets of this repository.
#[doc(hidden)]
pub mod h1;
#[doc(hidden)]
pub mod h2;
pub mod media_type;
pub mod message;
pub mod method;
pub mod multipart;
pub mod path;
pub mod percent;
pub mod range;
pub mod status;
pub mod target;

pub use self::h2::{Budgets, H2Limits};
