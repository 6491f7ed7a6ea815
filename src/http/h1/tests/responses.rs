//! Responses as a client reads them: the table of `response_vectors`, limits, and what httparse and hyper
//! make of the same bytes.

use proptest::prelude::*;

use super::response_vectors::{Asked, VECTORS};
use super::{hyper_client, ways};
use crate::http::h1::{BodyDecoder, RequestFacts, ResponseDecoder, ResponseProgress};
use crate::http::message::{
    BodyLimits, Framing, FramingError, ResponseError as Error, ResponseHead, ResponseLimits, Version,
};
use crate::http::status::Status;

/// One exchange, read to its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Exchange {
    interim: Vec<u16>,
    status: u16,
    framing: Framing,
    keep_alive: bool,
    is_tunnel: bool,
    body: Vec<u8>,
    trailers: String,
    /// Bytes behind the response, or the tunnel's first ones.
    rest: usize,
}

impl Exchange {
    /// `100, 200 5 keep [hello] T=1 +3`: interim statuses, status, framing, connection, body, trailers, and
    /// how many bytes follow.
    fn summary(&self) -> String {
        let mut text: String = self.interim.iter().map(|status| format!("{status}, ")).collect();
        let framing = match self.framing {
            _ if self.is_tunnel => "tunnel".to_string(),
            Framing::None => "none".to_string(),
            Framing::Length(length) => length.to_string(),
            Framing::Chunked => "chunked".to_string(),
            Framing::UntilClose => "until-close".to_string(),
            Framing::Tunnel => unreachable!("of HTTP/2 alone"),
        };
        let keep = if self.keep_alive { "keep" } else { "close" };
        text += &format!("{} {framing} {keep} [{}]", self.status, self.body.escape_ascii());
        text += &self.trailers;
        if self.rest > 0 {
            text += &format!(" +{}", self.rest);
        }
        text
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Head(Error),
    Body(FramingError),
}

/// Reads one response in `pieces`, after which the connection ends.
pub(super) fn read(
    pieces: &[&[u8]],
    limits: &ResponseLimits,
    request: &RequestFacts,
) -> Result<Exchange, Refusal> {
    let mut decoder = ResponseDecoder::new();
    let mut head = ResponseHead::new();
    let mut body: Option<BodyDecoder> = None;
    let mut exchange = Exchange::default();
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            if exchange.is_tunnel || body.as_ref().is_some_and(BodyDecoder::is_done) {
                exchange.rest += rest.len();
                break;
            }
            if let Some(body) = &mut body {
                let step = body.handle_bytes(rest).map_err(Refusal::Body)?;
                assert!(step.consumed > 0 && step.consumed <= rest.len() && step.data.end <= step.consumed);
                exchange.body.extend_from_slice(&rest[step.data]);
                rest = &rest[step.consumed..];
                continue;
            }
            let progress = decoder.handle_bytes(rest, limits, request, &mut head).map_err(Refusal::Head)?;
            let consumed = match progress {
                ResponseProgress::Incomplete => rest.len(),
                ResponseProgress::Interim { consumed } => {
                    exchange.interim.push(head.status().code());
                    assert_eq!(head.framing(), Framing::None);
                    consumed
                }
                ResponseProgress::Complete { consumed, body: framing } => {
                    assert_eq!(framing, head.framing());
                    body = Some(BodyDecoder::new(framing, &BodyLimits::DEFAULT).map_err(Refusal::Body)?);
                    consumed
                }
                ResponseProgress::Tunnel { consumed } => {
                    assert_eq!(head.framing(), Framing::None);
                    exchange.is_tunnel = true;
                    consumed
                }
            };
            assert_eq!(decoder.is_idle(), body.is_some() || exchange.is_tunnel);
            rest = &rest[consumed..];
        }
    }
    if body.is_none() && !exchange.is_tunnel {
        return Err(Refusal::Head(decoder.end_of_input()));
    }
    exchange.status = head.status().code();
    exchange.framing = head.framing();
    exchange.keep_alive = head.keep_alive();
    if let Some(body) = &mut body {
        body.end_of_input().map_err(Refusal::Body)?;
        assert!(body.is_done() && body.remaining() == Some(0));
        assert_eq!(body.handle_bytes(b"more").map(|step| step.consumed), Ok(0));
        let trailers = body.take_trailers();
        for (name, value) in trailers.iter() {
            exchange.trailers += &format!(" {name}={}", value.escape_ascii());
        }
        assert_eq!((body.trailers().len(), body.take_trailers().is_empty()), (0, true));
    }
    Ok(exchange)
}

fn verdict(pieces: &[&[u8]], asked: Asked) -> String {
    match read(pieces, &ResponseLimits::DEFAULT, &asked.facts()) {
        Ok(exchange) => exchange.summary(),
        Err(Refusal::Head(error)) => format!("!{error:?}"),
        Err(Refusal::Body(error)) => format!("!Body({error:?})"),
    }
}

#[test]
fn every_vector_is_read_the_same_however_it_is_split() {
    assert!(VECTORS.len() >= 120, "{}", VECTORS.len());
    let mut wrong = String::new();
    for vector in VECTORS {
        assert!(vector.section.starts_with("RFC "), "{}", vector.section);
        for pieces in ways(vector.wire) {
            let verdict = verdict(&pieces, vector.asked);
            if verdict != vector.verdict {
                let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
                wrong += &format!(
                    "{:?} {} in {lengths:?}\n  gives    {verdict}\n  expected {}\n",
                    vector.asked,
                    vector.wire.escape_ascii(),
                    vector.verdict
                );
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Every head that is accepted is accepted by httparse, with the same parts.
#[test]
fn accepted_heads_are_those_that_httparse_reads() {
    let mut heads = 0;
    for vector in VECTORS {
        let mut decoder = ResponseDecoder::new();
        let mut head = ResponseHead::new();
        let mut rest = vector.wire;
        loop {
            let read = decoder.handle_bytes(rest, &ResponseLimits::DEFAULT, &vector.asked.facts(), &mut head);
            let (consumed, is_last) = match read {
                Err(_) | Ok(ResponseProgress::Incomplete) => break,
                Ok(ResponseProgress::Interim { consumed }) => (consumed, false),
                Ok(ResponseProgress::Complete { consumed, .. } | ResponseProgress::Tunnel { consumed }) => {
                    (consumed, true)
                }
            };
            let mut table = [httparse::EMPTY_HEADER; 32];
            let mut parsed = httparse::Response::new(&mut table);
            assert_eq!(parsed.parse(rest), Ok(httparse::Status::Complete(consumed)));
            assert_eq!(parsed.code, Some(head.status().code()));
            assert_eq!(parsed.version, Some(u8::from(head.version() == Version::Http11)));
            let fields: Vec<_> = parsed.headers.iter().map(|field| (field.name, field.value)).collect();
            assert_eq!(head.fields().collect::<Vec<_>>(), fields);
            assert_eq!(head.len_bytes(), consumed);
            heads += 1;
            rest = &rest[consumed..];
            if is_last {
                break;
            }
        }
    }
    assert!(heads >= 60, "{heads}");
}

/// What hyper's client makes of every vector: the same, unless the vector says what differs and why.
#[test]
fn hyper_agrees_except_where_a_vector_says_why_not() {
    let mut wrong = String::new();
    for vector in VECTORS {
        let ours = read(&[vector.wire], &ResponseLimits::DEFAULT, &vector.asked.facts()).ok();
        let ours = ours.map(|exchange| (exchange.status, exchange.body));
        let theirs = hyper_client::read(vector.wire, vector.asked);
        if (ours == theirs) != vector.hyper.is_empty() {
            let hyper = if vector.hyper.is_empty() { "the same" } else { vector.hyper };
            wrong += &format!(
                "{:?} {}\n  ours   {ours:?}\n  hyper  {theirs:?}\n  noted  {hyper}\n",
                vector.asked,
                vector.wire.escape_ascii()
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

const SMALL: ResponseLimits = ResponseLimits { head_bytes_max: 64, fields_max: 3, interim_max: 2 };

fn small(wire: &[u8]) -> Result<String, Refusal> {
    let whole = read(&[wire], &SMALL, &Asked::Get.facts());
    for pieces in ways(wire) {
        assert_eq!(read(&pieces, &SMALL, &Asked::Get.facts()), whole, "{}", wire.escape_ascii());
    }
    whole.map(|exchange| exchange.summary())
}

#[test]
fn limits_hold_to_the_byte() {
    let head = |length: usize| {
        let frame = "HTTP/1.1 204 \r\nA: \r\n\r\n".len();
        format!("HTTP/1.1 204 \r\nA: {}\r\n\r\n", "a".repeat(length - frame))
    };
    assert_eq!(small(head(64).as_bytes()), Ok("204 none keep []".to_string()));
    assert_eq!(small(head(65).as_bytes()), Err(Refusal::Head(Error::HeadTooLong)));
    let reason = format!("HTTP/1.1 204 {}", "r".repeat(100));
    assert_eq!(small(reason.as_bytes()), Err(Refusal::Head(Error::HeadTooLong)));
    let fields = |count: usize| format!("HTTP/1.1 204 \r\n{}\r\n", "A:\r\n".repeat(count));
    assert_eq!(small(fields(3).as_bytes()), Ok("204 none keep []".to_string()));
    assert_eq!(small(fields(4).as_bytes()), Err(Refusal::Head(Error::TooManyFields)));
    let interim = |count: usize| "HTTP/1.1 103 \r\n\r\n".repeat(count) + "HTTP/1.1 204 \r\n\r\n";
    assert_eq!(small(interim(2).as_bytes()), Ok("103, 103, 204 none keep []".to_string()));
    assert_eq!(small(interim(3).as_bytes()), Err(Refusal::Head(Error::TooManyInterims)));
}

#[test]
fn the_bound_on_interim_responses_is_per_request() {
    let mut decoder = ResponseDecoder::new();
    let mut head = ResponseHead::new();
    let facts = Asked::Get.facts();
    for _ in 0..3 {
        for _ in 0..SMALL.interim_max {
            let progress = decoder.handle_bytes(b"HTTP/1.1 103 \r\n\r\n", &SMALL, &facts, &mut head);
            assert_eq!(progress, Ok(ResponseProgress::Interim { consumed: 17 }));
            assert_eq!(decoder.end_of_input(), Error::Truncated);
        }
        let progress = decoder.handle_bytes(b"HTTP/1.1 204 \r\n\r\n", &SMALL, &facts, &mut head);
        assert_eq!(progress, Ok(ResponseProgress::Complete { consumed: 17, body: Framing::None }));
        assert_eq!(decoder.end_of_input(), Error::ClosedBeforeResponse);
    }
}

#[test]
fn responses_follow_each_other_on_one_connection() {
    let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
        HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n\
        HTTP/1.1 200 OK\r\n\r\nto the end";
    let mut rest = &wire[..];
    let mut bodies = Vec::new();
    let mut decoder = ResponseDecoder::new();
    let mut head = ResponseHead::new();
    while !rest.is_empty() {
        let limits = ResponseLimits::DEFAULT;
        let Ok(ResponseProgress::Complete { consumed, body }) =
            decoder.handle_bytes(rest, &limits, &Asked::Get.facts(), &mut head)
        else {
            panic!("{}", rest.escape_ascii());
        };
        rest = &rest[consumed..];
        let mut reading = BodyDecoder::new(body, &BodyLimits::DEFAULT).unwrap();
        let mut data = Vec::new();
        while !reading.is_done() && !rest.is_empty() {
            let step = reading.handle_bytes(rest).unwrap();
            data.extend_from_slice(&rest[step.data]);
            rest = &rest[step.consumed..];
        }
        reading.end_of_input().unwrap();
        bodies.push((data, head.keep_alive()));
    }
    assert_eq!(bodies, [(b"ab".to_vec(), true), (b"c".to_vec(), true), (b"to the end".to_vec(), false)]);
}

#[test]
fn a_body_until_close_is_bounded_and_ends_with_the_connection() {
    let limits = BodyLimits { body_bytes_max: Some(3), ..BodyLimits::DEFAULT };
    for pieces in ways(b"abc") {
        let mut body = BodyDecoder::new(Framing::UntilClose, &limits).unwrap();
        for piece in pieces {
            let step = body.handle_bytes(piece).unwrap();
            assert_eq!((step.consumed, step.data), (piece.len(), 0..piece.len()));
        }
        assert_eq!((body.is_done(), body.remaining()), (false, None));
        assert_eq!(body.end_of_input(), Ok(()));
        assert_eq!((body.is_done(), body.remaining()), (true, Some(0)));
    }
    let mut body = BodyDecoder::new(Framing::UntilClose, &limits).unwrap();
    assert_eq!(body.handle_bytes(b"abcd").map(|step| step.data), Ok(0..3));
    assert_eq!(body.handle_bytes(b"d"), Err(FramingError::TooLarge));
    for (framing, wire) in [(Framing::Length(3), &b"ab"[..]), (Framing::Chunked, b"1\r\na\r\n0\r\n")] {
        let mut body = BodyDecoder::new(framing, &limits).unwrap();
        let mut rest = wire;
        while !rest.is_empty() {
            rest = &rest[body.handle_bytes(rest).unwrap().consumed..];
        }
        assert_eq!(body.end_of_input(), Err(FramingError::Truncated));
    }
}

#[test]
fn every_error_has_one_line_and_the_status_of_a_gateway() {
    use std::error::Error as _;
    for vector in VECTORS {
        let Err(Refusal::Head(error)) = read(&[vector.wire], &ResponseLimits::DEFAULT, &vector.asked.facts())
        else {
            continue;
        };
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{error:?}");
        assert_eq!(error.status(), Status::BAD_GATEWAY);
        assert_eq!(error.allows_retry(), vector.wire.is_empty(), "{error:?}");
        let has_cause = matches!(error, Error::Field(_) | Error::Framing(_));
        assert_eq!(error.source().is_some(), has_cause, "{error:?}");
    }
}

/// Every control byte at every offset of a value and of the reason phrase: httparse reads many bytes at once,
/// and none may slip by.
#[test]
fn no_offset_hides_a_control_byte() {
    for byte in (0..=255u8).filter(|byte| byte.is_ascii_control() && *byte != b'\t') {
        for offset in 0..70 {
            for start in [&b"HTTP/1.1 204 "[..], b"HTTP/1.1 204 \r\nX: "] {
                let mut wire = start.to_vec();
                wire.extend(std::iter::repeat_n(b'x', offset));
                wire.push(byte);
                wire.extend_from_slice(b"yyyy: \r\n\r\n");
                let outcome = read(&[&wire], &ResponseLimits::DEFAULT, &Asked::Get.facts());
                assert!(outcome.is_err(), "{}", wire.escape_ascii());
                assert_ne!(outcome, Err(Refusal::Head(Error::Disagreement)), "{}", wire.escape_ascii());
            }
        }
    }
}

/// Pieces of responses, sound and unsound, so that random joins get deep into the machine.
fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"HTTP/1.1 100 \r\n\r\n",
        b"HTTP/1.0 200\r\n",
        b"HTTP/1.1 101 S\r\n",
        b"HTTP/1.1 204 \r\n",
        b"HTTP/2 200\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close, upgrade\r\n",
        b"Upgrade: a\r\n",
        b"X: y\n",
        b"X : y\r\n",
        b" X: y\r\n",
        b"X: y",
        b"\r\n",
        b"\r\n",
        b"1\r\na\r\n0\r\n\r\n",
        b"\r",
        b"\n",
        b" ",
        b"\0",
        b"\xff",
        b"HTTP/1.1 ",
        b"200",
    ]);
    prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn random_responses_split_at_random_come_out_the_same(
        wire in fragments(),
        asked in prop::sample::select(vec![Asked::Get, Asked::Head, Asked::Connect, Asked::Upgrade]),
        cuts in prop::collection::vec(0usize..200, 0..6),
    ) {
        let whole = read(&[&wire], &SMALL, &asked.facts());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        let split = read(&pieces, &SMALL, &asked.facts());
        // An unsound line that has not ended is refused at once in one piece and may wait in several.
        if split != Err(Refusal::Head(Error::Truncated)) {
            prop_assert_eq!(&whole, &split);
        }
        prop_assert_ne!(whole, Err(Refusal::Head(Error::Disagreement)));
    }
}
