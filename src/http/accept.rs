//! The Accept field (RFC 9110 §12.5.1): the weight of a media type. Knows no particular type.

/// The greatest weight, in thousandths: most preferred.
pub const WEIGHT_MAX: u16 = 1000;

/// The weight of a media type such as `text/html`, without parameters, over all lines of the field: 0 is not
/// acceptable. Without a field every type has the greatest weight.
///
/// The most specific matching range decides: `text/html`, then `text/*`, then `*/*`. Parameters of a range
/// other than its weight are ignored; malformed elements are skipped.
pub fn weight_of<'a>(lines: impl IntoIterator<Item = &'a [u8]>, media_type: &str) -> u16 {
    let wanted = media_type.as_bytes();
    let family = wanted.split(|byte| *byte == b'/').next().unwrap_or_default();
    let mut best: Option<(u8, u16)> = None;
    let mut is_absent = true;
    for element in lines.into_iter().flat_map(|line| line.split(|byte| *byte == b',')) {
        is_absent = false;
        let mut parts = element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let specificity = match range {
            _ if range.eq_ignore_ascii_case(wanted) => 2,
            [prefix @ .., b'/', b'*'] if prefix.eq_ignore_ascii_case(family) => 1,
            b"*/*" => 0,
            _ => continue,
        };
        let Some(weight) = weight(parts) else { continue };
        if best.is_none_or(|(known, _)| specificity > known) {
            best = Some((specificity, weight));
        }
    }
    if is_absent { WEIGHT_MAX } else { best.map_or(0, |(_, weight)| weight) }
}

/// Whether the field names the type itself, and not only a range that it is in.
pub fn names<'a>(lines: impl IntoIterator<Item = &'a [u8]>, media_type: &str) -> bool {
    let elements = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b','));
    let range =
        |element: &'a [u8]| element.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    elements.map(range).any(|range| range.eq_ignore_ascii_case(media_type.as_bytes()))
}

/// The weight among parameters; `None` if it is malformed.
fn weight<'a>(parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    for parameter in parameters {
        if let [b'q' | b'Q', b'=', number @ ..] = parameter {
            return parse_weight(number);
        }
    }
    Some(WEIGHT_MAX)
}

/// `qvalue`: a number from 0 to 1 with at most three decimals, in thousandths (§12.4.2).
pub(super) fn parse_weight(number: &[u8]) -> Option<u16> {
    let (whole, decimals) = match number {
        [whole @ (b'0' | b'1')] => (whole, &b""[..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * WEIGHT_MAX;
    for (digit, unit) in decimals.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        weight += u16::from(digit - b'0') * unit;
    }
    (weight <= WEIGHT_MAX).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_or_only_taken() {
        for (line, is_named) in [
            ("text/html", true),
            ("image/png, Text/HTML;q=0.5", true),
            ("text/*, */*", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            assert_eq!(names([line.as_bytes()], "text/html"), is_named, "{line}");
        }
    }

    #[test]
    fn the_most_specific_range_decides() {
        // The example of RFC 9110 §12.5.1, without levels.
        let accept = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, */*;q=0.5";
        for (field, media_type, weight) in [
            (accept, "text/plain", 700),
            (accept, "text/html", 300),
            (accept, "image/jpeg", 500),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html", 1000),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json", 800),
            ("application/json", "text/html", 0),
            ("APPLICATION/JSON ; q=0.25", "application/json", 250),
            ("*/*;q=0", "text/html", 0),
            ("text/html;q=0, */*", "text/html", 0),
            ("text/html;q=2, text/*;q=0.1", "text/html", 100),
            ("text/*", "textual/html", 0),
            ("text", "text/html", 0),
            ("", "text/html", 0),
        ] {
            assert_eq!(weight_of([field.as_bytes()], media_type), weight, "{field:?} {media_type}");
        }
        assert_eq!(weight_of([], "text/html"), 1000);
        assert_eq!(weight_of([&b"a/b"[..], b"text/html;q=0.5"], "text/html"), 500);
    }

    #[test]
    fn weights() {
        for (number, weight) in
            [("0", 0), ("1", 1000), ("0.", 0), ("1.000", 1000), ("0.001", 1), ("0.5", 500)]
        {
            assert_eq!(parse_weight(number.as_bytes()), Some(weight), "{number}");
        }
        for number in ["", "2", "1.001", "0.1234", ".5", "-1", "0,5", "0.x"] {
            assert_eq!(parse_weight(number.as_bytes()), None, "{number}");
        }
    }
}
