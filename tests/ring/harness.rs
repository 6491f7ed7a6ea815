//! What the tests of the ring share: a ring on an executor with a watchdog, peers on threads, bytes that
//! encode their position, and counts of what must come back.

use std::any::Any;
use std::cell::RefCell;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutorBuilder, Placement};
use quoit::ring::{Payload, Ring, RingConfig, Socket, sys};

/// Longest a test may take; far beyond what a loaded machine needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Longest a peer waits for its socket: less than the test's timeout, so that the peer's failure is seen.
pub(crate) const PEER_PATIENCE: Duration = Duration::from_secs(20);

/// Held shared by ordinary tests, and alone by those that count descriptors or measure time.
static MACHINE: RwLock<()> = RwLock::new(());

type Outcome = Result<(), Box<dyn Any + Send>>;

/// Runs `body` with a ring, on an executor on a thread of its own.
pub(crate) fn on_ring<F, Fut>(config: RingConfig, body: F)
where
    F: FnOnce(Ring) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let _shared = share_machine();
    run(config, body);
}

/// Excludes tests that need exclusive access; for a test that opens descriptors outside of [`on_ring`].
pub(crate) fn share_machine() -> impl Drop {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`on_ring`], while no other test runs.
pub(crate) fn on_ring_alone<F, Fut>(config: RingConfig, body: F)
where
    F: FnOnce(Ring) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
    run(config, body);
}

fn run<F, Fut>(config: RingConfig, body: F)
where
    F: FnOnce(Ring) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (told, hears) = mpsc::channel::<Outcome>();
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .preempt_timer(Duration::from_secs(3600))
        .spawn(move || async move {
            let ring = Ring::new(config).expect("this kernel serves");
            let outcome = Rc::new(RefCell::new(None));
            let body = {
                let (ring, outcome, body) = (ring.clone(), outcome.clone(), body(ring.clone()));
                async move {
                    // The driver opens a descriptor of its own when it starts.
                    ring.sleep(Duration::ZERO).await;
                    body.await;
                    *outcome.borrow_mut() = Some(Ok(()));
                    ring.stop();
                }
            };
            let on_panic = {
                let (ring, outcome) = (ring.clone(), outcome.clone());
                move |panic| {
                    *outcome.borrow_mut() = Some(Err(panic));
                    ring.stop();
                }
            };
            ring.spawn(body, on_panic);
            ring.drive().await;
            let _ = told.send(outcome.take().expect("the driver ends when it is told"));
        })
        .expect("an executor");
    match hears.recv_timeout(PATIENCE) {
        Ok(Ok(())) => executor.join().expect("the executor ends"),
        Ok(Err(panic)) => {
            let _ = executor.join();
            resume_unwind(panic);
        }
        Err(mpsc::RecvTimeoutError::Timeout) => {
            panic!("not over after {PATIENCE:?}: something waits for ever")
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("the driver itself panicked"),
    }
}

/// A config of few, small buffers.
pub(crate) fn few_buffers(buffers: u16, buffer_bytes: u32) -> RingConfig {
    RingConfig { buffers, buffer_bytes, ..RingConfig::default() }
}

/// A peer on its own thread. A task joins it without blocking its core.
pub(crate) struct Peer<T> {
    handle: JoinHandle<T>,
    done: Arc<OwnedFd>,
}

struct SignalOnDrop(Arc<OwnedFd>);

impl Drop for SignalOnDrop {
    fn drop(&mut self) {
        sys::signal_event(self.0.as_raw_fd());
    }
}

/// Runs `work` on a thread.
pub(crate) fn peer<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Peer<T> {
    let done = Arc::new(sys::eventfd(false).expect("an eventfd"));
    let guard = SignalOnDrop(done.clone());
    let handle = std::thread::spawn(move || {
        let _guard = guard;
        work()
    });
    Peer { handle, done }
}

impl<T> Peer<T> {
    /// Waits for the thread, and hands on its panic.
    pub(crate) async fn join(self, ring: &Ring) -> T {
        ring.readable(&*self.done).await.expect("an eventfd can be polled");
        self.handle.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// An event, signalled by one thread to a task or another thread.
#[derive(Clone)]
pub(crate) struct Signal(Arc<OwnedFd>);

impl Signal {
    pub(crate) fn new() -> Self {
        Self(Arc::new(sys::eventfd(false).expect("an eventfd")))
    }

    pub(crate) fn raise(&self) {
        sys::signal_event(self.0.as_raw_fd());
    }

    /// Waits on a thread, and takes the signal.
    pub(crate) fn wait(&self) {
        fs::File::from(self.0.try_clone().expect("a descriptor"))
            .read_exact(&mut [0; 8])
            .expect("eight bytes");
    }

    /// Waits on a ring; the signal stays raised.
    pub(crate) async fn raised(&self, ring: &Ring) {
        ring.readable(&*self.0).await.expect("an eventfd can be polled");
    }
}

/// A Unix pair: one end in the ring, one for a thread.
pub(crate) fn unix_pair(ring: &Ring) -> (Socket, UnixStream) {
    let (ours, theirs) = unix_streams();
    (ring.adopt(ours.into()), theirs)
}

/// [`unix_pair`] with the smallest buffers of the kernel: a send is cut short after some 2 KiB.
pub(crate) fn narrow_pair(ring: &Ring) -> (Socket, UnixStream) {
    let (ours, theirs) = unix_streams();
    shrink(&ours, 1);
    (ring.adopt(ours.into()), theirs)
}

fn unix_streams() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    theirs.set_read_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    theirs.set_write_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    (ours, theirs)
}

/// A connected TCP pair. `buffers` sets the four kernel buffers involved, in bytes (the kernel doubles it).
pub(crate) fn tcp_streams(buffers: Option<i32>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    if let Some(bytes) = buffers {
        shrink(&listener, bytes);
    }
    let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("a connection");
    let (ours, _) = listener.accept().expect("a connection");
    if let Some(bytes) = buffers {
        shrink(&theirs, bytes);
    }
    theirs.set_nodelay(true).expect("an option");
    theirs.set_read_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    theirs.set_write_timeout(Some(PEER_PATIENCE)).expect("a timeout");
    (ours, theirs)
}

/// [`tcp_streams`] with one end in the ring.
pub(crate) fn tcp_pair(ring: &Ring, buffers: Option<i32>) -> (Socket, TcpStream) {
    let (ours, theirs) = tcp_streams(buffers);
    ours.set_nodelay(true).expect("an option");
    (ring.adopt(ours.into()), theirs)
}

/// Sets both kernel buffers of a socket.
pub(crate) fn shrink(socket: &impl AsRawFd, bytes: i32) {
    for name in [libc::SO_SNDBUF, libc::SO_RCVBUF] {
        sys::set_option(socket.as_raw_fd(), libc::SOL_SOCKET, name, bytes).expect("an option");
    }
}

/// Bytes that differ by seed and position: a lost, repeated or foreign part cannot match.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Compares a stream with what it should be, piece by piece.
pub(crate) struct Checker {
    expected: Vec<u8>,
    at: usize,
}

impl Checker {
    pub(crate) fn new(expected: Vec<u8>) -> Self {
        Self { expected, at: 0 }
    }

    pub(crate) fn feed(&mut self, piece: &[u8]) {
        let rest = &self.expected[self.at..];
        assert!(piece.len() <= rest.len(), "{} bytes too many after {}", piece.len() - rest.len(), self.at);
        let wrong = piece.iter().zip(rest).position(|(is, should)| is != should);
        assert_eq!(wrong.map(|n| n + self.at), None, "wrong from this offset on");
        self.at += piece.len();
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.at == self.expected.len()
    }

    pub(crate) fn finish(&self) {
        assert!(self.is_complete(), "ended after {} of {} bytes", self.at, self.expected.len());
    }
}

/// Reads a blocking stream to its end in pieces of up to `piece` bytes and checks it.
pub(crate) fn read_all(stream: &mut impl Read, expected: Vec<u8>, piece: usize, rng: &mut Rng) {
    let mut checker = Checker::new(expected);
    let mut buffer = vec![0; piece];
    loop {
        let want = 1 + rng.below(piece as u64) as usize;
        match stream.read(&mut buffer[..want]).expect("no reset and no stall") {
            0 => return checker.finish(),
            n => checker.feed(&buffer[..n]),
        }
    }
}

/// Receives to the end of the stream and checks it.
pub(crate) async fn recv_all(socket: &Socket, expected: Vec<u8>) {
    let mut checker = Checker::new(expected);
    while let Some(input) = socket.recv().await.expect("no error") {
        checker.feed(&input);
    }
    checker.finish();
}

/// Answers everything with itself until the peer ends.
pub(crate) async fn echo(socket: Socket) {
    socket.set_multishot(true);
    while let Ok(Some(input)) = socket.recv().await {
        if socket.send(Payload::Buffer(input.to_vec())).await.is_err() {
            return;
        }
    }
    let _ = socket.flush().await;
}

/// Spawns a task whose panic fails the process loudly instead of leaving the test waiting.
pub(crate) fn spawn(ring: &Ring, future: impl Future<Output = ()> + 'static) {
    ring.spawn(future, |panic| resume_unwind(panic));
}

/// Spawns tasks and waits for all of them; the first panic is the test's.
pub(crate) async fn all<F: Future<Output = ()> + 'static>(ring: &Ring, futures: Vec<F>) {
    let left = Rc::new(RefCell::new((futures.len(), None, None)));
    for future in futures {
        let (done, failed) = (left.clone(), left.clone());
        let finish = |left: &RefCell<(usize, Option<std::task::Waker>, Option<_>)>, panic| {
            let mut left = left.borrow_mut();
            left.0 -= 1;
            left.2 = left.2.take().or(panic);
            if let Some(waker) = &left.1 {
                waker.wake_by_ref();
            }
        };
        let task = async move {
            future.await;
            finish(&done, None);
        };
        ring.spawn(task, move |panic| finish(&failed, Some(panic)));
    }
    poll_fn(|cx| {
        let mut left = left.borrow_mut();
        if let Some(panic) = left.2.take() {
            resume_unwind(panic);
        }
        left.1 = Some(cx.waker().clone());
        if left.0 == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Polls once, whatever comes of it.
pub(crate) async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Descriptors open in this process.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// What must come back: the ring's slots and buffers, and the process's descriptors.
pub(crate) fn holdings(ring: &Ring) -> ((usize, usize, u16), usize) {
    (ring.usage(), descriptors())
}

/// Waits until everything is back; the last completions of a dropped operation take a turn or two. Fewer
/// descriptors are as good: the kernel may still have been closing those of an earlier test's ring.
pub(crate) async fn back_to(ring: &Ring, before: ((usize, usize, u16), usize)) {
    for _ in 0..200 {
        let (usage, descriptors) = holdings(ring);
        if usage == before.0 && descriptors <= before.1 {
            return;
        }
        ring.sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(holdings(ring), before, "((sockets, operations, free buffers), descriptors)");
}

/// Waits until the ring's slots and buffers are back, for tests that share the process's descriptors.
pub(crate) async fn usage_back_to(ring: &Ring, before: (usize, usize, u16)) {
    for _ in 0..200 {
        if ring.usage() == before {
            return;
        }
        ring.sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(ring.usage(), before, "(sockets, operations, free buffers)");
}

/// Waits until `holds`, looking every few milliseconds.
pub(crate) async fn until(ring: &Ring, what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        ring.sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

/// A small generator (xorshift*): the same numbers in every run.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

/// Changes the backlog of a listening socket.
#[allow(unsafe_code, reason = "the standard library has no call for it")]
pub(crate) fn set_backlog(listener: &TcpListener, backlog: libc::c_int) {
    // SAFETY: no memory is passed.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), backlog) }, 0);
}
