//! Mailboxes: messages from other threads arrive, in order, whatever the core is doing.

use std::time::{Duration, Instant};

use quoit::ring::{MAILBOX_MAX, RingConfig, SendError, mailbox};

use crate::harness::*;

/// What is prompt on a loaded machine; a wake-up that was lost never comes.
const PROMPT: Duration = Duration::from_millis(500);

#[test]
fn messages_of_several_threads_arrive_in_the_order_of_each() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (sender, mailbox) = mailbox().unwrap();
        let threads: Vec<_> = (0..4_usize)
            .map(|thread| {
                let sender = sender.clone();
                peer(move || (0..100_usize).for_each(|n| sender.send((thread, n)).unwrap()))
            })
            .collect();
        drop(sender);
        let mut next = [0; 4];
        while let Some((thread, n)) = mailbox.receive(&ring).await.unwrap() {
            assert_eq!(n, next[thread], "messages of thread {thread} changed places");
            next[thread] += 1;
        }
        assert_eq!(next, [100; 4]);
        for thread in threads {
            thread.join(&ring).await;
        }
    });
}

#[test]
fn a_message_wakes_a_parked_core() {
    let config = RingConfig { alarm_every: Duration::from_micros(200), ..RingConfig::default() };
    on_ring_alone(config, |ring| async move {
        let mut rng = Rng(5);
        let (sender, mailbox) = mailbox().unwrap();
        let parks = ring.stats().parks;
        for n in 0..100 {
            let pause = Duration::from_micros(rng.below(3000));
            let sender = sender.clone();
            let thread = peer(move || {
                std::thread::sleep(pause);
                sender.send(Instant::now()).unwrap();
            });
            let sent_at = mailbox.receive(&ring).await.unwrap().expect("a sender is left");
            assert!(sent_at.elapsed() < PROMPT, "message {n} came after {:?}", sent_at.elapsed());
            thread.join(&ring).await;
        }
        assert!(ring.stats().parks > parks + 20);
    });
}

#[test]
fn a_full_mailbox_refuses_and_says_so() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (sender, mailbox) = mailbox().unwrap();
        for n in 0..MAILBOX_MAX {
            sender.send(n).unwrap();
        }
        assert_eq!(sender.send(7), Err(SendError::Full(7)));
        sender.send_always(MAILBOX_MAX).unwrap();
        for n in 0..=MAILBOX_MAX {
            assert_eq!(mailbox.receive(&ring).await.unwrap(), Some(n));
        }
        sender.send(1).unwrap();
        drop(mailbox);
        assert_eq!(sender.send(2), Err(SendError::Closed(2)));
    });
}

/// A receive that is dropped while it waits takes nothing with it.
#[test]
fn a_receive_that_is_dropped_loses_no_message() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let (sender, mailbox) = mailbox().unwrap();
        for n in 0..50 {
            {
                let mut waiting = std::pin::pin!(mailbox.receive(&ring));
                assert!(poll_once(waiting.as_mut()).await.is_pending());
            }
            sender.send(n).unwrap();
            assert_eq!(mailbox.receive(&ring).await.unwrap(), Some(n));
        }
    });
}
