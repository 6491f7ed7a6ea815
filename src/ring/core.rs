//! The core of the ring: the queues, the slots, and one turn of submit and collect.
//!
//! `CoreInner` is reached through a `RefCell` that is never borrowed while a caller's code runs: wakers only
//! mark tasks ready, and everything handed out (buffers, futures) is returned through cells of its own. A
//! slot is freed when the kernel can send no more completions for it; keys carry a generation nevertheless,
//! so that a mistake here would be an ignored completion and not an access to another connection's data.

use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use slab::Slab;

use super::buffers::BufferPool;
use super::key::{Key, OpKind};
use super::offload::Offload;
use super::payload::{Block, Payload, Spare};
use super::probe::{self, SetupError};
use super::slots::{Found, ListenerSlot, OpSlot, SendSlot, SocketSlot};
use super::sys;
use super::task::{SlotWaker, Tasks};
use super::timer::{TICK_MS, Wheel};

/// Sizes of one core's ring. Each number is a bound on what a peer can use, with its reason.
#[derive(Clone, Debug)]
pub struct RingConfig {
    /// Submission entries: operations queued between two turns before an early submit. Default 2048; more
    /// would only increase what one turn holds back.
    pub submissions: u32,
    /// Completion entries. Default 16384: multishot operations post many completions per submission.
    pub completions: u32,
    /// Provided receive buffers, a power of two. Default 512.
    pub buffers: u16,
    /// Bytes in each. Default 16 KiB: a whole request head at its limit, or a TLS record.
    pub buffer_bytes: u32,
    /// Buffers that one socket may hold unread before its receive is stopped, so that TCP flow control
    /// applies. Default 4.
    pub held_buffers_max: u16,
    /// Period of the ring's alarm: a busy core lets the executor poll its own rings this often; a core that
    /// was idle for one period parks in the executor. Default 2 ms: steady traffic never pays for parking.
    pub alarm_every: Duration,
    /// Helper threads for blocking work. Default 8: enough to keep a disk or a database busy, few enough not
    /// to compete with the cores.
    pub blocking_threads_max: usize,
    /// Blocking work that waits for a helper thread. Default 1024: a second's worth of disk reads; tasks
    /// beyond it wait for a place.
    pub blocking_waiting_max: usize,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            submissions: 2048,
            completions: 16384,
            buffers: 512,
            buffer_bytes: 16 * 1024,
            held_buffers_max: 4,
            alarm_every: Duration::from_millis(2),
            blocking_threads_max: 8,
            blocking_waiting_max: 1024,
        }
    }
}

/// Counters of a ring, for tests and for `observe`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RingStats {
    /// `io_uring_enter` calls.
    pub enters: u64,
    /// Completions collected.
    pub completions: u64,
    /// Times the core parked in the executor.
    pub parks: u64,
    /// Receives that found no provided buffer and were armed again later.
    pub buffers_missing: u64,
    /// Receives stopped because their socket held too many buffers.
    pub receives_stopped: u64,
    /// Times input was copied out of the pool because buffers were scarce.
    pub inputs_evicted: u64,
    /// Sends that did not complete within their batch and had to wait for the peer.
    pub sends_waited: u64,
    /// Early submits because the queue was full.
    pub queue_full: u64,
}

pub(super) struct Core {
    pub(super) inner: RefCell<CoreInner>,
    pub(super) pool: BufferPool,
    pub(super) config: RingConfig,
    /// Whether the driver sleeps in the executor and no turn updates the time.
    pub(super) asleep: Cell<bool>,
    /// Read once per turn; requests use these instead of the clock.
    pub(super) now: Cell<Instant>,
    pub(super) unix_seconds: Cell<u64>,
    pub(super) stopping: Cell<bool>,
    pub(super) tasks: Tasks,
    /// Helper threads for blocking work; most cores never need any.
    pub(super) offload: OnceCell<Rc<Offload>>,
    /// Files that are open.
    pub(super) files: FileBudget,
    /// What no handler of this core serves.
    pub(super) kept_back: RefCell<Vec<PathBuf>>,
}

/// How many files a core may have open, and has.
#[derive(Debug)]
pub(super) struct FileBudget {
    pub(super) open: Cell<usize>,
    pub(super) max: Cell<usize>,
}

impl Default for FileBudget {
    fn default() -> Self {
        Self { open: Cell::new(0), max: Cell::new(usize::MAX) }
    }
}

pub(super) struct CoreInner {
    // Declared first, dropped first: the kernel releases the pool's memory before it is unmapped.
    pub(super) uring: IoUring,
    pub(super) enter_fd: EnterFd,
    pub(super) event: OwnedFd,
    pub(super) sockets: Slab<SocketSlot>,
    pub(super) sends: Slab<SendSlot>,
    pub(super) listeners: Slab<ListenerSlot>,
    pub(super) ops: Slab<OpSlot>,
    /// Sends of this batch that post no completion when they succeed.
    pub(super) batch: Vec<Key>,
    /// Whether a task waits for a send of this batch: its success posts no completion, so the turn must not
    /// wait for one.
    pub(super) batch_awaited: bool,
    /// Tasks to wake after the next turn.
    pub(super) turn_waiters: Vec<SlotWaker>,
    /// Whether, on this kernel, a short send cancels the close linked behind it.
    pub(super) short_send_cuts_link: bool,
    /// Whether the driver sleeps in the executor; queueing an entry then has to wake it.
    pub(super) parked: bool,
    /// Polls in flight on descriptors that may be eventfds.
    pub(super) events_polled: usize,
    /// Sockets whose receive found no buffer, waiting for some to come back.
    pub(super) starved: VecDeque<Key>,
    pub(super) found: Found,
    pub(super) spare_buffers: Vec<Vec<u8>>,
    spare_blocks: Vec<Block>,
    pub(super) wheel: Wheel,
    pub(super) fired: Vec<(u64, u64)>,
    pub(super) completions: Vec<cqueue::Entry>,
    /// Collected between turns, because the completion queue had no room for more; handled by the next turn.
    pub(super) early_completions: Vec<cqueue::Entry>,
    pub(super) tick: u64,
    started: Instant,
    next_generation: u32,
    /// Operations that will still post a completion; the ring must not be freed before they have.
    pub(super) in_flight: usize,
    pub(super) park_timer: Option<u64>,
    pub(super) alarm_armed: bool,
    /// Set when the alarm fires, and when an event wakes a task; cleared by the driver.
    pub(super) alarm_fired: bool,
    pub(super) busy: bool,
    /// Timeouts that the kernel copies when it takes their entries.
    pub(super) park_timespec: Box<types::Timespec>,
    alarm_timespec: Box<types::Timespec>,
    pub(super) stats: RingStats,
}

/// The ring's descriptor for `io_uring_enter`: registered, which saves a lookup per call, or plain.
#[derive(Clone, Copy)]
pub(super) struct EnterFd {
    fd: RawFd,
    flags: u32,
}

const ENTER_GETEVENTS: u32 = 1;
const ENTER_EXT_ARG: u32 = 1 << 3;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
const REGISTER_RING_FDS: u32 = 20;

/// Pooled output buffers kept per core, and the capacity above which one is not kept.
const SPARE_BUFFERS_MAX: usize = 64;
const SPARE_CAPACITY_MAX: usize = 64 * 1024;

/// Bytes of a block: seven full TLS records, so that a file of 100 KiB leaves in one send.
pub const BLOCK_BYTES: usize = 7 * (16 * 1024 + 64) + 1024;

/// Blocks kept per core.
const SPARE_BLOCKS_MAX: usize = 8;

/// One core's ring. Clones share it; it never leaves its thread.
#[derive(Clone)]
pub struct Ring {
    pub(super) core: Rc<Core>,
}

impl Ring {
    /// Makes the ring on the calling thread, which must be the one that uses it.
    ///
    /// # Errors
    /// Names what the kernel refused and the remedy.
    pub fn new(config: RingConfig) -> Result<Self, SetupError> {
        let uring = probe::build(config.submissions, config.completions)?;
        let pool = BufferPool::new(&uring, config.buffers, config.buffer_bytes)
            .map_err(|error| SetupError::from_io("receive buffers", error))?;
        let event = sys::eventfd(true).map_err(|error| SetupError::from_io("an eventfd", error))?;
        uring
            .submitter()
            .register_eventfd(event.as_raw_fd())
            .map_err(|error| SetupError::from_io("the wake-up eventfd", error))?;
        let tasks = Tasks::new(&event).map_err(|error| SetupError::from_io("an eventfd", error))?;
        let enter_fd = EnterFd::register(uring.as_raw_fd());
        let now = Instant::now();
        let mut inner = CoreInner {
            uring,
            enter_fd,
            event,
            sockets: Slab::new(),
            sends: Slab::new(),
            listeners: Slab::new(),
            ops: Slab::new(),
            batch: Vec::new(),
            batch_awaited: false,
            turn_waiters: Vec::new(),
            short_send_cuts_link: false,
            parked: false,
            events_polled: 0,
            starved: VecDeque::new(),
            found: Found::default(),
            spare_buffers: Vec::new(),
            spare_blocks: Vec::new(),
            wheel: Wheel::new(),
            fired: Vec::new(),
            completions: Vec::new(),
            early_completions: Vec::new(),
            tick: 0,
            started: now,
            next_generation: 0,
            in_flight: 0,
            park_timer: None,
            alarm_armed: false,
            alarm_fired: false,
            busy: false,
            park_timespec: Box::new(types::Timespec::new()),
            alarm_timespec: Box::new(timespec(config.alarm_every)),
            stats: RingStats::default(),
        };
        inner.uring.completion().disable_eventfd();
        inner.short_send_cuts_link =
            inner.test_link().map_err(|error| SetupError::from_io("the test of linked operations", error))?;
        let core = Core {
            inner: RefCell::new(inner),
            pool,
            config,
            asleep: Cell::new(false),
            now: Cell::new(now),
            unix_seconds: Cell::new(sys::unix_seconds()),
            stopping: Cell::new(false),
            tasks,
            offload: OnceCell::new(),
            files: FileBudget::default(),
            kept_back: RefCell::default(),
        };
        Ok(Self { core: Rc::new(core) })
    }

    /// The time of the current turn; a system call only on a parked core that something else woke.
    pub fn now(&self) -> Instant {
        if self.core.asleep.get() { Instant::now() } else { self.core.now.get() }
    }

    /// Waits until the ring has turned once, so that every other connection can make progress.
    pub async fn next_turn(&self) {
        let mut asked = false;
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            let waker = self.core.waker(cx);
            let mut inner = self.core.inner.borrow_mut();
            inner.wake_driver();
            inner.turn_waiters.push(waker);
            Poll::Pending
        })
        .await;
    }

    /// Seconds since the Unix epoch at the current turn, as [`now`](Self::now).
    pub fn unix_seconds(&self) -> u64 {
        if self.core.asleep.get() { sys::unix_seconds() } else { self.core.unix_seconds.get() }
    }

    /// An empty buffer from the core's pool, for [`Payload`](super::Payload).
    pub fn take_buffer(&self) -> Vec<u8> {
        self.core.inner.borrow_mut().spare_buffers.pop().unwrap_or_else(|| Vec::with_capacity(4096))
    }

    /// Returns a buffer that was not sent.
    pub fn give_buffer(&self, buffer: Vec<u8>) {
        self.core.inner.borrow_mut().keep_buffer(buffer);
    }

    /// A block of [`BLOCK_BYTES`] from the core's pool.
    pub fn take_block(&self) -> Block {
        let block = self.core.inner.borrow_mut().spare_blocks.pop();
        block.unwrap_or_else(|| vec![0; BLOCK_BYTES].into_boxed_slice())
    }

    /// Returns the pooled part of a payload that was not sent.
    pub fn give(&self, payload: Payload) {
        if let Some(spare) = payload.into_spare() {
            self.core.inner.borrow_mut().keep_spare(spare);
        }
    }

    /// From now on no handler of this core serves this file, or what is in this directory, whatever link
    /// leads to it: it is secret. It need not exist yet.
    pub fn keep_back(&self, path: &Path) {
        // A process may change its directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut kept_back = self.core.kept_back.borrow_mut();
        if !kept_back.contains(&path) {
            kept_back.push(path);
        }
    }

    /// What handlers of this core do not serve.
    pub fn kept_back(&self) -> Ref<'_, [PathBuf]> {
        Ref::map(self.core.kept_back.borrow(), Vec::as_slice)
    }

    /// Counters since the start.
    pub fn stats(&self) -> RingStats {
        self.core.inner.borrow().stats
    }

    /// Bytes that sends in progress hold, for tests of slow peers.
    pub fn send_memory(&self) -> usize {
        self.core.inner.borrow().sends.iter().map(|(_, send)| send.payload.memory()).sum()
    }

    /// Current numbers of sockets, operations and free receive buffers, for leak tests.
    pub fn usage(&self) -> (usize, usize, u16) {
        let inner = self.core.inner.borrow();
        (inner.sockets.len(), inner.ops.len() + inner.sends.len(), self.core.pool.free())
    }
}

impl Core {
    /// The waker of the task that polls, as slots keep it.
    pub(super) fn waker(&self, cx: &Context<'_>) -> SlotWaker {
        SlotWaker::of(cx, &self.tasks.ready)
    }
}

impl EnterFd {
    /// Registers the ring's own descriptor (5.18); falls back to the plain one.
    fn register(fd: RawFd) -> Self {
        #[repr(C)]
        struct Update {
            offset: u32,
            reserved: u32,
            data: u64,
        }
        let mut update = Update { offset: u32::MAX, reserved: 0, data: fd as u64 };
        // SAFETY: the kernel reads and writes one io_uring_rsrc_update, whose layout `Update` repeats and
        // which lives across the call.
        let registered =
            unsafe { libc::syscall(libc::SYS_io_uring_register, fd, REGISTER_RING_FDS, &raw mut update, 1) };
        if registered == 1 {
            Self { fd: update.offset as RawFd, flags: ENTER_REGISTERED_RING }
        } else {
            Self { fd, flags: 0 }
        }
    }

    /// One `io_uring_enter`: submits, runs deferred work, waits for `want` completions up to `timeout`.
    fn enter(self, submit: u32, want: u32, timeout: Option<&types::Timespec>) -> io::Result<()> {
        let mut flags = ENTER_GETEVENTS | self.flags;
        let args = match timeout {
            Some(timespec) => {
                flags |= ENTER_EXT_ARG;
                types::SubmitArgs::new().timespec(timespec)
            }
            None => types::SubmitArgs::new(),
        };
        let (arg, size) = match timeout {
            Some(_) => ((&raw const args).cast::<libc::c_void>(), size_of::<types::SubmitArgs<'_, '_>>()),
            None => (std::ptr::null(), 0),
        };
        // SAFETY: `args`, and the timespec it points to, live across the call; the queues were set up by
        // the io-uring crate, and entries were pushed with memory their slots own.
        let result =
            unsafe { libc::syscall(libc::SYS_io_uring_enter, self.fd, submit, want, flags, arg, size) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A duration in the kernel's form.
pub(super) fn timespec(duration: Duration) -> types::Timespec {
    types::Timespec::new().sec(duration.as_secs()).nsec(duration.subsec_nanos())
}

impl CoreInner {
    /// The next generation; 24 bits, as `user_data` carries them.
    pub(super) fn generation(&mut self) -> u32 {
        self.next_generation = (self.next_generation + 1) & 0xff_ffff;
        self.next_generation
    }

    /// Queues one entry. When the queue is full, what is in it is submitted first.
    ///
    /// The memory to which `entry` points must belong to a slot until its completion (or its batch) is done.
    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        self.wake_driver();
        // SAFETY: the caller's promise above.
        while unsafe { self.uring.submission().push(entry) }.is_err() {
            self.submit_full_queue();
        }
    }

    /// Queues linked entries; both go into the same submission, or the link would be cut.
    pub(super) fn push_linked(&mut self, first: &squeue::Entry, second: &squeue::Entry) {
        self.wake_driver();
        loop {
            let mut queue = self.uring.submission();
            if queue.capacity() - queue.len() >= 2 {
                // SAFETY: as in `push`; there is room for both.
                unsafe {
                    let pushed = queue.push(first).is_ok() && queue.push(second).is_ok();
                    debug_assert!(pushed);
                }
                return;
            }
            drop(queue);
            self.submit_full_queue();
        }
    }

    /// A task woken by something other than the ring may queue entries or set timers while the driver is
    /// parked: the driver then has to be woken to submit them, and the tick is as old as the last turn.
    pub(super) fn wake_driver(&mut self) {
        if self.parked {
            self.parked = false;
            self.read_tick(Instant::now());
            sys::signal_event(self.event.as_raw_fd());
        }
    }

    /// Tests what a last send relies on: when it is short, the kernel must not run the close linked behind
    /// it, because the rest is sent to that descriptor.
    fn test_link(&mut self) -> io::Result<bool> {
        let (ours, _peer) = std::os::unix::net::UnixStream::pair()?;
        let ours = OwnedFd::from(ours);
        let more_than_fits = vec![0u8; 4 << 20];
        let fd = types::Fd(ours.as_raw_fd());
        let send = opcode::Send::new(fd, more_than_fits.as_ptr(), more_than_fits.len() as u32)
            .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS | squeue::Flags::IO_LINK)
            .user_data(OpKind::Batch as u64);
        let close = opcode::Close::new(fd).build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push_linked(&send, &close.user_data(OpKind::Ignore as u64));
        self.enter(0, None);
        let completions: Vec<_> =
            self.uring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        let fell_short = matches!(completions[..], [(data, sent)] if data == OpKind::Batch as u64
            && sent > 0 && (sent as usize) < more_than_fits.len());
        let open = sys::is_open(ours.as_raw_fd());
        if !open {
            // The kernel closed it: it must not be closed twice.
            std::mem::forget(ours);
        }
        Ok(fell_short && open)
    }

    pub(super) fn read_tick(&mut self, now: Instant) {
        self.tick = now.duration_since(self.started).as_millis() as u64 / TICK_MS;
    }

    /// Makes room in the submission queue. The kernel may refuse to take entries until completions are
    /// collected, so that is done as well.
    #[cold]
    fn submit_full_queue(&mut self) {
        self.stats.queue_full += 1;
        self.enter(0, None);
        let Self { uring, early_completions, .. } = self;
        early_completions.extend(uring.completion());
    }

    /// Submits everything queued and runs deferred work.
    pub(super) fn enter(&mut self, want: u32, timeout: Option<&types::Timespec>) {
        let queued = self.uring.submission().len() as u32;
        self.stats.enters += 1;
        if let Err(error) = self.enter_fd.enter(queued, want, timeout) {
            match error.raw_os_error() {
                // A signal, the end of the wait, or a completion queue that must be emptied first: the turn
                // continues with the completions there are, and the next one submits the rest.
                Some(libc::EINTR | libc::ETIME | libc::EBUSY | libc::EAGAIN) => {}
                _ => panic!("io_uring_enter failed in a way that no retry mends: {error}"),
            }
        }
    }

    /// Arms the alarm, unless it is armed.
    pub(super) fn arm_alarm(&mut self) {
        if !self.alarm_armed {
            self.alarm_armed = true;
            let entry = opcode::Timeout::new(&raw const *self.alarm_timespec).build();
            self.push(&entry.user_data(OpKind::Alarm as u64));
        }
    }

    pub(super) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.spare_buffers.len() < SPARE_BUFFERS_MAX
            && (1..=SPARE_CAPACITY_MAX).contains(&buffer.capacity())
        {
            buffer.clear();
            self.spare_buffers.push(buffer);
        }
    }

    /// Keeps the pooled part of a sent payload.
    pub(super) fn keep_spare(&mut self, spare: Spare) {
        match spare {
            Spare::Buffer(buffer) => self.keep_buffer(buffer),
            Spare::Block(block) if self.spare_blocks.len() < SPARE_BLOCKS_MAX => {
                self.spare_blocks.push(block)
            }
            Spare::Block(_) => {}
        }
    }

    /// Cancels the operation with this `user_data`. Its completion still arrives.
    pub(super) fn cancel(&mut self, user_data: u64) {
        let entry = opcode::AsyncCancel::new(user_data).build();
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OpKind::Ignore as u64));
    }

    /// Closes `fd` with the next submission.
    pub(super) fn close(&mut self, fd: RawFd) {
        let entry = opcode::Close::new(types::Fd(fd)).build();
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OpKind::Ignore as u64));
    }
}
