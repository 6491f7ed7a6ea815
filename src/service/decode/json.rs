//! Decodes JSON, and locates errors in it. Valid input is decoded once; only an error costs a second pass,
//! which finds its place.

use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::error::{Fault, FaultKind, FaultReason};

/// Longest pointer that is reported: serde_json's depth limit, with short names.
const POINTER_BYTES_MAX: usize = 256;

/// Makes a `T` of a JSON text. Faults are placed by a JSON pointer (RFC 6901).
pub(crate) fn from_json<T: DeserializeOwned>(text: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(text).map_err(|error| match error.classify() {
        Category::Data => locate::<T>(text, &error),
        Category::Syntax | Category::Eof | Category::Io => {
            let (line, column) = (error.line(), error.column());
            let what = without_position(&error);
            let reason = format!("is malformed in line {line}, column {column}: {what}");
            Fault::new(FaultKind::Malformed, "", reason)
        }
    })
}

fn locate<T: DeserializeOwned>(text: &[u8], first: &serde_json::Error) -> Fault {
    let mut json = serde_json::Deserializer::from_slice(text);
    let found = serde_path_to_error::deserialize::<_, T>(&mut json);
    // A type that decodes once but not twice gets its first error, without a place.
    let (mut pointer, message) = match &found {
        Err(error) => (pointer(error.path()), without_position(error.inner())),
        Ok(_) => (String::new(), without_position(first)),
    };
    let reason = FaultReason::of(&message);
    // The path of an unknown field leads to it, that of a missing one to where it should be.
    if let Some(child) = reason.child.filter(|_| !message.starts_with("unknown field")) {
        push_segment(&mut pointer, &child);
    }
    Fault::new(FaultKind::Unfit, pointer, reason.text)
}

/// The message without its ` at line 1 column 2`.
fn without_position(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if message.ends_with(&position) {
        message.truncate(message.len() - position.len());
    }
    message
}

fn pointer(path: &Path) -> String {
    let mut out = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => push_segment(&mut out, itoa::Buffer::new().format(*index)),
            Segment::Map { key } => push_segment(&mut out, key),
            Segment::Enum { variant } => push_segment(&mut out, variant),
            // Below this the type decodes from a copy, which has no places.
            Segment::Unknown => break,
        }
    }
    out
}

/// Appends a reference token, escaped (RFC 6901 §3), unless the pointer gets too long.
fn push_segment(pointer: &mut String, segment: &str) {
    if pointer.len() + segment.len() < POINTER_BYTES_MAX {
        pointer.push('/');
        pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only decoding is tested")]
    struct Order {
        customer: String,
        items: Vec<Item>,
        #[serde(default)]
        labels: HashMap<String, u8>,
        payment: Option<Payment>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only decoding is tested")]
    struct Item {
        price: f64,
        count: u8,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only decoding is tested")]
    enum Payment {
        Cash,
        Card { number: String },
    }

    fn fault(text: &str) -> (FaultKind, String) {
        let fault = from_json::<Order>(text.as_bytes()).unwrap_err();
        (fault.kind, format!("{}: {}", fault.place, fault.reason))
    }

    #[test]
    fn faults_point_at_the_field() {
        let item = |items: &str| format!(r#"{{"customer":"a","items":[{items}]}}"#);
        let more = |more: &str| format!(r#"{{"customer":"a","items":[],{more}}}"#);
        for (text, told) in [
            ("{}".into(), "/customer: is missing"),
            ("[]".into(), ": must be an object, not of length 0"),
            ("3".into(), ": must be an object, not 3"),
            (r#"{"customer":5}"#.into(), "/customer: must be text, not 5"),
            (item(r#"{"price":1,"count":2},{"price":"x"}"#), "/items/1/price: must be a number, not \"x\""),
            (item(r#"{"price":1}"#), "/items/0/count: is missing"),
            (
                item(r#"{"price":1,"count":256}"#),
                "/items/0/count: must be a whole number from 0 to 255, not 256",
            ),
            (item(r#"{"prize":1}"#), "/items/0/prize: is not known here; known are price or count"),
            (item(r#"{"price":1,"price":2}"#), "/items/0/price: is given more than once"),
            (
                more(r#""labels":{"a/b~c":-1}"#),
                "/labels/a~1b~0c: must be a whole number from 0 to 255, not -1",
            ),
            (more(r#""payment":"Gold""#), "/payment: must be Cash or Card, not \"Gold\""),
            (more(r#""payment":{"Card":{}}"#), "/payment/Card/number: is missing"),
        ] {
            assert_eq!(fault(&text), (FaultKind::Unfit, told.to_string()), "{text}");
        }
    }

    #[test]
    fn faults_hold_no_rust_names() {
        for text in
            ["1", "{\"customer\":\"\",\"items\":[1]}", "{\"customer\":\"\",\"items\":[],\"payment\":1}"]
        {
            let (_, told) = fault(text);
            for name in ["struct", "enum", "Order", "Item", "Payment", "u8", "f64", "variant"] {
                assert!(!told.contains(name), "{told}");
            }
        }
    }

    #[test]
    fn malformed_text_is_placed_by_line_and_column() {
        for (text, told) in [
            ("", ": is malformed in line 1, column 0: EOF while parsing a value"),
            ("{\n\"customer\" 1}", ": is malformed in line 2, column 12: expected `:`"),
            (
                "{\"customer\":\"a\",\"items\":[]} x",
                ": is malformed in line 1, column 29: trailing characters",
            ),
        ] {
            assert_eq!(fault(text), (FaultKind::Malformed, told.to_string()), "{text}");
        }
        let deep = from_json::<serde_json::Value>("[".repeat(1000).as_bytes()).unwrap_err();
        assert_eq!((deep.kind, deep.reason.contains("recursion")), (FaultKind::Malformed, true));
    }

    #[test]
    fn what_fits_is_decoded() {
        let order: Order = from_json(br#"{"customer":"a","items":[{"price":1,"count":2}],"x":[]}"#).unwrap();
        assert_eq!(order.items[0].count, 2);
    }
}
