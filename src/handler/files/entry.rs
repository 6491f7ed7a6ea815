//! A cached file: its representations, with their field lines already written, and the choice between them by
//! content negotiation.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::facts::RepresentationFacts;
use super::prepare::{Assets, PreparationOutcome, Prepared, PreparedSlot};
use crate::http::accept_encoding::{AcceptEncoding, Coding};
use crate::http::message::RequestHead;
use crate::ring::Metadata;

/// Age at which an entry is checked again. Including the check, a change is visible within a second.
const CHECK_AFTER: Duration = Duration::from_millis(900);

/// One representation of a file.
pub(super) struct Representation {
    pub(super) facts: RepresentationFacts,
    /// The field lines of its 200.
    pub(super) fields: Rc<[u8]>,
    /// Its whole content, if it is small enough to be cached; otherwise it is streamed from the file.
    pub(super) body: Option<Bytes>,
}

impl Representation {
    pub(super) fn new(facts: RepresentationFacts, body: Option<Bytes>) -> Self {
        Self { fields: facts.fields().into(), facts, body }
    }

    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len) + self.fields.len()
    }
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
    head.field("range").is_none() || head.field("if-range") == Some(form.facts.tag.as_bytes())
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
        if self.identity.facts.varies { self.negotiate(head, assets) } else { &self.identity }
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
            let facts = self.identity.facts.prepared(prepared.hash, *coding, body.len() as u64);
            Representation::new(facts, Some(body.clone()))
        };
        Forms { representations: prepared.forms.iter().map(form).collect(), _held: prepared.clone() }
    }

    /// The form with this coding.
    fn form(&self, coding: Coding) -> Option<&Representation> {
        let prepared = self.prepared.get().into_iter().flat_map(|forms| &forms.representations);
        let siblings = self.siblings.iter().map(|sibling| &sibling.representation);
        siblings.chain(prepared).find(|form| form.facts.coding == coding)
    }

    /// The sibling of this coding.
    fn sibling(&self, coding: Coding) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.representation.facts.coding == coding)
    }

    /// The metadata of a representation's file at the last check.
    pub(super) fn metadata_of(&self, coding: Coding) -> Metadata {
        self.sibling(coding).map_or(self.metadata, |sibling| sibling.metadata)
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
