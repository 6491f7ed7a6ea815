//! The machine as a dialogue: what a client sends, frame by frame, and what comes of it; whole, byte by byte
//! and split anywhere.

mod bodies;
mod credit;
mod errors;
mod heads;
mod leaving;
mod pair;
mod responses;
mod tunnels;

use std::time::Duration;

use super::frame::{FrameHeader, FrameKind, PREFACE, flag, write_settings};
use super::hpack::{Decoder, Encoder};
use super::*;
use crate::http::message::RequestHead;
use crate::http::message::{BodyLimits, HeadLimits};
use crate::http::status::Status;

const GET: &str = ":method: GET\r\n:scheme: https\r\n:authority: a.example\r\n:path: /\r\n";
const POST: &str = ":method: POST\r\n:scheme: https\r\n:authority: a.example\r\n:path: /up\r\n";

/// What a client sends.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    encoder: Encoder,
}

impl Wire {
    /// Preface and SETTINGS.
    fn new() -> Wire {
        let mut wire = Wire::default();
        wire.bytes.extend_from_slice(PREFACE);
        write_settings(&mut wire.bytes, &[]);
        wire
    }

    fn frame(mut self, kind: FrameKind, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Wire {
        let payload = payload.as_ref();
        FrameHeader { length: payload.len() as u32, kind, flags, stream }.write(&mut self.bytes);
        self.bytes.extend_from_slice(payload);
        self
    }

    fn block(&mut self, lines: &str) -> Vec<u8> {
        let mut block = Vec::new();
        self.encoder.begin(&mut block).lines(lines.as_bytes());
        block
    }

    /// A whole field section that ends the stream, or does not.
    fn headers(mut self, stream: u32, end: EndStream, lines: &str) -> Wire {
        let block = self.block(lines);
        let ends = if end == EndStream::Yes { flag::END_STREAM } else { 0 };
        self.frame(FrameKind::Headers, flag::END_HEADERS | ends, stream, block)
    }

    /// A field section of a request without a body, in frames of 4 KiB.
    fn long_headers(mut self, stream: u32, lines: &str) -> Wire {
        let block = self.block(lines);
        let mut pieces = block.chunks(4096).peekable();
        let (mut wire, mut kind, mut flags) = (self, FrameKind::Headers, flag::END_STREAM);
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { flag::END_HEADERS } else { 0 };
            wire = wire.frame(kind, flags | end, stream, piece);
            (kind, flags) = (FrameKind::Continuation, 0);
        }
        wire
    }

    fn data(self, stream: u32, end: EndStream, data: impl AsRef<[u8]>) -> Wire {
        let ends = if end == EndStream::Yes { flag::END_STREAM } else { 0 };
        self.frame(FrameKind::Data, ends, stream, data)
    }

    fn window(self, stream: u32, increment: u32) -> Wire {
        self.frame(FrameKind::WindowUpdate, 0, stream, increment.to_be_bytes())
    }

    fn reset(self, stream: u32) -> Wire {
        self.frame(FrameKind::RstStream, 0, stream, 8u32.to_be_bytes())
    }

    fn settings(self, settings: &[(u16, u32)]) -> Wire {
        let mut wire = self;
        write_settings(&mut wire.bytes, settings);
        wire
    }
}

/// A connection, and all that it reported and sent.
struct Lab {
    machine: Connection,
    out: Vec<u8>,
    events: Vec<String>,
    now: Duration,
    failed: bool,
}

impl Lab {
    fn new(limits: H2Limits) -> Lab {
        let machine = Connection::new(&limits, &HeadLimits::DEFAULT, &BodyLimits::DEFAULT);
        Lab { machine, out: Vec::new(), events: Vec::new(), now: Duration::from_secs(1000), failed: false }
    }

    /// Takes input as a server does that reads every body at once.
    fn take(&mut self, mut input: &[u8]) {
        let mut head = RequestHead::new();
        while !self.failed {
            let step = match self.machine.handle_bytes(input, &mut self.out, &mut head, self.now) {
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
            self.record(event, input, &head);
            input = &input[step.consumed..];
        }
    }

    fn record(&mut self, event: Event, input: &[u8], head: &RequestHead) {
        let line = match event {
            Event::Head { stream, ends } => {
                assert!(head.as_bytes().ends_with(b"\r\n\r\n"));
                let text = String::from_utf8_lossy(head.as_bytes());
                let text = text.trim_end().replace("\r\n", "|");
                format!("{} {text}{}", stream.id(), if ends { " ." } else { "" })
            }
            Event::Data { stream, data, ends } => {
                self.machine.consume(stream, data.len() as u32, &mut self.out);
                // Parts of a body are put together again, because they depend on how the input is split.
                let text = String::from_utf8_lossy(&input[data]).into_owned();
                let begin = format!("{} data ", stream.id());
                let before = match self.events.last() {
                    Some(last) if last.starts_with(&begin) && !last.ends_with('.') => self.events.pop(),
                    _ => None,
                };
                before.unwrap_or(begin) + &text + if ends { "." } else { "" }
            }
            Event::Trailers { stream, trailers: lines } => {
                let lines = lines.map(|lines| String::from_utf8_lossy(lines.lines()).replace("\r\n", "|"));
                format!("{} trailers {lines:?}", stream.id())
            }
            Event::Reset { stream, error } => format!("{} reset {error:?}", stream.id()),
            Event::Refused { stream, error } => format!("{} refused {error:?}", stream.id()),
            Event::Malformed(error) => format!("malformed {error:?}"),
        };
        self.events.push(line);
    }

    fn respond(&mut self, stream: u32, status: Status, lines: &str, end: EndStream) {
        let key = self.machine.stream(stream).expect("the stream is open");
        let head = SendHead { status, date: b"", lines: lines.as_bytes(), length: None };
        self.machine.send_head(key, &head, end, self.now, &mut self.out);
    }

    /// Sends as much of `data` as may be sent now; how much that was.
    fn send(&mut self, stream: u32, data: &[u8], end: EndStream) -> usize {
        let Some(key) = self.machine.stream(stream) else { return 0 };
        let mut sent = 0;
        loop {
            let length = self.machine.sendable(key).min(data.len() - sent);
            let is_last = sent + length == data.len();
            if length == 0 && !(is_last && end == EndStream::Yes) {
                return sent;
            }
            let end = if is_last { end } else { EndStream::No };
            if !self.machine.begin_data_frame(key, length, end, self.now, &mut self.out) {
                return sent;
            }
            self.out.extend_from_slice(&data[sent..sent + length]);
            sent += length;
            if is_last {
                self.machine.stop_request(key, &mut self.out);
                return sent;
            }
        }
    }

    /// Frames sent since the last call, frame by frame, without SETTINGS of the start.
    fn replies(&mut self) -> Vec<String> {
        frames(&std::mem::take(&mut self.out), &mut Decoder::new())
    }
}

/// Frames as text.
fn frames(mut wire: &[u8], decoder: &mut Decoder) -> Vec<String> {
    let mut replies = Vec::new();
    while let Some(bytes) = wire.first_chunk::<9>() {
        let FrameHeader { length, kind, flags, stream } = FrameHeader::parse(bytes);
        let payload = &wire[9..9 + length as usize];
        wire = &wire[9 + length as usize..];
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        let end = if flags & 1 != 0 { " ." } else { "" };
        replies.push(match kind {
            FrameKind::Settings if flags & 1 != 0 => "SETTINGS ack".to_owned(),
            FrameKind::RstStream => format!("RST_STREAM {stream} {}", ErrorCode(number(0))),
            FrameKind::WindowUpdate => format!("WINDOW_UPDATE {stream} {}", number(0)),
            FrameKind::Goaway => format!("GOAWAY {} {}", number(0), ErrorCode(number(4))),
            FrameKind::Ping => format!("PING{end} {}", String::from_utf8_lossy(payload)),
            FrameKind::Data => format!("DATA {stream} {length}{end}"),
            FrameKind::Headers if flags & flag::END_HEADERS != 0 => {
                let mut lines = String::new();
                let list = decoder.decode(payload, u32::MAX, |field| {
                    let [name, value] = [field.name, field.value].map(String::from_utf8_lossy);
                    lines += &format!(" {name}={value}");
                    std::ops::ControlFlow::<()>::Continue(())
                });
                list.unwrap();
                format!("HEADERS {stream}{lines}{end}")
            }
            kind => format!("{kind} {stream} {flags:#x} {length}"),
        });
    }
    assert!(wire.is_empty(), "whole frames");
    replies
}

/// What the machine reports and sends, however the wire is split.
fn dialogue_with(limits: H2Limits, wire: &Wire) -> (Vec<String>, Vec<String>) {
    let wire = &wire.bytes;
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut lab = Lab::new(limits);
        pieces.for_each(|piece| lab.take(piece));
        let replies = lab.replies();
        (lab.events, replies)
    };
    let whole = run(&mut std::iter::once(&wire[..]));
    assert_eq!(run(&mut wire.chunks(1)), whole, "byte by byte");
    let step = (wire.len() / 400).max(1);
    for split in (0..=wire.len()).step_by(step) {
        let (first, second) = wire.split_at(split);
        assert_eq!(run(&mut [first, second].into_iter()), whole, "split at {split}");
    }
    whole
}

fn dialogue(wire: &Wire) -> (Vec<String>, Vec<String>) {
    dialogue_with(H2Limits::DEFAULT, wire)
}

/// Events of a connection without errors.
fn events(wire: &Wire) -> Vec<String> {
    let (events, replies) = dialogue(wire);
    let bad = |line: &String| line.starts_with("GOAWAY") || line.starts_with("RST");
    assert!(!replies.iter().any(bad), "{replies:?}");
    events
}

/// The first error that is sent.
fn error(wire: &Wire) -> String {
    let (_, replies) = dialogue(wire);
    let bad = |line: &&String| line.starts_with("GOAWAY") || line.starts_with("RST");
    replies.iter().find(bad).cloned().unwrap_or_default()
}

#[test]
fn the_server_speaks_first_and_acknowledges() {
    let mut lab = Lab::new(H2Limits::DEFAULT);
    lab.machine.start(&mut lab.out);
    let settings =
        [0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 0xff, 0xff, 0, 6, 0, 0, 0x40, 0, 0, 9, 0, 0, 0, 1, 0, 8, 0, 0, 0, 1];
    assert_eq!(lab.out[9..39], settings);
    assert_eq!(lab.replies(), ["SETTINGS 0 0x0 30", "WINDOW_UPDATE 0 983041"]);
    assert!(lab.machine.is_within_frame() && lab.machine.is_new());
    lab.take(&Wire::new().bytes);
    assert_eq!((lab.replies(), lab.events.len()), (vec!["SETTINGS ack".to_owned()], 0));
    assert!(!lab.machine.is_within_frame() && !lab.machine.is_new());
}
