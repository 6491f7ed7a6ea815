//! Configuration files: any text is read or refused with places inside of it, and what is read is written as
//! a file that is read as the same plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::config::{Config, Depth, Environment};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Other files are none of this target's business.
    if text.contains("include") || text.contains("file") {
        return;
    }
    let environment = Environment::of([("A", "value"), ("QUOIT_STICKY_SECRET", "0123456789abcdef")]);
    match Config::from_text("/fuzz/quoit.toml", text, &environment, Depth::Structure) {
        Err(error) => {
            assert!(!error.lines().is_empty());
            assert!(!error.to_string().is_empty());
        }
        Ok(config) => {
            let written = config.to_text().expect("what was read has a form");
            let again = Config::from_text("/fuzz/quoit.toml", &written, &environment, Depth::Structure);
            let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
            assert_eq!(again.to_text().as_deref(), Ok(&*written));
            assert_eq!(again.settings, config.settings);
        }
    }
});
