//! Dates as HTTP writes them (RFC 9110 §5.6.7): one form out, three forms in, and the `Date` line kept
//! ready for the current second. Knows no clock: every function is told the time in Unix seconds.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use httpdate::HttpDate;

/// Length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const IMF_FIXDATE_LEN: usize = 29;

/// Length of a whole `Date` line: name, colon, space, date, CRLF.
pub const DATE_LINE_LEN: usize = DATE_NAME.len() + IMF_FIXDATE_LEN + 2;

/// `Fri, 31 Dec 9999 23:59:59 GMT`: the format has four digits for the year, so nothing later can be written.
const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

const DATE_NAME: &[u8; 6] = b"Date: ";

/// Writes a time as an IMF-fixdate, the only form a server may send.
///
/// Times after the year 9999 are written as its last second.
pub fn write_imf_fixdate(unix_seconds: u64) -> [u8; IMF_FIXDATE_LEN] {
    let time = UNIX_EPOCH + Duration::from_secs(unix_seconds.min(UNIX_SECONDS_MAX));
    let mut text = FixedText { bytes: [b' '; IMF_FIXDATE_LEN], filled: 0 };
    write!(text, "{}", HttpDate::from(time)).expect("an IMF-fixdate is always 29 bytes long");
    debug_assert_eq!(text.filled, IMF_FIXDATE_LEN);
    text.bytes
}

/// Reads a date in any of the three forms a recipient must accept: IMF-fixdate, RFC 850 and asctime.
///
/// `None` for anything else, for days that do not exist, for a weekday that does not fit, and for times
/// before 1970. An RFC 850 year has two digits: 70 to 99 mean 1970 to 1999, 00 to 69 mean 2000 to 2069.
pub fn parse_http_date(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The line `Date: …` with its CRLF, rewritten only when the second changes.
///
/// One per core: a response copies 37 bytes instead of formatting a date.
#[derive(Clone, Debug)]
pub struct DateLine {
    unix_seconds: u64,
    line: [u8; DATE_LINE_LEN],
}

impl DateLine {
    /// A line for the given time.
    pub fn new(unix_seconds: u64) -> Self {
        let mut line = [0; DATE_LINE_LEN];
        line[..DATE_NAME.len()].copy_from_slice(DATE_NAME);
        line[DATE_LINE_LEN - 2..].copy_from_slice(b"\r\n");
        let mut date_line = Self { unix_seconds, line };
        date_line.rewrite(unix_seconds);
        date_line
    }

    /// The line for the given time. A clock that was set back is followed back.
    #[inline]
    pub fn at(&mut self, unix_seconds: u64) -> &[u8; DATE_LINE_LEN] {
        if self.unix_seconds != unix_seconds {
            self.rewrite(unix_seconds);
        }
        &self.line
    }

    #[cold]
    fn rewrite(&mut self, unix_seconds: u64) {
        self.unix_seconds = unix_seconds;
        self.line[DATE_NAME.len()..DATE_LINE_LEN - 2].copy_from_slice(&write_imf_fixdate(unix_seconds));
    }
}

/// Where the formatter writes: 29 bytes and not one more.
struct FixedText {
    bytes: [u8; IMF_FIXDATE_LEN],
    filled: usize,
}

impl Write for FixedText {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.filled + piece.len();
        let room = self.bytes.get_mut(self.filled..end).ok_or(std::fmt::Error)?;
        room.copy_from_slice(piece.as_bytes());
        self.filled = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The instant of RFC 9110's own examples.
    const EXAMPLE: u64 = 784_111_777;

    #[test]
    fn writes_imf_fixdate() {
        for (unix_seconds, written) in [
            (EXAMPLE, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (UNIX_SECONDS_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (UNIX_SECONDS_MAX + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&write_imf_fixdate(unix_seconds)).unwrap(), written);
        }
    }

    #[test]
    fn reads_the_three_forms() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_http_date(text.as_bytes()), Some(EXAMPLE), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            &b""[..],
            b"0",
            b"784111777",
            b"yesterday",
            b"Sun, 06 Nov 1994 08:49:37",
            b"Sun, 06 Nov 1994 08:49:37 UTC",
            b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            b"sun, 06 nov 1994 08:49:37 gmt",
            b"Mon, 06 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:00:00 GMT",
            b"Sun, 06 Nov 1994 08:60:37 GMT",
            b"Sun, 06 Nov 1994 08:49:60 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Tue, 30 Feb 1999 08:49:37 GMT",
            b"Wed, 31 Dec 1969 23:59:59 GMT",
            b"Sun, 06 Nov 1994 08:49:37 GM\xd4",
            b"\xff\xfe",
            b"Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            b"Monday, ",
            b"Sunday, 06-Nov-94",
        ] {
            assert_eq!(parse_http_date(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn the_line_follows_the_second() {
        let mut line = DateLine::new(EXAMPLE);
        assert_eq!(line.at(EXAMPLE), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(line.at(EXAMPLE), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(line.at(EXAMPLE + 1), b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
        assert_eq!(line.at(EXAMPLE - 60), b"Date: Sun, 06 Nov 1994 08:48:37 GMT\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(unix_seconds in 0..=UNIX_SECONDS_MAX) {
            prop_assert_eq!(parse_http_date(&write_imf_fixdate(unix_seconds)), Some(unix_seconds));
        }

        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_http_date(&value);
        }
    }
}
