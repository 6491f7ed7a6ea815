//! A panic ends one task and no other.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use quoit::ring::RingConfig;

use crate::harness::*;

#[test]
fn a_panic_ends_one_task_and_is_told() {
    on_ring(RingConfig::default(), |ring| async move {
        let before = ring.usage();
        let (neighbour, mut neighbour_stream) = unix_pair(&ring);
        spawn(&ring, echo(neighbour));
        let told = Rc::new(RefCell::new(Vec::new()));
        let mut streams = Vec::new();
        for n in 0..10 {
            let (socket, stream) = unix_pair(&ring);
            let told = told.clone();
            let task = async move {
                let input = socket.recv().await.expect("no error").expect("input");
                // With a buffer in hand, a socket open, and half of them with a receive armed.
                if n % 2 == 0 {
                    assert!(poll_once(Box::pin(socket.recv()).as_mut()).await.is_pending());
                }
                panic!("connection {n} found {}", input.len());
            };
            ring.spawn(task, move |panic| {
                told.borrow_mut().push(*panic.downcast::<String>().expect("a formatted panic"));
            });
            streams.push(stream);
        }
        for stream in &mut streams {
            stream.write_all(b"abc").expect("room");
        }
        until(&ring, "ten panics are told", || told.borrow().len() == 10).await;
        let mut sorted = told.borrow().clone();
        sorted.sort();
        assert_eq!(sorted[3], "connection 3 found 3");
        // The sockets of the dead are closed, and the neighbour lives. (The reads below block this thread.)
        until(&ring, "only the neighbour is left", || ring.usage().0 == before.0 + 1).await;
        ring.next_turn().await;
        for stream in &mut streams {
            assert_eq!(stream.read(&mut [0]).expect("an end"), 0);
        }
        let client = peer(move || {
            neighbour_stream.write_all(b"still there?").expect("room");
            let mut answer = [0; 12];
            neighbour_stream.read_exact(&mut answer).expect("an answer");
            assert_eq!(&answer, b"still there?");
        });
        client.join(&ring).await;
        usage_back_to(&ring, before).await;
    });
}

/// Nothing is polled again after its panic, and what it held is dropped once.
#[test]
fn a_panicked_task_is_dropped_once() {
    struct Bomb(Rc<Cell<u32>>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    on_ring(RingConfig::default(), |ring| async move {
        let (drops, told) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let bomb = Bomb(drops.clone());
        ring.spawn(
            async move {
                let _bomb = bomb;
                panic!("once");
            },
            {
                let told = told.clone();
                move |_| told.set(told.get() + 1)
            },
        );
        until(&ring, "it is gone", || drops.get() > 0).await;
        ring.next_turn().await;
        ring.next_turn().await;
        assert_eq!((drops.get(), told.get()), (1, 1));
    });
}

/// A destructor that panics ends its task alone, when it is over and when the driver ends.
#[test]
fn a_destructor_that_panics_ends_nothing_else() {
    struct Trap;
    impl Future for Trap {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }
    }
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("while it is dropped");
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let counter = dropped.clone();
    on_ring(RingConfig::default(), |ring| async move {
        ring.spawn(Trap, |_| ());
        ring.next_turn().await;
        ring.next_turn().await;
        for n in 0..4 {
            let guard = Guard(counter.clone(), n % 2 == 0);
            ring.spawn(
                async move {
                    let _guard = guard;
                    std::future::pending().await
                },
                |_| (),
            );
        }
        ring.next_turn().await;
    });
    assert_eq!(dropped.load(Ordering::Relaxed), 4);

    struct Guard(Arc<AtomicUsize>, bool);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            assert!(!self.1, "while it is dropped");
        }
    }
}
