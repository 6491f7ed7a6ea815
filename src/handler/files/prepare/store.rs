//! The prepared forms by file, bounded by the bytes that are still referenced. Belongs to the one thread that
//! compresses.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::PreparationOutcome;
use crate::http::accept_encoding::Coding;
use crate::ring::Metadata;

/// Bytes of a prepared file beside its forms; without it, entries for files that are not worth compressing
/// would count as nothing.
const ENTRY_BYTES: u64 = 256;

/// One content of one file: a change of any kind changes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileKey {
    device: u64,
    inode: u64,
    changed_ns: i128,
    modified: (i64, u32),
    len: u64,
}

impl FileKey {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let Metadata { device, inode, changed_ns, modified_s, modified_ns, len, .. } = *metadata;
        Self { device, inode, changed_ns, modified: (modified_s, modified_ns), len }
    }
}

/// The coded forms of one content.
pub(in super::super) struct Prepared {
    /// Empty where compressing saves too little.
    pub(in super::super) forms: Vec<(Coding, Bytes)>,
    bytes: u64,
    held: Arc<AtomicU64>,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        self.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

pub(super) struct PreparedStore {
    prepared: HashMap<FileKey, Arc<Prepared>>,
    /// In the order of their insertion, or of the last eviction pass that found them in use.
    order: VecDeque<FileKey>,
    bytes_max: u64,
    held: Arc<AtomicU64>,
}

impl PreparedStore {
    pub(super) fn new(bytes_max: u64, held: Arc<AtomicU64>) -> Self {
        Self { prepared: HashMap::new(), order: VecDeque::new(), bytes_max, held }
    }

    pub(super) fn find(&self, key: &FileKey) -> Option<Arc<Prepared>> {
        self.prepared.get(key).cloned()
    }

    /// Keeps the forms of a content if there is room, or if evicting unused ones makes room.
    pub(super) fn insert(&mut self, key: FileKey, forms: Vec<(Coding, Bytes)>) -> PreparationOutcome {
        let bytes = ENTRY_BYTES + forms.iter().map(|(_, form)| form.len() as u64).sum::<u64>();
        if !self.make_room(bytes) {
            return PreparationOutcome::Declined;
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let prepared = Arc::new(Prepared { forms, bytes, held: self.held.clone() });
        self.prepared.insert(key, prepared.clone());
        self.order.push_back(key);
        PreparationOutcome::Prepared(prepared)
    }

    /// Evicts the oldest that no core references until `bytes` fit; whether they do.
    fn make_room(&mut self, bytes: u64) -> bool {
        let fits = |held: &AtomicU64| held.load(Ordering::Relaxed).saturating_add(bytes) <= self.bytes_max;
        for _ in 0..self.order.len() {
            if fits(&self.held) {
                return true;
            }
            let Some(key) = self.order.pop_front() else { break };
            if self.prepared.get(&key).is_some_and(|prepared| Arc::strong_count(prepared) > 1) {
                self.order.push_back(key);
            } else {
                self.prepared.remove(&key);
            }
        }
        fits(&self.held)
    }
}
