//! Request heads out of a byte stream (RFC 9112 §2 to §6): strict, and with the same result however the bytes
//! are split. Knows no sockets and no clock; the body is decoded by the body decoder.
//!
//! A head that lies completely in one read takes the fast path: httparse parses it in place, the checks that
//! httparse omits are added, and one copy moves it into the caller's [`RequestHead`]. A head that straddles
//! reads is gathered first. Any failure is repeated by the strict `scan`, which determines the error; a head
//! that it accepts has an unusual request line (a target to be encoded, a later minor version) and is read
//! again with the usual one.

use std::mem::MaybeUninit;

use memchr::memmem;

use super::facts::{Gathered, KnownHost};
use super::salvage::salvage;
use super::scan::{HeadExtent, scan, split_at_space};
use super::straddling::{
    EMPTY_LINES_MAX, LineSpans, Straddling, TABLE_FIELDS, empty_lines_length, range_within,
};
use crate::http::message::head::Span;
use crate::http::message::{HeadLimits, RequestError, RequestHead, Version};
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::http::target;

/// The state of a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadProgress {
    /// All of the input was taken and the head is incomplete.
    Incomplete,
    /// The head is complete and filled in.
    Complete {
        /// How many bytes of this input belong to it; the rest is the body or the next request.
        consumed: usize,
    },
}

/// Decodes the request heads of one connection.
///
/// Holds no memory unless a head straddles reads. After an error its state is reset (but see
/// [`RequestError::Http2Preface`]); the connection must be answered and closed.
#[derive(Debug, Default)]
pub struct RequestDecoder {
    // INVARIANT: starts at the start of a request, the ignored empty lines before it included.
    partial: Straddling,
    known_host: KnownHost,
}

impl RequestDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> RequestDecoder {
        RequestDecoder::default()
    }

    /// Whether nothing of a next head has been received: the peer is idle, not slow. Empty lines before a
    /// request are not counted.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.partial.as_slice().iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Fills `head` with what was received of an incomplete head, as after an error.
    pub fn salvage(&self, limits: &HeadLimits, head: &mut RequestHead) {
        salvage(self.partial.as_slice(), limits, head);
    }

    /// The bytes of a head received before the last input: after [`RequestError::Http2Preface`], they precede
    /// that input.
    pub fn take_partial(&mut self) -> Vec<u8> {
        self.partial.take()
    }

    /// Takes received bytes. Pass the same limits for one head.
    ///
    /// On `Complete`, `head` is filled. After an error it has what could be read: method, target, and the
    /// well-formed fields before the error, for logs and for the form of the response alone. Otherwise its
    /// content is undefined.
    ///
    /// # Errors
    /// The first error in the order of the bytes; or, when every line is well-formed, the first contradiction
    /// between fields. Answer with its status, then close.
    #[inline]
    pub fn handle_bytes(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<HeadProgress, RequestError> {
        let bytes_max = usize::from(limits.head_bytes_max) + EMPTY_LINES_MAX * 2;
        let known_host = &mut self.known_host;
        let length = self.partial.handle_bytes(input, bytes_max, |bytes| {
            let decoded = decode(bytes, limits, head, known_host);
            if decoded.is_err() {
                salvage(bytes, limits, head);
            }
            decoded
        });
        match length {
            Ok(Some(consumed)) => Ok(HeadProgress::Complete { consumed }),
            Ok(None) => Ok(HeadProgress::Incomplete),
            Err(RequestError::Http2Preface) => Err(RequestError::Http2Preface),
            Err(error) => {
                self.partial.clear();
                Err(error)
            }
        }
    }
}

/// Fills `head` from the request at the start of `bytes` and returns its length, ignored empty lines
/// included; `None` if it is well-formed so far and incomplete.
#[inline]
fn decode(
    bytes: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
    known_host: &mut KnownHost,
) -> Result<Option<usize>, RequestError> {
    let skipped = empty_lines_length(bytes);
    let view = &bytes[skipped..];
    let view = &view[..view.len().min(usize::from(limits.head_bytes_max))];
    let doubt = match decode_usual(view, limits, head, known_host) {
        Ok(length) => return Ok(Some(skipped + length)),
        Err(doubt) => doubt,
    };
    match scan(bytes, limits)? {
        HeadExtent::Part => Ok(None),
        HeadExtent::Whole => {
            decode_unusual(view, limits, head, doubt, known_host).map(|length| Some(skipped + length))
        }
    }
}

/// Fills `head` from a request at the start of `view`, and returns its length. An error is preliminary: the
/// head may be incomplete, malformed or unusual.
#[inline]
fn decode_usual(
    view: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
    known_host: &mut KnownHost,
) -> Result<usize, RequestError> {
    let mut table = [const { MaybeUninit::uninit() }; TABLE_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(view, &mut table[..usize::from(limits.fields_max)]);
    let Ok(httparse::Status::Complete(length)) = parsed else { return Err(RequestError::Disagreement) };
    fill(head, &view[..length], &request, limits, known_host).inspect_err(|_| head.clear())?;
    Ok(length)
}

/// As [`decode_usual`], for a whole head that `scan` accepts: with the target in its normal form (see
/// [`target::normalize`]), and a later minor version as 1.1.
#[cold]
fn decode_unusual(
    view: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
    doubt: RequestError,
    known_host: &mut KnownHost,
) -> Result<usize, RequestError> {
    let line = &view[..memmem::find(view, b"\r\n").ok_or(doubt)?];
    let length = memmem::find(view, b"\r\n\r\n").ok_or(doubt)? + 4;
    let (token, rest) = split_at_space(line);
    let (target, version) = split_at_space(rest.ok_or(doubt)?);
    let (target, _) = target::normalize(Method::from_token(token), target)?;
    let version = if version == Some(b"HTTP/1.0") { &b" HTTP/1.0"[..] } else { b" HTTP/1.1" };
    let usual_line = [token, b" ", &target, version].concat();
    if usual_line == line {
        return Err(doubt);
    }
    // The limit holds for the normal form, so that a target has one length however it was sent.
    if usual_line.len() > usize::from(limits.request_line_bytes_max) {
        return Err(RequestError::RequestLineTooLong);
    }
    let usual = [&usual_line, &view[line.len()..length]].concat();
    // Positions within a head have 16 bits.
    if usual.len() > usize::from(u16::MAX) {
        return Err(RequestError::HeadTooLong);
    }
    decode_usual(&usual, limits, head, known_host)?;
    Ok(length)
}

/// Moves a head accepted by httparse into `head`, and adds the checks that httparse omits: line ends, target
/// characters, lengths, and the semantics of fields. An error is preliminary: if a line is malformed, `scan`
/// determines the first error.
#[inline]
fn fill(
    head: &mut RequestHead,
    bytes: &[u8],
    request: &httparse::Request<'_, '_>,
    limits: &HeadLimits,
    known_host: &mut KnownHost,
) -> Result<(), RequestError> {
    let (Some(token), Some(path), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(RequestError::Disagreement);
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let method = Method::from_token(token.as_bytes());
    let parts = target::parse(method, path.as_bytes())?;

    let line_length = token.len() + " ".len() + path.len() + " HTTP/1.1".len();
    let fits = token.len() <= METHOD_BYTES_MAX && line_length <= usize::from(limits.request_line_bytes_max);
    // httparse skips any number of leading empty lines.
    let is_first = range_within(bytes, token.as_bytes()).start == 0;
    if !fits || !is_first || !bytes.ends_with(b"\r\n\r\n") {
        return Err(RequestError::Disagreement);
    }
    head.fill(bytes, method, token.len(), path.as_bytes(), &parts)?;

    let mut spans = LineSpans::new(bytes);
    head.set_fields(request.headers.iter().map(|field| spans.find(field)));
    if !spans.have_crs() {
        return Err(RequestError::Disagreement);
    }
    let mut gathered = Gathered::with_known_host(known_host.as_slice());
    for field in request.headers.iter() {
        gathered.handle_field(field.name.as_bytes(), field.value)?;
    }
    let facts = gathered.finish(method, parts.form, version)?;
    let host = gathered.host.map(|host| range_within(bytes, host));
    if gathered.is_host_new
        && let Some(host) = &host
    {
        known_host.remember(&bytes[host.clone()]);
    }
    head.finish(version, host.map(Span::new), facts);
    Ok(())
}
