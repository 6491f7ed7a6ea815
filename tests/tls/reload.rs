//! New certificates while clients are served: nothing is lost, and broken ones are not taken.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::lab::*;
use crate::wait::{time_passes, until_within};

#[test]
fn a_new_certificate_is_presented_without_a_restart() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    assert!(server.said()[0].contains("certificate for localhost, 127.0.0.1 (ECDSA P-256, expires "));
    let (config, addr) = (lab.client(), server.addr());
    let first = presented(&config, addr);
    let mut kept = connect(&config, addr);
    get(&mut kept, "/").unwrap();
    lab.issue("a", &["localhost", "127.0.0.1", "more.test"]);
    server.wait_for("certificate for localhost, 127.0.0.1, more.test");
    assert_ne!(presented(&lab.client(), addr), first);
    assert_eq!(get(&mut kept, "/").unwrap().0, 200, "connections go on as they were made");
}

#[test]
fn a_broken_file_keeps_the_old_certificate_and_is_told_once() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    let addr = server.addr();
    let first = presented(&lab.client(), addr);
    lab.write("a.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let line = server.wait_for("a.pem: its certificate 1 cannot be read");
    assert!(line.contains("fetch or make it anew") && line.contains("stays in use"), "{line}");
    assert_eq!(presented(&lab.client(), addr), first);
    // Two more checks log nothing; a request for a reload is answered.
    time_passes(
        Duration::from_millis(2500),
        "files are looked at every second, and nothing shows that they were",
    );
    let told = |said: &[String]| said.iter().filter(|line| line.contains("a.pem: its")).count();
    assert_eq!(told(server.said()), 1, "{:?}", server.said());
    server.signal("HUP");
    server.wait_for("a.pem: its certificate 1 cannot be read");
    lab.issue("a", &["localhost", "127.0.0.1"]);
    server.signal("HUP");
    server.wait_for("certificate for localhost");
    assert_eq!(told(server.said()), 2, "{:?}", server.said());
    assert_ne!(presented(&lab.client(), addr), first);
}

/// Four threads on kept connections, four that connect anew for each request, and certificates of two kinds
/// of keys taking turns: every request is answered.
#[test]
fn reloading_under_load_loses_nothing() {
    let lab = Lab::new();
    let mut server = lab.serve(&[]);
    let addr = server.addr();
    let done = AtomicBool::new(false);
    let (kept, anew) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let config = lab.client();
                let mut stream = connect(&config, addr);
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(get(&mut stream, "/").expect("a kept connection").0, 200);
                    kept.fetch_add(1, Ordering::Relaxed);
                }
            });
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    // Full handshakes, all of them: a client of its own has no session.
                    let config = lab.client();
                    assert_eq!(get(&mut connect(&config, addr), "/").expect("a new connection").0, 200);
                    anew.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let swaps = || {
            for turn in 0..6 {
                let before = (kept.load(Ordering::Relaxed), anew.load(Ordering::Relaxed));
                let names = ["localhost", "127.0.0.1", &format!("turn-{turn}.test")];
                let algorithm =
                    if turn % 2 == 0 { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
                lab.issue_with("a", &names, algorithm, "a");
                server.signal("HUP");
                server.wait_for(&format!("turn-{turn}.test ("));
                until_within(PATIENCE, "the clients are served", || {
                    let now = (kept.load(Ordering::Relaxed), anew.load(Ordering::Relaxed));
                    (now.0 > before.0 + 20 && now.1 > before.1 + 20).then_some(())
                });
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(swaps));
        done.store(true, Ordering::Relaxed);
        assert!(outcome.is_ok(), "{outcome:?}");
    });
    let ended = server.stop();
    assert!(ended.stderr.contains("(0 refused, 0 too slow, 0 over capacity, 0 panics)"), "{}", ended.stderr);
}
