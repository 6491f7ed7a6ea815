//! Why a field block cannot be decoded. Any of these leaves the two ends with different tables, so each is a
//! connection error of type COMPRESSION_ERROR (RFC 9113 §4.3).

use std::error::Error;
use std::fmt;

/// A field block that cannot be decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HpackError {
    /// The block ends within a field.
    Truncated,
    /// An integer with more than four octets after its prefix.
    IntegerTooLong,
    /// An index of zero (RFC 7541 §6.1).
    IndexZero,
    /// An index beyond both tables.
    IndexUnknown(u32),
    /// The end-of-string symbol within a string (RFC 7541 §5.2).
    HuffmanEos,
    /// A string whose last bits are neither a symbol nor at most seven ones (RFC 7541 §5.2).
    HuffmanPadding,
    /// A size update after a field (RFC 7541 §4.2).
    SizeUpdateLate,
    /// A size update beyond what we announced (RFC 7541 §6.3).
    SizeUpdateTooLarge(u32),
    /// No size update, although we announced less than the table's size (RFC 9113 §4.3.1).
    SizeUpdateMissing,
}

/// One line with cause and remedy, fit for GOAWAY's debug data and for the log.
impl fmt::Display for HpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HpackError::Truncated => {
                "a field block ends within a field; send END_HEADERS after its last byte"
            }
            HpackError::IntegerTooLong => "an integer in a field block is too long; leave out leading zeros",
            HpackError::IndexZero => "a field has index 0; indexes begin at 1",
            HpackError::IndexUnknown(index) => {
                return write!(f, "a field has index {index}, which is in no table; send blocks in order");
            }
            HpackError::HuffmanEos => "a Huffman-coded string holds the end-of-string symbol; pad with ones",
            HpackError::HuffmanPadding => {
                "a Huffman-coded string is badly padded; pad with one to seven ones"
            }
            HpackError::SizeUpdateLate => "a table size update follows a field; send it first in its block",
            HpackError::SizeUpdateTooLarge(size) => {
                return write!(
                    f,
                    "a table size update to {size} exceeds SETTINGS_HEADER_TABLE_SIZE; keep to it"
                );
            }
            HpackError::SizeUpdateMissing => {
                "SETTINGS_HEADER_TABLE_SIZE was lowered; begin the next field block with a table size update"
            }
        })
    }
}

impl Error for HpackError {}
