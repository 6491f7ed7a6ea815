//! The ring's state for each socket, send, listener and operation: data, and the operations on it alone. A
//! slot owns all memory that the kernel may still access for it.

use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use io_uring::types;

use super::buffers::{BufferPool, NONE};
use super::key::Key;
use super::payload::{Payload, Spare};
use super::sys::RawAddr;
use super::task::SlotWaker;

/// Input copied out of the pool that one socket may hold; more than a whole receive window of a peer whose
/// receive was stopped would be a flood, and ends the connection. Until its cancel is seen, a receive
/// delivers whatever the kernel holds: with default limits (tcp_rmem) half of 32 MiB, from a fast peer.
const HEAP_INPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// No send in progress.
pub(super) const NO_SEND: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecvState {
    Idle,
    /// A plain receive is in flight.
    Once,
    /// A multishot receive is in flight.
    Multi,
    /// A cancel was queued; the last completion has not arrived.
    Cancelling,
}

/// How the incoming side ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecvEnd {
    Open,
    Eof,
    /// By this side, as if at the end of the stream.
    Dismissed,
    Failed(i32),
}

/// What a socket waits for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Waits {
    /// Not for its peer alone.
    #[default]
    No,
    /// The peer's part of a handshake.
    Handshake,
    /// A request, or the end of the connection.
    Request,
}

/// The longest waiting sockets as of the last search, oldest first, with their marks.
#[derive(Default)]
pub(super) struct Found {
    pub(super) of: Waits,
    pub(super) keys: VecDeque<(Key, u32)>,
    /// The tick of the last search that found none.
    pub(super) none_at: Option<u64>,
}

/// One socket's state. 9,000 idle connections are 9,000 of these: keep it small.
pub(super) struct SocketSlot {
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    /// Queue of received buffers, linked through the pool; `NONE` when empty.
    pub(super) rx_first: u16,
    pub(super) rx_last: u16,
    pub(super) rx_count: u16,
    pub(super) rx_state: RecvState,
    pub(super) rx_end: RecvEnd,
    /// Whether a task waits for input.
    pub(super) reading: bool,
    /// Whether it is queued for a free buffer.
    pub(super) starved: bool,
    pub(super) multishot: bool,
    pub(super) timed_out: bool,
    /// Whether it waits for its peer alone, and since which tick.
    pub(super) waits: Waits,
    pub(super) waits_since: u32,
    /// Whether the handle still exists.
    pub(super) held: bool,
    /// Whether a close is linked to the send in progress, which may have run already.
    pub(super) closing: bool,
    /// Whether that close has run.
    pub(super) closed: bool,
    pub(super) tx_error: i32,
    pub(super) tx: u32,
    /// Tick of the deadline, 0 for none; and of its entry in the wheel, 0 for none.
    pub(super) deadline: u64,
    pub(super) wheel: u64,
    /// Bytes the kernel has taken so far.
    pub(super) sent: u64,
    #[allow(clippy::box_collection, reason = "rarely used, and 16 bytes of every idle connection")]
    pub(super) heap: Option<Box<Vec<u8>>>,
    /// Of the task that reads.
    pub(super) rx_waker: Option<SlotWaker>,
    /// Of the task that only watches, where it is another one.
    pub(super) watcher: Option<SlotWaker>,
    pub(super) tx_waker: Option<SlotWaker>,
}

/// A send in progress: owns what the kernel reads.
pub(super) struct SendSlot {
    pub(super) socket: Key,
    pub(super) generation: u32,
    pub(super) payload: Payload,
    pub(super) sent: usize,
    /// Still part of a batch that posts no completion on success.
    pub(super) in_batch: bool,
    /// A close is linked behind it.
    pub(super) last: bool,
    pub(super) gather: Option<Box<Gather>>,
}

impl SendSlot {
    /// Copies the rest, where that frees memory. No operation may be in flight.
    pub(super) fn keep_rest(&mut self) -> Option<Spare> {
        let spare = self.payload.keep_rest(self.sent)?;
        self.sent = 0;
        self.gather = None;
        Some(spare)
    }
}

/// The kernel's description of a gathered send; it must not move while the kernel reads it.
pub(super) struct Gather {
    pub(super) message: libc::msghdr,
    pub(super) parts: [libc::iovec; 2],
}

impl SocketSlot {
    pub(super) fn new(fd: RawFd, generation: u32) -> Self {
        Self {
            fd,
            generation,
            rx_first: NONE,
            rx_last: NONE,
            rx_count: 0,
            rx_state: RecvState::Idle,
            rx_end: RecvEnd::Open,
            reading: false,
            starved: false,
            multishot: false,
            timed_out: false,
            waits: Waits::No,
            waits_since: 0,
            held: true,
            closing: false,
            closed: false,
            tx_error: 0,
            tx: NO_SEND,
            deadline: 0,
            wheel: 0,
            sent: 0,
            heap: None,
            rx_waker: None,
            watcher: None,
            tx_waker: None,
        }
    }

    pub(super) fn close_now(&self) {
        if !self.closed {
            // SAFETY: the slot owns the descriptor, and it is not used after the ring is gone.
            drop(unsafe { OwnedFd::from_raw_fd(self.fd) });
        }
    }

    pub(super) fn wake_reader(&mut self) {
        self.reading = false;
        SlotWaker::wake(&mut self.rx_waker);
        SlotWaker::wake(&mut self.watcher);
    }

    pub(super) fn wake_writer(&mut self) {
        SlotWaker::wake(&mut self.tx_waker);
    }

    /// Appends a received buffer, or its copy when the pool is scarce and no task waits for it.
    pub(super) fn enqueue(&mut self, pool: &BufferPool, id: u16) -> Enqueued {
        if self.heap.is_some() || (!self.reading && pool.is_scarce()) {
            let heap = self.heap.get_or_insert_default();
            heap.extend_from_slice(pool.bytes(id));
            pool.give(id);
            if heap.len() > HEAP_INPUT_BYTES_MAX {
                self.rx_end = RecvEnd::Failed(libc::ENOBUFS);
            }
            return Enqueued::Copied;
        }
        if self.rx_count == 0 {
            self.rx_first = id;
        } else {
            pool.set_next(self.rx_last, id);
        }
        self.rx_last = id;
        self.rx_count += 1;
        Enqueued::Linked
    }

    /// Removes the oldest input.
    pub(super) fn dequeue(&mut self, pool: &BufferPool) -> Option<Input> {
        if self.rx_count > 0 {
            let id = self.rx_first;
            self.rx_first = pool.link(id).0;
            self.rx_count -= 1;
            return Some(Input::Provided(id));
        }
        self.heap.take().map(|bytes| Input::Copied(*bytes))
    }
}

/// Input taken from a socket's queue.
pub(super) enum Input {
    /// A buffer of the pool.
    Provided(u16),
    /// A copy on the heap.
    Copied(Vec<u8>),
}

#[derive(PartialEq, Eq)]
pub(super) enum Enqueued {
    Linked,
    Copied,
}

pub(super) struct ListenerSlot {
    pub(super) generation: u32,
    pub(super) fd: RawFd,
    pub(super) queue: VecDeque<RawFd>,
    pub(super) error: Option<i32>,
    pub(super) armed: bool,
    pub(super) held: bool,
    pub(super) waker: Option<SlotWaker>,
}

impl ListenerSlot {
    pub(super) fn close_queue(&mut self) {
        for fd in self.queue.drain(..).chain([self.fd]) {
            // SAFETY: accepted and not yet handed out, or the listener's own: it has no other owner.
            drop(unsafe { OwnedFd::from_raw_fd(fd) });
        }
    }
}

/// Memory and descriptors that an operation lends to the kernel.
#[allow(dead_code, reason = "owned for the kernel, which reads and writes it; we need not")]
pub(super) enum OpPayload {
    /// Nothing.
    None,
    /// Nothing; the polled descriptor may be an eventfd, which `CoreInner::renew_event` has to know.
    Event,
    /// The address, and the descriptor so that it stays open.
    Connect(Box<RawAddr>, OwnedFd),
    /// Path and flags of an openat2, and the directory; its result is a descriptor.
    Open(CString, Box<types::OpenHow>, Rc<OwnedFd>),
    /// A buffer read into, and the file.
    Buffer(Vec<u8>, Rc<OwnedFd>),
    /// A datagram with its header and address, and the socket.
    Message(Box<DatagramMessage>, Rc<OwnedFd>),
}

/// A datagram's header, address and bytes; boxed, because the header points to the other fields.
pub(super) struct DatagramMessage {
    pub(super) header: libc::msghdr,
    pub(super) part: libc::iovec,
    pub(super) addr: RawAddr,
    pub(super) bytes: Vec<u8>,
}

pub(super) enum OpState {
    Waiting(Option<SlotWaker>),
    Done(i32),
    /// The future is gone; the completion frees the slot.
    Orphan,
    /// A sleep until a tick, without a kernel operation.
    Sleeping(u64, Option<SlotWaker>),
}

pub(super) struct OpSlot {
    pub(super) generation: u32,
    pub(super) state: OpState,
    pub(super) payload: OpPayload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_socket_is_small() {
        assert!(size_of::<SocketSlot>() <= 128, "{}", size_of::<SocketSlot>());
    }
}
