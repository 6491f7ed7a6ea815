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
use super::refused::is_kept_back;
use super::respond::{self, ContentSource};
use crate::http::message::RequestHead;
use crate::http::message::{FieldError, push_field};
use crate::ring::{File, Metadata, Ring, Root};
use crate::service::{Response, ResponseError};

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
    /// The first error of its builders.
    fault: Option<ResponseError>,
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
    /// leads out of the root; `NotFound` also for what the core [keeps back](Ring::keep_back).
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
        if is_kept_back(ring, &metadata) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let policy = NamePolicy { cache_control: None, ..NamePolicy::of(&FilesOptions::default(), name) };
        Ok(Self { file, metadata, policy, lines: Vec::new(), fault: None, unix_seconds: ring.unix_seconds() })
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// With another type than that of the name. A value that cannot be sent makes the response a 500, as
    /// [`Response::with_field`] does.
    pub fn with_content_type(mut self, value: &str) -> Self {
        if self.can_send("Content-Type", value) {
            self.policy.content_type = Cow::Owned(value.to_owned());
        }
        self
    }

    /// With a `Cache-Control`. Otherwise as [`with_content_type`](Self::with_content_type).
    pub fn with_cache_control(mut self, value: &str) -> Self {
        if self.can_send("Cache-Control", value) {
            self.policy.cache_control = Some(Cow::Owned(value.to_owned()));
        }
        self
    }

    /// Whether a value can be sent; keeps the first error.
    fn can_send(&mut self, name: &str, value: &str) -> bool {
        let checked = push_field(&mut Vec::new(), name, value.as_bytes());
        match checked {
            Ok(()) => true,
            Err(error) => {
                self.fault.get_or_insert_with(|| ResponseError::field(name, error));
                false
            }
        }
    }

    /// As [`with_content_type`](Self::with_content_type), checked at once.
    ///
    /// # Errors
    /// When the value is not a valid field value.
    pub fn content_type(mut self, value: &str) -> Result<Self, FieldError> {
        push_field(&mut Vec::new(), "Content-Type", value.as_bytes())?;
        self.policy.content_type = Cow::Owned(value.to_owned());
        Ok(self)
    }

    /// As [`with_cache_control`](Self::with_cache_control), checked at once.
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
        match self.fault {
            Some(fault) => response.with_fault(fault),
            None => response,
        }
    }
}
