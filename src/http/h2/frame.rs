//! Frames on the wire (RFC 9113 §4, §6): headers, the lengths and streams that each type allows, and writing.
//! Independent of roles and without state: does not know whether a stream exists.

use std::ops::Range;

use super::error::{ConnectionError, ErrorCode};
pub use super::kind::FrameKind;

/// The client's connection preface (RFC 9113 §3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 9;

/// Longest payload that every endpoint must accept, and the longest accepted here (§4.2).
pub const FRAME_BYTES_DEFAULT: u32 = 16 * 1024;

/// The largest number of a stream, and the largest window.
pub const MAX_31_BITS: u32 = (1 << 31) - 1;

/// Flags; their meaning depends on the type.
pub mod flag {
    /// DATA, HEADERS: the sender's last frame on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an acknowledgement.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the field block ends here.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: padded.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: with priority fields.
    pub const PRIORITY: u8 = 0x20;
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// Bytes of payload, below 2^24.
    pub length: u32,
    /// The type.
    pub kind: FrameKind,
    /// Flags, undefined ones included.
    pub flags: u8,
    /// The stream, 0 for the connection; the reserved bit is ignored.
    pub stream: u32,
}

impl FrameHeader {
    /// Reads a header.
    #[inline]
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> FrameHeader {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        FrameHeader {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: FrameKind::from_byte(kind),
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & MAX_31_BITS,
        }
    }

    /// The header as it goes onto the wire.
    #[inline]
    pub fn bytes(&self) -> [u8; HEADER_BYTES] {
        debug_assert!(self.length < 1 << 24 && self.stream <= MAX_31_BITS);
        let [_, l0, l1, l2] = self.length.to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind.byte(), self.flags, s0, s1, s2, s3]
    }

    /// Appends the header.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }

    /// Whether a flag is set.
    #[inline]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks the length and the stream number against the frame's type, independent of any state.
    ///
    /// PRIORITY of a wrong length is left to the caller, because it is a stream error (§6.3).
    ///
    /// # Errors
    /// Each ends the connection.
    #[inline]
    pub fn check(&self, frame_bytes_max: u32) -> Result<(), ConnectionError> {
        if self.length > frame_bytes_max {
            return Err(ConnectionError::FrameTooLong(self.kind));
        }
        let on_stream = self.stream != 0;
        match self.kind {
            FrameKind::Data
            | FrameKind::Headers
            | FrameKind::Priority
            | FrameKind::RstStream
            | FrameKind::PushPromise
            | FrameKind::Continuation
                if !on_stream =>
            {
                return Err(ConnectionError::StreamMissing(self.kind));
            }
            FrameKind::Settings | FrameKind::Ping | FrameKind::Goaway | FrameKind::PriorityUpdate
                if on_stream =>
            {
                return Err(ConnectionError::StreamUnexpected(self.kind));
            }
            _ => {}
        }
        let fits = match self.kind {
            FrameKind::RstStream | FrameKind::WindowUpdate => self.length == 4,
            FrameKind::Ping => self.length == 8,
            FrameKind::Goaway => self.length >= 8,
            FrameKind::PriorityUpdate => self.length >= 4,
            FrameKind::Settings if self.has(flag::ACK) => self.length == 0,
            FrameKind::Settings => self.length.is_multiple_of(6),
            // Its pad length, or its priority fields, at least.
            FrameKind::Data => self.length >= u32::from(self.has(flag::PADDED)),
            FrameKind::Headers => {
                let padding = u32::from(self.has(flag::PADDED));
                self.length >= padding + if self.has(flag::PRIORITY) { PRIORITY_BYTES as u32 } else { 0 }
            }
            _ => true,
        };
        if fits { Ok(()) } else { Err(ConnectionError::FrameLength(self.kind)) }
    }
}

/// Bytes of the deprecated priority fields (§6.3).
pub const PRIORITY_BYTES: usize = 5;

/// The parts of a HEADERS frame's payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeadersParts {
    /// Where the fragment of the field block lies within the payload.
    pub fragment: Range<usize>,
    /// The stream that this one depends on, according to the deprecated priority fields.
    pub depends_on: Option<u32>,
}

/// Splits the payload of a HEADERS frame whose header passed [`FrameHeader::check`].
///
/// # Errors
/// [`ConnectionError::PaddingTooLong`].
#[inline]
pub fn headers_parts(header: &FrameHeader, payload: &[u8]) -> Result<HeadersParts, ConnectionError> {
    let mut fragment = 0..payload.len();
    if header.has(flag::PADDED) {
        let padding = payload.first().copied().map_or(0, usize::from);
        fragment.start = 1;
        // Padding must not overlap the priority fields.
        let fixed = 1 + if header.has(flag::PRIORITY) { PRIORITY_BYTES } else { 0 };
        if padding + fixed > payload.len() {
            return Err(ConnectionError::PaddingTooLong);
        }
        fragment.end -= padding;
    }
    let mut depends_on = None;
    if header.has(flag::PRIORITY) {
        let fields = payload.get(fragment.start..).and_then(|rest| rest.first_chunk::<4>());
        depends_on = fields.map(|&bytes| stream_of(bytes));
        fragment.start += PRIORITY_BYTES;
    }
    Ok(HeadersParts { fragment, depends_on })
}

/// The number of a stream within a payload, without its reserved or exclusive bit.
#[inline]
pub fn stream_of(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & MAX_31_BITS
}

/// The first four bytes of a payload, as RST_STREAM, WINDOW_UPDATE and others begin; 0 where there are
/// fewer.
#[inline]
pub fn first_u32(payload: &[u8]) -> u32 {
    payload.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Identifiers and values of a SETTINGS frame, in order.
pub fn settings_of(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|entry| {
        let (id, value) = entry.split_at(2);
        (u16::from_be_bytes([id[0], id[1]]), first_u32(value))
    })
}

/// Appends a SETTINGS frame.
pub fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    let length = 6 * settings.len() as u32;
    FrameHeader { length, kind: FrameKind::Settings, flags: 0, stream: 0 }.write(out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Appends the acknowledgement of a SETTINGS frame.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    FrameHeader { length: 0, kind: FrameKind::Settings, flags: flag::ACK, stream: 0 }.write(out);
}

/// Appends a PING, or with [`flag::ACK`] its acknowledgement.
pub fn write_ping(out: &mut Vec<u8>, flags: u8, payload: &[u8; 8]) {
    FrameHeader { length: 8, kind: FrameKind::Ping, flags, stream: 0 }.write(out);
    out.extend_from_slice(payload);
}

/// Appends RST_STREAM.
pub fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    FrameHeader { length: 4, kind: FrameKind::RstStream, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Appends WINDOW_UPDATE, for the connection on stream 0.
pub fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    debug_assert!((1..=MAX_31_BITS).contains(&increment));
    FrameHeader { length: 4, kind: FrameKind::WindowUpdate, flags: 0, stream }.write(out);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Appends GOAWAY: no stream above `last` was or will be processed. `debug` is diagnostic text, truncated to
/// 256 bytes.
pub fn write_goaway(out: &mut Vec<u8>, last: u32, code: ErrorCode, debug: &str) {
    const DEBUG_BYTES_MAX: usize = 256;
    let debug = &debug.as_bytes()[..debug.len().min(DEBUG_BYTES_MAX)];
    let length = 8 + debug.len() as u32;
    FrameHeader { length, kind: FrameKind::Goaway, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(debug);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        for kind in (0..=255).map(FrameKind::from_byte) {
            let header = FrameHeader { length: 0x01_0203, kind, flags: 0xa5, stream: 0x7fff_fffe };
            assert_eq!(FrameHeader::parse(&header.bytes()), header);
        }
        let wire = [0, 0, 5, 0, 1, 0x80, 0, 0, 7];
        let expected = FrameHeader { length: 5, kind: FrameKind::Data, flags: flag::END_STREAM, stream: 7 };
        assert_eq!(FrameHeader::parse(&wire), expected, "the reserved bit is ignored");
    }

    #[test]
    fn lengths_and_streams_are_judged_by_type() {
        use ConnectionError::{FrameLength, FrameTooLong, StreamMissing, StreamUnexpected};
        use FrameKind::*;
        let vectors = [
            (Data, 0, 0, 0, Err(StreamMissing(Data))),
            (Data, 0, 0, 1, Ok(())),
            (Data, flag::PADDED, 0, 1, Err(FrameLength(Data))),
            (Data, 0, 16384, 1, Ok(())),
            (Data, 0, 16385, 1, Err(FrameTooLong(Data))),
            (Headers, 0, 3, 0, Err(StreamMissing(Headers))),
            (Headers, flag::PRIORITY, 4, 1, Err(FrameLength(Headers))),
            (Headers, flag::PRIORITY | flag::PADDED, 5, 1, Err(FrameLength(Headers))),
            (Headers, flag::PRIORITY | flag::PADDED, 6, 1, Ok(())),
            (Priority, 0, 5, 0, Err(StreamMissing(Priority))),
            (Priority, 0, 4, 1, Ok(())),
            (RstStream, 0, 4, 0, Err(StreamMissing(RstStream))),
            (RstStream, 0, 3, 1, Err(FrameLength(RstStream))),
            (RstStream, 0, 5, 1, Err(FrameLength(RstStream))),
            (Settings, 0, 6, 1, Err(StreamUnexpected(Settings))),
            (Settings, 0, 5, 0, Err(FrameLength(Settings))),
            (Settings, 0, 12, 0, Ok(())),
            (Settings, flag::ACK, 6, 0, Err(FrameLength(Settings))),
            (PushPromise, 0, 4, 0, Err(StreamMissing(PushPromise))),
            (Ping, 0, 8, 3, Err(StreamUnexpected(Ping))),
            (Ping, 0, 7, 0, Err(FrameLength(Ping))),
            (Ping, flag::ACK, 9, 0, Err(FrameLength(Ping))),
            (Goaway, 0, 8, 1, Err(StreamUnexpected(Goaway))),
            (Goaway, 0, 7, 0, Err(FrameLength(Goaway))),
            (WindowUpdate, 0, 4, 0, Ok(())),
            (WindowUpdate, 0, 4, 1, Ok(())),
            (WindowUpdate, 0, 3, 1, Err(FrameLength(WindowUpdate))),
            (Continuation, 0, 1, 0, Err(StreamMissing(Continuation))),
            (PriorityUpdate, 0, 9, 1, Err(StreamUnexpected(PriorityUpdate))),
            (PriorityUpdate, 0, 3, 0, Err(FrameLength(PriorityUpdate))),
            (Unknown(0x42), 0xff, 77, 0, Ok(())),
            (Unknown(0x42), 0xff, 16385, 9, Err(FrameTooLong(Unknown(0x42)))),
        ];
        for (kind, flags, length, stream, expected) in vectors {
            let header = FrameHeader { length, kind, flags, stream };
            assert_eq!(header.check(FRAME_BYTES_DEFAULT), expected, "{header:?}");
        }
    }

    #[test]
    fn headers_lose_padding_and_priority() {
        let parts = |flags, payload: &[u8]| {
            let header =
                FrameHeader { length: payload.len() as u32, kind: FrameKind::Headers, flags, stream: 1 };
            headers_parts(&header, payload)
        };
        assert_eq!(parts(0, b"abc"), Ok(HeadersParts { fragment: 0..3, depends_on: None }));
        assert_eq!(parts(flag::PADDED, b"\x01ab."), Ok(HeadersParts { fragment: 1..3, depends_on: None }));
        assert_eq!(parts(flag::PADDED, b"\x03..."), Ok(HeadersParts { fragment: 1..1, depends_on: None }));
        assert_eq!(parts(flag::PADDED, b"\x04..."), Err(ConnectionError::PaddingTooLong));
        let both = flag::PADDED | flag::PRIORITY;
        let expected = HeadersParts { fragment: 6..7, depends_on: Some(3) };
        assert_eq!(parts(both, b"\x01\x80\0\0\x03\x10a."), Ok(expected));
        assert_eq!(parts(both, b"\x03\x80\0\0\x03\x10a."), Err(ConnectionError::PaddingTooLong));
    }
}
