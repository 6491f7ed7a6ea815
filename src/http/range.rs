//! The Range field (RFC 9110 §14): which bytes of a representation are requested, and the Content-Range of a
//! response. Knows nothing of files, methods or If-Range: use it only for a GET that has passed its
//! preconditions (see `conditional`).
//!
//! One range is answered with its bytes, several with `multipart/byteranges` (see `byteranges`). Ranges that
//! would cost more as parts than the whole, or are likely an attack, are answered with the whole, which RFC
//! 9110 §14.2 always permits.

use std::iter;
use std::ops::Range;

/// Most elements of a set that are answered in parts. Document viewers request a handful; more than these are
/// answered with the whole. Doubling it doubles the scattered reads that one small request can cause.
pub const PARTS_MAX: usize = 16;

/// Overhead of a part, approximately: delimiter and two fields. Ranges closer than this are merged
/// (§15.3.7.2), and parts that would exceed the whole are not sent as parts.
const PART_OVERHEAD: u64 = 100;

/// The result of a Range field for a representation of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeOutcome {
    /// Send all of it with 200: the field is absent, malformed, in another unit, or has too many parts.
    Whole,
    /// Send these bytes with 206. Never empty, never past the end.
    Partial(Range<u64>),
    /// Send these parts with 206, in this order: 2 to [`PARTS_MAX`], none empty, past the end, or close to
    /// another.
    Several(Vec<Range<u64>>),
    /// Send 416 with the unsatisfied form of Content-Range: no range begins within the representation.
    Unsatisfiable,
}

/// One element of a byte range set, as received and before the length is known.
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
    /// The bytes of this range in a representation of `length` bytes, or `None` if there are none.
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

/// The range set is malformed; RFC 9110 §14.2 lets the whole field be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedRange;

/// The elements of a Range field in bytes, in the order received.
///
/// Empty list elements are skipped as RFC 9110 §5.6.1.2 requires. After a malformed element the iterator
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

/// Evaluates a Range field for a representation of `length` bytes.
///
/// Digits past `u64` saturate: such a position is past every end. An empty representation has no bytes: a
/// suffix of it is the whole of it, any other range is unsatisfiable. Treat a field sent on several lines as
/// absent.
pub fn parse(value: &[u8], length: u64) -> RangeOutcome {
    let Some(mut specs) = RangeSpecs::of_bytes(value) else { return RangeOutcome::Whole };
    let Some(Ok(spec)) = specs.next() else { return RangeOutcome::Whole };
    if let Some(second) = specs.next() {
        return parse_several(iter::once(Ok(spec)).chain(iter::once(second)).chain(specs), length);
    }
    match spec.resolve(length) {
        Some(range) => RangeOutcome::Partial(range),
        None if is_suffix_of_nothing(spec, length) => RangeOutcome::Whole,
        None => RangeOutcome::Unsatisfiable,
    }
}

/// §14.1.2: a suffix longer than the representation is all of it, even when that is nothing.
fn is_suffix_of_nothing(spec: RangeSpec, length: u64) -> bool {
    length == 0 && matches!(spec, RangeSpec::Suffix(1..))
}

/// A set of more than one element. Unsatisfiable ranges are omitted (§14.1.2).
fn parse_several(
    specs: impl Iterator<Item = Result<RangeSpec, MalformedRange>>,
    length: u64,
) -> RangeOutcome {
    let mut parts: Vec<Range<u64>> = Vec::with_capacity(4);
    let mut overlaps = 0;
    for (count, spec) in specs.enumerate() {
        let Ok(spec) = spec else { return RangeOutcome::Whole };
        if count == PARTS_MAX || is_suffix_of_nothing(spec, length) {
            return RangeOutcome::Whole;
        }
        if let Some(range) = spec.resolve(length) {
            overlaps += usize::from(parts.iter().any(|part| gap(part, &range).is_none()));
            coalesce(&mut parts, range);
        }
    }
    // §14.2: three ranges over the same bytes indicate an attack.
    if overlaps > 1 {
        return RangeOutcome::Whole;
    }
    match parts.len() {
        0 => RangeOutcome::Unsatisfiable,
        1 => RangeOutcome::Partial(parts.swap_remove(0)),
        count => {
            let sent: u64 = parts.iter().map(|part| part.end - part.start).sum();
            let overhead = PART_OVERHEAD * count as u64;
            if sent.saturating_add(overhead) < length {
                RangeOutcome::Several(parts)
            } else {
                RangeOutcome::Whole
            }
        }
    }
}

/// Bytes between two ranges; `None` if they overlap.
fn gap(a: &Range<u64>, b: &Range<u64>) -> Option<u64> {
    b.start.checked_sub(a.end).or_else(|| a.start.checked_sub(b.end))
}

/// Adds a range to parts that are a minimum distance apart, and keeps that invariant: ranges that are too
/// close are merged, at the position of the first.
fn coalesce(parts: &mut Vec<Range<u64>>, range: Range<u64>) {
    let mut merged = range;
    let mut place = parts.len();
    while let Some(at) =
        parts.iter().position(|part| gap(part, &merged).is_none_or(|gap| gap < PART_OVERHEAD))
    {
        let part = parts.remove(at);
        merged = merged.start.min(part.start)..merged.end.max(part.end);
        place = place.min(at);
    }
    parts.insert(place.min(parts.len()), merged);
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

/// The number at the start, `None` without a digit, and the rest.
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

    use super::RangeOutcome::{Partial, Several, Unsatisfiable, Whole};
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
            // Numbers beyond 64 bits.
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
            // Several ranges with a mistake among them.
            ("bytes=0-1,a", Whole),
            ("bytes=0-1,2-1", Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 10000), outcome, "{value:?}");
        }
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "a list of ranges is meant")]
    fn several_ranges_of_ten_thousand_bytes() {
        let many = |count: u64| -> String {
            let specs: Vec<String> = (0..count).map(|n| format!("{}-{}", n * 500, n * 500 + 9)).collect();
            format!("bytes={}", specs.join(","))
        };
        let sixteen = (0..16).map(|n| n * 500..n * 500 + 10).collect();
        for (value, outcome) in [
            // The examples of RFC 9110 §14.1.2.
            ("bytes=0-0,-1", Several(vec![0..1, 9999..10000])),
            ("bytes= 0-999, 4500-5499, -1000", Several(vec![0..1000, 4500..5500, 9000..10000])),
            ("bytes=500-600,601-999", Partial(500..1000)),
            ("bytes=500-700,601-999", Partial(500..1000)),
            // In the order asked for.
            ("bytes=5000-5001,0-1", Several(vec![5000..5002, 0..2])),
            ("bytes=5000-5001,0-1,5050-5060", Several(vec![5000..5061, 0..2])),
            ("bytes=5000-5001,0-1,5002-5999,2-4999", Partial(0..6000)),
            // A gap that costs less than a part is sent along.
            ("bytes=0-0,100-100", Partial(0..101)),
            ("bytes=0-0,101-101", Several(vec![0..1, 101..102])),
            ("bytes=101-101,0-0", Several(vec![101..102, 0..1])),
            // What is not there is left out.
            ("bytes=10000-,0-1", Partial(0..2)),
            ("bytes=0-1,-0", Partial(0..2)),
            ("bytes=10000-,0-1,5000-", Several(vec![0..2, 5000..10000])),
            ("bytes=10000-,20000-", Unsatisfiable),
            ("bytes=-0,-0", Unsatisfiable),
            // More would be sent than there is.
            ("bytes=0-4899,5000-9999", Whole),
            ("bytes=0-4798,5000-9999", Several(vec![0..4799, 5000..10000])),
            // Three over the same bytes.
            ("bytes=0-,0-", Partial(0..10000)),
            ("bytes=0-,0-,0-", Whole),
            ("bytes=0-500,400-900,450-1000", Whole),
            (&many(16), Several(sixteen)),
            (&many(17), Whole),
            (&format!("bytes={}0-1", "10000-,".repeat(16)), Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 10000), outcome, "{value:?}");
        }
        assert_eq!(parse(b"bytes=-1,-1", 0), Whole);
        assert_eq!(parse(b"bytes=0-0,1-1", 0), Unsatisfiable);
        let edge = Several(vec![0..1, u64::MAX - 1..u64::MAX]);
        assert_eq!(parse(b"bytes=0-0,-1", u64::MAX), edge);
        assert_eq!(parse(b"bytes=0-,-18446744073709551615", u64::MAX), Partial(0..u64::MAX));
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
            assert_eq!(parse(value.as_bytes(), length), outcome, "{value:?} of {length}");
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
        assert_eq!(parse(&value, 10), Whole);
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
            let outcome = parse(format!("bytes={first}-{last}").as_bytes(), length);
            match outcome {
                Whole | Several(_) => prop_assert!(last < first),
                Partial(range) => {
                    prop_assert_eq!(range.start, first);
                    prop_assert!(range.start < range.end && range.end <= length);
                }
                Unsatisfiable => prop_assert!(first >= length),
            }
        }

        #[test]
        fn any_set_is_survived(set in "[-0-9, ]{0,40}", length in any::<u64>()) {
            match parse(format!("bytes={set}").as_bytes(), length) {
                Partial(range) => prop_assert!(range.start < range.end && range.end <= length),
                Several(parts) => prop_assert!(parts.len() >= 2),
                Whole | Unsatisfiable => {}
            }
        }

        #[test]
        fn parts_hold_what_was_asked_for_and_keep_their_distance(
            wanted in prop::collection::vec((0..5000_u64, 0..200_u64), 2..20)
        ) {
            let specs: Vec<_> = wanted.iter().map(|(at, n)| format!("{at}-{}", at + n)).collect();
            let outcome = parse(format!("bytes={}", specs.join(",")).as_bytes(), 4000);
            let parts = match outcome {
                Whole | Unsatisfiable => return Ok(()),
                Partial(range) => vec![range],
                Several(parts) => parts,
            };
            prop_assert!(parts.len() <= PARTS_MAX);
            for (at, n) in wanted {
                let end = (at + n + 1).min(4000);
                prop_assert!(at >= end || parts.iter().any(|part| part.start <= at && end <= part.end));
            }
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.start < part.end && part.end <= 4000);
                for other in &parts[..index] {
                    prop_assert!(gap(part, other).is_some_and(|gap| gap >= PART_OVERHEAD));
                }
            }
        }
    }
}
