//! Request bodies: data, framing, trailers, and what is refused.

use proptest::prelude::*;

use super::ways;
use crate::http::h1::BodyDecoder;
use crate::http::message::FieldLineError as Line;
use crate::http::message::FramingError as Error;

use crate::http::message::BodyLimits;
use crate::http::message::{Framing, push_field};

/// Data and trailers of a finished body with the number of bytes it took; `None` if it has not ended.
type Outcome = Result<Option<(String, usize)>, Error>;

fn read(framing: Framing, pieces: &[&[u8]], limits: &BodyLimits) -> Outcome {
    let mut decoder = BodyDecoder::new(framing, limits)?;
    let mut data = Vec::new();
    let mut before = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !decoder.is_done() {
            let step = decoder.handle_bytes(rest)?;
            assert!(step.consumed > 0 && step.consumed <= rest.len() && step.data.end <= step.consumed);
            data.extend_from_slice(&rest[step.data]);
            rest = &rest[step.consumed..];
            before += step.consumed;
        }
    }
    if !decoder.is_done() {
        return Ok(None);
    }
    assert_eq!(decoder.remaining(), Some(0));
    assert_eq!(decoder.handle_bytes(b"more").map(|step| step.consumed), Ok(0));
    let mut text = data.escape_ascii().to_string();
    let mut lines = Vec::new();
    for (name, value) in decoder.trailers() {
        text += &format!("|{name}={}", value.escape_ascii());
        push_field(&mut lines, name, value).unwrap();
    }
    assert_eq!(decoder.take_trailers().lines(), lines);
    assert_eq!((decoder.trailers().len(), decoder.take_trailers().is_empty()), (0, true));
    Ok(Some((text, before)))
}

const SMALL: BodyLimits = BodyLimits {
    body_bytes_max: Some(20),
    extension_bytes_max: 12,
    trailer_bytes_max: 32,
    trailer_fields_max: 2,
};

fn check(wire: &[u8], expected: &Outcome) {
    for pieces in ways(wire) {
        let outcome = read(Framing::Chunked, &pieces, &SMALL);
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(&outcome, expected, "{:?} in pieces of {lengths:?}", wire.escape_ascii().to_string());
    }
}

#[test]
fn known_lengths() {
    let limits = BodyLimits::DEFAULT;
    let ok = |text: &str, length| Ok(Some((text.to_string(), length)));
    for pieces in ways(b"hello, next") {
        assert_eq!(read(Framing::Length(5), &pieces, &limits), ok("hello", 5));
        assert_eq!(read(Framing::Length(11), &pieces, &limits), ok("hello, next", 11));
        assert_eq!(read(Framing::Length(12), &pieces, &limits), Ok(None));
        assert_eq!(read(Framing::Length(0), &pieces, &limits), ok("", 0));
        assert_eq!(read(Framing::None, &pieces, &limits), ok("", 0));
    }
    let mut decoder = BodyDecoder::new(Framing::Length(5), &limits).unwrap();
    decoder.handle_bytes(b"ab").unwrap();
    assert_eq!((decoder.remaining(), decoder.is_done()), (Some(3), false));
    assert_eq!(decoder.trailers().len(), 0);
}

#[test]
fn a_known_length_beyond_the_limit_is_refused_before_its_first_byte() {
    let new = |length| BodyDecoder::new(Framing::Length(length), &SMALL).map(|_| ());
    assert_eq!((new(20), new(21)), (Ok(()), Err(Error::TooLarge)));
    assert_eq!(Error::TooLarge.status().code(), 413);
    let boundless = BodyLimits { body_bytes_max: None, ..SMALL };
    assert!(BodyDecoder::new(Framing::Length(u64::MAX), &boundless).is_ok());
}

#[test]
fn accepted_chunks() {
    let vectors: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n1\r\n,\r\n0\r\n\r\n", "hello,"),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("14\r\n01234567890123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\\r\\n"),
        ("5;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello"),
        ("5; a = \"b;c\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a;b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a ;b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;\ta\t;\tb\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=b;c=d\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a = b ; c\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=\"\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=\"\\\"\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=\"\\\\\";b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=\"\t=;\u{e9}\" ;b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;!#$%=&'*+\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0\r\nA: b\r\n\r\n", "|A=b"),
        ("1\r\nx\r\n0\r\nA: b\r\nSum:  1 2\t\r\n\r\n", "x|A=b|Sum=1 2"),
        ("0\r\nA:\r\n\r\n", "|A="),
    ];
    for (wire, expected) in vectors {
        check(wire.as_bytes(), &Ok(Some((expected.to_string(), wire.len()))));
        let followed = format!("{wire}GET / HTTP/1.1\r\n");
        check(followed.as_bytes(), &Ok(Some((expected.to_string(), wire.len()))));
    }
}

#[test]
fn refused_chunks() {
    let trailer = Error::Trailer;
    let vectors: &[(&[u8], Error)] = &[
        // Sizes.
        (b"\r\n0\r\n\r\n", Error::ChunkSizeMissing),
        (b";a\r\n", Error::ChunkSizeMissing),
        (b"\n", Error::ChunkBareLf),
        (b"0x5\r\nhello\r\n", Error::ChunkSizeCharacter(b'x')),
        (b"+5\r\nhello\r\n", Error::ChunkSizeCharacter(b'+')),
        (b"-1\r\nhello\r\n", Error::ChunkSizeCharacter(b'-')),
        (b" 5\r\nhello\r\n", Error::ChunkSizeCharacter(b' ')),
        (b"5 \r\nhello\r\n", Error::ChunkSizeCharacter(b' ')),
        (b"5\t\r\nhello\r\n", Error::ChunkSizeCharacter(b'\t')),
        (b"5 ;a\r\nhello\r\n", Error::ChunkSizeCharacter(b' ')),
        (b"5_0\r\nhello\r\n", Error::ChunkSizeCharacter(b'_')),
        (b"g\r\n", Error::ChunkSizeCharacter(b'g')),
        (b"5,5\r\nhello\r\n", Error::ChunkSizeCharacter(b',')),
        (b"5\0\r\nhello\r\n", Error::ChunkSizeCharacter(0)),
        (b"\xef\xbc\x95\r\n", Error::ChunkSizeCharacter(0xef)),
        (b"00000000000000005\r\nhello\r\n", Error::ChunkSizeTooLong),
        (b"10000000000000005\r\nhello\r\n", Error::ChunkSizeTooLong),
        (b"ffffffffffffffff\r\nhello\r\n", Error::TooLarge),
        (b"15\r\nhello\r\n", Error::TooLarge),
        (b"10\r\n0123456789abcdef\r\n5\r\nhello\r\n", Error::TooLarge),
        // Line ends.
        (b"5\nhello\r\n0\r\n\r\n", Error::ChunkBareLf),
        (b"5\rhello\r\n0\r\n\r\n", Error::ChunkBareCr),
        (b"5\r\r\nhello\r\n0\r\n\r\n", Error::ChunkBareCr),
        (b"5\r\nhello\n0\r\n\r\n", Error::ChunkUnterminated),
        (b"5\r\nhello\r0\r\n\r\n", Error::ChunkUnterminated),
        (b"5\r\nhello0\r\n\r\n", Error::ChunkUnterminated),
        (b"5\r\nhello!\r\n0\r\n\r\n", Error::ChunkUnterminated),
        (b"4\r\nhello\r\n0\r\n\r\n", Error::ChunkUnterminated),
        (b"0\n\r\n", Error::ChunkBareLf),
        (b"0\r\n\n", trailer(Line::BareLf)),
        (b"0\r\n\rX\n", trailer(Line::BareCr)),
        // Extensions.
        (b"5;a\nhello\r\n0\r\n\r\n", Error::ChunkBareLf),
        (b"5;\nhello\r\n0\r\n\r\n", Error::ChunkBareLf),
        (b"5;a\rb\r\nhello\r\n0\r\n\r\n", Error::ChunkBareCr),
        (b"5;\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5; \r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;;a\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;=a\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a\0\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a= \r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a =\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a \r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=b \r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\rb\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\\\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\"y\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\" \r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\" y\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=b\"c\"\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=b c\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a,b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=b,c\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;bad[=x\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=[x]\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=b=c\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a==b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;\"a\"\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a;\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a;;b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=;b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\xff\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a:b\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a='b,c'\r\nhello\r\n0\r\n\r\n", Error::ExtensionMalformed),
        (b"5;a=\"x\nhello\r\n0\r\n\r\n", Error::ChunkBareLf),
        (b"5;a=\nhello\r\n0\r\n\r\n", Error::ChunkBareLf),
        (b"5;a=\"b\"\rhello\r\n0\r\n\r\n", Error::ChunkBareCr),
        (b"0;a=\r\n\r\n", Error::ExtensionMalformed),
        (b"5;0123456789abc\r\nhello\r\n0\r\n\r\n", Error::ExtensionsTooLong),
        (b"1;012345\r\nx\r\n1;0123456\r\nx\r\n0\r\n\r\n", Error::ExtensionsTooLong),
        (b"1;          a  \r\n", Error::ExtensionsTooLong),
        // Trailers.
        (b"0\r\nA : b\r\n\r\n", trailer(Line::SpaceBeforeColon)),
        (b"0\r\n A: b\r\n\r\n", trailer(Line::Folded)),
        (b"0\r\nA: b\r\n c\r\n\r\n", trailer(Line::Folded)),
        (b"0\r\nA: b\n\r\n", trailer(Line::BareLf)),
        (b"0\r\nA: b\rc\r\n\r\n", trailer(Line::BareCr)),
        (b"0\r\nA: \0\r\n\r\n", trailer(Line::ValueCharacter(0))),
        (b"0\r\nA\r\n\r\n", trailer(Line::ColonMissing)),
        (b"0\r\n: b\r\n\r\n", trailer(Line::NameEmpty)),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", trailer(Line::SpaceBeforeColon)),
        (b"0\r\nTransfer-Encoding: chunked\r\n\r\n", Error::TrailerForbidden),
        (b"0\r\ncontent-length: 1\r\n\r\n", Error::TrailerForbidden),
        (b"0\r\nHOST: a\r\n\r\n", Error::TrailerForbidden),
        (b"0\r\nA: b\r\nCookie: a\r\n\r\n", Error::TrailerForbidden),
        (b"0\r\nA:\r\nB:\r\nC:\r\n\r\n", Error::TooManyTrailers),
        (b"0\r\nA: 0123456789abcdef0123456789\r\n\r\n", Error::TrailersTooLong),
        (b"0\r\nA: 0123456789abcdef0123456789abcdef\r\n\r\n", Error::TrailersTooLong),
        (b"0\r\nA: 0123456789\r\nB: 0123456789abc\r\n\r\n", Error::TrailersTooLong),
    ];
    for (wire, error) in vectors {
        check(wire, &Err(*error));
        assert!(!error.to_string().is_empty() && error.status().code() >= 400);
    }
}

#[test]
fn a_trailer_section_may_fill_its_limit() {
    let wire = b"0\r\nA: 0123456789abcdef0123456789\r\n\r\n";
    assert_eq!(wire.len() - 3, usize::from(SMALL.trailer_bytes_max) + 1);
    check(wire, &Err(Error::TrailersTooLong));
    let wire = b"0\r\nA: 0123456789abcdef012345678\r\n\r\n";
    check(wire, &Ok(Some(("|A=0123456789abcdef012345678".to_string(), wire.len()))));
}

#[test]
fn unfinished_chunks_wait() {
    for wire in [
        "",
        "5",
        "5\r",
        "5;",
        "5;a",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r",
        "0\r\n",
        "0\r\n\r",
        "0\r\nA: b\r\n",
    ] {
        check(wire.as_bytes(), &Ok(None));
    }
}

#[test]
fn tiny_chunks_pass_and_padded_ones_do_not() {
    let limits = BodyLimits::DEFAULT;
    let honest = "1\r\nx\r\n".repeat(100_000) + "0\r\n\r\n";
    assert!(matches!(read(Framing::Chunked, &[honest.as_bytes()], &limits), Ok(Some(_))));
    let padded = "0000000000000001\r\nx\r\n".repeat(10_000);
    assert_eq!(read(Framing::Chunked, &[padded.as_bytes()], &limits), Err(Error::ChunkOverhead));
}

#[test]
fn sizes_cannot_wrap_around() {
    let boundless = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
    let wire = b"1\r\nx\r\nffffffffffffffff\r\n";
    assert_eq!(read(Framing::Chunked, &[wire], &boundless), Err(Error::TooLarge));
}

#[test]
fn one_step_takes_the_framing_on_both_sides_of_its_data() {
    let mut decoder = BodyDecoder::new(Framing::Chunked, &BodyLimits::DEFAULT).unwrap();
    let wire = b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nnext";
    let step = decoder.handle_bytes(wire).unwrap();
    assert_eq!((step.data, step.consumed, decoder.is_done()), (3..8, 13, false));
    let step = decoder.handle_bytes(&wire[13..]).unwrap();
    assert_eq!((step.data, step.consumed, decoder.is_done()), (0..1, 8, true));
}

/// Found by fuzzing: data used to be lost when a fault behind it came in the same read.
#[test]
fn data_before_a_fault_is_delivered() {
    for fault in [&b"!\r\n"[..], b"\r\nx", b"\r\n5;\r\n", b"\r\n0\r\nA : b\r\n\r\n"] {
        let wire = [&b"5\r\nhello"[..], fault].concat();
        let mut decoder = BodyDecoder::new(Framing::Chunked, &SMALL).unwrap();
        let step = decoder.handle_bytes(&wire).unwrap();
        assert_eq!(&wire[step.data], b"hello");
        let rest = &wire[step.consumed..];
        assert!(!rest.is_empty() && !decoder.is_done());
        let error = decoder.handle_bytes(rest).unwrap_err();
        assert_eq!(decoder.handle_bytes(b"0\r\n\r\n"), Err(error));
    }
}

proptest! {
    #[test]
    fn random_chunks_split_at_random_give_the_data(
        data in prop::collection::vec(any::<u8>(), 0..300),
        sizes in prop::collection::vec(1usize..40, 1..40),
        cuts in prop::collection::vec(0usize..600, 0..8),
    ) {
        let mut wire = Vec::new();
        let mut rest = data.as_slice();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            wire.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
            rest = after;
        }
        wire.extend_from_slice(b"0\r\nSum: 1\r\n\r\n");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        let expected = format!("{}|Sum=1", data.escape_ascii());
        let outcome = read(Framing::Chunked, &pieces, &BodyLimits::DEFAULT);
        prop_assert_eq!(outcome, Ok(Some((expected, wire.len()))));
    }
}
