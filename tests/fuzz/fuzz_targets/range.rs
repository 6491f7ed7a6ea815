//! The Range field: whatever is asked for, what is answered lies within the representation, and the same
//! bytes asked for plainly are the same answer.
//!
//! Input: eight bytes of length, then the field.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::range::{self, PARTS_MAX, RangeOutcome, RangeSpecs};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, value) = input;
    match range::parse(value, length) {
        RangeOutcome::Whole => {}
        RangeOutcome::Unsatisfiable => {
            let mut out = Vec::new();
            range::write_content_range_unsatisfied(&mut out, length);
            assert_eq!(out, format!("bytes */{length}").into_bytes());
        }
        RangeOutcome::Partial(bytes) => {
            assert!(bytes.start < bytes.end && bytes.end <= length);
            let last = bytes.end - 1;
            let mut out = Vec::new();
            range::write_content_range(&mut out, &bytes, length);
            assert_eq!(out, format!("bytes {}-{last}/{length}", bytes.start).into_bytes());
            let plainly = format!("bytes={}-{last}", bytes.start);
            assert_eq!(range::parse(plainly.as_bytes(), length), RangeOutcome::Partial(bytes));
        }
        RangeOutcome::Several(parts) => {
            assert!((2..=PARTS_MAX).contains(&parts.len()));
            let mut sorted = parts.clone();
            sorted.sort_by_key(|part| part.start);
            assert!(sorted.iter().all(|part| part.start < part.end && part.end <= length));
            assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start), "parts keep their distance");
            assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() < length);
            let plainly: Vec<_> =
                parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
            let plainly = format!("bytes={}", plainly.join(","));
            assert_eq!(range::parse(plainly.as_bytes(), length), RangeOutcome::Several(parts));
        }
    }

    let specs = RangeSpecs::of_bytes(value).into_iter().flatten();
    let mut ended = false;
    for spec in specs {
        assert!(!ended, "nothing follows a malformed element");
        match spec {
            Ok(spec) => {
                if let Some(bytes) = spec.resolve(length) {
                    assert!(bytes.start < bytes.end && bytes.end <= length);
                }
            }
            Err(_) => ended = true,
        }
    }
});
