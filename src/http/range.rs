//! The Range field (RFC 9110 §14): which bytes of a representation are wanted, and how an answer says
//! which it carries. Knows nothing of files, methods or If-Range: ask only for a GET that has passed its
//! preconditions (see `conditional`).
//!
//! One range is answered with its bytes. Several are read but answered with the whole representation, which
//! RFC 9110 §14.2 always permits; `RangeSpecs` is where `multipart/byteranges` will start from.

use std::ops::Range;

/// What a Range field asks of a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Send all of it with 200: the field is absent, malformed, in another unit, or names several ranges.
    Whole,
    /// Send these bytes with 206. Never empty, never past the end.
    Partial(Range<u64>),
    /// Send 416 with the unsatisfied form of Content-Range: no byte is where the range begins.
    Unsatisfiable,
}

/// One element of a byte range set, as written and before the length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeSpec {
    /// `first-last`, both inclusive; `first-` runs to the end.
    From {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte; never below `first`.
        last: Option<u64>,
    },
    /// `-n`: the last `n` bytes.
    Suffix(u64),
}

impl RangeSpec {
    /// The bytes this names in a representation of `length` bytes, or `None` where it names none.
    pub fn resolve(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { first, last } => {
                let end = last.map_or(length, |last| last.saturating_add(1).min(length));
                first..end
            }
            Self::Suffix(count) => length.saturating_sub(count)..length,
        };
        (range.start < range.end).then_some(range)
    }
}

/// A range set did not follow the grammar; RFC 9110 §14.2 lets the whole field be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedRange;

/// The elements of a Range field in bytes, in the order written.
///
/// Empty list elements are skipped as RFC 9110 §5.6.1.2 demands. After a malformed element the iterator
/// ends. Work is linear in the field's length, which the head's size limit bounds.
#[derive(Clone, Debug)]
pub struct RangeSpecs<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> RangeSpecs<'a> {
    /// The range set of a field value, or `None` where the unit is not `bytes` (compared without case).
    pub fn of_bytes(value: &'a [u8]) -> Option<Self> {
        let (unit, set) = value.split_at_checked(b"bytes=".len())?;
        unit.eq_ignore_ascii_case(b"bytes=").then_some(Self { rest: Some(set) })
    }
}

impl Iterator for RangeSpecs<'_> {
    type Item = Result<RangeSpec, MalformedRange>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(rest) = self.rest {
            let comma = memchr::memchr(b',', rest);
            let element = comma.map_or(rest, |at| &rest[..at]);
            self.rest = comma.map(|at| &rest[at + 1..]);
            let element = trim_whitespace(element);
            if element.is_empty() {
                continue;
            }
            let spec = parse_spec(element);
            if spec.is_err() {
                self.rest = None;
            }
            return Some(spec);
        }
        None
    }
}

/// Reads a Range field for a representation of `length` bytes.
///
/// Digits past `u64` saturate: such a position lies behind the end of everything. An empty representation
/// has no bytes to name: a suffix of it is the whole of it, any other range is unsatisfiable. A field sent
/// on several lines is not a Range field: treat it as absent.
pub fn parse_single(value: &[u8], length: u64) -> RangeOutcome {
    let Some(mut specs) = RangeSpecs::of_bytes(value) else { return RangeOutcome::Whole };
    let Some(Ok(spec)) = specs.next() else { return RangeOutcome::Whole };
    if specs.next().is_some() {
        return RangeOutcome::Whole;
    }
    match spec.resolve(length) {
        Some(range) => RangeOutcome::Partial(range),
        // §14.1.2: a suffix longer than the representation is all of it, even when that is nothing.
        None if length == 0 && matches!(spec, RangeSpec::Suffix(1..)) => RangeOutcome::Whole,
        None => RangeOutcome::Unsatisfiable,
    }
}

/// Appends the value of Content-Range for a 206: `bytes 0-499/1234`.
///
/// `range` must name at least one byte below `length`, as `RangeOutcome::Partial` always does.
pub fn write_content_range(out: &mut Vec<u8>, range: &Range<u64>, length: u64) {
    debug_assert!(range.start < range.end && range.end <= length, "{range:?} of {length}");
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"bytes ");
    out.extend_from_slice(digits.format(range.start).as_bytes());
    out.push(b'-');
    out.extend_from_slice(digits.format(range.end - 1).as_bytes());
    out.push(b'/');
    out.extend_from_slice(digits.format(length).as_bytes());
}

/// Appends the value of Content-Range for a 416: `bytes */1234`.
pub fn write_content_range_unsatisfied(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"bytes */");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
}

/// `first-`, `first-last` or `-n`; no whitespace inside (RFC 9110 §14.1.1).
fn parse_spec(element: &[u8]) -> Result<RangeSpec, MalformedRange> {
    let (first, rest) = take_digits(element);
    let Some((b'-', rest)) = rest.split_first() else { return Err(MalformedRange) };
    let (last, rest) = take_digits(rest);
    if !rest.is_empty() {
        return Err(MalformedRange);
    }
    match (first, last) {
        (Some(first), Some(last)) if last < first => Err(MalformedRange),
        (Some(first), last) => Ok(RangeSpec::From { first, last }),
        (None, Some(count)) => Ok(RangeSpec::Suffix(count)),
        (None, None) => Err(MalformedRange),
    }
}

/// The number at the front, `None` where there is no digit, and what follows it.
fn take_digits(bytes: &[u8]) -> (Option<u64>, &[u8]) {
    let count = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = bytes.split_at(count);
    let number =
        digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    ((count > 0).then_some(number), rest)
}

fn trim_whitespace(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RangeOutcome::{Partial, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn one_range_of_ten_thousand_bytes() {
        for (value, outcome) in [
            // The examples of RFC 9110 §14.1.2.
            ("bytes=0-499", Partial(0..500)),
            ("bytes=500-999", Partial(500..1000)),
            ("bytes=-500", Partial(9500..10000)),
            ("bytes=9500-", Partial(9500..10000)),
            ("bytes=0-0", Partial(0..1)),
            ("bytes=-1", Partial(9999..10000)),
            // Edges of the length.
            ("bytes=0-", Partial(0..10000)),
            ("bytes=0-9999", Partial(0..10000)),
            ("bytes=0-10000", Partial(0..10000)),
            ("bytes=9999-", Partial(9999..10000)),
            ("bytes=9999-9999", Partial(9999..10000)),
            ("bytes=10000-", Unsatisfiable),
            ("bytes=10000-10000", Unsatisfiable),
            ("bytes=-10000", Partial(0..10000)),
            ("bytes=-10001", Partial(0..10000)),
            ("bytes=-0", Unsatisfiable),
            // Numbers nobody can hold.
            ("bytes=0-18446744073709551615", Partial(0..10000)),
            ("bytes=0-18446744073709551616", Partial(0..10000)),
            ("bytes=5-99999999999999999999999999999999", Partial(5..10000)),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=99999999999999999999999999999999-", Unsatisfiable),
            ("bytes=99999999999999999999-99999999999999999999", Unsatisfiable),
            ("bytes=-99999999999999999999999999999999", Partial(0..10000)),
            ("bytes=0000000000000000000000000000000001-02", Partial(1..3)),
            // The unit has no case; list elements may be empty and have whitespace around them.
            ("Bytes=0-1", Partial(0..2)),
            ("BYTES=0-1", Partial(0..2)),
            ("bytes=,0-1", Partial(0..2)),
            ("bytes=0-1,", Partial(0..2)),
            ("bytes= ,\t, 0-1 ,, ", Partial(0..2)),
            ("bytes= 0-1", Partial(0..2)),
            // Ignored: other units, mistakes.
            ("", Whole),
            ("bytes", Whole),
            ("bytes=", Whole),
            ("bytes=,", Whole),
            ("bytes=-", Whole),
            ("bytes=--1", Whole),
            ("bytes=1--1", Whole),
            ("bytes=-1-", Whole),
            ("bytes=5-4", Whole),
            ("bytes=99999999999999999999-0", Whole),
            ("bytes=a-b", Whole),
            ("bytes=0-a", Whole),
            ("bytes=0x0-1", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1-2-3", Whole),
            ("bytes=1", Whole),
            ("bytes=*", Whole),
            ("bytes=0 -1", Whole),
            ("bytes=0- 1", Whole),
            ("bytes=0-1;q=1", Whole),
            ("bytes=0-1\r\nX: y", Whole),
            ("bytes = 0-1", Whole),
            ("bytes =0-1", Whole),
            (" bytes=0-1", Whole),
            ("bytes:0-1", Whole),
            ("bytes 0-1/5", Whole),
            ("byte=0-1", Whole),
            ("items=0-1", Whole),
            ("seconds=1-2", Whole),
            ("bytes=\u{0660}-1", Whole),
            // Several ranges: the whole, for now, satisfiable or not.
            ("bytes=0-0,-1", Whole),
            ("bytes= 0-999, 4500-5499, -1000", Whole),
            ("bytes=500-600,601-999", Whole),
            ("bytes=10000-,20000-", Whole),
            ("bytes=0-1,a", Whole),
            ("bytes=0-1,2-1", Whole),
        ] {
            assert_eq!(parse_single(value.as_bytes(), 10000), outcome, "{value:?}");
        }
    }

    #[test]
    fn lengths_at_the_edges() {
        for (value, length, outcome) in [
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=0-0", 0, Unsatisfiable),
            ("bytes=-1", 0, Whole),
            ("bytes=-0", 0, Unsatisfiable),
            ("bytes=-5", 1, Partial(0..1)),
            ("bytes=0-18446744073709551615", u64::MAX, Partial(0..u64::MAX)),
            ("bytes=18446744073709551614-", u64::MAX, Partial(u64::MAX - 1..u64::MAX)),
            ("bytes=18446744073709551615-", u64::MAX, Unsatisfiable),
            ("bytes=-18446744073709551615", u64::MAX, Partial(0..u64::MAX)),
        ] {
            assert_eq!(parse_single(value.as_bytes(), length), outcome, "{value:?} of {length}");
        }
    }

    #[test]
    fn several_ranges_are_read_in_order() {
        let specs = RangeSpecs::of_bytes(b"bytes=0-0, 500-,,-7").unwrap();
        let read: Result<Vec<_>, _> = specs.collect();
        let wanted = vec![
            RangeSpec::From { first: 0, last: Some(0) },
            RangeSpec::From { first: 500, last: None },
            RangeSpec::Suffix(7),
        ];
        assert_eq!(read, Ok(wanted));
    }

    #[test]
    fn a_malformed_element_ends_the_set() {
        let mut specs = RangeSpecs::of_bytes(b"bytes=0-0,x,1-1").unwrap();
        assert_eq!(specs.next(), Some(Ok(RangeSpec::From { first: 0, last: Some(0) })));
        assert_eq!(specs.next(), Some(Err(MalformedRange)));
        assert_eq!(specs.next(), None);
    }

    #[test]
    fn a_flood_of_commas_asks_for_nothing() {
        let mut value = b"bytes=".to_vec();
        value.resize(1 << 20, b',');
        assert_eq!(parse_single(&value, 10), Whole);
    }

    #[test]
    fn content_range_is_written_as_the_rfc_writes_it() {
        for (range, length, written) in [
            (0..500, 1234, "bytes 0-499/1234"),
            (500..1000, 1234, "bytes 500-999/1234"),
            (500..1234, 1234, "bytes 500-1233/1234"),
            (734..1234, 1234, "bytes 734-1233/1234"),
            (0..1, 1, "bytes 0-0/1"),
            (0..u64::MAX, u64::MAX, "bytes 0-18446744073709551614/18446744073709551615"),
        ] {
            let mut out = Vec::new();
            write_content_range(&mut out, &range, length);
            assert_eq!(std::str::from_utf8(&out).unwrap(), written);
        }
        let mut out = b"Content-Range: ".to_vec();
        write_content_range_unsatisfied(&mut out, 47022);
        assert_eq!(out, b"Content-Range: bytes */47022");
    }

    proptest! {
        #[test]
        fn a_partial_range_lies_within(first in any::<u64>(), last in any::<u64>(), length in any::<u64>()) {
            let outcome = parse_single(format!("bytes={first}-{last}").as_bytes(), length);
            match outcome {
                Whole => prop_assert!(last < first),
                Partial(range) => {
                    prop_assert_eq!(range.start, first);
                    prop_assert!(range.start < range.end && range.end <= length);
                }
                Unsatisfiable => prop_assert!(first >= length),
            }
        }

        #[test]
        fn any_set_is_survived(set in "[-0-9, ]{0,40}", length in any::<u64>()) {
            if let Partial(range) = parse_single(format!("bytes={set}").as_bytes(), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }
    }
}
