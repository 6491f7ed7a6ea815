//! Parking: every wake-up of a parked core takes effect at once.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use quoit::ring::{Payload, RingConfig};

use crate::harness::*;

/// What is prompt on a loaded machine; a wake-up that was lost never comes.
const PROMPT: Duration = Duration::from_millis(500);

fn pause(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.below(3000))
}

/// An eventfd of another thread, written at any moment before, while, or after the core falls asleep.
#[test]
fn every_foreign_event_wakes_a_parked_core() {
    let config = RingConfig { alarm_every: Duration::from_micros(200), ..RingConfig::default() };
    on_ring_alone(config, |ring| async move {
        let mut rng = Rng(21);
        let parks = ring.stats().parks;
        for n in 0..100 {
            let signal = Signal::new();
            let thread = peer({
                let (signal, pause) = (signal.clone(), pause(&mut rng));
                move || {
                    std::thread::sleep(pause);
                    let at = Instant::now();
                    signal.raise();
                    at
                }
            });
            signal.raised(&ring).await;
            let heard = Instant::now();
            let late = heard.saturating_duration_since(thread.join(&ring).await);
            assert!(late < PROMPT, "event {n} was heard after {late:?}");
        }
        assert!(ring.stats().parks > parks + 20);
    });
}

/// Two events are awaited; the second comes when the first was handled and the core sleeps again.
#[test]
fn several_events_are_heard_one_by_one() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let signals: Vec<_> = (0..5).map(|_| Signal::new()).collect();
        let waiting = signals.iter().cloned().map(|signal| {
            let ring = ring.clone();
            async move { signal.raised(&ring).await }
        });
        let thread = peer({
            let signals = signals.clone();
            move || {
                for signal in signals {
                    std::thread::sleep(Duration::from_millis(40));
                    signal.raise();
                }
            }
        });
        all(&ring, waiting.collect()).await;
        thread.join(&ring).await;
    });
}

/// A task woken by the executor, not by the ring, sends: the parked driver must submit it.
#[test]
fn what_a_foreign_wake_sends_goes_out_at_once() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        const ROUNDS: u32 = 500;
        let (socket, mut stream) = tcp_pair(&ring, None);
        socket.set_multishot(true);
        let client = peer(move || {
            let mut heard = Vec::new();
            for n in 0..ROUNDS {
                let mut number = [0; 4];
                stream.read_exact(&mut number).expect("it is sent");
                heard.push(Instant::now());
                assert_eq!(number, n.to_le_bytes());
                stream.write_all(&number).expect("room");
            }
            heard
        });
        let mut rng = Rng(22);
        let mut sent = Vec::new();
        for n in 0..ROUNDS {
            let pause = pause(&mut rng);
            glommio::executor().spawn_blocking(move || std::thread::sleep(pause)).await;
            sent.push(Instant::now());
            socket.send(Payload::Buffer(n.to_le_bytes().to_vec())).await.expect("the peer reads");
            let answer = socket.recv().await.expect("no error").expect("an answer");
            assert_eq!(answer[..], n.to_le_bytes());
        }
        let heard = client.join(&ring).await;
        let worst = sent.iter().zip(&heard).map(|(sent, heard)| heard.saturating_duration_since(*sent)).max();
        assert!(worst < Some(PROMPT), "the slowest took {worst:?}");
        assert!(ring.stats().parks > 50, "{:?}", ring.stats());
    });
}

/// Traffic at any moment around falling asleep; `wait_max` is short, so that it falls asleep often.
#[test]
fn traffic_wakes_a_core_that_is_falling_asleep() {
    let config = RingConfig { alarm_every: Duration::from_micros(50), ..RingConfig::default() };
    on_ring_alone(config, |ring| async move {
        let (socket, mut stream) = unix_pair(&ring);
        spawn(&ring, echo(socket));
        let client = peer(move || {
            let mut rng = Rng(23);
            let mut worst = Duration::ZERO;
            for n in 0..3000u32 {
                let until = Instant::now() + Duration::from_micros(rng.below(150));
                while Instant::now() < until {}
                let asked = Instant::now();
                stream.write_all(&n.to_le_bytes()).expect("room");
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).expect("an answer");
                assert_eq!(answer, n.to_le_bytes());
                worst = worst.max(asked.elapsed());
            }
            worst
        });
        let worst = client.join(&ring).await;
        assert!(worst < PROMPT, "the slowest took {worst:?}");
        assert!(ring.stats().parks > 20, "{:?}", ring.stats());
    });
}
