//! The server's end of an HTTP/2 connection that sends exactly what a script says, over any stream.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::ControlFlow;

use quoit::http::h2::hpack::Decoder;

use crate::wire::*;

/// A field, with whether it is a never-indexed literal.
pub(crate) type Field = (String, String, bool);

/// What the proxy has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Got {
    Headers { stream: u32, fields: Vec<Field>, ends: bool },
    Data { stream: u32, bytes: Vec<u8>, ends: bool },
    Reset { stream: u32, code: u32 },
}

impl Got {
    pub(crate) fn stream(&self) -> u32 {
        match self {
            Self::Headers { stream, .. } | Self::Data { stream, .. } | Self::Reset { stream, .. } => *stream,
        }
    }

    /// The value of a field of a head.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let Self::Headers { fields, .. } = self else { panic!("no head: {self:?}") };
        fields.iter().find(|(known, ..)| known == name).map(|(_, value, _)| value.as_str())
    }
}

pub(crate) struct Frames<'a, S> {
    pub(crate) stream: &'a mut S,
    input: Vec<u8>,
    decoder: Decoder,
    /// Gives credit for data at once.
    pub(crate) credits: bool,
    /// SETTINGS of this side that were acknowledged.
    pub(crate) acknowledged: usize,
    /// Whether PINGs are acknowledged, and how many came.
    pub(crate) answers_pings: bool,
    pub(crate) pings: usize,
    /// Credit that the proxy has given, by stream; 0 is the connection.
    pub(crate) credit: BTreeMap<u32, usize>,
}

impl<'a, S: Read + Write> Frames<'a, S> {
    /// Reads the preface, and says nothing yet.
    pub(crate) fn silent(stream: &'a mut S) -> Option<Self> {
        let mut frames = Self {
            stream,
            input: Vec::new(),
            decoder: Decoder::new(),
            credits: true,
            acknowledged: 0,
            answers_pings: true,
            pings: 0,
            credit: BTreeMap::new(),
        };
        (frames.take(PREFACE.len())? == PREFACE).then_some(frames)
    }

    /// The same, and sends SETTINGS.
    pub(crate) fn new(stream: &'a mut S, own: &[(u16, u32)]) -> Option<Self> {
        let mut frames = Self::silent(stream)?;
        frames.send(settings(own));
        Some(frames)
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.input.len() < length {
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(read @ 1..) => self.input.extend_from_slice(&buffer[..read]),
                Ok(0) | Err(_) => return None,
            }
        }
        Some(self.input.drain(..length).collect())
    }

    /// An error is ignored: the proxy may have left.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
    }

    /// The next frame that matters; SETTINGS are acknowledged on the way.
    pub(crate) fn next(&mut self) -> Option<Got> {
        loop {
            if let Some(got) = self.step()? {
                return Some(got);
            }
        }
    }

    /// Reads one frame; returns it if it matters.
    pub(crate) fn step(&mut self) -> Option<Option<Got>> {
        let header = self.take(9)?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (kind, flags) = (header[3], header[4]);
        let stream = u32::from_be_bytes(header[5..9].try_into().unwrap());
        let payload = self.take(length)?;
        let ends = flags & END_STREAM != 0;
        match kind {
            SETTINGS if flags & ACK != 0 => self.acknowledged += 1,
            SETTINGS => self.send(frame(SETTINGS, ACK, 0, [])),
            HEADERS => {
                assert!(flags & END_HEADERS != 0, "one frame");
                let mut fields = Vec::new();
                let decoded = self.decoder.decode(&payload, u32::MAX, |field| {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    fields.push((text(field.name), text(field.value), field.never_indexed));
                    ControlFlow::<()>::Continue(())
                });
                decoded.expect("a block that can be read");
                return Some(Some(Got::Headers { stream, fields, ends }));
            }
            DATA => {
                if self.credits && !payload.is_empty() {
                    let more = window_update(stream, payload.len() as u32);
                    let credit = [window_update(0, payload.len() as u32), more].concat();
                    self.send(&credit[..if ends { 13 } else { 26 }]);
                }
                return Some(Some(Got::Data { stream, bytes: payload, ends }));
            }
            RST_STREAM => {
                let code = u32::from_be_bytes(payload[..4].try_into().unwrap());
                return Some(Some(Got::Reset { stream, code }));
            }
            PING if flags & ACK == 0 => {
                self.pings += 1;
                if self.answers_pings {
                    self.send(frame(PING, ACK, 0, payload));
                }
            }
            WINDOW_UPDATE => {
                let more = u32::from_be_bytes(payload[..4].try_into().unwrap());
                *self.credit.entry(stream).or_default() += more as usize;
            }
            PUSH_PROMISE | CONTINUATION => panic!("frame {kind}"),
            _ => {}
        }
        Some(None)
    }

    /// Sends content as the windows open; what comes meanwhile is skipped.
    pub(crate) fn send_body(&mut self, stream: u32, body: &[u8]) {
        let mut sent = 0;
        while sent < body.len() {
            let given = |of: u32| self.credit.get(&of).copied().unwrap_or(0);
            let room = (65_535 + given(0).min(given(stream))).saturating_sub(sent);
            if room == 0 {
                match self.step() {
                    Some(_) => continue,
                    None => return,
                }
            }
            let part = &body[sent..][..room.min(16_384).min(body.len() - sent)];
            self.send(data(stream, 0, part));
            sent += part.len();
        }
    }

    /// The next head of a request.
    pub(crate) fn head(&mut self) -> Option<Got> {
        loop {
            let got = self.next()?;
            if matches!(got, Got::Headers { .. }) {
                return Some(got);
            }
        }
    }

    /// Answers with this body.
    pub(crate) fn answer(&mut self, stream: u32, body: &str) {
        let head = headers(stream, END_HEADERS, &[(":status", "200")]);
        self.send([head, data(stream, END_STREAM, body)].concat());
    }

    pub(crate) fn until_closed(&mut self) {
        while self.next().is_some() {}
    }
}
