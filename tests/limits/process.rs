//! The process survives what happens to one of its workers: one that is lost is started again with the
//! connections that wait for it, and one that hangs does not keep the process from ending.

use std::time::{Duration, Instant};

use quoit::net::Address;
use quoit::server::Limits;
use quoit::service::{Request, Response};
use quoit::{RunError, Running, Server};

use crate::common::{Binary, Client, eventually, lenient, time_passes};

fn start(workers: usize, limits: Limits) -> (Running, std::net::SocketAddr) {
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen(any).workers(workers).limits(limits).quiet(true);
    let running = server
        .start(|core| {
            let worker = core.worker;
            async move |request: Request| {
                match request.head().path() {
                    // Outside of the tasks that the ring isolates: it ends the worker's thread.
                    "/lose" => {
                        let task = async {
                            quoit::ring::yield_now().await;
                            panic!("a worker is lost, as the test wants it to")
                        };
                        glommio::spawn_local(task).detach();
                        std::future::pending().await
                    }
                    "/block" => {
                        time_passes(Duration::from_secs(10), "a handler that blocks its core");
                        Response::text("late")
                    }
                    _ => Response::text(worker.to_string()),
                }
            }
        })
        .expect("the server starts");
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    (running, addr)
}

const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_lost_worker_is_started_again_on_its_port() {
    let (running, addr) = start(2, lenient());
    let mut asked = 0;
    for _ in 0..3 {
        let mut bystanders: Vec<_> = (0..8).map(|_| Client::connect(addr)).collect();
        let on: Vec<_> = bystanders.iter_mut().map(|client| client.ask(ASK).text().to_owned()).collect();
        let mut loser = Client::connect(addr);
        let lost = loser.ask(ASK).text().to_owned();
        let began = Instant::now();
        loser.send("GET /lose HTTP/1.1\r\nHost: a\r\n\r\n");
        loser.end();
        for (client, worker) in bystanders.iter_mut().zip(&on) {
            if *worker == lost {
                // Their connections are ended: none waits for a worker that is gone.
                client.end();
            } else {
                assert_eq!(client.ask(ASK).text(), *worker, "the other worker goes on");
            }
        }
        // No share of the new connections is in a hole.
        for _ in 0..16 {
            let mut client = Client::connect(addr);
            client.limit_wait(Duration::from_secs(5));
            assert!(["0", "1"].contains(&client.ask(ASK).text().as_str()));
        }
        // What the lost worker has counted is not lost: all that were answered, and the one that was not.
        asked +=
            8 + 2 + bystanders.iter().zip(&on).filter(|(_, worker)| **worker != lost).count() as u64 + 16;
        assert_eq!(running.totals().totals.requests, asked);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    let live = running.totals();
    assert_eq!((live.answered, live.workers), (2, 2));
    let totals = running.stop().expect("a worker that was started again is no failure");
    assert_eq!((totals.requests, totals.accepted), (asked, 3 * (8 + 1 + 16)));
}

#[test]
fn a_worker_that_is_lost_again_and_again_ends_the_server() {
    let (running, addr) = start(1, lenient());
    let lose = || {
        let Ok(mut client) = Client::try_connect(addr) else { return };
        let _ = client.try_send("GET /lose HTTP/1.1\r\nHost: a\r\n\r\n");
        client.ended();
    };
    for _ in 0..6 {
        lose();
    }
    eventually("the port is closed", || {
        lose();
        Client::try_connect(addr).is_err()
    });
    let Err(RunError::WorkerLost(text)) = running.stop() else { panic!("the loss is no success") };
    assert!(text.contains("as the test wants it to"), "{text}");
}

#[test]
fn a_worker_that_hangs_does_not_keep_the_end() {
    let limits = Limits { drain_timeout: Duration::from_millis(100), ..lenient() };
    let (running, addr) = start(1, limits);
    let mut client = Client::connect(addr);
    client.ask(ASK);
    client.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    // The core is blocked once it does not reply.
    eventually("the core is blocked", || running.totals_within(Duration::from_millis(20)).answered == 0);
    let began = Instant::now();
    let Err(RunError::Stuck { workers }) = running.stop() else { panic!("it cannot have ended") };
    assert_eq!(workers, [0]);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn the_second_signal_ends_a_process_whose_core_hangs() {
    // Each request takes an hour of the core.
    let mut server = Binary::example("hello", &["--work", "3600000000000"]);
    let mut client = Client::connect(server.addr);
    client.send(ASK);
    client.stays_quiet(Duration::from_millis(200));
    let began = Instant::now();
    server.terminate();
    eventually("the first signal is heard", || server.lines().iter().any(|line| line.contains("draining")));
    server.terminate();
    assert!(!server.wait().success());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let said = server.lines().join("\n");
    assert!(said.contains("worker 0 did not end in time"), "{said}");
}
