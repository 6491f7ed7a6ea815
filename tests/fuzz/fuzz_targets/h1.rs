//! The HTTP/1.1 machines under any bytes: the same verdict however the bytes are split, whatever was read
//! before, and nothing accepted that the strict rules forbid.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::h1::{BodyDecoder, HeadProgress, RequestDecoder};

use quoit::http::message::RequestHead;
use quoit::http::message::{BodyLimits, HeadLimits, RequestError};

/// Small, so that inputs of a few hundred bytes reach every limit.
const HEAD_LIMITS: HeadLimits = HeadLimits { request_line_bytes_max: 96, head_bytes_max: 256, fields_max: 8 };
const BODY_LIMITS: BodyLimits = BodyLimits {
    body_bytes_max: Some(512),
    extension_bytes_max: 32,
    trailer_bytes_max: 64,
    trailer_fields_max: 4,
};

type Field = (String, Vec<u8>);

/// What one connection said, request by request; the last entry may be an error's text.
#[derive(PartialEq, Debug, Default)]
struct Heard {
    exchanges: Vec<(Vec<Field>, Vec<u8>)>,
    error: Option<String>,
}

/// Reads requests with their bodies until the pieces end, or the machine refuses more.
fn listen<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut decoder = RequestDecoder::new();
    let mut head = RequestHead::new();
    let mut body: Option<BodyDecoder> = None;
    let mut heard = Heard::default();
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            if let Err(error) = hear(&mut decoder, &mut head, &mut body, &mut rest, &mut heard) {
                heard.error = Some(error);
                return heard;
            }
        }
    }
    heard
}

fn hear(
    decoder: &mut RequestDecoder,
    head: &mut RequestHead,
    body: &mut Option<BodyDecoder>,
    rest: &mut &[u8],
    heard: &mut Heard,
) -> Result<(), String> {
    if let Some(reading) = body {
        let step = reading.handle_bytes(rest).map_err(|error| error.to_string())?;
        assert!(step.consumed > 0 && step.data.end <= step.consumed && step.consumed <= rest.len());
        heard.exchanges.last_mut().expect("a body follows a head").1.extend_from_slice(&rest[step.data]);
        *rest = &rest[step.consumed..];
        if reading.is_done() {
            *body = None;
        }
        return Ok(());
    }
    match decoder.handle_bytes(rest, &HEAD_LIMITS, head) {
        Ok(HeadProgress::Incomplete) => *rest = &[],
        Ok(HeadProgress::Complete { consumed }) => {
            assert!(decoder.is_idle());
            check(head);
            *rest = &rest[consumed..];
            let fields = head.fields().map(|(name, value)| (name.to_string(), value.to_vec())).collect();
            heard.exchanges.push((fields, head.target().as_bytes().to_vec()));
            let reading =
                BodyDecoder::new(head.framing(), &BODY_LIMITS).map_err(|error| error.to_string())?;
            *body = (!reading.is_done()).then_some(reading);
        }
        Err(error) => {
            assert_ne!(error, RequestError::Disagreement, "tokenizer and scan disagree");
            return Err(error.to_string());
        }
    }
    Ok(())
}

/// What holds for every head that was accepted.
fn check(head: &RequestHead) {
    // A target that was encoded is longer than it was received.
    let line_bytes_max = HEAD_LIMITS.request_line_bytes_max;
    assert!(head.len_bytes() <= usize::from(HEAD_LIMITS.head_bytes_max + line_bytes_max));
    assert!(head.fields().len() <= usize::from(HEAD_LIMITS.fields_max));
    assert!(head.target().bytes().all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)));
    let named = |name| head.fields_named(name).count();
    assert!(named("host") <= 1);
    assert!(named("content-length") + named("transfer-encoding") <= 1);
    for (name, value) in head.fields() {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        assert!(value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
        assert_eq!(value.trim_ascii(), value);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, wire)) = data.split_first() else { return };
    let whole = listen(std::iter::once(wire));
    let bytes = listen(wire.chunks(1));
    let pieces = listen(wire.chunks(usize::from(size).max(1)));
    for split in [bytes, pieces] {
        // A line that has begun badly is refused at once when it comes in one piece, and may wait for its end
        // when it does not; everything else is the same.
        assert_eq!(whole.exchanges, split.exchanges);
        if split.error.is_some() {
            assert_eq!(whole.error, split.error);
        }
    }
});
