//! Open files of a site on one core: those that all responses with the same file share, and how many look-ups
//! run at once. Both bound the descriptors that requests for files can take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use glommio::sync::{Permit, Semaphore};

use crate::ring::{File, Ring};

/// Files kept open although no response is sending them: the hot large ones. They cost a descriptor each, and
/// keep the space of a deleted file for up to [`HELD_FOR`].
const HELD_MAX: usize = 32;

/// Time after which such files are closed. A hot one is opened again with its next check anyway.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Most look-ups at once. Each opens up to four files, the siblings included, and ends at the speed of the
/// disk; further ones wait in order, and often find what they need in the cache then.
const LOOKUPS_MAX: usize = 64;

/// Files that are hashed at once. Requests that ask together for one that nobody has asked for before wait
/// here, and find the first one's result.
const HASHES_MAX: u64 = 2;

/// Descriptors of one look-up.
const FILES_PER_LOOKUP: usize = 4;

pub(super) struct OpenFiles {
    held: Rc<HeldFiles>,
    lookups: Semaphore,
    hashes: Semaphore,
}

#[derive(Default)]
struct HeldFiles {
    files: RefCell<Vec<Rc<File>>>,
    /// Whether a task closes them.
    is_swept: Cell<bool>,
}

impl OpenFiles {
    pub(super) fn new(ring: &Ring) -> Self {
        // Half of the files of the core at most, so that look-ups go on while responses use the others.
        let lookups = (ring.files_max() / FILES_PER_LOOKUP / 2).clamp(1, LOOKUPS_MAX);
        let (lookups, hashes) = (Semaphore::new(lookups as u64), Semaphore::new(HASHES_MAX));
        Self { held: Rc::default(), lookups, hashes }
    }

    /// Waits for the turn of a look-up.
    pub(super) async fn lookup(&self) -> Option<Permit<'_>> {
        // It is never closed.
        self.lookups.acquire_permit(1).await.ok()
    }

    /// Waits for the turn of a hash.
    pub(super) async fn hash(&self) -> Option<Permit<'_>> {
        self.hashes.acquire_permit(1).await.ok()
    }

    /// Keeps a file open for a while.
    pub(super) fn hold(&self, ring: &Ring, file: Rc<File>) {
        let mut files = self.held.files.borrow_mut();
        if files.len() == HELD_MAX {
            files.remove(0);
        }
        files.push(file);
        // A task that is spawned begins at once.
        drop(files);
        if !self.held.is_swept.replace(true) {
            ring.spawn(sweep(ring.clone(), self.held.clone()), |_| ());
        }
    }
}

/// Closes held files after their time, until there are none.
async fn sweep(ring: Ring, held: Rc<HeldFiles>) {
    while !held.files.borrow().is_empty() {
        ring.sleep(HELD_FOR).await;
        held.files.borrow_mut().clear();
    }
    held.is_swept.set(false);
}
