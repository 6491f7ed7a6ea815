//! Who wakes a task: other threads, other executors' wakers, and wakers of ended tasks.

use std::cell::{Cell, RefCell};
use std::future::{Future as _, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use quoit::ring::{Ring, RingConfig};

use crate::harness::*;

/// A flag that another thread sets, with the waker of the task that waits for it.
#[derive(Default)]
struct Flag {
    set: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Flag {
    fn set(&self) {
        self.set.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().expect("no panic").take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            *self.waker.lock().expect("no panic") = Some(cx.waker().clone());
            if self.set.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// The wake-up arrives whether the core is busy, waits in its ring, or is parked.
#[test]
fn another_thread_wakes_a_task() {
    on_ring(RingConfig::default(), |ring| async move {
        let busy = Rc::new(Cell::new(true));
        spawn(&ring, {
            let (ring, busy) = (ring.clone(), busy.clone());
            async move {
                while busy.get() {
                    ring.next_turn().await;
                }
            }
        });
        for round in 0..300u64 {
            busy.set(round < 100);
            let flag = Arc::new(Flag::default());
            let setter = thread::spawn({
                let flag = flag.clone();
                move || {
                    thread::sleep(Duration::from_micros(round * 37 % 5000));
                    flag.set();
                }
            });
            flag.wait().await;
            setter.join().expect("no panic");
        }
    });
}

/// Wake-ups of a task that has ended, of one whose number is another's by now, and of a ring that is gone.
#[test]
fn late_wake_ups_find_nobody() {
    let kept: Arc<Mutex<Vec<Waker>>> = Arc::default();
    let wakers = kept.clone();
    on_ring(RingConfig::default(), |ring| async move {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        for _ in 0..100 {
            let kept = wakers.clone();
            spawn(&ring, async move {
                let own = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                kept.lock().expect("no panic").push(own);
            });
        }
        ring.next_turn().await;
        assert_eq!(wakers.lock().expect("no panic").len(), 100);
        let polls = Rc::new(Cell::new(0));
        spawn(&ring, {
            let polls = polls.clone();
            poll_fn(move |_| {
                polls.set(polls.get() + 1);
                Poll::Pending
            })
        });
        ring.next_turn().await;
        assert_eq!(polls.get(), 1);
        wakers.lock().expect("no panic").iter().for_each(Waker::wake_by_ref);
        ring.next_turn().await;
        ring.next_turn().await;
        assert!(polls.get() <= 2, "one task got the number of another, and was polled {} times", polls.get());
        wakers.lock().expect("no panic").push(waker);
    });
    let kept = kept.lock().expect("no panic");
    thread::scope(|scope| {
        scope.spawn(|| kept.iter().for_each(Waker::wake_by_ref));
    });
    kept.iter().for_each(Waker::wake_by_ref);
}

/// A task that is woken often before it runs is polled once.
#[test]
fn wake_ups_are_merged() {
    on_ring(RingConfig::default(), |ring| async move {
        let (polls, waker) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None::<Waker>)));
        spawn(&ring, {
            let (polls, waker) = (polls.clone(), waker.clone());
            poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                *waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
        });
        ring.next_turn().await;
        let waker = waker.borrow().clone().expect("it was polled");
        for _ in 0..1000 {
            waker.wake_by_ref();
        }
        ring.next_turn().await;
        assert_eq!(polls.get(), 2);
        let elsewhere = waker.clone();
        thread::spawn(move || (0..1000).for_each(|_| elsewhere.wake_by_ref())).join().expect("no panic");
        until(&ring, "the wake-ups arrive", || polls.get() > 2).await;
        assert!(polls.get() <= 1003, "{}", polls.get());
    });
}

thread_local! {
    /// The ring that [`Meddler`] uses: a waker must be `Send`, and a ring is not.
    static MEDDLED: RefCell<Option<Ring>> = const { RefCell::new(None) };
}

/// A waker that uses the ring whenever it is woken or dropped.
struct Meddler {
    task: Waker,
}

impl Meddler {
    fn meddle(&self) {
        let ring = MEDDLED.with_borrow(Clone::clone).expect("the thread of the ring");
        let buffer = ring.take_buffer();
        ring.give_buffer(buffer);
        ring.stats();
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
        self.task.wake_by_ref();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

/// Whatever a foreign waker does, it does it while nothing of the ring is borrowed.
#[test]
fn a_waker_that_uses_the_ring_disturbs_nothing() {
    on_ring(RingConfig::default(), |ring| async move {
        MEDDLED.set(Some(ring.clone()));
        let before = ring.usage();
        let (socket, mut stream) = unix_pair(&ring);
        for round in 0..50u64 {
            let mut recv = pin!(socket.recv());
            let mut sleep = pin!(ring.sleep(Duration::from_millis(round % 3)));
            let mut turn = pin!(ring.next_turn());
            let (mut received, mut slept, mut turned) = (false, false, false);
            let mut written = false;
            poll_fn(|cx| {
                let waker = Waker::from(Arc::new(Meddler { task: cx.waker().clone() }));
                let mut cx = Context::from_waker(&waker);
                received = received || recv.as_mut().poll(&mut cx).is_ready();
                slept = slept || sleep.as_mut().poll(&mut cx).is_ready();
                turned = turned || turn.as_mut().poll(&mut cx).is_ready();
                socket.watch(&mut cx);
                if !written {
                    written = true;
                    stream.write_all(b"x").expect("room");
                }
                if received && slept && turned { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        drop(socket);
        usage_back_to(&ring, before).await;
        ring.next_turn().await;
        MEDDLED.set(None);
    });
}

/// What tasks hold when the driver ends goes with them: descriptors, timers, blocking work, the ring itself.
#[test]
fn the_end_of_the_driver_is_the_end_of_the_tasks() {
    struct Counted(Rc<Cell<u32>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    on_ring_alone(RingConfig::default(), |outer| async move {
        let before = holdings(&outer);
        for round in 0..10u64 {
            let dropped = Rc::new(Cell::new(0));
            let ring = Ring::new(RingConfig::default()).expect("this kernel serves");
            let driver = glommio::spawn_local({
                let ring = ring.clone();
                async move { ring.drive().await }
            });
            ring.blocking(|| ()).await;
            for n in 0..20u64 {
                let (counted, handle) = (Counted(dropped.clone()), ring.clone());
                let (socket, stream) = unix_pair(&ring);
                spawn(&ring, async move {
                    let _held = (counted, stream);
                    match n % 4 {
                        0 => drop(socket.recv().await),
                        1 => handle.sleep(Duration::from_secs(3600)).await,
                        2 => handle.blocking(|| thread::sleep(Duration::from_millis(5))).await,
                        _ => std::future::pending().await,
                    }
                    std::future::pending::<()>().await;
                });
            }
            ring.next_turn().await;
            if round % 2 == 0 {
                ring.stop();
                driver.await;
            } else {
                driver.cancel().await;
            }
            assert_eq!(dropped.get(), 20);
            // A task that comes too late is dropped at once.
            spawn(&ring, {
                let counted = Counted(dropped.clone());
                async move { drop(counted) }
            });
            assert_eq!(dropped.get(), 21);
        }
        back_to(&outer, before).await;
    });
}
