//! Open files of a site on one core: those that all responses with the same file share, and how many look-ups
//! run at once. Both bound the descriptors that requests for files can take.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::sync::{Semaphore, StaticPermit};

use crate::ring::{File, Ring};

/// Files kept open although no response is sending them: the hot large ones. They cost a descriptor each, and
/// keep the space of a deleted file for one and a half [`HELD_FOR`] at most.
const HELD_MAX: usize = 32;

/// Time after which such files are closed: longer than it takes until the next check of a hot one, which
/// holds it anew.
const HELD_FOR: Duration = Duration::from_secs(1);

/// Most look-ups at once. Each opens up to four files, the siblings included, and ends at the speed of the
/// disk; further ones wait in order, and often find what they need in the cache then.
const LOOKUPS_MAX: usize = 64;

/// Of those, the ones for files that are known already: what is hot never waits behind what is cold. They
/// take no longer than it takes to see that a file is unchanged.
const CHECKS_MAX: usize = 16;

/// Files that are hashed at once. Requests that ask together for one that was not asked for before wait
/// here, with no file open and no look-up's turn, and find the first one's result.
const HASHES_MAX: usize = 2;

/// Directories that are listed at once. The others wait with no file open.
const LISTINGS_MAX: usize = 2;

/// Descriptors of one look-up.
const FILES_PER_LOOKUP: usize = 4;

pub(super) struct OpenFiles {
    held: Rc<HeldFiles>,
    lookups: Rc<Semaphore>,
    checks: Rc<Semaphore>,
    hashes: Rc<Semaphore>,
    listings: Rc<Semaphore>,
}

/// The turn of a look-up. It ends before anything that takes longer than a look-up.
pub(super) struct Turn(Cell<Option<StaticPermit>>);

impl Turn {
    pub(super) fn end(&self) {
        self.0.take();
    }
}

#[derive(Default)]
struct HeldFiles {
    /// With the time since when each is held, the oldest first.
    files: RefCell<Vec<(Instant, Rc<File>)>>,
    /// Whether a task closes them.
    is_swept: Cell<bool>,
}

impl OpenFiles {
    pub(super) fn new(ring: &Ring) -> Self {
        // About half of the files of the core, so that look-ups go on while responses use the others.
        let all = ring.files_max() / FILES_PER_LOOKUP / 2;
        let checks = (all / 4).clamp(1, CHECKS_MAX);
        let others = checks + HASHES_MAX + LISTINGS_MAX;
        let lookups = all.saturating_sub(others).clamp(1, LOOKUPS_MAX);
        let semaphore = |turns: usize| Rc::new(Semaphore::new(turns as u64));
        Self {
            held: Rc::default(),
            lookups: semaphore(lookups),
            checks: semaphore(checks),
            hashes: semaphore(HASHES_MAX),
            listings: semaphore(LISTINGS_MAX),
        }
    }

    /// Waits for the turn of a look-up, or of the check of a file that is known.
    pub(super) async fn lookup(&self, is_known: bool) -> Turn {
        let turns = if is_known { &self.checks } else { &self.lookups };
        Turn(Cell::new(turn(turns).await))
    }

    /// Waits for the turn of a hash.
    pub(super) async fn hash(&self) -> Option<StaticPermit> {
        turn(&self.hashes).await
    }

    /// Waits for the turn of a listing.
    pub(super) async fn listing(&self) -> Option<StaticPermit> {
        turn(&self.listings).await
    }

    /// Keeps a file open for a while.
    pub(super) fn hold(&self, ring: &Ring, file: Rc<File>) {
        let mut files = self.held.files.borrow_mut();
        files.retain(|(_, held)| !Rc::ptr_eq(held, &file));
        if files.len() == HELD_MAX {
            files.remove(0);
        }
        files.push((ring.now(), file));
        // A task that is spawned begins at once.
        drop(files);
        if !self.held.is_swept.replace(true) {
            ring.spawn(sweep(ring.clone(), self.held.clone()), |_| ());
        }
    }
}

async fn turn(turns: &Rc<Semaphore>) -> Option<StaticPermit> {
    // It is never closed.
    turns.acquire_static_permit(1).await.ok()
}

/// Closes held files after their time, until there are none.
async fn sweep(ring: Ring, held: Rc<HeldFiles>) {
    while !held.files.borrow().is_empty() {
        ring.sleep(HELD_FOR / 2).await;
        let is_young = |since: Instant| ring.now().saturating_duration_since(since) < HELD_FOR;
        held.files.borrow_mut().retain(|(since, _)| is_young(*since));
    }
    held.is_swept.set(false);
}
