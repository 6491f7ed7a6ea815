//! A server's end of an HTTP/2 connection under any frames: the same events and the same answers however the
//! bytes are split, only whole frames said, and never more streams or credit than the limits allow.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use quoit::http::h2::frame::{FrameHeader, FrameKind, HEADER_BYTES, PREFACE, write_settings};
use quoit::http::h2::{Budgets, Connection, EndStream, ErrorCode, Event, H2Limits, SendHead};
use quoit::http::message::RequestHead;
use quoit::http::message::{BodyLimits, HeadLimits};
use quoit::http::status::Status;

/// Small, so that inputs of a few hundred bytes reach every limit.
const LIMITS: H2Limits = H2Limits {
    streams_max: 3,
    list_bytes_max: 256,
    block_bytes_max: 96,
    continuations_max: 2,
    stream_window: 80_000,
    unread_bytes_max: 240_000,
    connection_window: 100_000,
    discard_bytes_max: 1000,
    connect_protocol: true,
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
    window_timeout: Duration::from_secs(1),
};

/// What one connection heard and said.
#[derive(PartialEq, Debug, Default)]
struct Heard {
    events: Vec<String>,
    said: Vec<u8>,
}

/// Hears the pieces as a server does whose handlers answer streams 1, 7, 13 … at once, and read the bodies of
/// most others.
fn listen<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut machine = Connection::new(&LIMITS, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
    let mut heard = Heard::default();
    let mut start = PREFACE.to_vec();
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
    let mut head = RequestHead::new();
    let now = Duration::from_secs(9);
    let mut rest = piece;
    loop {
        let step = machine.handle_bytes(rest, &mut heard.said, &mut head, now).map_err(|error| {
            machine.fail(error, &mut heard.said);
            format!("{error:?}")
        })?;
        assert!(step.consumed <= rest.len() && machine.open_streams() <= LIMITS.streams_max as usize);
        let Some(event) = step.event else {
            assert_eq!(step.consumed, rest.len());
            return Ok(());
        };
        let line = match event {
            Event::Head { stream, ends } => {
                if stream.id() % 6 == 1 {
                    let head =
                        SendHead { status: Status::OK, date: b"", lines: b"A: b\r\n", length: Some(3) };
                    machine.send_head(stream, &head, EndStream::No, now, &mut heard.said);
                    if machine.sendable(stream) >= 3
                        && machine.begin_data_frame(stream, 3, EndStream::Yes, now, &mut heard.said)
                    {
                        heard.said.extend_from_slice(b"abc");
                        machine.stop_request(stream, &mut heard.said);
                    }
                }
                format!("{} {ends} {}", stream.id(), String::from_utf8_lossy(head.as_bytes()))
            }
            Event::Data { stream, data, ends } => {
                let bytes = &rest[data];
                if stream.id() % 8 != 3 {
                    machine.consume(stream, bytes.len() as u32, &mut heard.said);
                }
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
            Event::Refused { stream, error } => {
                machine.reset(stream, ErrorCode::CANCEL, &mut heard.said);
                format!("{} {error:?}", stream.id())
            }
            Event::Reset { stream, error } => format!("{} reset {error:?}", stream.id()),
            Event::Malformed(error) => format!("{error:?}"),
        };
        heard.events.push(line);
        rest = &rest[step.consumed..];
    }
}

/// Whether what was said is whole frames that a client may be sent.
fn check(mut said: &[u8]) {
    while let Some(bytes) = said.first_chunk::<HEADER_BYTES>() {
        let header = FrameHeader::parse(bytes);
        assert_eq!(header.check(16_384), Ok(()));
        assert!(!matches!(header.kind, FrameKind::Unknown(_) | FrameKind::PushPromise | FrameKind::Priority));
        said = &said[HEADER_BYTES + header.length as usize..];
    }
    assert!(said.is_empty());
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, wire)) = data.split_first() else { return };
    let whole = listen(std::iter::once(wire));
    check(&whole.said);
    for step in [1, usize::from(size).max(1)] {
        let split = listen(wire.chunks(step));
        // Of padded data the length is known at its end: what comes before a mistake in it may be handed out.
        if !whole.events.iter().any(|event| event.contains("LengthMismatch")) {
            assert_eq!(whole.events, split.events);
        }
    }
});
