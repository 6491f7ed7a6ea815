//! The first records of a client: no input panics, the pieces in which it arrives do not matter, and neither
//! do the records in which its message comes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::net::tls::hello::{HelloProgress, HelloRecords};

fuzz_target!(|input: &[u8]| {
    let mut at_once = HelloRecords::default();
    let progress = at_once.handle_input(input);
    let mut by_byte = HelloRecords::default();
    let ended = (0..=input.len()).find(|&end| by_byte.handle_input(&input[..end]) != HelloProgress::Part);
    assert_eq!(ended.is_none(), progress == HelloProgress::Part);
    assert_eq!(by_byte.hello(), at_once.hello());
    let Some(hello) = at_once.hello() else { return };
    let _ =
        (hello.prefers_chacha(), hello.asks_for_challenge(), hello.server_name(), hello.offers_early_data());
    if progress != HelloProgress::Whole {
        return;
    }
    // The content of the first records, each byte in one of its own.
    let (mut rest, mut split) = (input, Vec::new());
    while let [22, _, _, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(behind.len());
        let (fragment, next) = behind.split_at(length);
        fragment.iter().for_each(|byte| split.extend_from_slice(&[22, 3, 1, 0, 1, *byte]));
        rest = next;
    }
    let mut records = HelloRecords::default();
    assert_eq!(records.handle_input(&split), HelloProgress::Whole);
    assert_eq!(records.hello(), Some(hello));
});
