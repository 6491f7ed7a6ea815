//! The path of a request target, until the target's own parser takes this place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::path;

fuzz_target!(|input: &[u8]| {
    let _ = path::resolve(input, &mut Vec::new());
});
