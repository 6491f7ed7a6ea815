//! Provided receive buffers: one pool per core, from which the kernel takes buffers and to which parsers
//! return them.
//!
//! A buffer is owned either by the kernel (it lies in the shared ring) or by the pool: on loan to a parser,
//! or linked in a socket's queue. An idle connection holds none. Input that must be kept without a reader is
//! copied to the heap, so that buffers always return to the pool (see `socket`).

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::{IoUring, types::BufRingEntry};

use super::sys;

/// The buffer group's number; there is one group.
pub(super) const GROUP: u16 = 0;

/// No buffer: the end of a list of links.
pub(super) const NONE: u16 = u16::MAX;

/// The pool. Its memory is mapped once and never moves.
pub(super) struct BufferPool {
    // INVARIANT: `ring` maps `count` entries and `memory` maps `count * size` bytes, both until drop.
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    count: u16,
    size: u32,
    tail: Cell<u16>,
    /// Buffers that the kernel may take, as far as completions have shown.
    free: Cell<u16>,
    leaked: Cell<bool>,
    /// Whether the driver sleeps while sockets wait for a buffer: returning one then has to wake it.
    pub(super) awaited: Cell<bool>,
    /// Per buffer: the next one in its socket's queue, and the bytes received.
    links: Vec<Cell<(u16, u32)>>,
}

impl BufferPool {
    /// Maps `count` (a power of two) buffers of `size` bytes and registers them with `uring`.
    pub(super) fn new(uring: &IoUring, count: u16, size: u32) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count < NONE, "the kernel masks the tail with count - 1");
        let ring = sys::map_anonymous(count as usize * size_of::<BufRingEntry>(), false)?;
        let memory = match sys::map_anonymous(count as usize * size as usize, true) {
            Ok(memory) => memory,
            Err(error) => {
                sys::unmap(ring, count as usize * size_of::<BufRingEntry>());
                return Err(error);
            }
        };
        let pool = Self {
            ring: ring.cast(),
            memory,
            count,
            size,
            tail: Cell::new(0),
            free: Cell::new(0),
            leaked: Cell::new(false),
            awaited: Cell::new(false),
            links: vec![Cell::new((NONE, 0)); count as usize],
        };
        // SAFETY: the mapping is page-aligned, zeroed and holds `count` entries; it stays mapped until the
        // ring is gone, because `Core` drops its ring before its pool.
        unsafe {
            uring.submitter().register_buf_ring_with_flags(pool.ring.as_ptr() as u64, count, GROUP, 0)?;
        }
        for id in 0..count {
            pool.give(id);
        }
        Ok(pool)
    }

    /// Bytes in one buffer.
    pub(super) fn buffer_bytes(&self) -> u32 {
        self.size
    }

    /// Notes that the kernel took buffer `id` and put `len` bytes in it.
    pub(super) fn taken(&self, id: u16, len: u32) {
        self.free.set(self.free.get().saturating_sub(1));
        self.links[id as usize].set((NONE, len));
    }

    /// Returns buffer `id` to the kernel.
    pub(super) fn give(&self, id: u16) {
        debug_assert!(id < self.count);
        let tail = self.tail.get();
        // SAFETY: the index is masked to the mapped entries. The kernel reads only entries between its own
        // head and the published tail, and this one lies beyond the tail until the store below; `id` was
        // ours (taken, or new), so no other entry names the same memory.
        unsafe {
            let entry = self.ring.as_ptr().add((tail & (self.count - 1)) as usize);
            (*entry).set_addr(self.memory.as_ptr().add(id as usize * self.size as usize) as u64);
            (*entry).set_len(self.size);
            (*entry).set_bid(id);
            self.tail.set(tail.wrapping_add(1));
            let shared_tail = BufRingEntry::tail(self.ring.as_ptr()) as *const AtomicU16;
            (*shared_tail).store(self.tail.get(), Ordering::Release);
        }
        self.free.set(self.free.get() + 1);
    }

    /// Leaks the mapping, because the kernel may still write to it.
    pub(super) fn leak(&self) {
        self.leaked.set(true);
    }

    /// Buffers the kernel may still take.
    pub(super) fn free(&self) -> u16 {
        self.free.get()
    }

    /// Whether less than a quarter is left: from here on, input without a waiting task is copied out.
    pub(super) fn is_scarce(&self) -> bool {
        self.free.get() < self.count / 4
    }

    /// The next buffer in `id`'s queue, and `id`'s length.
    pub(super) fn link(&self, id: u16) -> (u16, u32) {
        self.links[id as usize].get()
    }

    /// Makes `next` follow `id`.
    pub(super) fn set_next(&self, id: u16, next: u16) {
        let (_, len) = self.links[id as usize].get();
        self.links[id as usize].set((next, len));
    }

    /// The received bytes of buffer `id`, which must be ours.
    pub(super) fn bytes(&self, id: u16) -> &[u8] {
        let (_, len) = self.link(id);
        debug_assert!(len <= self.size);
        // SAFETY: `id < count` and `len <= size` (both from the kernel's completion), so the range is
        // mapped; while the buffer is ours the kernel does not write to it.
        unsafe {
            std::slice::from_raw_parts(
                self.memory.as_ptr().add(id as usize * self.size as usize),
                len as usize,
            )
        }
    }
}

impl BufferPool {
    /// The received bytes of buffer `id`, to be changed in place.
    ///
    /// # Safety
    /// `id` must be ours, and no other reference to it may exist while the slice lives.
    #[allow(clippy::mut_from_ref)] // the pool hands out disjoint buffers; the caller holds this one
    pub(super) unsafe fn bytes_mut(&self, id: u16) -> &mut [u8] {
        let (_, len) = self.link(id);
        debug_assert!(len <= self.size);
        // SAFETY: as in `bytes`; the caller guarantees exclusive access.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.memory.as_ptr().add(id as usize * self.size as usize),
                len as usize,
            )
        }
    }

    /// Truncates the content of buffer `id`, which must be ours, to its first `len` bytes.
    pub(super) fn set_len(&self, id: u16, len: u32) {
        let (next, old) = self.link(id);
        debug_assert!(len <= old);
        self.links[id as usize].set((next, len));
    }
}

impl Drop for BufferPool {
    fn drop(&mut self) {
        if self.leaked.get() {
            return;
        }
        sys::unmap(self.ring.cast(), self.count as usize * size_of::<BufRingEntry>());
        sys::unmap(self.memory, self.count as usize * self.size as usize);
    }
}
