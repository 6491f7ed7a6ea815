//! Request heads out of a byte stream (RFC 9112 §2 to §6): strict, and with the same result however the bytes
//! are split. Knows no sockets and no clock; the body is decoded by the body decoder.
//!
//! A head that lies completely in one read takes the fast path: httparse parses it in place, the checks that
//! httparse omits are added, and one copy moves it into the caller's [`RequestHead`]. A head that straddles
//! reads is gathered first. Any failure is repeated by the strict `scan`, which determines the error.

use std::mem::MaybeUninit;

use super::facts::Gathered;
use super::scan::{HeadExtent, scan};
use super::straddling::{LineSpans, Straddling, TABLE_FIELDS, range_within};
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
    // INVARIANT: starts at the start of a request, its ignored empty line included.
    partial: Straddling,
}

impl RequestDecoder {
    /// A decoder at the start of a connection.
    pub fn new() -> RequestDecoder {
        RequestDecoder::default()
    }

    /// Whether nothing of a next head has been received: the peer is idle, not slow. The one empty line that
    /// may precede a request is not counted.
    pub fn is_idle(&self) -> bool {
        matches!(self.partial.as_slice(), [] | [b'\r'] | [b'\r', b'\n'])
    }

    /// The bytes of a head received before the last input: after [`RequestError::Http2Preface`], they precede
    /// that input.
    pub fn take_partial(&mut self) -> Vec<u8> {
        self.partial.take()
    }

    /// Takes received bytes. Pass the same limits for one head.
    ///
    /// On `Complete`, `head` is filled; otherwise its content is undefined.
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
        let bytes_max = usize::from(limits.head_bytes_max) + EMPTY_LINE.len();
        let length = self.partial.handle_bytes(input, bytes_max, |bytes| decode(bytes, limits, head));
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

const EMPTY_LINE: &[u8] = b"\r\n";

/// Fills `head` from the request at the start of `bytes` and returns its length, an ignored empty line
/// included; `None` if it is well-formed so far and incomplete.
#[inline]
fn decode(bytes: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<Option<usize>, RequestError> {
    let skipped = if bytes.starts_with(EMPTY_LINE) { EMPTY_LINE.len() } else { 0 };
    let view = &bytes[skipped..];
    let view = &view[..view.len().min(usize::from(limits.head_bytes_max))];

    let mut table = [const { MaybeUninit::uninit() }; TABLE_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(view, &mut table[..usize::from(limits.fields_max)]);
    let doubt = match parsed {
        Ok(httparse::Status::Complete(length)) => match fill(head, &view[..length], &request, limits) {
            Ok(()) => return Ok(Some(skipped + length)),
            Err(doubt) => {
                head.clear();
                doubt
            }
        },
        Ok(httparse::Status::Partial) | Err(_) => RequestError::Disagreement,
    };
    match scan(bytes, limits)? {
        HeadExtent::Part => Ok(None),
        HeadExtent::Whole => Err(doubt),
    }
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
    head.fill(bytes, method, token.len(), &parts);

    let mut spans = LineSpans::new(bytes);
    head.set_fields(request.headers.iter().map(|field| spans.find(field)));
    if !spans.have_crs() {
        return Err(RequestError::Disagreement);
    }
    let mut gathered = Gathered::default();
    for field in request.headers.iter() {
        gathered.handle_field(field.name.as_bytes(), field.value)?;
    }
    let facts = gathered.finish(method, version)?;
    let host = gathered.host.map(|host| Span::new(range_within(bytes, host)));
    head.finish(version, host, facts);
    Ok(())
}
