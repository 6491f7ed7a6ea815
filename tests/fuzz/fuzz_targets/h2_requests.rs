//! Field blocks as HTTP/2 requests: what is accepted reads the same when HTTP/1.1 is asked, so that no
//! request comes in by one protocol that the other would refuse or understand otherwise.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use quoit::http::h1::{HeadProgress, RequestDecoder};

use quoit::http::h2::frame::{FrameHeader, FrameKind, PREFACE, flag, write_settings};
use quoit::http::h2::{Connection, Event, H2Limits};
use quoit::http::message::{BodyLimits, HeadLimits};
use quoit::http::message::{Framing, RequestHead, Version};

/// One request of this block; its head if it is accepted.
fn read(block: &[u8], ends: bool) -> Option<RequestHead> {
    let mut wire = PREFACE.to_vec();
    write_settings(&mut wire, &[]);
    let flags = flag::END_HEADERS | if ends { flag::END_STREAM } else { 0 };
    FrameHeader { length: block.len() as u32, kind: FrameKind::Headers, flags, stream: 1 }.write(&mut wire);
    wire.extend_from_slice(block);
    let mut machine = Connection::new(&H2Limits::DEFAULT, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
    let mut head = RequestHead::new();
    let step = machine.handle_bytes(&wire, &mut Vec::new(), &mut head, Duration::ZERO).ok()?;
    matches!(step.event, Some(Event::Head { .. })).then_some(head)
}

/// The same head as HTTP/1.1 would have it.
fn as_http_1(head: &RequestHead) -> RequestHead {
    let line_end = head.as_bytes().windows(2).position(|pair| pair == b"\r\n").expect("a request line");
    let line = head.as_bytes()[..line_end].strip_suffix(b" HTTP/2").expect("its version");
    let wire = [line, b" HTTP/1.1", &head.as_bytes()[line_end..]].concat();
    let limits = HeadLimits { request_line_bytes_max: 16_384, head_bytes_max: u16::MAX, fields_max: 255 };
    let mut same = RequestHead::new();
    match RequestDecoder::new().handle_bytes(&wire, &limits, &mut same) {
        Ok(HeadProgress::Complete { consumed }) => assert_eq!(consumed, wire.len()),
        other => panic!("HTTP/1.1 says {other:?} to {}", String::from_utf8_lossy(&wire)),
    }
    same
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, block)) = data.split_first() else { return };
    let ends = first & 1 != 0;
    let Some(head) = read(block, ends) else { return };
    // HTTP/1.1 has no extended CONNECT.
    if head.protocol().is_some() {
        return;
    }
    let same = as_http_1(&head);
    assert_eq!(head.version(), Version::Http2);
    assert_eq!((head.method(), head.method_str()), (same.method(), same.method_str()));
    assert_eq!((head.form(), head.target()), (same.form(), same.target()));
    assert_eq!((head.path(), head.query()), (same.path(), same.query()));
    assert_eq!(head.authority(), same.authority());
    assert!(head.fields().eq(same.fields()));
    assert_eq!(head.fields_named("host").count(), 1);
    if ends {
        assert!(head.framing().is_empty() && !head.expects_continue());
    } else if !matches!(head.framing(), Framing::Chunked | Framing::Tunnel) {
        assert_eq!(head.framing(), same.framing());
    }
});
