//! CONNECT, plain and extended (RFC 9113 §8.5, RFC 8441): what becomes of the head, and what follows it.

use super::*;
use crate::http::message::{Framing, TargetForm};
use crate::http::method::Method;

const CONNECT: &str = ":method: CONNECT\r\n:authority: a.example:443\r\n";
const WEBSOCKET: &str = ":method: CONNECT\r\n:protocol: websocket\r\n:scheme: https\r\n\
                         :path: /chat?room=1\r\n:authority: a.example\r\n";

/// The head that comes of these lines, on a stream that stays open.
fn head(lines: &str) -> RequestHead {
    let wire = Wire::new().headers(1, EndStream::No, lines);
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let mut head = RequestHead::new();
    let step = lab.machine.handle_bytes(&wire.bytes, &mut lab.out, &mut head, lab.now).unwrap();
    assert!(matches!(step.event, Some(Event::Head { ends: false, .. })), "{step:?}");
    head
}

#[test]
fn an_extended_connect_has_a_path_and_a_protocol() {
    let head = head(&format!("{WEBSOCKET}sec-websocket-version: 13\r\n"));
    assert_eq!((head.method(), head.protocol()), (Method::Connect, Some("websocket")));
    assert_eq!((head.form(), head.path(), head.query()), (TargetForm::Origin, "/chat", Some("room=1")));
    assert_eq!((head.authority(), head.scheme()), ("a.example", Some("https")));
    assert_eq!(head.field("sec-websocket-version"), Some(&b"13"[..]));
    assert_eq!((head.framing(), head.framing().is_empty()), (Framing::Tunnel, false));
    assert!(!head.expects_continue() && head.upgrade().is_none());
}

#[test]
fn a_plain_connect_is_a_tunnel_too() {
    let plain = head(&format!("{CONNECT}expect: 100-continue\r\n"));
    assert_eq!((plain.method(), plain.protocol(), plain.framing()), (Method::Connect, None, Framing::Tunnel));
    assert_eq!((plain.form(), plain.authority()), (TargetForm::Authority, "a.example:443"));
    assert!(!plain.expects_continue());
}

#[test]
fn a_head_that_is_filled_again_forgets_its_protocol() {
    let wire = Wire::new().headers(1, EndStream::No, WEBSOCKET).headers(3, EndStream::Yes, GET);
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let mut head = RequestHead::new();
    let step = lab.machine.handle_bytes(&wire.bytes, &mut lab.out, &mut head, lab.now).unwrap();
    assert_eq!(head.protocol(), Some("websocket"));
    lab.machine.handle_bytes(&wire.bytes[step.consumed..], &mut lab.out, &mut head, lab.now).unwrap();
    assert_eq!((head.path(), head.protocol()), ("/", None));
}

#[test]
fn what_follows_is_data_both_ways() {
    for lines in [CONNECT, WEBSOCKET] {
        let mut lab = Lab::new(H2Limits::DEFAULT);
        lab.take(&Wire::new().headers(1, EndStream::No, lines).data(1, EndStream::No, "ping").bytes);
        lab.respond(1, Status::OK, "", EndStream::No);
        lab.send(1, b"pong", EndStream::No);
        lab.take(&Wire::default().data(1, EndStream::Yes, "bye").bytes);
        lab.send(1, b"!", EndStream::Yes);
        assert_eq!(lab.events[1..], ["1 data pingbye."]);
        let replies = ["SETTINGS ack", "HEADERS 1 :status=200", "DATA 1 4", "DATA 1 1 ."];
        assert_eq!((lab.replies(), lab.machine.open_streams()), (replies.map(String::from).to_vec(), 0));
    }
}

#[test]
fn a_tunnel_is_read_after_our_end() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.take(&Wire::new().headers(1, EndStream::No, WEBSOCKET).bytes);
    lab.respond(1, Status::OK, "", EndStream::No);
    lab.machine.open_tunnel(lab.machine.stream(1).unwrap());
    lab.send(1, b"", EndStream::Yes);
    let later = lab.now + Duration::from_secs(3600);
    lab.machine.reset_lingering(later, Duration::from_secs(1), 1000, &mut lab.out);
    let piece = vec![b'x'; 16384];
    let wire = (0..32).fold(Wire::default(), |wire, _| wire.data(1, EndStream::No, &piece));
    lab.take(&wire.data(1, EndStream::Yes, "bye").bytes);
    assert!(lab.events[1].ends_with("bye.") && lab.events[1].len() > 32 * 16384);
    assert_eq!(lab.machine.open_streams(), 0);
    assert!(lab.replies().iter().any(|line| line.starts_with("WINDOW_UPDATE 1")), "with credit");
}

#[test]
fn a_tunnel_that_is_not_opened_is_a_stream_like_others() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let wire = Wire::new().headers(1, EndStream::No, WEBSOCKET).headers(3, EndStream::No, POST);
    lab.take(&wire.bytes);
    // Nothing to open on a stream of another kind.
    lab.machine.open_tunnel(lab.machine.stream(3).unwrap());
    lab.respond(3, Status::OK, "", EndStream::Yes);
    lab.take(&Wire::default().data(3, EndStream::Yes, "abc").bytes);
    lab.respond(1, Status::BAD_REQUEST, "", EndStream::Yes);
    lab.take(&Wire::default().data(1, EndStream::Yes, "abc").bytes);
    assert_eq!((lab.events.len(), lab.machine.open_streams()), (2, 0), "nothing is handed out");
}

#[test]
fn malformed_tunnels() {
    let vectors = [
        format!("{GET}:protocol: websocket\r\n"),
        format!("{WEBSOCKET}:protocol: websocket\r\n"),
        WEBSOCKET.replace(": websocket", ": "),
        WEBSOCKET.replace("websocket", "web socket"),
        WEBSOCKET.replace(":path: /chat?room=1\r\n", ""),
        WEBSOCKET.replace(":scheme: https\r\n", ""),
        WEBSOCKET.replace(":authority", "host"),
        format!("{CONNECT}:path: /\r\n"),
    ];
    for lines in &vectors {
        assert_eq!(
            error(&Wire::new().headers(1, EndStream::No, lines)),
            "RST_STREAM 1 PROTOCOL_ERROR",
            "{lines}"
        );
    }
    // Without the setting.
    let limits = H2Limits { connect_protocol: false, ..H2Limits::DEFAULT };
    let (events, replies) = dialogue_with(limits, &Wire::new().headers(1, EndStream::No, WEBSOCKET));
    assert_eq!(events, ["malformed Malformed(PseudoUnknown)"]);
    assert_eq!(replies[1], "RST_STREAM 1 PROTOCOL_ERROR");
    let mut lab = Lab::new(limits);
    lab.machine.start(&mut lab.out);
    assert_eq!(lab.replies()[0], "SETTINGS 0 0x0 24");
    // Only DATA may follow (RFC 9113 §8.5).
    let wire = Wire::new().headers(1, EndStream::No, CONNECT).headers(1, EndStream::Yes, "a: b\r\n");
    assert_eq!(error(&wire), "RST_STREAM 1 PROTOCOL_ERROR");
}

#[test]
fn a_tunnel_has_no_length() {
    for (lines, length) in [(CONNECT, 0), (CONNECT, 3), (WEBSOCKET, 0), (WEBSOCKET, 3)] {
        let wire = Wire::new().headers(1, EndStream::No, &format!("{lines}content-length: {length}\r\n"));
        assert_eq!(events(&wire), ["1 refused ConnectWithBody"]);
    }
    assert_eq!(events(&Wire::new().headers(1, EndStream::No, &WEBSOCKET.replace("/chat", "chat"))).len(), 1);
}

#[test]
fn never_indexed_fields_are_marked() {
    let mut block = Vec::new();
    let mut encoder = Encoder::new();
    let mut out = encoder.begin(&mut block);
    out.lines(GET.as_bytes());
    out.field(b"x-token", b"1", super::super::hpack::Indexing::Never);
    out.field(b"x-open", b"2", super::super::hpack::Indexing::Without);
    out.field(b"cookie", b"a=1", super::super::hpack::Indexing::Repeats);
    let wire = Wire::new().frame(FrameKind::Headers, flag::END_HEADERS | flag::END_STREAM, 1, block);
    let mut lab = Lab::new(H2Limits::DEFAULT);
    let mut head = RequestHead::new();
    lab.machine.handle_bytes(&wire.bytes, &mut lab.out, &mut head, lab.now).unwrap();
    let mut fields = head.fields();
    let marked = std::iter::from_fn(|| fields.next_field().map(|field| (field.name, field.never_indexed)));
    let expected = [("host", false), ("x-token", true), ("x-open", false), ("cookie", true)];
    assert_eq!(marked.collect::<Vec<_>>(), expected);
}
