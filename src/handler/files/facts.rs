//! The metadata of a representation in a response: type, coding, validators, and their field lines. Does no
//! I/O.

use std::rc::Rc;

use super::policy::NamePolicy;
use crate::http::accept_encoding::Coding;
use crate::http::conditional::FileTag;
use crate::http::date::write_imf_fixdate;
use crate::ring::Metadata;

/// The metadata of one representation of a file.
#[derive(Clone)]
pub(super) struct RepresentationFacts {
    pub(super) tag: FileTag,
    pub(super) len: u64,
    /// Unix seconds, for Last-Modified.
    pub(super) modified: i64,
    pub(super) policy: Rc<NamePolicy>,
    pub(super) coding: Coding,
    /// Whether other requests for the same path are answered with another coding.
    pub(super) varies: bool,
}

impl RepresentationFacts {
    /// Of the file itself.
    pub(super) fn original(metadata: &Metadata, policy: Rc<NamePolicy>, varies: bool) -> Self {
        Self {
            tag: FileTag::new(metadata.modified_s, metadata.modified_ns, metadata.len),
            len: metadata.len,
            modified: metadata.modified_s,
            policy,
            coding: Coding::Identity,
            varies,
        }
    }

    /// Of a sibling: its bytes, and so its validators, are its own.
    pub(super) fn sibling(metadata: &Metadata, policy: Rc<NamePolicy>, coding: Coding) -> Self {
        let facts = Self::original(metadata, policy, true);
        Self { tag: facts.tag.with_suffix(coding.extension()), coding, ..facts }
    }

    /// Of a prepared form: the hash of the original content is its tag.
    pub(super) fn prepared(&self, hash: u128, coding: Coding, len: u64) -> Self {
        let tag = FileTag::of_content(hash).with_suffix(coding.extension());
        Self { tag, len, coding, varies: true, policy: self.policy.clone(), ..*self }
    }

    /// The field lines of a 200.
    pub(super) fn fields(&self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(256);
        line(&mut lines, "Content-Type", self.policy.content_type.as_bytes());
        self.write_common(&mut lines);
        lines.extend_from_slice(self.policy.links.as_deref().unwrap_or_default());
        lines
    }

    /// The field lines of a 200 except Content-Type.
    pub(super) fn write_common(&self, lines: &mut Vec<u8>) {
        if self.coding != Coding::Identity {
            line(lines, "Content-Encoding", self.coding.token().as_bytes());
        }
        self.write_validators(lines);
        line(lines, "Accept-Ranges", b"bytes");
        if self.policy.is_attachment {
            line(lines, "Content-Disposition", b"attachment");
        }
    }

    /// The field lines that a 304 repeats (RFC 9110 §15.4.5).
    pub(super) fn write_validators(&self, lines: &mut Vec<u8>) {
        line(lines, "ETag", self.tag.as_bytes());
        line(lines, "Last-Modified", &write_imf_fixdate(self.modified));
        if self.varies {
            line(lines, "Vary", b"Accept-Encoding");
        }
        if let Some(value) = &self.policy.cache_control {
            line(lines, "Cache-Control", value.as_bytes());
        }
    }
}

/// Appends a field line whose parts are known to be valid.
pub(super) fn line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}
