//! When a certificate is renewed, and when a failed attempt is repeated. Arithmetic on times that are passed
//! in.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::http::date::parse_http_date;

/// Renewal begins when this part of the lifetime is left: a third, as CAs advise, leaves a month of ninety
/// days for failures.
const LEFT: u32 = 3;

/// Renewals are spread over this part of the lifetime before that, so that servers which started together do
/// not renew together.
const SPREAD: u32 = 30;

/// However late the CA's renewal window (RFC 9773), this part of the lifetime is kept for failures.
const LEFT_MIN: u32 = 6;

/// However early the window, a certificate reaches this part of its lifetime: a CA whose window always lies
/// in the past would otherwise be asked for certificates without end.
const AGE_MIN: u32 = 90;

/// When to renew a certificate with this lifetime; `chance` in 0..1 selects the moment.
pub(super) fn renewal(not_before: SystemTime, not_after: SystemTime, chance: f64) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let spread = (lifetime / SPREAD).mul_f64(chance.clamp(0.0, 1.0));
    not_after - lifetime / LEFT - spread
}

/// The same with a window from the CA (RFC 9773 §4.2: a uniformly random moment in it).
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

/// Delays after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure. Default: 1 min; DNS or firewall errors often last that long.
    pub first: Duration,
    /// Longest delay. Default: 1 day; a certificate has a month left when the first renewal fails.
    pub last: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(60), last: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Factor between delays. CAs count failures by the hour (Let's Encrypt: 5 per name): with 3 the fifth comes
/// after 40 min, and the sixth, which would be refused, after two hours.
const FACTOR: u32 = 3;

impl Backoff {
    /// The delay after this many consecutive failures: at least the CA's `Retry-After`, plus up to a quarter,
    /// selected by `chance` in 0..1.
    pub fn after(&self, failures: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let factor = FACTOR.saturating_pow(failures.saturating_sub(1));
        let wait = self.first.saturating_mul(factor).min(self.last);
        let wait = wait.max(asked.unwrap_or_default().min(ASKED_MAX));
        wait + (wait / 4).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// Rate limits of CAs last weeks at most; a longer delay is a mistake of the CA.
const ASKED_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Parses `Retry-After` (RFC 9110 §10.2.3): seconds or a date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = parse_http_date(value.as_bytes(), OffsetDateTime::from(now).unix_timestamp())?;
    let date = OffsetDateTime::from_unix_timestamp(date).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// Parses an RFC 3339 time, from 1970 on.
pub(super) fn rfc3339(text: &str) -> Option<SystemTime> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(SystemTime::from(moment)).filter(|moment| *moment >= UNIX_EPOCH)
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
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn moments_are_read() {
        let known = Some(UNIX_EPOCH + Duration::from_secs(1_709_251_198));
        for text in [
            "2024-02-29T23:59:58Z",
            "2024-02-29t23:59:58z",
            "2024-02-29T23:59:58.000Z",
            "2024-03-01T01:59:58+02:00",
            "2024-02-29T22:29:58-01:30",
        ] {
            assert_eq!(rfc3339(text), known, "{text}");
        }
        let fraction = known.map(|known| known + Duration::from_micros(123_456));
        assert_eq!(rfc3339("2024-02-29T23:59:58.123456Z"), fraction);
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
