//! The floor: the least work by which a ring on one core can answer HTTP, to hold `hello` against.
//!
//! One io_uring, one thread, one loop, no executor. A request's head goes through httparse and its
//! answer is always the same 13 bytes. It refuses to know everything a server must know: limits,
//! timeouts, bodies, `Connection: close`, a head split over two reads (the connection is closed),
//! slow readers (closed as well). What it does do, it does in the cheapest way known to us:
//!
//! - multishot accept and multishot receive into provided buffers, so a request costs no submission
//!   but its answer's;
//! - the answers to everything that arrived in one buffer leave in one send;
//! - sends carry `MSG_DONTWAIT`, so the kernel never arms a poll for them: they complete while they
//!   are being submitted. With `CQE_SKIP_SUCCESS` a complete send posts nothing, and the wait for one
//!   completion is a wait for the peer. Only a short or failed send is heard of. A lone connection
//!   enters the kernel once per request so, twice with a completion per send (counted); in CPU time
//!   the two were level within the noise of the machine that tried them (0.99–1.00 in 40 pairs);
//! - the ring's descriptor is registered, and `TCP_NODELAY` is inherited from the listener.
//!
//! ```text
//! floor --listen 127.0.0.1:8080 --cpu 0
//! ```
#![expect(unsafe_code, reason = "a bare ring is the point here; the library keeps its own in `ring`")]

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{io, slice};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

const USAGE: &str = "usage: floor --listen ADDR:PORT [--cpu N]";

/// Entries of the submission queue: more than the connections a bench opens, so a pass fits.
const SUBMISSIONS: u32 = 4096;
/// Entries of the completion queue: a burst of connections must not overflow it.
const COMPLETIONS: u32 = 16384;
/// One read. Holds more pipelined requests of a bench than it sends at once.
const BUFFER_BYTES: usize = 4096;
/// Buffers in the provided ring; a power of two. They return before the next wait.
const BUFFERS: u16 = 1024;
/// The buffer group's id; there is one.
const GROUP: u16 = 0;
/// The shortest request httparse takes is `GET / HTTP/1.0\n\n`, 16 bytes.
const ANSWERS_MAX: usize = BUFFER_BYTES / 16;

fn main() -> ExitCode {
    let run = parse_args(std::env::args().skip(1)).and_then(|(listen, cpu)| {
        if let Some(id) = cpu
            && !core_affinity::set_for_current(core_affinity::CoreId { id })
        {
            return Err(format!("cannot pin to CPU {id}"));
        }
        let listener = listen_on(listen).map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        Floor::new(&listener)
            .map_err(|e| format!("cannot set up io_uring: {e}"))?
            .run()
            .map_err(|e| e.to_string())
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("floor: {why}");
            ExitCode::FAILURE
        }
    }
}

fn parse_args(mut args: impl Iterator<Item = String>) -> Result<(SocketAddr, Option<usize>), String> {
    let (mut listen, mut cpu) = (None, None);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--listen" => listen = Some(value.parse().map_err(|e| format!("--listen {value}: {e}"))?),
            "--cpu" => cpu = Some(value.parse().map_err(|e| format!("--cpu {value}: {e}"))?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok((listen.ok_or(USAGE)?, cpu))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    let on: libc::c_int = 1;
    let (option, bytes) = ((&raw const on).cast(), size_of_val(&on) as libc::socklen_t);
    // SAFETY: the descriptor is open, and `option` points at `bytes` readable bytes for the call.
    let refused = unsafe {
        libc::setsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, option, bytes) != 0
            || libc::listen(listener.as_raw_fd(), 4096) != 0 // std's backlog of 128 drops a bench's burst
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(listener) }
}

/// What a completion belongs to: kind, descriptor and the number of its connection, in 64 bits.
#[derive(Clone, Copy)]
enum Op {
    Accept,
    Receive { fd: i32 },
    Send { fd: i32, connection: u32 },
    Quiet,
}

impl Op {
    fn pack(self) -> u64 {
        let (kind, fd, connection) = match self {
            Op::Accept => (0, 0, 0),
            Op::Receive { fd } => (1, fd, 0),
            Op::Send { fd, connection } => (2, fd, connection),
            Op::Quiet => (3, 0, 0),
        };
        kind | (fd as u64) << 2 | u64::from(connection) << 32
    }

    fn unpack(bits: u64) -> Op {
        let (fd, connection) = ((bits as u32 >> 2) as i32, (bits >> 32) as u32);
        match bits & 3 {
            0 => Op::Accept,
            1 => Op::Receive { fd },
            2 => Op::Send { fd, connection },
            _ => Op::Quiet,
        }
    }
}

struct Floor {
    ring: IoUring,
    buffers: Buffers,
    answers: Answers,
    listener: i32,
}

impl Floor {
    fn new(listener: &TcpListener) -> io::Result<Floor> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = Buffers::new(&ring.submitter())?;
        Ok(Floor { ring, buffers, answers: Answers::new(), listener: listener.as_raw_fd() })
    }

    fn run(mut self) -> io::Result<()> {
        let (mut submitter, queue, mut completions) = self.ring.split();
        submitter.register_ring_fd()?;
        let mut pass = Pass {
            submissions: Submissions { queue, submitter },
            buffers: self.buffers,
            answers: self.answers,
            listener: self.listener,
            connections: Vec::new(),
            accepted: 0,
        };
        pass.arm_accept()?;
        loop {
            pass.submissions.wait()?;
            if pass.submissions.queue.is_empty() {
                pass.answers.refresh(); // a submitted send is a finished send: nothing reads them now
            }
            pass.handle_all(&mut completions)?;
        }
    }
}

/// The submission queue and the call that empties it.
struct Submissions<'r> {
    queue: SubmissionQueue<'r>,
    submitter: Submitter<'r>,
}

impl Submissions<'_> {
    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: every entry pushed here names either no memory at all or a range of `Answers`,
            // which change only while this queue is empty; the kernel is done with a send's bytes
            // when it has taken the entry, by MSG_DONTWAIT.
            if unsafe { self.queue.push(&entry) }.is_ok() {
                return Ok(());
            }
            self.queue.sync();
            self.submitter.submit()?;
            self.queue.sync();
        }
    }

    /// Submits what was pushed and waits for one completion: a peer's doing, never a send's.
    fn wait(&mut self) -> io::Result<()> {
        self.queue.sync();
        match self.submitter.submit_and_wait(1) {
            Err(e) if !matches!(e.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => return Err(e),
            _ => self.queue.sync(),
        }
        Ok(())
    }
}

/// Everything that one pass over the completions touches.
struct Pass<'r> {
    submissions: Submissions<'r>,
    buffers: Buffers,
    answers: Answers,
    listener: i32,
    /// By descriptor: the number of the connection that holds it now, so that a failed send is not
    /// blamed on the next holder.
    connections: Vec<u32>,
    accepted: u32,
}

impl Pass<'_> {
    fn handle_all(&mut self, completions: &mut CompletionQueue<'_>) -> io::Result<()> {
        completions.sync();
        for completion in &mut *completions {
            let more = cqueue::more(completion.flags());
            match Op::unpack(completion.user_data()) {
                Op::Accept => self.handle_accept(completion.result(), more)?,
                Op::Receive { fd } => {
                    self.handle_receive(fd, completion.result(), completion.flags())?;
                }
                Op::Send { fd, connection } => self.handle_failed_send(fd, connection)?,
                Op::Quiet => {}
            }
        }
        completions.sync(); // or the kernel takes what we have read for news, and the wait is none
        self.buffers.publish();
        Ok(())
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(Fd(self.listener)).flags(libc::SOCK_CLOEXEC).build();
        self.submissions.push(entry.user_data(Op::Accept.pack()))
    }

    fn arm_receive(&mut self, fd: i32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(fd), GROUP).build();
        self.submissions.push(entry.user_data(Op::Receive { fd }.pack()))
    }

    fn handle_accept(&mut self, result: i32, more: bool) -> io::Result<()> {
        if let Ok(place) = usize::try_from(result) {
            if place >= self.connections.len() {
                self.connections.resize(place + 1, 0);
            }
            self.accepted = self.accepted.wrapping_add(1);
            self.connections[place] = self.accepted;
            self.arm_receive(result)?;
        }
        if more { Ok(()) } else { self.arm_accept() }
    }

    fn handle_receive(&mut self, fd: i32, result: i32, flags: u32) -> io::Result<()> {
        if let Some(id) = cqueue::buffer_select(flags) {
            let heads = count_heads(self.buffers.filled(id, result));
            self.buffers.give(id);
            if result > 0 {
                match heads {
                    Some(heads) => self.send(fd, heads)?,
                    None => self.shut(fd)?,
                }
            }
        }
        match result {
            _ if cqueue::more(flags) => Ok(()),
            1.. => self.arm_receive(fd),
            _ if result == -libc::ENOBUFS => self.arm_receive(fd),
            _ => {
                let entry = opcode::Close::new(Fd(fd)).build().flags(squeue::Flags::SKIP_SUCCESS);
                self.submissions.push(entry.user_data(Op::Quiet.pack()))
            }
        }
    }

    fn send(&mut self, fd: i32, answers: usize) -> io::Result<()> {
        let bytes = self.answers.first(answers);
        let connection = self.connections[fd as usize];
        let entry = opcode::Send::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS)
            .user_data(Op::Send { fd, connection }.pack());
        self.submissions.push(entry)
    }

    /// A send that posts a completion was short or failed: the peer reads too slowly, or left.
    fn handle_failed_send(&mut self, fd: i32, connection: u32) -> io::Result<()> {
        if self.connections[fd as usize] == connection { self.shut(fd) } else { Ok(()) }
    }

    /// Ends a connection; its receive completes with nothing, and the descriptor is closed there.
    fn shut(&mut self, fd: i32) -> io::Result<()> {
        let entry = opcode::Shutdown::new(Fd(fd), libc::SHUT_RDWR).build();
        self.submissions.push(entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(Op::Quiet.pack()))
    }
}

/// How many whole heads `bytes` hold, or nothing when they hold anything else.
fn count_heads(mut bytes: &[u8]) -> Option<usize> {
    let mut heads = 0;
    while !bytes.is_empty() {
        let mut fields = [const { MaybeUninit::uninit() }; 32];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(httparse::Status::Complete(length)) => bytes = &bytes[length..],
            _ => return None,
        }
        heads += 1;
    }
    Some(heads)
}

/// The answer, as often as one send may need it, dated anew once a second.
struct Answers {
    bytes: Box<[u8]>,
    answer_bytes: usize,
    second: u64,
}

impl Answers {
    fn new() -> Answers {
        let mut answers = Answers { bytes: Box::new([]), answer_bytes: 0, second: 0 };
        answers.refresh();
        answers
    }

    fn first(&self, count: usize) -> &[u8] {
        &self.bytes[..count * self.answer_bytes]
    }

    fn refresh(&mut self) {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        if second == self.second {
            return;
        }
        self.second = second;
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        let answer = format!(
            "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: {date}\r\nContent-Type: text/plain\r\n\
             Content-Length: 13\r\n\r\nHello, World!"
        );
        self.answer_bytes = answer.len();
        self.bytes = answer.repeat(ANSWERS_MAX).into_bytes().into();
    }
}

/// The provided buffers and the ring that hands them to the kernel.
struct Buffers {
    /// INVARIANT: `BUFFERS` entries, page-aligned, registered, never freed.
    ring: *mut BufRingEntry,
    /// INVARIANT: `BUFFERS * BUFFER_BYTES` bytes, never freed.
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn new(submitter: &Submitter<'_>) -> io::Result<Buffers> {
        let ring = leak_pages(BUFFERS as usize * size_of::<BufRingEntry>()).cast();
        let memory = leak_pages(BUFFERS as usize * BUFFER_BYTES);
        // SAFETY: `ring` is page-aligned, holds BUFFERS entries and is never freed.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, BUFFERS, GROUP, 0)? };
        let mut buffers = Buffers { ring, memory, tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.give(id));
        buffers.publish();
        Ok(buffers)
    }

    /// What the kernel put into buffer `id`: `result` bytes, as the completion said.
    fn filled(&self, id: u16, result: i32) -> &[u8] {
        let length = usize::try_from(result).unwrap_or(0);
        assert!(id < BUFFERS && length <= BUFFER_BYTES, "the kernel named a buffer we never gave it");
        // SAFETY: the range lies in `memory` by the assertion, and the kernel has released this
        // buffer until `give` names it again, which needs `&mut self`.
        unsafe { slice::from_raw_parts(self.memory.add(id as usize * BUFFER_BYTES), length) }
    }

    /// Queues a buffer for the kernel, which sees it after [`publish`](Self::publish).
    fn give(&mut self, id: u16) {
        let place = (self.tail & (BUFFERS - 1)) as usize;
        // SAFETY: `place` is below BUFFERS and so is `id`, both within their allocations; the kernel
        // does not read this entry before the tail moves past it.
        unsafe {
            let entry = &mut *self.ring.add(place);
            entry.set_addr(self.memory.add(id as usize * BUFFER_BYTES) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: `ring` points at the first entry of a registered ring, whose tail is an aligned u16
        // that the kernel only reads.
        let tail = unsafe { &*BufRingEntry::tail(self.ring).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Zeroed, page-aligned memory for the life of the process.
fn leak_pages(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, 4096).expect("a few megabytes fit a layout");
    // SAFETY: no caller asks for zero bytes.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout)
    }
    memory
}
