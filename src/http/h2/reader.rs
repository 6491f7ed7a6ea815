//! Splits a byte stream into frames (RFC 9113 §4.1). A frame is returned whole, without a copy when it lies
//! whole in the input; DATA is returned in parts as it arrives. Checks lengths, padding and whether a frame
//! needs a stream; knows neither streams nor roles.

use std::ops::Range;

use super::error::ConnectionError;
use super::frame::{FrameHeader, FrameKind, HEADER_BYTES, flag};

/// What was found in the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FramePart {
    /// All of the input was taken, and no frame is complete.
    Incomplete,
    /// A frame that is not DATA, and lies whole in the input: its payload is this part of it.
    Whole(FrameHeader, Range<usize>),
    /// The header of a frame that is not DATA: the payload comes next. The caller can refuse the frame before
    /// its payload is buffered.
    Header(FrameHeader),
    /// The frame whose header came before.
    Frame(FrameHeader, FramePayload),
    /// The header of a DATA frame; its parts come next, at least one.
    DataHeader(FrameHeader),
    /// A part of the DATA frame: where data lies in the input (perhaps nothing), how many bytes of padding
    /// were passed over, its own length byte included, and whether the frame ends here.
    Data {
        /// Within the input.
        data: Range<usize>,
        /// Bytes that count for flow control and carry nothing.
        padding: u32,
        /// Whether the frame ends here.
        is_last: bool,
    },
}

/// Where the payload of a frame lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FramePayload {
    /// In the input.
    Input(Range<usize>),
    /// Copied together from several reads.
    Gathered(Vec<u8>),
}

impl FramePayload {
    /// The bytes; `input` is what was passed to [`FrameReader::read`].
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            FramePayload::Input(range) => &input[range.clone()],
            FramePayload::Gathered(bytes) => bytes,
        }
    }
}

/// Finds frames. Holds memory only while a frame is incomplete.
#[derive(Debug)]
pub struct FrameReader {
    frame_bytes_max: u32,
    stage: ReaderState,
}

/// ```text
/// Header ──► Payload ──► Header
///    └─────► Data ─────────┘
/// ```
#[derive(Debug)]
enum ReaderState {
    /// In a header, of which that many bytes came.
    Header { bytes: [u8; HEADER_BYTES], have: u8 },
    /// In the payload of a frame that is not DATA.
    FramePayload { header: FrameHeader, gathered: Vec<u8> },
    /// In DATA, before its pad length.
    PadLength { left: u32 },
    /// In DATA: that many bytes of data, and of padding behind them, are to come.
    Data { data: u32, padding: u32 },
}

const START: ReaderState = ReaderState::Header { bytes: [0; HEADER_BYTES], have: 0 };

impl FrameReader {
    /// A reader at the start of a frame, which accepts payloads of at most so many bytes.
    pub fn new(frame_bytes_max: u32) -> FrameReader {
        FrameReader { frame_bytes_max, stage: START }
    }

    /// Whether no part of a frame other than DATA was received: the peer is idle, not slow.
    pub fn is_between_frames(&self) -> bool {
        matches!(
            self.stage,
            ReaderState::Header { have: 0, .. } | ReaderState::PadLength { .. } | ReaderState::Data { .. }
        )
    }

    /// Bytes of a DATA frame, padding included, whose header was handed out and which were not.
    pub fn data_left(&self) -> u32 {
        match self.stage {
            ReaderState::PadLength { left } => left,
            ReaderState::Data { data, padding } => data + padding,
            ReaderState::Header { .. } | ReaderState::FramePayload { .. } => 0,
        }
    }

    /// Reads up to the end of the next part; returns the bytes consumed, and the part. Call again with the
    /// rest until it is [`FramePart::Incomplete`].
    ///
    /// # Errors
    /// What [`FrameHeader::check`] refuses, and padding that fills its frame. The reader must not be used
    /// afterwards.
    #[inline]
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, FramePart), ConnectionError> {
        match &mut self.stage {
            ReaderState::Header { have: 0, .. } => match input.first_chunk::<HEADER_BYTES>() {
                Some(bytes) => {
                    let header = FrameHeader::parse(bytes);
                    let end = HEADER_BYTES + header.length as usize;
                    if header.kind != FrameKind::Data && end <= input.len() {
                        header.check(self.frame_bytes_max)?;
                        return Ok((end, FramePart::Whole(header, HEADER_BYTES..end)));
                    }
                    Ok((HEADER_BYTES, self.begin(header)?))
                }
                None => self.gather_header(input),
            },
            ReaderState::Header { .. } => self.gather_header(input),
            ReaderState::FramePayload { header, gathered } => {
                let wanted = header.length as usize - gathered.len();
                let header = *header;
                if gathered.is_empty() && input.len() >= wanted {
                    self.stage = START;
                    return Ok((wanted, FramePart::Frame(header, FramePayload::Input(0..wanted))));
                }
                let taken = wanted.min(input.len());
                gathered.extend_from_slice(&input[..taken]);
                if taken < wanted {
                    return Ok((taken, FramePart::Incomplete));
                }
                let gathered = std::mem::take(gathered);
                self.stage = START;
                Ok((taken, FramePart::Frame(header, FramePayload::Gathered(gathered))))
            }
            ReaderState::PadLength { left } => {
                let Some(&padding) = input.first() else { return Ok((0, FramePart::Incomplete)) };
                let (padding, rest) = (u32::from(padding), *left - 1);
                let data = rest.checked_sub(padding).ok_or(ConnectionError::PaddingTooLong)?;
                self.stage = ReaderState::Data { data, padding };
                let is_last = self.end_data();
                Ok((1, FramePart::Data { data: 1..1, padding: 1, is_last }))
            }
            ReaderState::Data { data, padding } => {
                let taken = (*data as usize).min(input.len());
                *data -= taken as u32;
                let passed = if *data == 0 { (*padding as usize).min(input.len() - taken) } else { 0 };
                *padding -= passed as u32;
                let is_last = self.end_data();
                if taken + passed == 0 && !is_last {
                    return Ok((0, FramePart::Incomplete));
                }
                Ok((taken + passed, FramePart::Data { data: 0..taken, padding: passed as u32, is_last }))
            }
        }
    }

    fn gather_header(&mut self, input: &[u8]) -> Result<(usize, FramePart), ConnectionError> {
        let ReaderState::Header { bytes, have } = &mut self.stage else {
            return Ok((0, FramePart::Incomplete));
        };
        let start = usize::from(*have);
        let taken = (HEADER_BYTES - start).min(input.len());
        bytes[start..start + taken].copy_from_slice(&input[..taken]);
        *have += taken as u8;
        if usize::from(*have) < HEADER_BYTES {
            return Ok((taken, FramePart::Incomplete));
        }
        let header = FrameHeader::parse(bytes);
        Ok((taken, self.begin(header)?))
    }

    #[inline]
    fn begin(&mut self, header: FrameHeader) -> Result<FramePart, ConnectionError> {
        header.check(self.frame_bytes_max)?;
        if header.kind != FrameKind::Data {
            self.stage = ReaderState::FramePayload { header, gathered: Vec::new() };
            return Ok(FramePart::Header(header));
        }
        self.stage = if header.has(flag::PADDED) {
            ReaderState::PadLength { left: header.length }
        } else {
            ReaderState::Data { data: header.length, padding: 0 }
        };
        Ok(FramePart::DataHeader(header))
    }

    fn end_data(&mut self) -> bool {
        let is_last = matches!(self.stage, ReaderState::Data { data: 0, padding: 0 });
        if is_last {
            self.stage = START;
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader finds in these pieces: frames, and DATA put together again.
    fn read<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<(FrameHeader, Vec<u8>)>, ConnectionError> {
        let mut reader = FrameReader::new(64);
        let mut frames = Vec::new();
        let mut data = (FrameHeader::parse(&[0; 9]), Vec::new());
        let mut passed = 0;
        for piece in pieces {
            let mut rest = piece;
            loop {
                let (consumed, found) = reader.read(rest)?;
                match found {
                    FramePart::Incomplete => {
                        assert_eq!(consumed, rest.len());
                        break;
                    }
                    FramePart::Whole(header, payload) => frames.push((header, rest[payload].to_vec())),
                    FramePart::Header(_) => {}
                    FramePart::Frame(header, payload) => frames.push((header, payload.bytes(rest).to_vec())),
                    FramePart::DataHeader(header) => (data, passed) = ((header, Vec::new()), 0),
                    FramePart::Data { data: range, padding, is_last } => {
                        data.1.extend_from_slice(&rest[range]);
                        passed += padding;
                        if is_last {
                            assert_eq!(data.0.length, data.1.len() as u32 + passed, "every byte counts");
                            frames.push(data.clone());
                        }
                    }
                }
                rest = &rest[consumed..];
            }
        }
        assert!(reader.is_between_frames());
        Ok(frames)
    }

    #[test]
    fn frames_are_found_however_they_are_split() {
        let wire = b"\0\0\x08\x06\0\0\0\0\0pingping\
                     \0\0\x05\0\0\0\0\0\x01hello\
                     \0\0\0\x04\x01\0\0\0\0\
                     \0\0\x07\0\x09\0\0\0\x01\x02data..\
                     \0\0\x01\0\x08\0\0\0\x03\0\
                     \0\0\x03\0\x08\0\0\0\x03\x02..\
                     \0\0\0\0\x01\0\0\0\x03\
                     \0\0\x03\x01\x05\0\0\0\x05abc";
        let whole = read(std::iter::once(&wire[..])).unwrap();
        let payloads: Vec<&[u8]> = whole.iter().map(|(_, payload)| &payload[..]).collect();
        let expected: [&[u8]; 8] = [b"pingping", b"hello", b"", b"data", b"", b"", b"", b"abc"];
        assert_eq!(payloads, expected);
        assert_eq!(read(wire.chunks(1)).unwrap(), whole);
        for split in 0..=wire.len() {
            let (first, second) = wire.split_at(split);
            assert_eq!(read([first, second].into_iter()).unwrap(), whole, "split at {split}");
        }
    }

    #[test]
    fn padding_leaves_room_for_its_length() {
        let frame = |length: u8, padding: u8| {
            let mut wire = vec![0, 0, length, 0, 8, 0, 0, 0, 1, padding];
            wire.resize(9 + usize::from(length), b'.');
            read(std::iter::once(&wire[..])).map(|frames| frames[0].1.len())
        };
        assert_eq!(frame(4, 0), Ok(3));
        assert_eq!(frame(4, 3), Ok(0));
        assert_eq!(frame(4, 4), Err(ConnectionError::PaddingTooLong));
        assert_eq!(frame(1, 0), Ok(0));
        assert_eq!(frame(1, 1), Err(ConnectionError::PaddingTooLong));
    }

    #[test]
    fn a_refused_header_needs_no_payload() {
        let mut reader = FrameReader::new(64);
        assert_eq!(
            reader.read(b"\0\0\x41\x06\0\0\0\0\0"),
            Err(ConnectionError::FrameTooLong(FrameKind::Ping))
        );
        let mut reader = FrameReader::new(64);
        let (taken, piece) = reader.read(b"\0\0\x04\x05\0\0\0\0\x01").unwrap();
        assert!(
            taken == 9 && matches!(piece, FramePart::Header(header) if header.kind == FrameKind::PushPromise)
        );
        assert!(!reader.is_between_frames());
    }
}
