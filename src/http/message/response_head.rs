//! A response head that owns its bytes. Filled by a protocol machine, read by all layers above; it can be
//! cleared and filled again without allocating. Knows nothing of how heads are delimited in a byte stream,
//! and does not keep the reason phrase, which carries no meaning (RFC 9112 §4).

use std::fmt;

use super::head::{FieldSpan, FieldTable, Fields, FieldsNamed, Framing, Version};
use crate::http::status::Status;

/// One response's head.
///
/// A new one holds no memory; the first fill allocates, later ones reuse. Its content is valid only after a
/// machine reported a head. Filling it again needs no [`clear`](ResponseHead::clear) before.
#[derive(Clone, Default)]
pub struct ResponseHead {
    /// Status line and field lines as received, the empty line included. For HTTP/2 in the format of HTTP/1.
    block: FieldTable,
    /// `None` only while empty.
    status: Option<Status>,
    version: Version,
    facts: ResponseFacts,
}

/// What status, version and fields of a response determine about its body and the connection.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::http) struct ResponseFacts {
    pub(in crate::http) framing: Framing,
    pub(in crate::http) keep_alive: bool,
}

impl ResponseHead {
    /// An empty head without memory.
    pub fn new() -> ResponseHead {
        ResponseHead::default()
    }

    /// Clears the content and keeps the capacity. A cleared head reads as a 200 without fields and body,
    /// after which the connection is closed.
    pub fn clear(&mut self) {
        self.block.clear();
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
        self.block.fields()
    }

    /// The values of every field with this name (ASCII case-insensitive), in order.
    pub fn fields_named<'n>(&self, name: &'n str) -> FieldsNamed<'_, 'n> {
        self.block.fields_named(name)
    }

    /// The options of all `Connection` fields: names of connection-specific fields, among others (RFC 9110
    /// §7.6.1). Members that are not tokens are omitted.
    pub fn connection_options(&self) -> impl Iterator<Item = &str> {
        self.fields().connection_options()
    }

    /// How the body is delimited. [`Framing::None`] too before a tunnel and for an interim response.
    #[inline]
    pub fn framing(&self) -> Framing {
        self.facts.framing
    }

    /// Whether the connection can carry another request once the body was read (RFC 9112 §9.3).
    #[inline]
    pub fn keep_alive(&self) -> bool {
        self.facts.keep_alive
    }

    /// Size of the head as received, in bytes.
    pub fn len_bytes(&self) -> usize {
        self.block.bytes.len()
    }
}

/// For the protocol machines, which ensure that names are tokens and values hold no control bytes.
impl ResponseHead {
    /// Begins a head that was not received as lines; fields, facts and the end follow.
    pub(in crate::http) fn begin(&mut self, status: Status, version: Version) {
        self.clear();
        self.status = Some(status);
        self.version = version;
        status.write_line(&mut self.block.bytes);
    }

    /// Appends a field to a head that was begun. `never_indexed`: the sender excludes it from compression
    /// tables (RFC 7541 §6.2.3).
    pub(in crate::http) fn push_field(&mut self, name: &[u8], value: &[u8], never_indexed: bool) {
        self.block.push(name, value, never_indexed);
    }

    /// Ends a head that was begun.
    pub(in crate::http) fn end(&mut self, facts: ResponseFacts) {
        self.block.bytes.extend_from_slice(b"\r\n");
        self.facts = facts;
    }

    /// Takes a head that was received as lines, the empty line included; its facts follow.
    pub(in crate::http) fn fill(
        &mut self,
        bytes: &[u8],
        status: Status,
        version: Version,
        fields: impl Iterator<Item = FieldSpan>,
    ) {
        self.block.set_bytes(bytes);
        self.block.set_fields(fields);
        self.status = Some(status);
        self.version = version;
    }

    /// Ends a head that was taken with [`fill`](ResponseHead::fill).
    pub(in crate::http) fn finish(&mut self, facts: ResponseFacts) {
        self.facts = facts;
    }
}

/// The status, and only the names of the fields, because values may hold secrets.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_filled_field_by_field_and_reused() {
        let mut head = ResponseHead::new();
        let facts = ResponseFacts { framing: Framing::Chunked, keep_alive: true };
        for _ in 0..2 {
            head.begin(Status::NOT_FOUND, Version::Http2);
            head.push_field(b"set-cookie", b"a=b", true);
            head.push_field(b"connection", b"x-a, close,, b c, \xe9", false);
            head.push_field(b"Connection", b"x-b", false);
            head.end(facts);
            assert_eq!((head.status(), head.version()), (Status::NOT_FOUND, Version::Http2));
            assert_eq!((head.framing(), head.keep_alive()), (Framing::Chunked, true));
            assert_eq!(head.field("Set-Cookie"), Some(&b"a=b"[..]));
            assert_eq!(head.fields_named("connection").count(), 2);
            assert_eq!(head.connection_options().collect::<Vec<_>>(), ["x-a", "close", "x-b"]);
            let mut fields = head.fields();
            let never = std::iter::from_fn(|| Some(fields.next_field()?.never_indexed));
            assert_eq!(never.collect::<Vec<_>>(), [true, false, false]);
            assert!(!format!("{head:?}").contains("a=b"));
        }
        head.clear();
        assert_eq!((head.status(), head.fields().len(), head.len_bytes()), (Status::OK, 0, 0));
        assert_eq!((head.framing(), head.keep_alive()), (Framing::None, false));
    }
}
