//! The client's role as a dialogue: what a server sends, frame by frame, and what comes of it; whole, byte by
//! byte and split anywhere.

use super::client::{Connection as Client, Event as ClientEvent, SendRequest};
use super::hpack::Indexing;
use super::*;
use crate::http::message::{Framing, ResponseHead};

const GET_REQUEST: SendRequest<'static> = SendRequest {
    method: "GET",
    scheme: "https",
    authority: "a.example",
    path: "/",
    protocol: None,
    lines: b"",
    never_indexed: b"",
    length: None,
};
const OK: &str = ":status: 200\r\n";

/// A client's connection, and all that it reported.
struct ClientLab {
    machine: Client,
    out: Vec<u8>,
    events: Vec<String>,
    head: ResponseHead,
    now: Duration,
    failed: bool,
}

impl ClientLab {
    fn new(limits: H2Limits) -> ClientLab {
        ClientLab {
            machine: Client::new(&limits, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT),
            out: Vec::new(),
            events: Vec::new(),
            head: ResponseHead::new(),
            now: Duration::from_secs(1000),
            failed: false,
        }
    }

    fn send(&mut self, head: &SendRequest<'_>, end: EndStream) -> Option<StreamKey> {
        self.machine.send_request(head, end, self.now, &mut self.out)
    }

    fn take(&mut self, mut input: &[u8]) {
        while !self.failed {
            let step = match self.machine.handle_bytes(input, &mut self.out, &mut self.head, self.now) {
                Ok(step) => step,
                Err(error) => {
                    self.machine.fail(error, &mut self.out);
                    self.failed = true;
                    return;
                }
            };
            let Some(event) = step.event else {
                assert_eq!(step.consumed, input.len(), "without an event all of it is taken");
                return;
            };
            self.record(event, input);
            input = &input[step.consumed..];
        }
    }

    fn record(&mut self, event: ClientEvent, input: &[u8]) {
        let end = |ends: bool| if ends { "." } else { "" };
        let line = match event {
            ClientEvent::Head { stream, interim, ends } => {
                let mut line = format!("{} {}", stream.id(), self.head.status().code());
                for (name, value) in self.head.fields() {
                    line += &format!(" {name}={}", String::from_utf8_lossy(value));
                }
                line + if interim { " interim" } else { "" } + end(ends)
            }
            ClientEvent::Data { stream, data, ends } => {
                self.machine.consume(stream, data.len() as u32, &mut self.out);
                let text = String::from_utf8_lossy(&input[data]).into_owned();
                let begin = format!("{} data ", stream.id());
                let before = match self.events.last() {
                    Some(last) if last.starts_with(&begin) && !last.ends_with('.') => self.events.pop(),
                    _ => None,
                };
                before.unwrap_or(begin) + &text + end(ends)
            }
            ClientEvent::Trailers { stream, trailers: lines } => {
                let lines = lines.map(|lines| String::from_utf8_lossy(lines.lines()).replace("\r\n", "|"));
                format!("{} trailers {lines:?}", stream.id())
            }
            ClientEvent::Reset { stream, code, may_retry, error } => {
                let retry = if may_retry { " retry" } else { "" };
                let error = error.map_or(String::new(), |error| format!(" {error:?}"));
                format!("{} reset {code}{retry}{error}", stream.id())
            }
            ClientEvent::Goaway { last, code } => format!("goaway {last} {code}"),
        };
        self.events.push(line);
    }

    fn replies(&mut self) -> Vec<String> {
        frames(&std::mem::take(&mut self.out), &mut Decoder::new())
    }
}

/// What a server sends first.
fn from_server() -> Wire {
    Wire::default().settings(&[])
}

/// What the client reports and sends after `requests`, however the wire is split.
fn dialogue_after(requests: &[(SendRequest<'_>, EndStream)], wire: &Wire) -> (Vec<String>, Vec<String>) {
    let wire = &wire.bytes;
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut lab = ClientLab::new(H2Limits::DEFAULT);
        for (request, end) in requests {
            lab.send(request, *end).expect("a stream");
        }
        lab.out.clear();
        pieces.for_each(|piece| lab.take(piece));
        let replies = lab.replies();
        (lab.events, replies)
    };
    let whole = run(&mut std::iter::once(&wire[..]));
    assert_eq!(run(&mut wire.chunks(1)), whole, "byte by byte");
    for split in 0..=wire.len() {
        let (first, second) = wire.split_at(split);
        assert_eq!(run(&mut [first, second].into_iter()), whole, "split at {split}");
    }
    whole
}

fn after_gets(count: usize, wire: &Wire) -> (Vec<String>, Vec<String>) {
    dialogue_after(&vec![(GET_REQUEST, EndStream::Yes); count], wire)
}

#[test]
fn the_client_begins_with_its_preface_and_refuses_push() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.machine.start(&mut lab.out);
    assert_eq!(lab.out[..24], *PREFACE);
    lab.out.drain(..24);
    let settings = [0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0xff, 0xff, 0, 6, 0, 0, 0x40, 0, 0, 9, 0, 0, 0, 1];
    assert_eq!(lab.out[9..33], settings);
    assert_eq!(lab.replies(), ["SETTINGS 0 0x0 24", "WINDOW_UPDATE 0 983041"]);
    assert!(!lab.machine.is_new() && lab.machine.is_within_frame());
    lab.take(&from_server().bytes);
    assert_eq!((lab.replies(), lab.machine.is_within_frame()), (vec!["SETTINGS ack".to_owned()], false));
}

#[test]
fn requests_have_odd_streams_and_their_fields() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    let request = SendRequest {
        method: "POST",
        lines: b"Accept: */*\r\nConnection: x\r\nUpgrade: y\r\n",
        never_indexed: b"X-Token: 1\r\nAuthorization: 2\r\n",
        length: Some(3),
        ..GET_REQUEST
    };
    assert_eq!(lab.send(&GET_REQUEST, EndStream::Yes).unwrap().id(), 1);
    let stream = lab.send(&request, EndStream::No).unwrap();
    assert_eq!((stream.id(), lab.machine.open_streams()), (3, 2));
    let plain = SendRequest { method: "CONNECT", authority: "a:443", ..GET_REQUEST };
    assert_eq!(lab.send(&plain, EndStream::No).unwrap().id(), 5);
    let replies = [
        "HEADERS 1 :method=GET :scheme=https :path=/ :authority=a.example .",
        "HEADERS 3 :method=POST :scheme=https :path=/ :authority=a.example accept=*/* x-token=1 \
         authorization=2 content-length=3",
        "HEADERS 5 :method=CONNECT :authority=a:443",
    ];
    let wire = lab.out.clone();
    assert_eq!(lab.replies(), replies);
    // A server sees the bit, and nothing of the secret in a table.
    let mut server = Lab::new(H2Limits::DEFAULT);
    let mut head = RequestHead::new();
    let input = [&Wire::new().bytes[..], &wire].concat();
    let first = server.machine.handle_bytes(&input, &mut server.out, &mut head, server.now).unwrap();
    let rest = &input[first.consumed..];
    server.machine.handle_bytes(rest, &mut server.out, &mut head, server.now).unwrap();
    let marks = |head: &RequestHead| {
        let mut fields = head.fields();
        std::iter::from_fn(|| fields.next_field()).filter(|field| field.never_indexed).count()
    };
    assert_eq!(marks(&head), 2);
}

#[test]
fn responses_of_every_shape() {
    let wire = from_server()
        .headers(1, EndStream::No, ":status: 103\r\nlink: a\r\n")
        .headers(1, EndStream::No, ":status: 200\r\ncontent-length: 6\r\nx: y\r\n")
        .headers(3, EndStream::Yes, ":status: 404\r\ncontent-length: 0\r\n")
        .data(1, EndStream::No, "abc")
        .data(1, EndStream::Yes, "def")
        .headers(5, EndStream::No, ":status: 200\r\n")
        .data(5, EndStream::No, "abc")
        .headers(5, EndStream::Yes, "sum: 6\r\n");
    let (events, replies) = after_gets(3, &wire);
    let expected = [
        "1 103 link=a interim",
        "1 200 content-length=6 x=y",
        "3 404 content-length=0.",
        "1 data abcdef.",
        "5 200",
        "5 data abc",
        "5 trailers Ok(\"sum: 6|\")",
    ];
    assert_eq!((events, replies), (expected.map(String::from).to_vec(), vec!["SETTINGS ack".to_owned()]));
}

#[test]
fn responses_without_content() {
    let framing = |method: &'static str, lines: &str, end: EndStream| {
        let mut lab = ClientLab::new(H2Limits::DEFAULT);
        lab.send(&SendRequest { method, ..GET_REQUEST }, EndStream::Yes).unwrap();
        lab.take(&from_server().headers(1, end, lines).bytes);
        assert!(!lab.failed && lab.events.len() == 1 && !lab.events[0].contains("reset"), "{:?}", lab.events);
        let before = lab.events.len();
        if end == EndStream::No {
            lab.take(&Wire::default().data(1, EndStream::Yes, "").bytes);
            assert_eq!(lab.events[before], "1 data .", "{method} {lines}");
        }
        assert_eq!(lab.machine.open_streams(), 0);
        lab.head.framing()
    };
    assert_eq!(framing("HEAD", ":status: 200\r\ncontent-length: 5\r\n", EndStream::Yes), Framing::None);
    assert_eq!(framing("HEAD", ":status: 200\r\ncontent-length: 5\r\n", EndStream::No), Framing::None);
    assert_eq!(framing("GET", ":status: 304\r\ncontent-length: 5\r\n", EndStream::Yes), Framing::None);
    assert_eq!(framing("GET", ":status: 204\r\n", EndStream::No), Framing::None);
    assert_eq!(framing("GET", ":status: 200\r\n", EndStream::Yes), Framing::None);
    assert_eq!(framing("GET", ":status: 200\r\n", EndStream::No), Framing::Chunked);
    assert_eq!(framing("GET", ":status: 200\r\ncontent-length: 0\r\n", EndStream::No), Framing::Length(0));
    assert_eq!(framing("CONNECT", ":status: 200\r\ncontent-length: 5\r\n", EndStream::No), Framing::Tunnel);
    assert_eq!(framing("CONNECT", ":status: 407\r\n", EndStream::No), Framing::Chunked);
}

#[test]
fn malformed_responses_end_their_stream() {
    use MalformedHead::*;
    let with = |lines: &str| format!("{OK}{lines}");
    let vectors = [
        ("a: b\r\n".to_owned(), PseudoMissing),
        (String::new(), PseudoMissing),
        ("a: b\r\n:status: 200\r\n".into(), PseudoMissing),
        (with("a: b\r\n:status: 200\r\n"), PseudoLate),
        (with(":status: 200\r\n"), PseudoRepeated),
        (with(":path: /\r\n"), PseudoUnknown),
        (":status: 20\r\n".into(), StatusMalformed),
        (":status: 099\r\n".into(), StatusMalformed),
        (":status: 2000\r\n".into(), StatusMalformed),
        (":status: abc\r\n".into(), StatusMalformed),
        (":status: 101\r\n".into(), StatusMalformed),
        (":status: 103\r\n".into(), InterimEnds),
        (with("Bad: a\r\n"), NameCharacter),
        (with("bad: a\u{1}b\r\n"), ValueCharacter),
        (with("connection: close\r\n"), ConnectionField),
        (with("transfer-encoding: chunked\r\n"), ConnectionField),
        (with("content-length: 1a\r\n"), LengthMalformed),
        (with("content-length: 0\r\ncontent-length: 0\r\n"), LengthMalformed),
        (with("content-length: 3\r\n"), LengthWithoutBody),
    ];
    for (lines, reason) in vectors {
        let block = heads::literal_block(&lines);
        let ends = flag::END_HEADERS | flag::END_STREAM;
        let wire = from_server().frame(FrameKind::Headers, ends, 1, block).headers(3, EndStream::Yes, OK);
        let (events, replies) = after_gets(2, &wire);
        let error = StreamError::Malformed(reason);
        assert_eq!(events, [format!("1 reset PROTOCOL_ERROR {error:?}"), "3 200.".into()], "{lines}");
        assert_eq!(replies, ["SETTINGS ack", "RST_STREAM 1 PROTOCOL_ERROR"], "{lines}");
    }
}

#[test]
fn errors_of_one_stream() {
    let ok = || from_server().headers(1, EndStream::No, OK);
    let long = ok_with(&format!("a: {}\r\n", "b".repeat(17_000)));
    let many = ok_with(&"a: b\r\n".repeat(101));
    let vectors = [
        (from_server().data(1, EndStream::No, "abc"), StreamError::DataBeforeHead),
        (from_server().data(1, EndStream::Yes, ""), StreamError::DataBeforeHead),
        (ok().headers(1, EndStream::No, "a: b\r\n"), StreamError::TrailersNotLast),
        (ok().headers(1, EndStream::Yes, ":status: 200\r\n"), StreamError::TrailersMalformed),
        (ok_with("content-length: 2\r\n").data(1, EndStream::No, "abc"), StreamError::LengthMismatch),
        (ok_with("content-length: 4\r\n").data(1, EndStream::Yes, "abc"), StreamError::LengthMismatch),
        (
            ok_with("content-length: 4\r\n").headers(1, EndStream::Yes, "a: b\r\n"),
            StreamError::LengthMismatch,
        ),
        (ok().window(1, 0), StreamError::IncrementZero),
        (ok().window(1, 0x7fff_ffff), StreamError::WindowOverflow),
        (long, StreamError::HeadTooLarge),
        (many, StreamError::HeadTooLarge),
    ];
    for (wire, error) in vectors {
        let mut lab = ClientLab::new(H2Limits::DEFAULT);
        lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
        lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
        lab.out.clear();
        lab.take(&wire.headers(3, EndStream::Yes, OK).bytes);
        let expected = format!("1 reset {} {error:?}", error.code());
        assert!(lab.events.contains(&expected), "{:?} {expected}", lab.events);
        assert_eq!(lab.events.last().unwrap(), "3 200.", "the connection goes on");
        assert_eq!(lab.replies()[1], format!("RST_STREAM 1 {}", error.code()));
    }
}

/// A response's head, laid into as many frames as it needs.
fn ok_with(lines: &str) -> Wire {
    let mut wire = from_server();
    let block = wire.block(&format!("{OK}{lines}"));
    let (first, rest) = block.split_at(block.len().min(16384));
    wire = wire.frame(FrameKind::Headers, 0, 1, first);
    wire.frame(FrameKind::Continuation, flag::END_HEADERS, 1, rest)
}

#[test]
fn errors_of_the_connection() {
    let promise = [0, 0, 0, 2, 0x82];
    let vectors = [
        (Wire::default().headers(1, EndStream::Yes, OK), "PROTOCOL_ERROR"),
        (from_server().frame(FrameKind::PushPromise, flag::END_HEADERS, 1, promise), "PROTOCOL_ERROR"),
        (from_server().headers(2, EndStream::Yes, OK), "PROTOCOL_ERROR"),
        (from_server().headers(3, EndStream::Yes, OK), "PROTOCOL_ERROR"),
        (from_server().data(3, EndStream::Yes, "a"), "PROTOCOL_ERROR"),
        (from_server().data(2, EndStream::Yes, "a"), "PROTOCOL_ERROR"),
        (from_server().reset(3), "PROTOCOL_ERROR"),
        (from_server().window(3, 1), "PROTOCOL_ERROR"),
        (from_server().settings(&[(2, 1)]), "PROTOCOL_ERROR"),
        (from_server().frame(FrameKind::PriorityUpdate, 0, 0, b"\0\0\0\x01u=1"), "PROTOCOL_ERROR"),
        (from_server().frame(FrameKind::Headers, flag::END_HEADERS, 1, [0x80]), "COMPRESSION_ERROR"),
        (from_server().headers(1, EndStream::Yes, OK).headers(1, EndStream::Yes, OK), "STREAM_CLOSED"),
        (from_server().headers(1, EndStream::Yes, OK).data(1, EndStream::Yes, "a"), "STREAM_CLOSED"),
        (from_server().window(0, 0x7fff_ffff), "FLOW_CONTROL_ERROR"),
    ];
    for (wire, code) in vectors {
        let (_, replies) = after_gets(1, &wire);
        assert_eq!(replies.last().unwrap(), &format!("GOAWAY 0 {code}"));
    }
    // A server may say that it does not push.
    assert_eq!(after_gets(1, &from_server().settings(&[(2, 0)])).1, ["SETTINGS ack"; 2]);
}

#[test]
fn which_requests_may_be_repeated() {
    let reset = |wire: Wire, code: ErrorCode| wire.frame(FrameKind::RstStream, 0, 1, code.0.to_be_bytes());
    let vectors = [
        (reset(from_server(), ErrorCode::REFUSED_STREAM), "1 reset REFUSED_STREAM retry"),
        (reset(from_server(), ErrorCode::HTTP_1_1_REQUIRED), "1 reset HTTP_1_1_REQUIRED retry"),
        (reset(from_server(), ErrorCode::CANCEL), "1 reset CANCEL"),
        (reset(from_server(), ErrorCode::INTERNAL_ERROR), "1 reset INTERNAL_ERROR"),
        (
            reset(from_server().headers(1, EndStream::No, OK), ErrorCode::REFUSED_STREAM),
            "1 reset REFUSED_STREAM",
        ),
        (
            reset(from_server().headers(1, EndStream::No, ":status: 103\r\n"), ErrorCode::REFUSED_STREAM),
            "1 reset REFUSED_STREAM retry",
        ),
    ];
    for (wire, expected) in vectors {
        let (events, replies) = after_gets(1, &wire);
        assert_eq!((events.last().unwrap().as_str(), replies.len()), (expected, 1));
    }
}

fn goaway(wire: Wire, last: u32, code: ErrorCode) -> Wire {
    wire.frame(FrameKind::Goaway, 0, 0, [last.to_be_bytes(), code.0.to_be_bytes()].concat())
}

#[test]
fn a_server_that_leaves() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    let keys: Vec<_> = (0..3).map(|_| lab.send(&GET_REQUEST, EndStream::No).unwrap()).collect();
    lab.take(&goaway(from_server(), 0x7fff_ffff, ErrorCode::NO_ERROR).bytes);
    assert_eq!(
        (lab.events.last().unwrap().as_str(), lab.machine.open_streams()),
        ("goaway 2147483647 NO_ERROR", 3)
    );
    assert!(!lab.machine.can_send_request() && lab.send(&GET_REQUEST, EndStream::Yes).is_none());
    lab.take(&goaway(Wire::default(), 1, ErrorCode::NO_ERROR).bytes);
    assert_eq!(lab.events.last().unwrap(), "goaway 1 NO_ERROR");
    let open = keys.iter().map(|&key| lab.machine.is_open(key)).collect::<Vec<_>>();
    assert_eq!((open, lab.machine.is_over()), (vec![true, false, false], false));
    // What is above cannot be sent on, and a later GOAWAY does not raise it again.
    assert_eq!(lab.machine.sendable(keys[1]), 0);
    lab.take(&goaway(Wire::default(), 5, ErrorCode::NO_ERROR).bytes);
    assert_eq!(lab.events.last().unwrap(), "goaway 1 NO_ERROR");
    lab.machine.begin_data_frame(keys[0], 0, EndStream::Yes, lab.now, &mut lab.out);
    lab.take(&Wire::default().headers(1, EndStream::Yes, OK).bytes);
    assert_eq!((lab.events.last().unwrap().as_str(), lab.machine.is_over()), ("1 200.", true));
}

#[test]
fn a_client_that_leaves_reads_its_responses() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.out.clear();
    lab.machine.leave(&mut lab.out);
    assert_eq!(lab.replies(), ["GOAWAY 0 NO_ERROR"]);
    assert!(lab.send(&GET_REQUEST, EndStream::Yes).is_none());
    lab.take(&from_server().headers(1, EndStream::Yes, OK).bytes);
    assert_eq!((lab.events, lab.machine.is_over()), (vec!["1 200.".to_owned()], true));
}

#[test]
fn the_limit_of_streams_is_kept() {
    let mut lab = ClientLab::new(H2Limits { streams_max: 1000, ..H2Limits::DEFAULT });
    let before = std::iter::from_fn(|| lab.send(&GET_REQUEST, EndStream::Yes)).count();
    assert_eq!(before, 100, "before the server has spoken");
    let mut lab = ClientLab::new(H2Limits { streams_max: 3, ..H2Limits::DEFAULT });
    lab.take(&from_server().bytes);
    assert_eq!(std::iter::from_fn(|| lab.send(&GET_REQUEST, EndStream::Yes)).count(), 3, "our own limit");
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.take(&Wire::default().settings(&[(3, 2)]).bytes);
    assert_eq!(std::iter::from_fn(|| lab.send(&GET_REQUEST, EndStream::Yes)).count(), 2);
    lab.take(&Wire::default().headers(1, EndStream::Yes, OK).bytes);
    assert_eq!(lab.send(&GET_REQUEST, EndStream::Yes).unwrap().id(), 5);
    lab.take(
        &Wire::default()
            .settings(&[(3, 0)])
            .headers(3, EndStream::Yes, OK)
            .headers(5, EndStream::Yes, OK)
            .bytes,
    );
    assert!(lab.send(&GET_REQUEST, EndStream::Yes).is_none());
}

#[test]
fn an_extended_connect_waits_for_the_setting() {
    let request = SendRequest { method: "CONNECT", protocol: Some("websocket"), ..GET_REQUEST };
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    assert!(!lab.machine.accepts_connect_protocol() && lab.send(&request, EndStream::No).is_none());
    lab.take(&Wire::default().settings(&[(8, 1)]).bytes);
    lab.replies();
    let stream = lab.send(&request, EndStream::No).unwrap();
    let expected = "HEADERS 1 :method=CONNECT :scheme=https :path=/ :authority=a.example :protocol=websocket";
    assert_eq!(lab.replies(), [expected]);
    lab.take(&Wire::default().headers(1, EndStream::No, OK).data(1, EndStream::No, "ping").bytes);
    assert_eq!(
        (&lab.events[..], lab.head.framing()),
        (&["1 200".into(), "1 data ping".into()][..], Framing::Tunnel)
    );
    // Each side ends for itself.
    lab.machine.begin_data_frame(stream, 0, EndStream::Yes, lab.now, &mut lab.out);
    lab.take(&Wire::default().data(1, EndStream::Yes, "bye").bytes);
    assert_eq!((lab.events[1].as_str(), lab.machine.open_streams()), ("1 data pingbye.", 0));
}

#[test]
fn responses_are_read_within_credit() {
    let piece = vec![b'x'; 16384];
    let ok = || from_server().frame(FrameKind::Settings, flag::ACK, 0, b"").headers(1, EndStream::No, OK);
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.out.clear();
    lab.take(&(0..64).fold(ok(), |wire, _| wire.data(1, EndStream::No, &piece)).bytes);
    let replies = lab.replies();
    // At half of 65,535 the window grows by 196,609; from then on by halves of 256 KiB.
    assert_eq!(replies[1], "WINDOW_UPDATE 1 229377");
    assert_eq!(replies.iter().filter(|line| *line == "WINDOW_UPDATE 1 131072").count(), 7, "{replies:?}");
    assert_eq!(replies.iter().filter(|line| *line == "WINDOW_UPDATE 0 524288").count(), 2, "{replies:?}");
    // Unread: to the end of the window, and no further.
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.out.clear();
    let wire = (0..3).fold(ok(), |wire, _| wire.data(1, EndStream::No, &piece));
    let wire = wire.data(1, EndStream::No, &piece[1..]).data(1, EndStream::No, "x");
    let mut rest = &wire.bytes[..];
    let error = loop {
        let step = lab.machine.handle_bytes(rest, &mut lab.out, &mut lab.head, lab.now).unwrap();
        rest = &rest[step.consumed..];
        if let Some(ClientEvent::Reset { error, .. }) = step.event {
            break error;
        }
    };
    assert_eq!((error, lab.machine.unread_bytes()), (Some(StreamError::DataBeyondWindow), 65_535));
}

#[test]
fn too_many_interim_responses_are_a_flood() {
    let lines = ":status: 103\r\n";
    let wire = (0..65).fold(from_server(), |wire, _| wire.headers(1, EndStream::No, lines));
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.out.clear();
    lab.take(&wire.bytes);
    assert_eq!((lab.events.len(), lab.replies().pop().unwrap()), (64, "GOAWAY 0 ENHANCE_YOUR_CALM".into()));
}

#[test]
fn frames_for_streams_that_we_reset_are_passed_over() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.take(&from_server().bytes);
    let keys: Vec<_> = (0..100).map(|_| lab.send(&GET_REQUEST, EndStream::Yes).unwrap()).collect();
    keys.iter().for_each(|&key| lab.machine.reset(key, ErrorCode::CANCEL, &mut lab.out));
    let more: Vec<_> = (0..100).map(|_| lab.send(&GET_REQUEST, EndStream::Yes).unwrap()).collect();
    more.iter().for_each(|&key| lab.machine.reset(key, ErrorCode::CANCEL, &mut lab.out));
    let last = lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.out.clear();
    let ids = keys.iter().chain(&more).map(|key| key.id());
    let wire = ids
        .fold(Wire::default(), |wire, id| wire.headers(id, EndStream::No, OK).data(id, EndStream::Yes, "a"));
    lab.take(&wire.headers(last.id(), EndStream::Yes, OK).bytes);
    assert_eq!((lab.replies().len(), lab.events), (0, vec![format!("{} 200.", last.id())]));
}

#[test]
fn never_indexed_fields_of_a_response_are_marked() {
    let mut wire = from_server();
    let mut block = Vec::new();
    let mut out = wire.encoder.begin(&mut block);
    out.lines(OK.as_bytes());
    out.field(b"x-token", b"1", Indexing::Never);
    out.field(b"x-open", b"2", Indexing::Without);
    wire = wire.frame(FrameKind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, block);
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    lab.send(&GET_REQUEST, EndStream::Yes).unwrap();
    lab.take(&wire.bytes);
    let mut fields = lab.head.fields();
    let marked = std::iter::from_fn(|| fields.next_field().map(|field| (field.name, field.never_indexed)));
    assert_eq!(marked.collect::<Vec<_>>(), [("x-token", true), ("x-open", false)]);
}

#[test]
fn an_early_response_leaves_the_request_open() {
    let mut lab = ClientLab::new(H2Limits::DEFAULT);
    let stream = lab.send(&SendRequest { method: "POST", ..GET_REQUEST }, EndStream::No).unwrap();
    lab.take(&from_server().headers(1, EndStream::Yes, OK).bytes);
    assert_eq!((lab.events.last().unwrap().as_str(), lab.machine.is_open(stream)), ("1 200.", true));
    let wire = Wire::default().frame(FrameKind::RstStream, 0, 1, ErrorCode::NO_ERROR.0.to_be_bytes());
    lab.take(&wire.bytes);
    assert_eq!((lab.events.last().unwrap().as_str(), lab.machine.open_streams()), ("1 reset NO_ERROR", 0));
}
