//! Times, sizes and rates as people write them: `"250ms"`, `"16 KiB"`, `"100/s"`. Reads and writes them;
//! knows no file.

use std::time::Duration;

/// The longest time that can be written: a hundred years.
const TIME_MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);

/// Units of time in nanoseconds, from the largest. The first name of each is the one that is written.
const TIME_UNITS: [(&[&str], u128); 7] = [
    (&["d", "day", "days"], 86_400_000_000_000),
    (&["h", "hour", "hours"], 3_600_000_000_000),
    (&["m", "min", "minute", "minutes"], 60_000_000_000),
    (&["s", "sec", "second", "seconds"], 1_000_000_000),
    (&["ms"], 1_000_000),
    (&["us", "µs"], 1_000),
    (&["ns"], 1),
];

/// A time: a number and its unit, with or without a space, such as `1.5 s`; several in a row are added, such
/// as
/// `1h 30m`. `None` if it is none, or longer than a hundred years. `0` needs no unit.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text.trim() == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut nanoseconds: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let scale = TIME_UNITS.iter().find(|(names, _)| names.contains(&unit))?.1;
        nanoseconds = nanoseconds.checked_add(scaled(number, scale)?)?;
        rest = after.trim_start();
    }
    let time = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    (time <= TIME_MAX).then_some(time)
}

/// A time in the largest unit that it is a whole number of.
pub(super) fn write_duration(time: Duration) -> String {
    let nanoseconds = time.as_nanos();
    let is_whole = |(_, scale): &&(&[&str], u128)| nanoseconds.is_multiple_of(*scale);
    match TIME_UNITS.iter().find(is_whole) {
        _ if nanoseconds == 0 => "0s".to_owned(),
        Some((names, scale)) => format!("{}{}", nanoseconds / scale, names[0]),
        None => format!("{nanoseconds}ns"),
    }
}

/// A number of bytes, such as `16 KiB`. Units are powers of 1024, also as `K`, `kB` or `k`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let scale: u128 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "byte" | "bytes" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    u64::try_from(scaled(number, scale)?).ok()
}

/// A number of bytes in the largest unit that it is a whole number of.
pub(super) fn write_size(bytes: u64) -> String {
    let units = [(" TiB", 1u64 << 40), (" GiB", 1 << 30), (" MiB", 1 << 20), (" KiB", 1 << 10)];
    match units.iter().find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale)) {
        Some((unit, scale)) => format!("{}{unit}", bytes / scale),
        None => format!("{bytes} B"),
    }
}

/// Bytes per second, such as `240 B/s` or `1 MiB/s`.
pub(super) fn parse_byte_rate(text: &str) -> Option<u64> {
    parse_size(text.trim().strip_suffix("/s")?)
}

/// Bytes per second.
pub(super) fn write_byte_rate(rate: u64) -> String {
    format!("{}/s", write_size(rate))
}

/// Digits with at most one point between them, and what follows.
fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits(whole) && is_digits(fraction)).then_some((number, rest))
}

/// The number times the scale, without rounding: `None` where that is no whole number.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    // Twenty digits are more than any value here has, and keep the arithmetic in range.
    if whole.len() > 20 || fraction.len() > 12 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits.checked_mul(scale)?;
    let divisor = 10u128.pow(fraction.len() as u32);
    product.is_multiple_of(divisor).then_some(product / divisor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("250 ms", 250),
            ("1.5s", 1500),
            ("30s", 30_000),
            ("2 min", 120_000),
            ("2m", 120_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("365 days", 31_536_000_000),
            ("0", 0),
            (" 5 s ", 5000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for wrong in [
            "",
            "s",
            "5",
            "-1s",
            "+1s",
            "1.s",
            ".5s",
            "1..5s",
            "1 s s",
            "5x",
            "1e3s",
            "40000d",
            "1.00000000001s",
            "99999999999999999999d",
            "1S",
            "1,5s",
            "1h -5m",
            "٣s",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_and_rates_are_read() {
        for (text, bytes) in [
            ("0", 0),
            ("8192", 8192),
            ("8192 B", 8192),
            ("16 KiB", 16_384),
            ("16K", 16_384),
            ("16k", 16_384),
            ("1.5 MiB", 1_572_864),
            ("64MB", 64 << 20),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "K", "-1", "1.3", "0.3 K", "16 KiX", "16 K K", "99999999999999999999 T", "1/s"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
        assert_eq!(parse_byte_rate("240 B/s"), Some(240));
        assert_eq!(parse_byte_rate("1 MiB/s"), Some(1 << 20));
        assert_eq!(
            (parse_byte_rate("240"), parse_byte_rate("240/m"), parse_byte_rate("/s")),
            (None, None, None)
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(nanoseconds in 0..TIME_MAX.as_nanos() as u64, bytes: u64) {
            let time = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&write_duration(time)), Some(time));
            prop_assert_eq!(parse_size(&write_size(bytes)), Some(bytes));
            prop_assert_eq!(parse_byte_rate(&write_byte_rate(bytes)), Some(bytes));
            let seconds = Duration::from_secs(nanoseconds / 1_000_000_000);
            prop_assert_eq!(parse_duration(&write_duration(seconds)), Some(seconds));
        }
    }
}
