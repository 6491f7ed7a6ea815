//! From a request to a file, when the cache has no fresh answer. Nothing here blocks the core: opening and
//! cold reads are ring operations.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::Shared;
use super::entry::{Entry, Representation, Sibling};
use super::facts::Facts;
use super::respond::{self, Content};
use super::siblings::{self, Found};
use crate::http::head::RequestHead;
use crate::http::path::{self, FilePath};
use crate::http::status::Status;
use crate::observe::log;
use crate::ring::{File, Metadata, ReadNow};
use crate::service::{FieldBlock, Request, Response};

/// Files that change while they are read into memory are read again this often, then streamed.
const READS_MAX: u32 = 2;

/// Files up to this size are read into memory even if they will not be kept there.
const UNKEPT_BYTES_MAX: u64 = 16 * 1024;

/// Answers a GET or HEAD by looking at the file. `fresh` is what need not be looked at, for a representation
/// that is not in memory.
pub(super) async fn answer(shared: &Rc<Shared>, request: Request, fresh: Option<Rc<Entry>>) -> Response {
    let head = request.head();
    if let Some(entry) = fresh
        && let Some(response) = reopen(shared, head, &entry).await
    {
        return response;
    }
    let mut scratch = Vec::new();
    let path = match path::resolve(head.path().as_bytes(), &mut scratch) {
        Ok(path) => path,
        Err(error) if error.is_malformed() => {
            return Response::error(Status::BAD_REQUEST, &format!("the path cannot be served: {error}"));
        }
        Err(_) => return not_found(),
    };
    match find(shared, head, path).await {
        Ok(response) => response,
        Err(error) => {
            shared.cache.remove(head.path());
            failed(&error, path)
        }
    }
}

async fn find(shared: &Rc<Shared>, head: &RequestHead, path: FilePath<'_>) -> io::Result<Response> {
    let file = shared.ring.open(&shared.root, path.as_bytes()).await?;
    let metadata = file.metadata()?;
    if metadata.is_dir {
        if !path.names_directory() {
            shared.cache.remove(head.path());
            return Ok(redirect_to_directory(head, path));
        }
        let mut index = path.as_bytes().to_vec();
        index.push(b'/');
        index.extend_from_slice(shared.options.index.as_bytes());
        let file = shared.ring.open(&shared.root, &index).await?;
        let metadata = file.metadata()?;
        return serve(shared, head, file, metadata, &index).await;
    }
    if path.names_directory() {
        shared.cache.remove(head.path());
        return Ok(not_found());
    }
    serve(shared, head, file, metadata, path.as_bytes()).await
}

/// Answers from an entry that is fresh, with a representation that is not in memory. `None` when its file is
/// not what it was: the rest may have changed too.
async fn reopen(shared: &Rc<Shared>, head: &RequestHead, entry: &Entry) -> Option<Response> {
    let representation = entry.choose(head);
    let coding = representation.facts.coding;
    let file = shared.ring.open(&shared.root, &siblings::name_of(&entry.name, coding)).await.ok()?;
    if file.metadata().ok()? != entry.metadata_of(coding) {
        return None;
    }
    let content = Content::File(Rc::new(file));
    Some(respond::respond(representation, content, head, shared.ring.unix_seconds()))
}

/// Answers with a file or what lies beside it, and keeps what is known of them.
async fn serve(
    shared: &Rc<Shared>,
    head: &RequestHead,
    file: File,
    metadata: Metadata,
    name: &[u8],
) -> io::Result<Response> {
    if !metadata.is_file {
        shared.cache.remove(head.path());
        return Ok(not_found());
    }
    let siblings = siblings::find(shared, name, &metadata).await;
    let now = shared.ring.now();
    let known = shared.cache.stale(head.path());
    let entry = match known.filter(|entry| entry.is(&metadata, siblings.iter().map(|found| found.metadata))) {
        Some(entry) => {
            entry.checked(now);
            entry
        }
        None => {
            let plain = is_plain(head, name);
            // What is not kept must not be copied for every client either.
            let bytes_max = if plain { shared.options.cached_file_bytes_max } else { UNKEPT_BYTES_MAX };
            let entry = Rc::new(load(&file, metadata, &siblings, name, bytes_max, now).await?);
            // A small one that could not be read in peace is read again for the next request.
            if plain && entry.is_settled(bytes_max) {
                shared.cache.insert(head.path(), entry.clone());
            } else {
                shared.cache.remove(head.path());
            }
            entry
        }
    };
    let representation = entry.choose(head);
    let seconds = shared.ring.unix_seconds();
    if let Some(response) = respond::from_memory(representation, head, seconds) {
        return Ok(response);
    }
    let coding = representation.facts.coding;
    let file = siblings.into_iter().find(|found| found.coding == coding).map_or(file, |found| found.file);
    Ok(respond::respond(representation, Content::File(Rc::new(file)), head, seconds))
}

/// Reads into memory what is small.
async fn load(
    file: &File,
    mut metadata: Metadata,
    siblings: &[Found],
    name: &[u8],
    bytes_max: u64,
    now: Instant,
) -> io::Result<Entry> {
    let mut body = None;
    for _ in 0..READS_MAX {
        match read_unchanged(file, &metadata, bytes_max).await? {
            Reading::Whole(bytes) => {
                body = Some(bytes);
                break;
            }
            Reading::TooLarge => break,
            Reading::Changed(after) => metadata = after,
        }
    }
    let mut coded = Vec::new();
    for Found { coding, file, metadata } in siblings {
        let body = match read_unchanged(file, metadata, bytes_max).await {
            Ok(Reading::Whole(bytes)) => Some(bytes),
            Ok(Reading::TooLarge) => None,
            // It is being written, or cannot be read: not for now.
            Ok(Reading::Changed(_)) | Err(_) => continue,
        };
        let representation = Representation::new(Facts::sibling(metadata, name, *coding), body);
        coded.push(Sibling { metadata: *metadata, representation });
    }
    Ok(Entry::new(name, metadata, body, coded, now))
}

/// What came of reading a file into memory.
enum Reading {
    Whole(Bytes),
    TooLarge,
    /// It changed meanwhile, into this.
    Changed(Metadata),
}

async fn read_unchanged(file: &File, metadata: &Metadata, bytes_max: u64) -> io::Result<Reading> {
    if metadata.len > bytes_max {
        return Ok(Reading::TooLarge);
    }
    let body = read_whole(file, metadata.len).await?;
    let after = file.metadata()?;
    let unchanged = after == *metadata && body.len() as u64 == metadata.len;
    Ok(if unchanged { Reading::Whole(body) } else { Reading::Changed(after) })
}

/// Whether the path was sent in its plainest form. Only such paths are kept, so that a client cannot fill
/// the cache with spellings of one file.
fn is_plain(head: &RequestHead, name: &[u8]) -> bool {
    let sent = &head.path().as_bytes()[1..];
    sent == name
        || (sent.is_empty() && name.starts_with(b"./"))
        || (sent.ends_with(b"/") && name.starts_with(sent))
}

async fn read_whole(file: &File, len: u64) -> io::Result<Bytes> {
    // One byte more than it should have shows a file that grew.
    let mut body = vec![0; len as usize + 1];
    let mut read = match file.read_now(&mut body, 0)? {
        ReadNow::Bytes(read) => read,
        ReadNow::Wait => 0,
    };
    while read as u64 <= len {
        body.truncate(read);
        let before = body.len();
        body.reserve_exact((len as usize + 1) - before);
        body = file.read_at(body, before as u64).await?;
        if body.len() == before {
            break;
        }
        read = body.len();
    }
    body.truncate(read);
    Ok(body.into())
}

/// 301 to the same path with a slash (and the query), so that relative links work.
fn redirect_to_directory(head: &RequestHead, path: FilePath<'_>) -> Response {
    let mut location = Vec::new();
    path::encode_path(path.as_bytes(), &mut location);
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

/// What an error means for the client; what the operator should know goes to the log.
fn failed(error: &io::Error, path: FilePath<'_>) -> Response {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP | libc::EXDEV | libc::ENXIO) => {
            not_found()
        }
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
