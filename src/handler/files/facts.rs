//! What a response says of a file: type, validators, and the lines they make.

use crate::http::conditional::FileTag;
use crate::http::date::write_imf_fixdate;
use crate::http::media_type;
use crate::ring::Metadata;

/// What a response says of a file.
pub(super) struct Facts {
    pub(super) metadata: Metadata,
    pub(super) tag: FileTag,
    pub(super) content_type: &'static str,
}

impl Facts {
    pub(super) fn new(metadata: Metadata, name: &[u8]) -> Self {
        let tag = FileTag::new(metadata.modified_s, metadata.modified_ns, metadata.len);
        Self { metadata, tag, content_type: media_type::of_path(name) }
    }

    /// The field lines of a 200.
    pub(super) fn fields(&self) -> Vec<u8> {
        let mut lines = Vec::with_capacity(192);
        line(&mut lines, "Content-Type", self.content_type.as_bytes());
        write_validators(&mut lines, &self.tag, &self.metadata);
        line(&mut lines, "Accept-Ranges", b"bytes");
        lines
    }
}

/// Appends a field line whose parts are known to be valid.
pub(super) fn line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

pub(super) fn write_validators(lines: &mut Vec<u8>, tag: &FileTag, metadata: &Metadata) {
    line(lines, "ETag", tag.as_bytes());
    line(lines, "Last-Modified", &write_imf_fixdate(modified(metadata)));
}

pub(super) fn modified(metadata: &Metadata) -> u64 {
    metadata.modified_s.max(0) as u64
}
