//! Figures as people read them: three digits and a unit that fits, thousands set apart, text that cannot
//! steer a terminal, a command line that a shell takes back. Knows nothing of results.

/// What stands where there is no figure.
pub(crate) const NONE: &str = "–";

/// A duration: `812 µs`, `1.24 ms`, `62.1 s`.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    // The unit is that of the rounded figure: 999.7 µs is 1.00 ms, not 1,000 µs.
    let (scale, unit) = match value {
        v if v < 999.5 => return format!("{nanoseconds} ns"),
        v if v < 999.5e3 => (1e3, "µs"),
        v if v < 999.5e6 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    format!("{} {unit}", three_digits(value / scale))
}

/// A duration, or [`NONE`].
pub(crate) fn duration_or_none(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or_else(|| NONE.to_string(), duration)
}

/// Seconds: `10.0 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{} s", three_digits(seconds))
}

/// A count: `1,234,567`.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `9,998/s`.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", three_digits(per_second))
}

/// Bytes: `13 B`, `12.4 MB`.
pub(crate) fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            return if unit == "B" {
                format!("{value:.0} B")
            } else {
                format!("{} {unit}", three_digits(value))
            };
        }
        value /= 1000.0;
    }
    format!("{} PB", three_digits(value))
}

/// A share: `12.3 %`. What is not nothing is not printed as `0 %`, nor what is not all as `100 %`.
pub(crate) fn share(part: f64, whole: f64) -> String {
    let percent = 100.0 * part / whole;
    match percent {
        p if !p.is_finite() => NONE.to_string(),
        p if p <= 0.0 => "0 %".to_string(),
        p if p < 0.001 => "< 0.001 %".to_string(),
        p if p < 0.1 => format!("{p:.3} %"),
        p if p < 10.0 => format!("{p:.2} %"),
        p if p > 99.99 && p < 100.0 => "> 99.99 %".to_string(),
        p if (99.95..100.0).contains(&p) => format!("{p:.2} %"),
        p => format!("{p:.1} %"),
    }
}

/// Three digits, or all of them before the point.
pub(crate) fn three_digits(value: f64) -> String {
    match value.abs() {
        v if !v.is_finite() => NONE.to_string(),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ if value < 0.0 => format!("-{}", count(-value.round() as u64)),
        _ => count(value.round() as u64),
    }
}

/// Text without what steers a terminal: control characters, and those that turn the direction of writing.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// A command line that a shell reads back as these arguments.
pub(crate) fn command_line(arguments: &[String]) -> String {
    let quoted: Vec<String> = arguments.iter().map(|argument| quote(argument)).collect();
    quoted.join(" ")
}

fn quote(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_string();
    }
    if !argument.chars().any(steers) {
        return format!("'{}'", argument.replace('\'', r"'\''"));
    }
    // bash, zsh and POSIX 2024 know $'…'; nothing older can hold a newline in one line.
    let mut text = String::from("$'");
    for c in argument.chars() {
        match c {
            '\n' => text.push_str(r"\n"),
            '\r' => text.push_str(r"\r"),
            '\t' => text.push_str(r"\t"),
            '\'' | '\\' => text.extend(['\\', c]),
            c if steers(c) => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                text.push_str(&format!(r"\x{byte:02x}"));
            }),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_the_unit_that_fits() {
        for (nanoseconds, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (812_345, "812 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (12_449_000, "12.4 ms"),
            (99_960_000, "100 ms"),
            (1_000_000_000, "1.00 s"),
            (3_600_000_000_000, "3,600 s"),
        ] {
            assert_eq!(duration(nanoseconds), text);
        }
        assert_eq!(duration_or_none(None), "–");
    }

    #[test]
    fn counts_rates_and_bytes_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.5, 12.34, 9_998.4].map(rate), ["0.50/s", "12.3/s", "9,998/s"]);
        assert_eq!([13.0, 999.9, 12.4e6, 2e18].map(bytes), ["13 B", "1.00 kB", "12.4 MB", "2,000 PB"]);
        assert_eq!(three_digits(f64::NAN), "–");
        assert_eq!(three_digits(-1234.0), "-1,234");
    }

    #[test]
    fn shares_round_neither_to_nothing_nor_to_all() {
        assert_eq!(share(0.0, 5.0), "0 %");
        assert_eq!(share(1.0, 1e7), "< 0.001 %");
        assert_eq!(share(999_999.0, 1e6), "> 99.99 %");
        assert_eq!(share(9_997.0, 1e4), "99.97 %");
        assert_eq!(share(3.0, 3.0), "100.0 %");
        assert_eq!(share(1.0, 8.0), "12.5 %");
        assert_eq!(share(0.0, 0.0), "–");
    }

    #[test]
    fn a_shell_reads_the_command_line_back() {
        let arguments = ["loadgen", "-H", "a: it's", "", "$(rm -rf /)", "two\nlines\t\u{1b}[31m'\\", "é b"];
        let line = command_line(&arguments.map(String::from));
        assert!(!line.chars().any(steers), "{line}");
        let script = format!("printf '%s\\0' {line}");
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        let read: Vec<&[u8]> = output.stdout.split(|&byte| byte == 0).collect();
        assert_eq!(read[..arguments.len()], arguments.map(str::as_bytes));
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\r\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}");
    }
}
