//! Payloads of sends. The payload is owned by the send's slot until the kernel is done with it.

use bytes::Bytes;

/// Bytes to send, in one piece or a head with its body.
#[derive(Debug)]
pub enum Payload {
    /// A buffer, preferably from [`Ring::take_buffer`](super::Ring::take_buffer), to which it is returned.
    Buffer(Vec<u8>),
    /// Bytes shared with others: a cached file, a broadcast message.
    Shared(Bytes),
    /// A head from the pool and a shared body, gathered by the kernel in one operation.
    Gather(Vec<u8>, Bytes),
    /// The first bytes of a block, up to this length, from [`Ring::take_block`](super::Ring::take_block); it
    /// is returned there.
    Block(Block, usize),
}

/// A large buffer whose bytes are all initialised, so that it can be written anywhere without being cleared
/// first. Memory that was never written to is not resident.
pub type Block = Box<[u8]>;

/// The pooled part of a payload that was sent.
pub(super) enum Spare {
    Buffer(Vec<u8>),
    Block(Block),
}

impl Payload {
    /// Total length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Buffer(head) => head.len(),
            Payload::Shared(body) => body.len(),
            Payload::Gather(head, body) => head.len() + body.len(),
            Payload::Block(_, len) => *len,
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unsent part after `sent` bytes, as one or two slices; the second is empty when one holds it all.
    pub fn rest(&self, sent: usize) -> (&[u8], &[u8]) {
        match self {
            Payload::Buffer(head) => (&head[sent..], &[]),
            Payload::Shared(body) => (&body[sent..], &[]),
            Payload::Gather(head, body) if sent < head.len() => (&head[sent..], body),
            Payload::Gather(head, body) => (&body[sent - head.len()..], &[]),
            Payload::Block(block, len) => (&block[sent..*len], &[]),
        }
    }

    /// Its pooled part, for reuse.
    pub(super) fn into_spare(self) -> Option<Spare> {
        match self {
            Payload::Buffer(head) | Payload::Gather(head, _) => Some(Spare::Buffer(head)),
            Payload::Block(block, _) => Some(Spare::Block(block)),
            Payload::Shared(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_exact_at_every_cut() {
        let gather = Payload::Gather(b"head".to_vec(), Bytes::from_static(b"body"));
        let block = Payload::Block(Box::from(*b"headbody and what is not sent"), 8);
        for payload in [gather, block] {
            for sent in 0..=8 {
                let (first, second) = payload.rest(sent);
                assert_eq!([first, second].concat(), b"headbody"[sent..]);
            }
        }
    }
}
