//! Giving up: dropped futures, dropped sockets, a dropped ring. Slots, descriptors and memory come back.

use std::fs;
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use quoit::ring::{Payload, Ring, RingConfig, Root, Socket, yield_now};

use crate::harness::*;

type Boxed<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// How far an operation gets before its future is dropped.
async fn proceed(ring: &Ring, stage: u64) {
    match stage % 4 {
        // Not even submitted.
        0 => {}
        1 => yield_now().await,
        2 => {
            for _ in 0..5 {
                yield_now().await;
            }
        }
        // Completed, if it can complete; not polled yet.
        _ => ring.sleep(Duration::ZERO).await,
    }
}

/// A listener that takes no more connections: the next ones hang in SYN-SENT.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    set_backlog(&listener, 0);
    let addr = listener.local_addr().expect("bound");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        waiting.push(stream);
    }
    (listener, waiting)
}

#[test]
fn dropped_operations_leave_nothing() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), pattern(1, 100_000)).expect("a file");
        let root = Root::open(directory.path()).expect("a directory");
        let file = ring.open(&root, b"file").await.expect("it exists");
        let (full, _waiting) = full_listener();
        let addr = full.local_addr().expect("bound");
        let (narrow, _narrow_stream) = narrow_pair(&ring);
        while narrow.try_send(&[0; 1000]).is_ok() {}
        let datagram = ring.bind_datagram((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let (quiet, _quiet_stream) = unix_pair(&ring);
        let signal = Signal::new();
        let before = holdings(&ring);
        for stage in 0..80 {
            let operations: Vec<Boxed> = vec![
                Box::pin(async { drop(ring.open(&root, b"file").await) }),
                Box::pin(async { drop(ring.open(&root, b"absent").await) }),
                Box::pin(async { drop(file.read_at(Vec::with_capacity(50_000), stage).await) }),
                Box::pin(async { drop(ring.connect(addr).await) }),
                Box::pin(async { ring.sleep(Duration::from_millis(1 + stage * 100)).await }),
                Box::pin(async { signal.raised(&ring).await }),
                Box::pin(async { drop(narrow.writable().await) }),
                Box::pin(async { drop(datagram.recv_from(Vec::with_capacity(2000)).await) }),
                Box::pin(async { drop(quiet.recv().await) }),
            ];
            let mut pending = Vec::new();
            for mut operation in operations {
                if poll_once(operation.as_mut()).await.is_pending() {
                    pending.push(operation);
                }
            }
            assert!(pending.len() >= 8);
            proceed(&ring, stage).await;
        }
        back_to(&ring, before).await;
    });
}

/// A file dropped with its read still queued: the read must not reach the next file with that descriptor.
#[test]
fn a_queued_read_never_meets_a_stranger() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), pattern(1, 1000)).expect("a file");
        let root = Root::open(directory.path()).expect("a directory");
        let before = holdings(&ring);
        for _ in 0..20 {
            let file = ring.open(&root, b"file").await.expect("it exists");
            let datagram = ring.bind_datagram((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
            let mut read = Box::pin(file.read_at(Vec::with_capacity(1000), 0));
            let mut receive = Box::pin(datagram.recv_from(Vec::with_capacity(1000)));
            assert!(poll_once(read.as_mut()).await.is_pending());
            assert!(poll_once(receive.as_mut()).await.is_pending());
            drop((read, receive));
            drop((file, datagram));
            let pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().expect("a pair")).collect();
            for (one, other) in &pairs {
                for mut end in [one, other] {
                    end.write_all(b"for my peer").expect("room");
                }
            }
            ring.sleep(Duration::ZERO).await;
            for (one, other) in &pairs {
                for mut end in [one, other] {
                    end.set_nonblocking(true).expect("an option");
                    let mut got = [0; 20];
                    let got = end.read(&mut got).map(|n| got[..n].to_vec());
                    assert_eq!(got.expect("nobody else read it"), b"for my peer");
                }
            }
        }
        back_to(&ring, before).await;
    });
}

/// What the peer of a dropped socket sees.
async fn end_of(ring: &Ring, mut stream: TcpStream) -> (usize, Option<ErrorKind>) {
    peer(move || {
        let mut got = Vec::new();
        let end = stream.read_to_end(&mut got);
        (got.len(), end.err().map(|error| error.kind()))
    })
    .join(ring)
    .await
}

#[test]
fn a_dropped_socket_ends_its_connection() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let before = holdings(&ring);
        for multishot in [false, true] {
            // A receive is armed.
            let (socket, stream) = tcp_pair(&ring, None);
            socket.set_multishot(multishot);
            assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
            ring.sleep(Duration::ZERO).await;
            drop(socket);
            assert_eq!(end_of(&ring, stream).await, (0, None));

            // A receive is armed, and a send was queued in this turn: it still goes out.
            let (socket, stream) = tcp_pair(&ring, None);
            socket.set_multishot(multishot);
            assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
            ring.sleep(Duration::ZERO).await;
            socket.start_send(Payload::Buffer(pattern(1, 5000)));
            drop(socket);
            assert_eq!(end_of(&ring, stream).await, (5000, None));

            // A send waits for the peer: what the kernel took arrives, the rest is given up.
            let (socket, stream) = tcp_pair(&ring, Some(32 * 1024));
            socket.set_multishot(multishot);
            socket.start_send(Payload::Buffer(vec![1; 4 << 20]));
            assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
            until(&ring, "the send waits", || ring.stats().sends_waited > 0).await;
            drop(socket);
            back_to(&ring, (before.0, before.1 + 1)).await;
            let (got, error) = end_of(&ring, stream).await;
            assert!(got > 0 && got < 4 << 20 && error.is_none(), "{got} bytes, {error:?}");

            // Made a reset on purpose.
            let (socket, stream) = tcp_pair(&ring, None);
            socket.abort();
            assert_eq!(end_of(&ring, stream).await, (0, Some(ErrorKind::ConnectionReset)));
        }
        back_to(&ring, before).await;
    });
}

/// Puts a ring into the middle of everything.
async fn get_busy(
    ring: &Ring,
    root: &Rc<Root>,
    round: u64,
) -> (Vec<glommio::Task<()>>, Vec<Box<dyn std::any::Any>>) {
    let mut tasks = Vec::new();
    let mut others: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut task = |future: Boxed<'static>| tasks.push(glommio::spawn_local(future));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let addr = listener.local_addr().expect("bound");
    let listener = ring.accept_on(listener.into());
    for _ in 0..3 {
        others.push(Box::new(TcpStream::connect(addr).expect("a connection")));
    }
    task(Box::pin(async move {
        // Takes one of the three; the others are accepted and never taken.
        let _taken = listener.accept().await;
        std::future::pending::<()>().await;
    }));
    for n in 0..4 {
        let (socket, mut stream) = tcp_pair(ring, Some(32 * 1024));
        socket.set_multishot(n % 2 == 0);
        stream.write_all(&[1; 5000]).expect("room");
        let socket = Rc::new(socket);
        let receiver = socket.clone();
        task(Box::pin(async move { while let Ok(Some(_)) = receiver.recv().await {} }));
        task(Box::pin(async move {
            drop(socket.send(Payload::Buffer(vec![0; 1 << 20])).await);
            drop(socket.flush().await);
        }));
        others.push(Box::new(stream));
    }
    let (narrow, stream) = narrow_pair(ring);
    others.push(Box::new(stream));
    while narrow.try_send(&[0; 1000]).is_ok() {}
    task(Box::pin(async move { drop(narrow.writable().await) }));
    let (sleeper, opener, root, signal) = (ring.clone(), ring.clone(), root.clone(), Signal::new());
    task(Box::pin(async move { sleeper.sleep(Duration::from_secs(100)).await }));
    task(Box::pin(async move {
        while let Ok(file) = opener.open(&root, b"file").await {
            drop(file.read_at(Vec::with_capacity(9000), round).await);
        }
    }));
    let poller = ring.clone();
    task(Box::pin(async move { signal.raised(&poller).await }));
    (tasks, others)
}

#[test]
fn a_ring_dropped_in_the_middle_of_everything_lets_go() {
    on_ring_alone(RingConfig::default(), |outer| async move {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("file"), pattern(1, 20_000)).expect("a file");
        let root = Rc::new(Root::open(directory.path()).expect("a directory"));
        let before = holdings(&outer);
        for round in 0..50 {
            let config = if round % 2 == 0 {
                RingConfig { submissions: 8, completions: 16, ..few_buffers(8, 1024) }
            } else {
                RingConfig::default()
            };
            let ring = Ring::new(config).expect("this kernel serves");
            let driver = glommio::spawn_local({
                let ring = ring.clone();
                async move { ring.drive().await }
            });
            let (tasks, others) = get_busy(&ring, &root, round).await;
            outer.sleep(Duration::from_millis(round % 3 * 8)).await;
            // The driver stops first, or last, or in the middle of a wait.
            if round % 4 < 2 {
                ring.stop();
                driver.await;
                for task in tasks {
                    task.cancel().await;
                }
            } else {
                for task in tasks {
                    task.cancel().await;
                }
                driver.cancel().await;
            }
            drop((ring, others));
        }
        back_to(&outer, before).await;
    });
}

/// Sends with a linked close that were submitted because the queue was full, on a ring that never turns
/// again: their descriptors are closed once, not twice.
#[test]
fn a_dropped_ring_closes_nothing_twice() {
    on_ring_alone(RingConfig::default(), |outer| async move {
        let before = holdings(&outer);
        for _ in 0..10 {
            let ring = Ring::new(RingConfig { submissions: 8, ..RingConfig::default() }).expect("a ring");
            let mut streams = Vec::new();
            for seed in 0..30 {
                let (socket, stream): (Socket, UnixStream) = unix_pair(&ring);
                socket.start_last_send(Payload::Buffer(pattern(seed, 100)));
                streams.push(stream);
            }
            assert!(ring.stats().queue_full > 0);
            drop(ring);
            drop(streams);
        }
        back_to(&outer, before).await;
    });
}
