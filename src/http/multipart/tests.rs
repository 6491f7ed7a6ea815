//! Multipart bodies valid and invalid. Every vector runs whole, byte by byte and
//! split at every point, and must come out the same.

use proptest::prelude::*;

use super::*;
use crate::http::message::FieldLineError;

/// A part as it came out.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    head: PartHead,
    data: Vec<u8>,
}

/// Runs the pieces of a body through a decoder.
fn decode(pieces: &[&[u8]], boundary: &str, limits: MultipartLimits) -> Result<Vec<Part>, MultipartError> {
    let mut decoder = MultipartDecoder::new(boundary, limits);
    let mut parts: Vec<Part> = Vec::new();
    let (mut open, mut ended) = (false, false);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let step = decoder.handle_bytes(rest)?;
            assert!(step.consumed > 0 || step.event != MultipartEvent::NeedsMore || rest.is_empty());
            match step.event {
                MultipartEvent::NeedsMore => assert_eq!(step.consumed, rest.len()),
                MultipartEvent::Part(head) => {
                    assert!(!std::mem::replace(&mut open, true) && !ended);
                    parts.push(Part { head, data: Vec::new() });
                }
                MultipartEvent::Data(range) => {
                    assert!(open && !range.is_empty() && range.end <= step.consumed);
                    parts.last_mut().unwrap().data.extend_from_slice(&rest[range]);
                }
                MultipartEvent::Held(range) => {
                    assert!(open && !range.is_empty());
                    parts.last_mut().unwrap().data.extend_from_slice(&decoder.delimiter()[range]);
                }
                MultipartEvent::PartEnd => assert!(std::mem::replace(&mut open, false)),
                MultipartEvent::End => assert!(!open && !std::mem::replace(&mut ended, true)),
            }
            rest = &rest[step.consumed..];
            if rest.is_empty() {
                break;
            }
        }
    }
    decoder.finish().map(|()| parts)
}

/// Runs it in all ways, with boundary `x`, and returns their common result.
fn all_ways(body: &[u8], limits: MultipartLimits) -> Result<Vec<Part>, MultipartError> {
    let whole = decode(&[body], "x", limits);
    for at in 1..body.len() {
        assert_eq!(decode(&[&body[..at], &body[at..]], "x", limits), whole, "split at {at}");
    }
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(decode(&bytes, "x", limits), whole, "byte by byte");
    whole
}

fn parts(body: &str) -> Vec<(String, String)> {
    let parts = all_ways(body.as_bytes(), MultipartLimits::DEFAULT).unwrap();
    parts.into_iter().map(|part| (part.head.name, String::from_utf8(part.data).unwrap())).collect()
}

fn error_kind(body: &str) -> MultipartErrorKind {
    all_ways(body.as_bytes(), MultipartLimits::DEFAULT).unwrap_err().kind
}

fn pair(name: &str, data: &str) -> (String, String) {
    (name.into(), data.into())
}

/// The head that these lines make.
fn head(lines: &str) -> Result<PartHead, MultipartErrorKind> {
    let body = format!("--x\r\n{lines}\r\n\r\n\r\n--x--");
    let parts = all_ways(body.as_bytes(), MultipartLimits::DEFAULT).map_err(|error| error.kind)?;
    Ok(parts[0].head.clone())
}

const A: &str = "Content-Disposition: form-data; name=a\r\n\r\n";
const B: &str = "Content-Disposition: form-data; name=\"b\"\r\n\r\n";

#[test]
fn parts_and_their_data() {
    assert_eq!(parts(&format!("--x\r\n{A}1\r\n--x--\r\n")), [pair("a", "1")]);
    assert_eq!(parts(&format!("--x\r\n{A}1\r\n--x\r\n{B}2\r\n--x--")), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(parts(&format!("--x\r\n{A}\r\n--x--\r\n")), [pair("a", "")]);
    assert_eq!(parts(&format!("--x\r\n{A}--x\r\n{B}2\r\n--x--")), [pair("a", ""), pair("b", "2")]);
    assert_eq!(parts("--x--\r\n"), []);
    assert_eq!(parts(&format!("hi\r\n--\r\r\n\r\n--x \t\r\n{A}1\r\n--x--  \r\nbye")), [pair("a", "1")]);
    assert_eq!(parts(&format!("\r\n--x\r\n{A}1\r\n--x--\r\n")), [pair("a", "1")]);
}

#[test]
fn data_that_looks_like_a_delimiter_is_data() {
    for data in
        ["\r", "\n", "\r\n", "\r\n-", "\r\n--", "\r\n\r\n--\r\n-", "--", "-", "--\r\n--", "--y", "\r\n--y"]
    {
        let body = format!("--x\r\n{A}{data}\r\n--x\r\n{B}{data}{data}\r\n--x--");
        assert_eq!(parts(&body), [pair("a", data), pair("b", &format!("{data}{data}"))], "{data:?}");
    }
    let body = "--long\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--lon\r\n--lo\r\n--long--";
    for at in 0..body.len() {
        let (left, right) = body.as_bytes().split_at(at);
        let parts = decode(&[left, right], "long", MultipartLimits::DEFAULT).unwrap();
        assert_eq!(parts[0].data, b"\r\n--lon\r\n--lo", "split at {at}");
    }
}

#[test]
fn heads() {
    let plain = head("Content-Disposition: form-data; name=a").unwrap();
    assert_eq!(plain, PartHead { name: "a".into(), file_name: None, content_type: None });
    let file =
        "content-disposition:Form-Data;filename=\"c d.txt\" ; NAME=\"a b\"\r\nContent-Type: text/plain";
    let file = head(file).unwrap();
    assert_eq!((file.name.as_str(), file.file_name.as_deref()), ("a b", Some("c d.txt")));
    assert_eq!(file.content_type.as_deref(), Some("text/plain"));
    let name =
        |value: &str| head(&format!("X: y\r\nContent-Disposition: form-data; name={value}")).unwrap().name;
    assert_eq!(name("\"\""), "");
    assert_eq!(name("\"%22%0d%0A%41\""), "\"\r\n%41");
    assert_eq!(name("\"\\\"\\\\\""), "\"\\");
    assert_eq!(name("\"ä;b\""), "ä;b");
    assert!(head("Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: 8BIT").is_ok());
}

#[test]
fn file_names_lose_their_directories() {
    let file_name = |parameter: &str| {
        let line = format!("Content-Disposition: form-data; name=a; {parameter}");
        head(&line).unwrap().file_name.unwrap()
    };
    for (sent, name) in [
        ("filename=\"\"", ""),
        ("filename=\"a.txt\"", "a.txt"),
        ("filename=\"/etc/passwd\"", "passwd"),
        ("filename=\"../../a\"", "a"),
        ("filename=\"..\"", ""),
        ("filename=\"a/.\"", ""),
        ("filename=\"a/\"", ""),
        ("filename=\"C:\\dir\\new.txt\"", "new.txt"),
        ("filename=\"C:\\\\dir\\\\new.txt\"", "new.txt"),
        ("filename=\"%22%0A.txt\"", "\".txt"),
        ("filename=\"naïve.txt\"", "naïve.txt"),
        ("filename=\"plain\"; filename*=UTF-8''na%C3%AFve.txt", "naïve.txt"),
        ("filename*=utf-8'en'a%2Fb%00c", "bc"),
        ("filename*=utf-8''%2e%2E", ""),
    ] {
        assert_eq!(file_name(sent), name, "{sent}");
    }
}

#[test]
fn heads_that_are_refused() {
    let line = |rest: &str| head(&format!("Content-Disposition: {rest}")).unwrap_err();
    assert_eq!(head("X: y"), Err(MultipartErrorKind::DispositionMissing));
    assert_eq!(
        line("form-data; name=a\r\nContent-Disposition: form-data; name=b"),
        MultipartErrorKind::DispositionRepeated
    );
    for malformed in [
        "",
        "attachment; name=a",
        "form-data; name=a; name=b",
        "form-data; name=\"a",
        "form-data, name=a",
        "form-data; name=a; filename=b; filename=c",
        "form-data; name=a; filename*=b",
        "form-data; name=a; filename*=latin1''b",
    ] {
        assert_eq!(line(malformed), MultipartErrorKind::DispositionMalformed, "{malformed}");
    }
    assert_eq!(line("form-data"), MultipartErrorKind::NameMissing);
    assert_eq!(line("form-data; filename=a"), MultipartErrorKind::NameMissing);
    assert_eq!(line("form-data; name=a; filename*=utf-8''%ff"), MultipartErrorKind::NotUtf8);
    assert_eq!(
        line("form-data; name=a\r\nContent-Transfer-Encoding: base64"),
        MultipartErrorKind::TransferEncoded
    );
    assert_eq!(line("form-data; name=a\r\n folded: x"), MultipartErrorKind::Field(FieldLineError::Folded));
    assert_eq!(
        line("form-data; name=a\r\nno colon"),
        MultipartErrorKind::Field(FieldLineError::SpaceBeforeColon)
    );
    assert_eq!(line("form-data; name=a\nX: y"), MultipartErrorKind::Field(FieldLineError::BareLf));
    assert_eq!(line("form-data; name=a\rX: y"), MultipartErrorKind::Field(FieldLineError::BareCr));
    assert_eq!(
        error_kind("--x\r\nContent-Disposition: form-data; name=a\r\n\nx"),
        MultipartErrorKind::Field(FieldLineError::BareLf)
    );
}

#[test]
fn delimiters_stand_alone() {
    for body in ["--x\n", "--xy\r\n", "--x \ry", "--x-\r\n", "--x\r\r\n", "--x -- "] {
        assert_eq!(error_kind(body), MultipartErrorKind::DelimiterMalformed, "{body:?}");
    }
    assert_eq!(error_kind(&format!("--x\r\n{A}1\r\n--x y")), MultipartErrorKind::DelimiterMalformed);
    assert_eq!(error_kind(&format!("--x{}\r\n", " ".repeat(65))), MultipartErrorKind::DelimiterMalformed);
}

#[test]
fn a_body_that_ends_early_is_no_body() {
    let body = format!("--x\r\n{A}1\r\n--x\r\n{B}2\r\n--x--");
    for end in 0..body.len() {
        let error = decode(&[&body.as_bytes()[..end]], "x", MultipartLimits::DEFAULT).unwrap_err();
        assert_eq!(error.kind, MultipartErrorKind::Truncated, "cut at {end}");
    }
}

#[test]
fn limits_hold_exactly_and_name_the_part() {
    let head = "Content-Disposition: form-data; name=a\r\nX: y\r\n\r\n";
    let body = format!("12\r\n--x\r\n{head}123\r\n--x\r\n{head}\r\n--x--1234");
    let exact = MultipartLimits {
        parts_max: 2,
        head_bytes_max: head.len(),
        fields_max: 2,
        part_bytes_max: 3,
        preamble_bytes_max: 2,
        epilogue_bytes_max: 4,
    };
    assert_eq!(all_ways(body.as_bytes(), exact).unwrap().len(), 2);
    for (limits, kind, text) in [
        (MultipartLimits { parts_max: 1, ..exact }, MultipartErrorKind::TooManyParts, "part 2: "),
        (
            MultipartLimits { head_bytes_max: head.len() - 1, ..exact },
            MultipartErrorKind::HeadTooLong,
            "part 1 (\"a\"): ",
        ),
        (MultipartLimits { fields_max: 1, ..exact }, MultipartErrorKind::TooManyFields, "part 1 (\"a\"): "),
        (
            MultipartLimits { part_bytes_max: 2, ..exact },
            MultipartErrorKind::PartTooLarge,
            "part 1 (\"a\"): ",
        ),
        (
            MultipartLimits { preamble_bytes_max: 1, ..exact },
            MultipartErrorKind::PreambleTooLong,
            "too much text",
        ),
        (MultipartLimits { epilogue_bytes_max: 3, ..exact }, MultipartErrorKind::EpilogueTooLong, "part 2: "),
    ] {
        let error = all_ways(body.as_bytes(), limits).unwrap_err();
        assert_eq!(error.kind, kind);
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!(kind.status().code(), 413);
    }
}

#[test]
fn boundaries() {
    let of = |value: &str| boundary(value.as_bytes());
    assert_eq!(
        of("multipart/form-data; boundary=----WebKitFormBoundary7MA4").unwrap(),
        "----WebKitFormBoundary7MA4"
    );
    assert_eq!(of("Multipart/Form-Data; charset=utf-8; Boundary=\"a b=?\"").unwrap(), "a b=?");
    assert_eq!(of(&format!("multipart/form-data; boundary={}", "b".repeat(70))).unwrap().len(), 70);
    for other in ["", "text/plain", "multipart/mixed; boundary=x", "multipart/form-data/x; boundary=x"] {
        assert_eq!(of(other), Err(MultipartErrorKind::NotMultipart), "{other}");
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for malformed in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=\"a\\\\b\"",
        "multipart/form-data; boundary=a; boundary=a",
        "multipart/form-data; boundary=\"ä\"",
        &long,
    ] {
        assert_eq!(of(malformed), Err(MultipartErrorKind::BoundaryMalformed), "{malformed}");
    }
}

/// Bytes of which most are those that delimiters are made of.
fn tricky() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), Just(b'y'), any::<u8>()];
    proptest::collection::vec(byte, 0..80)
}

fn in_pieces(body: &[u8], cuts: &[usize]) -> Result<Vec<Part>, MultipartError> {
    let mut rest = body;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, tail) = rest.split_at(cut % (rest.len() + 1));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    decode(&pieces, "x", MultipartLimits::DEFAULT)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(data in proptest::collection::vec(tricky(), 0..4), cuts: [usize; 6]) {
        // A composer chooses a boundary that the data does not hold.
        let holds = |data: &[u8]| [b"\r\n", data].concat().windows(5).any(|w| w == b"\r\n--x");
        prop_assume!(!data.iter().any(|data| holds(data)));
        let mut body = Vec::new();
        for data in &data {
            body.extend_from_slice(b"--x\r\n");
            body.extend_from_slice(A.as_bytes());
            body.extend_from_slice(data);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--x--\r\n");
        let decoded: Vec<_> = in_pieces(&body, &cuts).unwrap().into_iter().map(|part| part.data).collect();
        prop_assert_eq!(decoded, data);
    }

    #[test]
    fn any_split_means_the_same(middle in tricky(), cuts: [usize; 6]) {
        for start in ["", "--x\r\n", "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n"] {
            let body = [start.as_bytes(), &middle, b"\r\n--x--"].concat();
            prop_assert_eq!(in_pieces(&body, &cuts), in_pieces(&body, &[]));
        }
    }
}
