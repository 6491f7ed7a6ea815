//! One file as the response of a handler: with conditions, ranges and validators, as [`Files`](super::Files)
//! answers. Keeps nothing in memory and looks for no coded forms.

use std::borrow::Cow;
use std::io;
use std::rc::Rc;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::entry::Representation;
use super::facts::RepresentationFacts;
use super::options::FilesOptions;
use super::policy::NamePolicy;
use super::respond::{self, ContentSource};
use crate::http::message::RequestHead;
use crate::http::message::{FieldError, push_field};
use crate::ring::{File, Metadata, Ring, Root};
use crate::service::Response;

/// A regular file below a [`Root`], for a response.
///
/// ```no_run
/// # use std::rc::Rc;
/// use quoit::handler::NamedFile;
/// use quoit::http::status::Status;
/// use quoit::ring::{Ring, Root};
/// use quoit::service::{Request, Response};
///
/// # async fn handler(ring: Ring, reports: Rc<Root>, request: Request) -> Response {
/// match NamedFile::open(&ring, &reports, "2026/report.pdf").await {
///     Ok(file) => file.attachment("report.pdf").respond(request.head()),
///     Err(_) => Response::error(Status::NOT_FOUND, "there is no such report"),
/// }
/// # }
/// ```
pub struct NamedFile {
    file: File,
    metadata: Metadata,
    policy: NamePolicy,
    lines: Vec<u8>,
    unix_seconds: u64,
}

impl NamedFile {
    /// Opens `name`, a relative path. Files outside of `root` are never opened, but hidden files are: check
    /// names that come from clients.
    ///
    /// The type follows from the name; there is no `Cache-Control`.
    ///
    /// # Errors
    /// The kernel's; `IsADirectory` and `InvalidInput` for other than regular files, `EXDEV` for a path that
    /// leads out of the root.
    pub async fn open(ring: &Ring, root: &Root, name: impl AsRef<[u8]>) -> io::Result<Self> {
        let name = name.as_ref();
        let file = ring.open(root, name).await?;
        let metadata = file.metadata()?;
        if metadata.is_dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if !metadata.is_file {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
        }
        let policy = NamePolicy { cache_control: None, ..NamePolicy::of(&FilesOptions::default(), name) };
        Ok(Self { file, metadata, policy, lines: Vec::new(), unix_seconds: ring.unix_seconds() })
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// With another type than that of the name.
    ///
    /// # Errors
    /// When the value is not a valid field value.
    pub fn content_type(mut self, value: &str) -> Result<Self, FieldError> {
        push_field(&mut Vec::new(), "Content-Type", value.as_bytes())?;
        self.policy.content_type = Cow::Owned(value.to_owned());
        Ok(self)
    }

    /// With a `Cache-Control`.
    ///
    /// # Errors
    /// When the value is not a valid field value.
    pub fn cache_control(mut self, value: &str) -> Result<Self, FieldError> {
        push_field(&mut Vec::new(), "Cache-Control", value.as_bytes())?;
        self.policy.cache_control = Some(Cow::Owned(value.to_owned()));
        Ok(self)
    }

    /// To be saved under this name and not shown (RFC 6266). Any text is allowed: it is encoded, and clients
    /// use only what follows its last slash.
    pub fn attachment(mut self, name: &str) -> Self {
        self.lines = b"Content-Disposition: attachment; filename*=UTF-8''".to_vec();
        self.lines.extend(percent_encode(name.as_bytes(), NON_ALPHANUMERIC).flat_map(str::bytes));
        self.lines.extend_from_slice(b"\r\n");
        self
    }

    /// Answers a request with the file: whole, the requested ranges, or as its conditions require.
    pub fn respond(self, head: &RequestHead) -> Response {
        let facts = RepresentationFacts::original(&self.metadata, None, Rc::new(self.policy), false);
        let representation = Representation::new(facts, None);
        let content = ContentSource::File(Rc::new(self.file));
        let mut response = respond::respond(&representation, content, head, self.unix_seconds);
        if !self.lines.is_empty() && response.status().code() / 100 == 2 {
            response.add_lines(&self.lines);
        }
        response
    }
}
