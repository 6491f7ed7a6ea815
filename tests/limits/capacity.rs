//! Limits on connections and memory.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use quoit::server::Limits;

use crate::common::{Binary, Client, eventually, lenient, pattern, serve, serve_files};
use crate::lab::Lab;

fn three() -> Limits {
    Limits { connections_max: Some(3), ..lenient() }
}

/// Asserts that a connection is over capacity, and that its 503 can be read.
fn is_turned_away(client: &mut Client) {
    let response = client.response();
    response.has_status(503).says_close();
    assert_eq!(response.field("retry-after"), Some("1"));
    client.is_closed();
}

/// Fills a server with clients that wait for its handlers.
fn occupy(server: &crate::common::Hosted, lab: &Lab) -> Vec<Client> {
    let clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect(server.addr);
            client.send("GET /gate HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    eventually("all are with the service", || lab.calls() == 3);
    clients
}

#[test]
fn connections_over_capacity_are_turned_away_and_the_others_go_on() {
    let lab = Lab::default();
    let server = serve(three(), lab.clone());
    let mut inside = occupy(&server, &lab);
    for _ in 0..20 {
        let mut client = Client::connect(server.addr);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        is_turned_away(&mut client);
    }
    lab.gate.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in &mut inside {
        client.response().is(200, "open");
        client.is_usable();
    }
    // Capacity that becomes free is used.
    inside.pop();
    eventually("a free place", || {
        let mut client = Client::connect(server.addr);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        client.response().status == 200
    });
    let totals = server.stop();
    assert!(totals.over_capacity >= 20, "{totals:?}");
}

#[test]
fn an_upload_that_is_turned_away_can_read_why() {
    let lab = Lab::default();
    let server = serve(three(), lab.clone());
    let mut inside = occupy(&server, &lab);
    for _ in 0..5 {
        let mut client = Client::connect(server.addr);
        client
            .send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
            .send(pattern(300_000));
        is_turned_away(&mut client);
    }
    lab.gate.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in &mut inside {
        client.response().is(200, "open");
        client.is_usable();
    }
}

/// Who asks for nothing makes room for who does: the longest idle first, half a head being nothing.
#[test]
fn idle_connections_make_room_for_new_ones() {
    let server = serve(three(), Lab::default());
    let mut inside: Vec<Client> = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(server.addr);
        client.is_usable();
        // Time tells which is the longest idle.
        client.stays_quiet(Duration::from_millis(50));
        inside.push(client);
    }
    // Used again: it is not the longest idle any more.
    inside[0].is_usable();
    let mut new = Client::connect(server.addr);
    new.is_usable();
    inside[1].is_closed();
    inside[0].is_usable();
    inside[2].is_usable();
    new.is_usable();
    // Half a head is nothing, and clients that come at once are all served.
    let limits = Limits { connections_max: Some(50), ..lenient() };
    let server = serve(limits, Lab::default());
    let mut half: Vec<Client> = (0..50).map(|_| Client::connect(server.addr)).collect();
    for (n, client) in half.iter_mut().enumerate() {
        if n % 2 == 0 {
            client.is_usable();
        }
        client.send("GET / HT");
    }
    // A further connection would make the server choose already. This one's answer shows that the rest came.
    let last = half.last_mut().unwrap();
    last.ask("TP/1.1\r\nHost: a\r\n\r\n").has_status(200);
    last.send("GET / HT");
    let mut many: Vec<Client> = (0..20).map(|_| Client::connect(server.addr)).collect();
    for client in &mut many {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut many {
        client.response().is(200, "Hello, World!");
    }
    for n in 0..100 {
        let mut client = Client::connect(server.addr);
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200, "client {n}");
        many.push(client);
    }
    assert_eq!(server.stop().over_capacity, 0);
}

const MIB: u64 = 1024 * 1024;

#[test]
fn slow_readers_hold_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), pattern(20 << 20)).unwrap();
    let binary = Binary::serve(dir.path(), &[]);
    let mut warm = Client::connect(binary.addr);
    warm.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").has_status(200);
    let before = binary.resident_bytes();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect_narrow(binary.addr, 8 * 1024)).collect();
    for client in &mut clients {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &clients {
        client.receives(4096);
    }
    let grown = binary.resident_bytes().saturating_sub(before);
    // 2000 MiB are pending; even 100 KiB for each would be too much.
    assert!(grown < 10 * MIB, "{} KiB for 100 slow readers", grown / 1024);
    warm.ask("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").is(200, pattern(20 << 20));
}

#[test]
fn a_flood_of_requests_without_reading_holds_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("small"), pattern(10_000)).unwrap();
    let binary = Binary::serve(dir.path(), &[]);
    let mut warm = Client::connect(binary.addr);
    warm.ask("GET /small HTTP/1.1\r\nHost: a\r\n\r\n").has_status(200);
    let before = binary.resident_bytes();
    let clients: Vec<Client> = (0..10).map(|_| Client::connect_narrow(binary.addr, 8 * 1024)).collect();
    let flooding: Vec<_> = clients
        .iter()
        .map(|client| {
            let mut sender = client.sender();
            sender.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
            thread::spawn(move || {
                // Up to 40 MB each, whose responses would be 10 GB.
                let flood = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
                (0..1000).take_while(|_| sender.write_all(flood.as_bytes()).is_ok()).count()
            })
        })
        .collect();
    for flood in flooding {
        assert!(flood.join().unwrap() < 1000, "TCP pushes back");
    }
    let grown = binary.resident_bytes().saturating_sub(before);
    assert!(grown < 16 * MIB, "{} KiB for 10 floods", grown / 1024);
    warm.ask("GET /small HTTP/1.1\r\nHost: a\r\n\r\n").is(200, pattern(10_000));
}

#[test]
fn an_upload_to_a_handler_that_does_not_read_is_pushed_back() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut client = Client::connect(server.addr);
    client.send("POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 16000000\r\n\r\n");
    let mut sender = client.sender();
    sender.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < 16_000_000 && sender.write_all(&[0; 100_000]).is_ok() {
        sent += 100_000;
    }
    assert!(sent < 16_000_000, "what nobody reads stays with the client");
    Client::connect(server.addr).is_usable();
}

/// What arrives behind a request waits on the heap while its response waits for the client: the buffers of
/// the pool are everybody's.
#[test]
fn input_behind_a_response_that_waits_keeps_no_buffer() {
    quoit::ring::sys::raise_descriptor_limit();
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("small"), "small").unwrap();
    fs::File::create(site.path().join("large")).unwrap().set_len(32 << 20).unwrap();
    let server = serve_files(lenient(), site.path());
    let small = "GET /small HTTP/1.1\r\nHost: a\r\n\r\n";
    Client::connect(server.addr).ask(small).is(200, "small");
    let behind = ["G".to_owned(), small.repeat(100)];
    for behind in behind {
        let mut waiting: Vec<Client> = (0..600).map(|_| Client::connect_narrow(server.addr, 4096)).collect();
        for client in &mut waiting {
            client.send(format!("GET /large HTTP/1.1\r\nHost: a\r\n\r\n{behind}"));
        }
        for _ in 0..20 {
            Client::connect(server.addr).ask(small).is(200, "small");
        }
    }
}
