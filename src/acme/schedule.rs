//! When a certificate is renewed, and when a failure is tried again. Arithmetic on times that are passed in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Renewal comes when this part of the lifetime is left: a third, as CAs advise, is a month of ninety days
/// for everything that may fail meanwhile.
const LEFT: u32 = 3;

/// Renewals are spread over this part of the lifetime before that, so that many servers that began together
/// do not come back together.
const SPREAD: u32 = 30;

/// However late the CA would like it (RFC 9773), this part of the lifetime stays for failures.
const LEFT_MIN: u32 = 6;

/// However early the CA would like it, a certificate reaches this part of its lifetime: a CA whose window
/// lies in the past for ever would otherwise be asked for certificates without end.
const AGE_MIN: u32 = 90;

/// A moment in the lifetime of a certificate at which to renew it; `chance` in 0..1 places it.
pub(super) fn renewal(not_before: SystemTime, not_after: SystemTime, chance: f64) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let spread = (lifetime / SPREAD).mul_f64(chance.clamp(0.0, 1.0));
    not_after - lifetime / LEFT - spread
}

/// The same, where the CA suggests a window (RFC 9773 §4.2: any moment in it, chosen at random).
pub(super) fn suggested(
    not_before: SystemTime,
    not_after: SystemTime,
    window: (SystemTime, SystemTime),
    chance: f64,
) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let length = window.1.duration_since(window.0).unwrap_or_default();
    let wanted = window.0 + length.mul_f64(chance.clamp(0.0, 1.0));
    wanted.max(not_before + lifetime / AGE_MIN).min(not_after - lifetime / LEFT_MIN)
}

/// How long to wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure. Default: 1 min; an answer from a DNS server or a firewall is often wrong for
    /// that long.
    pub first: Duration,
    /// The most. Default: 1 day; a certificate has a month when the first renewal fails.
    pub last: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(60), last: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Each wait is so many times the one before. CAs count failures by the hour (Let's Encrypt: 5 per name):
/// with 3 the fifth comes after 40 min, and the sixth, which would be refused, after two hours.
const FACTOR: u32 = 3;

impl Backoff {
    /// The wait after so many failures in a row: at least what the CA asked for, and up to a quarter longer
    /// as `chance` in 0..1 will have it.
    pub fn after(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let factor = FACTOR.saturating_pow(failures.saturating_sub(1));
        let wait = self.first.saturating_mul(factor).min(self.last);
        let wait = wait.max(asked.unwrap_or_default().min(ASKED_MAX));
        wait + (wait / 4).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// Rate limits of CAs are at most weeks; a longer wait is a mistake of somebody's.
const ASKED_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What `Retry-After` says (RFC 9110 §10.2.3), in seconds or as a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// A moment as RFC 3339 writes it; fractions of seconds are dropped.
pub(super) fn rfc3339(text: &str) -> Option<SystemTime> {
    let text = text.as_bytes();
    let number = |at: std::ops::Range<usize>| -> Option<u64> {
        let digits = text.get(at).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let mark = |at: usize, wanted: u8| (*text.get(at)?).eq_ignore_ascii_case(&wanted).then_some(());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    for (at, wanted) in [(4, b'-'), (7, b'-'), (10, b't'), (13, b':'), (16, b':')] {
        mark(at, wanted)?;
    }
    let bounds = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !bounds || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = 19;
    if text.get(rest) == Some(&b'.') {
        rest += 1;
        rest += text[rest..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = match *text.get(rest)? {
        b'Z' | b'z' if text.len() == rest + 1 => seconds,
        sign @ (b'+' | b'-') if text.len() == rest + 6 => {
            mark(rest + 3, b':')?;
            let offset = number(rest + 1..rest + 3)? * 3600 + number(rest + 4..rest + 6)? * 60;
            if sign == b'+' { seconds.checked_sub(offset)? } else { seconds + offset }
        }
        _ => return None,
    };
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Days since 1970. Years begin in March here, so that the leap day is the last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month > 2 { year } else { year - 1 };
    let month = (month + 9) % 12;
    let leaps = year / 4 - year / 100 + year / 400;
    365 * year + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u32) -> SystemTime {
        UNIX_EPOCH + DAY * days
    }

    #[test]
    fn renewal_comes_with_a_third_left_and_some_earlier() {
        assert_eq!(renewal(at(0), at(90), 0.0), at(60));
        assert_eq!(renewal(at(0), at(90), 1.0), at(57));
        assert_eq!(renewal(at(0), at(90), 7.0), at(57), "chance is bounded");
        assert_eq!(renewal(at(90), at(0), 0.5), at(0), "a certificate that ends before it begins");
    }

    #[test]
    fn the_ca_may_suggest_a_window_within_reason() {
        assert_eq!(suggested(at(0), at(90), (at(30), at(40)), 0.5), at(35));
        assert_eq!(suggested(at(0), at(90), (at(89), at(90)), 0.5), at(75));
        assert_eq!(suggested(at(10), at(100), (at(0), at(1)), 0.5), at(11), "not at once for ever");
        assert_eq!(suggested(at(0), at(90), (at(40), at(30)), 0.5), at(40), "a window that is none");
    }

    #[test]
    fn failures_are_tried_again_ever_later() {
        let backoff = Backoff::default();
        let minutes = |failures| backoff.after(failures, None, 0.0).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 5, 6, 7].map(minutes), [1, 3, 9, 27, 81, 243, 729]);
        assert_eq!(minutes(8), 24 * 60);
        assert_eq!(minutes(u32::MAX), 24 * 60);
        assert_eq!(backoff.after(1, None, 1.0), Duration::from_secs(75));
        assert_eq!(backoff.after(1, Some(DAY * 3), 0.0), DAY * 3, "the CA's word");
        assert_eq!(backoff.after(1, Some(DAY * 3000), 0.0), DAY * 14);
        assert_eq!(backoff.after(3, Some(Duration::from_secs(1)), 0.0), Duration::from_secs(540));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn moments_are_read() {
        let known = httpdate::parse_http_date("Thu, 29 Feb 2024 23:59:58 GMT").ok();
        for text in [
            "2024-02-29T23:59:58Z",
            "2024-02-29t23:59:58.123456z",
            "2024-03-01T01:59:58+02:00",
            "2024-02-29T22:29:58-01:30",
        ] {
            assert_eq!(rfc3339(text), known, "{text}");
        }
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(UNIX_EPOCH));
        for text in [
            "",
            "2024-02-29",
            "2024-02-29T23:59:58",
            "2024-02-29T23:59:58Zx",
            "2024-13-29T23:59:58Z",
            "2024-02-29T24:59:58Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+02:00",
            "2024-02-29T23:59:58+0200",
            "+024-02-29T23:59:58Z",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
    }
}
