//! Every error that RFC 9113 defines, and exactly that code.

use super::*;

const FIRST: &str = "1 GET / HTTP/2|host: a.example .";

#[test]
fn connection_errors() {
    let get = || Wire::new().headers(1, EndStream::Yes, GET);
    let post = || Wire::new().headers(1, EndStream::No, POST);
    let goaway = |last: u32, code: &str| format!("GOAWAY {last} {code}");
    let protocol = |last: u32| goaway(last, "PROTOCOL_ERROR");
    let size = |last: u32| goaway(last, "FRAME_SIZE_ERROR");
    let flow = |last: u32| goaway(last, "FLOW_CONTROL_ERROR");
    let vectors = [
        // §4.1, §4.2: frames and their sizes.
        ("DATA on stream 0", post().data(0, EndStream::Yes, "a"), protocol(1)),
        ("HEADERS on stream 0", Wire::new().headers(0, EndStream::Yes, GET), protocol(0)),
        ("too long", post().data(1, EndStream::No, vec![0; 16385]), size(1)),
        ("too long SETTINGS", get().frame(FrameKind::Settings, 0, 0, vec![0; 16386]), size(1)),
        ("padding", post().frame(FrameKind::Data, flag::PADDED, 1, b"\x05...."), protocol(1)),
        (
            "padding of HEADERS",
            Wire::new().frame(FrameKind::Headers, flag::PADDED | 4, 1, b"\x05...."),
            protocol(0),
        ),
        // §3.4: the beginning.
        (
            "no SETTINGS",
            raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").headers(1, EndStream::Yes, GET),
            protocol(0),
        ),
        ("an acknowledgement first", raw(PREFACE).frame(FrameKind::Settings, 1, 0, b""), protocol(0)),
        ("no preface", raw(b"PRI * HTTP/2.0\r\n\r\nMS"), protocol(0)),
        ("another protocol", raw(b"GET / HTTP/1.1\r\n"), protocol(0)),
        // §4.3, §6.10: field blocks.
        (
            "a bad index",
            Wire::new().frame(FrameKind::Headers, 4, 1, [0xff, 0x00]),
            goaway(1, "COMPRESSION_ERROR"),
        ),
        ("DATA within a block", opened(1).data(1, EndStream::No, "a"), protocol(0)),
        ("HEADERS within a block", opened(1).headers(3, EndStream::Yes, GET), protocol(0)),
        ("PING within a block", opened(1).frame(FrameKind::Ping, 0, 0, [0; 8]), protocol(0)),
        ("an unknown frame within a block", opened(1).frame(FrameKind::Unknown(99), 0, 0, b""), protocol(0)),
        ("another's CONTINUATION", opened(1).frame(FrameKind::Continuation, 4, 3, b""), protocol(0)),
        ("CONTINUATION of nothing", get().frame(FrameKind::Continuation, 4, 1, b""), protocol(1)),
        ("CONTINUATION on stream 0", opened(1).frame(FrameKind::Continuation, 4, 0, b""), protocol(0)),
        // §5.1, §5.1.1: streams.
        ("DATA on an idle stream", get().data(3, EndStream::Yes, "a"), protocol(1)),
        ("RST_STREAM on an idle stream", get().reset(3), protocol(1)),
        ("WINDOW_UPDATE on an idle stream", get().window(3, 1), protocol(1)),
        ("DATA on a server's stream", get().data(2, EndStream::Yes, "a"), protocol(1)),
        ("an even stream", Wire::new().headers(2, EndStream::Yes, GET), protocol(0)),
        (
            "downwards",
            Wire::new().headers(5, EndStream::Yes, GET).headers(3, EndStream::Yes, GET),
            protocol(5),
        ),
        (
            "DATA on a stream that was skipped",
            Wire::new().headers(5, EndStream::Yes, GET).data(1, EndStream::Yes, "a"),
            goaway(5, "STREAM_CLOSED"),
        ),
        // §6.3 to §6.9.
        ("PRIORITY on stream 0", get().frame(FrameKind::Priority, 0, 0, [0; 5]), protocol(1)),
        ("RST_STREAM on stream 0", get().reset(0), protocol(1)),
        ("RST_STREAM of 3 bytes", get().frame(FrameKind::RstStream, 0, 1, [0; 3]), size(1)),
        ("SETTINGS on a stream", get().frame(FrameKind::Settings, 0, 1, b""), protocol(1)),
        ("SETTINGS of 5 bytes", get().frame(FrameKind::Settings, 0, 0, [0; 5]), size(1)),
        ("SETTINGS ack with settings", get().frame(FrameKind::Settings, 1, 0, [0; 6]), size(1)),
        ("ENABLE_PUSH 2", get().settings(&[(2, 2)]), protocol(1)),
        ("INITIAL_WINDOW_SIZE", get().settings(&[(4, 1 << 31)]), flow(1)),
        ("MAX_FRAME_SIZE below", get().settings(&[(5, 16383)]), protocol(1)),
        ("MAX_FRAME_SIZE above", get().settings(&[(5, 1 << 24)]), protocol(1)),
        ("NO_RFC7540_PRIORITIES 2", get().settings(&[(9, 2)]), protocol(1)),
        ("PUSH_PROMISE", get().frame(FrameKind::PushPromise, 4, 1, [0; 4]), protocol(1)),
        ("PING on a stream", get().frame(FrameKind::Ping, 0, 1, [0; 8]), protocol(1)),
        ("PING of 7 bytes", get().frame(FrameKind::Ping, 0, 0, [0; 7]), size(1)),
        ("GOAWAY on a stream", get().frame(FrameKind::Goaway, 0, 1, [0; 8]), protocol(1)),
        ("GOAWAY of 7 bytes", get().frame(FrameKind::Goaway, 0, 0, [0; 7]), size(1)),
        ("WINDOW_UPDATE of 3 bytes", get().frame(FrameKind::WindowUpdate, 0, 0, [0; 3]), size(1)),
        ("WINDOW_UPDATE by 0", get().window(0, 0), protocol(1)),
        ("WINDOW_UPDATE overflows", get().window(0, u32::MAX >> 1), flow(1)),
        (
            "SETTINGS overflow a stream",
            get().window(1, (u32::MAX >> 1) - 65535).settings(&[(4, 65536)]),
            flow(1),
        ),
        (
            "PRIORITY_UPDATE for stream 0",
            get().frame(FrameKind::PriorityUpdate, 0, 0, b"\0\0\0\0u=1"),
            protocol(1),
        ),
        (
            "PRIORITY_UPDATE on a stream",
            get().frame(FrameKind::PriorityUpdate, 0, 1, b"\0\0\0\x01u=1"),
            protocol(1),
        ),
        (
            "PRIORITY of an idle stream on itself",
            get().frame(FrameKind::Priority, 0, 3, b"\0\0\0\x03."),
            protocol(1),
        ),
    ];
    for (what, wire, expected) in vectors {
        assert_eq!(error(&wire), expected, "{what}");
    }
}

fn raw(bytes: &[u8]) -> Wire {
    Wire { bytes: bytes.to_vec(), ..Wire::default() }
}

/// A field block that does not end.
fn opened(stream: u32) -> Wire {
    let mut wire = Wire::new();
    let block = wire.block(GET);
    wire.frame(FrameKind::Headers, flag::END_STREAM, stream, block)
}

#[test]
fn stream_errors() {
    let get = || Wire::new().headers(1, EndStream::Yes, GET);
    let post = || Wire::new().headers(1, EndStream::No, POST);
    let post_of =
        |length: u32| Wire::new().headers(1, EndStream::No, &format!("{POST}content-length: {length}\r\n"));
    let priority = |stream: u8| [0, 0, 0, stream, 16];
    let mut on_itself = Wire::new();
    let block = [&priority(1)[..], &on_itself.block(GET)].concat();
    on_itself = on_itself.frame(FrameKind::Headers, 4 | 1 | flag::PRIORITY, 1, block);
    let vectors = [
        ("DATA after the end", get().data(1, EndStream::Yes, "a"), "STREAM_CLOSED"),
        ("HEADERS after the end", get().headers(1, EndStream::Yes, "a: b\r\n"), "STREAM_CLOSED"),
        ("a second request after the end", get().headers(1, EndStream::Yes, GET), "STREAM_CLOSED"),
        ("malformed HEADERS after the end", get().headers(1, EndStream::No, "A: b\r\n"), "STREAM_CLOSED"),
        ("DATA after RST_STREAM", post().reset(1).data(1, EndStream::Yes, "a"), "STREAM_CLOSED"),
        ("HEADERS after RST_STREAM", post().reset(1).headers(1, EndStream::Yes, GET), "STREAM_CLOSED"),
        ("two heads", post().headers(1, EndStream::No, "a: b\r\n"), "PROTOCOL_ERROR"),
        ("more than announced", post_of(3).data(1, EndStream::No, "abcd"), "PROTOCOL_ERROR"),
        ("less than announced", post_of(3).data(1, EndStream::Yes, "ab"), "PROTOCOL_ERROR"),
        ("trailers too early", post_of(3).headers(1, EndStream::Yes, "a: b\r\n"), "PROTOCOL_ERROR"),
        ("WINDOW_UPDATE by 0", get().window(1, 0), "PROTOCOL_ERROR"),
        ("WINDOW_UPDATE overflows", get().window(1, u32::MAX >> 1), "FLOW_CONTROL_ERROR"),
        ("PRIORITY of 4 bytes", get().frame(FrameKind::Priority, 0, 1, [0; 4]), "FRAME_SIZE_ERROR"),
        ("PRIORITY on itself", get().frame(FrameKind::Priority, 0, 1, priority(1)), "PROTOCOL_ERROR"),
        ("HEADERS on itself", on_itself, "PROTOCOL_ERROR"),
    ];
    for (what, wire, code) in vectors {
        let wire = wire.headers(9, EndStream::Yes, GET);
        let (events, replies) = dialogue(&wire);
        assert_eq!(replies[1..], [format!("RST_STREAM 1 {code}")], "{what}");
        assert!(events.last().unwrap().starts_with("9 GET"), "the connection goes on after {what}");
    }
}

#[test]
fn frames_on_ended_streams() {
    let ended = |wire: Wire| {
        let mut lab = Lab::new(H2Limits::DEFAULT);
        lab.take(&Wire::new().headers(1, EndStream::Yes, GET).bytes);
        lab.respond(1, Status::OK, "", EndStream::Yes);
        lab.replies();
        lab.take(&wire.bytes);
        lab.replies()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(ended(Wire::default().window(1, 5)), nothing);
    assert_eq!(ended(Wire::default().window(1, 0)), nothing);
    assert_eq!(ended(Wire::default().reset(1)), nothing);
    assert_eq!(ended(Wire::default().frame(FrameKind::Priority, 0, 1, [0; 5])), nothing);
    assert_eq!(ended(Wire::default().data(1, EndStream::Yes, "")), ["GOAWAY 1 STREAM_CLOSED"]);
    assert_eq!(ended(Wire::default().headers(1, EndStream::Yes, GET)), ["GOAWAY 1 STREAM_CLOSED"]);
}

/// §5.1: STREAM_CLOSED for a stream that was closed, however long ago; §5.1.1: PROTOCOL_ERROR for a number
/// that was never used.
#[test]
fn streams_closed_long_ago() {
    for (skipped, stream, code) in
        [(0, 1, "STREAM_CLOSED"), (2, 3, "PROTOCOL_ERROR"), (2, 1, "STREAM_CLOSED")]
    {
        let mut lab = Lab::new(H2Limits::DEFAULT);
        lab.take(&Wire::new().headers(1, EndStream::Yes, GET).bytes);
        lab.respond(1, Status::OK, "", EndStream::Yes);
        let ids = (3 + skipped..).step_by(2).take(300);
        for id in ids {
            lab.take(&Wire::default().headers(id, EndStream::Yes, GET).bytes);
            lab.respond(id, Status::OK, "", EndStream::Yes);
        }
        lab.replies();
        lab.take(&Wire::default().headers(stream, EndStream::Yes, GET).bytes);
        assert_eq!(lab.replies(), [format!("GOAWAY {} {code}", 601 + skipped)]);
    }
}

#[test]
fn what_is_on_its_way_to_a_stream_we_reset_is_passed_over() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::No, POST).bytes);
    let key = lab.machine.stream(1).unwrap();
    lab.machine.reset(key, ErrorCode::CANCEL, &mut lab.out);
    lab.replies();
    let wire = Wire::default().data(1, EndStream::No, "abc").headers(1, EndStream::Yes, "a: b\r\n");
    lab.take(&wire.window(1, 9).reset(1).bytes);
    assert_eq!((lab.replies().len(), lab.events.len(), lab.failed), (0, 1, false));
}

#[test]
fn what_rfc_9113_allows_passes() {
    let wire = Wire::new()
        .frame(FrameKind::Unknown(0xee), 0xff, 0, b"grease")
        .frame(FrameKind::Priority, 0, 7, b"\0\0\0\x09\x10")
        .settings(&[(0x4a4a, 1), (3, 0), (2, 0), (4, 65535)])
        .frame(FrameKind::Settings, flag::ACK, 0, b"")
        .headers(1, EndStream::Yes, GET)
        .window(0, 5)
        .window(1, 5)
        .frame(FrameKind::Ping, 0, 0, b"12345678")
        .frame(FrameKind::Ping, flag::ACK, 0, b"87654321")
        .frame(FrameKind::PriorityUpdate, 0, 0, b"\0\0\0\x01u=0, i")
        .frame(FrameKind::PriorityUpdate, 0, 0, b"\0\0\0\x63u=0")
        .frame(FrameKind::Unknown(0xee), 0, 1, b"grease");
    let (events, replies) = dialogue(&wire);
    assert_eq!(events, [FIRST]);
    assert_eq!(replies, ["SETTINGS ack", "SETTINGS ack", "PING . 12345678"]);
}

#[test]
fn too_many_streams_are_refused_and_may_come_again() {
    let limits = H2Limits { streams_max: 2, ..H2Limits::DEFAULT };
    let mut wire = Wire::new();
    for id in [1, 3, 5] {
        wire = wire.headers(id, EndStream::Yes, GET);
    }
    let (events, replies) = dialogue_with(limits, &wire);
    assert_eq!((events.len(), &*events[2]), (3, "malformed TooManyStreams"));
    assert_eq!(replies[1..], ["RST_STREAM 5 REFUSED_STREAM"]);
}

/// A connection with stream 1 open, stream 3 reset by the server with nothing in transit, and stream 5 ended.
fn settled() -> Lab {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let wire = Wire::new().frame(FrameKind::Settings, flag::ACK, 0, b"").headers(1, EndStream::No, POST);
    let wire = wire.headers(3, EndStream::Yes, GET).headers(5, EndStream::Yes, GET);
    lab.take(&wire.bytes);
    let key = lab.machine.stream(3).unwrap();
    lab.machine.reset(key, ErrorCode::CANCEL, &mut lab.out);
    lab.respond(5, Status::OK, "", EndStream::Yes);
    lab.replies();
    lab
}

/// Every frame that a client can send for nothing has a budget: so many pass.
#[test]
fn floods_end_the_connection() {
    let calm = "ENHANCE_YOUR_CALM";
    type Frame = dyn Fn(Wire, u32) -> Wire;
    let vectors: &[(&str, u32, &Frame)] = &[
        ("PING", 256, &|wire, _| wire.frame(FrameKind::Ping, 0, 0, [0; 8])),
        ("PING acknowledgements", 256, &|wire, _| wire.frame(FrameKind::Ping, flag::ACK, 0, [0; 8])),
        // One SETTINGS begins the connection.
        ("SETTINGS", 31, &|wire, _| wire.settings(&[])),
        ("SETTINGS acknowledgements", 31, &|wire, _| wire.frame(FrameKind::Settings, flag::ACK, 0, b"")),
        ("GOAWAY", 16, &|wire, _| wire.frame(FrameKind::Goaway, 0, 0, [0; 8])),
        ("long GOAWAY", 16, &|wire, _| wire.frame(FrameKind::Goaway, 0, 0, [0; 16_384])),
        ("PRIORITY", 512, &|wire, _| wire.frame(FrameKind::Priority, 0, 9, [0; 5])),
        ("PRIORITY on a closed stream", 512, &|wire, _| wire.frame(FrameKind::Priority, 0, 5, [0; 5])),
        ("PRIORITY_UPDATE", 512, &|wire, _| wire.frame(FrameKind::PriorityUpdate, 0, 0, b"\0\0\0\x01u=1")),
        ("empty DATA", 256, &|wire, _| wire.data(1, EndStream::No, "")),
        ("padding", 256, &|wire, _| wire.frame(FrameKind::Data, flag::PADDED, 1, b"\x01.")),
        ("DATA on a stream we reset", 256, &|wire, _| wire.data(3, EndStream::No, "a")),
        ("empty DATA on a stream we reset", 256, &|wire, _| wire.data(3, EndStream::Yes, "")),
        ("HEADERS on a stream we reset", 258, &|wire, _| wire.headers(3, EndStream::Yes, GET)),
        ("WINDOW_UPDATE", 1024, &|wire, _| wire.window(0, 1)),
        ("WINDOW_UPDATE on a closed stream", 1024, &|wire, _| wire.window(5, 1)),
        ("RST_STREAM on a closed stream", 200, &|wire, _| wire.reset(5)),
        ("unknown frames", 256, &|wire, _| wire.frame(FrameKind::Unknown(77), 0, 0, b"")),
        ("rapid reset", 200, &|wire, n| wire.headers(2 * n + 7, EndStream::Yes, GET).reset(2 * n + 7)),
        ("made to reset", 200, &|wire, n| wire.headers(2 * n + 7, EndStream::Yes, GET).window(2 * n + 7, 0)),
        ("malformed", 200, &|wire, n| wire.headers(2 * n + 7, EndStream::Yes, ":method: GET\r\n")),
    ];
    for (what, passing, frame) in vectors {
        let mut lab = settled();
        for n in 0..*passing {
            lab.take(&frame(Wire::default(), n).bytes);
            assert!(!lab.failed, "{what}: {n} passed");
        }
        // Stream 5 was answered, which pays for at most 8 more.
        (0..9).for_each(|n| lab.take(&frame(Wire::default(), passing + n).bytes));
        let last = lab.replies().pop().unwrap_or_default();
        assert!(last.starts_with("GOAWAY") && last.ends_with(calm), "{what}: {last}");
    }
}

/// Streams that a client opens after the final GOAWAY are ignored, but not without end.
#[test]
fn requests_after_goaway_have_a_budget() {
    let mut lab = settled();
    lab.machine.leave(&mut lab.out);
    let passed = (0..1000).find(|n| {
        lab.take(&Wire::default().headers(2 * n + 7, EndStream::Yes, GET).bytes);
        lab.failed
    });
    assert_eq!((passed, lab.events.len()), (Some(200), 3));
}

/// Responses that leave in full and are then reset restore nothing: neither in a batch nor one by one.
#[test]
fn resets_of_what_was_answered_are_not_paid_back() {
    for batch in [1, 10, 100] {
        let mut lab = settled();
        let mut next = 7;
        let reset = loop {
            let streams: Vec<u32> = (0..batch).map(|n| next + 2 * n).collect();
            next += 2 * batch;
            for stream in &streams {
                lab.take(&Wire::default().headers(*stream, EndStream::Yes, GET).bytes);
                if !lab.failed {
                    lab.respond(*stream, Status::OK, "", EndStream::Yes);
                }
            }
            let resets = streams.iter().fold(Wire::default(), |wire, stream| wire.reset(*stream));
            lab.take(&resets.bytes);
            if lab.failed || next > 10_000 {
                break (next - 7) / 2;
            }
        };
        assert!(lab.failed && reset <= 300, "{batch}: {reset}");
    }
}

/// A client whose responses complete may cancel now and then, and a page of a hundred at any time.
#[test]
fn completed_responses_pay_for_resets() {
    let mut lab = settled();
    let mut next = 7;
    for _ in 0..100 {
        for _ in 0..200 {
            lab.take(&Wire::default().headers(next, EndStream::Yes, GET).bytes);
            lab.respond(next, Status::OK, "", EndStream::Yes);
            next += 2;
        }
        for n in 0..100 {
            lab.take(&Wire::default().headers(next + 2 * n, EndStream::Yes, GET).bytes);
        }
        lab.take(&(0..100).fold(Wire::default(), |wire, n| wire.reset(next + 2 * n)).bytes);
        next += 200;
        assert!(!lab.failed, "{next}");
    }
}

/// RFC 9113 §5.1: data that was in transit when this end reset its stream is no error, and has no budget but
/// the window that it was sent in.
#[test]
fn data_in_transit_to_a_stream_we_reset_is_free() {
    let mut lab = settled();
    let key = lab.machine.stream(1).unwrap();
    lab.take(&Wire::default().data(1, EndStream::No, vec![0; 10_000]).bytes);
    lab.machine.reset(key, ErrorCode::CANCEL, &mut lab.out);
    for _ in 0..55_535 {
        lab.take(&Wire::default().data(1, EndStream::No, "a").bytes);
    }
    assert!(!lab.failed);
    for _ in 0..256 + 9 {
        lab.take(&Wire::default().data(1, EndStream::No, "a").bytes);
    }
    assert!(lab.failed);
}

/// Two WINDOW_UPDATEs for each DATA frame are never too many, whatever the windows and however late they
/// come; eight are not either where frames are full.
#[test]
fn credit_is_never_a_flood() {
    for (window, updates) in [(1, 2), (100, 2), (16_384, 8), (4 << 20, 8)] {
        let mut lab = settled();
        lab.take(&Wire::default().settings(&[(4, window)]).window(0, 1 << 30).bytes);
        let mut next = 7;
        for _ in 0..40 {
            lab.take(&Wire::default().headers(next, EndStream::Yes, GET).bytes);
            lab.respond(next, Status::OK, "", EndStream::No);
            lab.replies();
            let body = vec![0; (window as usize).min(1 << 18)];
            assert_eq!(lab.send(next, &body, EndStream::No), body.len());
            for frame in lab.replies() {
                let length: u32 = frame.rsplit(' ').next().unwrap().parse().unwrap();
                let part = (length / (updates / 2)).max(1);
                for _ in 0..updates / 2 {
                    lab.take(&Wire::default().window(0, part).window(next, part).bytes);
                }
            }
            assert!(!lab.failed, "{window}");
            next += 2;
        }
    }
}

#[test]
fn field_blocks_have_bounds() {
    let limits = H2Limits { continuations_max: 3, block_bytes_max: 100, ..H2Limits::DEFAULT };
    let calm = "ENHANCE_YOUR_CALM";
    let wire = opened(1).frame(FrameKind::Continuation, 0, 1, b"").frame(FrameKind::Continuation, 0, 1, b"");
    let wire = wire.frame(FrameKind::Continuation, 0, 1, b"").frame(FrameKind::Continuation, 4, 1, b"");
    assert_eq!(dialogue_with(limits, &wire).1[1..], [format!("GOAWAY 0 {calm}")]);
    let wire = opened(1).frame(FrameKind::Continuation, 0, 1, [0; 90]);
    assert_eq!(dialogue_with(limits, &wire).1[1..], [format!("GOAWAY 0 {calm}")]);
}

/// Cookies beyond the limit are that request's matter: the connection goes on, and its tables agree.
#[test]
fn a_block_that_is_too_large_ends_its_request_alone() {
    for bytes in [16_384, 32 * 1024, 100 * 1024] {
        let lines = format!("{GET}cookie: {}\r\nx-later: entered\r\n", "c".repeat(bytes));
        let wire = Wire::new().long_headers(1, &lines);
        let wire = wire.headers(3, EndStream::Yes, &format!("{GET}x-later: entered\r\n"));
        let mut lab = Lab::new(H2Limits::DEFAULT);
        lab.take(&wire.bytes);
        assert_eq!(lab.events[0], "1 refused HeadTooLong", "{bytes}");
        assert_eq!(lab.events[1], "3 GET / HTTP/2|host: a.example|x-later: entered .", "{bytes}");
    }
}
