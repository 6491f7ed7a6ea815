//! Decompresses content as it arrives: gzip (RFC 1952), br (RFC 7932), zstd (RFC 8878). A piece is bounded,
//! so that little input that stands for much output costs memory only as it is read.

use std::io;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::{Buf, Bytes};
use flate2::{Decompress, FlushDecompress, Status as FlateStatus};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

use super::error::{ClientError, ClientErrorKind};
use crate::http::message::ResponseHead;

/// Longest piece.
const PIECE_BYTES: usize = 32 * 1024;

/// Largest window of zstd, 8 MiB: senders stay below it (RFC 9659), and it is memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Codings that are undone, one inside the other. Servers that compress what is compressed are a mistake of
/// layers; more would be an attack.
const CODINGS_MAX: usize = 2;

/// Undoes the codings of a response.
pub(super) struct Decoder {
    /// The outermost first.
    stages: Vec<Stage>,
}

struct Stage {
    coding: Coding,
    input: Bytes,
    /// More output may come without input.
    is_full: bool,
    /// The end of a member or frame was the last that came, or nothing has.
    is_complete: bool,
}

enum Coding {
    Gzip(Box<Decompress>),
    /// And whether its only stream has ended.
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>, bool),
    Zstd(ZstdDecoder<'static>),
}

impl Decoder {
    /// For this response; `None` if it has no coding, or one that is unknown here and left as it is.
    ///
    /// # Errors
    /// It has too many codings.
    pub(super) fn of(head: &ResponseHead) -> Result<Option<Self>, ClientError> {
        let values = head.fields_named("content-encoding");
        let names = values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii);
        let mut stages = Vec::new();
        for name in names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity")) {
            // Before it is made: each holds a table.
            if stages.len() == CODINGS_MAX {
                let text = "its content is compressed too often";
                return Err(ClientError::text(ClientErrorKind::Coding, text));
            }
            let Some(coding) = Coding::new(name).map_err(|error| refused(&error))? else { return Ok(None) };
            stages.push(Stage { coding, input: Bytes::new(), is_full: false, is_complete: true });
        }
        stages.reverse();
        Ok((!stages.is_empty()).then_some(Self { stages }))
    }

    /// Takes input, when [`next`](Self::next) has returned nothing.
    pub(super) fn take(&mut self, input: Bytes) {
        self.stages[0].input = input;
    }

    /// The next piece; empty when input is needed.
    ///
    /// # Errors
    /// It is malformed.
    pub(super) fn next(&mut self) -> Result<Bytes, ClientError> {
        let mut at = self.stages.len() - 1;
        loop {
            let piece = self.stages[at].next().map_err(|error| refused(&error))?;
            match (piece.is_empty(), at + 1 == self.stages.len()) {
                // What stands before it may have more.
                (true, _) if at > 0 => at -= 1,
                (true, _) | (false, true) => return Ok(piece),
                (false, false) => {
                    at += 1;
                    self.stages[at].input = piece;
                }
            }
        }
    }

    /// After the last input.
    ///
    /// # Errors
    /// It is incomplete.
    pub(super) fn end(self) -> Result<(), ClientError> {
        if self.stages.iter().all(|stage| stage.is_complete) {
            return Ok(());
        }
        Err(ClientError::text(ClientErrorKind::Coding, "its compressed content is incomplete"))
    }
}

fn refused(error: &io::Error) -> ClientError {
    ClientError::text(ClientErrorKind::Coding, format!("its content cannot be decompressed: {error}"))
}

impl Coding {
    fn new(name: &[u8]) -> io::Result<Option<Self>> {
        Ok(Some(match name {
            b if b.eq_ignore_ascii_case(b"gzip") || b.eq_ignore_ascii_case(b"x-gzip") => {
                Self::Gzip(Box::new(Decompress::new_gzip(15)))
            }
            b if b.eq_ignore_ascii_case(b"br") => {
                let alloc = StandardAlloc::default;
                Self::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())), false)
            }
            b if b.eq_ignore_ascii_case(b"zstd") => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                Self::Zstd(decoder)
            }
            _ => return Ok(None),
        }))
    }
}

impl Stage {
    /// The next piece of output; empty when input is needed.
    fn next(&mut self) -> io::Result<Bytes> {
        if self.input.is_empty() && !self.is_full {
            return Ok(Bytes::new());
        }
        // One for many members without content, of 20 bytes each.
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            if self.input.is_empty() && !self.is_full {
                return Ok(Bytes::new());
            }
            let (read, written) = self.step(&mut piece)?;
            self.input.advance(read);
            self.is_full = written == PIECE_BYTES;
            if written > 0 {
                piece.truncate(written);
                return Ok(piece.into());
            }
            if read == 0 {
                // Nothing moves: what is left of the input is not enough, or too much.
                let is_over = self.is_complete && !self.input.is_empty();
                return if is_over { Err(malformed()) } else { Ok(Bytes::new()) };
            }
        }
    }

    /// Decodes some; how much was read and written.
    fn step(&mut self, piece: &mut [u8]) -> io::Result<(usize, usize)> {
        match &mut self.coding {
            Coding::Gzip(decoder) => {
                if self.is_complete {
                    if self.input.is_empty() {
                        return Ok((0, 0));
                    }
                    // Members follow each other (RFC 1952 §2.2).
                    decoder.reset(true);
                }
                let (read, written) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(&self.input, piece, FlushDecompress::None);
                let status = status.map_err(io::Error::other)?;
                self.is_complete = status == FlateStatus::StreamEnd;
                Ok(((decoder.total_in() - read) as usize, (decoder.total_out() - written) as usize))
            }
            Coding::Brotli(decoder, is_over) => {
                if *is_over {
                    return Ok((0, 0));
                }
                let (mut left, mut read) = (self.input.len(), 0);
                let (mut room, mut written, mut total) = (piece.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut read,
                    &self.input,
                    &mut room,
                    &mut written,
                    piece,
                    &mut total,
                    decoder,
                );
                match result {
                    BrotliResult::ResultFailure => return Err(malformed()),
                    BrotliResult::ResultSuccess => (self.is_complete, *is_over) = (true, true),
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => self.is_complete = false,
                }
                Ok((read, written))
            }
            Coding::Zstd(decoder) => {
                let status = decoder.run_on_buffers(&self.input, piece)?;
                self.is_complete = status.remaining == 0;
                Ok((status.bytes_read, status.bytes_written))
            }
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is malformed")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn encoded(coding: &str, content: &[u8]) -> Vec<u8> {
        match coding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 19);
                encoder.write_all(content).unwrap();
                encoder.into_inner()
            }
            _ => zstd::encode_all(content, 3).unwrap(),
        }
    }

    fn decoder(codings: &[&str]) -> Decoder {
        let stages = codings.iter().rev().map(|name| Stage {
            coding: Coding::new(name.as_bytes()).unwrap().unwrap(),
            input: Bytes::new(),
            is_full: false,
            is_complete: true,
        });
        Decoder { stages: stages.collect() }
    }

    fn decoded(mut decoder: Decoder, input: &[u8], step: usize) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        for piece in input.chunks(step) {
            decoder.take(Bytes::copy_from_slice(piece));
            loop {
                let piece = decoder.next().map_err(|error| error.to_string())?;
                assert!(piece.len() <= PIECE_BYTES);
                if piece.is_empty() {
                    break;
                }
                all.extend_from_slice(&piece);
            }
        }
        decoder.end().map_err(|error| error.to_string())?;
        Ok(all)
    }

    #[test]
    fn every_coding_whole_in_bytes_and_cut() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| n.to_string().into_bytes()).collect();
        for coding in ["gzip", "br", "zstd"] {
            let whole = encoded(coding, &text);
            assert!(decoded(decoder(&[coding]), &whole, usize::MAX).unwrap() == text, "{coding}");
            assert!(decoded(decoder(&[coding]), &whole, 1000).unwrap() == text, "{coding}");
            let small = encoded(coding, b"hello");
            assert_eq!(decoded(decoder(&[coding]), &small, 1).unwrap(), b"hello", "{coding}");
            for cut in 1..small.len() {
                let result = decoded(decoder(&[coding]), &small[..cut], usize::MAX);
                assert!(result.is_err(), "{coding} of {cut} bytes: {result:?}");
            }
            assert!(decoded(decoder(&[coding]), b"this is not compressed at all", 5).is_err(), "{coding}");
            assert!(decoded(decoder(&[coding]), &[&small[..], b"more"].concat(), 5).is_err(), "{coding}");
            assert_eq!(decoded(decoder(&[coding]), b"", 1).unwrap(), b"", "{coding}");
        }
        let twice = encoded("br", &encoded("gzip", &text));
        assert!(decoded(decoder(&["gzip", "br"]), &twice, 100).unwrap() == text);
        let members = [encoded("gzip", b"a"), encoded("gzip", b"b")].concat();
        assert_eq!(decoded(decoder(&["gzip"]), &members, 3).unwrap(), b"ab");
        let frames = [encoded("zstd", b"a"), encoded("zstd", b"b")].concat();
        assert_eq!(decoded(decoder(&["zstd"]), &frames, 3).unwrap(), b"ab");
    }
}
