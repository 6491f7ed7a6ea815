//! A file as it is answered: the representations there are of it, with their field lines already written,
//! and which of them a request gets.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::facts::Facts;
use crate::http::accept_encoding::{AcceptEncoding, Coding};
use crate::http::head::RequestHead;
use crate::ring::Metadata;

/// Age at which an entry is looked at again. With the look itself, a change shows within a second.
const CHECK_AFTER: Duration = Duration::from_millis(900);

/// One form of a file.
pub(super) struct Representation {
    pub(super) facts: Facts,
    /// The lines of its 200.
    pub(super) fields: Rc<[u8]>,
    /// All of it, if it is small enough to be kept; otherwise it is streamed from the file.
    pub(super) body: Option<Bytes>,
}

impl Representation {
    pub(super) fn new(facts: Facts, body: Option<Bytes>) -> Self {
        Self { fields: facts.fields().into(), facts, body }
    }

    fn bytes(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len) + self.fields.len()
    }
}

/// A coded form that lies beside the file.
pub(super) struct Sibling {
    pub(super) metadata: Metadata,
    pub(super) representation: Representation,
}

/// A file with everything there is to be answered of it.
pub(super) struct Entry {
    /// The file below the root, for forms that are not kept in memory.
    pub(super) name: Box<[u8]>,
    pub(super) metadata: Metadata,
    identity: Representation,
    siblings: Box<[Sibling]>,
    checked: Cell<Instant>,
}

impl Entry {
    pub(super) fn new(
        name: &[u8],
        metadata: Metadata,
        body: Option<Bytes>,
        siblings: Vec<Sibling>,
        now: Instant,
    ) -> Self {
        let identity = Representation::new(Facts::original(&metadata, name, !siblings.is_empty()), body);
        let checked = Cell::new(now);
        Self { name: name.into(), metadata, identity, siblings: siblings.into(), checked }
    }

    /// The form that fits the request best.
    #[inline]
    pub(super) fn choose(&self, head: &RequestHead) -> &Representation {
        if self.siblings.is_empty() { &self.identity } else { self.negotiate(head) }
    }

    fn negotiate(&self, head: &RequestHead) -> &Representation {
        let accepted = AcceptEncoding::parse(head.fields_named("accept-encoding"));
        let coding = accepted.choose(|coding| self.sibling(coding).is_some());
        self.sibling(coding).map_or(&self.identity, |sibling| &sibling.representation)
    }

    /// The sibling of this coding.
    pub(super) fn sibling(&self, coding: Coding) -> Option<&Sibling> {
        self.siblings.iter().find(|sibling| sibling.representation.facts.coding == coding)
    }

    /// What the file of a representation was when it was looked at.
    pub(super) fn metadata_of(&self, coding: Coding) -> Metadata {
        self.sibling(coding).map_or(self.metadata, |sibling| sibling.metadata)
    }

    /// Whether the file and what lies beside it are still what they were.
    pub(super) fn is(&self, metadata: &Metadata, siblings: impl ExactSizeIterator<Item = Metadata>) -> bool {
        self.metadata == *metadata
            && self.siblings.len() == siblings.len()
            && self.siblings.iter().zip(siblings).all(|(known, found)| known.metadata == found)
    }

    /// Whether everything that has at most `bytes_max` bytes is in memory.
    pub(super) fn is_settled(&self, bytes_max: u64) -> bool {
        self.identity.body.is_some() || self.metadata.len > bytes_max
    }

    /// Notes that the file was found unchanged.
    pub(super) fn checked(&self, now: Instant) {
        self.checked.set(now);
    }

    /// Whether it need not be looked at again. When it is due, the asker is told so and looks; whoever asks
    /// meanwhile is served.
    #[inline]
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        if now.saturating_duration_since(self.checked.get()) < CHECK_AFTER {
            return true;
        }
        self.checked.set(now);
        false
    }

    /// Memory it holds, roughly.
    pub(super) fn bytes(&self) -> usize {
        let coded: usize =
            self.siblings.iter().map(|s| size_of::<Sibling>() + s.representation.bytes()).sum();
        self.name.len() + self.identity.bytes() + coded
    }
}
