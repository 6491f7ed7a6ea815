//! Compresses responses as they are sent, for clients that accept it. For files see `handler::Files`, which
//! keeps compressed forms.

use std::io::{self, Write};
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::vary;
use crate::http::accept_encoding::{AcceptEncoding, Coding};
use crate::http::media_type::is_compressible;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Body, BodyError, BodyFrame, Context, Filter, Frame, Response, StreamBody};

/// Levels at which a core compresses while it serves: each some tens of megabytes a second and more. Higher
/// ones cost several times that for a few per cent.
const BROTLI_QUALITY: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 19;
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 5;

/// Bodies up to this size are compressed at once and have a length; longer ones are sent piece by piece, each
/// of this size, so that other connections run in between.
const PIECE_BYTES: usize = 32 * 1024;

/// Which responses are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressOptions {
    /// Smallest body that is compressed, in bytes. Default 1 KiB: a smaller body fits one packet either way.
    pub min_bytes: usize,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self { min_bytes: 1024 }
    }
}

/// Compresses responses whose type is text (in the wide sense: JSON, scripts, SVG), with zstd, brotli or
/// gzip by the client's weights; at equal weights in this order, which is that of speed.
///
/// Not compressed are responses that have a `Content-Encoding`, are partial or empty, are smaller than
/// [`min_bytes`](Self::min_bytes), or have `Cache-Control: no-transform`. A strong `ETag` becomes weak. A
/// stream is flushed with each of its pieces, so that each piece arrives.
///
/// Do not use it where a response has both a secret and input of the client: the length would reveal the
/// secret (BREACH).
#[derive(Clone, Debug, Default)]
pub struct Compress {
    options: CompressOptions,
}

impl Compress {
    /// With the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// With these options.
    pub fn with_options(options: CompressOptions) -> Self {
        Self { options }
    }

    /// Smallest body that is compressed. Default 1 KiB: a smaller body fits one packet either way.
    pub fn min_bytes(self, min_bytes: usize) -> Self {
        Self { options: CompressOptions { min_bytes } }
    }

    fn is_eligible(&self, context: &Context, response: &Response) -> bool {
        let large = match response.body() {
            Body::Bytes(bytes) => bytes.len() >= self.options.min_bytes,
            Body::Stream(stream) => {
                stream.length().is_none_or(|length| length >= self.options.min_bytes as u64)
            }
            Body::Empty | Body::File(..) | Body::Tunnel(_) => false,
        };
        let type_is_text = || {
            let value = response.field_value("Content-Type");
            value.and_then(|value| std::str::from_utf8(value).ok()).is_some_and(is_compressible)
        };
        let keeps_form = || {
            let directives =
                response.field_values("Cache-Control").flat_map(|value| value.split(|&b| b == b','));
            directives.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(b"no-transform"))
        };
        large
            && context.method() != Method::Connect
            && response.status() != Status::PARTIAL_CONTENT
            && !response.status().forbids_body()
            && response.field_value("Content-Encoding").is_none()
            && type_is_text()
            && !keeps_form()
    }
}

impl Filter for Compress {
    fn after(&self, context: &Context, response: &mut Response) {
        if !self.is_eligible(context, response) {
            return;
        }
        vary::add(response, "Accept-Encoding");
        let accepted = AcceptEncoding::parse(context.head().fields_named("accept-encoding"));
        let coding = accepted.best([Coding::Zstd, Coding::Brotli, Coding::Gzip]);
        let Ok(encoder) = StreamEncoder::new(coding) else { return };
        let body = match response.take_body() {
            Body::Bytes(bytes) if bytes.len() <= PIECE_BYTES => match encoder.whole(&bytes) {
                Ok(coded) if coded.len() < bytes.len() => Body::Bytes(coded.into()),
                // No savings, or an error: sent as it was.
                _ => return response.set_body(Body::Bytes(bytes)),
            },
            Body::Bytes(bytes) => Coded::body(Box::new(Pieces(bytes)), encoder, false),
            Body::Stream(stream) => Coded::body(stream, encoder, true),
            other => return response.set_body(other),
        };
        response.set_body(body);
        response.set_field("Content-Encoding", coding.token()).expect("a token");
        response.remove_field("Accept-Ranges");
        weaken_etag(response);
    }
}

/// The bytes are no longer those that a strong tag stands for (RFC 9110 §8.8.3.3).
fn weaken_etag(response: &mut Response) {
    if let Some(tag) = response.field_value("ETag").filter(|tag| tag.starts_with(b"\"")) {
        let weak = [b"W/", tag].concat();
        response.set_field("ETag", weak).expect("it was a valid value");
    }
}

enum StreamEncoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
}

impl StreamEncoder {
    fn new(coding: Coding) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Coding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?),
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(out, 4096, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
                Self::Brotli(Box::new(writer))
            }
            Coding::Identity => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
        }
    }

    /// The output so far; with `flush`, so that a reader can decode all that was written.
    fn take(&mut self, flush: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) if flush => encoder.flush()?,
            Self::Zstd(encoder) if flush => encoder.flush()?,
            Self::Brotli(encoder) if flush => encoder.flush()?,
            _ => {}
        }
        Ok(std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
        }))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
        }
    }

    fn whole(mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.write(bytes)?;
        self.finish()
    }
}

/// A long body in memory, in pieces.
struct Pieces(Bytes);

impl StreamBody for Pieces {
    fn poll_frame(&mut self, _cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        let piece = self.0.split_to(PIECE_BYTES.min(self.0.len()));
        Poll::Ready((!piece.is_empty()).then_some(Ok(Frame::Data(piece))))
    }
}

/// A body that is coded as it is pulled.
struct Coded {
    stream: Box<dyn StreamBody>,
    /// `None` after the end.
    encoder: Option<StreamEncoder>,
    /// Whether each piece is flushed.
    flushes: bool,
    /// Bytes coded since other tasks last ran.
    coded: usize,
    /// The trailers of the coded body, sent after the end of the coding.
    trailers: Option<Frame>,
}

impl Coded {
    fn body(stream: Box<dyn StreamBody>, encoder: StreamEncoder, flushes: bool) -> Body {
        Body::Stream(Box::new(Self { stream, encoder: Some(encoder), flushes, coded: 0, trailers: None }))
    }

    /// The coded form of one piece, or of the end; may be empty.
    fn code(&mut self, piece: Option<&[u8]>) -> io::Result<Vec<u8>> {
        match (piece, &mut self.encoder) {
            (Some(piece), Some(encoder)) => {
                encoder.write(piece)?;
                encoder.take(self.flushes)
            }
            (None, encoder) => encoder.take().map_or(Ok(Vec::new()), StreamEncoder::finish),
            (Some(_), None) => Ok(Vec::new()),
        }
    }
}

impl StreamBody for Coded {
    fn poll_frame(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        while self.encoder.is_some() {
            if self.coded >= PIECE_BYTES {
                self.coded = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let piece = match ready!(self.stream.poll_frame(cx)) {
                Some(Ok(Frame::Data(piece))) => Some(piece),
                Some(Ok(trailers @ Frame::Trailers(_))) => {
                    self.trailers = Some(trailers);
                    None
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => None,
            };
            self.coded += piece.as_ref().map_or(0, Bytes::len);
            match self.code(piece.as_deref()) {
                Ok(coded) if coded.is_empty() => {}
                Ok(coded) => return Poll::Ready(Some(Ok(Frame::Data(coded.into())))),
                // Out of memory: the client must see that the body is incomplete.
                Err(_) => return Poll::Ready(Some(Err(BodyError::Disconnected))),
            }
        }
        Poll::Ready(self.trailers.take().map(Ok))
    }

    fn poll_work(&mut self, cx: &mut TaskContext<'_>) {
        self.stream.poll_work(cx);
    }
}
