//! Replaces the compressors in a library without the feature `compress`. Not called, because
//! [`Assets`](super::Assets) is then off.

use bytes::Bytes;

use crate::http::accept_encoding::Coding;

/// No forms.
pub(super) fn forms(_body: &[u8]) -> Vec<(Coding, Bytes)> {
    Vec::new()
}
