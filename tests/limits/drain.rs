//! Stopping: open requests complete, no connection is accepted, and the end comes in time.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use quoit::server::Limits;

use crate::common::{Binary, Client, Hosted, PATIENCE, eventually, lenient, pattern, serve, time_passes};
use crate::lab::Lab;

/// Stops a server from another thread; the receiver is notified when it has stopped.
fn stop(server: Hosted) -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        server.stop();
        let _ = sender.send(());
    });
    receiver
}

fn refuses(addr: std::net::SocketAddr) {
    eventually("new connections are refused", || Client::try_connect(addr).is_err());
}

fn long_drain() -> Limits {
    Limits { drain_timeout: Duration::from_secs(20), ..lenient() }
}

#[test]
fn a_drain_finishes_what_is_open_and_closes_what_is_idle() {
    let lab = Lab::default();
    let server = serve(long_drain(), lab.clone());
    let addr = server.addr;
    let mut idle = Client::connect(addr);
    idle.is_usable();
    let mut busy = Client::connect(addr);
    busy.send("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
    busy.response().is(200, "1");
    let mut within_head = Client::connect(addr);
    within_head.send("GET /n/2 HTTP/1.1\r\nHo");
    let mut within_body = Client::connect(addr);
    within_body.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    let mut slow = Client::connect_narrow(addr, 16 * 1024);
    slow.send("GET /bytes/9000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("all are with the service", || lab.calls() == 5);

    let stopped = stop(server);
    idle.is_closed();
    refuses(addr);
    assert!(stopped.try_recv().is_err(), "it waits for the others");
    lab.gate.store(true, Ordering::Relaxed);
    busy.response().is(200, "open").says_close();
    busy.is_closed();
    within_head.send("st: a\r\n\r\n");
    within_head.response().is(200, "2").says_close();
    within_head.is_closed();
    within_body.send("llo");
    within_body.response().is(200, "5 bytes").says_close();
    within_body.is_closed();
    slow.response().is(200, pattern(9_000_000));
    slow.is_closed();
    stopped.recv_timeout(PATIENCE).expect("it ends with its last connection");
}

#[test]
fn an_idle_server_stops_at_once() {
    let began = Instant::now();
    serve(long_drain(), Lab::default()).stop();
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let deadline = Duration::from_millis(400);
    let lab = Lab::default();
    let server = serve(Limits { drain_timeout: deadline, ..lenient() }, lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut reader = Client::connect_narrow(server.addr, 16 * 1024);
    reader.send("GET /bytes/9000000 HTTP/1.1\r\nHost: a\r\n\r\n").fill_some(1).unwrap();
    eventually("both are with the service", || lab.calls() == 2);
    let began = Instant::now();
    server.stop();
    crate::common::assert_took(began, deadline - Duration::from_millis(40));
    client.end();
    assert!(reader.try_response_to("GET").is_err(), "cut off, and the client can tell");
}

#[test]
fn pipelined_requests_that_were_received_are_answered() {
    let lab = Lab::default();
    let server = serve(long_drain(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\nGET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the handler is called", || lab.calls() == 1);
    let addr = server.addr;
    let stopped = stop(server);
    refuses(addr);
    lab.gate.store(true, Ordering::Relaxed);
    client.response().is(200, "open").keeps();
    client.response().is(200, "2").says_close();
    client.is_closed();
    stopped.recv_timeout(PATIENCE).expect("it ends with its last connection");
    assert_eq!(lab.calls(), 2);
}

/// What the kernel has received while the core was busy is answered, in the sockets of kept connections as in
/// the listener's queue, although the order to stop was there before.
#[test]
fn requests_that_wait_in_the_kernel_are_answered() {
    let lab = Lab::default();
    let inner = lab.clone();
    let (entered, blocked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let block = std::sync::Arc::new(std::sync::Mutex::new((entered, released)));
    let server = serve(long_drain(), async move |request: quoit::service::Request| {
        if request.head().path() == "/block" {
            let (entered, released) = &*block.lock().unwrap();
            let _ = entered.send(());
            let _ = released.recv_timeout(PATIENCE);
        }
        quoit::service::Service::call(&inner, request).await
    });
    let addr = server.addr;
    let mut kept: Vec<Client> = (0..20).map(|_| Client::connect(addr)).collect();
    kept.iter_mut().for_each(Client::is_usable);
    let mut blocking = Client::connect(addr);
    blocking.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    blocked.recv_timeout(PATIENCE).unwrap();
    let stopped = stop(server);
    time_passes(
        Duration::from_millis(100),
        "nothing shows that the order has come while the core is blocked",
    );
    let mut new: Vec<Client> = (0..20).map(|_| Client::connect(addr)).collect();
    for (n, client) in kept.iter_mut().chain(&mut new).enumerate() {
        client.send(format!("GET /n/{n} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    release.send(()).unwrap();
    for (n, client) in kept.iter_mut().chain(&mut new).enumerate() {
        client.response().is(200, n.to_string()).says_close();
        client.is_closed();
    }
    stopped.recv_timeout(PATIENCE).expect("it ends with its last connection");
}

#[test]
fn a_request_on_its_way_when_the_drain_begins_is_answered() {
    let server = serve(Limits { drain_grace: Duration::from_secs(3), ..long_drain() }, Lab::default());
    let addr = server.addr;
    let mut kept = Client::connect(addr);
    kept.is_usable();
    let mut new = Client::connect(addr);
    let mut piecemeal = Client::connect(addr);
    piecemeal.send("GET /n/3 HT");
    let stopped = stop(server);
    // The drain has begun, and these are open nevertheless.
    refuses(addr);
    kept.ask("GET /n/1 HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "1").says_close();
    new.ask("GET /n/2 HTTP/1.1\r\nHost: a\r\n\r\n").is(200, "2").says_close();
    piecemeal.ask("TP/1.1\r\nHost: a\r\n\r\n").is(200, "3").says_close();
    // No connection begins while those are waited for.
    assert!(Client::try_connect(addr).is_err(), "refused at once");
    assert!(stopped.try_recv().is_err());
    drop((kept, new, piecemeal));
    stopped.recv_timeout(PATIENCE).expect("it ends");
}

/// Clients and sources that say nothing do not use up the time of the others.
#[test]
fn what_is_silent_ends_soon_in_a_drain() {
    let lab = Lab::default();
    let limits = Limits { drain_stall_timeout: Duration::from_millis(500), ..long_drain() };
    let server = serve(limits, lab.clone());
    let addr = server.addr;
    let requests = [
        "GET / HT",
        "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello",
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello",
        "GET /stream/5,w100000 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /bytes/24000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let mut clients: Vec<Client> = requests.map(|_| Client::connect_narrow(addr, 16 * 1024)).into();
    for (client, request) in clients.iter_mut().zip(requests) {
        client.send(request);
    }
    eventually("the others are with the service", || lab.calls() == 4);
    server.turns();
    let began = Instant::now();
    let stopped = stop(server);
    stopped.recv_timeout(PATIENCE).expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?} of a drain of 20 s", began.elapsed());
    clients[0].response().has_status(408).says_close();
    clients[1].response().has_status(408).says_close();
    clients[2].response().has_status(200);
    assert!(clients[3].try_response_to("GET").is_err(), "the client can tell that it was cut off");
    assert!(clients[4].try_response_to("GET").is_err(), "the client can tell that it was cut off");
}

/// A connection that was closing when the drain began, for a client that takes nothing.
#[test]
fn what_was_closing_before_ends_soon_in_a_drain() {
    let lab = Lab::default();
    let limits = Limits { drain_stall_timeout: Duration::from_millis(500), ..long_drain() };
    let server = serve(limits, lab.clone());
    let mut client = Client::connect_narrow(server.addr, 4 * 1024);
    client.send("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    eventually("it is with the service", || lab.calls() == 1);
    client.receives(1024);
    let began = Instant::now();
    stop(server).recv_timeout(PATIENCE).expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?} of a drain of 20 s", began.elapsed());
}

#[test]
fn the_deadline_is_below_that_of_container_engines() {
    let limits = Limits::default();
    assert!(limits.drain_timeout < Duration::from_secs(9));
    assert!(3 * limits.drain_stall_timeout + Duration::from_secs(1) < limits.drain_timeout);
}

#[test]
fn the_binary_has_an_option_for_its_deadline() {
    let dir = directory();
    let mut binary = Binary::serve(dir.path(), &["--drain-timeout", "1s"]);
    let mut slow = Client::connect_narrow(binary.addr, 16 * 1024);
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").fill_some(1000).unwrap();
    let began = Instant::now();
    binary.terminate();
    assert_eq!(binary.wait().code(), Some(0));
    crate::common::assert_took(began, Duration::from_millis(900));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert!(slow.try_response_to("GET").is_err(), "cut off, and the client can tell");
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "Hello, World!").unwrap();
    std::fs::write(dir.path().join("large"), pattern(20 << 20)).unwrap();
    dir
}

#[test]
fn sigterm_drains_the_binary() {
    let dir = directory();
    for signal in [Binary::terminate, Binary::interrupt] {
        let mut binary = Binary::serve(dir.path(), &[]);
        let mut idle = Client::connect(binary.addr);
        idle.is_usable();
        let mut slow = Client::connect_narrow(binary.addr, 64 * 1024);
        slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").fill_some(1000).unwrap();
        signal(&binary);
        idle.is_closed();
        refuses(binary.addr);
        assert!(binary.runs(), "it waits for the download");
        slow.response().is(200, pattern(20 << 20));
        slow.is_closed();
        assert_eq!(binary.wait().code(), Some(0));
        let lines = binary.lines().join("\n");
        assert!(lines.contains("draining") && lines.contains("stopped after 2 requests"), "{lines}");
    }
}

#[test]
fn a_second_signal_stops_the_binary_at_once() {
    let dir = directory();
    let mut binary = Binary::serve(dir.path(), &[]);
    let mut slow = Client::connect_narrow(binary.addr, 16 * 1024);
    slow.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").fill_some(1000).unwrap();
    binary.terminate();
    refuses(binary.addr);
    assert!(binary.runs(), "it waits for the download");
    let began = Instant::now();
    binary.terminate();
    assert_eq!(binary.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "well before the drain's own 8 s");
    assert!(slow.try_response_to("GET").is_err(), "cut off, and the client can tell");
}

#[test]
fn a_quiet_binary_says_nothing() {
    let dir = directory();
    // With --quiet no address is announced, so it is given one that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_quoit"))
        .args(["serve", "--quiet", "--workers", "1", "--listen", &free.to_string()])
        .arg(dir.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    eventually("it serves", || Client::try_connect(free).is_ok());
    Client::connect(free).is_usable();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(said, "");
}
