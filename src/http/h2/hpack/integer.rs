//! Integers with a prefix (RFC 7541 §5.1), and the reader of a block's bytes.

use super::error::HpackError;

/// Octets after the prefix that are read. Four carry 28 bits, far beyond any table or block of ours; more
/// would only allow leading zeros.
const OCTETS_MAX: u32 = 4;

/// What is left of a block.
pub(super) struct BlockReader<'a> {
    rest: &'a [u8],
}

impl<'a> BlockReader<'a> {
    pub(super) fn new(block: &'a [u8]) -> BlockReader<'a> {
        BlockReader { rest: block }
    }

    /// The next byte; nothing at the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// The next `length` bytes.
    #[inline]
    pub(super) fn take(&mut self, length: u32) -> Result<&'a [u8], HpackError> {
        let (taken, rest) = self.rest.split_at_checked(length as usize).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// The integer in the low bits of `first`, which `mask` selects, and in the bytes that follow.
    #[inline]
    pub(super) fn integer(&mut self, first: u8, mask: u8) -> Result<u32, HpackError> {
        let value = first & mask;
        if value < mask { Ok(u32::from(value)) } else { self.integer_rest(mask) }
    }

    fn integer_rest(&mut self, mask: u8) -> Result<u32, HpackError> {
        let mut value = u32::from(mask);
        for octet in 0..OCTETS_MAX {
            let byte = self.next().ok_or(HpackError::Truncated)?;
            // At most 255 + 2^28 - 1.
            value += u32::from(byte & 0x7f) << (7 * octet);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(HpackError::IntegerTooLong)
    }
}

/// Appends `value` in the low bits that `mask` selects, below `pattern`, and in as many bytes as it needs.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, pattern: u8, mask: u8, value: usize) {
    if value < usize::from(mask) {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask);
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
