//! The response decoder and the body decoder behind it under any bytes: the same verdict however the bytes
//! are split, nothing accepted that the strict rules forbid, and accepted heads with the parts that httparse
//! finds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quoit::http::h1::{BodyDecoder, RequestFacts, ResponseDecoder, ResponseProgress};
use quoit::http::message::{BodyLimits, Framing, ResponseError, ResponseHead, ResponseLimits, Version};
use quoit::http::method::Method;

/// Small, so that inputs of a few hundred bytes reach every limit.
const LIMITS: ResponseLimits = ResponseLimits { head_bytes_max: 256, fields_max: 8, interim_max: 3 };
const BODY_LIMITS: BodyLimits = BodyLimits {
    body_bytes_max: Some(512),
    extension_bytes_max: 32,
    trailer_bytes_max: 64,
    trailer_fields_max: 4,
};

/// What one connection received, head by head.
#[derive(PartialEq, Debug, Default)]
struct Received {
    /// Each with its body, or with what came through the tunnel.
    heads: Vec<(Vec<u8>, Vec<u8>)>,
    is_tunnel: bool,
    error: Option<String>,
}

struct Client {
    facts: RequestFacts,
    decoder: ResponseDecoder,
    head: ResponseHead,
    body: Option<BodyDecoder>,
    /// Everything since the current head began.
    unread: Vec<u8>,
    received: Received,
}

/// Reads responses, all to the same request, until the pieces end or the machine refuses.
fn read_all<'a>(pieces: impl Iterator<Item = &'a [u8]>, facts: RequestFacts) -> Received {
    let mut client = Client {
        facts,
        decoder: ResponseDecoder::new(),
        head: ResponseHead::new(),
        body: None,
        unread: Vec::new(),
        received: Received::default(),
    };
    for piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            match client.handle(rest) {
                Ok(consumed) => rest = &rest[consumed..],
                Err(error) => {
                    client.received.error = Some(error);
                    return client.received;
                }
            }
        }
    }
    if let Some(body) = &mut client.body {
        assert_eq!(body.end_of_input().is_ok(), body.is_done());
    }
    client.received
}

impl Client {
    fn handle(&mut self, input: &[u8]) -> Result<usize, String> {
        if self.received.is_tunnel {
            self.last().extend_from_slice(input);
            return Ok(input.len());
        }
        if let Some(body) = &mut self.body {
            let step = body.handle_bytes(input).map_err(|error| error.to_string())?;
            assert!(step.consumed > 0 && step.data.end <= step.consumed && step.consumed <= input.len());
            if body.is_done() {
                self.body = None;
            }
            self.last().extend_from_slice(&input[step.data]);
            return Ok(step.consumed);
        }
        let progress =
            self.decoder.handle_bytes(input, &LIMITS, &self.facts, &mut self.head).map_err(|error| {
                assert_ne!(error, ResponseError::Disagreement, "tokenizer and scan disagree");
                format!("{error:?}")
            })?;
        let (consumed, framing) = match progress {
            ResponseProgress::Incomplete => {
                self.unread.extend_from_slice(input);
                return Ok(input.len());
            }
            ResponseProgress::Interim { consumed } => {
                assert!(self.head.status().is_informational());
                (consumed, Framing::None)
            }
            ResponseProgress::Complete { consumed, body } => {
                assert!(!self.head.status().is_informational());
                (consumed, body)
            }
            ResponseProgress::Tunnel { consumed } => {
                self.received.is_tunnel = true;
                (consumed, Framing::None)
            }
        };
        self.unread.extend_from_slice(&input[..consumed]);
        self.check(framing);
        self.received.heads.push((std::mem::take(&mut self.unread), Vec::new()));
        let body = BodyDecoder::new(framing, &BODY_LIMITS).map_err(|error| error.to_string())?;
        self.body = (!body.is_done()).then_some(body);
        Ok(consumed)
    }

    fn last(&mut self) -> &mut Vec<u8> {
        &mut self.received.heads.last_mut().expect("a body follows a head").1
    }

    /// What holds for every head that was accepted.
    fn check(&self, framing: Framing) {
        let head = &self.head;
        assert_eq!(head.framing(), framing);
        assert_eq!(head.len_bytes(), self.unread.len());
        assert!(head.len_bytes() <= usize::from(LIMITS.head_bytes_max));
        assert!(framing != Framing::UntilClose || !head.keep_alive());
        if framing == Framing::Chunked {
            assert!(head.version() == Version::Http11 && head.field("content-length").is_none());
        }
        let mut table = [httparse::EMPTY_HEADER; LIMITS.fields_max as usize];
        let mut parsed = httparse::Response::new(&mut table);
        assert_eq!(parsed.parse(&self.unread), Ok(httparse::Status::Complete(self.unread.len())));
        assert_eq!(parsed.code, Some(head.status().code()));
        assert_eq!(parsed.version, Some(u8::from(head.version() == Version::Http11)));
        assert!(parsed.headers.iter().map(|field| (field.name, field.value)).eq(head.fields()));
        for (name, value) in head.fields() {
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
            assert!(value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t'));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [size, asked, wire @ ..] = data else { return };
    let method = [Method::Get, Method::Head, Method::Connect, Method::Post][usize::from(asked % 4)];
    let facts = RequestFacts { method, asks_upgrade: asked & 4 != 0 };
    let whole = read_all(std::iter::once(wire), facts);
    let bytes = read_all(wire.chunks(1), facts);
    let pieces = read_all(wire.chunks(usize::from(*size).max(1)), facts);
    for split in [bytes, pieces] {
        // A line that has begun badly is refused at once when it comes in one piece, and may wait for its end
        // when it does not; everything else is the same.
        assert_eq!((&whole.heads, whole.is_tunnel), (&split.heads, split.is_tunnel));
        if split.error.is_some() {
            assert_eq!(whole.error, split.error);
        }
    }
});
