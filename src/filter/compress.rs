//! Compresses responses as they are sent, for clients that accept it. For files see `handler::Files`, which
//! keeps compressed forms.

use std::cell::Cell;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Bytes;
use flate2::write::GzEncoder;

use super::vary;
use crate::http::accept_encoding::{AcceptEncoding, Coding};
use crate::http::media_type::is_compressible;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::service::{Body, BodyError, BodyFrame, Context, Filter, Frame, Response, StreamBody};

/// How an encoder trades time and memory for size.
struct Effort {
    brotli_quality: u32,
    zstd_level: i32,
    /// Of brotli and zstd; gzip's is 15 and its memory small.
    window_bits: u32,
}

/// For bodies that are compressed at once: some tens of megabytes a second and more. Higher levels cost
/// several times that for a few per cent.
const EFFORT_WHOLE: Effort = Effort { brotli_quality: 4, zstd_level: 3, window_bits: 19 };

/// For bodies that are compressed as they are sent, whose encoders live as long as the client takes to
/// receive them. With both windows full an encoder holds 0.45 MiB (gzip, zstd) or 1 MiB (brotli), where that
/// of the other effort holds 1.6 and 2.5 MiB; the results are 5 % larger, brotli's 10 %.
const EFFORT_STREAM: Effort = Effort { brotli_quality: 3, zstd_level: 1, window_bits: 16 };

const GZIP_LEVEL: u32 = 5;

/// Bodies up to this size are compressed at once and have a length; longer ones are sent piece by piece, each
/// of this size, so that other connections run in between.
const PIECE_BYTES: usize = 32 * 1024;

thread_local! {
    /// Bodies of this core that are compressed as they are sent.
    static STREAMS: Cell<usize> = const { Cell::new(0) };
}

/// A place among the bodies of this core that are compressed as they are sent.
struct StreamPermit(PhantomData<*const ()>);

impl StreamPermit {
    fn take(streams_max: usize) -> Option<StreamPermit> {
        let streams = STREAMS.get();
        (streams < streams_max).then(|| {
            STREAMS.set(streams + 1);
            StreamPermit(PhantomData)
        })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        STREAMS.set(STREAMS.get() - 1);
    }
}

/// Which responses are compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressOptions {
    /// Smallest body that is compressed, in bytes. Default 1 KiB: a smaller body fits one packet either way.
    pub min_bytes: usize,
    /// Bodies that one core compresses as it sends them, at the same time: streams, and bodies over 32 KiB.
    /// Further ones are sent uncompressed. Default 64, which hold 64 MiB at the most: clients that receive
    /// slowly, or not at all, would otherwise decide how much memory encoders hold.
    pub streams_max: usize,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self { min_bytes: 1024, streams_max: 64 }
    }
}

/// Compresses responses whose type is text (in the wide sense: JSON, scripts, SVG), with zstd, brotli or
/// gzip by the client's weights; at equal weights in this order, which is that of speed.
///
/// Not compressed are responses that have a `Content-Encoding`, are partial or empty, are smaller than
/// [`min_bytes`](Self::min_bytes), or have `Cache-Control: no-transform`. A strong `ETag` becomes weak. A
/// stream is flushed with each of its pieces, so that each piece arrives. Nothing is compressed that cannot
/// be sent yet, and a core compresses at most [`streams_max`](CompressOptions::streams_max) long bodies at a
/// time.
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
        Self { options: CompressOptions { min_bytes, ..self.options } }
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
        large
            && context.method() != Method::Connect
            && response.status() != Status::PARTIAL_CONTENT
            && !response.status().forbids_body()
            && response.field_value("Content-Encoding").is_none()
            && type_is_text()
            && !keeps_form(response)
            // Its form is chosen when it is sent.
            && response.problem().is_none()
    }
}

impl Filter for Compress {
    fn after(&self, context: &Context, response: &mut Response) {
        if response.status() == Status::NOT_MODIFIED {
            return update_not_modified(context, response);
        }
        if !self.is_eligible(context, response) {
            return;
        }
        vary::add(response, "Accept-Encoding");
        let accepted = AcceptEncoding::parse(context.head().fields_named("accept-encoding"));
        let coding = accepted.best([Coding::Zstd, Coding::Brotli, Coding::Gzip]);
        if coding == Coding::Identity {
            return;
        }
        let is_whole = matches!(response.body(), Body::Bytes(bytes) if bytes.len() <= PIECE_BYTES);
        let permit = if is_whole { None } else { StreamPermit::take(self.options.streams_max) };
        let body = match (response.take_body(), permit) {
            (Body::Bytes(bytes), None) if is_whole => match StreamEncoder::whole(coding, &bytes) {
                Ok(coded) if coded.len() < bytes.len() => Body::Bytes(coded.into()),
                // No savings, or an error: sent as it was.
                _ => return response.set_body(Body::Bytes(bytes)),
            },
            (Body::Bytes(bytes), Some(permit)) => {
                Coded::body(Box::new(Pieces(bytes)), coding, permit, Flush::AtEnd)
            }
            (Body::Stream(stream), Some(permit)) => Coded::body(stream, coding, permit, Flush::EachPiece),
            (other, _) => return response.set_body(other),
        };
        response.set_body(body);
        response.set_field("Content-Encoding", coding.token()).expect("a token");
        response.remove_field("Accept-Ranges");
        weaken_etag(response);
    }
}

/// A 304 has the fields of the 200 that it stands for (RFC 9110 §15.4.5), which would have been compressed:
/// `Vary`, and the weak tag. A client that names the strong tag alone has the response without compression.
fn update_not_modified(context: &Context, response: &mut Response) {
    let has_form = response.field_value("Content-Encoding").is_some();
    let is_text = response
        .field_value("Content-Type")
        .is_none_or(|value| std::str::from_utf8(value).is_ok_and(is_compressible));
    if has_form || keeps_form(response) || !is_text {
        return;
    }
    vary::add(response, "Accept-Encoding");
    let Some(tag) = response.field_value("ETag").filter(|tag| tag.starts_with(b"\"")) else { return };
    let head = context.head();
    let members = || head.fields_named("if-none-match").flat_map(|value| value.split(|&byte| byte == b','));
    let names_strong = members().any(|member| member.trim_ascii() == tag);
    let names_weak = members().any(|member| member.trim_ascii().strip_prefix(b"W/") == Some(tag));
    let accepted = AcceptEncoding::parse(head.fields_named("accept-encoding"));
    let is_coded = accepted.best([Coding::Zstd, Coding::Brotli, Coding::Gzip]) != Coding::Identity;
    if names_weak || is_coded && !names_strong {
        weaken_etag(response);
    }
}

/// Whether the response may not be transformed (RFC 9111 §5.2.2.6).
fn keeps_form(response: &Response) -> bool {
    let directives = response.field_values("Cache-Control").flat_map(|value| value.split(|&b| b == b','));
    directives.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(b"no-transform"))
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
    fn new(coding: Coding, effort: &Effort) -> io::Result<Self> {
        let out = Vec::new();
        Ok(match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, effort.zstd_level)?;
                encoder.window_log(effort.window_bits)?;
                Self::Zstd(encoder)
            }
            Coding::Brotli => {
                let Effort { brotli_quality, window_bits, .. } = *effort;
                Self::Brotli(Box::new(brotli::CompressorWriter::new(out, 4096, brotli_quality, window_bits)))
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

    fn whole(coding: Coding, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut encoder = Self::new(coding, &EFFORT_WHOLE)?;
        encoder.write(bytes)?;
        encoder.finish()
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

/// When coded data is complete up to what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flush {
    EachPiece,
    AtEnd,
}

/// The encoder of a body, over the time that it is sent.
enum BodyCoder {
    /// Nothing was asked for yet: there is no encoder.
    Ready(Coding, StreamPermit),
    Codes(Box<StreamEncoder>, StreamPermit),
    /// The end of the coding was handed out.
    Ended,
}

/// A body that is coded as it is pulled.
struct Coded {
    stream: Box<dyn StreamBody>,
    coder: BodyCoder,
    flush: Flush,
    /// Bytes coded since other tasks last ran.
    coded: usize,
    /// The trailers of the coded body, sent after the end of the coding.
    trailers: Option<Frame>,
}

impl Coded {
    fn body(stream: Box<dyn StreamBody>, coding: Coding, permit: StreamPermit, flush: Flush) -> Body {
        let coder = BodyCoder::Ready(coding, permit);
        Body::Stream(Box::new(Self { stream, coder, flush, coded: 0, trailers: None }))
    }

    /// The coded form of one piece, or of the end; may be empty.
    fn code(&mut self, piece: Option<&[u8]>) -> io::Result<Vec<u8>> {
        let (mut encoder, permit) = match std::mem::replace(&mut self.coder, BodyCoder::Ended) {
            BodyCoder::Ready(coding, permit) => {
                (Box::new(StreamEncoder::new(coding, &EFFORT_STREAM)?), permit)
            }
            BodyCoder::Codes(encoder, permit) => (encoder, permit),
            BodyCoder::Ended => return Ok(Vec::new()),
        };
        let Some(piece) = piece else { return encoder.finish() };
        encoder.write(piece)?;
        let coded = encoder.take(self.flush == Flush::EachPiece)?;
        self.coder = BodyCoder::Codes(encoder, permit);
        Ok(coded)
    }
}

impl StreamBody for Coded {
    fn poll_frame(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
        while !matches!(self.coder, BodyCoder::Ended) {
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

    fn is_at_end(&self) -> bool {
        matches!(self.coder, BodyCoder::Ended)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;
    use crate::http::h1::RequestDecoder;
    use crate::http::message::HeadLimits;

    /// Pieces without end, which counts what was pulled.
    struct Endless(Rc<Cell<usize>>);

    impl StreamBody for Endless {
        fn poll_frame(&mut self, _: &mut TaskContext<'_>) -> Poll<Option<BodyFrame>> {
            self.0.set(self.0.get() + 1);
            Poll::Ready(Some(Ok(Frame::Data(Bytes::from_static(&[b'x'; 1000])))))
        }
    }

    fn coded(body: Body, coding: &str, filter: &Compress) -> Response {
        let mut context = Context::take();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n");
        let (mut decoder, limits) = (RequestDecoder::new(), HeadLimits::default());
        decoder.handle_bytes(head.as_bytes(), &limits, context.head_mut()).unwrap();
        let mut response = Response::new(Status::OK).with_body(body);
        response.set_field("Content-Type", "text/plain").unwrap();
        filter.after(&context, &mut response);
        response
    }

    fn stream_of(mut response: Response) -> Box<dyn StreamBody> {
        match response.take_body() {
            Body::Stream(stream) => stream,
            _ => panic!("a stream"),
        }
    }

    fn endless(pulled: &Rc<Cell<usize>>) -> Body {
        Body::Stream(Box::new(Endless(pulled.clone())))
    }

    fn next(stream: &mut dyn StreamBody) -> Option<Frame> {
        match stream.poll_frame(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Ready(frame) => frame.map(|frame| frame.unwrap()),
            Poll::Pending => next(stream),
        }
    }

    /// Clients that receive nothing hold no encoders, and those that receive slowly a bounded number.
    #[test]
    fn a_core_has_so_many_encoders() {
        let pulled = Rc::new(Cell::new(0));
        let filter = Compress::new();
        let coding = |response: &Response| response.field_value("Content-Encoding").map(<[u8]>::to_vec);
        for name in ["gzip", "br", "zstd"] {
            let mut responses: Vec<Response> =
                (0..100).map(|_| coded(endless(&pulled), name, &filter)).collect();
            assert_eq!(pulled.replace(0), 0, "nothing is pulled before it is asked for");
            let is_coded =
                |response: &&Response| coding(response).is_some_and(|value| value == name.as_bytes());
            assert_eq!(responses.iter().filter(is_coded).count(), CompressOptions::default().streams_max);
            assert_eq!(STREAMS.get(), CompressOptions::default().streams_max);
            assert!(responses.iter().all(|response| response.field_value("Vary").is_some()));
            // What is small is compressed at any time.
            let small = coded(Body::Bytes(vec![b'x'; 5000].into()), name, &filter);
            assert_eq!(coding(&small).unwrap(), name.as_bytes());
            // What is large and not compressed is whole.
            let large = coded(Body::Bytes(vec![b'x'; 50_000].into()), name, &filter);
            assert!(coding(&large).is_none());
            assert!(matches!(large.body(), Body::Bytes(bytes) if bytes.len() == 50_000));
            // The end of one makes room for another.
            responses.swap_remove(0);
            let another = coded(endless(&pulled), name, &filter);
            assert!(coding(&another).is_some());
            drop((responses, another));
            assert_eq!(STREAMS.get(), 0);
        }
    }

    /// What is coded as it is sent is what was written, piece by piece; the end needs no window once the
    /// coding has ended, and an encoder that ended counts no more.
    #[test]
    fn long_bodies_are_coded_in_pieces() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_string().into_bytes()).collect();
        for name in ["gzip", "br", "zstd"] {
            let mut stream = stream_of(coded(Body::Bytes(text.clone().into()), name, &Compress::new()));
            let mut all = Vec::new();
            while let Some(Frame::Data(piece)) = next(&mut *stream) {
                all.extend_from_slice(&piece);
            }
            assert!(stream.is_at_end() && STREAMS.get() == 0);
            let mut plain = Vec::new();
            match name {
                "gzip" => drop(flate2::read::GzDecoder::new(&all[..]).read_to_end(&mut plain).unwrap()),
                "br" => drop(brotli::Decompressor::new(&all[..], 4096).read_to_end(&mut plain).unwrap()),
                _ => plain = zstd::stream::decode_all(&all[..]).unwrap(),
            }
            assert!(plain == text, "{name}");
            assert!(all.len() * 2 < text.len(), "{name}: {} of {}", all.len(), text.len());
        }
    }
}
