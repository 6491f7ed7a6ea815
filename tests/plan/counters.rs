//! Counters of a server that serves: summed over its cores on request, those of a stuck one included.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quoit::net::Address;
use quoit::service::{Request, Response};
use quoit::{Running, Server};

use crate::common::{Client, HELLO, PATIENCE, eventually, lenient, time_passes};

fn start<S: quoit::service::Service>(
    workers: usize,
    make: impl Fn() -> S + Send + Sync + Clone + 'static,
) -> Running {
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen(any).workers(workers).limits(lenient()).quiet(true);
    server.start(move |_| make()).expect("the server starts")
}

fn connect(running: &Running) -> Client {
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    Client::connect(addr)
}

async fn hello(_request: Request) -> Response {
    Response::text("Hello, World!")
}

#[test]
fn totals_grow_while_serving() {
    let running = start(2, || hello);
    let before = running.totals();
    assert_eq!((before.answered, before.workers, before.open), (2, 2, 0));
    assert_eq!(before.totals.requests, 0);
    let mut clients: Vec<Client> = (0..8).map(|_| connect(&running)).collect();
    for round in 1..=5 {
        for client in &mut clients {
            client.ask(HELLO).is(200, "Hello, World!");
        }
        let live = running.totals();
        assert_eq!((live.answered, live.open), (2, 8));
        assert_eq!((live.totals.accepted, live.totals.requests), (8, round * 8));
    }
    drop(clients);
    eventually("connections are counted out", || running.totals().open == 0);
    let last = running.totals();
    assert_eq!(running.stop().unwrap(), last.totals);
}

#[test]
fn every_core_answers_a_hundred_times_at_once() {
    let running = Arc::new(start(2, || hello));
    let askers: Vec<_> = (0..4)
        .map(|_| {
            let running = running.clone();
            std::thread::spawn(move || {
                for _ in 0..100 {
                    let live = running.totals_within(PATIENCE);
                    assert_eq!((live.answered, live.workers), (2, 2));
                }
            })
        })
        .collect();
    for asker in askers {
        asker.join().unwrap();
    }
    Arc::into_inner(running).expect("the askers are gone").stop().unwrap();
}

/// Cores without traffic sleep in the kernel; a message ends that at once. The best of some is compared,
/// because the machine may be busy with other things.
#[test]
fn a_sleeping_core_answers_within_milliseconds() {
    let running = start(2, || hello);
    let best = (0..20)
        .map(|_| {
            time_passes(
                Duration::from_millis(10),
                "longer than the ring's alarm: both cores have parked by then",
            );
            let began = Instant::now();
            assert_eq!(running.totals_within(PATIENCE).answered, 2);
            began.elapsed()
        })
        .min();
    assert!(best.unwrap() < Duration::from_millis(5), "the best took {best:?}");
    running.stop().unwrap();
}

#[test]
fn a_core_that_is_stuck_does_not_hold_up_the_caller() {
    let (enter, entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (enter, released) = (Arc::new(Mutex::new(enter)), Arc::new(Mutex::new(released)));
    let running = start(2, move || {
        let (enter, released) = (enter.clone(), released.clone());
        async move |_request: Request| -> Response {
            enter.lock().unwrap().send(()).unwrap();
            // What no handler should do: its core does nothing else meanwhile.
            let _ = released.lock().unwrap().recv();
            Response::text("at last")
        }
    });
    let mut client = connect(&running);
    client.send(HELLO);
    entered.recv_timeout(PATIENCE).expect("the handler is called");
    let began = Instant::now();
    let live = running.totals_within(Duration::from_millis(200));
    assert_eq!((live.answered, live.workers), (1, 2));
    assert_eq!(live.totals.requests, 1, "what it has counted is known");
    assert!(began.elapsed() < Duration::from_secs(5), "took {:?}", began.elapsed());
    release.send(()).unwrap();
    client.response().is(200, "at last");
    let live = running.totals_within(PATIENCE);
    assert_eq!((live.answered, live.totals.requests), (2, 1));
    running.stop().unwrap();
}
