//! A client's end of an HTTP/2 connection under any frames: the same events and the same answers however the
//! bytes are split, only whole frames sent, every byte of credit accounted for.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use quoit::http::h2::client::{Connection, Event, SendRequest};
use quoit::http::h2::frame::{FrameHeader, FrameKind, HEADER_BYTES, write_settings};
use quoit::http::h2::{Budgets, EndStream, H2Limits};
use quoit::http::message::{BodyLimits, HeadLimits, ResponseHead};

/// Small, so that inputs of a few hundred bytes reach every limit.
const LIMITS: H2Limits = H2Limits {
    streams_max: 4,
    list_bytes_max: 256,
    block_bytes_max: 96,
    continuations_max: 2,
    stream_window: 80_000,
    unread_bytes_max: 320_000,
    connection_window: 100_000,
    budgets: Budgets {
        resets: 4,
        settings: 4,
        pings: 4,
        priorities: 4,
        idle_data: 4,
        window_updates: 8,
        unknown_frames: 4,
        interim_heads: 4,
        goaways: 4,
    },
    ..H2Limits::DEFAULT
};

/// Sent on streams 1, 3, 5 and 7.
const METHODS: [(&str, EndStream); 4] =
    [("GET", EndStream::Yes), ("POST", EndStream::No), ("HEAD", EndStream::Yes), ("CONNECT", EndStream::No)];

/// What one connection reported and sent.
#[derive(PartialEq, Debug, Default)]
struct Heard {
    events: Vec<String>,
    sent: Vec<u8>,
}

fn listen<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut machine = Connection::new(&LIMITS, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
    let mut heard = Heard::default();
    for (method, end) in METHODS {
        let request = SendRequest {
            method,
            scheme: "http",
            authority: "a:1",
            path: "/",
            protocol: None,
            lines: b"A: b\r\n",
            never_indexed: b"",
            length: None,
        };
        assert!(machine.send_request(&request, end, Duration::ZERO, &mut heard.sent).is_some());
    }
    let mut start = Vec::new();
    write_settings(&mut start, &[]);
    hear(&mut machine, &start, &mut heard).expect("a sound start");
    for piece in pieces {
        if let Err(error) = hear(&mut machine, piece, &mut heard) {
            heard.events.push(error);
            break;
        }
    }
    heard
}

fn hear(machine: &mut Connection, piece: &[u8], heard: &mut Heard) -> Result<(), String> {
    let mut head = ResponseHead::new();
    let now = Duration::from_secs(9);
    let mut rest = piece;
    loop {
        let step = machine.handle_bytes(rest, &mut heard.sent, &mut head, now).map_err(|error| {
            machine.fail(error, &mut heard.sent);
            format!("{error:?}")
        })?;
        assert!(step.consumed <= rest.len() && machine.open_streams() <= METHODS.len());
        let Some(event) = step.event else {
            assert_eq!(step.consumed, rest.len());
            return Ok(());
        };
        let line = match event {
            Event::Head { stream, interim, ends } => {
                assert_eq!(interim, head.status().is_informational());
                assert!(!ends || head.framing().is_empty() || stream.id() == 5, "{head:?}");
                let fields: Vec<_> = head.fields().collect();
                format!("{} {interim} {ends} {} {fields:?}", stream.id(), head.status().code())
            }
            Event::Data { stream, data, ends } => {
                let bytes = &rest[data];
                machine.consume(stream, bytes.len() as u32, &mut heard.sent);
                assert_eq!(machine.unread_bytes(), 0);
                // Data is cut as its input is: put together again.
                let begin = format!("{} data ", stream.id());
                let before = match heard.events.last() {
                    Some(last) if last.starts_with(&begin) && !last.ends_with("(end)") => heard.events.pop(),
                    _ => None,
                };
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{}{hex}{}", before.unwrap_or(begin), if ends { "(end)" } else { "" })
            }
            Event::Trailers { stream, trailers } => {
                format!("{} {:?}", stream.id(), trailers.map(|trailers| trailers.lines().to_vec()))
            }
            Event::Reset { stream, code, may_retry, error } => {
                format!("{} reset {code} {may_retry} {error:?}", stream.id())
            }
            Event::Goaway { last, code } => {
                assert!(!machine.can_send_request());
                format!("goaway {last} {code}")
            }
        };
        heard.events.push(line);
        rest = &rest[step.consumed..];
    }
}

/// Whether what was sent is whole frames that a server may be sent.
fn check(mut sent: &[u8]) {
    while let Some(bytes) = sent.first_chunk::<HEADER_BYTES>() {
        let header = FrameHeader::parse(bytes);
        assert_eq!(header.check(16_384), Ok(()));
        assert!(!matches!(header.kind, FrameKind::Unknown(_) | FrameKind::PushPromise | FrameKind::Priority));
        sent = &sent[HEADER_BYTES + header.length as usize..];
    }
    assert!(sent.is_empty());
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, wire)) = data.split_first() else { return };
    let whole = listen(std::iter::once(wire));
    check(&whole.sent);
    for step in [1, usize::from(size).max(1)] {
        let split = listen(wire.chunks(step));
        // Of padded data the length is known at its end: what comes before an error in it may be handed out.
        if !whole.events.iter().any(|event| event.contains("LengthMismatch")) {
            assert_eq!(whole.events, split.events);
        }
    }
});
