//! Values of flags: numbers, times, sizes, lists. Each error says what is expected, with an example.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

/// A whole number without a sign.
pub(super) fn count(text: &str) -> Result<usize, String> {
    digits(text).ok_or_else(|| "expected a whole number, such as 4".to_owned())
}

/// As [`count`], at least 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match digits(text) {
        Some(0) | None => Err("expected a whole number, at least 1".to_owned()),
        Some(number) => Ok(number),
    }
}

/// A whole number of seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    digits(text).ok_or_else(|| "expected a whole number of seconds, such as 31536000 (a year)".to_owned())
}

/// Digits alone: `parse` would accept a sign.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// A time, as a whole number and its unit; without a unit, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

/// The longest time: a week. Longer ones are mistakes, and the ring's clock need not represent them.
const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl FromStr for Time {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a time such as 30s, 500ms, 2m or 1h, at most a week";
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = digits(number).ok_or(EXPECTED)?;
        let milliseconds = match unit {
            "ms" => 1,
            "" | "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(EXPECTED),
        };
        let time = Duration::from_millis(number.checked_mul(milliseconds).ok_or(EXPECTED)?);
        if time <= TIME_MAX { Ok(Self(time)) } else { Err(EXPECTED) }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_millis() {
            0 => write!(f, "{}s", self.0.as_secs()),
            _ => write!(f, "{}ms", self.0.as_millis()),
        }
    }
}

/// A time that is not 0.
pub(super) fn some_time(text: &str) -> Result<Time, String> {
    match text.parse()? {
        Time(Duration::ZERO) => Err("expected a time above 0, such as 30s or 500ms".to_owned()),
        time => Ok(time),
    }
}

/// A number of bytes, with K, M or G for powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a number of bytes, such as 8192, 16K, 64M or 2G";
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = digits(number).ok_or(EXPECTED)?;
        let unit = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
            "" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            _ => return Err(EXPECTED),
        };
        number.checked_mul(unit).map(Self).ok_or(EXPECTED)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 30) => write!(f, "{}G", bytes >> 30),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 20) => write!(f, "{}M", bytes >> 20),
            bytes if bytes > 0 && bytes.is_multiple_of(1 << 10) => write!(f, "{}K", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// The permissions of a socket's file, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnixMode(pub(super) u32);

impl FromStr for UnixMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected permissions in octal, such as 660 (owner and group) or 666 (everybody)";
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = if octal { u32::from_str_radix(text, 8).ok() } else { None };
        mode.filter(|&mode| mode <= 0o777).map(Self).ok_or(EXPECTED)
    }
}

/// Values of a flag that may be given several times. In its variable they are separated by line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lines<T>(pub(super) Vec<T>);

impl<T: FromStr> FromStr for Lines<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        let lines = || text.lines().filter(|line| !line.trim().is_empty());
        if lines().next().is_none() {
            // Nothing: its own error.
            return text.parse().map(|value| Self(vec![value]));
        }
        lines().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl<T> Lines<T> {
    /// The values of all occurrences, in order.
    pub(super) fn all(occurrences: Vec<Self>) -> Vec<T> {
        occurrences.into_iter().flat_map(|lines| lines.0).collect()
    }
}

/// The flags whose variable separates values by line breaks.
pub(super) const OF_LINES: [&str; 3] = ["header", "error_page", "preload"];

/// A flag of [`OF_LINES`] whose value on the command line has a line break, which there separates nothing:
/// the rest of a field that somebody else wrote must not become a field of its own.
pub(super) fn broken_line(serve: &ArgMatches) -> Option<&'static str> {
    OF_LINES.into_iter().find(|id| {
        serve.value_source(id) == Some(ValueSource::CommandLine)
            && serve.get_raw(id).is_some_and(|mut values| {
                values.any(|value| value.as_encoded_bytes().iter().any(|byte| b"\r\n".contains(byte)))
            })
    })
}

/// What is said of a flag that needs a directory.
pub(super) fn needs_directory(flag: &str) -> String {
    format!("{flag} needs a directory to serve: quoit serve DIR {flag}")
}

/// The first value that was given before.
pub(super) fn twice<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut known = Vec::new();
    for value in values {
        if known.contains(&value) {
            return Some(value);
        }
        known.push(value);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits_alone() {
        assert_eq!((count("0"), positive("12")), (Ok(0), Ok(12)));
        for wrong in ["", "x", "-1", "+1", "1.5", " 1", "99999999999999999999"] {
            let said = [count(wrong).unwrap_err(), positive(wrong).unwrap_err(), seconds(wrong).unwrap_err()];
            assert!(said.iter().all(|said| said.contains("whole number")), "{wrong}: {said:?}");
        }
        assert!(positive("0").is_err());
    }

    #[test]
    fn times_and_sizes_have_units() {
        for (text, milliseconds) in
            [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(milliseconds))), "{text}");
        }
        for wrong in ["", "s", "-1s", "1.5s", "1 s", "5x", "8d", "999h", "18446744073709551615h"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
        assert!(some_time("0s").is_err() && some_time("1ms").is_ok());
        for (text, bytes) in
            [("0", 0), ("8192", 8192), ("16K", 16384), ("16k", 16384), ("64MiB", 64 << 20), ("2GB", 2 << 30)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for wrong in ["", "K", "1T", "-1", "1.5M", "99999999999G"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
        let shown =
            [Size(16384).to_string(), Size(5).to_string(), Time(Duration::from_millis(1500)).to_string()];
        assert_eq!(shown, ["16K", "5", "1500ms"]);
    }

    #[test]
    fn permissions_are_octal() {
        assert_eq!(("660".parse(), "0600".parse()), (Ok(UnixMode(0o660)), Ok(UnixMode(0o600))));
        for wrong in ["", "6", "66", "888", "1777", "06600", "rw-", "0o66"] {
            assert!(wrong.parse::<UnixMode>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_that_repeat_are_found() {
        assert_eq!((twice([1, 2, 3]), twice([1, 2, 1])), (None, Some(1)));
    }
}
