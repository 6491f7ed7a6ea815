//! Accepting when descriptors run out.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use quoit::ring::{Payload, RingConfig};

use crate::harness::*;

/// Set for the process whose descriptors are few.
const FEW: &str = "QUOIT_TEST_FEW_DESCRIPTORS";

/// Lowering the limit would hit every test of the process, so the test runs itself in another one.
#[test]
fn accepting_survives_the_descriptor_limit() {
    if std::env::var_os(FEW).is_some() {
        return out_of_descriptors();
    }
    let _shared = share_machine();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("a path"))
        .args(["--exact", "accept::accepting_survives_the_descriptor_limit", "--nocapture"])
        .env(FEW, "1")
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "it did not run: {text}");
}

fn out_of_descriptors() {
    on_ring(RingConfig::default(), |ring| async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let addr = listener.local_addr().expect("bound");
        let listener = ring.accept_on(listener.into());
        let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(addr).expect("in the backlog")).collect();
        let mut burnt = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            burnt.push(file);
        }
        // As the server does it: an error, a rest, the next try.
        let (since, stats) = (Instant::now(), ring.stats());
        let mut errors = 0;
        while since.elapsed() < Duration::from_millis(300) {
            let error = listener.accept().await.expect_err("there is no descriptor");
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
            errors += 1;
            ring.sleep(Duration::from_millis(100)).await;
        }
        let enters = ring.stats().enters - stats.enters;
        assert!(errors <= 3 && enters < 60, "{errors} errors and {enters} enters in {:?}", since.elapsed());
        // And without asking again, nothing happens at all.
        let stats = ring.stats();
        glommio::timer::sleep(Duration::from_millis(200)).await;
        assert!(ring.stats().enters - stats.enters < 10, "the failed accept keeps the core busy");

        burnt.truncate(burnt.len() - 10);
        for client in &mut clients {
            let socket = ring.adopt(listener.accept().await.expect("descriptors are back"));
            client.write_all(b"?").expect("room");
            assert_eq!(socket.recv().await.expect("no error").as_deref(), Some(&b"?"[..]));
            socket.send(Payload::Buffer(b"!".to_vec())).await.expect("room");
        }
    });
}

/// A burst beyond the completion queue: the kernel ends the multishot accept, and no connection is lost.
#[test]
fn a_burst_of_connections_is_accepted_whole() {
    let config = RingConfig { submissions: 8, completions: 16, ..RingConfig::default() };
    on_ring(config, |ring| async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        set_backlog(&listener, 500);
        let addr = listener.local_addr().expect("bound");
        let listener = ring.accept_on(listener.into());
        for _ in 0..2 {
            // All of them wait in the backlog before the first is accepted.
            let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(addr).expect("room")).collect();
            let mut accepted = Vec::new();
            for _ in &clients {
                accepted.push(listener.accept().await.expect("a connection"));
            }
            drop(clients);
        }
        assert!(poll_once(Box::pin(listener.accept()).as_mut()).await.is_pending());
    });
}

/// A dropped listener closes accepted connections that were not taken, and itself.
#[test]
fn a_dropped_listener_leaves_nothing() {
    on_ring_alone(RingConfig::default(), |ring| async move {
        let before = holdings(&ring);
        for taken in 0..3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let addr = listener.local_addr().expect("bound");
            let listener = ring.accept_on(listener.into());
            let mut clients: Vec<_> = (0..4).map(|_| TcpStream::connect(addr).expect("room")).collect();
            for _ in 0..taken {
                listener.accept().await.expect("a connection");
            }
            ring.sleep(Duration::ZERO).await;
            drop(listener);
            ring.sleep(Duration::ZERO).await;
            for client in &mut clients {
                let end = std::io::Read::read(client, &mut [0]);
                assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
            }
            assert!(TcpStream::connect(addr).is_err(), "it listens no more");
        }
        back_to(&ring, before).await;
    });
}
