//! Every frame error that RFC 9113 names, one connection each, with the error code it requires; and the
//! frames that it requires to ignore.

use crate::common::{Client, Hosted, lenient, serve};
use crate::lab::Lab;
use crate::peer::Peer;
use crate::wire::*;

/// The reaction to a frame error.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Costs {
    /// The connection, with this code.
    Connection(u32),
    /// Stream 1, with this code; the connection goes on.
    Stream(u32),
    /// Either: the RFC permits both.
    Either(u32),
    /// Nothing.
    Nothing,
}

use Costs::*;

#[track_caller]
fn check(server: &Hosted, name: &str, bytes: &[u8], costs: Costs) {
    let mut peer = Peer::connect(server.addr);
    peer.send(bytes);
    let costs = match costs {
        Either(code) => {
            // A request, answered if the connection is still open.
            let _ = peer.client.try_send(frame(PING, 0, 0, b"whether?"));
            while peer.pongs.is_empty() && peer.step() {}
            if peer.goaways.is_empty() { Stream(code) } else { Connection(code) }
        }
        other => other,
    };
    println!("{name}: {costs:?}");
    match costs {
        Connection(code) => {
            peer.fails_with(code);
        }
        Stream(code) => {
            peer.is_reset(1, code);
            peer.used(99);
            peer.is_usable();
        }
        Nothing | Either(_) => {
            peer.used(99);
            peer.ping();
            assert!(peer.streams.values().all(|answer| answer.reset.is_none()), "{name}: {:?}", peer.streams);
            peer.is_usable();
        }
    }
}

/// A stream that stays open.
fn open(stream: u32) -> Vec<u8> {
    post(stream, "/hold")
}

fn all(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[track_caller]
fn check_all(vectors: &[(&str, Vec<u8>, Costs)]) {
    let server = serve(lenient(), Lab::default());
    for (name, bytes, costs) in vectors {
        check(&server, name, bytes, *costs);
    }
}

/// RFC 9113 §4.1, §4.2.
#[test]
fn frame_headers() {
    let large = vec![0; 16_385];
    check_all(&[
        ("unknown type", frame(0xbe, 0xff, 0, b"anything"), Nothing),
        ("unknown type on a stream nobody opened", frame(0xbe, 0xff, 77, b"anything"), Nothing),
        ("unknown flags of PING", frame(PING, 0xfe, 0, b"flagged!"), Nothing),
        ("reserved bit of a stream", frame(PRIORITY, 0, 1 << 31 | 3, b"\0\0\0\0\x05"), Nothing),
        ("HEADERS too long", frame(HEADERS, WHOLE, 1, &large), Connection(FRAME_SIZE_ERROR)),
        ("SETTINGS too long", frame(SETTINGS, 0, 0, vec![0; 16_386]), Connection(FRAME_SIZE_ERROR)),
        ("DATA too long", all(&[&open(1), &frame(DATA, 0, 1, &large)]), Either(FRAME_SIZE_ERROR)),
        ("unknown type, too long", frame(0xbe, 0, 0, &large), Either(FRAME_SIZE_ERROR)),
        (
            "the longest DATA",
            all(&[&post(1, "/count"), &frame(DATA, END_STREAM, 1, vec![0; 16_384])]),
            Nothing,
        ),
    ]);
}

/// RFC 9113 §6.1 to §6.10: lengths and streams of each type.
#[test]
fn lengths_and_streams_of_each_type() {
    let short = |kind, stream, length| frame(kind, 0, stream, vec![0; length]);
    let size = Connection(FRAME_SIZE_ERROR);
    let protocol = Connection(PROTOCOL_ERROR);
    check_all(&[
        ("DATA on stream 0", data(0, END_STREAM, b"x"), protocol),
        ("HEADERS on stream 0", get(0, "/"), protocol),
        ("PRIORITY on stream 0", short(PRIORITY, 0, 5), protocol),
        ("RST_STREAM on stream 0", short(RST_STREAM, 0, 4), protocol),
        ("SETTINGS on a stream", short(SETTINGS, 1, 6), protocol),
        ("PING on a stream", short(PING, 1, 8), protocol),
        ("GOAWAY on a stream", short(GOAWAY, 1, 8), protocol),
        ("CONTINUATION on stream 0", short(CONTINUATION, 0, 1), protocol),
        ("PRIORITY_UPDATE on a stream", frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01u=1"), protocol),
        ("RST_STREAM of 3", all(&[&open(1), &short(RST_STREAM, 1, 3)]), size),
        ("RST_STREAM of 5", all(&[&open(1), &short(RST_STREAM, 1, 5)]), size),
        ("SETTINGS of 5", short(SETTINGS, 0, 5), size),
        ("SETTINGS of 1", short(SETTINGS, 0, 1), size),
        ("SETTINGS with ACK and content", frame(SETTINGS, ACK, 0, [0; 6]), size),
        ("PING of 7", short(PING, 0, 7), size),
        ("PING of 9", short(PING, 0, 9), size),
        ("PING of nothing", short(PING, 0, 0), size),
        ("GOAWAY of 7", short(GOAWAY, 0, 7), size),
        ("WINDOW_UPDATE of 3", short(WINDOW_UPDATE, 0, 3), size),
        ("WINDOW_UPDATE of 5 on a stream", all(&[&open(1), &short(WINDOW_UPDATE, 1, 5)]), size),
        ("PRIORITY_UPDATE of 3", short(PRIORITY_UPDATE, 0, 3), size),
        ("PRIORITY of 4", all(&[&open(1), &short(PRIORITY, 1, 4)]), Stream(FRAME_SIZE_ERROR)),
        ("PRIORITY of 6", all(&[&open(1), &short(PRIORITY, 1, 6)]), Stream(FRAME_SIZE_ERROR)),
        ("PING with ACK that nobody asked for", frame(PING, ACK, 0, b"whatever"), Nothing),
    ]);
}

/// RFC 9113 §6.1, §6.2: padding.
#[test]
fn padding() {
    let block = block(&pseudo("GET", "/n/padded"));
    let padded = |length: u8, content: &[u8], padding: usize| all(&[&[length], content, &vec![0; padding]]);
    let protocol = Connection(PROTOCOL_ERROR);
    check_all(&[
        ("padded HEADERS", frame(HEADERS, WHOLE | PADDED, 1, padded(200, &block, 200)), Nothing),
        ("HEADERS with no padding", frame(HEADERS, WHOLE | PADDED, 1, padded(0, &block, 0)), Nothing),
        ("HEADERS that are padding", frame(HEADERS, WHOLE | PADDED, 1, [5, 0, 0, 0, 0]), protocol),
        ("HEADERS padded beyond", frame(HEADERS, WHOLE | PADDED, 1, padded(255, &block, 3)), protocol),
        ("HEADERS without their priority", frame(HEADERS, WHOLE | WITH_PRIORITY, 1, [0; 4]), Either(6)),
        (
            "padded DATA",
            all(&[&post(1, "/count"), &data(1, END_STREAM | PADDED, padded(9, b"abc", 9))]),
            Nothing,
        ),
        ("DATA padded beyond", all(&[&open(1), &data(1, PADDED, [4, 0, 0, 0])]), protocol),
        ("DATA all padding and more", all(&[&open(1), &data(1, PADDED, [255])]), protocol),
        ("DATA without its padding's length", all(&[&open(1), &data(1, PADDED, b"")]), Either(6)),
    ]);
}

/// RFC 9113 §6.5.2.
#[test]
fn settings_values() {
    let one = |id, value| settings(&[(id, value)]);
    let protocol = Connection(PROTOCOL_ERROR);
    check_all(&[
        ("ENABLE_PUSH 2", one(ENABLE_PUSH, 2), protocol),
        ("ENABLE_PUSH 0", one(ENABLE_PUSH, 0), Nothing),
        ("INITIAL_WINDOW_SIZE 2^31", one(INITIAL_WINDOW_SIZE, 1 << 31), Connection(FLOW_CONTROL_ERROR)),
        ("INITIAL_WINDOW_SIZE 2^32-1", one(INITIAL_WINDOW_SIZE, u32::MAX), Connection(FLOW_CONTROL_ERROR)),
        ("MAX_FRAME_SIZE 16383", one(MAX_FRAME_SIZE, 16_383), protocol),
        ("MAX_FRAME_SIZE 2^24", one(MAX_FRAME_SIZE, 1 << 24), protocol),
        ("MAX_FRAME_SIZE 2^24-1", one(MAX_FRAME_SIZE, (1 << 24) - 1), Nothing),
        ("ENABLE_CONNECT_PROTOCOL 2", one(ENABLE_CONNECT_PROTOCOL, 2), protocol),
        ("NO_RFC7540_PRIORITIES 2", one(NO_RFC7540_PRIORITIES, 2), protocol),
        ("an unknown setting", one(0xabcd, u32::MAX), Nothing),
        ("no table", one(HEADER_TABLE_SIZE, 0), Nothing),
        ("all of the table", one(HEADER_TABLE_SIZE, u32::MAX), Nothing),
        ("a list of nothing is only advice", one(MAX_HEADER_LIST_SIZE, 0), Nothing),
        ("no streams for a server", one(MAX_CONCURRENT_STREAMS, 0), Nothing),
        (
            "the last value counts",
            settings(&[(INITIAL_WINDOW_SIZE, 0), (INITIAL_WINDOW_SIZE, 65_535)]),
            Nothing,
        ),
    ]);
}

/// RFC 9113 §3.4: the preface, and SETTINGS first.
#[test]
fn how_a_connection_begins() {
    let server = serve(lenient(), Lab::default());
    for first in [
        frame(PING, 0, 0, [0; 8]),
        get(1, "/"),
        window_update(0, 1),
        frame(SETTINGS, ACK, 0, b""),
        frame(0xbe, 0, 0, b""),
    ] {
        let mut peer = Peer::silent(Client::connect(server.addr));
        peer.send(all(&[PREFACE, &first]));
        peer.fails_with(PROTOCOL_ERROR);
    }
    // Byte by byte, and all at once with a request.
    let begin = all(&[PREFACE, &settings(&[]), &get(1, "/n/begun")]);
    for lengths in [&[1][..], &[usize::MAX], &[23, 1, 3], &[24, 9], &[17]] {
        let mut peer = Peer::silent(Client::connect(server.addr));
        peer.client.send_split(&begin, lengths);
        peer.answer(1).is(200, "begun");
        assert_eq!(peer.settings[&MAX_CONCURRENT_STREAMS], 100);
    }
    // The second half of the preface differs: neither HTTP/2 nor HTTP/1.
    let mut client = Client::connect(server.addr);
    client.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    while client.fill().expect("the server ends the connection in time") {}
    // HTTP/1.1 on the same port, as ever; an offer to upgrade is not taken.
    let mut client = Client::connect(server.addr);
    client
        .ask(
            "GET /n/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n",
        )
        .is(200, "1");
    client.is_usable();
}

/// RFC 9113 §5.1.1: numbers of streams.
#[test]
fn numbers_of_streams() {
    let protocol = Connection(PROTOCOL_ERROR);
    check_all(&[
        ("an even one", get(2, "/"), protocol),
        ("a lower one that was passed over", all(&[&get(5, "/"), &get(3, "/")]), protocol),
        ("with a gap", all(&[&get(1, "/"), &get(7, "/")]), Nothing),
    ]);
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    peer.send(get(0x7fff_ffff, "/n/last"));
    peer.answer(0x7fff_ffff).is(200, "last");
    peer.ping();
}

/// RFC 9113 §5.1: frames that a stream's state does not allow.
#[test]
fn states_of_streams() {
    let protocol = Connection(PROTOCOL_ERROR);
    let ended = headers(1, WHOLE, &pseudo("POST", "/hold"));
    let trailers = headers(1, WHOLE, &[("x", "y")]);
    check_all(&[
        ("idle: DATA", data(1, END_STREAM, b"x"), protocol),
        ("idle: RST_STREAM", reset(1, CANCEL), protocol),
        ("idle: WINDOW_UPDATE", window_update(1, 1), protocol),
        ("idle: CONTINUATION", frame(CONTINUATION, END_HEADERS, 1, b""), protocol),
        ("idle: PRIORITY", frame(PRIORITY, 0, 1, b"\0\0\0\0\x05"), Nothing),
        ("idle: a server's stream", window_update(2, 1), protocol),
        ("half-closed: DATA", all(&[&ended, &data(1, 0, b"x")]), Stream(STREAM_CLOSED)),
        ("half-closed: HEADERS", all(&[&ended, &trailers]), Stream(STREAM_CLOSED)),
        ("half-closed: WINDOW_UPDATE", all(&[&ended, &window_update(1, 1)]), Nothing),
        ("half-closed: PRIORITY", all(&[&ended, &frame(PRIORITY, 0, 1, b"\0\0\0\0\x05")]), Nothing),
        ("half-closed: CONTINUATION", all(&[&ended, &frame(CONTINUATION, 4, 1, b"")]), protocol),
        ("reset: RST_STREAM", all(&[&open(1), &reset(1, CANCEL), &reset(1, CANCEL)]), Nothing),
        ("reset: WINDOW_UPDATE", all(&[&open(1), &reset(1, CANCEL), &window_update(1, 1)]), Nothing),
        ("reset: DATA", all(&[&open(1), &reset(1, CANCEL), &data(1, 0, b"x")]), Either(STREAM_CLOSED)),
        ("reset: HEADERS", all(&[&open(1), &reset(1, CANCEL), &trailers]), Either(STREAM_CLOSED)),
        ("reset with a code nobody knows", all(&[&open(1), &reset(1, 0xdead_beef)]), Nothing),
        ("trailers that do not end", all(&[&open(1), &headers(1, 4, &[("x", "y")])]), Stream(PROTOCOL_ERROR)),
        ("HEADERS that depend on themselves", depending(), Stream(PROTOCOL_ERROR)),
        ("PUSH_PROMISE", all(&[&open(1), &frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02\x82")]), protocol),
    ]);
}

/// RFC 7540 §5.3.1, which RFC 9113 deprecates.
fn depending() -> Vec<u8> {
    let payload = [&b"\0\0\0\x01\x10"[..], &block(&pseudo("GET", "/"))].concat();
    frame(HEADERS, WHOLE | WITH_PRIORITY, 1, payload)
}

/// After both sides have ended a stream.
#[test]
fn streams_that_are_over() {
    let server = serve(lenient(), Lab::default());
    for late in [data(1, 0, b"x"), data(1, END_STREAM, b""), get(1, "/"), headers(1, WHOLE, &[("x", "y")])] {
        let mut peer = Peer::connect(server.addr);
        peer.send(get(1, "/n/1"));
        peer.answer(1).is(200, "1");
        peer.send(&late);
        // A stream error or the connection's: both are allowed, and the code is one.
        let _ = peer.client.try_send(frame(PING, 0, 0, b"whether?"));
        while peer.pongs.is_empty() && peer.step() {}
        let codes: Vec<u32> = peer.goaways.iter().map(|goaway| goaway.code).collect();
        assert!(
            codes == [STREAM_CLOSED] || codes.is_empty() && peer.streams[&1].reset == Some(STREAM_CLOSED)
        );
    }
    for harmless in [window_update(1, 5), reset(1, CANCEL), frame(PRIORITY, 0, 1, b"\0\0\0\0\x05")] {
        let mut peer = Peer::connect(server.addr);
        peer.get("/n/1").is(200, "1");
        peer.send(&harmless);
        peer.is_usable();
    }
}

/// RFC 9113 §4.3, §6.10: nothing comes between the frames of a block.
#[test]
fn field_blocks_in_several_frames() {
    let whole = block(&pseudo("GET", "/n/whole"));
    let begun = frame(HEADERS, END_STREAM, 1, &whole[..5]);
    let rest = |stream, flags| frame(CONTINUATION, flags, stream, &whole[5..]);
    let protocol = Connection(PROTOCOL_ERROR);
    check_all(&[
        ("in two frames", all(&[&begun, &rest(1, END_HEADERS)]), Nothing),
        (
            "with frames of nothing",
            all(&[
                &frame(HEADERS, END_STREAM, 1, b""),
                &frame(CONTINUATION, 0, 1, b""),
                &frame(CONTINUATION, 0, 1, &whole),
                &frame(CONTINUATION, END_HEADERS, 1, b""),
            ]),
            Nothing,
        ),
        ("another stream's CONTINUATION", all(&[&begun, &rest(3, END_HEADERS)]), protocol),
        ("DATA between", all(&[&begun, &data(1, 0, b"x")]), protocol),
        ("HEADERS between", all(&[&begun, &get(3, "/")]), protocol),
        ("PING between", all(&[&begun, &frame(PING, 0, 0, [0; 8])]), protocol),
        ("SETTINGS between", all(&[&begun, &settings(&[])]), protocol),
        ("an unknown type between", all(&[&begun, &frame(0xbe, 0, 0, b"")]), protocol),
        ("CONTINUATION after the end", all(&[&get(1, "/hold"), &rest(1, END_HEADERS)]), protocol),
        ("CONTINUATION alone", rest(1, END_HEADERS), protocol),
    ]);
    // Split at every point.
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    for cut in 0..=whole.len() {
        let stream = peer.fresh();
        peer.send(frame(HEADERS, END_STREAM, stream, &whole[..cut]));
        peer.send(frame(CONTINUATION, END_HEADERS, stream, &whole[cut..]));
        peer.answer(stream).is(200, "whole");
    }
}

/// RFC 7541, RFC 9113 §4.3: a block that cannot be decoded is a connection error.
#[test]
fn blocks_that_cannot_be_decoded() {
    let costs = Connection(COMPRESSION_ERROR);
    let with = |bytes: &[u8]| frame(HEADERS, WHOLE, 1, all(&[&block(&pseudo("GET", "/")), bytes]));
    check_all(&[
        ("index 0", with(b"\x80"), costs),
        ("an index of no entry", with(b"\xbe"), costs),
        ("an endless integer", with(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"), costs),
        ("a string beyond the block", with(b"\0\x01x\x7fabc"), costs),
        ("a field cut short", with(b"\x40"), costs),
        ("Huffman: end of string", with(b"\0\x01x\x84\xff\xff\xff\xff"), costs),
        ("Huffman: padding of zeros", with(b"\0\x01x\x81\x18"), costs),
        ("Huffman: eight bits of padding", with(b"\0\x01x\x82\x1f\xff"), costs),
        ("a size update after a field", with(b"\x20"), costs),
        ("a size update too large", frame(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f\x82"), costs),
        ("in trailers", all(&[&open(1), &frame(HEADERS, WHOLE, 1, b"\x80")]), costs),
        (
            "on a stream that was reset",
            all(&[&open(1), &reset(1, 8), &frame(HEADERS, WHOLE, 1, b"\x80")]),
            costs,
        ),
    ]);
}

/// RFC 9113 §6.7: what PING carries comes back.
#[test]
fn pings() {
    let server = serve(lenient(), Lab::default());
    let mut peer = Peer::connect(server.addr);
    let pings: Vec<[u8; 8]> =
        (0..50u64).map(|n| (n.wrapping_mul(0x0123_4567_89ab_cdef)).to_be_bytes()).collect();
    peer.send(pings.iter().flat_map(|ping| frame(PING, 0, 0, ping)).collect::<Vec<u8>>());
    peer.until("all are answered", |peer| peer.pongs.len() == 50);
    assert_eq!(peer.pongs, pings);
}
