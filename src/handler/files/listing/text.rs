//! Names, sizes and times as a listing shows them.

use std::fmt::Write;

use crate::http::date::utc;
use crate::http::path;

/// A name as text that stays on its line and in its direction: invalid UTF-8 and characters that reorder text
/// become U+FFFD, control characters their pictures. For display only: links use [`relative_link`].
pub(super) fn display_name(name: &[u8]) -> String {
    let shown = |character: char| match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => '\u{fffd}',
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        other => other,
    };
    String::from_utf8_lossy(name).chars().map(shown).collect()
}

/// A link to an entry of the listed directory. It begins with `./`, so that no name can be parsed as a
/// scheme, a query or another host.
pub(super) fn relative_link(name: &[u8], is_dir: bool) -> String {
    let mut link = vec![b'.'];
    path::encode_path(name, &mut link);
    if is_dir {
        link.push(b'/');
    }
    String::from_utf8(link).expect("what is percent-encoded is ASCII")
}

/// `1023 B`, `1.5 KiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    // A value that would be shown as 1024.0 is shown in the next unit.
    while scaled >= 1023.95 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A time in UTC as RFC 3339 writes it: `2026-11-22T18:30:00Z`. Years are kept to four digits.
pub(super) fn time(unix_seconds: i64) -> String {
    let (date, time) = (utc(unix_seconds).date(), utc(unix_seconds).time());
    let (year, month, day) = date.to_calendar_date();
    let (hour, minute, second) = time.as_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_play_tricks() {
        assert_eq!(display_name(b"plain.txt"), "plain.txt");
        assert_eq!(display_name("\u{5d0}\u{5d1}.txt".as_bytes()), "\u{5d0}\u{5d1}.txt");
        assert_eq!(display_name(b"two\nlines\t\x7f"), "two\u{240a}lines\u{2409}\u{2421}");
        assert_eq!(display_name("\u{202e}txt.exe\u{2028}".as_bytes()), "\u{fffd}txt.exe\u{fffd}");
        assert_eq!(display_name(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn links_stay_in_the_directory() {
        assert_eq!(relative_link(b"a.txt", false), "./a.txt");
        assert_eq!(relative_link(b"a b", true), "./a%20b/");
        assert_eq!(relative_link(b"javascript:alert(1)", false), "./javascript:alert(1)");
        assert_eq!(relative_link(b"\"'<>&?#%\\\n\xff", false), "./%22'%3C%3E&%3F%23%25%5C%0A%FF");
    }

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn times() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (i64::MIN, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(seconds), shown);
        }
    }
}
