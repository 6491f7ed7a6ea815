//! Queues that are too small, and signals in the middle of everything.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quoit::ring::{Payload, Ring, RingConfig, Root};

use crate::harness::*;

/// The smallest queues: eight entries for hundreds of operations.
fn tiny_queues() -> RingConfig {
    RingConfig { submissions: 8, completions: 16, ..RingConfig::default() }
}

/// One operation of each kind, checked.
async fn some_of_everything(ring: Ring, root: std::rc::Rc<Root>, seed: u64) {
    let (socket, mut stream) = unix_pair(&ring);
    let sent = pattern(seed, 600);
    socket.send(Payload::Buffer(sent.clone())).await.expect("room");
    ring.sleep(Duration::from_millis(seed % 5)).await;
    let file = ring.open(&root, b"file").await.expect("it exists");
    let read = file.read_at(Vec::with_capacity(5000), 0).await.expect("it is readable");
    assert_eq!(read, pattern(99, 4000));
    socket.flush().await.expect("room");
    let mut got = vec![0; 600];
    stream.read_exact(&mut got).expect("it was sent");
    assert_eq!(got, sent);
    stream.write_all(&got).expect("room");
    drop(stream);
    recv_all(&socket, sent).await;
}

#[test]
fn hundreds_of_operations_pass_through_eight_entries() {
    on_ring(tiny_queues(), |ring| async move {
        let before = ring.usage();
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("file"), pattern(99, 4000)).expect("a file");
        let root = std::rc::Rc::new(Root::open(directory.path()).expect("a directory"));
        let tasks = (0..300).map(|seed| some_of_everything(ring.clone(), root.clone(), seed)).collect();
        all(&ring, tasks).await;
        let stats = ring.stats();
        assert!(stats.queue_full > 0, "{stats:?}");
        usage_back_to(&ring, before).await;
    });
}

/// Send and linked close must land in one submission, or the link is cut; here they hardly fit.
#[test]
fn linked_sends_survive_a_full_queue() {
    on_ring(tiny_queues(), |ring| async move {
        let before = ring.usage();
        let mut streams = Vec::new();
        for seed in 0..301 {
            let (socket, stream) = unix_pair(&ring);
            let bytes = pattern(seed, 500);
            // An odd number of entries before the pair, now and then.
            if seed % 3 == 0 {
                spawn(&ring, {
                    let ring = ring.clone();
                    async move { ring.sleep(Duration::ZERO).await }
                });
                let (other, _) = unix_pair(&ring);
                other.start_send(Payload::Buffer(vec![0; 10]));
            }
            socket.start_last_send(Payload::Shared(Bytes::from(bytes.clone())));
            streams.push((socket, stream, bytes));
        }
        for (socket, mut stream, bytes) in streams {
            socket.flush().await.expect("room");
            drop(socket);
            read_all(&mut stream, bytes, 700, &mut Rng(5));
        }
        assert!(ring.stats().queue_full > 0);
        usage_back_to(&ring, before).await;
    });
}

/// A hundred batch sends fail together, and their completions do not fit the queue: those the kernel holds
/// back must not be taken for successes. The first ones fail for good, and so do not queue anything more.
#[test]
fn failures_beyond_the_completion_queue_are_not_successes() {
    on_ring(tiny_queues(), |ring| async move {
        const GONE: usize = 40;
        const BYTES: usize = 40_000;
        let before = ring.usage();
        let (mut sockets, mut streams) = (Vec::new(), Vec::new());
        for seed in 0..100 {
            let (socket, stream) = narrow_pair(&ring);
            sockets.push(socket);
            streams.push((seed, stream));
        }
        streams.drain(..GONE);
        for (seed, socket) in sockets.iter().enumerate() {
            socket.start_send(Payload::Buffer(pattern(seed as u64, BYTES)));
        }
        let reader = peer(move || {
            for (seed, stream) in &mut streams {
                read_all(stream, pattern(*seed, BYTES), 8000, &mut Rng(*seed));
            }
        });
        for (n, socket) in sockets.iter().enumerate() {
            let flushed = socket.flush().await;
            assert_eq!(flushed.is_err(), n < GONE, "socket {n}");
            socket.shutdown_write();
        }
        reader.join(&ring).await;
        assert_eq!(ring.stats().sends_waited, 100);
        drop(sockets);
        usage_back_to(&ring, before).await;
    });
}

extern "C" fn interrupt(_: libc::c_int) {}

/// Makes SIGUSR2 interrupt system calls: a handler, and no SA_RESTART.
#[allow(unsafe_code, reason = "signals are the operating system's own interface")]
fn catch_interrupts() {
    // SAFETY: the handler does nothing, which is safe in any context; the struct lives across the call and
    // all-zero bytes are a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = interrupt as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
    }
}

#[allow(unsafe_code, reason = "as above")]
fn this_thread() -> libc::pthread_t {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() }
}

#[allow(unsafe_code, reason = "as above")]
fn interrupt_thread(thread: libc::pthread_t) {
    // SAFETY: the caller is joined before the thread it interrupts ends.
    unsafe { libc::pthread_kill(thread, libc::SIGUSR2) };
}

#[test]
fn signals_lose_nothing() {
    on_ring(
        RingConfig { alarm_every: Duration::from_millis(5), ..RingConfig::default() },
        |ring| async move {
            let before = ring.usage();
            catch_interrupts();
            let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
            let signaller = peer({
                let (ring_thread, over, count) = (this_thread(), over.clone(), count.clone());
                move || {
                    while !over.load(Ordering::Relaxed) {
                        interrupt_thread(ring_thread);
                        count.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            });
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::write(directory.path().join("file"), pattern(99, 4000)).expect("a file");
            let root = std::rc::Rc::new(Root::open(directory.path()).expect("a directory"));
            let mut clients = Vec::new();
            for seed in 0..3 {
                let (socket, mut stream) = tcp_pair(&ring, None);
                spawn(&ring, echo(socket));
                clients.push(peer(move || {
                    let mut rng = Rng(seed + 1);
                    for _ in 0..400 {
                        let question = pattern(rng.next(), 1 + rng.below(3000) as usize);
                        let mut answer = vec![0; question.len()];
                        stream.write_all(&question).expect("the ring reads");
                        stream.read_exact(&mut answer).expect("the ring answers");
                        assert!(answer == question);
                    }
                }));
            }
            let tasks = (0..50).map(|seed| some_of_everything(ring.clone(), root.clone(), seed)).collect();
            all(&ring, tasks).await;
            let (socket, mut stream) = tcp_pair(&ring, Some(32 * 1024));
            let bytes = pattern(77, 2 << 20);
            let reader = peer({
                let bytes = bytes.clone();
                move || read_all(&mut stream, bytes, 20_000, &mut Rng(3))
            });
            socket.send(Payload::Buffer(bytes)).await.expect("the peer reads");
            socket.flush().await.expect("the peer reads");
            socket.shutdown_write();
            reader.join(&ring).await;
            for client in clients {
                client.join(&ring).await;
            }
            // Idle, it is interrupted too.
            until(&ring, "a thousand signals", || count.load(Ordering::Relaxed) > 1000).await;
            over.store(true, Ordering::Relaxed);
            signaller.join(&ring).await;
            drop(socket);
            usage_back_to(&ring, before).await;
        },
    );
}
