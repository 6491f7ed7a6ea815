//! Problem documents (RFC 9457): errors for programs and for people, without internals.

use std::borrow::Cow;

use serde::Serialize;

use super::escape::escape_html;
use crate::http::status::Status;

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldProblem {
    /// The place: a JSON pointer (`/items/2/price`), or the name of a parameter or field.
    #[serde(rename = "pointer")]
    pub place: String,
    /// The reason, as a sentence.
    pub detail: String,
}

/// An error for a client: a status, a sentence, and the fields that caused it.
///
/// ```
/// use quoit::http::status::Status;
/// use quoit::service::Problem;
///
/// let problem = Problem::new(Status::UNPROCESSABLE_CONTENT)
///     .detail("the order cannot be placed")
///     .field("/items/0/count", "must be at least 1");
/// assert_eq!(problem.status(), Status::UNPROCESSABLE_CONTENT);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Boxed, because it is the error type of many `Result`s and rare.
    facts: Box<ProblemParts>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProblemParts {
    status: Status,
    kind: Cow<'static, str>,
    title: Cow<'static, str>,
    detail: Cow<'static, str>,
    fields: Vec<FieldProblem>,
    /// For calls of gRPC, where it does not follow from the status.
    grpc_code: Option<u8>,
    /// Field lines for the response, such as `Allow` or `Retry-After`.
    lines: Vec<u8>,
}

#[derive(Serialize)]
struct ProblemDocument<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldProblem],
}

impl Problem {
    /// A problem of the generic type `about:blank`, whose title is the status' reason.
    pub fn new(status: Status) -> Self {
        let facts = ProblemParts {
            status,
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.reason()),
            detail: Cow::Borrowed(""),
            fields: Vec::new(),
            grpc_code: None,
            lines: Vec::new(),
        };
        Self { facts: Box::new(facts) }
    }

    /// With a type of its own, a URI, and the title of that type.
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>, title: impl Into<Cow<'static, str>>) -> Self {
        self.facts.kind = kind.into();
        self.facts.title = title.into();
        self
    }

    /// With a sentence about this occurrence. Clients read it: no internals.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.facts.detail = detail.into();
        self
    }

    /// With a field that is wrong.
    pub fn field(mut self, place: impl Into<String>, detail: impl Into<String>) -> Self {
        self.facts.fields.push(FieldProblem { place: place.into(), detail: detail.into() });
        self
    }

    /// With a field line for the response. An invalid one is omitted.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let _ = crate::http::message::push_field(&mut self.facts.lines, name, value.as_bytes());
        self
    }

    /// With the code that clients of gRPC get.
    pub(crate) fn grpc(mut self, code: u8) -> Self {
        self.facts.grpc_code = Some(code);
        self
    }

    pub(super) fn grpc_code(&self) -> Option<u8> {
        self.facts.grpc_code
    }

    /// Its status.
    pub fn status(&self) -> Status {
        self.facts.status
    }

    /// With another status. The title follows where it is that of the status.
    pub(super) fn set_status(&mut self, status: Status) {
        if self.facts.title == self.facts.status.reason() {
            self.facts.title = Cow::Borrowed(status.reason());
        }
        self.facts.status = status;
    }

    /// Its title.
    pub fn title(&self) -> &str {
        &self.facts.title
    }

    /// The sentence about this occurrence; may be empty.
    pub fn detail_text(&self) -> &str {
        &self.facts.detail
    }

    /// The fields that are wrong.
    pub fn fields(&self) -> &[FieldProblem] {
        &self.facts.fields
    }

    /// The field lines it adds to the response, in wire form.
    pub fn lines(&self) -> &[u8] {
        &self.facts.lines
    }

    /// A page for people, without styles, scripts and links: any content security policy allows it.
    pub(super) fn to_html(&self) -> Vec<u8> {
        let status = self.facts.status.code();
        let (title, detail) = (escape_html(&self.facts.title), escape_html(&self.facts.detail));
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{status} {title}</title>\n\
             <h1>{status} {title}</h1>\n"
        );
        if !self.facts.detail.is_empty() {
            page.push_str(&format!("<p>{detail}</p>\n"));
        }
        for field in &self.facts.fields {
            let (place, detail) = (escape_html(&field.place), escape_html(&field.detail));
            page.push_str(&format!("<p><code>{place}</code>: {detail}</p>\n"));
        }
        page.into_bytes()
    }

    /// Lines for a terminal or a log.
    pub(super) fn to_text(&self) -> Vec<u8> {
        let mut text = format!("{} {}\n", self.facts.status.code(), self.facts.title);
        if !self.facts.detail.is_empty() {
            text.push_str(&format!("{}\n", self.facts.detail));
        }
        for field in &self.facts.fields {
            text.push_str(&format!("{}: {}\n", field.place, field.detail));
        }
        text.into_bytes()
    }

    /// The document, as `application/problem+json`.
    pub fn to_json(&self) -> Vec<u8> {
        let document = ProblemDocument {
            kind: &self.facts.kind,
            title: &self.facts.title,
            status: self.facts.status.code(),
            detail: &self.facts.detail,
            errors: &self.facts.fields,
        };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_says_what_where_and_no_more() {
        let problem = Problem::new(Status::BAD_REQUEST).field("/a/0", "is \"quoted\"").header("Allow", "GET");
        let text = String::from_utf8(problem.to_json()).unwrap();
        let told = r#"{"type":"about:blank","title":"Bad Request","status":400,"#;
        let errors = r#""errors":[{"pointer":"/a/0","detail":"is \"quoted\""}]}"#;
        assert_eq!(text, [told, errors].concat());
        assert_eq!(problem.lines(), b"Allow: GET\r\n");
    }

    #[test]
    fn a_page_shows_text_as_text() {
        let problem = Problem::new(Status::NOT_FOUND).detail("no <b>\"x\"</b>").field("/a", "is <i>");
        let page = String::from_utf8(problem.to_html()).unwrap();
        assert!(page.contains("<title>404 Not Found</title>\n<h1>404 Not Found</h1>"), "{page}");
        assert!(page.contains("<p>no &lt;b&gt;&quot;x&quot;&lt;/b&gt;</p>"), "{page}");
        assert!(page.contains("<p><code>/a</code>: is &lt;i&gt;</p>"), "{page}");
    }

    #[test]
    fn lines_say_the_same() {
        let problem = Problem::new(Status::NOT_FOUND).detail("no such item").field("/a", "is wrong");
        assert_eq!(problem.to_text(), b"404 Not Found\nno such item\n/a: is wrong\n");
        assert_eq!(Problem::new(Status::NOT_FOUND).to_text(), b"404 Not Found\n");
    }

    #[test]
    fn a_title_of_the_status_follows_it() {
        let mut problem = Problem::new(Status::NOT_FOUND);
        problem.set_status(Status::GONE);
        assert_eq!((problem.status(), problem.title()), (Status::GONE, Status::GONE.reason()));
        let mut own = Problem::new(Status::NOT_FOUND).kind("https://a.example/lost", "Lost");
        own.set_status(Status::GONE);
        assert_eq!((own.status(), own.title()), (Status::GONE, "Lost"));
    }

    #[test]
    fn a_header_that_would_split_the_response_is_left_out() {
        assert_eq!(Problem::new(Status::BAD_REQUEST).header("A", "b\r\nC: d").lines(), b"");
    }
}
