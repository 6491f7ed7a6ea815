//! What a send carries. The payload is owned by the send's slot until the kernel is done with it.

use bytes::Bytes;

/// Bytes to send, in one piece or a head with its body.
#[derive(Debug)]
pub enum Payload {
    /// A buffer, best one from [`Ring::take_buffer`](super::Ring::take_buffer); it goes back there.
    Buffer(Vec<u8>),
    /// Bytes shared with others: a cached file, a broadcast message.
    Shared(Bytes),
    /// A head from the pool and a shared body, gathered by the kernel in one operation.
    Gather(Vec<u8>, Bytes),
}

impl Payload {
    /// Total length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Payload::Buffer(head) => head.len(),
            Payload::Shared(body) => body.len(),
            Payload::Gather(head, body) => head.len() + body.len(),
        }
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is left after `sent` bytes, as one or two slices; the second is empty when one holds it all.
    pub(super) fn rest(&self, sent: usize) -> (&[u8], &[u8]) {
        match self {
            Payload::Buffer(head) => (&head[sent..], &[]),
            Payload::Shared(body) => (&body[sent..], &[]),
            Payload::Gather(head, body) if sent < head.len() => (&head[sent..], body),
            Payload::Gather(head, body) => (&body[sent - head.len()..], &[]),
        }
    }

    /// The pooled buffer in it, to be used again.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Payload::Buffer(head) | Payload::Gather(head, _) => Some(head),
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
        for sent in 0..=gather.len() {
            let (first, second) = gather.rest(sent);
            assert_eq!([first, second].concat(), b"headbody"[sent..]);
        }
    }
}
