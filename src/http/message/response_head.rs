//! A response head that owns its bytes: one buffer of field lines and a table of ranges over it. Filled by a
//! protocol machine, read by everything above; made to be cleared and filled again without allocating. Knows
//! nothing of how heads are found in a byte stream.

use std::fmt;

use super::head::{FieldSpan, Fields, FieldsNamed, Framing, Version, push_line};
use crate::http::status::Status;

/// One response's head.
///
/// A new one holds no memory; the first fill allocates, later ones reuse. Its content is valid only after a
/// machine reported a head. Filling it again needs no [`clear`](ResponseHead::clear) before.
#[derive(Clone, Default)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    // INVARIANT: every span lies within `bytes`.
    fields: Vec<FieldSpan>,
    /// `None` only while empty.
    status: Option<Status>,
    version: Version,
    facts: ResponseFacts,
}

/// What status, version and fields of a response say together about its body and the connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::http) struct ResponseFacts {
    pub(in crate::http) framing: Framing,
    pub(in crate::http) keep_alive: bool,
}

impl ResponseHead {
    /// A head without content and without memory.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Forgets the content and keeps the capacity. A cleared head reads as a 200 without fields and body,
    /// after which the connection is closed.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.status = None;
        self.version = Version::default();
        self.facts = ResponseFacts::default();
    }

    /// The status.
    #[inline]
    pub fn status(&self) -> Status {
        self.status.unwrap_or(Status::OK)
    }

    /// The protocol version.
    #[inline]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The first value of the field with this name (ASCII case-insensitive), without surrounding white
    /// space.
    #[inline]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(name)
    }

    /// All fields in the order received.
    #[inline]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.bytes, &self.fields)
    }

    /// The values of every field with this name (ASCII case-insensitive), in order.
    pub fn fields_named<'n>(&self, name: &'n str) -> FieldsNamed<'_, 'n> {
        FieldsNamed::new(self.fields(), name)
    }

    /// How the body is delimited; [`Framing::None`] for an interim response too, and of HTTP/2
    /// [`Framing::Tunnel`] when a tunnel was opened.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// Whether the connection can carry another request once the body was read (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive
    }
}

/// For the protocol machines, which ensure that names are tokens and values hold no control bytes.
impl ResponseHead {
    /// Begins a head that did not come as lines; fields, facts and the end follow.
    pub(in crate::http) fn begin(&mut self, status: Status, version: Version) {
        self.clear();
        self.status = Some(status);
        self.version = version;
    }

    /// Appends a field to a head that was begun. `never_indexed`: its sender wants it in no compression
    /// table (RFC 7541 §6.2.3).
    pub(in crate::http) fn push_field(&mut self, name: &[u8], value: &[u8], never_indexed: bool) {
        let field = push_line(&mut self.bytes, name, value, never_indexed);
        self.fields.push(field);
    }

    /// Ends a head that was begun.
    pub(in crate::http) fn end(&mut self, facts: ResponseFacts) {
        self.facts = facts;
    }
}

/// The status, and of the fields only their names: values may hold secrets.
impl fmt::Debug for ResponseHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("fields", &self.fields().map(|(name, _)| name).collect::<Vec<_>>())
            .field("framing", &self.facts.framing)
            .field("keep_alive", &self.facts.keep_alive)
            .finish()
    }
}
