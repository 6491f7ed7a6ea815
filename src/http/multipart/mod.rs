//! multipart/form-data (RFC 7578, RFC 2046 §5.1) as a state machine without I/O: pieces of a body in, heads
//! and data of its parts out. Stores no data: data is returned as a range of the input, so a part may have
//! any size, and a piece may end anywhere.
//!
//! ```text
//! body ─► Decoder::handle_bytes ─► Part(head) ─► Data ─► Data ─► PartEnd ─► Part(head) … ─► End
//! ```
//!
//! Strict like the rest: lines end with CRLF, a delimiter is alone on its line, and what two recipients could
//! parse differently is refused.

mod decoder;
mod disposition;
mod error;
#[cfg(test)]
mod tests;

pub use decoder::{DecodeStep, MultipartDecoder, MultipartEvent, MultipartLimits};
pub use disposition::PartHead;
pub use error::{MultipartError, MultipartErrorKind};

use crate::http::content_type::ContentType;

/// Longest boundary (RFC 2046 §5.1.1).
pub const BOUNDARY_BYTES_MAX: usize = 70;

/// The boundary in a Content-Type field, if it is `multipart/form-data` with a valid one.
///
/// # Errors
/// [`MultipartErrorKind::NotMultipart`] for another type, [`MultipartErrorKind::BoundaryMalformed`] for a
/// boundary that is missing, repeated, empty, over [`BOUNDARY_BYTES_MAX`], or has other characters than RFC
/// 2046 §5.1.1 allows.
pub fn boundary(content_type: &[u8]) -> Result<String, MultipartErrorKind> {
    let content_type = ContentType::parse(content_type).ok_or(MultipartErrorKind::NotMultipart)?;
    if !content_type.is("multipart", "form-data") {
        return Err(MultipartErrorKind::NotMultipart);
    }
    let boundary = content_type.parameter("boundary").ok_or(MultipartErrorKind::BoundaryMalformed)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && !boundary.ends_with(' ');
    if fits && boundary.bytes().all(allowed) {
        Ok(boundary)
    } else {
        Err(MultipartErrorKind::BoundaryMalformed)
    }
}
