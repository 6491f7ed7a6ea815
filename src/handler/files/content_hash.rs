//! Hashes of contents, for tags that agree between machines. Small files are hashed when they are read into
//! memory, larger ones by a helper thread before the first response, and the largest once, on a thread beside
//! the workers, which all cores share.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::{io, thread};

use aws_lc_rs::digest::{Context, SHA256, digest};

use crate::observe::log;
use crate::ring::{BlockingFile, File, Metadata, yield_to_workers};

/// Larger files keep the tag of this machine: reading them takes seconds, and evicts what is hot from the
/// page cache.
pub(super) const HASHED_BYTES_MAX: u64 = 1 << 30;

/// Files up to this size are hashed before the first response with them, on a helper thread: some ten
/// milliseconds. So the tag of most files never changes without the content.
pub(super) const HASHED_AT_ONCE_BYTES_MAX: u64 = 32 << 20;

/// Files that wait to be hashed, each with a descriptor; beyond it, a file is offered again by a later
/// request.
const QUEUE_MAX: usize = 32;

/// Hashes that are remembered for other cores and later checks: 100 bytes each.
const KNOWN_MAX: usize = 4096;

/// Bytes per read.
const BLOCK_BYTES: usize = 256 * 1024;

/// The state of a file: a change of any kind changes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FileState {
    device: u64,
    inode: u64,
    changed_ns: i128,
    modified: (i64, u32),
    len: u64,
}

impl FileState {
    fn of(metadata: &Metadata) -> Self {
        let Metadata { device, inode, changed_ns, modified_s, modified_ns, len, .. } = *metadata;
        Self { device, inode, changed_ns, modified: (modified_s, modified_ns), len }
    }
}

/// The place for a hash; `None` in it if the file changed or could not be read.
pub(super) type HashSlot = Arc<OnceLock<Option<u128>>>;

struct HashJob {
    file: BlockingFile,
    metadata: Metadata,
    slot: HashSlot,
}

/// SHA-256, cut to the length of a tag: two contents with one tag cannot be made.
pub(super) fn of_content(content: &[u8]) -> u128 {
    cut(digest(&SHA256, content).as_ref())
}

/// Of the state of a file on this machine: inode and times tell apart two files with the same length and time
/// of modification. Hashed, because numbers of inodes are internal.
pub(super) fn of_state(metadata: &Metadata) -> u128 {
    let Metadata { inode, changed_ns, modified_s, modified_ns, len, .. } = *metadata;
    let mut hash = Context::new(&SHA256);
    for part in [inode, len, modified_s.cast_unsigned(), u64::from(modified_ns)] {
        hash.update(&part.to_le_bytes());
    }
    hash.update(&changed_ns.to_le_bytes());
    cut(hash.finish().as_ref())
}

fn cut(hash: &[u8]) -> u128 {
    let mut bits = [0; 16];
    bits.copy_from_slice(&hash[..16]);
    u128::from_be_bytes(bits)
}

/// Asks for the hash of a large file. `None` when there is no room in the queue, or no thread.
pub(super) fn ask(file: &File, metadata: &Metadata) -> Option<HashSlot> {
    // One thread for the process, as there is one page cache; started with the first large file.
    static JOBS: OnceLock<Option<SyncSender<HashJob>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(start).as_ref()?;
    let slot = HashSlot::default();
    let job = HashJob { file: file.to_blocking().ok()?, metadata: *metadata, slot: slot.clone() };
    jobs.try_send(job).ok().map(|()| slot)
}

fn start() -> Option<SyncSender<HashJob>> {
    let (sender, jobs) = sync_channel(QUEUE_MAX);
    match thread::Builder::new().name("quoit-hashes".into()).spawn(move || work(&jobs)) {
        Ok(_) => Some(sender),
        Err(error) => {
            log::line(format_args!(
                "tags of large files are this machine's: no thread to hash them: {error}"
            ));
            None
        }
    }
}

fn work(jobs: &Receiver<HashJob>) {
    if let Err(error) = yield_to_workers() {
        log::line(format_args!("large files are hashed at the expense of requests: {error}"));
    }
    let mut known = HashMap::new();
    while let Ok(HashJob { file, metadata, slot }) = jobs.recv() {
        // Evicted meanwhile: a flood of files that are requested once ends here.
        if Arc::strong_count(&slot) == 1 {
            continue;
        }
        let state = FileState::of(&metadata);
        let hash = known.get(&state).copied().or_else(|| of_file(&file, &metadata).ok().flatten());
        if let Some(hash) = hash {
            if known.len() == KNOWN_MAX {
                known.clear();
            }
            known.insert(state, hash);
        }
        // It was empty: only this thread fills slots, and each once.
        let _ = slot.set(hash);
    }
}

/// The hash of a whole file; `None` if it is no longer the one that was asked for. Blocks.
pub(super) fn of_file(file: &BlockingFile, metadata: &Metadata) -> io::Result<Option<u128>> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut hash = Context::new(&SHA256);
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut block, offset)?;
        if read == 0 {
            break;
        }
        hash.update(&block[..read]);
        offset += read as u64;
        if offset > metadata.len {
            return Ok(None);
        }
    }
    let is_unchanged = offset == metadata.len && file.metadata()? == *metadata;
    Ok(is_unchanged.then(|| cut(hash.finish().as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_the_content_alone() {
        // FIPS 180-2, B.1: SHA-256 of `abc`.
        assert_eq!(of_content(b"abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
    }

    #[test]
    fn a_state_is_more_than_length_and_time() {
        let (is_file, is_dir) = (true, false);
        let (modified_s, modified_ns, device) = (1, 0, 1);
        let one =
            Metadata { len: 9, modified_s, modified_ns, changed_ns: 5, inode: 7, device, is_file, is_dir };
        assert_eq!(of_state(&one), of_state(&one));
        assert_ne!(of_state(&one), of_state(&Metadata { inode: 8, ..one }));
        assert_ne!(of_state(&one), of_state(&Metadata { changed_ns: 6, ..one }));
    }
}
