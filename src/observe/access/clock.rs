//! Timestamps of log lines: the text of a second is formatted once a second, and the wall clock is read once
//! a second; in between, the caller's instants are used.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::date::{month_name, utc, write_digits};

/// How long one reading of the wall clock is used. A clock adjustment takes effect within this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The clock of one core's log, or of the writer.
#[derive(Debug)]
pub(super) struct LogClock {
    looked_at: Instant,
    /// Time since the epoch, at `looked_at`.
    wall: Duration,
    stamp: Stamp,
}

impl LogClock {
    pub(super) fn new(now: Instant) -> Self {
        let wall = since_epoch();
        Self { looked_at: now, wall, stamp: Stamp::new(wall.as_secs()) }
    }

    /// The timestamp of `now`.
    pub(super) fn at(&mut self, now: Instant) -> &Stamp {
        let mut since = now.saturating_duration_since(self.looked_at);
        if since >= LOOK_EVERY {
            (self.looked_at, self.wall, since) = (now, since_epoch(), Duration::ZERO);
        }
        let wall = self.wall + since;
        self.stamp.set(wall.as_secs(), wall.subsec_millis());
        &self.stamp
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A moment in the two formats of logs, in UTC.
#[derive(Debug)]
pub(super) struct Stamp {
    unix_seconds: u64,
    /// `2026-11-22T17:51:41.123Z` (RFC 3339).
    rfc3339: [u8; 24],
    /// `22/Nov/2026:17:51:41 +0000`.
    common: [u8; 26],
}

impl Stamp {
    pub(super) fn new(unix_seconds: u64) -> Self {
        let mut stamp = Self {
            unix_seconds,
            rfc3339: *b"0000-00-00T00:00:00.000Z",
            common: *b"00/Jan/0000:00:00:00 +0000",
        };
        stamp.rewrite(unix_seconds);
        stamp
    }

    #[inline]
    pub(super) fn set(&mut self, unix_seconds: u64, millis: u32) {
        if unix_seconds != self.unix_seconds {
            self.rewrite(unix_seconds);
        }
        let digit = |by: u32| b'0' + (millis / by % 10) as u8;
        self.rfc3339[20..23].copy_from_slice(&[digit(100), digit(10), digit(1)]);
    }

    #[cold]
    fn rewrite(&mut self, unix_seconds: u64) {
        self.unix_seconds = unix_seconds;
        let time = utc(unix_seconds.try_into().unwrap_or(i64::MAX));
        let (year, day) = (time.year().unsigned_abs(), time.day().into());
        write_digits(&mut self.rfc3339[0..4], year);
        write_digits(&mut self.rfc3339[5..7], u8::from(time.month()).into());
        write_digits(&mut self.rfc3339[8..10], day);
        for (at, number) in [(11, time.hour()), (14, time.minute()), (17, time.second())] {
            write_digits(&mut self.rfc3339[at..at + 2], number.into());
        }
        write_digits(&mut self.common[0..2], day);
        self.common[3..6].copy_from_slice(month_name(time.month()));
        write_digits(&mut self.common[7..11], year);
        self.common[12..20].copy_from_slice(&self.rfc3339[11..19]);
    }

    /// RFC 3339 with milliseconds.
    pub(super) fn rfc3339(&self) -> &[u8] {
        &self.rfc3339
    }

    /// The time of day with milliseconds.
    pub(super) fn time_of_day(&self) -> &[u8] {
        &self.rfc3339[11..23]
    }

    /// In the format of the Common Log Format, without brackets.
    pub(super) fn common(&self) -> &[u8] {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_in_both_forms() {
        for (unix_seconds, rfc3339, common) in [
            (784_111_777, "1994-11-06T08:49:37.000Z", "06/Nov/1994:08:49:37 +0000"),
            (951_782_400, "2000-02-29T00:00:00.000Z", "29/Feb/2000:00:00:00 +0000"),
            (1_798_675_199, "2026-12-30T23:59:59.000Z", "30/Dec/2026:23:59:59 +0000"),
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
        ] {
            let stamp = Stamp::new(unix_seconds);
            assert_eq!(stamp.rfc3339().escape_ascii().to_string(), rfc3339);
            assert_eq!(stamp.common().escape_ascii().to_string(), common);
        }
    }

    #[test]
    fn milliseconds_and_seconds_are_followed() {
        let mut stamp = Stamp::new(0);
        stamp.set(61, 7);
        assert_eq!(stamp.rfc3339(), b"1970-01-01T00:01:01.007Z");
        assert_eq!(stamp.time_of_day(), b"00:01:01.007");
        stamp.set(60, 999);
        assert_eq!(stamp.rfc3339(), b"1970-01-01T00:01:00.999Z");
    }

    #[test]
    fn time_is_counted_from_the_instants_given() {
        let start = Instant::now();
        let mut clock = LogClock::new(start);
        clock.wall = Duration::from_millis(10_250);
        assert_eq!(clock.at(start).rfc3339(), b"1970-01-01T00:00:10.250Z");
        assert_eq!(clock.at(start + Duration::from_millis(800)).rfc3339(), b"1970-01-01T00:00:11.050Z");
        // Read again: no longer in 1970.
        assert!(clock.at(start + Duration::from_millis(1000)).rfc3339() > &b"2000"[..]);
    }
}
