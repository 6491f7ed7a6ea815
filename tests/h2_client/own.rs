//! This project's own server through a socket: what it sends and what its client reads agree.

use quoit::http::h2::client::SendRequest;

use crate::common::{lenient, pattern, serve};
use crate::driver::{Driver, GET};
use crate::lab::Lab;

#[test]
fn requests_and_bodies() {
    let lab = Lab::default();
    let server = serve(lenient(), lab.clone());
    let mut driver = Driver::connect(server.addr);
    assert!(driver.machine.accepts_connect_protocol());
    let bytes = driver.request(&SendRequest { path: "/bytes/300000", ..GET });
    let post = SendRequest { method: "POST", path: "/echo", ..GET };
    let ids: Vec<u32> = (0..5).map(|_| driver.upload(&post, &pattern(400_000), "")).collect();
    let missing = driver.request(&SendRequest { path: "/nothing", ..GET });
    assert!(driver.answer(bytes).body == pattern(300_000));
    ids.into_iter().for_each(|id| assert!(driver.answer(id).body == pattern(400_000)));
    assert_eq!((driver.answer(missing).status, lab.calls()), (404, 7));
    assert_eq!((driver.machine.open_streams(), driver.machine.unread_bytes()), (0, 0));
}

/// Three uploads whose handlers do not read once stopped a fourth (RFC 9113 §5.2.2).
#[test]
fn unread_uploads_do_not_stop_another() {
    let server = serve(lenient(), Lab::default());
    let mut driver = Driver::connect(server.addr);
    for _ in 0..50 {
        driver.upload(&SendRequest { method: "POST", path: "/hold", ..GET }, &pattern(300_000), "");
    }
    let last = driver.upload(&SendRequest { method: "POST", path: "/count", ..GET }, &pattern(3_000_000), "");
    assert_eq!(driver.answer(last).body, b"3000000 bytes");
}
