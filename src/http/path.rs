//! The normal form of a path, and the name of a file below a root that it stands for. Pure bytes: knows
//! neither the root nor the file system, so links are refused when the file is opened (`RESOLVE_BENEATH`).
//! Queries are not handled either: a `?` here is a byte of a name.
//!
//! **Normal form.** Every head has one path ([`normalize`]), made when the head is complete and before
//! anything is matched against it, so that mounts, routes, filters and files cannot differ in what they take
//! a request for. Two paths with the same segments have the same normal form: empty segments and `.` are
//! dropped, `..` is refused, and a byte is escaped exactly where RFC 3986 requires it, in upper case. An
//! escaped slash stays: it belongs to its segment.
//!
//! **Names of files**, by rules that apply to literal bytes and to `%XX` alike:
//!
//! - Escapes are decoded once. A malformed one is refused, and so is an escaped slash: `a%2Fb` is one segment
//!   in a URI and two in the file system, and no request may have two interpretations.
//! - NUL is refused. Every other byte, the backslash too, is an ordinary part of a Linux file name.
//! - Segments that do not change the directory are dropped: empty ones (`//`) and `.`.
//! - `..` is refused even if it would stay below the root. User agents remove it before they send a request
//!   (RFC 3986 §5.2.4), so its presence indicates a probe; resolving it here would let `/open/../closed` pass
//!   a rule written for `/open/`, and would differ from the kernel's resolution after a link.
//! - A segment that begins with a dot is hidden, except `.well-known` as the first one (RFC 8615).
//! - Lengths are Linux's: a longer name cannot exist, so it need not be looked up.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// Longest path the kernel takes: `PATH_MAX` is 4096 with the closing NUL.
pub const PATH_BYTES_MAX: usize = 4095;

/// Longest name in a directory, Linux's `NAME_MAX`.
pub const SEGMENT_BYTES_MAX: usize = 255;

// `is_plain` limits the whole path by the segment's limit, and so need not measure either.
const _: () = assert!(SEGMENT_BYTES_MAX <= PATH_BYTES_MAX);

/// The one hidden name that is served, and only as the first segment.
const WELL_KNOWN: &[u8] = b".well-known";

/// The bytes that are not escaped in a path (RFC 3986 §3.3): unreserved, sub-delims, `:`, `@`, and the slash.
///
/// Backslash and control bytes stay escaped: browsers parse `\` as `/` and skip tabs and line ends.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Why a request's path maps to no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// The path does not begin with a slash. Malformed.
    MissingLeadingSlash,
    /// A `%` without two hexadecimal digits after it. Malformed.
    BrokenEscape,
    /// `%2F`: one segment or two, depending on the recipient. Malformed.
    EscapedSlash,
    /// A NUL byte, which would end the name early for the kernel. Malformed.
    NulByte,
    /// A `..` segment. Malformed.
    ParentSegment,
    /// A segment that begins with a dot. Such files are reported as missing.
    HiddenSegment,
    /// A segment longer than `SEGMENT_BYTES_MAX`. No such file can exist.
    SegmentTooLong,
    /// Longer than `PATH_BYTES_MAX` once decoded. No such file can exist.
    PathTooLong,
}

impl PathError {
    /// Whether the request is malformed (400) rather than for a file that does not exist (404).
    pub fn is_malformed(self) -> bool {
        match self {
            Self::MissingLeadingSlash
            | Self::BrokenEscape
            | Self::EscapedSlash
            | Self::NulByte
            | Self::ParentSegment => true,
            Self::HiddenSegment | Self::SegmentTooLong | Self::PathTooLong => false,
        }
    }
}

impl PathError {
    /// Whether the path is only too long for the name of a file.
    pub fn is_too_long(self) -> bool {
        matches!(self, Self::SegmentTooLong | Self::PathTooLong)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingLeadingSlash => "the path does not begin with a slash",
            Self::BrokenEscape => "a percent sign without two hexadecimal digits",
            Self::EscapedSlash => "an escaped slash",
            Self::NulByte => "a NUL byte",
            Self::ParentSegment => "a parent segment (..)",
            Self::HiddenSegment => "a hidden segment",
            Self::SegmentTooLong => "a segment over 255 bytes",
            Self::PathTooLong => "a path over 4095 bytes",
        })
    }
}

impl Error for PathError {}

/// A relative file name that is safe to open beneath a root, made by [`resolve`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FilePath<'a> {
    /// INVARIANT: `.`, or segments joined by single slashes, none of them empty or with a dot in front
    /// (`.well-known` in first place excepted); no NUL; within the two length bounds.
    bytes: &'a [u8],
    names_directory: bool,
}

impl<'a> FilePath<'a> {
    /// The name relative to the root, without slash at either end; `.` for the root itself.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The same for `std`.
    pub fn as_path(self) -> &'a Path {
        Path::new(OsStr::from_bytes(self.bytes))
    }

    /// Whether the request's path ended as a directory's does: in a slash (or `/.`).
    pub fn names_directory(self) -> bool {
        self.names_directory
    }
}

impl fmt::Debug for FilePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.names_directory { "/" } else { "" };
        write!(f, "\"{}{slash}\"", self.bytes.escape_ascii())
    }
}

/// Whether a path is in its normal form, and free of escapes. A path with escapes is compared by
/// [`normalize`].
#[inline]
pub fn is_surely_normal(path: &[u8]) -> bool {
    let [b'/', below @ ..] = path else { return false };
    let mut before = class::SLASH;
    let mut found = 0;
    for &byte in below {
        let class = CLASSES[usize::from(byte)];
        // The bit of a slash is one below that of what may not follow it.
        found |= class & (before << 1 | class::ESCAPED);
        before = class & class::SLASH;
    }
    found == 0
}

/// What a byte means to [`is_surely_normal`]. Paths are short: a look-up for each byte is faster than vector
/// code and its rest.
mod class {
    /// It does not stand for itself.
    pub(super) const ESCAPED: u8 = 1;
    pub(super) const SLASH: u8 = 2;
    /// A slash or a dot.
    pub(super) const NOT_BEHIND_SLASH: u8 = 4;
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'/' => class::SLASH | class::NOT_BEHIND_SLASH,
            b'.' => class::NOT_BEHIND_SLASH,
            byte if is_unescaped(byte) => 0,
            _ => class::ESCAPED,
        };
        byte += 1;
    }
    classes
};

/// Whether a byte stands for itself in a normal form: those that [`ESCAPED`] omits, the slash included.
const fn is_unescaped(byte: u8) -> bool {
    !matches!(
        byte,
        0..=b' ' | b'"' | b'#' | b'%' | b'<' | b'>' | b'?' | b'['..=b'^' | b'`' | b'{'..=b'}' | 0x7f..
    )
}

/// Appends the normal form of a path. A `%` without two hexadecimal digits stands for itself.
///
/// # Errors
/// `MissingLeadingSlash`, and `ParentSegment` for a `..`, also behind an escaped slash: a handler that
/// decodes the segment would get a path that ascends.
pub fn normalize(path: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let Some((b'/', below)) = path.split_first() else { return Err(PathError::MissingLeadingSlash) };
    out.push(b'/');
    let mut names_directory = true;
    for segment in below.split(|byte| *byte == b'/') {
        let start = out.len();
        normalize_segment(segment, out);
        names_directory = matches!(&out[start..], b"" | b".");
        if names_directory {
            out.truncate(start);
            continue;
        }
        refuse_parent(&out[start..])?;
        out.push(b'/');
    }
    if !names_directory {
        out.pop();
    }
    Ok(())
}

/// Refuses a segment that is `..`, or has it between escaped slashes.
fn refuse_parent(segment: &[u8]) -> Result<(), PathError> {
    let mut rest = segment;
    loop {
        let slash = memchr::memmem::find(rest, b"%2F");
        if &rest[..slash.unwrap_or(rest.len())] == b".." {
            return Err(PathError::ParentSegment);
        }
        let Some(slash) = slash else { return Ok(()) };
        rest = &rest[slash + b"%2F".len()..];
    }
}

fn normalize_segment(segment: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut rest = segment;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => match decode_escape(*high, *low) {
                Ok(byte) => (byte, tail),
                Err(_) => (b'%', &rest[1..]),
            },
            (byte, tail) => (*byte, tail),
        };
        if is_unescaped(byte) && byte != b'/' {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        rest = tail;
    }
}

/// Whether a path has the segments of its normal form, each in a spelling of its own: no empty and no `.`
/// segments, and no escapes of bytes that need none in any part of a URI (RFC 3986 §2.3). Such a path is
/// forwarded as it was sent; recipients may read any other in another way than it was matched.
pub fn has_same_segments(path: &[u8]) -> bool {
    let [b'/', below @ ..] = path else { return false };
    let last = below.split(|byte| *byte == b'/').count() - 1;
    let segments = below.split(|byte| *byte == b'/').enumerate();
    let mut changed = segments.filter(|(at, segment)| {
        segment == b"." || segment.is_empty() && *at != last || has_vain_escape(segment)
    });
    changed.next().is_none()
}

/// Whether an unreserved byte is escaped.
fn has_vain_escape(segment: &[u8]) -> bool {
    let escapes = segment.windows(3).filter(|window| window[0] == b'%');
    let mut decoded = escapes.filter_map(|window| decode_escape(window[1], window[2]).ok());
    decoded.any(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Maps the path of a request target, without its query, to the name of a file.
///
/// A plain path is checked and returned without a copy; otherwise the name is written into `scratch`, which
/// is cleared first and never grows past `PATH_BYTES_MAX` + `SEGMENT_BYTES_MAX` + 2 bytes of content.
pub fn resolve<'a>(raw: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<FilePath<'a>, PathError> {
    let Some((b'/', below)) = raw.split_first() else { return Err(PathError::MissingLeadingSlash) };
    if is_plain(raw) {
        let names_directory = raw.ends_with(b"/");
        let bytes = below.strip_suffix(b"/").unwrap_or(below);
        return Ok(FilePath { bytes: if bytes.is_empty() { b"." } else { bytes }, names_directory });
    }
    let names_directory = rewrite(below, scratch)?;
    if scratch.is_empty() {
        scratch.push(b'.');
    }
    Ok(FilePath { bytes: scratch, names_directory })
}

/// Appends a path in a form valid in a Location field: it begins with exactly one slash, so that it cannot be
/// parsed as `//host`, and holds no byte that could end the line or that a browser interprets.
///
/// Takes a decoded path, with or without leading slash; `.` is the root. A trailing slash is kept.
pub fn encode_path(path: &[u8], out: &mut Vec<u8>) {
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let below = match &path[slashes..] {
        b"." => b"",
        below => below,
    };
    out.push(b'/');
    for piece in percent_encode(below, ESCAPED) {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Whether a path that begins with a slash can be used unchanged.
///
/// Checks every byte and its successor without an early exit, so that it compiles to vector code.
#[inline]
fn is_plain(raw: &[u8]) -> bool {
    if raw.len() > SEGMENT_BYTES_MAX {
        return false;
    }
    let pairs = raw.iter().zip(&raw[1..]);
    let needs_care = pairs.fold(false, |found, (&byte, &next)| {
        // The first byte is the leading slash, so checking successors covers all others.
        found | (next == b'%') | (next == 0) | ((byte == b'/') & ((next == b'/') | (next == b'.')))
    });
    !needs_care
}

/// Decodes segment by segment into `out`; returns whether the path is a directory's.
#[cold]
fn rewrite(below: &[u8], out: &mut Vec<u8>) -> Result<bool, PathError> {
    out.clear();
    let mut names_directory = false;
    for raw_segment in below.split(|byte| *byte == b'/') {
        let joint = out.len();
        if joint > 0 {
            out.push(b'/');
        }
        let start = out.len();
        decode_segment(raw_segment, out)?;
        let segment = &out[start..];
        names_directory = matches!(segment, b"" | b".");
        if names_directory {
            out.truncate(joint);
        } else if segment == b".." {
            return Err(PathError::ParentSegment);
        } else if segment[0] == b'.' && (start > 0 || segment != WELL_KNOWN) {
            return Err(PathError::HiddenSegment);
        } else if out.len() > PATH_BYTES_MAX {
            return Err(PathError::PathTooLong);
        }
    }
    Ok(names_directory)
}

/// Appends one segment with its escapes decoded, once.
fn decode_segment(raw_segment: &[u8], out: &mut Vec<u8>) -> Result<(), PathError> {
    let bound = out.len() + SEGMENT_BYTES_MAX;
    let mut rest = raw_segment;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => (decode_escape(*high, *low)?, tail),
            (b'%', _) => return Err(PathError::BrokenEscape),
            (byte, tail) => (*byte, tail),
        };
        match byte {
            0 => return Err(PathError::NulByte),
            b'/' => return Err(PathError::EscapedSlash),
            _ if out.len() == bound => return Err(PathError::SegmentTooLong),
            byte => out.push(byte),
        }
        rest = tail;
    }
    Ok(())
}

fn decode_escape(high: u8, low: u8) -> Result<u8, PathError> {
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(PathError::BrokenEscape);
    // Two hexadecimal digits are at most 0xFF.
    Ok((digit(high)? << 4 | digit(low)?) as u8)
}

#[cfg(test)]
mod tests;
