//! Field lines of a response, in wire form.

use std::rc::Rc;

/// Field lines in wire form, each with its CRLF, shared where possible.
#[derive(Clone, Debug)]
pub enum FieldBlock {
    /// Part of the program.
    Static(&'static [u8]),
    /// Shared by every response from one cache entry.
    Shared(Rc<[u8]>),
    /// Made for this response.
    Owned(Vec<u8>),
}

impl FieldBlock {
    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(lines) => lines,
            Self::Shared(lines) => lines,
            Self::Owned(lines) => lines,
        }
    }

    pub(crate) fn to_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self, Self::Owned(_)) {
            *self = Self::Owned(self.as_bytes().to_vec());
        }
        let Self::Owned(lines) = self else { unreachable!("made owned above") };
        lines
    }
}
