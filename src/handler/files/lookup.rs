//! Finds the file of a request, when the cache has no fresh entry. Does not block the core: opening and cold
//! reads are ring operations.

use std::io;
use std::rc::Rc;

use super::FilesState;
use super::entry::CachedFile;
use super::listing;
use super::load::OpenedFile;
use super::respond::{self, ContentSource};
use super::siblings;
use crate::http::accept;
use crate::http::message::RequestHead;
use crate::http::path::{self, FilePath};
use crate::http::status::Status;
use crate::observe::log;
use crate::ring::{File, Metadata};
use crate::service::{FieldBlock, Request, Response};

/// Answers a GET or HEAD whose representation is not in memory, or is due for a check.
pub(super) async fn answer(shared: &Rc<FilesState>, request: Request) -> Response {
    let head = request.head();
    if let Some(entry) = shared.cache.fresh_or_due(head.path(), shared.ring.now())
        && let Some(response) = reopen(shared, head, &entry).await
    {
        return response;
    }
    let prefix = &shared.options.prefix;
    let raw = match head.path().strip_prefix(prefix.as_str()) {
        Some("") if !prefix.is_empty() => return redirect_to_directory(head, prefix.clone().into_bytes()),
        Some(raw) if raw.starts_with('/') || prefix.is_empty() => raw,
        _ => return not_found(),
    };
    let mut scratch = Vec::new();
    let path = match path::resolve(raw.as_bytes(), &mut scratch) {
        Ok(path) => path,
        Err(error) if error.is_malformed() => {
            return Response::error(Status::BAD_REQUEST, &format!("the path cannot be served: {error}"));
        }
        Err(_) => return not_found(),
    };
    let target = FileTarget { shared, head, raw, path };
    match target.find().await {
        Ok(response) => response,
        Err(error) => {
            shared.cache.remove(head.path());
            if !target.may_be_a_route(&error) {
                return failed(&error, path);
            }
            let mut response = target.application().await.unwrap_or_else(|| failed(&error, path));
            response.add_lines(b"Vary: Accept\r\n");
            response
        }
    }
}

/// Answers from a fresh entry, with a representation that is not in memory. `None` when its file has changed:
/// the rest may have changed too.
async fn reopen(shared: &Rc<FilesState>, head: &RequestHead, entry: &CachedFile) -> Option<Response> {
    let representation = shared.choose(entry, head);
    let coding = representation.facts.coding;
    let file = shared.ring.open(&shared.root, &siblings::name_of(&entry.name, coding)).await.ok()?;
    if file.metadata().ok()? != entry.metadata_of(coding) {
        return None;
    }
    let content = ContentSource::File(Rc::new(file));
    Some(respond::respond(representation, content, head, shared.ring.unix_seconds()))
}

/// The target of a request, resolved to a path below the root.
#[derive(Clone, Copy)]
struct FileTarget<'a> {
    shared: &'a Rc<FilesState>,
    head: &'a RequestHead,
    /// The path as sent, behind the prefix.
    raw: &'a str,
    path: FilePath<'a>,
}

impl FileTarget<'_> {
    async fn find(self) -> io::Result<Response> {
        let Self { shared, head, path, .. } = self;
        let (file, metadata) = self.open(path.as_bytes()).await?;
        if metadata.is_dir {
            if path.names_directory() {
                return self.index(file).await;
            }
            shared.cache.remove(head.path());
            let mut location = shared.options.prefix.clone().into_bytes();
            path::encode_path(path.as_bytes(), &mut location);
            return Ok(redirect_to_directory(head, location));
        }
        if path.names_directory() {
            shared.cache.remove(head.path());
            return Ok(not_found());
        }
        let key = self.is_plain(path.as_bytes()).then_some(head.path());
        self.serve(key, file, metadata, path.as_bytes()).await
    }

    /// Answers for a directory, with its index file or, where that is allowed, with a listing.
    async fn index(self, directory: File) -> io::Result<Response> {
        let mut missing = io::Error::from_raw_os_error(libc::ENOENT);
        for index in &self.shared.options.index {
            let mut name = self.path.as_bytes().to_vec();
            name.push(b'/');
            name.extend_from_slice(index.as_bytes());
            match self.open(&name).await {
                Ok((file, metadata)) => {
                    let key = self.is_plain(&name).then_some(self.head.path());
                    return self.serve(key, file, metadata, &name).await;
                }
                Err(error) if is_missing(&error) => missing = error,
                Err(error) => return Err(error),
            }
        }
        if !self.shared.options.list {
            return Err(missing);
        }
        let Self { shared, head, path, .. } = self;
        shared.cache.remove(head.path());
        listing::answer(&shared.ring, &shared.root, directory, path, head, &shared.options.prefix).await
    }

    /// Whether an application in the browser may route the path: there is no file, and no extension.
    fn may_be_a_route(self, error: &io::Error) -> bool {
        let path = self.path.as_bytes();
        let has_extension =
            path != b"." && path.rsplit(|b| *b == b'/').next().is_some_and(|s| s.contains(&b'.'));
        self.shared.options.spa && is_missing(error) && !has_extension
    }

    /// The root's index file, for such a path and a client that accepts HTML.
    async fn application(self) -> Option<Response> {
        let Self { shared, head, .. } = self;
        if accept::weight_of(head.fields_named("accept"), "text/html") == 0 {
            return None;
        }
        // The entry is the one of the root itself.
        let key = format!("{}/", shared.options.prefix);
        if let Some(entry) = shared.cache.fresh_or_due(&key, shared.ring.now())
            && let Some(response) =
                respond::from_memory(shared.choose(&entry, head), head, shared.ring.unix_seconds())
        {
            return Some(response);
        }
        for index in &shared.options.index {
            let name = format!("./{index}").into_bytes();
            if let Ok((file, metadata)) = self.open(&name).await {
                return self.serve(Some(&key), file, metadata, &name).await.ok();
            }
        }
        None
    }

    async fn open(self, name: &[u8]) -> io::Result<(File, Metadata)> {
        let file = self.shared.ring.open(&self.shared.root, name).await?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Answers with a file or one of its siblings. The result is cached as `key`, if there is one.
    async fn serve(
        self,
        key: Option<&str>,
        file: File,
        metadata: Metadata,
        name: &[u8],
    ) -> io::Result<Response> {
        let Self { shared, head, .. } = self;
        if !metadata.is_file {
            shared.cache.remove(head.path());
            return Ok(not_found());
        }
        let siblings = siblings::find(shared, name, &metadata).await;
        let opened = OpenedFile { name, file, metadata, siblings };
        let now = shared.ring.now();
        let known = key.and_then(|key| shared.cache.stale(key));
        let found = opened.siblings.iter().map(|found| found.metadata);
        let entry = match known.filter(|entry| entry.is(&metadata, found)) {
            Some(entry) => {
                entry.checked(now);
                entry
            }
            None => {
                let entry = Rc::new(opened.load(&shared.options, now, key.is_some()).await?);
                match key {
                    // A small file that changed while it was read is read again for the next request.
                    Some(key) if entry.is_settled(shared.options.cached_file_bytes_max) => {
                        shared.cache.insert(key, entry.clone());
                    }
                    Some(key) => shared.cache.remove(key),
                    None => {}
                }
                entry
            }
        };
        let representation = shared.choose(&entry, head);
        let seconds = shared.ring.unix_seconds();
        if let Some(response) = respond::from_memory(representation, head, seconds) {
            return Ok(response);
        }
        let file = opened.into_file(&representation.facts);
        Ok(respond::respond(representation, ContentSource::File(Rc::new(file)), head, seconds))
    }

    /// Whether the path was sent in its canonical form. Only such paths are cached, so that a client cannot
    /// fill the cache with different encodings of one path.
    fn is_plain(self, name: &[u8]) -> bool {
        let sent = &self.raw.as_bytes()[1..];
        sent == name
            || (sent.is_empty() && name.starts_with(b"./"))
            || (sent.ends_with(b"/") && name.starts_with(sent))
    }
}

/// 301 to the same path with a slash (and the query), so that relative links work.
fn redirect_to_directory(head: &RequestHead, mut location: Vec<u8>) -> Response {
    location.push(b'/');
    if let Some(query) = head.query() {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    Response::error(Status::MOVED_PERMANENTLY, "the directory is at this path with a slash behind it")
        .field("Location", &location)
        .unwrap_or_else(|_| not_found())
}

pub(super) fn not_found() -> Response {
    Response::error(Status::NOT_FOUND, "there is no such file here")
}

/// Whether there is nothing, as against something that cannot be read.
fn is_missing(error: &io::Error) -> bool {
    use libc::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EXDEV};
    matches!(error.raw_os_error(), Some(ENOENT | ENOTDIR | ENAMETOOLONG | ELOOP | EXDEV | ENXIO))
}

/// What an error means for the client; what the operator should know goes to the log.
fn failed(error: &io::Error, path: FilePath<'_>) -> Response {
    match error.raw_os_error() {
        _ if is_missing(error) => not_found(),
        Some(libc::EACCES | libc::EPERM) => {
            Response::error(Status::FORBIDDEN, "the server may not read this file")
        }
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => {
            log::line(format_args!("cannot open {path:?}: {error}; raise the descriptor limit (ulimit -n)"));
            let busy = Response::error(Status::SERVICE_UNAVAILABLE, "the server is short of resources");
            busy.with_fields(FieldBlock::Static(
                b"Retry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\n",
            ))
        }
        _ => {
            log::line(format_args!("cannot serve {path:?}: {error}"));
            Response::error(Status::INTERNAL_SERVER_ERROR, "the file could not be read")
        }
    }
}
