//! The fields of a head that ask for part of a representation, until the HTTP/1.1 machine takes this place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::range;

fuzz_target!(|input: &[u8]| {
    let _ = range::parse_single(input, 1 << 20);
});
