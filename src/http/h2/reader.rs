//! Frames out of a byte stream (RFC 9113 §4.1), however it is split. A frame is handed out whole, and in
//! place when it lies whole in the input; DATA is handed out as it comes. Judges lengths, padding and
//! whether a frame needs a stream; knows neither streams nor roles.

use std::ops::Range;

use super::error::ConnectionError;
use super::frame::{FrameHeader, HEADER_BYTES, Kind, flag};

/// What was found in the input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// All of the input was taken, and no frame is complete.
    Incomplete,
    /// The header of a frame that is not DATA: the payload comes next. A chance to refuse it before it is
    /// gathered.
    Header(FrameHeader),
    /// A whole frame that is not DATA.
    Frame(FrameHeader, Payload),
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
pub enum Payload {
    /// In the input.
    Input(Range<usize>),
    /// It straddled reads, and was gathered.
    Gathered(Vec<u8>),
}

impl Payload {
    /// The bytes; `input` is what was passed to [`FrameReader::read`].
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Payload::Input(range) => &input[range.clone()],
            Payload::Gathered(bytes) => bytes,
        }
    }
}

/// Finds frames. Holds memory only while one straddles reads.
#[derive(Debug)]
pub struct FrameReader {
    frame_bytes_max: u32,
    stage: Stage,
}

/// ```text
/// Header ──► Payload ──► Header
///    └─────► Data ─────────┘
/// ```
#[derive(Debug)]
enum Stage {
    /// In a header, of which that many bytes came.
    Header { bytes: [u8; HEADER_BYTES], have: u8 },
    /// In the payload of a frame that is not DATA.
    Payload { header: FrameHeader, gathered: Vec<u8> },
    /// In DATA, before its pad length.
    PadLength { left: u32 },
    /// In DATA: that many bytes of data, and of padding behind them, are to come.
    Data { data: u32, padding: u32 },
}

const START: Stage = Stage::Header { bytes: [0; HEADER_BYTES], have: 0 };

impl FrameReader {
    /// A reader at the start of a frame, that takes frames of at most so many bytes.
    pub fn new(frame_bytes_max: u32) -> FrameReader {
        FrameReader { frame_bytes_max, stage: START }
    }

    /// Whether nothing of a next frame was received, or only data: the peer is idle, not slow.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.stage, Stage::Header { have: 0, .. } | Stage::PadLength { .. } | Stage::Data { .. })
    }

    /// Bytes of a DATA frame, padding included, whose header was handed out and which were not.
    pub fn data_left(&self) -> u32 {
        match self.stage {
            Stage::PadLength { left } => left,
            Stage::Data { data, padding } => data + padding,
            Stage::Header { .. } | Stage::Payload { .. } => 0,
        }
    }

    /// Takes what was received up to the end of the next piece; how much that was, and the piece. Call again
    /// with what is left until it is [`Piece::Incomplete`].
    ///
    /// # Errors
    /// What [`FrameHeader::check`] refuses, and padding that fills its frame. The reader is of no use then.
    #[inline]
    pub fn read(&mut self, input: &[u8]) -> Result<(usize, Piece), ConnectionError> {
        match &mut self.stage {
            Stage::Header { have: 0, .. } => match input.first_chunk::<HEADER_BYTES>() {
                Some(bytes) => Ok((HEADER_BYTES, self.begin(FrameHeader::parse(bytes))?)),
                None => self.gather_header(input),
            },
            Stage::Header { .. } => self.gather_header(input),
            Stage::Payload { header, gathered } => {
                let wanted = header.length as usize - gathered.len();
                let header = *header;
                if gathered.is_empty() && input.len() >= wanted {
                    self.stage = START;
                    return Ok((wanted, Piece::Frame(header, Payload::Input(0..wanted))));
                }
                let taken = wanted.min(input.len());
                gathered.extend_from_slice(&input[..taken]);
                if taken < wanted {
                    return Ok((taken, Piece::Incomplete));
                }
                let gathered = std::mem::take(gathered);
                self.stage = START;
                Ok((taken, Piece::Frame(header, Payload::Gathered(gathered))))
            }
            Stage::PadLength { left } => {
                let Some(&padding) = input.first() else { return Ok((0, Piece::Incomplete)) };
                let (padding, rest) = (u32::from(padding), *left - 1);
                let data = rest.checked_sub(padding).ok_or(ConnectionError::PaddingTooLong)?;
                self.stage = Stage::Data { data, padding };
                let is_last = self.end_data();
                Ok((1, Piece::Data { data: 1..1, padding: 1, is_last }))
            }
            Stage::Data { data, padding } => {
                let taken = (*data as usize).min(input.len());
                *data -= taken as u32;
                let passed = if *data == 0 { (*padding as usize).min(input.len() - taken) } else { 0 };
                *padding -= passed as u32;
                let is_last = self.end_data();
                if taken + passed == 0 && !is_last {
                    return Ok((0, Piece::Incomplete));
                }
                Ok((taken + passed, Piece::Data { data: 0..taken, padding: passed as u32, is_last }))
            }
        }
    }

    fn gather_header(&mut self, input: &[u8]) -> Result<(usize, Piece), ConnectionError> {
        let Stage::Header { bytes, have } = &mut self.stage else { return Ok((0, Piece::Incomplete)) };
        let start = usize::from(*have);
        let taken = (HEADER_BYTES - start).min(input.len());
        bytes[start..start + taken].copy_from_slice(&input[..taken]);
        *have += taken as u8;
        if usize::from(*have) < HEADER_BYTES {
            return Ok((taken, Piece::Incomplete));
        }
        let header = FrameHeader::parse(bytes);
        Ok((taken, self.begin(header)?))
    }

    #[inline]
    fn begin(&mut self, header: FrameHeader) -> Result<Piece, ConnectionError> {
        header.check(self.frame_bytes_max)?;
        if header.kind != Kind::Data {
            self.stage = Stage::Payload { header, gathered: Vec::new() };
            return Ok(Piece::Header(header));
        }
        self.stage = if header.has(flag::PADDED) {
            Stage::PadLength { left: header.length }
        } else {
            Stage::Data { data: header.length, padding: 0 }
        };
        Ok(Piece::DataHeader(header))
    }

    fn end_data(&mut self) -> bool {
        let is_last = matches!(self.stage, Stage::Data { data: 0, padding: 0 });
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
                    Piece::Incomplete => {
                        assert_eq!(consumed, rest.len());
                        break;
                    }
                    Piece::Header(_) => {}
                    Piece::Frame(header, payload) => frames.push((header, payload.bytes(rest).to_vec())),
                    Piece::DataHeader(header) => (data, passed) = ((header, Vec::new()), 0),
                    Piece::Data { data: range, padding, is_last } => {
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
        assert_eq!(reader.read(b"\0\0\x41\x06\0\0\0\0\0"), Err(ConnectionError::FrameTooLong(Kind::Ping)));
        let mut reader = FrameReader::new(64);
        let (taken, piece) = reader.read(b"\0\0\x04\x05\0\0\0\0\x01").unwrap();
        assert!(taken == 9 && matches!(piece, Piece::Header(header) if header.kind == Kind::PushPromise));
        assert!(!reader.is_between_frames());
    }
}
