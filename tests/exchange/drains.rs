//! Drains while exchanges are in progress, over both protocols: what is silent ends soon, handlers are given
//! notice, and what goes on may use the whole time.

use std::io::Write as _;
use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use quoit::http::status::Status;
use quoit::server::{CoreContext, Limits};
use quoit::service::{BodyWriter, Context, RequestBody, Response, Router, Tunnel};

use crate::common::{Client, Hosted, PATIENCE, lenient, serve_with};
use crate::peer::Peer;
use crate::wire::*;

/// Of a drain that lasts 20 s.
const SILENCE: Duration = Duration::from_millis(500);

/// Within which everything silent has ended, on a loaded machine too.
const SOON: Duration = Duration::from_secs(8);

fn site() -> Hosted {
    let limits = Limits { drain_timeout: Duration::from_secs(20), drain_stall_timeout: SILENCE, ..lenient() };
    serve_with(1, limits, |core: &CoreContext| {
        let (events, drain, ticks) = (core.drain.clone(), core.drain.clone(), core.ring.clone());
        let duplex = core.ring.clone();
        Router::new()
            .get("/", async || "Hello, World!")
            .get("/silent", async || {
                Response::written(async |mut out: BodyWriter| {
                    let _ = out.write("hello").await;
                    std::future::pending::<()>().await;
                })
            })
            .get("/events", async move || {
                let drain = events.clone();
                Response::written(async move |mut out: BodyWriter| {
                    let _ = out.write("event").await;
                    drain.begun().await;
                    let _ = out.write(" last event").await;
                })
            })
            .post("/count", async |mut body: RequestBody| {
                while let Some(piece) = body.next().await {
                    if let Err(error) = piece {
                        return Response::error(error.status(), &error.to_string());
                    }
                }
                Response::new(Status::OK)
            })
            // Writes for three times the silence after the drain began, and waits for content meanwhile.
            .post("/duplex", async move |mut body: RequestBody| {
                let ring = duplex.clone();
                Response::written(async move |mut out: BodyWriter| {
                    let _ = out.write("hello").await;
                    let is_cut = {
                        let writing = async {
                            for _ in 0..20 {
                                ring.sleep(Duration::from_millis(100)).await;
                                let _ = out.write(".").await;
                            }
                        };
                        matches!(select(pin!(body.next()), pin!(writing)).await, Either::Left(_))
                    };
                    let _ = out.write(if is_cut { "cut" } else { "bye" }).await;
                })
            })
            // Reads until it cannot.
            .any("/reading", async |context: Context| {
                Response::upgrade(&context, "x", async |mut tunnel: Tunnel| {
                    let _ = tunnel.write("hello").await;
                    while let Some(Ok(_)) = tunnel.read().await {}
                    let _ = tunnel.write("bye").await;
                })
            })
            // Neither reads nor writes.
            .any("/deaf", async |context: Context| {
                Response::upgrade(&context, "x", async |mut tunnel: Tunnel| {
                    let _ = tunnel.write("hello").await;
                    std::future::pending::<()>().await;
                })
            })
            .any("/noticing", async move |context: Context| {
                let drain = drain.clone();
                Response::upgrade(&context, "x", async move |mut tunnel: Tunnel| {
                    let _ = tunnel.write("hello").await;
                    drain.begun().await;
                    let _ = tunnel.write("going away").await;
                })
            })
            // Writes for three times the silence after the drain began, and never reads.
            .any("/pushing", async move |context: Context| {
                let ring = ticks.clone();
                Response::upgrade(&context, "x", async move |mut tunnel: Tunnel| {
                    let _ = tunnel.write("hello").await;
                    for _ in 0..20 {
                        ring.sleep(Duration::from_millis(100)).await;
                        let _ = tunnel.write(".").await;
                    }
                    let _ = tunnel.write("bye").await;
                })
            })
            .build()
            .expect("sound routes")
    })
}

/// Stops a server from another thread; its end is sent.
fn stop(server: Hosted) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        server.stop();
        let _ = sender.send(());
    });
    receiver
}

#[track_caller]
fn ends_soon(stopped: &mpsc::Receiver<()>, began: Instant) {
    stopped.recv_timeout(PATIENCE).expect("it ends");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Opens a tunnel over HTTP/1.1, up to its greeting.
fn tunnel(server: &Hosted, path: &str) -> Client {
    let mut client = Client::connect(server.addr);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"));
    client.response().has_status(101);
    while client.input().len() < 5 {
        assert!(client.fill().unwrap());
    }
    client.input().drain(..5);
    client
}

/// As [`tunnel`], over HTTP/2.
fn stream(server: &Hosted, path: &str) -> Peer {
    let mut peer = Peer::connect(server.addr);
    let mut fields = pseudo("CONNECT", path);
    fields.push((":protocol", "x"));
    peer.send(headers(1, END_HEADERS, &fields));
    peer.until("the greeting", |peer| peer.streams.get(&1).is_some_and(|got| got.body == b"hello"));
    peer
}

#[test]
fn silent_sources_end_soon() {
    let server = site();
    let mut client = Client::connect(server.addr);
    client.send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/silent"));
    peer.until("the greeting", |peer| peer.streams.get(&1).is_some_and(|got| got.body == b"hello"));
    let began = Instant::now();
    let stopped = stop(server);
    assert!(client.try_response_to("GET").is_err(), "the client can tell that it was cut off");
    peer.is_reset(1, CANCEL);
    while peer.step() {}
    ends_soon(&stopped, began);
}

#[test]
fn sources_that_take_notice_end_in_order() {
    let server = site();
    let mut client = Client::connect(server.addr);
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
    client.fill().unwrap();
    let mut peer = Peer::connect(server.addr);
    peer.send(get(1, "/events"));
    peer.until("an event", |peer| peer.streams.get(&1).is_some_and(|got| got.body == b"event"));
    let mut noticing = tunnel(&server, "/noticing");
    let mut noticing_2 = stream(&server, "/noticing");
    let began = Instant::now();
    let stopped = stop(server);
    client.response().is(200, "event last event");
    client.is_closed();
    peer.answer(1).is(200, "event last event");
    while peer.step() {}
    assert_eq!(noticing.drain(), b"going away");
    noticing_2.answer(1).is(200, "hellogoing away");
    while noticing_2.step() {}
    ends_soon(&stopped, began);
}

#[test]
fn silent_tunnels_end_soon() {
    let server = site();
    let mut reading = tunnel(&server, "/reading");
    let mut deaf = tunnel(&server, "/deaf");
    let mut reading_2 = stream(&server, "/reading");
    let mut deaf_2 = stream(&server, "/deaf");
    let began = Instant::now();
    let stopped = stop(server);
    assert_eq!(reading.drain(), b"bye", "its reads end before it does");
    reading_2.answer(1).is(200, "hellobye");
    while reading_2.step() {}
    assert_eq!(deaf.drain(), b"");
    deaf_2.is_reset(1, CANCEL);
    while deaf_2.step() {}
    ends_soon(&stopped, began);
}

#[test]
fn what_goes_on_is_not_cut() {
    let server = site();
    let mut pushing = tunnel(&server, "/pushing");
    let mut pushing_2 = stream(&server, "/pushing");
    let stopped = stop(server);
    let expected = ".".repeat(20) + "bye";
    assert_eq!(String::from_utf8(pushing.drain()).unwrap(), expected);
    pushing_2.answer(1).is(200, format!("hello{expected}"));
    while pushing_2.step() {}
    stopped.recv_timeout(PATIENCE).expect("it ends");
}

#[test]
fn silent_clients_of_http_2_end_soon() {
    let server = site();
    let mut upload = Peer::connect(server.addr);
    upload.send(post(1, "/count"));
    upload.send_data(1, 0, "hello");
    let mut within_frame = Peer::connect(server.addr);
    within_frame.get("/").is(200, "Hello, World!");
    within_frame.send(&get(3, "/")[..12]);
    let mut windows = Peer::connect_with(server.addr, &[(4, 0)]);
    windows.send(get(1, "/"));
    server.turns();
    let began = Instant::now();
    let stopped = stop(server);
    assert_eq!(upload.answer(1).status, 408);
    while upload.step() {}
    while within_frame.step() {}
    while windows.step() {}
    ends_soon(&stopped, began);
}

/// A byte now and then is no progress, in either protocol.
#[test]
fn uploads_that_trickle_end_soon() {
    let server = site();
    let mut client = Client::connect(server.addr);
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    let mut peer = Peer::connect(server.addr);
    peer.send(post(1, "/count"));
    server.turns();
    let began = Instant::now();
    let stopped = stop(server);
    let (mut first, mut second) = (client.sender(), peer.client.sender());
    let (done, is_done) = mpsc::channel::<()>();
    let trickle = thread::spawn(move || {
        while is_done.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Refused once the server has closed.
            let _ = first.write_all(b"x");
            let _ = second.write_all(&data(1, 0, "x"));
        }
    });
    client.response().has_status(408);
    assert_eq!(peer.answer(1).status, 408);
    drop(done);
    trickle.join().unwrap();
    drop((client, peer));
    ends_soon(&stopped, began);
}

/// A client that receives is not silent, whatever it owes of its request.
#[test]
fn responses_that_go_on_excuse_requests_that_do_not() {
    let server = site();
    let mut client = Client::connect(server.addr);
    client.send("POST /duplex HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    client.fill().unwrap();
    let mut peer = Peer::connect(server.addr);
    peer.send(post(1, "/duplex"));
    peer.until("the greeting", |peer| peer.streams.get(&1).is_some_and(|got| got.body == b"hello"));
    let stopped = stop(server);
    let expected = format!("hello{}bye", ".".repeat(20));
    client.response().is(200, &expected);
    peer.answer(1).is(200, expected);
    drop((client, peer));
    stopped.recv_timeout(PATIENCE).expect("it ends");
}
