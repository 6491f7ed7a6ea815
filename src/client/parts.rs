//! What a request consists of. Every part is checked as it is added: nothing of a caller reaches a connection
//! unchecked.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;

use super::error::{ClientError, ClientErrorKind};
use super::options::ClientOptions;
use super::url::Url;
use crate::http::h1::reserved_field;
use crate::http::message::{FieldError, push_field};
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::service::{BodyError, BodyFrame, Frame, RequestBody, StreamBody};

/// Fields that are for one origin, and that HTTP/2 keeps out of its tables.
pub(super) const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A request.
pub(super) struct RequestParts {
    pub(super) method: String,
    pub(super) url: Url,
    /// Field lines, each with its CRLF.
    pub(super) fields: Vec<u8>,
    /// Those of [`SECRET`].
    pub(super) secret_fields: Vec<u8>,
    pub(super) body: ClientBody,
    pub(super) timeout: Option<Duration>,
    pub(super) whole_bytes_max: usize,
    pub(super) redirects_max: u32,
    pub(super) expects_continue: bool,
    pub(super) takes_trailers: bool,
}

/// The content of a request: bytes and text, which can be sent again, a request's own body, or a stream.
pub struct ClientBody(pub(super) Content);

pub(super) enum Content {
    Bytes(Bytes),
    /// And why a stream of the caller's failed, once it has.
    Stream(RequestBody, StreamFailure),
}

pub(super) type StreamFailure = Rc<RefCell<Option<String>>>;

/// A stream of the caller's as a body.
struct Pieces<S> {
    stream: Pin<Box<S>>,
    failure: StreamFailure,
}

impl<S, B, E> StreamBody for Pieces<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
    E: fmt::Display,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<BodyFrame>> {
        self.stream.as_mut().poll_next(cx).map(|piece| match piece? {
            Ok(piece) => Some(Ok(Frame::Data(piece.into()))),
            Err(error) => {
                self.failure.replace(Some(error.to_string()));
                Some(Err(BodyError::Disconnected))
            }
        })
    }
}

impl ClientBody {
    /// No content.
    pub fn empty() -> Self {
        Self(Content::Bytes(Bytes::new()))
    }

    /// The pieces of a stream, pulled as fast as the server takes them. Its length is not known, so that
    /// HTTP/1.1 sends chunks. It is sent once: after a redirect that repeats it the request fails.
    pub fn stream<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: fmt::Display,
    {
        let failure = StreamFailure::default();
        let pieces = Pieces { stream: Box::pin(stream), failure: failure.clone() };
        Self(Content::Stream(RequestBody::from_stream(pieces), failure))
    }

    /// Frames that are pulled, trailers included; with a length if it has one.
    pub fn frames(frames: impl StreamBody + 'static) -> Self {
        RequestBody::from_stream(frames).into()
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Bytes(bytes) => write!(f, "ClientBody({} bytes)", bytes.len()),
            Content::Stream(..) => f.write_str("ClientBody(stream)"),
        }
    }
}

impl From<Bytes> for ClientBody {
    fn from(bytes: Bytes) -> Self {
        Self(Content::Bytes(bytes))
    }
}

impl From<Vec<u8>> for ClientBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Content::Bytes(bytes.into()))
    }
}

impl From<String> for ClientBody {
    fn from(text: String) -> Self {
        Self(Content::Bytes(text.into()))
    }
}

impl From<&'static str> for ClientBody {
    fn from(text: &'static str) -> Self {
        Self(Content::Bytes(Bytes::from_static(text.as_bytes())))
    }
}

/// What a handler received, passed on as it comes.
impl From<RequestBody> for ClientBody {
    fn from(body: RequestBody) -> Self {
        Self(Content::Stream(body, StreamFailure::default()))
    }
}

impl RequestParts {
    /// # Errors
    /// Method or URL is none.
    pub(super) fn new(method: &str, url: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        check_method(method)?;
        let url = Url::parse(url).map_err(|error| ClientError::new(ClientErrorKind::Request, error))?;
        Ok(Self {
            method: method.to_owned(),
            url,
            fields: Vec::new(),
            secret_fields: Vec::new(),
            body: ClientBody::empty(),
            timeout: options.timeout,
            whole_bytes_max: options.whole_bytes_max,
            redirects_max: options.redirects_max,
            expects_continue: false,
            takes_trailers: false,
        })
    }

    /// For errors.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.method, self.url.without_query())
    }

    pub(super) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), ClientError> {
        check_field(name)?;
        let is_secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        let lines = if is_secret { &mut self.secret_fields } else { &mut self.fields };
        push_field(lines, name, value).map_err(|error| refused_field(name, error))
    }

    pub(super) fn add_type(&mut self, kind: &str) -> Result<(), ClientError> {
        if self.has("content-type") { Ok(()) } else { self.add("Content-Type", kind.as_bytes()) }
    }

    /// Whether it has a field of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        has_line(&self.fields, name) || has_line(&self.secret_fields, name)
    }
}

/// Whether one of these lines is a field of this name.
pub(super) fn has_line(lines: &[u8], name: &str) -> bool {
    lines.split(|&byte| byte == b'\n').any(|line| is_line_of(line, name))
}

/// Whether a line is a field of this name.
pub(super) fn is_line_of(line: &[u8], name: &str) -> bool {
    line.get(name.len()) == Some(&b':') && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

fn check_method(method: &str) -> Result<(), ClientError> {
    let wrong = |text: &str| Err(ClientError::text(ClientErrorKind::Request, text));
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=METHOD_BYTES_MAX).contains(&method.len()) || !method.bytes().all(is_token) {
        return wrong("the method is no token of letters");
    }
    if Method::from_token(method.as_bytes()) == Method::Connect {
        return wrong("CONNECT opens tunnels, which this client does for its own proxies alone");
    }
    Ok(())
}

/// Whether a field may be set at all.
pub(super) fn check_field(name: &str) -> Result<(), ClientError> {
    if reserved_field(name.as_bytes()).is_some() {
        let text = format!("the field {name} is written from the request's other parts; leave it out");
        return Err(ClientError::text(ClientErrorKind::Request, text));
    }
    Ok(())
}

pub(super) fn refused_field(name: &str, error: FieldError) -> ClientError {
    let text = match error {
        FieldError::NameEmpty => "a field has no name".to_owned(),
        FieldError::NameCharacter(byte) => {
            format!("the name of a field holds byte 0x{byte:02x}; use letters, digits and hyphens")
        }
        FieldError::ValueCharacter(byte) => {
            format!("the value of the field {name} holds byte 0x{byte:02x}; remove or encode it")
        }
        _ => format!("the field {name} cannot be set"),
    };
    ClientError::text(ClientErrorKind::Request, text)
}
