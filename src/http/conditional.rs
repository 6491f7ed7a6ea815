//! Entity tags and preconditions (RFC 9110 §8.8.3 and §13): whether a request is processed, answered with
//! 304, or refused with 412. Knows neither the head that held the fields nor the file behind the validators,
//! and reads no clock.
//!
//! Evaluate only when the response without preconditions would be a 2xx or a 412, and never for CONNECT,
//! OPTIONS or TRACE (§13.2.1).

use super::date::parse_http_date;

/// Most list elements, empty ones included, that are read of one field over all its lines.
///
/// Caches send one tag, rarely a dozen. Elements beyond the bound are not read and match nothing:
/// If-None-Match then results in a full response, If-Match in a 412. Doubling it doubles the cost of a
/// hostile list.
pub const LIST_ELEMENTS_MAX: usize = 256;

/// An entity tag as read: `"xyzzy"` or `W/"xyzzy"`.
///
/// There are two comparison functions and no default, hence no `PartialEq`.
#[derive(Clone, Copy, Debug)]
pub struct ETag<'a> {
    weak: bool,
    /// What stands between the quotes.
    opaque: &'a [u8],
}

impl<'a> ETag<'a> {
    /// Parses a value that is exactly one entity tag; `None` for any other.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        match take_tag(value) {
            Some((tag, b"")) => Some(tag),
            _ => None,
        }
    }

    /// Whether the tag is marked weak: equal meaning, not equal bytes.
    pub fn is_weak(self) -> bool {
        self.weak
    }

    /// Strong comparison (§8.8.3.2): same opaque part, neither of them weak.
    pub fn strong_eq(self, other: ETag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (§8.8.3.2): same opaque part.
    pub fn weak_eq(self, other: ETag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The validators of the current representation. It exists: `*` always matches it.
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    /// Its entity tag, if it has one.
    pub etag: Option<ETag<'a>>,
    /// Its modification time in Unix seconds, equal to Last-Modified; without one, fields that compare dates
    /// are ignored.
    pub last_modified: Option<i64>,
}

/// Which half of §13.2.2 applies to the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// GET and HEAD: a failed If-None-Match results in a 304, and If-Modified-Since is evaluated.
    GetOrHead,
    /// Any other method: a failed If-None-Match results in a 412.
    Other,
}

/// The precondition fields of a request, as received.
///
/// The lists are one slice for each field line. The dates are `None` when absent and also when sent more
/// than once, because such a field is no date (§13.1.3) and must be ignored.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a, M, N> {
    /// Lines of If-Match.
    pub if_match: M,
    /// Lines of If-None-Match.
    pub if_none_match: N,
    /// The one line of If-Modified-Since.
    pub if_modified_since: Option<&'a [u8]>,
    /// The one line of If-Unmodified-Since.
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// The result of evaluating the preconditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Process the request.
    Proceed,
    /// Answer 304: the client's representation is current.
    NotModified,
    /// Answer 412: the client's representation is not current.
    Failed,
}

/// Evaluates the preconditions in the order of RFC 9110 §13.2.2, without its last step (see [`if_range`]).
///
/// `now`, in Unix seconds, determines the century of a two-digit year. A malformed date is ignored. A
/// malformed list matches nothing from the error on, so the response is sent (If-None-Match), or nothing is
/// changed (If-Match).
pub fn evaluate<'a, M, N>(
    method: MethodKind,
    conditions: Conditions<'a, M, N>,
    validators: &Validators<'_>,
    now: i64,
) -> Precondition
where
    M: IntoIterator<Item = &'a [u8]>,
    N: IntoIterator<Item = &'a [u8]>,
{
    let Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since } = conditions;

    // Steps 1 and 2.
    match match_list(if_match, |tag| validators.etag.is_some_and(|own| own.strong_eq(tag))) {
        ListMatch::Matched => {}
        ListMatch::Unmatched => return Precondition::Failed,
        ListMatch::Absent => {
            if modified_since(if_unmodified_since, validators, now) == Some(true) {
                return Precondition::Failed;
            }
        }
    }

    // Steps 3 and 4.
    match match_list(if_none_match, |tag| validators.etag.is_some_and(|own| own.weak_eq(tag))) {
        ListMatch::Matched if method == MethodKind::GetOrHead => Precondition::NotModified,
        ListMatch::Matched => Precondition::Failed,
        ListMatch::Unmatched => Precondition::Proceed,
        ListMatch::Absent if method == MethodKind::Other => Precondition::Proceed,
        ListMatch::Absent => match modified_since(if_modified_since, validators, now) {
            Some(false) => Precondition::NotModified,
            Some(true) | None => Precondition::Proceed,
        },
    }
}

/// Whether a Range field applies, given the value of If-Range (§13.1.5).
///
/// A tag must match strongly; a date must equal the time of the last modification. A date does not detect a
/// second change within its second: a caller that knows the file to have changed in the current second should
/// pass no `last_modified`. `now` as in [`evaluate`].
pub fn if_range(value: &[u8], validators: &Validators<'_>, now: i64) -> bool {
    match ETag::parse(value) {
        Some(tag) => validators.etag.is_some_and(|own| own.strong_eq(tag)),
        None => validators.last_modified.is_some_and(|own| parse_http_date(value, now) == Some(own)),
    }
}

/// The entity tag of a file, made of its modification time and length: `"17b0a3f5c2d4e680-1f4"`.
///
/// It is a strong tag. Two contents have the same tag only if the file was changed twice, to the same length,
/// within one tick of the file system's clock (10 ms or less on Linux; 2 s on FAT) and served in between, or
/// if its time was set back on purpose. The inode is omitted so that machines with copies of the same times
/// agree; replace files by renaming new ones into place, and keep times when copying.
#[derive(Clone, Copy)]
pub struct FileTag {
    /// INVARIANT: the first `len` bytes are a quote, hexadecimal digits, hyphens and at most one suffix of
    /// letters, a quote.
    bytes: [u8; FileTag::BYTES_MAX],
    len: u8,
}

impl FileTag {
    /// Longest tag with its quotes: two numbers of sixteen digits and a hyphen, and a suffix.
    pub const BYTES_MAX: usize = 35 + 1 + Self::SUFFIX_BYTES_MAX;

    /// Longest suffix: the extension of a coding.
    pub const SUFFIX_BYTES_MAX: usize = 4;

    /// A tag for a file, from its `statx` metadata: modification time and size in bytes.
    ///
    /// Times outside the years 1678 to 2262 wrap around; the result is still a valid tag.
    pub fn new(mtime_seconds: i64, mtime_nanoseconds: u32, size: u64) -> Self {
        let nanoseconds =
            mtime_seconds.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(mtime_nanoseconds.into());
        let mut bytes = [b'"'; Self::BYTES_MAX];
        let mut len = 1;
        len += write_hex(nanoseconds, &mut bytes[len..]);
        bytes[len] = b'-';
        len += 1;
        len += write_hex(size, &mut bytes[len..]);
        bytes[len] = b'"';
        Self { bytes, len: len as u8 + 1 }
    }

    /// A tag made of 128 bits that identify the content, such as a hash of it.
    pub fn of_content(bits: u128) -> Self {
        let mut bytes = [b'"'; Self::BYTES_MAX];
        let mut len = 1;
        len += write_hex((bits >> 64) as u64, &mut bytes[len..]);
        bytes[len] = b'-';
        len += 1;
        len += write_hex(bits as u64, &mut bytes[len..]);
        bytes[len] = b'"';
        Self { bytes, len: len as u8 + 1 }
    }

    /// The same with a suffix: `"17b0a3f5c2d4e680-1f4-br"`. Two codings of one content are two
    /// representations and must not share a tag (RFC 9110 §8.8.3.3).
    ///
    /// # Panics
    /// When the suffix is longer than [`SUFFIX_BYTES_MAX`](Self::SUFFIX_BYTES_MAX) or not made of letters.
    pub fn with_suffix(mut self, suffix: &'static str) -> Self {
        assert!(suffix.len() <= Self::SUFFIX_BYTES_MAX && suffix.bytes().all(|b| b.is_ascii_alphabetic()));
        let mut len = usize::from(self.len) - 1;
        for byte in [b"-", suffix.as_bytes(), b"\""].into_iter().flatten() {
            self.bytes[len] = *byte;
            len += 1;
        }
        self.len = len as u8;
        self
    }

    /// The tag as the ETag field carries it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The tag for comparisons.
    pub fn as_etag(&self) -> ETag<'_> {
        ETag { weak: false, opaque: &self.bytes[1..usize::from(self.len) - 1] }
    }
}

impl std::fmt::Debug for FileTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// The result of comparing a list of entity tags with the current representation.
enum ListMatch {
    /// There is no such field.
    Absent,
    Matched,
    Unmatched,
}

/// Parses a field of the form `*` or `#entity-tag` over all its lines until a tag matches.
fn match_list<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    matches: impl Fn(ETag<'a>) -> bool,
) -> ListMatch {
    let mut outcome = ListMatch::Absent;
    let mut elements_left = LIST_ELEMENTS_MAX;
    for line in lines {
        outcome = ListMatch::Unmatched;
        let mut rest = skip_whitespace(line);
        if let Some((b'*', tail)) = rest.split_first() {
            return if skip_whitespace(tail).is_empty() { ListMatch::Matched } else { ListMatch::Unmatched };
        }
        while !rest.is_empty() {
            if elements_left == 0 {
                return ListMatch::Unmatched;
            }
            elements_left -= 1;
            match take_element(rest) {
                Some((Some(tag), _)) if matches(tag) => return ListMatch::Matched,
                Some((_, tail)) => rest = tail,
                None => return ListMatch::Unmatched,
            }
        }
    }
    outcome
}

/// One list element, which may be empty, with the comma and the whitespace after it. `None` if the list is
/// malformed.
fn take_element(list: &[u8]) -> Option<(Option<ETag<'_>>, &[u8])> {
    let (tag, rest) = match list.first() {
        Some(b',') => (None, list),
        _ => take_tag(list).map(|(tag, rest)| (Some(tag), rest))?,
    };
    match skip_whitespace(rest) {
        [] => Some((tag, &[])),
        [b',', rest @ ..] => Some((tag, skip_whitespace(rest))),
        _ => None,
    }
}

/// One entity tag from the front of `bytes`, and what follows it.
fn take_tag(bytes: &[u8]) -> Option<(ETag<'_>, &[u8])> {
    // §8.8.3: `W/` is case-sensitive.
    let (weak, quoted) = match bytes.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, bytes),
    };
    let inside = quoted.strip_prefix(b"\"")?;
    let end = inside.iter().position(|byte| !is_etagc(*byte))?;
    let (opaque, rest) = inside.split_at(end);
    Some((ETag { weak, opaque }, rest.strip_prefix(b"\"")?))
}

/// `etagc` (§8.8.3): visible bytes but the quote, and anything above ASCII. There is no escaping.
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..)
}

/// Whether the representation was modified after the date in a field; `None` if either time is missing or the
/// date is malformed, so that the field is ignored.
fn modified_since(field: Option<&[u8]>, validators: &Validators<'_>, now: i64) -> Option<bool> {
    let last_modified = validators.last_modified?;
    let date = parse_http_date(field?, now)?;
    Some(last_modified > date)
}

fn skip_whitespace(bytes: &[u8]) -> &[u8] {
    let count = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &bytes[count..]
}

/// Writes a number in lower-case hexadecimal without leading zeros; returns the number of digits.
fn write_hex(number: u64, out: &mut [u8]) -> usize {
    let count = (u64::BITS - number.leading_zeros()).div_ceil(4).max(1) as usize;
    for (place, digit) in out[..count].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * place)) as usize & 0xF];
    }
    count
}

#[cfg(test)]
mod tests;
