//! The hot files of one core: small ones, whole, with the field lines of their response already written.
//!
//! An entry is served as it is for less than a second; the request after that looks at the file again, while
//! others are still served from memory. What is kept is bounded by bytes; what is hot stays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache as QuickCache, DefaultLifecycle};

use super::facts::Facts;
use crate::http::conditional::FileTag;
use crate::ring::Metadata;

/// Age at which an entry is looked at again. With the look itself, a change shows within a second.
const CHECK_AFTER: Duration = Duration::from_millis(900);

/// What an entry costs beside its body: key, fields, metadata, the cache's own links. Measured roughly; it
/// keeps a million empty files from being free.
const ENTRY_BYTES: u64 = 512;

/// A file as it is answered.
pub(super) struct Entry {
    pub(super) metadata: Metadata,
    pub(super) tag: FileTag,
    pub(super) content_type: &'static str,
    /// Content-Type, ETag, Last-Modified, Accept-Ranges.
    pub(super) fields: Rc<[u8]>,
    pub(super) body: Bytes,
    checked: Cell<Instant>,
}

impl Entry {
    pub(super) fn new(facts: Facts, body: Bytes, now: Instant) -> Self {
        let fields = facts.fields().into();
        let Facts { metadata, tag, content_type } = facts;
        Self { metadata, tag, content_type, fields, body, checked: Cell::new(now) }
    }

    /// Notes that the file was found unchanged.
    pub(super) fn checked(&self, now: Instant) {
        self.checked.set(now);
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Rc<Entry>> for ByBytes {
    fn weight(&self, path: &Box<str>, entry: &Rc<Entry>) -> u64 {
        ENTRY_BYTES + (path.len() + entry.body.len() + entry.fields.len()) as u64
    }
}

type Inner = QuickCache<Box<str>, Rc<Entry>, ByBytes, RandomState, DefaultLifecycle<Box<str>, Rc<Entry>>>;

pub(super) struct Cache {
    inner: RefCell<Inner>,
}

impl Cache {
    pub(super) fn new(bytes_max: u64) -> Self {
        let files = (bytes_max / 16_384).clamp(16, 100_000) as usize;
        let lifecycle = DefaultLifecycle::default();
        let inner = QuickCache::with(files, bytes_max, ByBytes, RandomState::default(), lifecycle);
        Self { inner: RefCell::new(inner) }
    }

    /// The entry for a path as sent, if it need not be looked at again. When it is due, the asker is told
    /// `None` and looks; whoever asks meanwhile is served.
    pub(super) fn fresh(&self, path: &str, now: Instant) -> Option<Rc<Entry>> {
        let inner = self.inner.borrow();
        let entry = inner.get(path)?;
        if now.saturating_duration_since(entry.checked.get()) < CHECK_AFTER {
            return Some(entry.clone());
        }
        entry.checked.set(now);
        None
    }

    /// The entry, due or not.
    pub(super) fn stale(&self, path: &str) -> Option<Rc<Entry>> {
        self.inner.borrow().peek(path).cloned()
    }

    pub(super) fn insert(&self, path: &str, entry: Rc<Entry>) {
        self.inner.borrow_mut().insert(path.into(), entry);
    }

    pub(super) fn remove(&self, path: &str) {
        self.inner.borrow_mut().remove(path);
    }
}
