//! A request while it is put together. Every part is checked as it is added, and the first mistake is what
//! sending it reports; nothing of a caller reaches a connection unchecked.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;

use super::Client;
use super::error::{ClientError, ClientErrorKind};
use super::proxies::basic;
use super::response::ClientResponse;
use super::send;
use super::url::{Url, push_form};
use crate::http::message::{FieldError, push_field};
use crate::http::method::{METHOD_BYTES_MAX, Method};
use crate::service::{RequestBody, StreamBody, body_of_stream};

/// Fields that are written from the request's parts, or are of the connection.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Fields that are for one origin, and that HTTP/2 keeps out of its tables.
pub(super) const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// A request that is put together, and then sent with [`send`](Self::send).
#[must_use = "a request does nothing until it is sent"]
pub struct RequestBuilder {
    client: Client,
    parts: Result<RequestParts, ClientError>,
}

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
    Stream(RequestBody),
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
        Self(Content::Stream(RequestBody::from_stream(body_of_stream(stream))))
    }

    /// Frames that are pulled, trailers included; with a length if it has one.
    pub fn frames(frames: impl StreamBody + 'static) -> Self {
        Self(Content::Stream(RequestBody::from_stream(frames)))
    }
}

impl fmt::Debug for ClientBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Bytes(bytes) => write!(f, "ClientBody({} bytes)", bytes.len()),
            Content::Stream(_) => f.write_str("ClientBody(stream)"),
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
        Self(Content::Stream(body))
    }
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: &str, url: &str) -> Self {
        let options = client.options();
        let parts = check_method(method).and_then(|()| {
            let url = Url::parse(url).map_err(|error| {
                // What it is about is the URL itself, of which nothing is known.
                ClientError::new(ClientErrorKind::Request, error)
            })?;
            Ok(RequestParts {
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
        });
        Self { client, parts }
    }

    fn with(mut self, add: impl FnOnce(&mut RequestParts) -> Result<(), ClientError>) -> Self {
        if let Ok(parts) = &mut self.parts
            && let Err(error) = add(parts)
        {
            self.parts = Err(error);
        }
        self
    }

    /// Adds a field. Names are tokens and values have no control characters; those of framing and connection
    /// (`Host`, `Content-Length`, `Transfer-Encoding`, `Connection` …) are the client's.
    pub fn header(self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        let (name, value) = (name.as_ref(), value.as_ref());
        self.with(|parts| parts.add(name, value))
    }

    /// `Authorization: Bearer TOKEN`.
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header("Authorization", format!("Bearer {token}"))
    }

    /// `Authorization: Basic …` for this user (RFC 7617), in UTF-8.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        self.header("Authorization", basic(user, password))
    }

    /// Appends pairs to the query, encoded as in forms.
    pub fn query<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.with(|parts| {
            pairs.into_iter().for_each(|(name, value)| parts.url.push_pair(name.as_ref(), value.as_ref()));
            Ok(())
        })
    }

    /// The content.
    pub fn body(self, body: impl Into<ClientBody>) -> Self {
        self.with(|parts| {
            parts.body = body.into();
            Ok(())
        })
    }

    /// The value as JSON, with its `Content-Type` unless that is set.
    pub fn json(self, value: &impl Serialize) -> Self {
        self.with(|parts| {
            let text = serde_json::to_vec(value).map_err(|error| {
                ClientError::text(ClientErrorKind::Request, format!("the value is no JSON: {error}"))
            })?;
            parts.add_type("application/json")?;
            parts.body = text.into();
            Ok(())
        })
    }

    /// The pairs as a form, with its `Content-Type` unless that is set.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        self.with(|parts| {
            let mut text = String::new();
            for (name, value) in pairs {
                text.push_str(if text.is_empty() { "" } else { "&" });
                push_form(&mut text, name.as_ref(), value.as_ref());
            }
            parts.add_type("application/x-www-form-urlencoded")?;
            parts.body = text.into();
            Ok(())
        })
    }

    /// The time for all of it, in place of [`ClientOptions::timeout`](super::ClientOptions::timeout); `None`
    /// is no limit. On a clock of 32 ms.
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.with(|parts| {
            parts.timeout = timeout.into();
            Ok(())
        })
    }

    /// Most bytes that are taken into memory, in place of
    /// [`ClientOptions::whole_bytes_max`](super::ClientOptions::whole_bytes_max).
    pub fn whole_bytes_max(self, bytes: usize) -> Self {
        self.with(|parts| {
            parts.whole_bytes_max = bytes;
            Ok(())
        })
    }

    /// Redirects that are followed, in place of
    /// [`ClientOptions::redirects_max`](super::ClientOptions::redirects_max).
    pub fn redirects_max(self, redirects: u32) -> Self {
        self.with(|parts| {
            parts.redirects_max = redirects;
            Ok(())
        })
    }

    /// Holds the content until the server asks for it (`Expect: 100-continue`), or for at most
    /// [`UpstreamTimeouts::expect`](crate::upstream::UpstreamTimeouts::expect).
    pub fn expect_continue(self) -> Self {
        self.with(|parts| {
            parts.expects_continue = true;
            Ok(())
        })
    }

    /// Announces that trailers are read (`TE: trailers`), as gRPC needs.
    pub fn accept_trailers(self) -> Self {
        self.with(|parts| {
            parts.takes_trailers = true;
            Ok(())
        })
    }

    /// Sends it, and waits for the head of the response. Dropping the future closes the connection, or resets
    /// the stream.
    ///
    /// # Errors
    /// There is no response; see [`ClientError`]. A status of 400 or more is none.
    pub async fn send(self) -> Result<ClientResponse, ClientError> {
        send::send(&self.client, self.parts?).await
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parts {
            Ok(parts) => write!(f, "RequestBuilder({})", parts.what()),
            Err(error) => write!(f, "RequestBuilder({error})"),
        }
    }
}

impl RequestParts {
    /// For errors.
    pub(super) fn what(&self) -> String {
        format!("{} {}", self.method, self.url.without_query())
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), ClientError> {
        check_field(name)?;
        let is_secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
        let lines = if is_secret { &mut self.secret_fields } else { &mut self.fields };
        push_field(lines, name, value).map_err(|error| refused_field(name, error))
    }

    fn add_type(&mut self, kind: &str) -> Result<(), ClientError> {
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
    if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
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
