//! Bodies in both directions: piece by piece, as fast as the other side reads, complete or failed, with
//! trailers.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::common::{Broken, Client, Framing, eventually, pattern};
use crate::lab::{Lab, PIECE_BYTES};

const CHUNKED: &str = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn an_echo_answers_each_piece_before_the_next() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /echo HTTP/1.1\r\n{CHUNKED}"));
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        eventually("the piece comes back", || {
            let _ = client.fill();
            client.input().windows(piece.len()).any(|window| window == piece.as_bytes())
        });
    }
    client.send("0\r\n\r\n");
    client.response().is(200, "onetwothree");
    client.is_usable();
}

#[test]
fn large_bodies_come_back_unchanged() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    let body = pattern(5_000_000);
    let mut sender = client.sender();
    let sent = body.clone();
    let sending = thread::spawn(move || {
        use std::io::Write;
        write!(sender, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", sent.len()).unwrap();
        sender.write_all(&sent).unwrap();
    });
    let response = client.response();
    sending.join().unwrap();
    assert!(response.body == body);
    // The length of the request's body is the length of the answer.
    assert_eq!(response.framing, Framing::Length);
    client.is_usable();
}

#[test]
fn an_upload_that_nobody_reads_is_held_back() {
    let lab = Lab::default();
    let server = lab.serve();
    let mut client = Client::connect(server.addr);
    let whole = 64 * 1024 * 1024;
    client.send(format!("POST /gated HTTP/1.1\r\nHost: a\r\nContent-Length: {whole}\r\n\r\n"));
    let mut sender = client.sender();
    sender.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    let chunk = vec![b'x'; 1 << 20];
    loop {
        use std::io::Write;
        match sender.write(&chunk[..chunk.len().min(whole - sent)]) {
            Ok(bytes) => sent += bytes,
            Err(_) => break,
        }
        assert!(sent < whole / 2, "{sent} bytes were taken although nobody reads them");
    }
    lab.gate.store(true, Ordering::Relaxed);
    sender.set_write_timeout(None).unwrap();
    while sent < whole {
        client.send(&chunk[..chunk.len().min(whole - sent)]);
        sent += chunk.len().min(whole - sent);
    }
    client.response().is(200, whole.to_string());
    client.is_usable();
}

#[test]
fn a_stream_is_made_as_fast_as_it_is_read() {
    let lab = Lab::default();
    let server = lab.serve();
    let mut client = Client::connect_narrow(server.addr, 8 * 1024);
    client.send("GET /pieces/1000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    let made = || lab.made.load(Ordering::Relaxed);
    eventually("it begins", || made() > 0);
    // All that the kernel takes is there, and so is what the server answers to others meanwhile.
    client.receives(4096);
    let mut before = 0;
    eventually("it stops", || {
        server.turns();
        made() == std::mem::replace(&mut before, made())
    });
    // What the kernel's buffers hold, and one piece.
    assert!(before * PIECE_BYTES < 16 * 1024 * 1024, "{before} pieces for a client that does not read");
    client.reset();
    Client::connect(server.addr).is_usable();
}

#[test]
fn trailers_pass_both_ways() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /measure HTTP/1.1\r\n{CHUNKED}3\r\nabc\r\n0\r\nX-Sum: 6:5\r\n\r\n"));
    client.response().is(200, "3 bytes, sum 6:5");
    client.send(format!("POST /measure HTTP/1.1\r\n{CHUNKED}0\r\n\r\n"));
    client.response().is(200, "0 bytes, sum none");

    client.send("GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTE: trailers\r\n\r\n");
    let all = client.drain();
    let end = b"\r\n0\r\ngrpc-status: 0\r\n\r\n";
    assert!(all.ends_with(end), "{:?}", all[all.len().saturating_sub(60)..].escape_ascii().to_string());
}

#[test]
fn a_length_that_was_announced_is_owed() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send(format!("GET /announced/{PIECE_BYTES} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let response = client.response();
    assert_eq!((response.framing, response.body.len()), (Framing::Length, PIECE_BYTES));
    for wrong in [PIECE_BYTES + 1, PIECE_BYTES - 1] {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /announced/{wrong} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let broken = client.try_response_to("GET");
        assert!(matches!(broken, Err(Broken::InBody(..))), "{wrong}: {broken:?}");
    }
    client.is_usable();
}

#[test]
fn a_body_that_is_not_read_is_read_over() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.ask("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345").is(200, "ignored");
    client.is_usable();
}

#[test]
fn a_client_that_waits_is_asked_for_its_body() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send("POST /measure HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let interim = client.response_to("HEAD");
    assert_eq!(interim.status, 100);
    client.send("abc");
    client.response().is(200, "3 bytes, sum none");
}

#[test]
fn a_body_that_breaks_off_is_an_error_to_the_handler() {
    let server = Lab::default().serve();
    let mut client = Client::connect(server.addr);
    client.send(format!("POST /measure HTTP/1.1\r\n{CHUNKED}3\r\nabc\r\nzz\r\n"));
    client.response().has_status(400).says_close();
    Client::connect(server.addr).is_usable();
}
