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

/// Bytes that a payload which waits may hold in vain.
const KEPT_BYTES_MAX: usize = 4096;

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

    /// Bytes of memory that it holds alone.
    pub(super) fn memory(&self) -> usize {
        match self {
            Payload::Buffer(head) | Payload::Gather(head, _) => head.capacity(),
            Payload::Block(block, _) => block.len(),
            Payload::Shared(body) => body.len(),
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

    /// Keeps only what is left after `sent` bytes, in memory of its length, and returns the pooled part: a
    /// payload that waits for its peer may wait for long, and the pool's buffers are larger than most of what
    /// is left. Nothing changes where that would save less than a page.
    pub(super) fn keep_rest(&mut self, sent: usize) -> Option<Spare> {
        let (capacity, rest) = match self {
            Payload::Buffer(head) => (head.capacity(), Bytes::new()),
            Payload::Block(block, _) => (block.len(), Bytes::new()),
            Payload::Gather(head, body) if sent >= head.len() => {
                (usize::MAX, body.slice(sent - head.len()..))
            }
            Payload::Gather(..) | Payload::Shared(_) => return None,
        };
        let left = self.rest(sent).0;
        if capacity.saturating_sub(left.len()) < KEPT_BYTES_MAX {
            return None;
        }
        let rest = if rest.is_empty() { Bytes::copy_from_slice(left) } else { rest };
        std::mem::replace(self, Payload::Shared(rest)).into_spare()
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

    #[test]
    fn the_rest_alone_is_kept() {
        let bytes = |range: std::ops::Range<usize>| range.map(|at| at as u8).collect::<Vec<u8>>();
        let roomy = || {
            let mut buffer = Vec::with_capacity(64 * 1024);
            buffer.extend_from_slice(&bytes(0..20_000));
            buffer
        };
        let block = || {
            let mut block = vec![0; 100_000];
            block[..20_000].copy_from_slice(&bytes(0..20_000));
            block.into_boxed_slice()
        };
        for sent in [0, 1, 300, 16_000, 19_999] {
            let gather = || Payload::Gather(bytes(0..300), Bytes::from(bytes(300..20_000)));
            for (mut payload, is_pooled) in [
                (Payload::Buffer(roomy()), true),
                (Payload::Block(block(), 20_000), true),
                (gather(), sent >= 300),
                (Payload::Shared(Bytes::from(bytes(0..20_000))), false),
            ] {
                let spare = payload.keep_rest(sent);
                assert_eq!(spare.is_some(), is_pooled);
                let left = if is_pooled { payload.rest(0) } else { payload.rest(sent) };
                assert_eq!([left.0, left.1].concat(), bytes(sent..20_000));
                assert!(
                    !is_pooled || matches!(&payload, Payload::Shared(rest) if rest.len() == 20_000 - sent)
                );
            }
        }
        let mut exact = Payload::Buffer(bytes(0..20_000));
        assert!(exact.keep_rest(100).is_none(), "what saves nothing is not copied");
    }
}
