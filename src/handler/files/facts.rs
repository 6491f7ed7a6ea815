//! The metadata of a representation in a response: type, coding, validators, and their field lines. Does no
//! I/O.

use std::rc::Rc;

use super::content_hash;
use super::policy::NamePolicy;
use crate::http::accept_encoding::Coding;
use crate::http::conditional::FileTag;
use crate::http::date::write_imf_fixdate;
use crate::ring::Metadata;

/// The second day of 1980 in Unix seconds. Times before it are those of stores and archives that give every
/// file the same (1 s after the epoch, the first day of a zip file): as Last-Modified they would let caches
/// keep a file for years, which estimate its lifetime by its age (RFC 9111 §4.2.2).
const TELLING_SINCE: i64 = 315_619_200;

/// The metadata of one representation of a file.
#[derive(Clone)]
pub(super) struct RepresentationFacts {
    pub(super) tag: FileTag,
    pub(super) len: u64,
    /// Unix seconds, for Last-Modified; `None` where the time says nothing.
    pub(super) modified: Option<i64>,
    /// Whether the date identifies the content: the file has not changed in any way after it.
    pub(super) is_date_exact: bool,
    pub(super) policy: Rc<NamePolicy>,
    pub(super) coding: Coding,
    /// Whether other requests for the same path are answered with another coding.
    pub(super) varies: bool,
}

impl RepresentationFacts {
    /// Of the file itself; with its content, if that is in memory.
    pub(super) fn original(
        metadata: &Metadata,
        content: Option<&[u8]>,
        policy: Rc<NamePolicy>,
        varies: bool,
    ) -> Self {
        let changed_s = i64::try_from(metadata.changed_ns.div_euclid(1_000_000_000)).unwrap_or(i64::MAX);
        // A time that was set to the future is later than the change that set it. Last-Modified may not be
        // later than Date (RFC 9110 §8.8.2.1), and the change is not.
        let modified = metadata.modified_s.min(changed_s);
        let bits = content.map_or_else(|| content_hash::of_state(metadata), content_hash::of_content);
        Self {
            tag: FileTag::of_content(bits),
            len: metadata.len,
            modified: (modified >= TELLING_SINCE).then_some(modified),
            is_date_exact: changed_s <= modified,
            policy,
            coding: Coding::Identity,
            varies,
        }
    }

    /// Of a sibling: its bytes, and so its validators, are its own.
    pub(super) fn sibling(
        metadata: &Metadata,
        content: Option<&[u8]>,
        policy: Rc<NamePolicy>,
        coding: Coding,
    ) -> Self {
        let facts = Self::original(metadata, content, policy, true);
        Self { tag: facts.tag.with_suffix(coding.extension()), coding, ..facts }
    }

    /// With the hash of the content as the tag.
    pub(super) fn with_content(&self, bits: u128) -> Self {
        let tag = FileTag::of_content(bits);
        let tag =
            if self.coding == Coding::Identity { tag } else { tag.with_suffix(self.coding.extension()) };
        Self { tag, ..self.clone() }
    }

    /// Of a form that was made of this representation, whose tag is the hash of its content.
    pub(super) fn prepared(&self, coding: Coding, len: u64) -> Self {
        let tag = self.tag.with_suffix(coding.extension());
        Self { tag, len, coding, varies: true, policy: self.policy.clone(), ..*self }
    }

    /// The coding of the content as it is sent: that of the form, or of a type that is coded by itself.
    pub(super) fn content_coding(&self) -> Coding {
        match self.coding {
            Coding::Identity => self.policy.coding,
            coding => coding,
        }
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
        if self.content_coding() != Coding::Identity {
            line(lines, "Content-Encoding", self.content_coding().token().as_bytes());
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
        if let Some(modified) = self.modified {
            line(lines, "Last-Modified", &write_imf_fixdate(modified));
        }
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
