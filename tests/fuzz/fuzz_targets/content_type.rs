//! Media types, their parameters, boundaries, and percent-encoded text: any bytes are judged, what is lent is
//! part of the input, and what is encoded is decoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::content_type::ContentType;
use quoit::http::multipart::{BOUNDARY_BYTES_MAX, boundary};
use quoit::http::percent::{decode, decode_form};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, value) = input;
    if let Some(found) = ContentType::parse(value) {
        let parameter = found.parameter("boundary");
        assert!(parameter.is_none_or(|parameter| parameter.len() < value.len()));
        assert!(!(found.is("text", "plain") && found.is_json()));
    }
    if let Ok(boundary) = boundary(value) {
        assert!((1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) && boundary.is_ascii());
        assert!(!boundary.contains(['\r', '\n']));
    }
    for decoded in [decode(text), decode_form(text)].into_iter().flatten() {
        assert!(decoded.len() <= text.len());
    }
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    assert_eq!(decode(&encoded).as_deref(), Ok(text));
    assert_eq!(decode_form(&encoded).as_deref(), Ok(text));
});
