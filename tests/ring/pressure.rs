//! Back-pressure: a peer that floods is stopped by TCP, does not affect others, and loses nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use quoit::ring::{Ring, RingConfig};

use crate::harness::*;

/// What the flooder would like to send.
const FLOOD_BYTES: usize = 12 * 1024 * 1024;

/// Each kernel buffer involved; the kernel doubles it.
const KERNEL_BYTES: i32 = 64 * 1024;

/// How long nothing may be taken before the flooder counts as stopped.
const STOPPED_AFTER: Duration = Duration::from_millis(150);

/// Writes until the kernel has taken nothing for a while: how much went out.
fn write_until_stopped(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(STOPPED_AFTER)).expect("an option");
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("the flooder was cut off: {error}"),
        }
    }
    stream.set_write_timeout(None).expect("an option");
    sent
}

async fn flood(ring: Ring) -> Ring {
    let before = ring.usage();
    let (socket, mut stream) = tcp_pair(&ring, Some(KERNEL_BYTES));
    socket.set_multishot(true);
    // One read, so that the multishot receive is armed; then no task reads.
    stream.write_all(&pattern(7, FLOOD_BYTES)[..1]).expect("room");
    let first = socket.recv().await.expect("no error").expect("input").to_vec();
    let (stopped, go_on) = (Signal::new(), Signal::new());
    let flooder = peer({
        let (stopped, go_on) = (stopped.clone(), go_on.clone());
        move || {
            let bytes = pattern(7, FLOOD_BYTES);
            let sent = 1 + write_until_stopped(&mut stream, &bytes[1..]);
            stopped.raise();
            go_on.wait();
            stream.write_all(&bytes[sent..]).expect("the reader reads now");
            sent
        }
    });
    stopped.raised(&ring).await;

    let (other, mut client) = tcp_pair(&ring, None);
    spawn(&ring, echo(other));
    let neighbour = peer(move || {
        let (mut worst, mut answer) = (Duration::ZERO, [0; 64]);
        for n in 0..100 {
            let asked = Instant::now();
            client.write_all(&[n; 64]).expect("the ring reads");
            client.read_exact(&mut answer).expect("the ring answers");
            assert_eq!(answer, [n; 64]);
            worst = worst.max(asked.elapsed());
        }
        worst
    });
    let worst = neighbour.join(&ring).await;
    assert!(worst < Duration::from_millis(500), "a neighbour of the flooder waited {worst:?}");

    go_on.raise();
    let mut checker = Checker::new(pattern(7, FLOOD_BYTES));
    checker.feed(&first);
    while let Some(input) = socket.recv().await.expect("no error") {
        checker.feed(&input);
    }
    checker.finish();
    let sent = flooder.join(&ring).await;
    // Two kernel buffers of twice the size asked for, and at most 1 MiB of ours.
    let bound = 4 * KERNEL_BYTES as usize + 1024 * 1024;
    assert!(sent < bound, "{sent} bytes were taken while nobody read");
    drop(socket);
    usage_back_to(&ring, before).await;
    ring
}

#[test]
fn a_flooder_is_stopped_when_it_holds_its_share() {
    on_ring(few_buffers(256, 4096), |ring| async move {
        let ring = flood(ring).await;
        assert!(ring.stats().receives_stopped > 0, "{:?}", ring.stats());
    });
}

#[test]
fn a_flooder_is_moved_out_of_a_scarce_pool() {
    let config = RingConfig { held_buffers_max: 1000, ..few_buffers(8, 2048) };
    on_ring(config, |ring| async move {
        let ring = flood(ring).await;
        assert!(ring.stats().inputs_evicted > 0, "{:?}", ring.stats());
    });
}
