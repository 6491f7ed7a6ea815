//! A response as a handler makes it.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::body::StreamBody;
use crate::http::h1::{FieldError, push_field};
use crate::http::status::Status;
use crate::ring::File;

const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";
const HTML: &[u8] = b"Content-Type: text/html; charset=utf-8\r\n";

/// Field lines in wire form, each with its CRLF, made once and shared where that pays.
#[derive(Clone, Debug)]
pub enum FieldBlock {
    /// Part of the program.
    Static(&'static [u8]),
    /// Shared by every response from one cache entry.
    Shared(Rc<[u8]>),
    /// Made for this response.
    Owned(Vec<u8>),
}

impl FieldBlock {
    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Static(lines) => lines,
            Self::Shared(lines) => lines,
            Self::Owned(lines) => lines,
        }
    }

    fn to_mut(&mut self) -> &mut Vec<u8> {
        if !matches!(self, Self::Owned(_)) {
            *self = Self::Owned(self.as_bytes().to_vec());
        }
        let Self::Owned(lines) = self else { unreachable!("made owned above") };
        lines
    }
}

/// The body of a response.
pub enum Body {
    /// None.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file, read as the client takes it.
    File(Rc<File>, Range<u64>),
    /// Made piece by piece, as the client takes it.
    Stream(Box<dyn StreamBody>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(_, range) => write!(f, "File({range:?})"),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A response. Framing, `Date` and `Connection` are the server's; everything else is said here.
#[derive(Debug)]
pub struct Response {
    status: Status,
    fields: FieldBlock,
    body: Body,
    closes: bool,
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: Status) -> Self {
        Self { status, fields: FieldBlock::Static(b""), body: Body::Empty, closes: false }
    }

    /// 200 with plain text. A `&'static str` is not copied.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { fields: FieldBlock::Static(TEXT), body: Body::Bytes(body.into()), ..Self::new(Status::OK) }
    }

    /// 200 with HTML.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self { fields: FieldBlock::Static(HTML), body: Body::Bytes(body.into()), ..Self::new(Status::OK) }
    }

    /// 200 with a body that is pulled. Say its `Content-Type` with [`field`](Self::field).
    pub fn stream(body: impl StreamBody + 'static) -> Self {
        Self { body: Body::Stream(Box::new(body)), ..Self::new(Status::OK) }
    }

    /// A one-line plain text answer for an error: the status, and `detail` for whoever reads it.
    pub fn error(status: Status, detail: &str) -> Self {
        Self::text(format!("{} {}\n{detail}\n", status.code(), status.reason())).with_status(status)
    }

    /// With another status.
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// With another body.
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// With these field lines in place of the ones it has.
    pub fn with_fields(mut self, fields: FieldBlock) -> Self {
        self.fields = fields;
        self
    }

    /// With one more field.
    ///
    /// # Errors
    /// When name or value have bytes that no field may have: nothing can be injected here. The framing fields
    /// (`Content-Length`, `Transfer-Encoding`) are the server's and are refused too.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, FieldError> {
        push_field(self.fields.to_mut(), name, value.as_ref())?;
        Ok(self)
    }

    /// Closes the connection after it.
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The field lines so far.
    pub fn fields(&self) -> &[u8] {
        self.fields.as_bytes()
    }

    /// Whether the connection is to be closed after it.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Takes the body out.
    pub fn take_body(&mut self) -> Body {
        std::mem::replace(&mut self.body, Body::Empty)
    }
}
