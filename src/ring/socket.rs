//! Connected sockets: receive, send, deadline, close.
//!
//! **Receiving.** The first receive is a plain one; a kept-alive connection switches to multishot. A receive
//! is armed only while a task reads; a multishot one stays armed between reads. A socket that holds more than
//! its share of buffers has its receive cancelled, so that TCP flow control applies. When the pool is scarce,
//! input without a waiting task is copied out of it.
//!
//! **Sending.** A send is first tried as part of the batch: MSG_DONTWAIT keeps the kernel from waiting, so it
//! is complete when the submission returns, and with CQE_SKIP_SUCCESS only a failure or a short count posts a
//! completion. The rest is then sent as an ordinary operation that waits for the peer. So a response costs no
//! completion and no wake-up, and its buffer is free again after the batch.
//!
//! **Closing.** A slot lives until the kernel has no operation left on it; then the descriptor is closed.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use io_uring::{cqueue, opcode, squeue, types};

use super::buffers::{BufferPool, GROUP};
use super::core::{Core, CoreInner, Ring, RingConfig};
use super::key::{Key, OpKind};
use super::op;
use super::payload::Payload;
use super::peer::{self, PeerState, Watched};
use super::recv_buf::RecvBuf;
use super::slots::{
    Enqueued, Gather, Input, NO_SEND, OpPayload, RecvEnd, RecvState, SendSlot, SocketSlot, Waits,
};
use super::sys::{self, RawAddr};
use super::timer;

/// Longest time between two checks of a socket's deadline. Shorter than any default limit, so that moving a
/// deadline only stores a number; with a longer one, short deadlines would be inserted twice.
const DEADLINE_CHECK: Duration = Duration::from_secs(8);

/// Most bytes that one operation sends; the kernel truncates at 2 GiB less a page.
const SEND_BYTES_MAX: usize = 1 << 30;

impl CoreInner {
    fn socket(&mut self, key: Key) -> Option<&mut SocketSlot> {
        self.sockets.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// The slot of a handle, which keeps it alive.
    fn held(&mut self, key: Key) -> &mut SocketSlot {
        self.socket(key).expect("a handle keeps its slot")
    }

    fn add_socket(&mut self, fd: RawFd) -> Key {
        let generation = self.generation();
        let index = self.sockets.insert(SocketSlot::new(fd, generation)) as u32;
        Key { index, generation }
    }

    /// Queues a receive.
    fn arm_recv(&mut self, key: Key, buffer_bytes: u32) {
        let slot = self.held(key);
        let fd = types::Fd(slot.fd);
        let entry = if slot.multishot {
            slot.rx_state = RecvState::Multi;
            opcode::RecvMulti::new(fd, GROUP).build()
        } else {
            slot.rx_state = RecvState::Once;
            opcode::Recv::new(fd, std::ptr::null_mut(), buffer_bytes)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.in_flight += 1;
        self.push(&entry.user_data(key.user_data(OpKind::Recv)));
    }

    pub(super) fn handle_recv(
        &mut self,
        pool: &BufferPool,
        config: &RingConfig,
        key: Key,
        result: i32,
        flags: u32,
    ) {
        let buffer = cqueue::buffer_select(flags);
        if let Some(id) = buffer {
            pool.taken(id, result.max(0) as u32);
        }
        let Some(slot) = self.socket(key) else {
            debug_assert!(false, "a receive outlived its slot");
            buffer.into_iter().for_each(|id| pool.give(id));
            return;
        };
        let ended = !cqueue::more(flags);
        if ended {
            slot.rx_state = RecvState::Idle;
        }
        let mut copied = false;
        match (result, buffer) {
            (1.., Some(id)) if slot.held => copied = slot.enqueue(pool, id) == Enqueued::Copied,
            (_, Some(id)) => {
                pool.give(id);
                if result == 0 {
                    slot.rx_end = RecvEnd::Eof;
                }
            }
            (0, None) => slot.rx_end = RecvEnd::Eof,
            (error, None) if error == -libc::ENOBUFS => return self.starve(key),
            // Cancelled here, by a signal, or armed while the socket was non-blocking: a task that still
            // reads arms it again.
            (error, None) if matches!(-error, libc::ECANCELED | libc::EINTR | libc::EAGAIN) => {}
            (error, None) => slot.rx_end = RecvEnd::Failed(-error),
        }
        let stop = !ended
            && slot.rx_state == RecvState::Multi
            && (copied || slot.rx_count > config.held_buffers_max || slot.rx_end != RecvEnd::Open);
        if stop {
            slot.rx_state = RecvState::Cancelling;
        }
        slot.wake_reader();
        let released = !slot.held && ended;
        if copied {
            self.stats.inputs_evicted += 1;
        }
        if stop {
            self.stats.receives_stopped += 1;
            self.cancel(key.user_data(OpKind::Recv));
        }
        if released {
            self.release(key);
        }
    }

    /// A receive found no buffer: it is queued until some are returned. Also without a reader, because it may
    /// have been armed by `watch`; but not beyond the socket's share of unread input.
    fn starve(&mut self, key: Key) {
        self.stats.buffers_missing += 1;
        let slot = self.socket(key).expect("checked by the caller");
        if !slot.held {
            return self.release(key);
        }
        let wanted = slot.reading || (slot.rx_count == 0 && slot.heap.is_none());
        if wanted && !slot.starved {
            slot.starved = true;
            self.starved.push_back(key);
        }
    }

    /// Arms starved receives, one for each free buffer.
    pub(super) fn feed_starved(&mut self, pool: &BufferPool) {
        let mut free = pool.free();
        while free > 0 {
            let Some(key) = self.starved.pop_front() else { break };
            let Some(slot) = self.socket(key) else { continue };
            slot.starved = false;
            if slot.held && slot.rx_state == RecvState::Idle {
                self.arm_recv(key, pool.buffer_bytes());
                free -= 1;
            }
        }
    }

    /// Queues the rest of send `key`: as part of the batch, or as an operation that waits.
    fn submit_send(&mut self, key: Key) {
        let send = &mut self.sends[key.index as usize];
        let fd = types::Fd(self.sockets[send.socket.index as usize].fd);
        let (first, second) = send.payload.rest(send.sent);
        // A batch send is complete or fails. A waiting one sends what fits, so that progress is visible.
        let flags =
            libc::MSG_NOSIGNAL | if send.in_batch { libc::MSG_DONTWAIT | libc::MSG_WAITALL } else { 0 };
        let entry = if second.is_empty() {
            let len = first.len().min(SEND_BYTES_MAX) as u32;
            opcode::Send::new(fd, first.as_ptr(), len).flags(flags).build()
        } else {
            let part = |part: &[u8]| libc::iovec { iov_base: part.as_ptr() as *mut _, iov_len: part.len() };
            let parts = [part(first), part(second)];
            let gather = send.gather.get_or_insert_with(|| {
                // SAFETY: an all-zero msghdr is valid: no name, no parts, no control data.
                Box::new(Gather { message: unsafe { std::mem::zeroed() }, parts })
            });
            gather.parts = parts;
            gather.message.msg_iov = gather.parts.as_mut_ptr();
            gather.message.msg_iovlen = 2;
            opcode::SendMsg::new(fd, &raw const gather.message).flags(flags as u32).build()
        };
        if !send.in_batch {
            self.in_flight += 1;
            return self.push(&entry.user_data(key.user_data(OpKind::Send)));
        }
        let last = send.last;
        let entry = entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(key.user_data(OpKind::Batch));
        self.batch.push(key);
        if last {
            // A short send cancels the link, so the close happens only when everything is sent.
            let close = opcode::Close::new(fd).build().flags(squeue::Flags::SKIP_SUCCESS);
            self.push_linked(&entry.flags(squeue::Flags::IO_LINK), &close.user_data(OpKind::Ignore as u64));
        } else {
            self.push(&entry);
        }
    }

    /// A send of the batch failed or was short: the rest is sent as an operation that waits.
    pub(super) fn handle_batch_failure(&mut self, key: Key, result: i32) {
        let Some(send) = self.sends.get_mut(key.index as usize).filter(|s| s.generation == key.generation)
        else {
            debug_assert!(false, "a batch send outlived its slot");
            return;
        };
        send.in_batch = false;
        // A close that was linked behind it was cut off.
        self.sockets[send.socket.index as usize].closing = false;
        self.stats.sends_waited += 1;
        self.handle_send(key, result);
    }

    pub(super) fn handle_send(&mut self, key: Key, result: i32) {
        let Some(send) = self.sends.get_mut(key.index as usize).filter(|s| s.generation == key.generation)
        else {
            debug_assert!(false, "a send outlived its slot");
            return;
        };
        let socket_key = send.socket;
        if result > 0 {
            send.sent += result as usize;
        }
        let complete = send.sent >= send.payload.len();
        let slot = &mut self.sockets[socket_key.index as usize];
        slot.sent += result.max(0) as u64;
        match result {
            _ if complete => self.finish_send(key, 0),
            // A zero count of an incomplete send would loop without end; the kernel never returns it for
            // data.
            0 => self.finish_send(key, libc::EPIPE),
            error if error < 0 && -error != libc::EAGAIN && -error != libc::EINTR => {
                self.finish_send(key, -error);
            }
            _ if !slot.held => self.finish_send(key, libc::ECANCELED),
            _ => {
                // The kernel is done with the payload.
                if let Some(spare) = send.keep_rest() {
                    self.keep_spare(spare);
                }
                self.submit_send(key);
            }
        }
    }

    fn finish_send(&mut self, key: Key, error: i32) {
        let send = self.sends.remove(key.index as usize);
        if let Some(spare) = send.payload.into_spare() {
            self.keep_spare(spare);
        }
        let slot = &mut self.sockets[send.socket.index as usize];
        slot.tx = NO_SEND;
        if error != 0 {
            slot.tx_error = error;
        }
        slot.wake_writer();
        if !slot.held {
            self.release(send.socket);
        }
    }

    /// After everything queued was submitted and every completion seen: batch sends that did not fail are
    /// done.
    pub(super) fn settle_batch(&mut self) {
        self.batch_awaited = false;
        if self.batch.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        for key in batch.drain(..) {
            let Some(send) = self.sends.get(key.index as usize) else { continue };
            if send.generation != key.generation || !send.in_batch {
                continue;
            }
            let slot = &mut self.sockets[send.socket.index as usize];
            slot.sent += (send.payload.len() - send.sent) as u64;
            slot.closed |= send.last;
            self.finish_send(key, 0);
        }
        self.batch = batch;
        self.busy = true;
    }

    /// Frees a slot whose handle is gone, once no completion can arrive for it.
    fn release(&mut self, key: Key) {
        let Some(slot) = self.socket(key) else { return };
        debug_assert!(!slot.held);
        if slot.tx != NO_SEND || slot.rx_state != RecvState::Idle {
            return;
        }
        let (fd, closed) = (slot.fd, slot.closed);
        self.sockets.remove(key.index as usize);
        if !closed {
            self.close(fd);
        }
    }

    /// The handle is dropped: returns the input, cancels operations in flight, and frees the slot when
    /// possible.
    fn abandon(&mut self, key: Key, pool: &BufferPool) {
        let slot = self.held(key);
        slot.held = false;
        (slot.rx_waker, slot.watcher, slot.tx_waker, slot.heap) = (None, None, None, None);
        while slot.rx_count > 0 {
            let id = slot.rx_first;
            slot.rx_first = pool.link(id).0;
            slot.rx_count -= 1;
            pool.give(id);
        }
        let (receiving, send) = (matches!(slot.rx_state, RecvState::Once | RecvState::Multi), slot.tx);
        // Cancels instead of a shutdown: the kernel runs a shutdown later, on a thread that resolves the
        // descriptor's number then, when it may belong to another connection.
        if receiving {
            self.cancel(key.user_data(OpKind::Recv));
        }
        if let Some(waiting) = self.sends.get(send as usize).filter(|waiting| !waiting.in_batch) {
            let key = Key { index: send, generation: waiting.generation };
            self.cancel(key.user_data(OpKind::Send));
        }
        self.release(key);
    }

    /// The timer entry of a socket fired: the deadline has passed, was moved, or was removed.
    pub(super) fn check_deadline(&mut self, key: Key, due: u64) {
        let tick = self.tick;
        let Some(slot) = self.socket(key) else { return };
        if slot.wheel != due {
            return;
        }
        slot.wheel = 0;
        if slot.deadline == 0 || !slot.held {
            return;
        }
        if slot.deadline <= tick {
            slot.deadline = 0;
            slot.timed_out = true;
            slot.wake_reader();
            slot.wake_writer();
        } else {
            self.enter_wheel(key);
        }
    }

    fn enter_wheel(&mut self, key: Key) {
        let latest = self.tick + timer::ticks(DEADLINE_CHECK);
        let slot = self.held(key);
        slot.wheel = slot.deadline.min(latest);
        let due = slot.wheel;
        self.wheel.insert(due, key.token(true));
    }
}

/// A connected stream socket. Dropping it cancels operations in flight and closes the descriptor.
pub struct Socket {
    core: Rc<Core>,
    key: Key,
    fd: RawFd,
}

impl Ring {
    /// Registers a connected socket with this ring.
    pub fn adopt(&self, fd: OwnedFd) -> Socket {
        let fd = fd.into_raw_fd();
        let key = self.core.inner.borrow_mut().add_socket(fd);
        Socket { core: self.core.clone(), key, fd }
    }

    /// Connects to an internet address.
    ///
    /// # Errors
    /// The kernel's: refused, unreachable, no descriptors.
    pub async fn connect(&self, addr: SocketAddr) -> io::Result<Socket> {
        let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let fd = sys::socket(family, libc::SOCK_STREAM)?;
        sys::set_option(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        self.connect_raw(fd, RawAddr::inet(addr)).await
    }

    /// Connects to a Unix stream socket.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); a path over 107 bytes is invalid input.
    pub async fn connect_unix(&self, path: &[u8]) -> io::Result<Socket> {
        let addr = RawAddr::unix(path)?;
        let fd = sys::socket(libc::AF_UNIX, libc::SOCK_STREAM)?;
        self.connect_raw(fd, addr).await
    }

    async fn connect_raw(&self, fd: OwnedFd, addr: RawAddr) -> io::Result<Socket> {
        let addr = Box::new(addr);
        let entry =
            opcode::Connect::new(types::Fd(fd.as_raw_fd()), (&raw const addr.storage).cast(), addr.len);
        // The operation owns address and descriptor, so that dropping this future does not close the
        // descriptor while it is in use.
        let payload = OpPayload::Connect(addr, fd);
        let (result, payload) = op::submit(&self.core, entry.build(), payload).await;
        op::to_result(result)?;
        let OpPayload::Connect(_, fd) = payload else { unreachable!("an operation returns its payload") };
        Ok(self.adopt(fd))
    }

    /// Fails every socket: each task that waits on or watches one is woken with an error.
    pub fn fail_sockets(&self) {
        for (_, slot) in self.core.inner.borrow_mut().sockets.iter_mut() {
            slot.rx_end = RecvEnd::Failed(libc::ECANCELED);
            slot.tx_error = libc::ECANCELED;
            slot.wake_reader();
            slot.wake_writer();
        }
    }

    /// Wakes every task that waits on a socket or watches one, so that it can check for what has changed.
    pub fn wake_sockets(&self) {
        let mut inner = self.core.inner.borrow_mut();
        inner.wake_driver();
        for (_, slot) in inner.sockets.iter_mut() {
            slot.wake_reader();
            slot.wake_writer();
        }
    }

    /// Moves every socket's deadline to at most this time from now, and wakes every task that waits on one or
    /// watches one, so that it can check for a drain.
    pub fn hasten_sockets(&self, within: Duration) {
        let mut inner = self.core.inner.borrow_mut();
        inner.wake_driver();
        let due = timer::due(inner.tick, within);
        let mut moved = Vec::new();
        for (index, slot) in inner.sockets.iter_mut() {
            if slot.deadline == 0 || slot.deadline > due {
                slot.deadline = due;
            }
            if slot.held && (slot.wheel == 0 || slot.deadline < slot.wheel) {
                moved.push(Key { index: index as u32, generation: slot.generation });
            }
            slot.wake_reader();
            slot.wake_writer();
        }
        moved.into_iter().for_each(|key| inner.enter_wheel(key));
    }
}

impl Socket {
    /// The address of the peer; `None` for Unix sockets and disconnected peers. A system call.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.open_fd().ok().and_then(|fd| sys::socket_addr(fd, true))
    }

    /// The address of this end. A system call.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.open_fd().ok().and_then(|fd| sys::socket_addr(fd, false))
    }

    /// Whether the descriptor is still this socket's: the last send closes it as soon as it is submitted, and
    /// its number may then be another connection's.
    pub fn is_open(&self) -> bool {
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        !slot.closing && !slot.closed
    }

    /// The ring it lives on.
    pub fn ring(&self) -> Ring {
        Ring { core: self.core.clone() }
    }

    /// Switches to multishot receives (for a kept-alive connection), or back to plain ones, which cancels an
    /// armed multishot receive.
    pub fn set_multishot(&self, multishot: bool) {
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        slot.multishot = multishot;
        if !multishot && slot.rx_state == RecvState::Multi {
            slot.rx_state = RecvState::Cancelling;
            inner.cancel(self.key.user_data(OpKind::Recv));
        }
    }

    /// Sets the time at which receives and sends fail with `TimedOut`, counted from this turn: up to 32 ms
    /// later, never earlier. `None` for never. Costs a store: set it per request.
    pub fn set_deadline(&self, after: Option<Duration>) {
        let mut inner = self.core.inner.borrow_mut();
        inner.wake_driver();
        let tick = inner.tick;
        let slot = inner.held(self.key);
        slot.timed_out = false;
        slot.deadline = after.map_or(0, |after| timer::due(tick, after));
        if slot.deadline != 0 && (slot.wheel == 0 || slot.deadline < slot.wheel) {
            inner.enter_wheel(self.key);
        }
    }

    /// Bytes acknowledged by the peer's kernel (Unix sockets: read by the peer). A system call.
    pub fn acknowledged(&self) -> u64 {
        let sent = self.core.inner.borrow_mut().held(self.key).sent;
        sent.saturating_sub(self.open_fd().map_or(0, sys::unacknowledged))
    }

    /// Marks what this socket waits for, from now on unless it is marked so already: a socket that waits for
    /// its peer alone may be [dismissed](Ring::dismiss_waiting). Costs a store.
    pub fn set_waits(&self, waits: Waits) {
        let mut inner = self.core.inner.borrow_mut();
        let tick = inner.tick as u32;
        let slot = inner.held(self.key);
        if slot.waits != waits {
            (slot.waits, slot.waits_since) = (waits, tick);
        }
    }

    /// Bytes that were sent but not acknowledged by the peer's kernel. A system call.
    pub fn unacknowledged(&self) -> u64 {
        self.open_fd().map_or(0, sys::unacknowledged)
    }

    /// Whether the peer offers a window of a packet or more, so that what it has not acknowledged is a matter
    /// of the network. False for Unix sockets, and where the kernel does not tell. A system call.
    pub fn has_open_window(&self) -> bool {
        self.open_fd().is_ok_and(sys::has_open_window)
    }

    /// Bytes that the kernel has taken so far.
    pub fn sent(&self) -> u64 {
        self.core.inner.borrow_mut().held(self.key).sent
    }

    /// The peer's end as the kernel knows it. A system call.
    pub fn peer_state(&self) -> PeerState {
        self.open_fd().map_or(PeerState::Lost, peer::state)
    }

    /// Whether input has arrived, received or not. A system call, unless some was received.
    pub fn has_arrived(&self) -> bool {
        self.has_input() || self.open_fd().is_ok_and(peer::has_sent)
    }

    /// Whether the peer reset the connection or a send failed; never waits.
    pub fn is_broken(&self) -> bool {
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        slot.tx_error != 0 || matches!(slot.rx_end, RecvEnd::Failed(_))
    }

    /// Whether the end of the stream has come, perhaps behind input that was not received yet, or this socket
    /// was [dismissed](Ring::dismiss_waiting).
    pub fn has_ended(&self) -> bool {
        self.core.inner.borrow_mut().held(self.key).rx_end != RecvEnd::Open
    }

    /// Whether the end of the stream is one by this side: it was [dismissed](Ring::dismiss_waiting).
    pub fn is_dismissed(&self) -> bool {
        self.core.inner.borrow_mut().held(self.key).rx_end == RecvEnd::Dismissed
    }

    /// Whether the deadline has passed.
    pub fn has_timed_out(&self) -> bool {
        self.core.inner.borrow_mut().held(self.key).timed_out
    }

    /// Whether received input is waiting.
    pub fn has_input(&self) -> bool {
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        slot.rx_count > 0 || slot.heap.is_some()
    }

    /// The next input, or `None` at the end of the stream. One task at a time may wait.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; the kernel's, once everything received before was taken.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        let waker = self.core.waker(cx);
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        if let Some(buffer) = slot.dequeue(&self.core.pool) {
            let buffer = match buffer {
                Input::Provided(id) => RecvBuf::provided(self.core.clone(), id),
                Input::Copied(bytes) => RecvBuf::heap(bytes),
            };
            return Poll::Ready(Ok(Some(buffer)));
        }
        match slot.rx_end {
            RecvEnd::Open => {}
            RecvEnd::Eof | RecvEnd::Dismissed => return Poll::Ready(Ok(None)),
            RecvEnd::Failed(error) => return Poll::Ready(Err(io::Error::from_raw_os_error(error))),
        }
        if slot.timed_out {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        slot.rx_waker = Some(waker);
        slot.reading = true;
        if slot.rx_state == RecvState::Idle && !slot.starved {
            inner.arm_recv(self.key, self.core.pool.buffer_bytes());
        }
        Poll::Pending
    }

    /// Wakes the task when input or the end of the stream arrives, without consuming it: a task that waits
    /// for something else can detect that its peer disconnected. A task that reads is woken as well.
    pub fn watch(&self, cx: &mut Context<'_>) -> Watched {
        let waker = self.core.waker(cx);
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        let is_reader = slot.rx_waker.as_ref().is_some_and(|reader| reader.will_wake(&waker));
        slot.watcher = (!is_reader).then_some(waker);
        let has_unread = slot.rx_count > 0 || slot.heap.is_some();
        match slot.rx_state {
            _ if slot.rx_end != RecvEnd::Open => Watched::Ended,
            RecvState::Idle | RecvState::Cancelling if has_unread => Watched::Unread,
            RecvState::Idle if !slot.starved => {
                inner.arm_recv(self.key, self.core.pool.buffer_bytes());
                Watched::Receiving
            }
            // What is being cancelled wakes the task when it has ended, and is then armed again.
            _ => Watched::Receiving,
        }
    }

    /// Keeps a receive armed although nothing reads, so that the end of the stream is noticed on a connection
    /// that is kept for later. Wakes no task; what arrives is [input](Self::has_input).
    pub fn arm(&self) {
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        (slot.rx_waker, slot.watcher, slot.reading) = (None, None, false);
        let is_unread = slot.rx_count > 0 || slot.heap.is_some();
        if slot.rx_state == RecvState::Idle && slot.rx_end == RecvEnd::Open && !is_unread && !slot.starved {
            inner.arm_recv(self.key, self.core.pool.buffer_bytes());
        }
    }

    /// Wakes the tasks that wait for input or [watch](Self::watch).
    pub fn wake(&self) {
        self.core.inner.borrow_mut().held(self.key).wake_reader();
    }

    /// Whether a send is in progress.
    pub fn is_sending(&self) -> bool {
        self.core.inner.borrow_mut().held(self.key).tx != NO_SEND
    }

    /// Whether a send waits for the peer: the kernel has not taken all of it at once.
    pub fn is_send_waiting(&self) -> bool {
        let inner = self.core.inner.borrow();
        let slot = &inner.sockets[self.key.index as usize];
        inner.sends.get(slot.tx as usize).is_some_and(|send| !send.in_batch)
    }

    /// Bytes for which the kernel has room, about: what it takes at once. A system call.
    pub fn send_room(&self) -> usize {
        self.open_fd().map_or(usize::MAX, sys::send_room)
    }

    /// [`poll_recv`](Self::poll_recv) as a future.
    pub async fn recv(&self) -> io::Result<Option<RecvBuf>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Ready when no send is in progress.
    ///
    /// # Errors
    /// `TimedOut` at the deadline; the error of an earlier send.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waker = self.core.waker(cx);
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        if slot.tx_error != 0 {
            return Poll::Ready(Err(io::Error::from_raw_os_error(slot.tx_error)));
        }
        if slot.tx == NO_SEND {
            return Poll::Ready(Ok(()));
        }
        if slot.timed_out {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        slot.tx_waker = Some(waker);
        let send = slot.tx as usize;
        inner.batch_awaited |= inner.sends[send].in_batch;
        Poll::Pending
    }

    /// Waits until everything passed to `send` is with the kernel.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Sends `payload` once the previous send is done; returns when it is queued, not when it is sent. An
    /// error of this send is returned by the next call.
    pub async fn send(&self, payload: Payload) -> io::Result<()> {
        self.flush().await?;
        self.start_send(payload);
        Ok(())
    }

    /// Sends `payload` and then closes, in one submission if the peer's window allows; afterwards the socket
    /// may only be dropped. Requires that all input was read: a close with unread input resets the connection
    /// and may lose the response. No send may be in progress.
    pub fn start_last_send(&self, payload: Payload) {
        let mut inner = self.core.inner.borrow_mut();
        let may_link = inner.short_send_cuts_link && inner.held(self.key).rx_state == RecvState::Idle;
        drop(inner);
        self.queue_send(payload, may_link);
    }

    /// Sends `payload`; returns when it is queued. No send may be in progress: `poll_flush` was ready. An
    /// error is returned by the next `poll_flush`.
    pub fn start_send(&self, payload: Payload) {
        self.queue_send(payload, false);
    }

    fn queue_send(&self, payload: Payload, last: bool) {
        if payload.is_empty() {
            return;
        }
        let mut inner = self.core.inner.borrow_mut();
        let generation = inner.generation();
        let send =
            SendSlot { socket: self.key, generation, payload, sent: 0, in_batch: true, last, gather: None };
        let index = inner.sends.insert(send) as u32;
        let slot = inner.held(self.key);
        debug_assert_eq!(slot.tx, NO_SEND, "one send at a time");
        slot.tx = index;
        slot.closing |= last;
        inner.submit_send(Key { index, generation });
    }

    /// Tries to send from borrowed memory, now, without waiting: how many bytes the kernel took. Only while
    /// no other send is in progress. A system call; for bodies large enough to amortize it.
    ///
    /// # Errors
    /// `WouldBlock` when the peer's window is full; the kernel's.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        let fd = self.open_fd()?;
        let mut inner = self.core.inner.borrow_mut();
        let slot = inner.held(self.key);
        debug_assert_eq!(slot.tx, NO_SEND, "one send at a time");
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the slice lives across the call, and the kernel keeps no reference to it.
        let sent = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), flags) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        slot.sent += sent as u64;
        Ok(sent as usize)
    }

    /// Makes direct calls on the socket fail instead of block, for
    /// [`File::send_cached`](super::File::send_cached), until the guard is dropped. Nothing else may be sent
    /// before that: ring operations would fail too.
    ///
    /// # Errors
    /// The kernel's.
    pub fn nonblocking(&self) -> io::Result<NonBlocking<'_>> {
        sys::set_nonblocking(self.open_fd()?, true)?;
        Ok(NonBlocking { socket: self })
    }

    /// The descriptor for a direct call, while it is this socket's.
    fn open_fd(&self) -> io::Result<RawFd> {
        if self.is_open() { Ok(self.fd) } else { Err(io::Error::from_raw_os_error(libc::EBADF)) }
    }

    /// Waits until the socket is writable.
    ///
    /// # Errors
    /// `TimedOut` at the deadline.
    pub async fn writable(&self) -> io::Result<()> {
        let entry = opcode::PollAdd::new(types::Fd(self.open_fd()?), libc::POLLOUT as u32).build();
        let mut poll = std::pin::pin!(op::submit(&self.core, entry, OpPayload::None));
        poll_fn(|cx| {
            if let Poll::Ready((result, _)) = poll.as_mut().poll(cx) {
                return Poll::Ready(op::to_result(result).map(drop));
            }
            let waker = self.core.waker(cx);
            let mut inner = self.core.inner.borrow_mut();
            let slot = inner.held(self.key);
            if slot.tx_error != 0 {
                return Poll::Ready(Err(io::Error::from_raw_os_error(slot.tx_error)));
            }
            if slot.timed_out {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            slot.tx_waker = Some(waker);
            Poll::Pending
        })
        .await
    }

    /// Closes the sending direction: the peer sees the end of the stream after everything sent.
    pub fn shutdown_write(&self) {
        if let Ok(fd) = self.open_fd() {
            sys::shutdown(fd, libc::SHUT_WR);
        }
    }

    /// Turns the close into a reset, so that the peer cannot keep resources of this host.
    pub fn abort(self) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        let Ok(fd) = self.open_fd() else { return };
        // SAFETY: the struct lives across the call and its true size is passed.
        unsafe {
            libc::setsockopt(
                fd,
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }
}

/// A socket on which direct calls fail instead of block.
pub struct NonBlocking<'a> {
    socket: &'a Socket,
}

impl NonBlocking<'_> {
    pub(super) fn fd(&self) -> RawFd {
        self.socket.fd
    }

    /// Counts bytes sent by a direct call.
    pub(super) fn note_sent(&self, bytes: u64) {
        self.socket.core.inner.borrow_mut().held(self.socket.key).sent += bytes;
    }
}

impl Drop for NonBlocking<'_> {
    fn drop(&mut self) {
        if let Ok(fd) = self.socket.open_fd() {
            // Does not fail for an open descriptor.
            let _ = sys::set_nonblocking(fd, false);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let core = &self.core;
        core.inner.borrow_mut().abandon(self.key, &core.pool);
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket(fd {})", self.fd)
    }
}
