//! Common parts around httparse for heads: a buffer for a head that straddles reads, the empty lines before
//! a request, and the positions of fields, with the CRs that httparse does not require. Interprets neither
//! first lines nor fields.

use std::ops::Range;

use memchr::memchr;

use crate::http::message::head::{FieldSpan, Span};

/// Stack space for httparse's table; never initialised, so its size costs nothing.
pub(super) const TABLE_FIELDS: usize = u8::MAX as usize;

/// Most empty lines before a request line that are ignored. RFC 9112 §2.2 asks for at least one; old clients
/// send one or two behind a body. More are not the start of a request.
pub(super) const EMPTY_LINES_MAX: usize = 8;

/// Length of the empty lines at the start that are ignored.
#[inline]
pub(super) fn empty_lines_length(bytes: &[u8]) -> usize {
    let mut length = 0;
    while bytes[length..].starts_with(b"\r\n") && length < EMPTY_LINES_MAX * 2 {
        length += 2;
    }
    length
}

/// The start of a head whose end was not received yet. Holds no memory unless a head straddles reads.
#[derive(Debug, Default)]
pub(super) struct Straddling {
    // INVARIANT: starts at the start of a head, holds no complete one, and at most `bytes_max` bytes.
    bytes: Vec<u8>,
}

impl Straddling {
    /// Takes `input`, which continues the held bytes, and calls `decode` with both together. `decode` returns
    /// the length of the head at the start of its argument, or `None` while that is incomplete; this returns
    /// how many bytes of `input` belong to it. `bytes_max` is larger than what `decode` needs to refuse a
    /// head for its length.
    ///
    /// After an error it still holds the bytes before `input`.
    #[inline]
    pub(super) fn handle_bytes<E>(
        &mut self,
        input: &[u8],
        bytes_max: usize,
        mut decode: impl FnMut(&[u8]) -> Result<Option<usize>, E>,
    ) -> Result<Option<usize>, E> {
        if !self.bytes.is_empty() {
            return self.handle_more(input, bytes_max, &mut decode);
        }
        let length = decode(input)?;
        if length.is_none() {
            self.bytes.extend_from_slice(input);
        }
        Ok(length)
    }

    #[cold]
    fn handle_more<E>(
        &mut self,
        input: &[u8],
        bytes_max: usize,
        decode: &mut impl FnMut(&[u8]) -> Result<Option<usize>, E>,
    ) -> Result<Option<usize>, E> {
        let before = self.bytes.len();
        let room = bytes_max.saturating_sub(before);
        let taken = &input[..input.len().min(room)];
        self.bytes.extend_from_slice(taken);
        // Without a line end no head can be complete. Parsing only after one bounds the work for a peer that
        // sends slowly by the number of lines, not of reads.
        if taken.len() == input.len() && taken.len() < room && memchr(b'\n', taken).is_none() {
            return Ok(None);
        }
        let mut gathered = std::mem::take(&mut self.bytes);
        match decode(&gathered) {
            // The held bytes contained no complete head, so the end lies in this input.
            Ok(Some(length)) => Ok(Some(length.saturating_sub(before))),
            Ok(None) => {
                self.bytes = gathered;
                Ok(None)
            }
            Err(error) => {
                gathered.truncate(before);
                self.bytes = gathered;
                Err(error)
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes and returns the held bytes.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Drops the held bytes, and frees the memory.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
    }
}

/// Computes the positions of fields in a head accepted by httparse.
pub(super) struct LineSpans<'a> {
    head: &'a [u8],
    have_crs: bool,
}

impl<'a> LineSpans<'a> {
    pub(super) fn new(head: &'a [u8]) -> LineSpans<'a> {
        LineSpans { head, have_crs: true }
    }

    /// The position of one field.
    #[inline]
    pub(super) fn find(&mut self, field: &httparse::Header<'_>) -> FieldSpan {
        let name = range_within(self.head, field.name.as_bytes());
        // httparse accepts LF as a line end.
        self.have_crs &= self.head.get(name.start.wrapping_sub(2)) == Some(&b'\r');
        let value = Span::new(range_within(self.head, field.value));
        FieldSpan { name: Span::new(name), value, never_indexed: false }
    }

    /// Whether the line before each field ended with CRLF. The last two lines are not checked.
    #[inline]
    pub(super) fn have_crs(&self) -> bool {
        self.have_crs
    }
}

/// The position of `part` in `whole`, of which it is a part according to httparse.
#[inline]
pub(super) fn range_within(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
    start..start + part.len()
}
