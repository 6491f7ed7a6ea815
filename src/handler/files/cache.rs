//! The cache of hot files of one core: small files whole, and the metadata of large ones.
//!
//! An entry is served without a check for less than a second; the next request then checks the file, while
//! others are still served from memory. The cache is bounded by bytes, and keeps what is used most.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache as QuickCache, DefaultLifecycle};

use super::entry::CachedFile;

/// Bytes of an entry beside its bodies and names: metadata, the cache's own links. Measured roughly; without
/// it a million empty files would count as nothing.
const ENTRY_BYTES: u64 = 512;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Rc<CachedFile>> for ByBytes {
    fn weight(&self, path: &Box<str>, entry: &Rc<CachedFile>) -> u64 {
        ENTRY_BYTES + (path.len() + entry.bytes()) as u64
    }
}

type FileMap =
    QuickCache<Box<str>, Rc<CachedFile>, ByBytes, RandomState, DefaultLifecycle<Box<str>, Rc<CachedFile>>>;

pub(super) struct Cache {
    inner: RefCell<FileMap>,
}

impl Cache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let files = (bytes_max / 16_384).clamp(16, 100_000) as usize;
        let lifecycle = DefaultLifecycle::default();
        let inner = QuickCache::with(files, bytes_max, ByBytes, RandomState::default(), lifecycle);
        Self { inner: RefCell::new(inner) }
    }

    /// The entry for a path in its normal form, if it is not due for a check.
    #[inline]
    pub(super) fn fresh(&self, path: &str, now: Instant) -> Option<Rc<CachedFile>> {
        let inner = self.inner.borrow();
        inner.get(path).filter(|entry| entry.is_fresh(now)).cloned()
    }

    /// The same for a caller that checks a due entry: meanwhile it counts as fresh for other requests.
    pub(super) fn fresh_or_due(&self, path: &str, now: Instant) -> Option<Rc<CachedFile>> {
        let inner = self.inner.borrow();
        let entry = inner.get(path)?;
        if entry.is_fresh(now) {
            return Some(entry.clone());
        }
        entry.checked.set(now);
        None
    }

    /// The entry, due or not.
    pub(super) fn stale(&self, path: &str) -> Option<Rc<CachedFile>> {
        self.inner.borrow().peek(path).cloned()
    }

    pub(super) fn insert(&self, path: &str, entry: Rc<CachedFile>) {
        self.inner.borrow_mut().insert(path.into(), entry);
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.inner.borrow_mut().clear();
    }

    pub(super) fn remove(&self, path: &str) {
        self.inner.borrow_mut().remove(path);
    }
}
