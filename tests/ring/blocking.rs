//! Work off the core: it runs beside it, comes back in whatever order, and may panic or be given up.

use std::future::Future as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use quoit::ring::{Reply, RingConfig, yield_now};

use crate::harness::*;

#[test]
fn work_runs_beside_the_core() {
    on_ring(RingConfig { blocking_threads_max: 4, ..RingConfig::default() }, |ring| async move {
        let here = std::thread::current().id();
        assert_ne!(ring.blocking(|| std::thread::current().id()).await, here);
        // Three wait for the fourth, so that none can have run on another's thread or in turn.
        let (go, gate) = mpsc::channel::<()>();
        let held = ring.blocking(move || gate.recv().is_ok());
        let mut held = Box::pin(held);
        assert!(poll_once(held.as_mut()).await.is_pending());
        for n in 0..100 {
            assert_eq!(ring.blocking(move || n * 2).await, n * 2);
        }
        go.send(()).expect("it waits");
        assert!(held.await);
    });
}

#[test]
fn an_answer_is_not_kept_waiting() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        ring.blocking(|| ()).await;
        let mut fastest = Duration::MAX;
        for _ in 0..50 {
            let since = Instant::now();
            ring.blocking(|| ()).await;
            fastest = fastest.min(since.elapsed());
        }
        // The executor alone would look only when the alarm rings, every 2 ms.
        assert!(fastest < Duration::from_millis(1), "{fastest:?}");
    });
}

#[test]
fn more_work_than_threads_waits_in_line() {
    on_ring(RingConfig { blocking_threads_max: 2, ..RingConfig::default() }, |ring| async move {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let both = Arc::new(Barrier::new(2));
        let jobs = (0..40).map(|n| {
            let (running, most, both) = (running.clone(), most.clone(), both.clone());
            let work = ring.blocking(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                both.wait();
                running.fetch_sub(1, Ordering::SeqCst);
                n
            });
            async move { assert_eq!(work.await, n) }
        });
        all(&ring, jobs.collect::<Vec<_>>()).await;
        assert_eq!(most.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn tasks_take_turns() {
    let config = RingConfig { blocking_threads_max: 1, ..RingConfig::default() };
    on_ring(config, |ring| async move {
        let (go, gate) = mpsc::channel::<()>();
        let (told, order) = mpsc::channel();
        let mut first = Box::pin(ring.blocking(move || gate.recv().is_ok()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        // One task asks for fifty things at once, as the streams of a connection do; another for one.
        for (task, jobs) in [("many", 50), ("one", 1)] {
            let jobs = (0..jobs).map(|_| {
                let told = told.clone();
                Box::pin(ring.blocking(move || told.send(task).expect("it is listened to")))
            });
            let mut jobs: Vec<_> = jobs.collect();
            spawn(&ring, async move {
                for job in &mut jobs {
                    assert!(poll_once(job.as_mut()).await.is_pending());
                }
                for job in jobs {
                    job.await;
                }
            });
            yield_now().await;
        }
        go.send(()).expect("it waits");
        assert!(first.await);
        let mut ran = Vec::new();
        until(&ring, "all have run", || {
            ran.extend(order.try_iter());
            ran.len() == 51
        })
        .await;
        let place = ran.iter().position(|&task| task == "one");
        assert!(place.is_some_and(|place| place <= 2), "{place:?}");
    });
}

#[test]
fn the_queue_is_bounded_and_what_waits_for_a_place_gets_one() {
    let config = RingConfig { blocking_threads_max: 1, blocking_waiting_max: 2, ..RingConfig::default() };
    on_ring(config, |ring| async move {
        let (go, gate) = mpsc::channel::<()>();
        let mut first = Box::pin(ring.blocking(move || gate.recv().is_ok()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        let mut jobs: Vec<_> = (0..40).map(|n| Box::pin(ring.blocking(move || n))).collect();
        for job in &mut jobs {
            assert!(poll_once(job.as_mut()).await.is_pending());
        }
        // Those that are given up, in the queue and before it, take no place of the others.
        for place in [30, 20, 10, 3, 2, 1, 0] {
            drop(jobs.remove(place));
        }
        go.send(()).expect("it waits");
        assert!(first.await);
        let mut sum = 0;
        for job in jobs {
            sum += job.await;
        }
        assert_eq!(sum, (0..40).sum::<i32>() - 30 - 20 - 10 - 3 - 2 - 1);
    });
}

/// Wakes nothing; the number of clones shows whether one is kept.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn what_waits_for_a_place_keeps_one_waker_however_often_it_is_polled() {
    let config = RingConfig { blocking_threads_max: 1, blocking_waiting_max: 1, ..RingConfig::default() };
    on_ring(config, |ring| async move {
        let (go, gate) = mpsc::channel::<()>();
        let mut first = Box::pin(ring.blocking(move || gate.recv().is_ok()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        let mut queued = Box::pin(ring.blocking(|| 1));
        assert!(poll_once(queued.as_mut()).await.is_pending());
        let mut blocked: Vec<_> = (0..3).map(|n| Box::pin(ring.blocking(move || n))).collect();
        let wakers: Vec<_> = blocked.iter().map(|_| Arc::new(Counted)).collect();
        for _ in 0..10 {
            for (job, waker) in blocked.iter_mut().zip(&wakers) {
                let waker = Waker::from(waker.clone());
                assert!(job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        let kept = || wakers.iter().map(Arc::strong_count).map(|count| count - 1).collect::<Vec<_>>();
        assert_eq!(kept(), [1; 3]);
        drop(blocked.remove(1));
        assert_eq!(kept(), [1, 0, 1]);
        // Another task takes over: the former waker is given up.
        for job in &mut blocked {
            assert!(poll_once(job.as_mut()).await.is_pending());
        }
        assert_eq!(kept(), [0; 3]);
        go.send(()).expect("it waits");
        assert!(first.await);
        assert_eq!(queued.await, 1);
        for (job, n) in blocked.into_iter().zip([0, 2]) {
            assert_eq!(job.await, n);
        }
    });
}

/// Asks for more work when it is dropped, as a handle of a database does that rolls back.
struct Asks(quoit::ring::Ring);

impl Drop for Asks {
    fn drop(&mut self) {
        let work = self.0.blocking(|| ());
        self.0.spawn(work, |_| ());
    }
}

#[test]
fn what_is_given_up_may_ask_for_work_while_it_is_dropped() {
    let config = RingConfig { blocking_threads_max: 1, ..RingConfig::default() };
    on_ring(config, |ring| async move {
        let (go, gate) = mpsc::channel::<()>();
        let mut first = Box::pin(ring.blocking(move || gate.recv().is_ok()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        let asks = Asks(ring.clone());
        let waits = ring.blocking(|| ());
        let mut given_up = Box::pin(async move {
            let _asks = asks;
            waits.await;
        });
        assert!(poll_once(given_up.as_mut()).await.is_pending());
        drop(given_up);
        go.send(()).expect("it waits");
        assert!(first.await);
        assert_eq!(ring.blocking(|| 7).await, 7);
    });
}

#[test]
fn a_reply_comes_from_any_thread_or_its_loss_is_told() {
    on_ring(RingConfig::default(), |ring| async move {
        let from_thread = |reply: Reply<u32>| drop(std::thread::spawn(move || reply.send(7)));
        assert_eq!(ring.reply(from_thread).await, Some(7));
        assert_eq!(ring.reply(|reply: Reply<u32>| drop(reply)).await, None, "nobody waits for ever");
        let (keep, kept) = mpsc::channel();
        let mut given_up = Box::pin(ring.reply(move |reply: Reply<u32>| keep.send(reply).expect("kept")));
        assert!(poll_once(given_up.as_mut()).await.is_pending());
        let reply = kept.recv().expect("it was started");
        assert!(reply.is_wanted());
        drop(given_up);
        assert!(!reply.is_wanted());
        reply.send(9);
        assert_eq!(ring.reply(from_thread).await, Some(7));
    });
}

#[test]
fn a_panic_comes_back_and_the_thread_works_on() {
    on_ring(RingConfig { blocking_threads_max: 1, ..RingConfig::default() }, |ring| async move {
        let (told, telling) = mpsc::channel();
        let work = ring.blocking(|| panic!("within"));
        ring.spawn(work, move |panic| {
            told.send(*panic.downcast::<&str>().expect("a plain panic")).expect("it is listened to");
        });
        assert_eq!(ring.blocking(|| 7).await, 7);
        until(&ring, "the panic is told", || telling.try_recv() == Ok("within")).await;
    });
}

#[test]
fn work_that_is_given_up_leaves_the_line() {
    on_ring(RingConfig { blocking_threads_max: 1, ..RingConfig::default() }, |ring| async move {
        let (go, gate) = mpsc::channel::<()>();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = |ran: &Arc<AtomicUsize>| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(1, Ordering::SeqCst);
            }
        };
        let mut first = Box::pin(ring.blocking(move || gate.recv().is_ok()));
        assert!(poll_once(first.as_mut()).await.is_pending());
        let mut queued: Vec<_> = (0..3).map(|_| Box::pin(ring.blocking(count(&ran)))).collect();
        for job in &mut queued {
            assert!(poll_once(job.as_mut()).await.is_pending());
        }
        drop(queued.remove(1));
        // Running, and given up: it ends by itself without a result.
        drop(first);
        go.send(()).expect("it runs on");
        for job in queued {
            job.await;
        }
        ring.blocking(count(&ran)).await;
        assert_eq!(ran.load(Ordering::SeqCst), 3);
    });
}

/// The outcome wakes a core that has parked meanwhile, at once. The best of some is compared, because the
/// machine may be busy with other things.
#[test]
fn an_outcome_wakes_a_parked_core_at_once() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let parks = ring.stats().parks;
        let mut best = Duration::MAX;
        for _ in 0..20 {
            let done_at = ring.blocking(|| {
                // Longer than the ring's alarm.
                std::thread::sleep(Duration::from_millis(10));
                Instant::now()
            });
            best = best.min(done_at.await.elapsed());
        }
        assert!(ring.stats().parks >= parks + 20, "the core did not park");
        assert!(best < Duration::from_millis(5), "the best took {best:?}");
    });
}
