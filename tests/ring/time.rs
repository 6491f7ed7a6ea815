//! Deadlines, sleep, and what an idle core costs.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{ErrorKind, Write};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use quoit::ring::{Payload, RingConfig, Socket};

use crate::harness::*;

/// Two ticks of the wheel, and what a loaded machine adds.
const LATE: Duration = Duration::from_millis(32 + 250);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn assert_took(since: Instant, wanted: Duration) {
    let took = since.elapsed();
    assert!(took >= wanted, "{took:?} is before {wanted:?}");
    assert!(took < wanted + LATE, "{took:?} is long after {wanted:?}");
}

async fn recv_times_out(socket: &Socket) {
    let error = socket.recv().await.expect_err("nobody sends");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_receive_fails_at_its_deadline_and_never_before() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (socket, mut stream) = unix_pair(&ring);
        for multishot in [false, true] {
            socket.set_multishot(multishot);
            for n in 0..8 {
                // Start at every part of a tick.
                glommio::timer::sleep(ms(n * 3)).await;
                ring.sleep(Duration::ZERO).await;
                while ring.now().elapsed() < Duration::from_micros(n * 700) {}
                let since = ring.now();
                socket.set_deadline(Some(ms(50)));
                recv_times_out(&socket).await;
                assert_took(since, ms(50));
                recv_times_out(&socket).await;
            }
        }
        // A deadline that has passed is forgotten with the next one, and input is not lost by it.
        socket.set_deadline(None);
        stream.write_all(b"late").expect("room");
        assert_eq!(socket.recv().await.expect("no deadline").as_deref(), Some(&b"late"[..]));
    });
}

#[test]
fn a_deadline_moves_forward_and_back() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (socket, _stream) = unix_pair(&ring);
        // Moved ahead again and again, while a task waits.
        let since = ring.now();
        socket.set_deadline(Some(ms(60)));
        let socket = Rc::new(socket);
        spawn(&ring, {
            let (ring, socket) = (ring.clone(), socket.clone());
            async move {
                for _ in 0..5 {
                    ring.sleep(ms(30)).await;
                    socket.set_deadline(Some(ms(60)));
                }
            }
        });
        recv_times_out(&socket).await;
        assert!(since.elapsed() >= ms(5 * 30 + 60), "{:?}", since.elapsed());
        // And nearer: an hour becomes 50 ms.
        let since = ring.now();
        socket.set_deadline(Some(Duration::from_secs(3600)));
        socket.set_deadline(Some(ms(50)));
        recv_times_out(&socket).await;
        assert_took(since, ms(50));
    });
}

#[test]
fn sends_and_waits_for_room_have_the_deadline_too() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        let (socket, _stream) = narrow_pair(&ring);
        socket.set_deadline(Some(ms(50)));
        let since = ring.now();
        while socket.try_send(&[0; 1000]).is_ok() {}
        assert_eq!(socket.writable().await.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
        assert_took(since, ms(50));
        let since = ring.now();
        socket.set_deadline(Some(ms(50)));
        socket.start_send(Payload::Buffer(vec![0; 100_000]));
        assert_eq!(socket.flush().await.expect_err("nobody reads").kind(), ErrorKind::TimedOut);
        assert_took(since, ms(50));
        drop(socket);
        usage_back_to(&ring, before).await;
    });
}

#[test]
fn sleepers_wake_in_order() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let woken = Rc::new(RefCell::new(Vec::new()));
        let mut sleepers = Vec::new();
        let mut rng = Rng(11);
        for _ in 0..300 {
            let (ring, woken) = (ring.clone(), woken.clone());
            let wanted = ms(rng.below(400));
            sleepers.push(async move {
                let since = Instant::now();
                ring.sleep(wanted).await;
                assert_took(since, wanted);
                woken.borrow_mut().push(wanted);
            });
        }
        all(&ring, sleepers).await;
        let woken = woken.borrow();
        assert_eq!(woken.len(), 300);
        let swapped = woken.windows(2).find(|pair| pair[1] + ms(32) < pair[0]);
        assert!(swapped.is_none(), "{swapped:?} is out of order by more than two ticks");
    });
}

/// The clock of the ring stands still while the core is parked or a task computes; a sleep that starts then
/// must be neither short nor forgotten.
#[test]
fn timers_set_by_a_task_that_a_foreign_thread_woke_are_kept() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (socket, _stream) = unix_pair(&ring);
        socket.set_multishot(true);
        assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
        for _ in 0..3 {
            glommio::executor().spawn_blocking(|| std::thread::sleep(ms(150))).await;
            let since = Instant::now();
            assert!(since - ring.now() < ms(20), "the ring's time is {:?} old", since - ring.now());
            ring.sleep(ms(50)).await;
            assert_took(since, ms(50));

            glommio::executor().spawn_blocking(|| std::thread::sleep(ms(150))).await;
            let since = Instant::now();
            socket.set_deadline(Some(ms(50)));
            recv_times_out(&socket).await;
            assert_took(since, ms(50));
        }
        // A task that kept the core for itself.
        let since = Instant::now();
        while since.elapsed() < ms(100) {}
        let since = Instant::now();
        ring.sleep(ms(50)).await;
        assert_took(since, ms(50));
    });
}

#[test]
fn five_thousand_deadlines_on_a_parked_core() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        const SOCKETS: u64 = 5000;
        quoit::ring::sys::raise_descriptor_limit();
        let before = holdings(&ring);
        let sockets: Vec<_> = (0..SOCKETS).map(|_| unix_pair(&ring)).collect();
        let since = ring.now();
        let mut waiting = Vec::new();
        for (n, (socket, stream)) in (0..).zip(sockets) {
            let ring = ring.clone();
            waiting.push(async move {
                let wanted = ms(400 + n % 500);
                socket.set_multishot(n % 2 == 0);
                let since = ring.now();
                socket.set_deadline(Some(wanted));
                recv_times_out(&socket).await;
                // Thousands wake in the same few ticks of an unoptimised build.
                assert!(since.elapsed() >= wanted && since.elapsed() < wanted + 4 * LATE);
                drop(stream);
            });
        }
        let stats = ring.stats();
        all(&ring, waiting).await;
        assert!(since.elapsed() >= ms(899), "the last deadline");
        let enters = ring.stats().enters - stats.enters;
        assert!(ring.stats().parks > stats.parks, "the core slept meanwhile");
        assert!(enters < 3000, "{enters} enters for 5,000 deadlines within 60 ticks");
        back_to(&ring, before).await;
    });
}

/// The check of a deadline goes round the wheel: 8 s and more are found all the same.
#[test]
fn a_deadline_beyond_the_check_interval_is_kept() {
    on_ring(RingConfig::default(), |ring| async move {
        let (socket, _stream) = unix_pair(&ring);
        let since = ring.now();
        socket.set_deadline(Some(ms(8300)));
        recv_times_out(&socket).await;
        assert!(since.elapsed() >= ms(8300), "{:?}", since.elapsed());
        assert!(since.elapsed() < ms(8300) + 4 * LATE, "{:?}", since.elapsed());
    });
}

/// An idle core sleeps: with sockets open, receives armed, and a deadline far away.
#[test]
fn an_idle_core_does_nothing() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let mut pairs: Vec<_> = (0..50).map(|_| unix_pair(&ring)).collect();
        for (socket, _) in &pairs {
            socket.set_multishot(true);
            socket.set_deadline(Some(Duration::from_secs(60)));
            assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
        }
        ring.sleep(ms(50)).await;
        let before = ring.stats();
        // Not the ring's own timer, whose firing is work.
        glommio::timer::sleep(ms(500)).await;
        let after = ring.stats();
        assert!(after.parks > 0);
        assert!(after.enters - before.enters <= 10, "{} enters in 500 ms", after.enters - before.enters);
        // And it is not dead.
        for (socket, stream) in &mut pairs {
            stream.write_all(b"x").expect("room");
            let since = Instant::now();
            let input = poll_fn(|cx| match socket.poll_recv(cx) {
                Poll::Ready(Ok(Some(input))) => Poll::Ready(input.len()),
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => Poll::Pending,
            });
            assert_eq!(input.await, 1);
            assert!(since.elapsed() < LATE);
        }
    });
}
