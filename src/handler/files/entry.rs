//! The hot files of one core, small ones whole, and the metadata of large ones: their representations, with
//! field lines already written, the choice between them by content negotiation, and the cache that holds
//! them. It is bounded by bytes, and keeps what is used most. An entry is served without a check for less
//! than a second; the next request then checks the file, while others are still served from memory.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use foldhash::fast::RandomState;
use memchr::memmem;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache as QuickCache, DefaultLifecycle};

use super::content_hash::{self, HASHED_AT_ONCE_BYTES_MAX, HASHED_BYTES_MAX, HashSlot};
use super::facts::RepresentationFacts;
use super::prepare::{Assets, PreparationOutcome, Prepared, PreparedSlot};
use crate::http::accept_encoding::{AcceptEncoding, Coding};
use crate::http::message::RequestHead;
use crate::ring::{File, Metadata, Ring};

/// Content in memory from this size on is sent from its file where that is open and the connection has no
/// layer above TCP: the kernel then copies nothing, which is worth a look at the file. Measured on loopback:
/// at 64 KiB both cost the same, at 100 KiB the file a sixth to a half less.
const DIRECT_BYTES_MIN: usize = 80 * 1024;

/// Age at which an entry is checked again. Including the check, a change is visible within a second.
const CHECK_AFTER: Duration = Duration::from_millis(900);

/// One representation of a file.
pub(super) struct Representation {
    first: Described,
    /// With the hash of the content as the tag, once that is known of a file that is not in memory. `first`
    /// is kept for clients that have its tag: a download that was begun with it can be continued.
    hashed: OnceCell<Described>,
    hash: RefCell<Option<HashSlot>>,
    /// Its whole content, if it is small enough to be cached; otherwise it is streamed from the file.
    body: Option<Bytes>,
    /// That file, while a response sends it or it is held open.
    file: RefCell<Weak<File>>,
}

/// The metadata of a representation, with its field lines.
pub(super) struct Described {
    pub(super) facts: RepresentationFacts,
    /// The field lines of its 200.
    pub(super) fields: Rc<[u8]>,
}

impl Described {
    fn new(facts: RepresentationFacts) -> Self {
        Self { fields: facts.fields().into(), facts }
    }
}

impl Representation {
    pub(super) fn new(facts: RepresentationFacts, body: Option<Bytes>) -> Self {
        let (hashed, hash, file) = (OnceCell::new(), RefCell::default(), RefCell::default());
        Self { first: Described::new(facts), hashed, hash, body, file }
    }

    pub(super) fn coding(&self) -> Coding {
        self.first.facts.coding
    }

    pub(super) fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The metadata for a request.
    #[inline]
    pub(super) fn described(&self, head: &RequestHead) -> &Described {
        if self.body.is_some() { &self.first } else { self.described_by_hash(head) }
    }

    fn described_by_hash(&self, head: &RequestHead) -> &Described {
        let hashed = self.hashed.get().or_else(|| {
            let bits = (*self.hash.borrow().as_ref()?.get()?)?;
            Some(self.hashed.get_or_init(|| Described::new(self.first.facts.with_content(bits))))
        });
        match hashed {
            Some(hashed) if !names(head, self.first.facts.tag.as_bytes()) => hashed,
            _ => &self.first,
        }
    }

    /// Whether its content is in memory, and yet better sent from its file.
    #[inline]
    pub(super) fn is_better_direct(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.len() >= DIRECT_BYTES_MIN)
    }

    /// Its file, if it is open and unchanged.
    pub(super) fn open_file(&self, metadata: &Metadata) -> Option<Rc<File>> {
        let file = self.file.borrow().upgrade()?;
        // A plain call. It also notices a file that was replaced or deleted, because that changes its inode.
        (file.metadata().ok()? == *metadata).then_some(file)
    }

    /// Whether its file is to be hashed before the first response: it is not in memory, and short enough.
    pub(super) fn is_to_be_hashed(&self, metadata: &Metadata) -> bool {
        self.body.is_none() && self.hash.borrow().is_none() && metadata.len <= HASHED_AT_ONCE_BYTES_MAX
    }

    /// Hashes that file.
    pub(super) async fn hash_at_once(&self, ring: &Ring, file: &File, metadata: &Metadata) {
        let Ok(file) = file.to_blocking() else { return };
        let metadata = *metadata;
        let hash = ring.blocking(move || content_hash::of_file(&file, &metadata).ok().flatten()).await;
        *self.hash.borrow_mut() = Some(HashSlot::new(hash.into()));
    }

    /// Shares an open file with later requests, and has it hashed. The file that is open already is
    /// preferred.
    pub(super) fn share(&self, file: File, metadata: &Metadata) -> Rc<File> {
        if let Some(shared) = self.open_file(metadata) {
            return shared;
        }
        let file = Rc::new(file);
        *self.file.borrow_mut() = Rc::downgrade(&file);
        let mut hash = self.hash.borrow_mut();
        if self.body.is_none() && hash.is_none() && metadata.len <= HASHED_BYTES_MAX {
            *hash = content_hash::ask(&file, metadata);
        }
        file
    }

    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len) + self.first.fields.len()
    }
}

/// Whether a request depends on this tag.
fn names(head: &RequestHead, tag: &[u8]) -> bool {
    let conditions = ["if-range", "if-none-match", "if-match"];
    conditions.iter().any(|name| head.fields_named(name).any(|value| memmem::find(value, tag).is_some()))
}

/// A coded form in a file beside the original.
pub(super) struct Sibling {
    pub(super) metadata: Metadata,
    pub(super) representation: Representation,
}

/// A file with all its representations.
pub(super) struct CachedFile {
    /// Its name below the root, for representations that are not in memory.
    pub(super) name: Box<[u8]>,
    pub(super) metadata: Metadata,
    identity: Representation,
    siblings: Box<[Sibling]>,
    preparation: RefCell<Preparation>,
    prepared: OnceCell<Forms>,
    pub(super) checked: Cell<Instant>,
}

/// The state of the preparation of coded forms.
enum Preparation {
    /// None are to be made, or they are ready.
    Done,
    /// No request has accepted one yet.
    NotRequested,
    Requested(PreparedSlot),
    /// There was no room; requested again after the next check.
    Declined,
}

/// Coded forms that were made of the file. Empty where they save too little.
struct Forms {
    representations: Box<[Representation]>,
    /// Counts as memory in use for as long as the forms can be served.
    _held: Arc<Prepared>,
}

/// Whether a request is for the whole of a form, or for ranges of exactly this form. Prepared forms come and
/// go, and ranges of one and of the file would not fit together: requests for ranges without a tag always get
/// ranges of the file.
fn continues(head: &RequestHead, form: &Representation) -> bool {
    head.field("range").is_none() || head.field("if-range") == Some(form.first.facts.tag.as_bytes())
}

impl CachedFile {
    /// `prepares`: whether coded forms may be made of it.
    pub(super) fn new(
        name: &[u8],
        metadata: Metadata,
        identity: Representation,
        siblings: Vec<Sibling>,
        now: Instant,
        prepares: bool,
    ) -> Self {
        let preparation = RefCell::new(if prepares { Preparation::NotRequested } else { Preparation::Done });
        let (prepared, checked) = (OnceCell::new(), Cell::new(now));
        Self {
            name: name.into(),
            metadata,
            identity,
            siblings: siblings.into(),
            preparation,
            prepared,
            checked,
        }
    }

    /// The form that fits the request best, of those that are ready.
    #[inline]
    pub(super) fn choose(&self, head: &RequestHead, assets: &Assets) -> &Representation {
        if self.identity.first.facts.varies { self.negotiate(head, assets) } else { &self.identity }
    }

    fn negotiate(&self, head: &RequestHead, assets: &Assets) -> &Representation {
        let accepted = AcceptEncoding::parse(head.fields_named("accept-encoding"));
        // A client that accepts no coding does not start a preparation.
        if accepted.choose(|_| true) == Coding::Identity {
            return &self.identity;
        }
        if self.siblings.is_empty() && self.prepared.get().is_none() {
            self.prepare(head, assets);
        }
        let coding = accepted.choose(|coding| self.form(coding).is_some());
        match self.form(coding) {
            Some(form) if self.siblings.is_empty() && !continues(head, form) => &self.identity,
            Some(form) => form,
            None => &self.identity,
        }
    }

    #[cold]
    fn prepare(&self, head: &RequestHead, assets: &Assets) {
        let mut preparation = self.preparation.borrow_mut();
        let outcome = match &*preparation {
            Preparation::Requested(slot) => slot.get(),
            // Not for a range: later ranges of the same client are of the file too.
            Preparation::NotRequested if head.field("range").is_none() => {
                if let Some(body) = &self.identity.body {
                    let slot = assets.ask(&self.metadata, body.clone());
                    *preparation = slot.map_or(Preparation::Declined, Preparation::Requested);
                }
                return;
            }
            Preparation::NotRequested | Preparation::Declined | Preparation::Done => return,
        };
        match outcome {
            None => {}
            Some(PreparationOutcome::Declined) => *preparation = Preparation::Declined,
            Some(PreparationOutcome::Prepared(prepared)) => {
                // The cell is empty: only this function fills it.
                let _ = self.prepared.set(self.forms(prepared));
                *preparation = Preparation::Done;
            }
        }
    }

    fn forms(&self, prepared: &Arc<Prepared>) -> Forms {
        let form = |(coding, body): &(Coding, Bytes)| {
            let facts = self.identity.first.facts.prepared(*coding, body.len() as u64);
            Representation::new(facts, Some(body.clone()))
        };
        Forms { representations: prepared.forms.iter().map(form).collect(), _held: prepared.clone() }
    }

    /// The form with this coding.
    fn form(&self, coding: Coding) -> Option<&Representation> {
        let prepared = self.prepared.get().into_iter().flat_map(|forms| &forms.representations);
        let siblings = self.siblings.iter().map(|sibling| &sibling.representation);
        siblings.chain(prepared).find(|form| form.coding() == coding)
    }

    /// The sibling of this coding.
    fn sibling(&self, coding: Coding) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.representation.coding() == coding)
    }

    /// The metadata of a representation's file at the last check.
    pub(super) fn metadata_of(&self, coding: Coding) -> &Metadata {
        self.sibling(coding).map_or(&self.metadata, |sibling| &sibling.metadata)
    }

    /// Whether the file and its siblings are unchanged.
    pub(super) fn is(&self, metadata: &Metadata, siblings: impl ExactSizeIterator<Item = Metadata>) -> bool {
        self.metadata == *metadata
            && self.siblings.len() == siblings.len()
            && self.siblings.iter().zip(siblings).all(|(known, found)| known.metadata == found)
    }

    /// Whether the content is in memory, or has more than `bytes_max` bytes.
    pub(super) fn is_settled(&self, bytes_max: u64) -> bool {
        self.identity.body.is_some() || self.metadata.len > bytes_max
    }

    /// Records that the file was found unchanged.
    pub(super) fn checked(&self, now: Instant) {
        self.checked.set(now);
        let mut preparation = self.preparation.borrow_mut();
        if matches!(*preparation, Preparation::Declined) {
            *preparation = Preparation::NotRequested;
        }
    }

    /// Whether it is not due for a check.
    #[inline]
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.checked.get()) < CHECK_AFTER
    }

    /// Memory it holds, roughly. Prepared forms are counted elsewhere.
    pub(super) fn bytes(&self) -> usize {
        let coded: usize =
            self.siblings.iter().map(|s| size_of::<Sibling>() + s.representation.bytes()).sum();
        self.name.len() + self.identity.bytes() + coded
    }
}

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
