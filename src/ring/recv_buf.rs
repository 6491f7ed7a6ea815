//! Received bytes on loan: a provided buffer that is returned to the pool when dropped, or a copy.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use super::core::Core;

/// Bytes received on a socket, in a provided buffer (returned on drop) or on the heap.
///
/// Keep it only while parsing. To hold input across a wait, call [`detach`](RecvBuf::detach) first: a
/// provided buffer held by a slow handler is missing for all other connections of the core.
pub struct RecvBuf {
    source: RecvSource,
    start: u32,
}

enum RecvSource {
    Provided { core: Rc<Core>, id: u16 },
    Heap(Vec<u8>),
}

/// Bytes that input which is held may occupy in vain, besides as many as it has.
const KEPT_BYTES_MAX: usize = 4096;

impl RecvBuf {
    pub(super) fn provided(core: Rc<Core>, id: u16) -> Self {
        Self { source: RecvSource::Provided { core, id }, start: 0 }
    }

    /// Bytes that are not in a provided buffer.
    pub fn heap(bytes: Vec<u8>) -> Self {
        Self { source: RecvSource::Heap(bytes), start: 0 }
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len());
        self.start += n as u32;
    }

    /// Keeps the first `n` bytes and drops the rest.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn truncate(&mut self, n: usize) {
        assert!(n <= self.len());
        match &mut self.source {
            RecvSource::Provided { core, id } => core.pool.set_len(*id, self.start + n as u32),
            RecvSource::Heap(bytes) => bytes.truncate(self.start as usize + n),
        }
    }

    /// Copies the remaining bytes to the heap and returns the provided buffer, or the memory that they do not
    /// need.
    pub fn detach(&mut self) {
        let is_roomy = match &self.source {
            RecvSource::Provided { .. } => true,
            RecvSource::Heap(bytes) => bytes.capacity() > 2 * self.len() + KEPT_BYTES_MAX,
        };
        if is_roomy {
            let bytes = self.to_vec();
            *self = Self::heap(bytes);
        }
    }
}

impl Deref for RecvBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all = match &self.source {
            RecvSource::Provided { core, id } => core.pool.bytes(*id),
            RecvSource::Heap(bytes) => bytes,
        };
        &all[self.start as usize..]
    }
}

/// For in-place decryption.
impl DerefMut for RecvBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        let all = match &mut self.source {
            RecvSource::Provided { core, id } => {
                // SAFETY: the buffer is ours until it is given back, which only the drop of its one handle
                // does; the handle is borrowed mutably for as long as the slice lives.
                unsafe { core.pool.bytes_mut(*id) }
            }
            RecvSource::Heap(bytes) => bytes,
        };
        &mut all[self.start as usize..]
    }
}

impl Drop for RecvSource {
    fn drop(&mut self) {
        if let RecvSource::Provided { core, id } = self {
            core.pool.give(*id);
            if core.pool.awaited.get() {
                core.inner.borrow_mut().wake_driver();
            }
        }
    }
}

impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecvBuf({} bytes)", self.len())
    }
}
