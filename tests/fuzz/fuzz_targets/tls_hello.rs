//! The first record of a client: no input panics, and a part of a record is not read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::net::tls::hello::Hello;

fuzz_target!(|record: &[u8]| {
    let Some(hello) = Hello::read(record) else { return };
    let _ =
        (hello.prefers_chacha(), hello.asks_for_challenge(), hello.server_name(), hello.offers_early_data());
    let length = 5 + usize::from(u16::from_be_bytes([record[3], record[4]]));
    assert_eq!(Hello::read(&record[..length]), Some(hello), "what follows the record does not matter");
    for end in 0..length {
        assert_eq!(Hello::read(&record[..end]), None, "cut at {end}");
    }
});
