//! The lines of a head and a table of the fields in them: what request and response heads have in common.
//! Knows field lines and no first line.

use super::head::{FieldSpan, Fields, FieldsNamed, Span};

/// A head's bytes with the places of its fields; cleared and filled again without allocating.
#[derive(Clone, Default)]
pub(in crate::http) struct FieldBlock {
    /// The first line, the field lines and, once the head is complete, the empty line.
    pub(in crate::http) bytes: Vec<u8>,
    // INVARIANT: every span lies within `bytes`.
    spans: Vec<FieldSpan>,
}

impl FieldBlock {
    pub(in crate::http) fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Takes lines as they were received; the table follows.
    #[inline]
    pub(in crate::http) fn set_bytes(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Fills the table.
    #[inline]
    pub(in crate::http) fn set_fields(&mut self, fields: impl Iterator<Item = FieldSpan>) {
        self.spans.clear();
        self.spans.extend(fields);
    }

    /// Empties the table.
    pub(in crate::http) fn clear_fields(&mut self) {
        self.spans.clear();
    }

    /// Appends a field as a line; where its value lies.
    #[inline]
    pub(in crate::http) fn push(&mut self, name: &[u8], value: &[u8], never_indexed: bool) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        let value_start = start + name.len() + 2;
        let value = Span::new(value_start..value_start + value.len());
        self.spans.push(FieldSpan { name: Span::new(start..start + name.len()), value, never_indexed });
        value
    }

    #[inline]
    pub(in crate::http) fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.spans)
    }

    pub(in crate::http) fn fields_named<'n>(&self, name: &'n str) -> FieldsNamed<'_, 'n> {
        FieldsNamed { fields: self.fields(), name }
    }
}
