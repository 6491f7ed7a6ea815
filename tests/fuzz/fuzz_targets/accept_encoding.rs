//! The Accept-Encoding field: what is chosen was accepted, and is the same however the lines are cut; a
//! client that says nothing readable gets the file as it is.
//!
//! Input: which codings are at hand, then the field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::accept_encoding::{AcceptEncoding, Coding};

fuzz_target!(|input: (u8, &[u8])| {
    let (at_hand, value) = input;
    let available = |coding: Coding| at_hand & 1 << coding as u8 != 0;
    let accepted = AcceptEncoding::parse([value]);
    let chosen = accepted.choose(available);
    if chosen != Coding::Identity {
        assert!(accepted.accepts(chosen) && available(chosen));
        assert_eq!(Coding::of_token(chosen.token().as_bytes()), Some(chosen));
    }
    assert_eq!(accepted.choose(|_| false), Coding::Identity);

    let lines: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
    assert_eq!(AcceptEncoding::parse(lines), accepted, "lines are one list");
});
