//! Heads of requests: what they become, what makes them malformed, and what is refused with a status.

use super::*;

#[test]
fn a_head_reads_as_http_1_would_have_sent_it() {
    let lines = format!("{GET}accept: */*\r\nuser-agent: t\r\n");
    let wire = Wire::new().headers(1, EndStream::Yes, &lines).headers(3, EndStream::Yes, &lines);
    let head = "GET / HTTP/2|host: a.example|accept: */*|user-agent: t";
    assert_eq!(events(&wire), [format!("1 {head} ."), format!("3 {head} .")]);
}

#[test]
fn heads_know_their_parts() {
    let lines = ":method: POST\r\n:path: /a%20b?c=d\r\n:scheme: HTTPS\r\n:authority: A.example:8443\r\n\
                 cookie: \r\ncookie: a=1\r\nx: y\r\ncookie: b=2\r\ncookie: \r\n\
                 host: a.EXAMPLE:8443\r\ncontent-length: 5\r\n\
                 expect: 100-continue\r\nte: trailers\r\npriority: u=1, i\r\n";
    let wire = Wire::new().headers(1, EndStream::No, lines);
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let mut head = RequestHead::new();
    let step = lab.machine.handle_bytes(&wire.bytes, &mut lab.out, &mut head, lab.now).unwrap();
    let Some(Event::Head { stream, ends: false }) = step.event else { panic!("{step:?}") };
    assert_eq!((step.consumed, stream.id()), (wire.bytes.len(), 1));
    assert_eq!(lab.machine.priority(stream), Priority { urgency: 1, incremental: true });
    assert_eq!((head.method_str(), head.path(), head.query()), ("POST", "/a%20b", Some("c=d")));
    assert_eq!((head.authority(), head.scheme()), ("A.example:8443", Some("https")));
    assert_eq!(head.field("host"), Some(&b"A.example:8443"[..]));
    assert_eq!(head.fields_named("host").count(), 1);
    assert_eq!(head.fields_named("cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
    assert_eq!(head.framing(), crate::http::message::Framing::Length(5));
    assert!(head.expects_continue() && head.keep_alive());
    assert_eq!(head.version(), crate::http::message::Version::Http2);
}

#[test]
fn forms_of_targets() {
    let head = |lines: &str| events(&Wire::new().headers(1, EndStream::Yes, lines)).remove(0);
    let connect = ":method: CONNECT\r\n:authority: a.example:443\r\n";
    assert_eq!(head(connect), "1 CONNECT a.example:443 HTTP/2|host: a.example:443 .");
    let options = ":method: OPTIONS\r\n:scheme: http\r\n:path: *\r\nhost: a\r\n";
    assert_eq!(head(options), "1 OPTIONS * HTTP/2|host: a .");
    let odd = ":method: PROPFIND\r\n:scheme: http\r\n:path: /\r\n:authority: [::1]:80\r\n";
    assert_eq!(head(odd), "1 PROPFIND / HTTP/2|host: [::1]:80 .");
}

#[test]
fn malformed_heads_are_reset() {
    use MalformedHead::*;
    let with = |lines: &str| format!("{GET}{lines}");
    let vectors = [
        (with("Accept: a\r\n"), NameCharacter),
        (with("a b: a\r\n"), NameCharacter),
        (with("x: a\tb\u{1}\r\n"), ValueCharacter),
        (with("connection: close\r\n"), ConnectionField),
        (with("keep-alive: 1\r\n"), ConnectionField),
        (with("proxy-connection: a\r\n"), ConnectionField),
        (with("transfer-encoding: chunked\r\n"), ConnectionField),
        (with("upgrade: h2c\r\n"), ConnectionField),
        (with("te: gzip\r\n"), TeValue),
        (with("te: trailers, gzip\r\n"), TeValue),
        (with(":status: 200\r\n"), PseudoUnknown),
        (with(":protocol: websocket\r\n"), ProtocolWithoutConnect),
        (with("a: b\r\n:path: /\r\n"), PseudoLate),
        (with(":path: /\r\n"), PseudoRepeated),
        (with(":authority: a.example\r\n"), PseudoRepeated),
        (":scheme: http\r\n:path: /\r\n:authority: a\r\n".into(), PseudoMissing),
        (":method: GET\r\n:path: /\r\n:authority: a\r\n".into(), PseudoMissing),
        (":method: GET\r\n:scheme: http\r\n:authority: a\r\n".into(), PseudoMissing),
        (":method: GET\r\n:scheme: http\r\n:authority: a\r\n:path: \r\n".into(), PseudoMissing),
        (":method: \r\n:scheme: http\r\n:authority: a\r\n:path: /\r\n".into(), PseudoMissing),
        ("a: b\r\n".into(), PseudoMissing),
        (String::new(), PseudoMissing),
        (":method: CONNECT\r\n:scheme: http\r\n:authority: a:1\r\n".into(), PseudoWithConnect),
        (":method: CONNECT\r\n:path: /\r\n:authority: a:1\r\n".into(), PseudoWithConnect),
        (":method: CONNECT\r\nhost: a:1\r\n".into(), AuthorityMissing),
        (":method: GET\r\n:scheme: http\r\n:path: /\r\n".into(), AuthorityMissing),
        (with("host: b.example\r\n"), HostDiffers),
        (with("content-length: 3\r\n"), LengthWithoutBody),
    ];
    for (lines, reason) in vectors {
        // As they are spelled: the encoder would lower the names.
        let mut wire = Wire::new();
        let block = literal_block(&lines);
        let ends = flag::END_HEADERS | flag::END_STREAM;
        wire = wire.frame(FrameKind::Headers, ends, 1, block).headers(3, EndStream::Yes, GET);
        let (events, replies) = dialogue(&wire);
        assert_eq!(events[0], format!("malformed {:?}", StreamError::Malformed(reason)), "{lines}");
        assert_eq!(replies, ["SETTINGS ack", "RST_STREAM 1 PROTOCOL_ERROR"], "{lines}");
        assert!(events[1].starts_with("3 GET /"), "the connection goes on");
    }
}

/// A block of literals, names and values as they are.
pub(super) fn literal_block(lines: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for line in lines.split_terminator("\r\n") {
        let colon = 1 + line[1..].find(':').unwrap();
        let (name, value) = (&line[..colon], line[colon + 1..].trim_start_matches(' '));
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

#[test]
fn white_space_around_values_is_malformed() {
    for value in [" a", "a ", "\ta", "a\t"] {
        let mut block = literal_block(GET);
        block.extend_from_slice(&[0, 1, b'x', value.len() as u8]);
        block.extend_from_slice(value.as_bytes());
        let wire = Wire::new().frame(FrameKind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, block);
        assert_eq!(error(&wire), "RST_STREAM 1 PROTOCOL_ERROR", "{value:?}");
    }
}

#[test]
fn what_http_1_refuses_with_a_status_is_refused_with_it() {
    let path = |path: &str| format!(":method: GET\r\n:scheme: http\r\n:authority: a\r\n:path: {path}\r\n");
    let vectors = [
        (path("/a b"), 400),
        (path("a"), 400),
        (path("http://a/"), 400),
        (path("*"), 400),
        (path(&format!("/{}", "a".repeat(8192))), 414),
        (":method: GET\r\n:scheme: ftp\r\n:authority: a\r\n:path: /\r\n".into(), 400),
        (":method: GET\r\n:scheme: http\r\n:authority: a@b\r\n:path: /\r\n".into(), 400),
        (":method: GET\r\n:scheme: http\r\n:authority: \r\n:path: /\r\n".into(), 400),
        (":method: CONNECT\r\n:authority: a\r\n".into(), 400),
        (format!(":method: {}\r\n:scheme: http\r\n:authority: a\r\n:path: /\r\n", "A".repeat(33)), 501),
        (":method: A/B\r\n:scheme: http\r\n:authority: a\r\n:path: /\r\n".into(), 400),
        (format!("{GET}content-length: 1a\r\n"), 400),
        (format!("{GET}content-length: 0\r\ncontent-length: 0\r\n"), 400),
        (format!("{GET}expect: a\r\n"), 417),
        (format!("{GET}{}", "a: b\r\n".repeat(101)), 431),
        (format!("{GET}a: {}\r\n", "b".repeat(16 * 1024)), 431),
        (":method: GET\r\n:scheme: http\r\n:path: /\r\nhost: a\r\nhost: a\r\n".into(), 400),
    ];
    for (lines, status) in vectors {
        let mut wire = Wire::new();
        let block = wire.block(&lines);
        let (first, rest) = block.split_at(block.len().min(16384));
        wire = wire.frame(FrameKind::Headers, flag::END_STREAM, 1, first);
        wire =
            wire.frame(FrameKind::Continuation, flag::END_HEADERS, 1, rest).headers(3, EndStream::Yes, GET);
        let mut lab = Lab::new(H2Limits::DEFAULT);
        let mut head = RequestHead::new();
        let step = lab.machine.handle_bytes(&wire.bytes, &mut lab.out, &mut head, lab.now).unwrap();
        let Some(Event::Refused { stream, error }) = step.event else { panic!("{lines}: {step:?}") };
        assert_eq!((stream.id(), error.status().code()), (1, status), "{lines}");
        lab.take(&wire.bytes[step.consumed..]);
        assert!(lab.events[0].starts_with("3 GET / HTTP/2"), "the tables are in step: {lines}");
    }
}

/// An authority is judged anew unless it is the one that was found valid.
#[test]
fn every_authority_of_a_connection_is_judged() {
    let mut wire = Wire::new();
    let authorities = ["a", "a", "", "a b", "a:80", "a:80", "a:x", "A", "a"];
    for (number, authority) in authorities.iter().enumerate() {
        let lines = format!(":method: GET\r\n:scheme: http\r\n:authority: {authority}\r\n:path: /\r\n");
        wire = wire.headers(2 * number as u32 + 1, EndStream::Yes, &lines);
    }
    let (events, _) = dialogue(&wire);
    let refused: Vec<bool> = events.iter().map(|event| event.contains("refused")).collect();
    assert_eq!(refused, [false, false, true, true, false, false, true, false, false], "{events:?}");
}

#[test]
fn blocks_are_put_together() {
    let mut wire = Wire::new();
    let block = wire.block(&format!("{GET}x: y\r\n"));
    let wire = wire
        .frame(
            FrameKind::Headers,
            flag::END_STREAM | flag::PADDED,
            1,
            [&[2][..], &block[..3], b".."].concat(),
        )
        .frame(FrameKind::Continuation, 0, 1, b"")
        .frame(FrameKind::Continuation, flag::END_HEADERS, 1, &block[3..]);
    assert_eq!(events(&wire), ["1 GET / HTTP/2|host: a.example|x: y ."]);
}

#[test]
fn trailers_end_a_body() {
    let wire = Wire::new().headers(1, EndStream::No, POST).data(1, EndStream::No, "abc");
    let wire = wire.headers(1, EndStream::Yes, "sum: 6\r\nmore: b\r\n");
    let head = "1 POST /up HTTP/2|host: a.example";
    assert_eq!(events(&wire), [head, "1 data abc", "1 trailers Ok(\"sum: 6|more: b|\")"]);
    let wire = Wire::new().headers(1, EndStream::No, POST).headers(1, EndStream::Yes, "content-type: a\r\n");
    assert_eq!(events(&wire)[1], "1 trailers Err(TrailerForbidden)");
    let wire = Wire::new().headers(1, EndStream::No, POST).headers(1, EndStream::Yes, &"a: b\r\n".repeat(33));
    assert_eq!(events(&wire)[1], "1 trailers Err(TooManyTrailers)");
    for bad in [":path: /\r\n", "connection: a\r\n"] {
        let block = literal_block(bad);
        let wire = Wire::new().headers(1, EndStream::No, POST);
        let wire = wire.frame(FrameKind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, block);
        assert_eq!(error(&wire), "RST_STREAM 1 PROTOCOL_ERROR", "{bad}");
    }
}

/// RFC 9113 §8.2.3: browsers split `cookie`; what HTTP/1.1 would accept as one field is accepted.
#[test]
fn pieces_of_a_cookie_count_as_one_field() {
    // 300 pieces of 44 bytes: three times the limit on fields, and 13,198 bytes joined, where the list of
    // fields as RFC 9113 §6.5.2 counts it would have 24,600.
    let crumbs: String = (0..300).map(|n| format!("cookie: c{n:03}={}\r\n", "v".repeat(37))).collect();
    let fields: String = (0..98).map(|n| format!("x-{n}: y\r\n")).collect();
    let wire = Wire::new().long_headers(1, &format!("{GET}{crumbs}"));
    let joined: Vec<String> = (0..300).map(|n| format!("c{n:03}={}", "v".repeat(37))).collect();
    assert_eq!(events(&wire), [format!("1 GET / HTTP/2|host: a.example|cookie: {} .", joined.join("; "))]);
    // With `host` and `cookie` 100 fields; one more is too many.
    let few: String = crumbs.lines().take(9).map(|line| format!("{line}\r\n")).collect();
    let wire = Wire::new().long_headers(1, &format!("{GET}{few}{fields}"));
    assert_eq!(events(&wire).len(), 1);
    let wire = Wire::new().long_headers(1, &format!("{GET}{few}{fields}x-98: y\r\nx-99: y\r\n"));
    assert_eq!(events(&wire), ["1 refused TooManyFields"]);
    // Joined they are still a field with a size.
    let more: String = (0..400).map(|_| format!("cookie: {}\r\n", "v".repeat(43))).collect();
    assert_eq!(events(&Wire::new().long_headers(1, &format!("{GET}{more}"))), ["1 refused HeadTooLong"]);
    let empty: String = (0..9000).map(|_| "cookie: \r\n").collect();
    let wire = Wire::new().long_headers(1, &format!("{GET}{empty}"));
    assert_eq!(events(&wire), ["1 refused HeadTooLong"], "pieces of nothing have a bound too");
}

/// Positions in a head have 16 bits, and a target grows threefold where it is encoded.
#[test]
fn a_target_that_grows_leaves_no_room_for_the_authority() {
    let heads =
        HeadLimits { request_line_bytes_max: u16::MAX, head_bytes_max: u16::MAX, ..HeadLimits::DEFAULT };
    let limits = H2Limits { list_bytes_max: u16::MAX, ..H2Limits::DEFAULT };
    for (grows, seen) in [(21_000, "1 GET /%22%22"), (21_830, "1 refused HeadTooLong")] {
        let (path, authority) = ("\"".repeat(grows), "a".repeat(200));
        let lines =
            format!(":method: GET\r\n:scheme: https\r\n:authority: {authority}\r\n:path: /{path}\r\n");
        let mut lab = Lab::new(limits);
        lab.machine = Connection::new(&limits, &heads, &BodyLimits::DEFAULT);
        lab.take(&Wire::new().long_headers(1, &lines).bytes);
        assert!(lab.events[0].starts_with(seen), "{}", &lab.events[0][..40]);
    }
}
