//! Request heads: what is read, what is refused and why.

use proptest::prelude::*;

use super::ways;
use crate::http::h1::{HeadProgress, RequestDecoder};
use crate::http::message::FieldLineError as Line;
use crate::http::message::RequestError as Error;

use crate::http::message::HeadLimits;
use crate::http::message::{Framing, RequestHead};
use crate::http::target::TargetError;

/// What came of a head: a summary and its length on the wire, an error, or nothing yet.
pub(super) type Outcome = Result<Option<(String, usize)>, Error>;

pub(super) fn read(pieces: &[&[u8]], limits: &HeadLimits) -> Outcome {
    let mut decoder = RequestDecoder::new();
    let mut head = RequestHead::new();
    let mut before = 0;
    for piece in pieces {
        match decoder.handle_bytes(piece, limits, &mut head)? {
            HeadProgress::Complete { consumed } => return Ok(Some((summary(&head), before + consumed))),
            HeadProgress::Incomplete => before += piece.len(),
        }
    }
    Ok(None)
}

/// Method, path, query, authority, framing, `keep` or `close`, `continue` when expected, number of fields.
pub(super) fn summary(head: &RequestHead) -> String {
    let framing = match head.framing() {
        Framing::None => "none".to_string(),
        Framing::Tunnel => "tunnel".to_string(),
        Framing::Length(length) => length.to_string(),
        Framing::Chunked => "chunked".to_string(),
        Framing::UntilClose => "until-close".to_string(),
    };
    format!(
        "{} {} {} {} {framing} {}{} {}",
        head.method_str(),
        head.path(),
        head.query().unwrap_or("-"),
        if head.authority().is_empty() { "-" } else { head.authority() },
        if head.keep_alive() { "keep" } else { "close" },
        if head.expects_continue() { " continue" } else { "" },
        head.fields().len(),
    )
}

fn check(wire: &[u8], expected: &Outcome) {
    for pieces in ways(wire) {
        let outcome = read(&pieces, &HeadLimits::DEFAULT);
        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(&outcome, expected, "{:?} in pieces of {lengths:?}", wire.escape_ascii().to_string());
    }
}

#[test]
fn accepted() {
    let vectors: &[(&str, &str)] = &[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / - a none keep 1"),
        ("GET /a/b?c=d&e HTTP/1.1\r\nHost: a:80\r\n\r\n", "GET /a/b c=d&e a:80 none keep 1"),
        ("GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /  a none keep 1"),
        // One empty line before the request (RFC 9112 §2.2).
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / - a none keep 1"),
        // Minor versions that do not exist yet (RFC 9110 §6.2): a client that can do more can do 1.1.
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / - a none keep 1"),
        ("GET /a|b HTTP/1.9\r\nHost: a\r\n\r\n", "GET /a%7Cb - a none keep 1"),
        // What the URL standard lets through is encoded (see `target::normalize`).
        (
            "GET /a|b^c`d\\e{f}\"<> HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a%7Cb%5Ec%60d%5Ce%7Bf%7D%22%3C%3E - a none keep 1",
        ),
        (
            "GET /100%?q=100%&r=%zz&{\"a\":1} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /100%25 q=100%25&r=%25zz&%7B%22a%22:1%7D a none keep 1",
        ),
        ("GET /caf\u{e9}?\u{fc} HTTP/1.0\r\n\r\n", "GET /caf%C3%A9 %C3%BC - none close 0"),
        ("GET http://b/|?^ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%7C %5E b none keep 1"),
        ("POST /| HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST /%7C - a 5 keep 2"),
        // An empty Host where the target needs none (RFC 9112 §3.2).
        ("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n", "OPTIONS * - - none keep 1"),
        ("GET http://b/ HTTP/1.1\r\nHost: \r\n\r\n", "GET / - b none keep 1"),
        ("CONNECT b:443 HTTP/1.1\r\nHost:\r\n\r\n", "CONNECT  - b:443 none keep 1"),
        ("GET / HTTP/1.0\r\nHost:\r\n\r\n", "GET / - - none close 1"),
        // White space around values, field order, letter case, empty values.
        ("GET / HTTP/1.1\r\nhost:a\r\n\r\n", "GET / - a none keep 1"),
        ("GET / HTTP/1.1\r\nHOST: \t a \t \r\nX:\r\nY:  \r\n\r\n", "GET / - a none keep 3"),
        ("GET / HTTP/1.1\r\nA_b-c.d!#$%&'*+^`|~: x\r\nHost: a\r\n\r\n", "GET / - a none keep 2"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\tb \u{e9}\"<>\\^`{|}#\r\n\r\n", "GET / - a none keep 2"),
        ("GET / HTTP/1.1\r\nX: 1\r\nHost: a\r\nX: 2\r\nx: 3\r\n\r\n", "GET / - a none keep 4"),
        // Methods.
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD / - a none keep 1"),
        ("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "PROPFIND / - a none keep 1"),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / - a none keep 1"),
        (
            "A!#$%&'*+-.^_`|~9AAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n",
            "A!#$%&'*+-.^_`|~9AAAAAAAAAAAAAAA / - a none keep 1",
        ),
        // Forms of the target.
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * - a none keep 1"),
        ("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", "GET / - b none keep 1"),
        ("GET HTTP://b:8080/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "GET /c d b:8080 none keep 1"),
        ("GET https://[::1]/c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /c - [::1] none keep 1"),
        ("GET http://b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET / c b none keep 1"),
        ("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT  - b:443 none keep 1"),
        ("CONNECT b:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "CONNECT  - b:443 0 keep 2"),
        (
            "GET //a//..a%2f%00/[x]?[]=%25 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a/..a%2F%00/%5Bx%5D []=%25 a none keep 1",
        ),
        // Hosts.
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:65535\r\n\r\n", "GET / - 127.0.0.1:65535 none keep 1"),
        ("GET / HTTP/1.1\r\nHost: [2001:db8::1]:0\r\n\r\n", "GET / - [2001:db8::1]:0 none keep 1"),
        ("GET / HTTP/1.1\r\nHost: a_b.c-d.\r\n\r\n", "GET / - a_b.c-d. none keep 1"),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / - a: none keep 1"),
        // HTTP/1.0.
        ("GET / HTTP/1.0\r\n\r\n", "GET / - - none close 0"),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / - a none close 1"),
        ("GET http://b/ HTTP/1.0\r\n\r\n", "GET / - b none close 0"),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / - - none keep 1"),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / - - none close 1"),
        ("POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", "POST / - - 3 close 2"),
        ("POST / HTTP/1.0\r\nExpect: tea\r\n\r\n", "POST / - - none close 1"),
        // Connection options.
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / - a none close 2"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x ,, CLOSE\t\r\n\r\n", "GET / - a none close 2"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nConnection: close\r\n\r\n",
            "GET / - a none close 3",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, keep-alive\r\n\r\n", "GET / - a none keep 2"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET / - a none keep 3"),
        ("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: close\r\n\r\n", "GET / - a none keep 2"),
        // Framing.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / - a 0 keep 2"),
        ("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t5 \t\r\n\r\nhello", "POST / - a 5 keep 2"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 00000000000000000000000012\r\n\r\n",
            "POST / - a 12 keep 2",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "POST / - a 18446744073709551615 keep 2",
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "POST / - a chunked keep 2"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING:Chunked \r\n\r\n", "POST / - a chunked keep 2"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nContent-Lengt: 6\r\n\r\n",
            "GET / - a none keep 3",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, chunked\r\n\r\n", "GET / - a none keep 2"),
        // Expectations.
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n",
            "PUT / - a 5 keep continue 3",
        ),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / - a chunked keep continue 3",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET / - a none keep 2"),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
            "PUT / - a 0 keep 3",
        ),
    ];
    for (wire, expected) in vectors {
        let length = wire.find("\r\n\r\n").map_or(wire.len(), |at| at + 4);
        check(wire.as_bytes(), &Ok(Some((expected.to_string(), length))));
        // What follows a head is left alone, whatever it is.
        let followed = [wire.as_bytes(), b"\0\xff GET /"].concat();
        check(&followed, &Ok(Some((expected.to_string(), length))));
    }
}

#[test]
fn refused_request_lines() {
    let target = Error::Target;
    let vectors: &[(&[u8], Error)] = &[
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::BareLf),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::BareCr),
        (b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::EmptyLines),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::BareLf),
        (b"\r\n\r\n\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::BareCr),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodMissing),
        (b"\tGET / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodCharacter(b'\t')),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodCharacter(b'(')),
        (b"G\xc3T / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodCharacter(0xc3)),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodCharacter(b'\t')),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", Error::MethodCharacter(0x16)),
        (b"\x80\x2e\x01\x03\x01\n", Error::MethodCharacter(0x80)),
        (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n", Error::MethodTooLong),
        (b"GET\r\nHost: a\r\n\r\n", Error::TargetMissing),
        (b"GET\n\n", Error::TargetMissing),
        (b"GET /\r\n\r\n", Error::VersionMissing),
        (b"GET /\n", Error::VersionMissing),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Empty)),
        (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Empty)),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'\t'))),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Error::BareLf),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", Error::BareCr),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Error::BareCr),
        (b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        // Versions.
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::Http2Preface),
        (b"\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Error::VersionUnsupported),
        (b"PRI * HTTP/2.1\r\n\r\n", Error::VersionUnsupported),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Error::VersionUnsupported),
        (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", Error::VersionUnsupported),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Error::VersionUnsupported),
        (b"GET / HTTP/2\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / ICY/1.1\r\nHost: a\r\n\r\n", Error::VersionMalformed),
        (b"GET / \r\nHost: a\r\n\r\n", Error::VersionMalformed),
        // Targets.
        (b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'#'))),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(0x7f))),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(0))),
        (b"GET http://a|b/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'|'))),
        (b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'\\'))),
        (b"GET http://\xc3\xa9/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(0xc3))),
        (b"GET http://a%/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Percent)),
        (b"GET /a|b#c HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'#'))),
        (b"CONNECT a|b:1 HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Character(b'|'))),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Form)),
        (b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Form)),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Form)),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::AsteriskWithoutOptions)),
        (b"OPTIONS *? HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Form)),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::ConnectWithoutHostAndPort)),
        (b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::ConnectWithoutHostAndPort)),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Scheme)),
        (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Authority)),
        (b"GET http://a:b@c/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Userinfo)),
        (b"GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", target(TargetError::Authority)),
    ];
    for (wire, error) in vectors {
        check(wire, &Err(*error));
    }
}

#[test]
fn refused_field_lines() {
    let line = Error::Field;
    let vectors: &[(&[u8], Error)] = &[
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", line(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", line(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nX:\nHost: a\r\n\r\n", line(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nX: \n\r\nHost: a\r\n\r\n", line(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", Error::BareLf),
        (b"GET / HTTP/1.1\nHost: a\n\n", Error::BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n", Error::BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", line(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", line(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHo\rst: a\r\n\r\n", line(Line::ColonMissing)),
        (b"GET / HTTP/1.1\r\nX:\rHost: a\r\n\r\n", line(Line::BareCr)),
        // Folding, and a space where the first field should be.
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", line(Line::Folded)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n", line(Line::Folded)),
        (b"GET / HTTP/1.1\r\nX:\r\n b: c\r\nHost: a\r\n\r\n", line(Line::Folded)),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", line(Line::Folded)),
        (b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", line(Line::Folded)),
        // Names.
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", line(Line::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", line(Line::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", line(Line::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", line(Line::NameEmpty)),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", line(Line::ColonMissing)),
        (b"GET / HTTP/1.1\r\nHost: a\r\njust words\r\n\r\n", line(Line::SpaceBeforeColon)),
        (b"GET / HTTP/1.1\r\nH\xf6st: a\r\n\r\n", line(Line::NameCharacter(0xf6))),
        (b"GET / HTTP/1.1\r\nHost(: a\r\n\r\n", line(Line::NameCharacter(b'('))),
        (b"GET / HTTP/1.1\r\n\"Host\": a\r\n\r\n", line(Line::NameCharacter(b'"'))),
        (b"GET / HTTP/1.1\r\nHost\0: a\r\n\r\n", line(Line::NameCharacter(0))),
        (b"GET / HTTP/1.1\r\nHo/st: a\r\n\r\n", line(Line::NameCharacter(b'/'))),
        (b"GET / HTTP/1.1\r\nHost; a\r\n\r\n", line(Line::NameCharacter(b';'))),
        // Values.
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", line(Line::ValueCharacter(0))),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", line(Line::ValueCharacter(1))),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0bb\r\n\r\n", line(Line::ValueCharacter(0x0b))),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x0c\r\n\r\n", line(Line::ValueCharacter(0x0c))),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x1b[2J\r\n\r\n", line(Line::ValueCharacter(0x1b))),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", line(Line::ValueCharacter(0x7f))),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
            line(Line::ValueCharacter(0x0b)),
        ),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x00chunked\r\n\r\n",
            line(Line::ValueCharacter(0)),
        ),
        // The first error counts, whatever follows it.
        (b"GET / HTTP/1.1\r\nHost: a b\r\nX\n\r\n", line(Line::ColonMissing)),
        (b"GET /# HTTP/9.9\nHost : a\n\n", Error::Target(TargetError::Character(b'#'))),
    ];
    for (wire, error) in vectors {
        check(wire, &Err(*error));
    }
}

#[test]
fn refused_meanings() {
    let vectors: &[(&str, Error)] = &[
        // Host.
        ("GET / HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", Error::HostMissing),
        ("GET http://a/ HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("OPTIONS * HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("CONNECT a:443 HTTP/1.1\r\n\r\n", Error::HostMissing),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Error::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", Error::HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Error::HostRepeated),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a, b c\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a:8x\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: [1]\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: a?b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.1\r\nHost: h\u{f6}st\r\n\r\n", Error::HostMalformed),
        ("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Error::HostMalformed),
        ("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Error::HostMalformed),
        // Content-Length.
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1a\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1.0\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,2\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ,1\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"1\"\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_000\r\n\r\n", Error::LengthMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \u{661}\r\n\r\n", Error::LengthMalformed),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            Error::LengthRepeated,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\ncontent-length: 2\r\n\r\n",
            Error::LengthRepeated,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", Error::LengthOverflow),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
            Error::LengthOverflow,
        ),
        // Both framings: CL.TE and TE.CL.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
            Error::LengthAndChunked,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n\
             8\r\nSMUGGLED\r\n0\r\n\r\n",
            Error::LengthAndChunked,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            Error::LengthAndChunked,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
            Error::LengthAndChunked,
        ),
        // Transfer-Encoding, obfuscated and otherwise.
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Error::CodingInHttp10),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            Error::Field(Line::SpaceBeforeColon),
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", Error::Field(Line::Folded)),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Error::CodingRepeated,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
            Error::CodingRepeated,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n",
            Error::ChunkedNotLast,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Error::ChunkedNotLast),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", Error::ChunkedNotLast),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip, chunked\r\n\r\n",
            Error::ChunkedNotLast,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", Error::ChunkedNotLast),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", Error::ChunkedNotLast),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", Error::ChunkedNotLast),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Error::CodingUnsupported),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity,Chunked\r\n\r\n",
            Error::CodingUnsupported,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n", Error::ChunkedNotLast),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chun ked\r\n\r\n", Error::CodingMalformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\u{a0}\r\n\r\n", Error::CodingMalformed),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Error::ConnectWithBody),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Error::ConnectWithBody),
        // Expectations.
        ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 5\r\n\r\n", Error::ExpectationUnknown),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n", Error::ExpectationUnknown),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, tea\r\n\r\n", Error::ExpectationUnknown),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nExpect: 100-continue\r\n\r\n",
            Error::ExpectationUnknown,
        ),
        // A malformed line is found before a contradiction that stands earlier.
        ("GET / HTTP/1.1\r\nHost: a b\r\nX: c\n\r\n", Error::Field(Line::BareLf)),
    ];
    for (wire, error) in vectors {
        check(wire.as_bytes(), &Err(*error));
    }
}

#[test]
fn incomplete_heads_wait() {
    let vectors: &[&str] = &[
        "",
        "\r",
        "\r\n",
        "\r\nG",
        "GET",
        "GET ",
        "GET /%4",
        "GET / HTTP/1.1",
        "GET / HTTP/9",
        "GET / HTTP/1.1\r",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ];
    for wire in vectors {
        check(wire.as_bytes(), &Ok(None));
    }
}

/// Other protocols and smuggled requests must not keep a connection waiting for a line that never ends.
#[test]
fn garbage_is_refused_with_its_first_bytes() {
    let vectors: &[(&[u8], Error)] = &[
        (b"\x16\x03\x01", Error::MethodCharacter(0x16)),
        (b"SSH-2.0-x y\0", Error::Target(TargetError::Character(0))),
        (b"GET /\x01", Error::Target(TargetError::Character(1))),
        (b"GET / HTTP/1.1\r\nHost : a", Error::Field(Line::SpaceBeforeColon)),
    ];
    for (wire, error) in vectors {
        assert_eq!(read(&[wire], &HeadLimits::DEFAULT), Err(*error));
    }
}

const SMALL: HeadLimits = HeadLimits { request_line_bytes_max: 24, head_bytes_max: 64, fields_max: 3 };

#[test]
fn limits_hold_to_the_byte() {
    let line_at_limit = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(24 - 14));
    let line_beyond = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(24 - 13));
    let head = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let head_at_limit = format!("{head}{}\r\n\r\n", "x".repeat(64 - 4 - head.len()));
    let head_beyond = format!("{head}{}\r\n\r\n", "x".repeat(64 - 3 - head.len()));
    let ok = |summary: &str, length: usize| Ok(Some((summary.to_string(), length)));
    let vectors: Vec<(String, Outcome)> = vec![
        (line_at_limit.clone(), ok("GET /aaaaaaaaaa - a none keep 1", line_at_limit.len())),
        (format!("\r\n{line_at_limit}"), ok("GET /aaaaaaaaaa - a none keep 1", line_at_limit.len() + 2)),
        (line_beyond, Err(Error::RequestLineTooLong)),
        (format!("GET /{}", "a".repeat(100)), Err(Error::RequestLineTooLong)),
        ("GET /aaaaaaaaaaaaaaaaaaa# HTTP/1.1\r\n\r\n".to_string(), Err(Error::RequestLineTooLong)),
        (
            "GET /aaaaaaaaaaaaaaaaaa# HTTP/1.1\r\n\r\n".to_string(),
            Err(Error::Target(TargetError::Character(b'#'))),
        ),
        // Twelve bytes of path as sent, eighteen in normal form.
        ("GET /aaaaaaa||| HTTP/1.1\r\nHost: a\r\n\r\n".to_string(), Err(Error::RequestLineTooLong)),
        ("GET /|| HTTP/1.1\r\nHost: a\r\n\r\n".to_string(), ok("GET /%7C%7C - a none keep 1", 29)),
        (head_at_limit.clone(), ok("GET / - a none keep 2", 64)),
        (format!("\r\n{head_at_limit}"), ok("GET / - a none keep 2", 66)),
        (head_beyond.clone(), Err(Error::HeadTooLong)),
        (format!("\r\n{head_beyond}"), Err(Error::HeadTooLong)),
        (format!("{head}{}", "x".repeat(100)), Err(Error::HeadTooLong)),
        (format!("{head}{}\x01\r\n\r\n", "x".repeat(100)), Err(Error::HeadTooLong)),
        ("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\n\r\n".to_string(), ok("GET / - a none keep 3", 35)),
        ("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\nD:\r\n\r\n".to_string(), Err(Error::TooManyFields)),
        ("GET / HTTP/1.1\r\nHost: a\r\nB:\r\nC:\r\n D:\r\n\r\n".to_string(), Err(Error::TooManyFields)),
    ];
    for (wire, expected) in vectors {
        for pieces in ways(wire.as_bytes()) {
            assert_eq!(read(&pieces, &SMALL), expected, "{wire:?}");
        }
    }
}

#[test]
fn default_limits_are_those_documented() {
    let wire = |line: usize, fields: usize, filler: usize| {
        let mut wire = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "a".repeat(line - 14));
        (1..fields).for_each(|_| wire.push_str("X: y\r\n"));
        wire + "F: " + &"f".repeat(filler) + "\r\n\r\n"
    };
    let status =
        |wire: String| read(&[wire.as_bytes()], &HeadLimits::DEFAULT).map_err(|error| error.status().code());
    assert!(status(wire(8192, 1, 1)).is_ok());
    assert_eq!(status(wire(8193, 1, 1)), Err(414));
    assert!(status(wire(20, 99, 1)).is_ok());
    assert_eq!(status(wire(20, 100, 1)), Err(431));
    assert!(status(wire(20, 1, 16_000)).is_ok());
    assert_eq!(status(wire(20, 1, 16_384)), Err(431));
    assert_eq!(status("a".repeat(20_000)), Err(501));
    assert_eq!(status(format!("GET /{}", "a".repeat(20_000))), Err(414));
}

/// Every control byte at every offset of a value: the tokenizer reads 32 bytes at once, and none may slip by.
#[test]
fn no_offset_hides_a_control_byte() {
    for byte in (0..=255u8).filter(|byte| byte.is_ascii_control() && *byte != b'\t') {
        for offset in 0..70 {
            let mut wire = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
            wire.extend(std::iter::repeat_n(b'x', offset));
            wire.push(byte);
            wire.extend_from_slice(b"yyyy\r\n\r\n");
            let expected = match byte {
                b'\r' => Line::BareCr,
                b'\n' => Line::BareLf,
                _ => Line::ValueCharacter(byte),
            };
            // `yyyy` after a bare LF is another line without a colon; the LF comes first.
            let outcome = read(&[&wire], &HeadLimits::DEFAULT);
            assert_eq!(outcome, Err(Error::Field(expected)), "0x{byte:02x} at {offset}");
        }
    }
}

#[test]
fn fields_are_found_by_name_and_in_order() {
    let wire = b"GET http://b HTTP/1.0\r\nAccept: 1\r\nX-a:2\r\nACCEPT:  3 \r\nX-A: \xe9\r\n\r\n";
    let mut head = RequestHead::new();
    let progress = RequestDecoder::new().handle_bytes(wire, &HeadLimits::DEFAULT, &mut head);
    assert_eq!(progress, Ok(HeadProgress::Complete { consumed: wire.len() }));
    assert_eq!(head.field("accept"), Some(&b"1"[..]));
    assert_eq!(head.field("x-A"), Some(&b"2"[..]));
    assert_eq!(head.field("x"), None);
    assert_eq!(head.fields_named("Accept").collect::<Vec<_>>(), [b"1", b"3"]);
    let names: Vec<&str> = head.fields().map(|(name, _)| name).collect();
    assert_eq!(names, ["Accept", "X-a", "ACCEPT", "X-A"]);
    assert_eq!(head.fields().last(), Some(("X-A", &b"\xe9"[..])));
    assert_eq!((head.target(), head.scheme(), head.len_bytes()), ("http://b", Some("http"), wire.len()));
}

#[test]
fn a_cleared_head_is_empty_and_keeps_its_memory() {
    let mut head = RequestHead::new();
    let wire = b"OPTIONS * HTTP/1.0\r\nHost: a\r\n\r\n";
    RequestDecoder::new().handle_bytes(wire, &HeadLimits::DEFAULT, &mut head).unwrap();
    head.clear();
    assert_eq!(summary(&head), "  - - none close 0");
    assert_eq!((head.target(), head.len_bytes(), head.field("host")), ("", 0, None));
}

/// A head left in place is recognised when it comes again, and never mistaken for another.
#[test]
fn a_repeated_head_is_the_same_head() {
    const FIRST: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    const SECOND: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: z\r\n\r\n";
    const LONGER: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 1\r\n\r\n";
    const REFUSED: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a b\r\nX: y\r\n\r\n";
    let told = |head: &RequestHead| {
        let fields = head.fields().map(|(name, value)| (name.to_string(), value.to_vec()));
        (summary(head), head.target().to_string(), fields.collect::<Vec<_>>())
    };
    let read_into = |head: &mut RequestHead, wire: &[u8], limits: &HeadLimits| {
        let progress = RequestDecoder::new().handle_bytes(wire, limits, head);
        progress.map(|progress| (progress, told(head)))
    };
    let mut head = RequestHead::new();
    for wire in [FIRST, FIRST, SECOND, FIRST, LONGER, LONGER, FIRST, SECOND, SECOND] {
        for (prefix, suffix) in [("", ""), ("\r\n", ""), ("", "GET"), ("", "\0")] {
            let wire = [prefix.as_bytes(), wire, suffix.as_bytes()].concat();
            let fresh = read_into(&mut RequestHead::new(), &wire, &HeadLimits::DEFAULT);
            assert!(fresh.is_ok());
            assert_eq!(read_into(&mut head, &wire, &HeadLimits::DEFAULT), fresh);
        }
    }
    // A refused head leaves nothing to be recognised, and narrower limits hold for a known one too.
    for _ in 0..2 {
        assert_eq!(read_into(&mut head, REFUSED, &HeadLimits::DEFAULT), Err(Error::HostMalformed));
    }
    for narrow in [
        HeadLimits { request_line_bytes_max: 16, ..HeadLimits::DEFAULT },
        HeadLimits { head_bytes_max: 30, ..HeadLimits::DEFAULT },
        HeadLimits { fields_max: 1, ..HeadLimits::DEFAULT },
    ] {
        assert!(read_into(&mut head, FIRST, &HeadLimits::DEFAULT).is_ok());
        assert!(read_into(&mut head, FIRST, &narrow).is_err());
    }
}

#[test]
fn idle_means_nothing_received() {
    let mut decoder = RequestDecoder::new();
    let mut head = RequestHead::new();
    let mut feed = |decoder: &mut RequestDecoder, bytes: &[u8]| {
        decoder.handle_bytes(bytes, &HeadLimits::DEFAULT, &mut head).unwrap();
        decoder.is_idle()
    };
    assert!(decoder.is_idle());
    assert!(feed(&mut decoder, b""));
    assert!(feed(&mut decoder, b"\r"));
    assert!(feed(&mut decoder, b"\n"));
    assert!(!feed(&mut decoder, b"G"));
    assert!(!feed(&mut decoder, b"ET / HTTP/1.1\r\nHost: a\r\n"));
    assert!(feed(&mut decoder, b"\r\n"));
    assert!(feed(&mut decoder, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
}

/// Pieces of heads, sound and unsound, so that random joins get deep into the machine.
pub(super) fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        &b"GET / HTTP/1.1\r\n"[..],
        b"POST /a?b HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Host: a b\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"X: y\n",
        b"X : y\r\n",
        b"X: y",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b" ",
        b":",
        b"%",
        b"\0",
        b"\xff",
        b"GET ",
        b"/",
        b"HTTP/1.1",
        b"X",
    ]);
    prop::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
}

proptest! {
    #[test]
    fn random_heads_split_at_random_come_out_the_same(
        wire in fragments(),
        cuts in prop::collection::vec(0usize..200, 0..6),
    ) {
        let whole = read(&[&wire], &SMALL);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(wire.len())).collect();
        cuts.extend([0, wire.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
        let split = read(&pieces, &SMALL);
        // An unsound line that has not ended is refused at once in one piece and may wait in several.
        if split != Ok(None) {
            prop_assert_eq!(&whole, &split);
        }
        prop_assert_ne!(whole, Err(Error::Disagreement));
    }
}

/// The upgrade that a request asks for, and its connection options.
fn connection(wire: &str) -> (Option<String>, Vec<String>) {
    let mut head = RequestHead::new();
    let limits = HeadLimits::DEFAULT;
    let progress = RequestDecoder::new().handle_bytes(wire.as_bytes(), &limits, &mut head).unwrap();
    assert_eq!(progress, HeadProgress::Complete { consumed: wire.len() });
    assert_eq!(head.protocol(), None);
    (head.upgrade().map(str::to_owned), head.connection_options().map(str::to_owned).collect())
}

#[test]
fn connection_options_are_kept_and_an_upgrade_needs_one() {
    let upgrade = |version: &str, fields: &str| connection(&format!("GET / HTTP/{version}\r\n{fields}\r\n"));
    let host = "Host: a\r\n";
    let (protocol, options) = upgrade(
        "1.1",
        &format!("{host}Connection: keep-alive, ,\tUpgrade\r\nUpgrade: websocket\r\nConnection:X-A,,\r\n"),
    );
    assert_eq!(protocol.as_deref(), Some("websocket"));
    assert_eq!(options, ["keep-alive", "Upgrade", "X-A"]);
    let vectors = [
        ("1.1", "Upgrade: websocket\r\n"),
        ("1.1", "Connection: upgrade\r\n"),
        ("1.1", "Connection: upgrade\r\nUpgrade:\r\n"),
        ("1.1", "Connection: upgrades\r\nUpgrade: websocket\r\n"),
        ("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"),
    ];
    for (version, fields) in vectors {
        assert_eq!(upgrade(version, &format!("{host}{fields}")).0, None, "{version} {fields}");
    }
}

#[test]
fn a_host_is_judged_anew_where_it_differs_from_the_last() {
    let mut decoder = RequestDecoder::new();
    let mut head = RequestHead::new();
    let long = "a".repeat(60);
    let hosts = [
        ("a.test", true),
        ("a.test", true),
        ("A.test", true),
        ("a.tes", true),
        (&*long, true),
        (&*long, true),
        ("a.test:80", true),
        ("a.test:99999", false),
        ("a.test:80", true),
        ("", false),
        ("a.test:80", true),
        ("a.test:80 ", true),
        ("a b", false),
        ("a.test:8", true),
        ("a.test:8x", false),
    ];
    for (host, is_valid) in hosts {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let outcome = decoder.handle_bytes(request.as_bytes(), &HeadLimits::default(), &mut head);
        let expected = if is_valid {
            Ok(HeadProgress::Complete { consumed: request.len() })
        } else {
            Err(Error::HostMalformed)
        };
        assert_eq!(outcome, expected, "{host:?}");
        if is_valid {
            assert_eq!(head.authority(), host.trim_end());
        }
    }
}
