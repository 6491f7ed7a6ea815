//! Durations and counts as people write them: `5ms`, `10s`, `1.5k`. Knows nothing of what they mean.

use std::time::Duration;

/// The units of time and their nanoseconds; what has none is in seconds.
const TIMES: [(&str, u64); 6] =
    [("ns", 1), ("us", 1_000), ("µs", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000)];

/// The units of counts.
const COUNTS: [(&str, u64); 4] = [("k", 1_000), ("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];

/// Longest duration that is taken: a day.
const LONGEST_NS: u64 = 86_400_000_000_000;

/// Decimal digits kept behind the point.
const DIGITS: usize = 6;

/// Reads `5ms`, `1.5s`, `2m`, `1h`, or seconds without a unit.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let units = TIMES.iter().copied().chain([("h", 3_600_000_000_000)]);
    scaled(text, units, 1_000_000_000)
        .filter(|&ns| ns <= LONGEST_NS)
        .map(Duration::from_nanos)
        .ok_or_else(|| format!("`{text}` is no duration of up to a day; write 500ms, 10s, 1.5s, 2m or 1h"))
}

/// Reads `500`, `10k` or `1.5M`.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    scaled(text, COUNTS.into_iter(), 1)
        .ok_or_else(|| format!("`{text}` is no whole number; write 500, 10k or 1.5M"))
}

/// Reads a rate per second in millionths: `0.5`, `1000`, `1.5k`.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn rate_millionths(text: &str) -> Result<u64, String> {
    let units = COUNTS.map(|(unit, factor)| (unit, factor * 1_000_000)).into_iter();
    scaled(text, units, 1_000_000)
        .filter(|&rate| rate > 0 && rate <= 100_000_000 * 1_000_000)
        .ok_or_else(|| format!("`{text}` is no rate per second above 0; write 0.5, 1000 or 20k"))
}

/// Reads a rate per second, as [`rate_millionths`] does.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    rate_millionths(text).map(|millionths| millionths as f64 / 1e6)
}

/// Reads stages, `1k:10s,5k:30s`: rates per second in millionths, each with how long it lasts.
///
/// # Errors
/// A sentence with the remedy.
pub(crate) fn stages(text: &str) -> Result<Vec<(u64, Duration)>, String> {
    let one = |part: &str| {
        let (rate, length) = part
            .split_once(':')
            .ok_or_else(|| format!("`{part}` is no stage; write RATE:TIME, such as 1k:10s,5k:30s"))?;
        let (rate, length) = (rate_millionths(rate.trim())?, duration(length.trim())?);
        // The figures of a stage are put together from steps of whole seconds.
        if length.is_zero() || length.subsec_nanos() != 0 {
            return Err(format!("`{part}`: a stage lasts whole seconds; write for example 1k:10s"));
        }
        Ok((rate, length))
    };
    text.split(',').map(|part| one(part.trim())).collect()
}

/// A decimal with a unit, times the unit, without rounding on the way; `None` for anything else, and for
/// what does not come out whole.
fn scaled(text: &str, units: impl Iterator<Item = (&'static str, u64)>, bare: u64) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" => bare,
        unit => units.into_iter().find(|&(name, _)| name == unit)?.1,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > DIGITS || number.ends_with('.') {
        return None;
    }
    let part_scaled = match part {
        "" => 0,
        part => {
            let product = u128::from(part.parse::<u64>().ok()?) * u128::from(factor);
            let divisor = 10u128.pow(part.len() as u32);
            (product % divisor == 0).then_some(product / divisor)?
        }
    };
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(factor);
    u64::try_from(whole + part_scaled).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, ns) in
            [("10", 10_000_000_000), ("1.5s", 1_500_000_000), ("5ms", 5_000_000), ("2m", 120e9 as u64)]
        {
            assert_eq!(duration(text), Ok(Duration::from_nanos(ns)), "{text}");
        }
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86400)));
        for text in ["", "s", "-1s", "1d", "1.s", ".5s", "25h", "1e3", "1.2.3s", "99999999999999999999h"] {
            assert!(duration(text).unwrap_err().contains("10s"), "{text}");
        }
    }

    #[test]
    fn stages_are_read() {
        let second = Duration::from_secs;
        assert_eq!(stages("1k:10s, 0.5:1m"), Ok(vec![(1_000_000_000, second(10)), (500_000, second(60))]));
        for text in ["", "1k", "1k:", ":10s", "1k:0s", "1k:1.5s", "1k:10s,", "x:10s"] {
            assert!(stages(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_rates_are_read() {
        assert_eq!(count("1.5k"), Ok(1500));
        assert_eq!(count("2M"), Ok(2_000_000));
        assert!(count("1.5").is_err());
        assert_eq!(rate_millionths("0.5"), Ok(500_000));
        assert_eq!(rate_millionths("20k"), Ok(20_000_000_000));
        assert!(rate_millionths("0").is_err());
        assert_eq!((rate("2k"), rate("0.5")), (Ok(2000.0), Ok(0.5)));
        assert!(rate("-1").unwrap_err().contains("20k"));
    }
}
