//! Preconditions: no list and no date makes the evaluation panic or contradict itself.
//!
//! Input: lines, each a field by its first letter (`M` If-Match, `N` If-None-Match, `S` If-Modified-Since,
//! `U` If-Unmodified-Since, `R` If-Range) and its value behind that.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::conditional::{
    Conditions, ETag, FileTag, MethodKind, Precondition, Validators, evaluate, if_range,
};
use quoit::http::date;

/// In November 2026.
const NOW: i64 = 1_795_000_000;

/// The values of one field, line by line.
fn values(input: &[u8], field: u8) -> impl Iterator<Item = &[u8]> + Clone {
    input.split(|byte| *byte == b'\n').filter_map(move |line| match line {
        [letter, value @ ..] if *letter == field => Some(value),
        _ => None,
    })
}

fuzz_target!(|input: &[u8]| {
    let own = FileTag::new(784_111_777, input.len() as u32, 10);
    let validators = Validators { etag: Some(own.as_etag()), last_modified: Some(784_111_777) };
    let conditions = Conditions {
        if_match: values(input, b'M'),
        if_none_match: values(input, b'N'),
        if_modified_since: values(input, b'S').next(),
        if_unmodified_since: values(input, b'U').next(),
    };
    let get = evaluate(MethodKind::GetOrHead, conditions.clone(), &validators, NOW);
    let put = evaluate(MethodKind::Other, conditions.clone(), &validators, NOW);
    assert_ne!(put, Precondition::NotModified);
    assert!(get != Precondition::Failed || put == Precondition::Failed);

    // With our own tag in front, If-Match passes and If-None-Match does not.
    let guarded = Conditions {
        if_match: std::iter::once(own.as_bytes()).chain(conditions.if_match),
        if_none_match: std::iter::once(own.as_bytes()).chain(conditions.if_none_match),
        if_modified_since: conditions.if_modified_since,
        if_unmodified_since: conditions.if_unmodified_since,
    };
    assert_eq!(evaluate(MethodKind::GetOrHead, guarded.clone(), &validators, NOW), Precondition::NotModified);
    assert_eq!(evaluate(MethodKind::Other, guarded, &validators, NOW), Precondition::Failed);

    for line in input.split(|byte| *byte == b'\n') {
        check_value(line.get(1..).unwrap_or_default(), &validators);
    }
});

fn check_value(value: &[u8], validators: &Validators<'_>) {
    if let Some(tag) = ETag::parse(value) {
        assert!(tag.weak_eq(tag));
        assert_eq!(tag.strong_eq(tag), !tag.is_weak());
        assert_eq!(if_range(value, validators, NOW), validators.etag.is_some_and(|own| own.strong_eq(tag)));
    }
    let time = date::parse_http_date(value, NOW);
    if let Some(seconds) = time {
        assert!(ETag::parse(value).is_none());
        assert_eq!(date::parse_http_date(&date::write_imf_fixdate(seconds), NOW), Some(seconds));
        assert_eq!(if_range(value, validators, NOW), validators.last_modified == time);
    }
}
