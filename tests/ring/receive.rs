//! Receiving when buffers or completions run out: nothing is lost, and everything comes back.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use quoit::ring::{RecvBuf, Ring, RingConfig, Socket, yield_now};

use crate::harness::*;

/// 48 sockets share four buffers, and every reader sits on its buffer for a few turns.
#[test]
fn missing_buffers_lose_nothing() {
    on_ring(few_buffers(4, 1024), |ring| async move {
        const SOCKETS: u64 = 48;
        const BYTES: usize = 48 * 1024;
        let before = ring.usage();
        let (mut readers, mut streams) = (Vec::new(), Vec::new());
        for seed in 0..SOCKETS {
            let (socket, stream) = unix_pair(&ring);
            streams.push((stream, pattern(seed, BYTES)));
            readers.push(async move {
                socket.set_multishot(seed % 2 == 0);
                let mut checker = Checker::new(pattern(seed, BYTES));
                while let Some(input) = socket.recv().await.expect("no error") {
                    for _ in 0..seed % 4 {
                        yield_now().await;
                    }
                    checker.feed(&input);
                }
                checker.finish();
            });
        }
        let writer = peer(move || {
            for piece in 0..BYTES / 1024 {
                for (stream, bytes) in &mut streams {
                    stream.write_all(&bytes[piece * 1024..][..1024]).expect("the reader reads");
                }
            }
        });
        all(&ring, readers).await;
        writer.join(&ring).await;
        assert!(ring.stats().buffers_missing > 0, "{:?}", ring.stats());
        usage_back_to(&ring, before).await;
    });
}

/// Takes the four buffers of the pool, each from a socket of its own.
async fn hold_every_buffer(ring: &Ring) -> Vec<((Socket, UnixStream), RecvBuf)> {
    let mut held = Vec::new();
    for n in 0..4 {
        let (socket, mut stream) = unix_pair(ring);
        stream.write_all(&[n]).expect("room");
        let input = socket.recv().await.expect("no error").expect("input");
        held.push(((socket, stream), input));
    }
    assert_eq!(ring.usage().2, 0);
    held
}

/// All buffers are held by a task that only another thread wakes: the task that waits for a buffer must not
/// wait for the next traffic.
#[test]
fn a_buffer_given_back_while_parked_is_handed_on() {
    on_ring(few_buffers(4, 1024), |ring| async move {
        let (sockets, buffers): (Vec<_>, Vec<_>) = hold_every_buffer(&ring).await.into_iter().unzip();
        let (socket, mut stream) = unix_pair(&ring);
        stream.write_all(b"waiting").expect("room");
        let parks = ring.stats().parks;
        let holder = glommio::spawn_local(async move {
            glommio::executor().spawn_blocking(|| std::thread::sleep(Duration::from_millis(50))).await;
            // Nothing of the ring is touched here but the buffers.
            drop(buffers);
        });
        assert_eq!(socket.recv().await.expect("no error").as_deref(), Some(&b"waiting"[..]));
        holder.await;
        let stats = ring.stats();
        assert!(stats.buffers_missing > 0 && stats.parks > parks, "{stats:?}");
        drop(sockets);
    });
}

/// `watch` is woken by input although there was no buffer for it when it was armed.
#[test]
fn a_watcher_hears_its_peer_after_buffers_were_missing() {
    on_ring(few_buffers(4, 1024), |ring| async move {
        let held = hold_every_buffer(&ring).await;
        let (socket, stream) = unix_pair(&ring);
        let heard = Rc::new(RefCell::new(false));
        spawn(&ring, {
            let heard = heard.clone();
            async move {
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    socket.watch(cx);
                    if polls > 1 { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
                *heard.borrow_mut() = true;
                assert!(socket.recv().await.expect("no error").is_none(), "the peer has gone");
            }
        });
        until(&ring, "no buffer was there", || ring.stats().buffers_missing > 0).await;
        drop(stream);
        drop(held);
        until(&ring, "the watcher was woken", || *heard.borrow()).await;
    });
}

/// 16 completions, 32 and more at once: the kernel ends multishot receives on its own (F_MORE is clear).
#[test]
fn receiving_goes_on_when_the_kernel_ends_a_multishot() {
    let config = RingConfig {
        submissions: 8,
        completions: 16,
        buffers: 512,
        buffer_bytes: 64,
        held_buffers_max: u16::MAX - 1,
        ..RingConfig::default()
    };
    on_ring(config, |ring| async move {
        const SOCKETS: u64 = 8;
        const BYTES: usize = 128 * 1024;
        let before = ring.usage();
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for seed in 0..SOCKETS {
            let (socket, mut stream) = unix_pair(&ring);
            readers.push(async move {
                socket.set_multishot(true);
                recv_all(&socket, pattern(seed, BYTES)).await;
            });
            writers.push(peer(move || stream.write_all(&pattern(seed, BYTES)).expect("the reader reads")));
        }
        all(&ring, readers).await;
        for writer in writers {
            writer.join(&ring).await;
        }
        let stats = ring.stats();
        assert_eq!(stats.receives_stopped, 0, "no receive was ended by us: {stats:?}");
        usage_back_to(&ring, before).await;
    });
}
