//! A response as a handler makes it.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;

use super::body::StreamBody;
use super::fault::ResponseError;
use super::fields::FieldBlock;
use super::inform::Interim;
use super::problem::Problem;
use super::tunnel::TunnelHandler;
use super::writer::{BodyWriter, WrittenBody};
use crate::http::cookie::SetCookie;
use crate::http::message::{FieldError, push_field};
use crate::http::status::Status;
use crate::ring::File;

const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";
const PROBLEM_JSON: &[u8] = b"Content-Type: application/problem+json\r\n";
const HTML: &[u8] = b"Content-Type: text/html; charset=utf-8\r\n";

/// The body of a response.
pub enum Body {
    /// None.
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file, read as the client receives it.
    File(Rc<File>, Range<u64>),
    /// Produced piece by piece, as the client receives it.
    Stream(Box<dyn StreamBody>),
    /// The bytes of a tunnel, made by [`Response::upgrade`] or [`Response::tunnel`].
    Tunnel(TunnelHandler),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::File(_, range) => write!(f, "File({range:?})"),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Tunnel(_) => f.write_str("Tunnel"),
        }
    }
}

/// A response. The server writes framing, `Date` and `Connection`; everything else is set here.
#[derive(Debug)]
pub struct Response {
    status: Status,
    fields: FieldBlock,
    body: Body,
    closes: bool,
    /// The fields have a `Date`: that of the server that this one forwards for.
    is_dated: bool,
    /// Boxed: few responses have any of it, and every idle connection has room for a response.
    extra: Option<Box<Extra>>,
}

#[derive(Debug, Default)]
struct Extra {
    problem: Option<Problem>,
    interim: Option<Interim>,
    /// The first error of its builders: it becomes a 500.
    fault: Option<ResponseError>,
}

impl Response {
    /// A response without fields and body.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            fields: FieldBlock::Static(b""),
            body: Body::Empty,
            closes: false,
            is_dated: false,
            extra: None,
        }
    }

    /// 200 with plain text. A `&'static str` is not copied.
    pub fn text(body: impl Into<Bytes>) -> Self {
        Self { fields: FieldBlock::Static(TEXT), body: Body::Bytes(body.into()), ..Self::new(Status::OK) }
    }

    /// 200 with HTML.
    pub fn html(body: impl Into<Bytes>) -> Self {
        Self { fields: FieldBlock::Static(HTML), body: Body::Bytes(body.into()), ..Self::new(Status::OK) }
    }

    /// 200 with a body that is pulled. Set its `Content-Type` with [`with_field`](Self::with_field).
    pub fn stream(body: impl StreamBody + 'static) -> Self {
        Self { body: Body::Stream(Box::new(body)), ..Self::new(Status::OK) }
    }

    /// An error: the status, and `detail` for a person. As every problem, it is sent as HTML to clients that
    /// name that in `Accept`, as browsers do, as text to those that name text, and as a problem document to
    /// others. To change how it looks, set its body.
    pub fn error(status: Status, detail: &str) -> Self {
        Self::of_problem(Problem::new(status).detail(detail.to_owned()))
    }

    /// With the problem's status and fields. It has the form that most clients get; `negotiate` renders the
    /// others.
    pub(crate) fn of_problem(problem: Problem) -> Self {
        let lines = [PROBLEM_JSON, problem.lines()].concat();
        let body = Body::Bytes(problem.to_json().into());
        let mut response = Self { fields: FieldBlock::Owned(lines), body, ..Self::new(problem.status()) };
        response.extra.get_or_insert_default().problem = Some(problem);
        response
    }

    /// 200 with a body that `work` writes: a future that runs as part of the exchange, and continues its
    /// other work (such as reading the request) while the client receives nothing. The body ends when it
    /// completes, and is whole for the client; [`BodyWriter::fail`] ends one that is not.
    ///
    /// ```
    /// use quoit::service::{BodyWriter, Request, Response};
    ///
    /// async fn twice(request: Request) -> Response {
    ///     let mut body = request.into_body();
    ///     Response::written(async move |mut out: BodyWriter| {
    ///         while let Some(piece) = body.next().await {
    ///             match piece {
    ///                 Ok(piece) => {
    ///                     let _ = out.write(piece.clone()).await;
    ///                     let _ = out.write(piece).await;
    ///                 }
    ///                 Err(error) => return out.fail(error),
    ///             }
    ///         }
    ///     })
    /// }
    /// ```
    pub fn written<F: AsyncFnOnce(BodyWriter) + 'static>(work: F) -> Self {
        Self::stream(WrittenBody::by(|writer| Box::pin(async move { work(writer).await })))
    }

    /// 200 with a body that is written elsewhere on the core, such as by a task of `Ring::spawn`.
    pub fn channel() -> (BodyWriter, Self) {
        let (writer, body) = WrittenBody::channel();
        (writer, Self::stream(body))
    }

    /// With an interim response right before it, where the client supports one: `Link` fields of 103 Early
    /// Hints let a browser request style sheets before the page arrives. To send one while the handler runs,
    /// see [`Context::inform`](super::Context::inform).
    pub fn inform(mut self, mut interim: Interim) -> Self {
        match interim.take_fault() {
            Some(fault) => self.with_fault(fault),
            None => {
                self.extra.get_or_insert_default().interim = Some(interim);
                self
            }
        }
    }

    /// A response that is forwarded: `lines` are whole and valid, and have the `Date` of its origin if
    /// `is_dated`.
    pub(crate) fn forwarded(status: Status, lines: Vec<u8>, is_dated: bool, body: Body) -> Self {
        Self { fields: FieldBlock::Owned(lines), body, is_dated, ..Self::new(status) }
    }

    /// Whether the fields have a `Date`, so that none is added.
    #[inline]
    pub(crate) fn is_dated(&self) -> bool {
        self.is_dated
    }

    /// Whether it is a stream of events, which lasts as long as its client.
    pub(crate) fn is_event_stream(&self) -> bool {
        const KIND: &[u8] = b"text/event-stream";
        let is_it =
            |value: &[u8]| value.get(..KIND.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(KIND));
        matches!(self.body, Body::Stream(_)) && self.field_value("content-type").is_some_and(is_it)
    }

    /// Whether an interim response goes before it.
    #[inline]
    pub(crate) fn has_interim(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.interim.is_some())
    }

    /// Takes the interim response that goes before it.
    pub(crate) fn take_interim(&mut self) -> Option<Interim> {
        self.extra.as_mut()?.interim.take()
    }

    /// With another status.
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// With another body.
    pub fn with_body(mut self, body: Body) -> Self {
        self.set_body(body);
        self
    }

    /// With these field lines in place of the ones it has.
    pub fn with_fields(mut self, fields: FieldBlock) -> Self {
        self.fields = fields;
        self.is_dated = false;
        self
    }

    /// With a body that is pulled.
    pub(crate) fn with_stream(self, body: impl StreamBody + 'static) -> Self {
        self.with_body(Body::Stream(Box::new(body)))
    }

    /// With this field in place of those of its name, which are compared without case. A field that cannot
    /// be sent (a control byte in its value, a name of the server's: see [`add_field`](Self::add_field))
    /// makes the response a 500 when it is sent, and the log names the field; [`check`](Self::check) is for a
    /// handler that answers otherwise.
    ///
    /// ```
    /// use quoit::service::Response;
    ///
    /// let response = Response::text("a { }").with_field("Content-Type", "text/css").with_field("X-A", "1");
    /// assert_eq!(response.fields(), b"Content-Type: text/css\r\nX-A: 1\r\n");
    /// assert!(response.with_field("X-B", "1\r\nX-C: 2").check().is_err());
    /// ```
    pub fn with_field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.remove_field(name);
        self.with_added_field(name, value)
    }

    /// With one more field, besides those of its name. Otherwise as [`with_field`](Self::with_field).
    pub fn with_added_field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        match self.add_field(name, value) {
            Ok(()) => self,
            Err(error) => self.with_fault(ResponseError::field(name, error)),
        }
    }

    /// With a cookie set, besides those it sets already. One that a browser would misparse or drop is an
    /// error as in [`with_field`](Self::with_field).
    pub fn with_cookie(self, cookie: &SetCookie<'_>) -> Self {
        match cookie.to_value() {
            Ok(value) => self.with_added_field("Set-Cookie", value),
            Err(error) => self.with_fault(ResponseError::Cookie(error)),
        }
    }

    /// The response, if it can be sent as it was made.
    ///
    /// # Errors
    /// The first that occurred in it.
    pub fn check(mut self) -> Result<Self, ResponseError> {
        match self.take_fault() {
            Some(fault) => Err(fault),
            None => Ok(self),
        }
    }

    /// Records an error, unless there is an earlier one.
    #[cold]
    pub(crate) fn with_fault(mut self, fault: ResponseError) -> Self {
        self.extra.get_or_insert_default().fault.get_or_insert(fault);
        self
    }

    /// Whether it cannot be sent as it was made.
    #[inline]
    pub(crate) fn is_faulty(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.fault.is_some())
    }

    /// Whether it is sent as it is: it has no error, and no problem whose form is to be chosen.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.extra.as_ref().is_none_or(|extra| extra.fault.is_none() && extra.problem.is_none())
    }

    /// Takes the first error of its builders.
    pub(crate) fn take_fault(&mut self) -> Option<ResponseError> {
        self.extra.as_mut()?.fault.take()
    }

    /// With one more field, checked at once: for a handler that has another answer. In a chain, use
    /// [`with_field`](Self::with_field).
    ///
    /// # Errors
    /// As [`add_field`](Self::add_field).
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, FieldError> {
        self.add_field(name, value)?;
        Ok(self)
    }

    /// Sets a field, in place of any of this name. Names are compared without case.
    ///
    /// # Errors
    /// As [`add_field`](Self::add_field).
    pub fn set_field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        self.remove_field(name);
        self.add_field(name, value)
    }

    /// Adds a field and keeps those it has, including those of the same name.
    ///
    /// # Errors
    /// When name or value have bytes that are invalid in a field, so that nothing can be injected. Fields of
    /// framing and connection, and `Date`, are the server's and are refused too; but `Connection: close` is
    /// [`closing`](Self::closing), and other options of `Connection` are left out.
    pub fn add_field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), FieldError> {
        let value = value.as_ref();
        if name.eq_ignore_ascii_case("connection") {
            let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
            return Ok(());
        }
        push_field(self.fields.to_mut(), name, value)
    }

    /// Adds whole field lines, each with its CRLF, whose names and values are known to be valid: made once
    /// with [`push_field`] and added to every response.
    pub fn add_lines(&mut self, lines: &[u8]) {
        if let FieldBlock::Owned(known) = &mut self.fields {
            return known.extend_from_slice(lines);
        }
        // One allocation for both, because filters add lines to the shared fields of every cached file.
        self.fields = FieldBlock::Owned([self.fields.as_bytes(), lines].concat());
    }

    /// Removes every field of this name.
    pub fn remove_field(&mut self, name: &str) {
        if self.field_value(name).is_none() {
            return;
        }
        self.is_dated &= !name.eq_ignore_ascii_case("date");
        let mut kept = Vec::with_capacity(self.fields.as_bytes().len());
        for line in lines_of(self.fields.as_bytes()) {
            if !has_name(line, name) {
                kept.extend_from_slice(line);
            }
        }
        self.fields = FieldBlock::Owned(kept);
    }

    /// The first value of the field with this name.
    pub fn field_value(&self, name: &str) -> Option<&[u8]> {
        let line = lines_of(self.fields.as_bytes()).find(|line| has_name(line, name))?;
        Some(line[name.len() + 1..].trim_ascii())
    }

    /// Whether it has a field with one of these names.
    pub fn has_any_field(&self, names: &[&str]) -> bool {
        lines_of(self.fields.as_bytes()).any(|line| names.iter().any(|name| has_name(line, name)))
    }

    /// All values of the fields with this name, in order.
    pub fn field_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let lines = lines_of(self.fields.as_bytes()).filter(move |line| has_name(line, name));
        lines.map(move |line| line[name.len() + 1..].trim_ascii())
    }

    /// The problem it renders, if it was made from one.
    pub fn problem(&self) -> Option<&Problem> {
        self.extra.as_ref()?.problem.as_ref()
    }

    /// Detaches the problem: the response is not rendered again.
    pub(crate) fn take_problem(&mut self) -> Option<Problem> {
        self.extra.as_mut()?.problem.take()
    }

    /// Sets the status.
    pub fn set_status(&mut self, status: Status) {
        self.status = status;
    }

    /// Sets the body; the server derives the framing from it. It no longer renders a problem.
    pub fn set_body(&mut self, body: Body) {
        self.take_problem();
        self.body = body;
    }

    /// Closes the connection after it.
    pub fn closing(mut self) -> Self {
        self.close();
        self
    }

    /// As [`closing`](Self::closing), in place.
    pub(crate) fn close(&mut self) {
        self.closes = true;
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The field lines so far.
    pub fn fields(&self) -> &[u8] {
        self.fields.as_bytes()
    }

    /// Whether the connection is closed after it.
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

/// The lines of a block, each with its CRLF.
fn lines_of(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    // No value holds a line feed, so each one ends a line.
    memchr::memchr_iter(b'\n', block).map(move |end| {
        let line = &block[start..=end];
        start = end + 1;
        line
    })
}

fn has_name(line: &[u8], name: &str) -> bool {
    line.len() > name.len()
        && line[name.len()] == b':'
        && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_added_and_removed() {
        let mut response = Response::text("x");
        assert_eq!(response.field_value("content-TYPE"), Some(&b"text/plain; charset=utf-8"[..]));
        assert_eq!(response.field_value("Content"), None);
        response.add_field("Vary", "Accept").unwrap();
        response.add_field("Vary", "Origin").unwrap();
        response.set_field("content-type", "a/b").unwrap();
        assert_eq!(response.fields(), b"Vary: Accept\r\nVary: Origin\r\ncontent-type: a/b\r\n");
        response.remove_field("vary");
        response.remove_field("absent");
        assert_eq!(response.fields(), b"content-type: a/b\r\n");
        assert!(response.set_field("A", "b\r\nC: d").is_err());
        assert!(response.add_field("Content-Length", "1").is_err());
        assert_eq!(response.fields(), b"content-type: a/b\r\n");
    }
}
