//! PEM files: what is accepted has only whole blocks, is accepted again as it was written, and holds as many
//! certificates as the decoder finds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::net::tls::pem::{blocks, certificates};

fuzz_target!(|text: &[u8]| {
    let Ok(normal) = blocks(text) else {
        assert!(certificates(text).is_err());
        return;
    };
    assert_eq!(blocks(&normal).as_deref(), Ok(&*normal));
    let count = |start: &str| {
        normal.split(|byte| *byte == b'\n').filter(|line| line.starts_with(start.as_bytes())).count()
    };
    assert_eq!(count("-----BEGIN "), count("-----END "));
    if let Ok(certificates) = certificates(text) {
        assert_eq!(certificates.len(), count("-----BEGIN CERTIFICATE-----"));
    }
});
