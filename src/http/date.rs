//! HTTP dates (RFC 9110 §5.6.7): one format is written, three are parsed, and the `Date` line is cached for
//! the current second. Reads no clock: every function is given the time in Unix seconds.
//!
//! The calendar is that of `time`. Digits and names are parsed and formatted here, because its parsers accept
//! signs and do not check weekdays.

use time::{Date, Month, OffsetDateTime, Weekday};

/// Length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const IMF_FIXDATE_LEN: usize = 29;

/// Length of a whole `Date` line: name, colon, space, date, CRLF.
pub const DATE_LINE_LEN: usize = DATE_NAME.len() + IMF_FIXDATE_LEN + 2;

/// The format has four digits for the year: the first second of year 0 and the last of 9999.
const UNIX_SECONDS_MIN: i64 = -62_167_219_200;
const UNIX_SECONDS_MAX: i64 = 253_402_300_799;

const DATE_NAME: &[u8; 6] = b"Date: ";

/// Sunday first.
const WEEKDAYS: [&[u8]; 7] =
    [b"Sunday", b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday"];

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Formats a time as IMF-fixdate, the only format that a server may send.
///
/// Times before year 0 and after 9999 are formatted as its first and last second.
pub fn write_imf_fixdate(unix_seconds: i64) -> [u8; IMF_FIXDATE_LEN] {
    let time = utc(unix_seconds);
    let mut text = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(&WEEKDAYS[usize::from(time.weekday().number_days_from_sunday())][..3]);
    write_digits(&mut text[5..7], time.day().into());
    text[8..11].copy_from_slice(month_name(time.month()));
    write_digits(&mut text[12..16], time.year().unsigned_abs());
    for (at, number) in [(17, time.hour()), (20, time.minute()), (23, time.second())] {
        write_digits(&mut text[at..at + 2], number.into());
    }
    text
}

/// Date and time of day in UTC; times before year 0 and after 9999 are clamped.
pub(crate) fn utc(unix_seconds: i64) -> OffsetDateTime {
    let unix_seconds = unix_seconds.clamp(UNIX_SECONDS_MIN, UNIX_SECONDS_MAX);
    OffsetDateTime::from_unix_timestamp(unix_seconds).expect("the years 0 to 9999 are representable")
}

/// The abbreviated name of a month.
pub(crate) fn month_name(month: Month) -> &'static [u8; 3] {
    MONTHS[usize::from(u8::from(month)) - 1]
}

/// Fills `text` with the last digits of `number`.
pub(crate) fn write_digits(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Parses a date in any of the three formats that a recipient must accept: IMF-fixdate, RFC 850 and asctime.
///
/// `None` for anything else, for invalid days, and for a wrong weekday. The two-digit year of RFC 850 means
/// the latest such year that is not more than 50 years after `now` (in Unix seconds).
pub fn parse_http_date(value: &[u8], now: i64) -> Option<i64> {
    match value.len() {
        IMF_FIXDATE_LEN => parse_imf_fixdate(value),
        ASCTIME_LEN => parse_asctime(value),
        _ => parse_rfc850(value, now),
    }
}

const ASCTIME_LEN: usize = 24;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf_fixdate(value: &[u8]) -> Option<i64> {
    let weekday = weekday(&value[..3], |name| &name[..3])?;
    let marks = &value[3..5] == b", " && value[7] == b' ' && value[11] == b' ' && value[16] == b' ';
    if !marks || &value[25..] != b" GMT" {
        return None;
    }
    let date = date(number(&value[12..16])?, month(&value[8..11])?, number(&value[5..7])?)?;
    moment(weekday, date, &value[17..25])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(value: &[u8], now: i64) -> Option<i64> {
    let comma = value.iter().position(|byte| *byte == b',')?;
    let weekday = weekday(&value[..comma], |name| name)?;
    let rest = value[comma..].strip_prefix(b", ").filter(|rest| rest.len() == 22)?;
    if rest[2] != b'-' || rest[6] != b'-' || rest[9] != b' ' || &rest[18..] != b" GMT" {
        return None;
    }
    let (day, month, digits) = (number(&rest[..2])?, month(&rest[3..6])?, number(&rest[7..9])?);
    // RFC 9110 §5.6.7: a year more than 50 years ahead is in the past.
    let now = utc(now);
    let last = now.year() + 50;
    let year = last - last % 100 + i32::try_from(digits).ok()?;
    let ahead = (year, u8::from(month), day, seconds(&rest[10..18])?)
        > (
            last,
            now.month().into(),
            now.day().into(),
            i64::from(now.hour()) * 3600 + i64::from(now.minute()) * 60 + i64::from(now.second()),
        );
    let date = date((if ahead { year - 100 } else { year }).try_into().ok()?, month, day)?;
    moment(weekday, date, &rest[10..18])
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(value: &[u8]) -> Option<i64> {
    let weekday = weekday(&value[..3], |name| &name[..3])?;
    if value[3] != b' ' || value[7] != b' ' || value[10] != b' ' || value[19] != b' ' {
        return None;
    }
    let day = if value[8] == b' ' { number(&value[9..10])? } else { number(&value[8..10])? };
    let date = date(number(&value[20..])?, month(&value[4..7])?, day)?;
    moment(weekday, date, &value[11..19])
}

/// The weekday with this name, which is `form` of its full one.
fn weekday(text: &[u8], form: impl Fn(&'static [u8]) -> &'static [u8]) -> Option<Weekday> {
    let from_sunday = WEEKDAYS.iter().position(|name| form(name) == text)?;
    Some(Weekday::Sunday.nth_next(from_sunday as u8))
}

fn month(text: &[u8]) -> Option<Month> {
    let index = MONTHS.iter().position(|name| name[..] == *text)?;
    Month::try_from(index as u8 + 1).ok()
}

/// At most four digits, and nothing else.
fn number(text: &[u8]) -> Option<u32> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn date(year: u32, month: Month, day: u32) -> Option<Date> {
    Date::from_calendar_date(year.try_into().ok()?, month, day.try_into().ok()?).ok()
}

/// `08:49:37`, in seconds. Leap seconds are refused, because Unix time has none.
fn seconds(text: &[u8]) -> Option<i64> {
    let (hour, minute, second) = (number(&text[..2])?, number(&text[3..5])?, number(&text[6..])?);
    let fits = text[2] == b':' && text[5] == b':' && hour < 24 && minute < 60 && second < 60;
    fits.then(|| i64::from(hour * 3600 + minute * 60 + second))
}

fn moment(weekday: Weekday, date: Date, time: &[u8]) -> Option<i64> {
    let midnight = date.midnight().assume_utc().unix_timestamp();
    (date.weekday() == weekday).then_some(midnight + seconds(time)?)
}

/// The line `Date: …` with its CRLF, formatted only when the second changes.
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

    /// The line for the given time. A clock that was set back takes effect.
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
        self.line[DATE_NAME.len()..DATE_LINE_LEN - 2]
            .copy_from_slice(&write_imf_fixdate(unix_seconds.cast_signed()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The instant of RFC 9110's own examples.
    const EXAMPLE: i64 = 784_111_777;

    /// In November 2026.
    const NOW: i64 = 1_795_000_000;

    fn parsed(text: &[u8]) -> Option<i64> {
        parse_http_date(text, NOW)
    }

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
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (i64::MIN, "Sat, 01 Jan 0000 00:00:00 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&write_imf_fixdate(unix_seconds)).unwrap(), written);
        }
    }

    #[test]
    fn reads_the_three_forms() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parsed(text.as_bytes()), Some(EXAMPLE), "{text}");
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
            b"Sun, +6 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov -994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 08-49-37 GMT",
            b"Sun, 06-Nov-94 08:49:37 GMT",
            b"Sunday, 06-Nov-1994 08:49:37 GMT",
            b"Sun Nov 06 08:49:37 94  ",
            b"Sun, 06 Nov 1994 08:49:37 GM\xd4",
            b"\xff\xfe",
            b"Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            b"Monday, ",
            b"Sunday, 06-Nov-94",
        ] {
            assert_eq!(parsed(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn dates_before_1970_are_dates() {
        for (text, unix_seconds) in [
            (&b"Wed, 31 Dec 1969 23:59:59 GMT"[..], -1),
            (b"Wed Dec 31 23:59:59 1969", -1),
            (b"Mon, 01 Jan 1900 00:00:00 GMT", -2_208_988_800),
            (b"Sat, 01 Jan 0000 00:00:00 GMT", UNIX_SECONDS_MIN),
        ] {
            assert_eq!(parsed(text), Some(unix_seconds), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn two_digits_of_a_year_are_at_most_fifty_years_ahead() {
        let at = |text: &[u8]| parsed(text).unwrap();
        // What is read is written the same way.
        let reads_as = |short: &[u8], now: &[u8], long: &[u8]| {
            let got = parse_http_date(short, at(now)).map(write_imf_fixdate);
            assert_eq!(got.as_ref().map(|text| &text[..]), Some(long), "{}", short.escape_ascii());
        };
        let now = b"Sat, 28 Nov 2026 12:00:00 GMT";
        reads_as(b"Saturday, 28-Nov-76 12:00:00 GMT", now, b"Sat, 28 Nov 2076 12:00:00 GMT");
        reads_as(b"Sunday, 28-Nov-76 12:00:01 GMT", now, b"Sun, 28 Nov 1976 12:00:01 GMT");
        reads_as(b"Monday, 29-Nov-76 12:00:00 GMT", now, b"Mon, 29 Nov 1976 12:00:00 GMT");
        reads_as(b"Saturday, 01-Jan-00 00:00:00 GMT", now, b"Sat, 01 Jan 2000 00:00:00 GMT");
        reads_as(b"Friday, 31-Dec-99 00:00:00 GMT", now, b"Fri, 31 Dec 1999 00:00:00 GMT");
        // The century ahead counts as soon as it is near enough.
        let now = b"Thu, 01 Jan 2060 00:00:00 GMT";
        reads_as(b"Saturday, 02-Jan-10 00:00:00 GMT", now, b"Sat, 02 Jan 2010 00:00:00 GMT");
        reads_as(b"Tuesday, 31-Dec-09 23:59:59 GMT", now, b"Tue, 31 Dec 2109 23:59:59 GMT");
    }

    #[test]
    fn the_line_follows_the_second() {
        const EXAMPLE: u64 = super::tests::EXAMPLE.cast_unsigned();
        let mut line = DateLine::new(EXAMPLE);
        assert_eq!(line.at(EXAMPLE), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(line.at(EXAMPLE), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
        assert_eq!(line.at(EXAMPLE + 1), b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
        assert_eq!(line.at(EXAMPLE - 60), b"Date: Sun, 06 Nov 1994 08:48:37 GMT\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(unix_seconds in UNIX_SECONDS_MIN..=UNIX_SECONDS_MAX) {
            prop_assert_eq!(parsed(&write_imf_fixdate(unix_seconds)), Some(unix_seconds));
        }

        /// Another make of the same.
        #[test]
        fn httpdate_reads_and_writes_the_same(unix_seconds in 0..=UNIX_SECONDS_MAX) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix_seconds.cast_unsigned());
            let text = httpdate::fmt_http_date(time);
            prop_assert_eq!(text.as_bytes(), &write_imf_fixdate(unix_seconds)[..]);
        }

        #[test]
        fn damage_is_survived(
            unix_seconds in 0..=UNIX_SECONDS_MAX, at in 0..IMF_FIXDATE_LEN, byte: u8, now: i64
        ) {
            let mut text = write_imf_fixdate(unix_seconds);
            text[at] = byte;
            let read = parse_http_date(&text, now);
            prop_assert!(read.is_none_or(|read| write_imf_fixdate(read) == text));
        }

        #[test]
        fn any_bytes_are_survived(value in prop::collection::vec(any::<u8>(), 0..64), now: i64) {
            let _ = parse_http_date(&value, now);
        }
    }
}
