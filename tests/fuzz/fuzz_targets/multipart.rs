//! Multipart bodies: however the pieces are cut, the same parts come out, and no more data than went in.
//!
//! Input: a byte of which pieces are one longer, then the body. Its boundary is `x`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::multipart::{MultipartDecoder, MultipartEvent, MultipartLimits, PartHead};

type Parts = Vec<(PartHead, Vec<u8>)>;

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Parts, String> {
    let mut decoder =
        MultipartDecoder::new("x", MultipartLimits { parts_max: 8, ..MultipartLimits::DEFAULT });
    let mut parts = Parts::new();
    for mut rest in pieces {
        while !rest.is_empty() {
            let step = decoder.handle_bytes(rest).map_err(|error| error.to_string())?;
            match step.event {
                MultipartEvent::NeedsMore => assert_eq!(step.consumed, rest.len()),
                MultipartEvent::Part(head) => parts.push((head, Vec::new())),
                MultipartEvent::Data(range) => {
                    parts.last_mut().expect("in a part").1.extend_from_slice(&rest[range])
                }
                MultipartEvent::Held(range) => {
                    let held = &decoder.delimiter()[range];
                    parts.last_mut().expect("in a part").1.extend_from_slice(held);
                }
                MultipartEvent::PartEnd | MultipartEvent::End => {}
            }
            rest = &rest[step.consumed..];
        }
    }
    decoder.finish().map_err(|error| error.to_string())?;
    Ok(parts)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, body) = input;
    let whole = decode([body].into_iter());
    let cut = decode(body.chunks(usize::from(step) + 1));
    assert_eq!(whole, cut);
    if let Ok(parts) = whole {
        assert!(parts.len() <= 8);
        assert!(parts.iter().map(|(_, data)| data.len()).sum::<usize>() <= body.len());
        for (head, _) in &parts {
            let name = head.file_name.as_deref().unwrap_or_default();
            assert!(!name.contains(['/', '\\']) && name != "..");
        }
    }
});
