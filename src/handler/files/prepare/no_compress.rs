//! In place of the compressors, in a library without the feature `compress`. Compresses nothing: its callers
//! find [`Assets`](super::Assets) switched off.

use bytes::Bytes;

use crate::http::accept_encoding::Coding;

/// No forms.
pub(super) fn forms(_body: &[u8]) -> (u128, Vec<(Coding, Bytes)>) {
    (0, Vec::new())
}
