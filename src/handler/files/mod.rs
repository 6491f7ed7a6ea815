//! Files below a directory: GET and HEAD, index files, redirects to directories, ranges, validators and
//! conditions, content types, coded forms that lie beside a file or are made of it once.
//!
//! ```text
//! request ─► cache (per core, by path) ── fresh ──► choose a coding ──► respond
//!               │ missing or due for a check
//!               ▼
//!            lookup: root by its name ─► openat2 below it ─► metadata ─► small: read into the cache
//!                            (and .br, .zst, .gz beside it)    └─► large: streamed from the file
//! ```
//!
//! Nothing outside the root is ever served: paths cannot ascend, links cannot lead out unless an option
//! allows it, and hidden files are 404 except `.well-known`. A change of a file, or of the directory that the
//! root's name leads to, is noticed within a second, and one response is never made of two of them.

mod content_hash;
mod entry;
mod facts;
mod glob;
mod listing;
mod load;
mod lookup;
mod multipart;
mod named;
mod named_root;
mod open_files;
mod options;
mod policy;
mod prepare;
mod refused;
mod respond;
mod siblings;

use std::io;
use std::path::Path;
use std::rc::Rc;

use self::entry::{Cache, CachedFile, Representation};
pub use self::glob::Glob;
use self::lookup::Notices;
pub use self::named::NamedFile;
use self::named_root::NamedRoot;
use self::open_files::OpenFiles;
pub use self::options::{CacheRule, FilesOptions, NoCacheRule, NoPreloadRule, PreloadRule};
pub use self::prepare::Assets;
use self::refused::Refused;
use crate::http::message::{RequestHead, TargetForm};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::ring::{Links, Metadata, Ring};
use crate::service::{FieldBlock, IntoResponse as _, LocalFuture, Problem, Request, Response, Service};

/// Serves the files of one directory, on one core.
pub struct Files {
    shared: Rc<FilesState>,
}

pub(super) struct FilesState {
    ring: Ring,
    root: NamedRoot,
    options: FilesOptions,
    /// The prefix of the options in the normal form of paths.
    prefix: String,
    cache: Cache,
    open: OpenFiles,
    notices: Notices,
    refused: Refused,
}

impl FilesState {
    #[inline]
    fn choose<'a>(&self, entry: &'a CachedFile, head: &RequestHead) -> &'a Representation {
        entry.choose(head, &self.options.assets)
    }

    /// Whether a file may be served: a regular one, and neither a secret nor the server's own output.
    fn serves(&self, metadata: &Metadata) -> bool {
        metadata.is_file && !self.refused.contains(&self.ring, metadata)
    }

    /// The response, unless a file has to be opened for it.
    #[inline]
    fn at_once(&self, entry: &CachedFile, request: &Request) -> Option<Response> {
        let representation = self.choose(entry, request.head());
        let metadata = entry.metadata_of(representation.coding());
        respond::at_once(representation, metadata, request, self.ring.unix_seconds())
    }
}

impl Files {
    /// Opens `directory`. Blocking: for start-up. Whatever is in it, secrets of the server that this core
    /// knows of are not served ([`Ring::keep_back`]).
    ///
    /// # Errors
    /// The kernel's: not found, no directory, no permission. `InvalidInput` for invalid options.
    pub fn new(ring: Ring, directory: &Path, options: FilesOptions) -> io::Result<Self> {
        options.check()?;
        let links = if options.follow_links { Links::Anywhere } else { Links::WithinRoot };
        let root = NamedRoot::open(directory, links, ring.now())?;
        let cache = Cache::new(options.cache_bytes_max);
        let (prefix, open, notices) = (options.normal_prefix(), OpenFiles::new(&ring), Notices::default());
        let refused = Refused::new();
        let shared = FilesState { ring, root, options, prefix, cache, open, notices, refused };
        Ok(Self { shared: Rc::new(shared) })
    }
}

impl Files {
    /// The prefix of the paths that it serves.
    pub(super) fn prefix(&self) -> &str {
        &self.shared.prefix
    }

    /// Answers after checking the file. Boxed, so that connections have no room for it.
    pub(super) fn look(&self, request: Request) -> LocalFuture<'_, Response> {
        Box::pin(async move {
            if is_served(&request) {
                lookup::answer(&self.shared, request).await
            } else {
                method_not_allowed(&request)
            }
        })
    }

    /// The response from memory or from a file that is open, if there is one.
    #[inline]
    fn cached_response(&self, request: &Request) -> Option<Response> {
        let head = request.head();
        if !is_served(request) {
            return Some(method_not_allowed(request));
        }
        let entry = self.shared.cache.fresh(head.path(), self.shared.ring.now())?;
        self.shared.at_once(&entry, request)
    }
}

impl Service for Files {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.look(request)
    }

    fn call_now(&self, request: Request) -> Result<Response, Request> {
        self.cached_response(&request).ok_or(request)
    }
}

fn is_served(request: &Request) -> bool {
    matches!(request.method(), Method::Get | Method::Head)
}

/// Answers every method but GET and HEAD: OPTIONS with 204, those of the standard with 405, others with 501
/// (RFC 9110 §9.1).
pub(super) fn method_not_allowed(request: &Request) -> Response {
    const ALLOW: &str = "GET, HEAD, OPTIONS";
    if request.method() == Method::Options && request.head().form() != TargetForm::Authority {
        let allow = FieldBlock::Static(b"Allow: GET, HEAD, OPTIONS\r\n");
        return Response::new(Status::NO_CONTENT).with_fields(allow);
    }
    let status = match request.method() {
        Method::Other => Status::NOT_IMPLEMENTED,
        _ => Status::METHOD_NOT_ALLOWED,
    };
    Problem::new(status).detail("only GET and HEAD are served here").header("Allow", ALLOW).into_response()
}
