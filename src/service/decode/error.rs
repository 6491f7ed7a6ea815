//! Decoding errors: serde's messages, and their translation for clients.

use std::fmt;

use serde::de;

/// Longest excerpt of a client's text that an error repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// Longest reason. A custom one may repeat its input.
const REASON_CHARS_MAX: usize = 300;

/// The class of a fault, which decides the status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FaultKind {
    /// The text is not in its format.
    Malformed,
    /// The text is in its format, but exceeds a limit.
    TooMany,
    /// The text is in its format, but does not fit the type.
    Unfit,
    /// The type needs a parameter that the route does not have: a bug. The reason is for its author.
    Program,
}

/// A failure to decode: its place and its reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// A JSON pointer, or the name of a parameter or field; empty for the whole.
    pub(crate) place: String,
    /// Continues a sentence that begins with the place: `must be a number, not "x"`.
    pub(crate) reason: String,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind, place: place.into(), reason: reason.into() }
    }
}

/// An error while it propagates through a type's own decoding.
#[derive(Debug)]
pub(super) struct DecodeError {
    kind: FaultKind,
    place: Option<String>,
    message: String,
}

impl DecodeError {
    pub(super) fn new(kind: FaultKind, message: impl fmt::Display) -> Self {
        Self { kind, place: None, message: message.to_string() }
    }

    /// Sets its place, unless an inner value has set one.
    pub(super) fn at(mut self, place: &str) -> Self {
        self.place.get_or_insert_with(|| shortened(place, QUOTED_CHARS_MAX));
        self
    }

    /// Whether its place is set.
    pub(super) fn is_placed(&self) -> bool {
        self.place.is_some()
    }

    /// Whether it concerns the set of values rather than one of them.
    pub(super) fn is_about_shape(&self) -> bool {
        ["missing field", "invalid type", "invalid length"].iter().any(|s| self.message.starts_with(s))
    }

    pub(super) fn into_fault(self) -> Fault {
        let FaultReason { child, text } = FaultReason::of(&self.message);
        Fault { kind: self.kind, place: self.place.or(child).unwrap_or_default(), reason: text }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(FaultKind::Unfit, message)
    }
}

/// One of serde's messages, translated for a client.
#[derive(Debug, PartialEq)]
pub(super) struct FaultReason {
    /// The field that the message names, where it is below the place of the error.
    pub(super) child: Option<String>,
    pub(super) text: String,
}

impl FaultReason {
    /// Messages are serde's own formats (`serde::de::Error`); a type's own message is left as it is.
    pub(super) fn of(message: &str) -> Self {
        let whole = |text: String| Self { child: None, text: shortened(&text, REASON_CHARS_MAX) };
        let quoted = |rest: &str| {
            let end = rest.rfind('`').unwrap_or(rest.len());
            shortened(&rest[..end], QUOTED_CHARS_MAX)
        };
        let below = |rest: &str, text: String| Self {
            child: Some(quoted(rest)),
            text: shortened(&text, REASON_CHARS_MAX),
        };
        if let Some(name) = message.strip_prefix("missing field `") {
            return below(name, "is missing".into());
        }
        if let Some(name) = message.strip_prefix("duplicate field `") {
            return below(name, "is given more than once".into());
        }
        if message.starts_with("data did not match any variant of untagged enum") {
            return whole("is none of the forms that are accepted here".into());
        }
        // The client's value comes first and may contain anything, so the last `expected` is serde's.
        let Some((found, expected)) = message.rsplit_once(", expected ") else {
            return whole(message.into());
        };
        if let Some(name) = found.strip_prefix("unknown field `") {
            return below(name, format!("is not known here; known are {}", names(expected)));
        }
        if let Some(name) = found.strip_prefix("unknown variant `") {
            return whole(format!("must be {}, not {:?}", names(expected), quoted(name)));
        }
        if let Some(length) = found.strip_prefix("invalid length ") {
            return whole(format!("must be {}, not of length {length}", in_plain_words(expected)));
        }
        let type_or_value =
            found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "));
        match type_or_value {
            Some(found) => whole(format!("must be {}, not {}", in_plain_words(expected), sent(found))),
            None => whole(message.into()),
        }
    }
}

/// `` one of `a`, `b` `` as `a, b`.
fn names(expected: &str) -> String {
    let list = expected.strip_prefix("one of ").unwrap_or(expected);
    let names: Vec<&str> = list.split(", ").map(|name| name.trim_matches('`')).collect();
    match names.as_slice() {
        [one] => (*one).to_string(),
        [first, second] if expected.contains("` or `") => format!("{first} or {second}"),
        many if expected.starts_with("one of ") => format!("one of {}", many.join(", ")),
        many => many.join(", "),
    }
    .replace('`', "")
}

/// The value that serde found, in the client's terms.
fn sent(found: &str) -> String {
    for kind in ["boolean `", "integer `", "floating point `", "character `"] {
        if let Some(value) = found.strip_prefix(kind) {
            return shortened(value.trim_end_matches('`'), QUOTED_CHARS_MAX);
        }
    }
    if let Some(text) = found.strip_prefix("string ") {
        let end = if text.chars().count() > QUOTED_CHARS_MAX { "…\"" } else { "" };
        let start: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        return format!("{start}{end}");
    }
    match found {
        "sequence" => "an array".into(),
        "map" => "an object".into(),
        "unit value" | "null" | "Option value" => "null".into(),
        other => shortened(other, QUOTED_CHARS_MAX),
    }
}

/// What a type expects, without its name. A type's own words are left as they are.
fn in_plain_words(expected: &str) -> String {
    let words = expected.split(' ').collect::<Vec<_>>();
    match words.as_slice() {
        ["u8"] => "a whole number from 0 to 255".into(),
        ["u16"] => "a whole number from 0 to 65535".into(),
        ["u32"] => format!("a whole number from 0 to {}", u32::MAX),
        ["u64" | "u128" | "usize"] => "a whole number from 0 up".into(),
        ["i8"] => "a whole number from -128 to 127".into(),
        ["i16"] => "a whole number from -32768 to 32767".into(),
        ["i32"] => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        ["i64" | "i128" | "isize"] => "a whole number".into(),
        ["f32" | "f64"] => "a number".into(),
        ["a", "nonzero", number] => format!("{} other than 0", in_plain_words(number)),
        ["a", "boolean"] => "true or false".into(),
        ["a", "string"] => "text".into(),
        ["a", "character"] => "one character".into(),
        ["unit"] => "null".into(),
        ["a", "sequence"] | ["tuple" | "newtype", "struct" | "variant", _] => "an array".into(),
        ["a", "map"] | ["struct", ..] => "an object".into(),
        ["tuple", "struct" | "variant", _, "with", n, _] | ["a", "tuple", "of", "size", n] => {
            format!("an array of {n}")
        }
        ["an", "array", "of", "length", n] => format!("an array of {n}"),
        ["unit", "struct", _] => "null".into(),
        ["unit", "variant", _] | ["enum", _] | ["variant", "identifier"] => {
            "the name of one of the choices".into()
        }
        ["internally" | "adjacently", "tagged", "enum", _] => "an object that names its kind".into(),
        _ => expected.into(),
    }
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        let reason = FaultReason::of(message);
        reason.child.map_or_else(String::new, |child| format!("[{child}] ")) + &reason.text
    }

    #[test]
    fn messages_become_reasons() {
        for (message, reason) in [
            ("invalid type: string \"x\", expected u8", "must be a whole number from 0 to 255, not \"x\""),
            ("invalid value: integer `-1`, expected u64", "must be a whole number from 0 up, not -1"),
            ("invalid type: map, expected a sequence", "must be an array, not an object"),
            ("invalid type: null, expected struct Order", "must be an object, not null"),
            ("invalid type: integer `1`, expected struct Order with 2 elements", "must be an object, not 1"),
            ("invalid length 1, expected a tuple of size 2", "must be an array of 2, not of length 1"),
            (
                "invalid length 3, expected tuple struct P with 2 elements",
                "must be an array of 2, not of length 3",
            ),
            ("invalid type: boolean `true`, expected a date", "must be a date, not true"),
            ("missing field `a`b`", "[a`b] is missing"),
            ("duplicate field `a`", "[a] is given more than once"),
            ("unknown field `c`, expected `a` or `b`", "[c] is not known here; known are a or b"),
            ("unknown variant `c`, expected one of `a`, `b`, `d`", "must be one of a, b, d, not \"c\""),
            ("unknown variant `c`, expected `a`", "must be a, not \"c\""),
            (
                "data did not match any variant of untagged enum E",
                "is none of the forms that are accepted here",
            ),
            ("must be in the future", "must be in the future"),
            ("invalid type: string \", expected \", expected a string", "must be text, not \", expected \""),
        ] {
            assert_eq!(text(message), reason, "{message}");
        }
    }

    #[test]
    fn what_a_client_sent_is_repeated_in_part() {
        let long = "ä".repeat(10_000);
        for message in [
            format!("invalid type: string \"{long}\", expected u8"),
            format!("unknown variant `{long}`, expected `a`"),
            format!("missing field `{long}`"),
            format!("{long} is wrong"),
        ] {
            let reason = FaultReason::of(&message);
            assert!(reason.text.chars().count() <= REASON_CHARS_MAX + 1);
            assert!(reason.child.unwrap_or_default().chars().count() <= QUOTED_CHARS_MAX + 1);
        }
    }
}
