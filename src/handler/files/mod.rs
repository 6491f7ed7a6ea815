//! Files below a directory: GET and HEAD, index files, redirects to directories, ranges, validators and
//! conditions, content types, coded forms that lie beside a file.
//!
//! ```text
//! request ─► cache (per core, by path as sent) ── fresh ──► choose a coding ──► respond
//!               │ missing or due for a look
//!               ▼
//!            lookup: path ─► openat2 below the root ─► metadata ─► small: read into the cache
//!                            (and .br, .zst, .gz beside it)    └─► large: streamed from the file
//! ```
//!
//! Nothing outside the root is ever served: paths cannot climb, links cannot lead out, hidden files do not
//! exist but for `.well-known`. A file that changed is noticed within a second.

mod cache;
mod entry;
mod facts;
mod lookup;
mod multipart;
mod respond;
mod siblings;

use std::io;
use std::path::Path;
use std::rc::Rc;

use self::cache::Cache;
use crate::http::head::TargetForm;
use crate::http::method::Method;
use crate::http::status::Status;
use crate::ring::{Ring, Root};
use crate::service::{FieldBlock, Request, Response, Service};

/// What to serve and how much memory to spend on it.
#[derive(Clone, Debug)]
pub struct FilesOptions {
    /// The file that answers for its directory. Default `index.html`.
    pub index: String,
    /// Bytes of files kept in memory per core. Default 64 MiB: the hot part of most sites.
    pub cache_bytes_max: u64,
    /// Larger files are streamed instead. Default 512 KiB: beyond it, reading is no longer what costs.
    pub cached_file_bytes_max: u64,
    /// Whether `app.js.br`, `app.js.zst` and `app.js.gz` answer for `app.js` to clients that take them.
    /// Default true: one that is older than the file is ignored, and a hot file costs no look.
    pub siblings: bool,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            index: "index.html".to_owned(),
            cache_bytes_max: 64 * 1024 * 1024,
            cached_file_bytes_max: 512 * 1024,
            siblings: true,
        }
    }
}

/// Serves the files of one directory, on one core.
pub struct Files {
    shared: Rc<Shared>,
}

pub(super) struct Shared {
    ring: Ring,
    root: Root,
    options: FilesOptions,
    cache: Cache,
}

impl Files {
    /// Opens `directory`. Blocking: for start-up.
    ///
    /// # Errors
    /// The kernel's: not found, no directory, no permission.
    pub fn new(ring: Ring, directory: &Path, options: FilesOptions) -> io::Result<Self> {
        let root = Root::open(directory)?;
        let cache = Cache::new(options.cache_bytes_max);
        Ok(Self { shared: Rc::new(Shared { ring, root, options, cache }) })
    }
}

impl Service for Files {
    async fn call(&self, request: Request) -> Response {
        let head = request.head();
        if !matches!(head.method(), Method::Get | Method::Head) {
            return method_not_allowed(&request);
        }
        let now = self.shared.ring.now();
        let fresh = self.shared.cache.fresh(head.path(), now);
        if let Some(entry) = &fresh
            && let Some(response) =
                respond::from_memory(entry.choose(head), head, self.shared.ring.unix_seconds())
        {
            return response;
        }
        Box::pin(lookup::answer(&self.shared, request, fresh)).await
    }
}

/// Answers every method but GET and HEAD: OPTIONS is told what there is, the rest that it is not allowed.
pub(super) fn method_not_allowed(request: &Request) -> Response {
    let allow = FieldBlock::Static(b"Allow: GET, HEAD, OPTIONS\r\n");
    if request.method() == Method::Options && request.head().form() != TargetForm::Authority {
        return Response::new(Status::NO_CONTENT).with_fields(allow);
    }
    Response::error(Status::METHOD_NOT_ALLOWED, "only GET and HEAD are served here").with_fields(
        FieldBlock::Static(b"Allow: GET, HEAD, OPTIONS\r\nContent-Type: text/plain; charset=utf-8\r\n"),
    )
}
