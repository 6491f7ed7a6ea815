//! Requests as a client writes them, and both encoders against both decoders: what one writes, the other
//! reads back.

use proptest::prelude::*;

use crate::http::h1::{
    BodyCoding, BodyDecoder, BodyLength, ConnectionOptions, HeadProgress, OutgoingRequest, RequestContext,
    RequestDecoder, RequestFacts, RequestWriteError as Error, ResponseDecoder, ResponseProgress, encode,
    write_head, write_request_head,
};
use crate::http::message::{
    BodyLimits, Framing, HeadLimits, RequestHead, ResponseHead, ResponseLimits, Version, push_field,
};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::http::target::TargetError;

const PLAIN: OutgoingRequest<'static> = OutgoingRequest {
    method: "GET",
    target: "/",
    authority: "a",
    fields: b"",
    length: BodyLength::None,
    expects_continue: false,
    connection: ConnectionOptions { close: false, upgrade: None, trailers: false },
};

fn written(request: &OutgoingRequest<'_>) -> Result<(String, BodyCoding, bool), Error> {
    let mut out = b"before".to_vec();
    let result = write_request_head(&mut out, request);
    let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_string();
    assert_eq!(result.is_err(), text.is_empty());
    result.map(|written| (text, written.body, written.facts.asks_upgrade))
}

#[test]
fn requests_are_these_bytes() {
    let vectors = [
        (PLAIN, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", BodyCoding::None),
        (
            OutgoingRequest { fields: b"Accept: */*\r\nX: y\r\n", ..PLAIN },
            "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX: y\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest { method: "CONNECT", target: "a:1", authority: "a:1", ..PLAIN },
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest { target: "http://A/b?c", ..PLAIN },
            "GET http://A/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest { method: "OPTIONS", target: "*", ..PLAIN },
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest {
                connection: ConnectionOptions { close: true, upgrade: Some("h2c"), trailers: true },
                ..PLAIN
            },
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade, TE\r\nUpgrade: h2c\r\n\
             TE: trailers\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest { connection: ConnectionOptions { close: true, ..PLAIN.connection }, ..PLAIN },
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            BodyCoding::None,
        ),
        (
            OutgoingRequest { method: "PUT", length: BodyLength::Known(5), expects_continue: true, ..PLAIN },
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
            BodyCoding::Known(5),
        ),
        (
            OutgoingRequest { method: "PUT", expects_continue: true, ..PLAIN },
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            BodyCoding::None,
        ),
    ];
    for (request, expected, body) in vectors {
        let asks_upgrade = request.connection.upgrade.is_some();
        assert_eq!(written(&request), Ok((expected.to_string(), body, asks_upgrade)));
    }
}

#[test]
fn framing_follows_method_and_length() {
    let zero = ("Content-Length: 0\r\n", BodyCoding::None);
    let nothing = ("", BodyCoding::None);
    let five = ("Content-Length: 5\r\n", BodyCoding::Known(5));
    let chunks = ("Transfer-Encoding: chunked\r\n", BodyCoding::Chunked);
    for (method, without) in [
        ("GET", nothing),
        ("HEAD", nothing),
        ("DELETE", nothing),
        ("OPTIONS", nothing),
        ("PROPFIND", nothing),
        ("POST", zero),
        ("PUT", zero),
        ("PATCH", zero),
    ] {
        for (length, (fields, body)) in [
            (BodyLength::None, without),
            (BodyLength::Known(0), without),
            (BodyLength::Known(5), five),
            (BodyLength::Chunked, chunks),
        ] {
            let expected = format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let request = OutgoingRequest { method, length, ..PLAIN };
            assert_eq!(written(&request), Ok((expected, body, false)));
        }
        let request = OutgoingRequest { method, length: BodyLength::UntilClose, ..PLAIN };
        assert_eq!(written(&request), Err(Error::UntilClose));
    }
    for (method, target) in [("CONNECT", "a:1"), ("TRACE", "/")] {
        let authority = if method == "CONNECT" { target } else { "a" };
        let refused = Err(Error::BodyNotAllowed(Method::from_token(method.as_bytes())));
        for length in [BodyLength::Known(1), BodyLength::Chunked] {
            let request = OutgoingRequest { method, target, authority, length, ..PLAIN };
            assert_eq!(written(&request), refused);
        }
    }
}

#[test]
fn nothing_can_be_injected() {
    let method = |method| OutgoingRequest { method, ..PLAIN };
    let target = |target| OutgoingRequest { target, ..PLAIN };
    let authority = |authority| OutgoingRequest { authority, ..PLAIN };
    let fields = |fields| OutgoingRequest { fields, ..PLAIN };
    let upgrade = |upgrade| OutgoingRequest {
        connection: ConnectionOptions { upgrade: Some(upgrade), ..PLAIN.connection },
        ..PLAIN
    };
    let long = "M".repeat(33);
    let vectors = [
        (method(""), Error::MethodLength),
        (method(&long), Error::MethodLength),
        (method("GET /x HTTP/1.1\r\n"), Error::MethodCharacter(b' ')),
        (method("GE\r\nT"), Error::MethodCharacter(b'\r')),
        (method("G\u{e9}T"), Error::MethodCharacter(0xc3)),
        (target(""), Error::Target(TargetError::Empty)),
        (target("/ HTTP/1.1\r\nX: y"), Error::Target(TargetError::Character(b' '))),
        (target("/\r\nX: y"), Error::Target(TargetError::Character(b'\r'))),
        (target("/\n"), Error::Target(TargetError::Character(b'\n'))),
        (target("/\0"), Error::Target(TargetError::Character(0))),
        (target("/a#b"), Error::Target(TargetError::Character(b'#'))),
        (target("/%4"), Error::Target(TargetError::Percent)),
        (target("a"), Error::Target(TargetError::Form)),
        (target("*"), Error::Target(TargetError::AsteriskWithoutOptions)),
        (target("http://b/"), Error::AuthorityDiffers),
        (
            OutgoingRequest { method: "CONNECT", target: "b:1", authority: "a:1", ..PLAIN },
            Error::AuthorityDiffers,
        ),
        (authority(""), Error::AuthorityMalformed),
        (authority("a b"), Error::AuthorityMalformed),
        (authority("a\r\nX: y"), Error::AuthorityMalformed),
        (authority("u@a"), Error::AuthorityMalformed),
        (fields(b"Host: b\r\n"), Error::ReservedField("Host")),
        (fields(b"A: b\r\nCONNECTION: close\r\n"), Error::ReservedField("Connection")),
        (fields(b"Content-Length: 1\r\n"), Error::ReservedField("Content-Length")),
        (fields(b"transfer-encoding: chunked\r\n"), Error::ReservedField("Transfer-Encoding")),
        (fields(b"Upgrade: a\r\n"), Error::ReservedField("Upgrade")),
        (fields(b"Expect: 100-continue\r\n"), Error::ReservedField("Expect")),
        (fields(b"te: trailers\r\n"), Error::ReservedField("TE")),
        (fields(b"Keep-Alive: 1\r\n"), Error::ReservedField("Keep-Alive")),
        (fields(b"\r\n"), Error::FieldsMalformed),
        (fields(b"A: b\n"), Error::FieldsMalformed),
        (fields(b"A: b"), Error::FieldsMalformed),
        (fields(b"A\r\n"), Error::FieldsMalformed),
        (upgrade(""), Error::UpgradeMalformed),
        (upgrade("a\r\nX: y"), Error::UpgradeMalformed),
        (upgrade("a, b"), Error::UpgradeMalformed),
        (upgrade("a/b/c"), Error::UpgradeMalformed),
    ];
    for (request, error) in vectors {
        assert_eq!(written(&request), Err(error), "{request:?}");
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{text}");
    }
}

fn lines(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        push_field(&mut out, name, value).unwrap();
    }
    out
}

/// Field names that no encoder or decoder gives a meaning to, and any value.
fn any_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let byte = (0u8..=255).prop_filter("no control", |byte| !byte.is_ascii_control() || *byte == b'\t');
    let value = prop::collection::vec(byte, 0..40).prop_map(|value| value.trim_ascii().to_vec());
    prop::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}", value), 0..10)
}

fn any_length() -> impl Strategy<Value = BodyLength> {
    prop_oneof![
        Just(BodyLength::None),
        (0u64..=u64::MAX).prop_map(BodyLength::Known),
        Just(BodyLength::Known(0)),
        Just(BodyLength::Chunked),
    ]
}

fn owned<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    fields.map(|(name, value)| (name.to_string(), value.to_vec())).collect()
}

proptest! {
    #[test]
    fn what_the_request_encoder_writes_the_decoder_reads(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"]),
        target in "/[a-z0-9._~!$&'()*+,;=:@/-]{0,40}(\\?[a-z0-9=&/?]{0,20})?",
        authority in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in any_fields(),
        length in any_length(),
        expects_continue: bool,
        close: bool,
        upgrade: bool,
        trailers: bool,
    ) {
        let connection = ConnectionOptions { close, upgrade: upgrade.then_some("ws/13"), trailers };
        let request = OutgoingRequest {
            method,
            target: &target,
            authority: &authority,
            fields: &lines(&fields),
            length,
            expects_continue,
            connection,
        };
        let mut wire = Vec::new();
        let written = write_request_head(&mut wire, &request).unwrap();
        let mut head = RequestHead::new();
        let progress = RequestDecoder::new().handle_bytes(&wire, &HeadLimits::DEFAULT, &mut head);
        prop_assert_eq!(progress, Ok(HeadProgress::Complete { consumed: wire.len() }));
        prop_assert_eq!((head.method_str(), head.target()), (method, target.as_str()));
        prop_assert_eq!((head.authority(), head.version()), (authority.as_str(), Version::Http11));
        let framing = match written.body {
            BodyCoding::Known(length) => Framing::Length(length),
            BodyCoding::Chunked => Framing::Chunked,
            _ if matches!(method, "POST" | "PUT" | "PATCH") => Framing::Length(0),
            _ => Framing::None,
        };
        prop_assert_eq!(head.framing(), framing);
        prop_assert_eq!(head.keep_alive(), !close);
        prop_assert_eq!(head.expects_continue(), expects_continue && !framing.is_empty());
        prop_assert_eq!(head.field("upgrade").is_some(), upgrade);
        prop_assert_eq!(head.connection_options().any(|option| option == "TE"), trailers);
        prop_assert_eq!(written.facts, RequestFacts { method: head.method(), asks_upgrade: upgrade });
        let theirs = owned(head.fields().filter(|(name, _)| name.starts_with("X-")));
        prop_assert_eq!(theirs, fields);
    }

    #[test]
    fn what_the_response_encoder_writes_the_decoder_reads(
        code in 200u16..=999,
        method in prop::sample::select(vec![Method::Get, Method::Head, Method::Post, Method::Connect]),
        fields in any_fields(),
        length in prop_oneof![4 => any_length(), 1 => Just(BodyLength::UntilClose)],
        close: bool,
    ) {
        let status = Status::new(code).unwrap();
        let connection = if close { encode::Persistence::Close } else { encode::Persistence::KeepAlive };
        let lines = lines(&fields);
        let date_line = b"";
        let response = encode::OutgoingResponse { status, fields: &lines, length, connection, date_line };
        let mut wire = b"HTTP/1.1 103 \r\n\r\n".to_vec();
        let interim = wire.len();
        let request = RequestContext { method, version: Version::Http11 };
        let written = write_head(&mut wire, &response, request);

        let mut decoder = ResponseDecoder::new();
        let mut head = ResponseHead::new();
        let facts = RequestFacts { method, asks_upgrade: false };
        let mut read = |wire: &[u8]| decoder.handle_bytes(wire, &ResponseLimits::DEFAULT, &facts, &mut head);
        prop_assert_eq!(read(&wire), Ok(ResponseProgress::Interim { consumed: interim }));
        let consumed = wire.len() - interim;
        let is_tunnel = method == Method::Connect && status.is_success();
        let body = match written.body {
            BodyCoding::None => Framing::None,
            BodyCoding::Known(length) => Framing::Length(length),
            BodyCoding::Chunked => Framing::Chunked,
            BodyCoding::UntilClose => Framing::UntilClose,
        };
        let expected = match is_tunnel {
            true => ResponseProgress::Tunnel { consumed },
            false => ResponseProgress::Complete { consumed, body },
        };
        prop_assert_eq!(read(&wire[interim..]), Ok(expected));
        prop_assert_eq!((head.status(), head.version()), (status, Version::Http11));
        let keeps = written.connection == encode::Persistence::KeepAlive && !is_tunnel;
        prop_assert_eq!(head.keep_alive(), keeps);
        prop_assert_eq!(owned(head.fields().filter(|(name, _)| name.starts_with("X-"))), fields);
        let limits = BodyLimits { body_bytes_max: None, ..BodyLimits::DEFAULT };
        prop_assert!(BodyDecoder::new(body, &limits).is_ok());
    }
}
