//! Reads small files into memory, unless they change meanwhile. Knows nothing of requests.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::entry::{CachedFile, Representation, Sibling};
use super::facts::RepresentationFacts;
use super::options::FilesOptions;
use super::policy::NamePolicy;
use super::prepare::PREPARED_FILE_BYTES_MIN;
use super::siblings::{FoundSibling, GZIP_MAGIC};
use crate::http::accept_encoding::Coding;
use crate::http::media_type;
use crate::ring::{File, Metadata, ReadNow};

/// Files that change while they are read into memory are read again this often, then streamed.
const READS_MAX: u32 = 2;

/// An open file, with its siblings.
pub(super) struct OpenedFile<'a> {
    /// Its name below the root.
    pub(super) name: &'a [u8],
    pub(super) file: File,
    pub(super) metadata: Metadata,
    pub(super) siblings: Vec<FoundSibling>,
}

impl OpenedFile<'_> {
    /// Makes a cache entry of it.
    pub(super) async fn load(&self, options: &FilesOptions, now: Instant) -> io::Result<CachedFile> {
        let bytes_max = options.cached_file_bytes_max;
        let mut metadata = self.metadata;
        let mut body = None;
        for _ in 0..READS_MAX {
            match read_unchanged(&self.file, &metadata, bytes_max).await? {
                ReadAttempt::Whole(bytes) => {
                    body = Some(bytes);
                    break;
                }
                ReadAttempt::TooLarge => break,
                ReadAttempt::Changed(after) => metadata = after,
            }
        }
        let mut policy = NamePolicy::of(options, self.name);
        // A plain SVG with the name of a compressed one: the coding would make it unreadable.
        if body.as_ref().is_some_and(|body| policy.coding == Coding::Gzip && !body.starts_with(GZIP_MAGIC)) {
            policy.coding = Coding::Identity;
        }
        let policy = Rc::new(policy);
        let mut siblings = Vec::new();
        for FoundSibling { coding, file, metadata } in &self.siblings {
            let body = match read_unchanged(file, metadata, bytes_max).await {
                Ok(ReadAttempt::Whole(bytes)) => Some(bytes),
                Ok(ReadAttempt::TooLarge) => None,
                // It is being written, or cannot be read: not used for now.
                Ok(ReadAttempt::Changed(_)) | Err(_) => continue,
            };
            let facts = RepresentationFacts::sibling(metadata, body.as_deref(), policy.clone(), *coding);
            siblings.push(Sibling { metadata: *metadata, representation: Representation::new(facts, body) });
        }
        let prepares = options.assets.is_on()
            && siblings.is_empty()
            && policy.coding == Coding::Identity
            && body.is_some()
            && metadata.len >= PREPARED_FILE_BYTES_MIN
            && media_type::is_compressible(&policy.content_type);
        let varies = prepares || !siblings.is_empty();
        let facts = RepresentationFacts::original(&metadata, body.as_deref(), policy, varies);
        let identity = Representation::new(facts, body);
        Ok(CachedFile::new(self.name, metadata, identity, siblings, now, prepares))
    }

    /// The open file of the representation with this coding.
    pub(super) fn file_of(&self, coding: Coding) -> &File {
        let sibling = self.siblings.iter().find(|found| found.coding == coding);
        sibling.map_or(&self.file, |found| &found.file)
    }

    /// The same, taken.
    pub(super) fn into_file(self, coding: Coding) -> File {
        let sibling = self.siblings.into_iter().find(|found| found.coding == coding);
        sibling.map_or(self.file, |found| found.file)
    }
}

/// The result of reading a file into memory.
enum ReadAttempt {
    Whole(Bytes),
    TooLarge,
    /// It changed meanwhile; the new metadata.
    Changed(Metadata),
}

async fn read_unchanged(file: &File, metadata: &Metadata, bytes_max: u64) -> io::Result<ReadAttempt> {
    if metadata.len > bytes_max {
        return Ok(ReadAttempt::TooLarge);
    }
    let body = read_whole(file, metadata.len).await?;
    let after = file.metadata()?;
    let unchanged = after == *metadata && body.len() as u64 == metadata.len;
    Ok(if unchanged { ReadAttempt::Whole(body) } else { ReadAttempt::Changed(after) })
}

async fn read_whole(file: &File, len: u64) -> io::Result<Bytes> {
    // One byte more than expected, to notice a file that grew.
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
