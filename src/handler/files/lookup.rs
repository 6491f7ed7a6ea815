//! Finds the file of a request, when the cache has no fresh entry. Does not block the core: opening and cold
//! reads are ring operations.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::FilesState;
use super::entry::CachedFile;
use super::listing;
use super::load::OpenedFile;
use super::open_files::Turn;
use super::respond::{self, ContentSource};
use super::siblings;
use crate::http::accept;
use crate::http::media_type;
use crate::http::message::RequestHead;
use crate::http::path::{self, FilePath};
use crate::http::status::Status;
use crate::observe::log;
use crate::ring::{File, Metadata, Root};
use crate::service::{IntoResponse as _, Problem, Request, Response};

/// Answers a GET or HEAD whose representation is not in memory, or is due for a check.
pub(super) async fn answer(shared: &Rc<FilesState>, request: Request) -> Response {
    let request = &request;
    let head = request.head();
    // What is in memory waits for nothing, and what is known does not wait behind files that are not.
    if let Some(entry) = shared.cache.fresh(head.path(), shared.ring.now())
        && let Some(response) = shared.at_once(&entry, request)
    {
        return response;
    }
    let is_known = shared.cache.stale(head.path()).is_some();
    let turn = &shared.open.lookup(is_known).await;
    if shared.root.look(&shared.ring).await {
        shared.cache.clear();
    }
    // One root for all that this response is made of, whatever happens to its name meanwhile.
    let root = &shared.root.current();
    if let Some(entry) = shared.cache.fresh_or_due(head.path(), shared.ring.now())
        && let Some(response) = answer_fresh(shared, root, request, &entry).await
    {
        return response;
    }
    let raw = match head.path().strip_prefix(shared.prefix.as_str()) {
        Some("") if !shared.prefix.is_empty() => {
            return redirect_to_directory(head, shared.prefix.clone().into_bytes());
        }
        Some(raw) if raw.starts_with('/') || shared.prefix.is_empty() => raw,
        _ => return not_found(),
    };
    let site = SiteRequest { shared, root, request, head, turn };
    let mut scratch = Vec::new();
    let path = match path::resolve(raw.as_bytes(), &mut scratch) {
        Ok(path) => path,
        Err(error) if error.is_malformed() => {
            return Response::error(Status::BAD_REQUEST, &format!("the path cannot be served: {error}"));
        }
        // No file has the name, but a route in the browser may.
        Err(error) if error.is_too_long() => return site.application_or(raw.as_bytes(), not_found()).await,
        Err(_) => return not_found(),
    };
    match (FileTarget { site, path }).find().await {
        Ok(response) => response,
        Err(error) if is_shortage(&error) => {
            shared.notices.tell(shared, &error, path);
            // What is known of the file is better than nothing; it is checked again with a later request.
            let known = shared.cache.stale(head.path());
            known.and_then(|entry| shared.at_once(&entry, request)).unwrap_or_else(busy)
        }
        Err(error) => {
            shared.cache.remove(head.path());
            if !is_missing(&error) {
                return failed(&error, path);
            }
            shared.notices.tell(shared, &error, path);
            site.application_or(path.as_bytes(), not_found()).await
        }
    }
}

/// Answers from a fresh entry. `None` when its file has changed, as the rest may have then, or when it has to
/// be hashed first.
async fn answer_fresh(
    shared: &Rc<FilesState>,
    root: &Root,
    request: &Request,
    entry: &CachedFile,
) -> Option<Response> {
    let head = request.head();
    // It may have become fresh, or its file open, while this request waited for its turn.
    if let Some(response) = shared.at_once(entry, request) {
        return Some(response);
    }
    let representation = shared.choose(entry, head);
    let coding = representation.coding();
    let metadata = entry.metadata_of(coding);
    if representation.is_to_be_hashed(metadata) {
        return None;
    }
    let file = shared.ring.open(root, &siblings::name_of(&entry.name, coding)).await.ok()?;
    if file.metadata().ok()? != *metadata {
        return None;
    }
    let file = representation.share(file, metadata);
    shared.open.hold(&shared.ring, file.clone());
    Some(respond::respond(representation, ContentSource::File(file), head, shared.ring.unix_seconds()))
}

/// A request for a site, under one root.
#[derive(Clone, Copy)]
struct SiteRequest<'a> {
    shared: &'a Rc<FilesState>,
    root: &'a Rc<Root>,
    request: &'a Request,
    head: &'a RequestHead,
    turn: &'a Turn,
}

impl SiteRequest<'_> {
    /// For an application that routes in the browser, the root's index file to a path that may be one of its
    /// routes; otherwise `other`.
    async fn application_or(self, path: &[u8], other: Response) -> Response {
        if !self.shared.options.spa || media_type::has_known_extension(path) {
            return other;
        }
        // A path with the extension of a known type is that of a file that is missing. With another dot it
        // may be a name or the token of a mailed link: a browser's page names HTML, its scripts do not.
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let may_be_a_file = path != b"." && last.contains(&b'.');
        let mut response =
            match may_be_a_file && !accept::names(self.head.fields_named("accept"), "text/html") {
                true => other,
                false => self.application().await.unwrap_or(other),
            };
        response.add_lines(b"Vary: Accept\r\n");
        response
    }

    /// The root's index file, for a client that accepts HTML.
    async fn application(self) -> Option<Response> {
        let Self { shared, request, head, .. } = self;
        if accept::weight_of(head.fields_named("accept"), "text/html") == 0 {
            return None;
        }
        // The entry is the one of the root itself.
        let key = format!("{}/", shared.prefix);
        if let Some(entry) = shared.cache.fresh_or_due(&key, shared.ring.now())
            && let Some(response) = shared.at_once(&entry, request)
        {
            return Some(response);
        }
        for index in &shared.options.index {
            let name = format!("./{index}").into_bytes();
            if let Ok((file, metadata)) = self.open(&name).await {
                return self.serve(&key, file, metadata, &name).await.ok();
            }
        }
        None
    }

    async fn open(self, name: &[u8]) -> io::Result<(File, Metadata)> {
        let file = self.shared.ring.open(self.root, name).await?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Answers with a file or one of its siblings, and caches the result as `key`, which is the normal form
    /// of a path: a client cannot fill the cache with different encodings of one.
    async fn serve(
        self,
        key: &str,
        mut file: File,
        mut metadata: Metadata,
        name: &[u8],
    ) -> io::Result<Response> {
        let Self { shared, root, request, head, turn } = self;
        let mut hash_turn = None;
        loop {
            if !shared.serves(&metadata) {
                shared.cache.remove(key);
                return Ok(not_found());
            }
            let siblings = siblings::find(shared, root, name, &metadata).await;
            let opened = OpenedFile { name, file, metadata, siblings };
            let now = shared.ring.now();
            let known = || {
                let found = opened.siblings.iter().map(|found| found.metadata);
                shared.cache.stale(key).filter(|entry| entry.is(&metadata, found))
            };
            let (entry, is_new) = match known() {
                Some(entry) => {
                    entry.checked(now);
                    (entry, false)
                }
                None => {
                    let entry = Rc::new(opened.load(&shared.options, now).await?);
                    let is_in_memory = shared.choose(&entry, head).body().is_some();
                    // Another request may have been the first.
                    match known().filter(|_| !is_in_memory) {
                        Some(known) => (known, false),
                        None => (entry, true),
                    }
                }
            };
            let representation = shared.choose(&entry, head);
            let coding = representation.coding();
            let hashed = entry.metadata_of(coding);
            if representation.is_to_be_hashed(hashed) {
                if hash_turn.is_none() {
                    // Nothing is held while this one waits; then the file is looked at anew.
                    drop((opened, entry));
                    turn.end();
                    hash_turn = Some(shared.open.hash().await);
                    (file, metadata) = self.open(name).await?;
                    continue;
                }
                representation.hash_at_once(&shared.ring, opened.file_of(coding), hashed).await;
            }
            if is_new {
                // A small file that changed while it was read is read again for the next request; and what
                // was found under an old root is not for requests to the new one.
                let is_settled = entry.is_settled(shared.options.cached_file_bytes_max);
                if is_settled && shared.root.is_current(root) {
                    shared.cache.insert(key, entry.clone());
                } else {
                    shared.cache.remove(key);
                }
            }
            let representation = shared.choose(&entry, head);
            if !respond::wants_direct(representation, request)
                && let Some(response) = shared.at_once(&entry, request)
            {
                return Ok(response);
            }
            let coding = representation.coding();
            let file = representation.share(opened.into_file(coding), entry.metadata_of(coding));
            shared.open.hold(&shared.ring, file.clone());
            let content = ContentSource::File(file);
            return Ok(respond::respond(representation, content, head, shared.ring.unix_seconds()));
        }
    }
}

/// The target of a request, resolved to a path below the root.
#[derive(Clone, Copy)]
struct FileTarget<'a> {
    site: SiteRequest<'a>,
    path: FilePath<'a>,
}

impl FileTarget<'_> {
    async fn find(self) -> io::Result<Response> {
        let Self { site, path } = self;
        let SiteRequest { shared, head, .. } = site;
        let is_clean = shared.options.clean_urls && !path.names_directory() && path.as_bytes() != b".";
        let (file, metadata) = match site.open(path.as_bytes()).await {
            Err(error) if is_clean && is_missing(&error) => return self.page().await?.ok_or(error),
            found => found?,
        };
        if metadata.is_dir {
            if path.names_directory() {
                return self.index(file).await;
            }
            drop(file);
            if is_clean && let Some(response) = self.page().await? {
                return Ok(response);
            }
            shared.cache.remove(head.path());
            let mut location = shared.prefix.clone().into_bytes();
            path::encode_path(path.as_bytes(), &mut location);
            return Ok(redirect_to_directory(head, location));
        }
        if path.names_directory() {
            shared.cache.remove(head.path());
            return Ok(not_found());
        }
        site.serve(head.path(), file, metadata, path.as_bytes()).await
    }

    /// Answers with `about.html` for `about`, if it is there.
    async fn page(self) -> io::Result<Option<Response>> {
        let Self { site, path } = self;
        let name = [path.as_bytes(), b".html"].concat();
        match site.open(&name).await {
            Ok((file, metadata)) if metadata.is_file => {
                site.serve(site.head.path(), file, metadata, &name).await.map(Some)
            }
            Ok(_) => Ok(None),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers for a directory, with its index file or, where that is allowed, with a listing.
    async fn index(self, directory: File) -> io::Result<Response> {
        let Self { site, path } = self;
        let SiteRequest { shared, root, head, turn, .. } = site;
        let mut missing = io::Error::from_raw_os_error(libc::ENOENT);
        for index in &shared.options.index {
            let mut name = path.as_bytes().to_vec();
            name.push(b'/');
            name.extend_from_slice(index.as_bytes());
            match site.open(&name).await {
                Ok((file, metadata)) => {
                    drop(directory);
                    return site.serve(head.path(), file, metadata, &name).await;
                }
                Err(error) if is_missing(&error) => missing = error,
                Err(error) => return Err(error),
            }
        }
        if !shared.options.list {
            return Err(missing);
        }
        shared.cache.remove(head.path());
        // Nothing is held while this one waits; then the directory is opened anew.
        drop(directory);
        turn.end();
        let _turn = shared.open.listing().await;
        let (directory, _) = site.open(path.as_bytes()).await?;
        listing::answer(&shared.ring, root, directory, path, head, &shared.prefix).await
    }
}

/// 301 to the same path with a slash (and the query), so that relative links work.
fn redirect_to_directory(head: &RequestHead, mut location: Vec<u8>) -> Response {
    location.push(b'/');
    if let Some(query) = head.query() {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    // Not an error: its content has one form, which clients do not show.
    Response::text("the directory is at this path with a slash behind it\n")
        .with_status(Status::MOVED_PERMANENTLY)
        .with_field("Location", &location)
}

pub(super) fn not_found() -> Response {
    Response::error(Status::NOT_FOUND, "there is no such file here")
}

/// Whether there is nothing, as against something that cannot be read.
fn is_missing(error: &io::Error) -> bool {
    use libc::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EXDEV};
    matches!(error.raw_os_error(), Some(ENOENT | ENOTDIR | ENAMETOOLONG | ELOOP | EXDEV | ENXIO))
}

/// Whether the server lacks something that other requests use, as against a property of the file.
fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
}

fn busy() -> Response {
    Problem::new(Status::SERVICE_UNAVAILABLE)
        .detail("the server is short of resources")
        .header("Retry-After", "1")
        .into_response()
}

/// What an error means for the client; what the operator should know goes to the log.
fn failed(error: &io::Error, path: FilePath<'_>) -> Response {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            Response::error(Status::FORBIDDEN, "the server may not read this file")
        }
        _ => {
            log::line(format_args!("cannot serve {path:?}: {error}"));
            Response::error(Status::INTERNAL_SERVER_ERROR, "the file could not be read")
        }
    }
}

/// Time between two lines about one cause, however many requests meet it.
const NOTICE_EVERY: Duration = Duration::from_secs(60);

/// What the operator should know of, at most once a minute for each cause.
#[derive(Default)]
pub(super) struct Notices {
    shortage: Cell<Option<Instant>>,
    link_out: Cell<Option<Instant>>,
}

impl Notices {
    fn tell(&self, shared: &FilesState, error: &io::Error, path: FilePath<'_>) {
        let is_link_out = error.raw_os_error() == Some(libc::EXDEV);
        let told = match is_link_out {
            true => &self.link_out,
            false if is_shortage(error) => &self.shortage,
            false => return,
        };
        let now = shared.ring.now();
        if told.get().is_some_and(|told| now.saturating_duration_since(told) < NOTICE_EVERY) {
            return;
        }
        told.set(Some(now));
        let root = shared.root.path().display();
        if is_link_out {
            log::line(format_args!(
                "{path:?} below {root} is 404: it leads through a link that is absolute or out of the \
                 directory; replace the link, or follow such links with --follow-links"
            ));
        } else {
            log::line(format_args!(
                "cannot open {path:?} below {root}: {error}; requests for files that are not in memory get \
                 503; raise the limit on descriptors (ulimit -n, LimitNOFILE=)"
            ));
        }
    }
}
