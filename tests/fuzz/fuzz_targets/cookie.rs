//! The Cookie field: any bytes are read, and what is written as Set-Cookie is read back as it was meant.
//!
//! Input: a name, a value, then the field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::cookie::{self, SetCookie};

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (name, value, line) = input;
    for (name, value) in cookie::pairs([line].into_iter()) {
        assert!(!name.is_empty() && !name.contains([';', '=']) && !value.contains(&b';'));
    }
    if let Ok(written) = SetCookie::new(name, value).to_value() {
        assert!(written.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let sent = written.split(|byte| *byte == b';').next().expect("split has a first");
        assert_eq!(cookie::pairs([sent].into_iter()).next(), Some((name, value.as_bytes())));
    }
});
