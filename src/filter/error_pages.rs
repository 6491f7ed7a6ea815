//! Custom error pages, for browsers.

use std::path::PathBuf;
use std::{fmt, fs, io};

use bytes::Bytes;
use thiserror::Error;

use super::vary;
use crate::http::accept;
use crate::http::message::RequestHead;
use crate::http::status::Status;
use crate::service::{Body, Context, ErrorForm, Filter, Response, WantedForm, wanted_form};

/// Fields about the body that a page replaces.
const OF_THE_BODY: [&str; 8] = [
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Disposition",
    "Content-Location",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
];

/// Bytes of a page that is read from a file; pages are kept in memory.
const PAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Pages for errors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPagesOptions {
    /// Error statuses with their pages, HTML in UTF-8; the last page of a status counts. Default none.
    pub pages: Vec<(Status, PageSource)>,
}

/// The source of a page.
#[derive(Clone, PartialEq, Eq)]
pub enum PageSource {
    /// A regular file of at most 1 MiB, read when the filter is made.
    File(PathBuf),
    /// The page itself.
    Html(Bytes),
}

impl fmt::Debug for PageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "File({path:?})"),
            Self::Html(html) => write!(f, "Html({} bytes)", html.len()),
        }
    }
}

/// Why a page cannot be used.
#[derive(Debug, Error)]
pub enum PageError {
    /// Pages are for errors, 400 to 599.
    #[error("{} is not the status of an error; errors are 400 to 599", .0.code())]
    Status(Status),
    /// The file cannot be read.
    #[error("cannot use the error page {}: {}", path.display(), remedy(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A directory, a device, a FIFO.
    #[error("cannot use the error page {}: it is no regular file", .0.display())]
    NotAFile(PathBuf),
    /// It is too large to be kept in memory.
    #[error("cannot use the error page {}: it has more than {PAGE_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
}

fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; write it, or name another as STATUS=FILE".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "no permission to read it; let the server's user read it (chmod) and search its directory"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

impl PageSource {
    /// Reads the page. Blocking: for start-up.
    fn load(&self) -> Result<Bytes, PageError> {
        let path = match self {
            Self::Html(html) => return Ok(html.clone()),
            Self::File(path) => path,
        };
        let unreadable = |source| PageError::Io { path: path.clone(), source };
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(PageError::NotAFile(path.clone()));
        }
        if metadata.len() > PAGE_BYTES_MAX {
            return Err(PageError::TooLarge(path.clone()));
        }
        fs::read(path).map(Bytes::from).map_err(unreadable)
    }
}

/// Replaces the bodies of error responses by pages, for clients that accept HTML. Status and fields such as
/// `Allow` stay. A response that is HTML already is not changed. Of an error that the server or a
/// [`Problem`](crate::service::Problem) makes, the page is the HTML form: clients that prefer JSON or text by
/// name in `Accept` get that, and clients that name no form get the page in place of the problem document.
///
/// They apply to requests that are refused before they reach a handler too (malformed, too large, too slow).
#[derive(Clone, Debug, Default)]
pub struct ErrorPages {
    pages: Vec<(Status, Bytes)>,
}

impl ErrorPages {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the pages that these options name. Blocking: for start-up.
    ///
    /// # Errors
    /// Every page that cannot be used, with its reason.
    pub fn with_options(options: &ErrorPagesOptions) -> Result<Self, Vec<PageError>> {
        let (mut pages, mut errors) = (Self::new(), Vec::new());
        for (status, source) in &options.pages {
            match source.load() {
                _ if status.code() < 400 => errors.push(PageError::Status(*status)),
                Ok(html) => pages = pages.page(*status, html),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(pages) } else { Err(errors) }
    }

    /// With a page for this status, in place of an earlier one. HTML in UTF-8.
    ///
    /// # Panics
    /// If the status is no error.
    pub fn page(mut self, status: Status, html: impl Into<Bytes>) -> Self {
        assert!(status.code() >= 400, "{} is no error", status.code());
        self.pages.retain(|(known, _)| *known != status);
        self.pages.push((status, html.into()));
        self
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }
}

impl Filter for ErrorPages {
    fn after(&self, context: &Context, response: &mut Response) {
        if response.status().code() < 400 {
            return;
        }
        let Some((_, page)) = self.pages.iter().find(|(status, _)| *status == response.status()) else {
            return;
        };
        if response.field_value("Content-Type").is_some_and(is_html) {
            return;
        }
        vary::add(response, "Accept");
        let is_wanted = match response.problem() {
            Some(_) => wants_page(context.head()),
            None => wants_html(context.head()),
        };
        if !is_wanted {
            return;
        }
        for name in OF_THE_BODY {
            response.remove_field(name);
        }
        response.add_field("Content-Type", "text/html; charset=utf-8").expect("a valid value");
        response.set_body(Body::Bytes(page.clone()));
    }

    fn refused(&self, context: &Context, response: &mut Response) {
        self.after(context, response);
    }
}

/// Whether a client gets the page in place of an error's own forms: where it would get the HTML form, and
/// where it names no form and HTML is acceptable.
fn wants_page(head: &RequestHead) -> bool {
    match wanted_form(head) {
        WantedForm { is_named: true, form } => form == ErrorForm::Html,
        WantedForm { is_named: false, .. } => wants_html(head),
    }
}

fn is_html(media_type: &[u8]) -> bool {
    let name = media_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(b"text/html") || name.eq_ignore_ascii_case(b"application/xhtml+xml")
}

/// Whether a client accepts HTML (RFC 9110 §12.5.1): the most specific range that matches it decides.
fn wants_html(head: &RequestHead) -> bool {
    let accepts = |media_type| accept::weight_of(head.fields_named("accept"), media_type) > 0;
    let xhtml = "application/xhtml+xml";
    accepts("text/html") || accept::names(head.fields_named("accept"), xhtml) && accepts(xhtml)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::RequestDecoder;

    use crate::http::message::HeadLimits;

    fn head(accept: &str) -> RequestHead {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n");
        let mut head = RequestHead::new();
        RequestDecoder::new().handle_bytes(text.as_bytes(), &HeadLimits::default(), &mut head).unwrap();
        head
    }

    /// For a handler's own text, and for an error that has other forms.
    #[test]
    fn accept_is_read() {
        for (accept, takes_html, takes_page) in [
            ("", true, true),
            ("Accept: */*\r\n", true, true),
            ("Accept: text/*;q=0.1\r\n", true, true),
            ("Accept: text/html,application/xml;q=0.9,*/*;q=0.8\r\n", true, true),
            ("Accept: application/json, TEXT/HTML ; q=0.2\r\n", true, false),
            ("Accept: application/json, text/html\r\n", true, true),
            ("Accept: application/json, */*\r\n", true, false),
            ("Accept: text/plain, */*\r\n", true, false),
            ("Accept: application/xml\r\nAccept: application/xhtml+xml\r\n", true, true),
            ("Accept: application/json\r\n", false, false),
            ("Accept: text/html;q=0\r\n", false, false),
            ("Accept: text/html;q=0.000, */*\r\n", false, false),
            ("Accept: */*;q=0\r\n", false, false),
            ("Accept: text/html;level=1;q=0.001\r\n", true, true),
            ("Accept:\r\n", false, false),
        ] {
            let head = head(accept);
            assert_eq!((wants_html(&head), wants_page(&head)), (takes_html, takes_page), "{accept}");
        }
    }
}
