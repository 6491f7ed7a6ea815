//! Sending to peers that read slowly: every byte once and in order, wherever the kernel cuts a send short.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use bytes::Bytes;
use quoit::ring::{Payload, Ring, RingConfig, Socket, yield_now};

use crate::harness::*;

/// Cuts `bytes` into payloads of all three kinds, each of up to `max` bytes.
fn payloads(bytes: &[u8], max: u64, rng: &mut Rng) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = (1 + rng.below(max) as usize).min(bytes.len() - at);
        let part = &bytes[at..at + len];
        let cut = rng.below(len as u64 + 1) as usize;
        payloads.push(match rng.below(3) {
            0 => Payload::Buffer(part.to_vec()),
            1 => Payload::Shared(Bytes::copy_from_slice(part)),
            _ => Payload::Gather(part[..cut].to_vec(), Bytes::copy_from_slice(&part[cut..])),
        });
        at += len;
    }
    payloads
}

/// Sends one payload after the other, ends the stream, and compares what the peer read.
async fn send_all(
    ring: &Ring,
    socket: Socket,
    mut stream: impl Read + Send + 'static,
    payloads: Vec<Payload>,
    expected: Vec<u8>,
    piece: usize,
) {
    let len = expected.len() as u64;
    let reader = peer(move || read_all(&mut stream, expected, piece, &mut Rng(len | 1)));
    for payload in payloads {
        socket.send(payload).await.expect("the peer reads");
    }
    socket.flush().await.expect("the peer reads");
    assert!(!socket.is_sending());
    socket.shutdown_write();
    reader.join(ring).await;
    assert_eq!(socket.acknowledged(), len);
}

#[test]
fn a_large_send_to_a_slow_reader_is_whole() {
    on_ring(RingConfig::default(), |ring| async move {
        const BYTES: usize = 8 * 1024 * 1024;
        let before = ring.usage();
        let bytes = pattern(1, BYTES);
        let (head, body) = bytes.split_at(700);
        let shared = Payload::Shared(Bytes::from(bytes.clone()));
        let gather = Payload::Gather(head.to_vec(), Bytes::copy_from_slice(body));
        for payload in [shared, gather] {
            let (socket, stream) = tcp_pair(&ring, Some(64 * 1024));
            let waited = ring.stats().sends_waited;
            send_all(&ring, socket, stream, vec![payload], bytes.clone(), 64 * 1024).await;
            assert!(ring.stats().sends_waited > waited);
        }
        usage_back_to(&ring, before).await;
    });
}

/// The batch send (MSG_DONTWAIT with MSG_WAITALL, no completion on success) is cut short at offsets all over:
/// in the head, at the border, in the body, at the first byte.
#[test]
fn batch_sends_cut_short_anywhere_repeat_nothing() {
    on_ring(RingConfig::default(), |ring| async move {
        const BYTES: usize = 3 * 1024 * 1024;
        let before = ring.usage();
        let mut senders = Vec::new();
        for seed in 1..=6 {
            let ring = ring.clone();
            senders.push(async move {
                let mut rng = Rng(seed);
                let bytes = pattern(seed, BYTES);
                if seed % 2 == 0 {
                    let (socket, stream) = narrow_pair(&ring);
                    let payloads = payloads(&bytes, 3000 << seed, &mut rng);
                    send_all(&ring, socket, stream, payloads, bytes, 5000).await;
                } else {
                    // Smaller TCP buffers would spend the time in its timers.
                    let (socket, stream) = tcp_pair(&ring, Some(64 * 1024));
                    let payloads = payloads(&bytes, 100_000 << seed, &mut rng);
                    send_all(&ring, socket, stream, payloads, bytes, 30_000).await;
                }
            });
        }
        all(&ring, senders).await;
        let stats = ring.stats();
        assert!(stats.sends_waited > 300, "{stats:?}");
        usage_back_to(&ring, before).await;
    });
}

/// The peer starts to read when everything was queued, the send falls short, and the close comes after all.
#[test]
fn a_last_send_to_a_slow_reader_is_whole_before_the_end() {
    on_ring(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        let mut senders = Vec::new();
        for (seed, bytes) in [(1, 4 << 20), (2, 300_000), (3, 70_000), (4, 1000)] {
            let (narrow, narrow_stream) = narrow_pair(&ring);
            let (wide, wide_stream) = tcp_pair(&ring, Some(64 * 1024));
            senders.push(last_send(ring.clone(), narrow, narrow_stream, seed, bytes));
            senders.push(last_send(ring.clone(), wide, wide_stream, seed, bytes));
        }
        all(&ring, senders).await;
        assert!(ring.stats().sends_waited > 0);
        usage_back_to(&ring, before).await;
    });
}

type Sender = std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn last_send(
    ring: Ring,
    socket: Socket,
    mut stream: impl Read + Send + 'static,
    seed: u64,
    len: usize,
) -> Sender {
    Box::pin(async move {
        let expected = pattern(seed, len);
        let bytes = expected.clone();
        socket.start_last_send(Payload::Gather(bytes[..99].to_vec(), Bytes::copy_from_slice(&bytes[99..])));
        // Time for the batch to fall short.
        ring.sleep(Duration::from_millis(20)).await;
        let reader = peer(move || read_all(&mut stream, expected, 40_000, &mut Rng(seed)));
        socket.flush().await.expect("the peer reads");
        drop(socket);
        reader.join(&ring).await;
    })
}

/// What the peer takes at once needs no flush: the socket may be dropped in the same turn.
#[test]
fn a_small_last_send_may_be_dropped_at_once() {
    on_ring(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        let mut readers = Vec::new();
        for seed in 1..200 {
            let (socket, stream) = tcp_pair(&ring, None);
            let expected = pattern(seed, 1000);
            socket.start_last_send(Payload::Buffer(expected.clone()));
            drop(socket);
            readers.push((stream, expected));
            if seed % 8 == 0 {
                yield_now().await;
            }
        }
        usage_back_to(&ring, before).await;
        for (mut stream, expected) in readers {
            read_all(&mut stream, expected, 2000, &mut Rng(1));
        }
    });
}

/// Without waiting: from memory that stays ours, as much as fits, and the rest when there is room.
#[test]
fn tried_sends_take_what_fits_and_writable_tells_when_more_does() {
    on_ring(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        let (socket, mut stream) = narrow_pair(&ring);
        let bytes = pattern(3, 200_000);
        let reader = peer({
            let expected = bytes.clone();
            move || read_all(&mut stream, expected, 4000, &mut Rng(9))
        });
        let (mut sent, mut refused) = (0, 0);
        while sent < bytes.len() {
            match socket.try_send(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    refused += 1;
                    socket.writable().await.expect("the peer reads");
                }
            }
        }
        assert!(refused > 0);
        socket.shutdown_write();
        reader.join(&ring).await;
        assert_eq!(socket.acknowledged(), bytes.len() as u64);
        drop(socket);
        usage_back_to(&ring, before).await;
    });
}
