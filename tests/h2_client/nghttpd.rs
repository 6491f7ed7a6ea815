//! `nghttpd` of nghttp2: uploads that come back, trailers, padding, `100 Continue`, windows of every size, a
//! limit of streams.

use std::process::Command;

use quoit::http::h2::H2Limits;
use quoit::http::h2::client::SendRequest;

use crate::common::pattern;
use crate::driver::{Driver, GET};
use crate::process::{Foreign, free_port};

const POST: SendRequest<'static> = SendRequest { method: "POST", path: "/echo", ..GET };

/// `nghttpd` with more options, over a directory with one file.
struct Nghttpd {
    server: Foreign,
    _files: tempfile::TempDir,
}

impl Nghttpd {
    #[track_caller]
    fn start(options: &[&str]) -> Nghttpd {
        let files = tempfile::tempdir().expect("a directory");
        std::fs::write(files.path().join("file"), pattern(200_000)).unwrap();
        std::fs::write(files.path().join("index.html"), "pushed?").unwrap();
        let port = free_port();
        let mut command = Command::new("nghttpd");
        command.args(["--no-tls", "--address=127.0.0.1", "--echo-upload", "-d"]).arg(files.path());
        command.args(options).arg(port.to_string());
        Nghttpd { server: Foreign::start(&mut command, "nghttp2-server", port), _files: files }
    }
}

#[test]
fn files_and_errors() {
    let nghttpd = Nghttpd::start(&[]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    let file = driver.request(&SendRequest { path: "/file", ..GET });
    let head = driver.request(&SendRequest { path: "/file", method: "HEAD", ..GET });
    let missing = driver.request(&SendRequest { path: "/missing", ..GET });
    let answer = driver.answer(file);
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("200000")));
    assert!(answer.body == pattern(200_000) && answer.trailers.is_empty());
    let answer = driver.answer(head);
    assert_eq!((answer.status, answer.field("content-length")), (200, Some("200000")));
    assert_eq!((answer.body.len(), driver.answer(missing).status), (0, 404));
    assert_eq!((driver.machine.open_streams(), driver.machine.unread_bytes()), (0, 0));
}

#[test]
fn bodies_both_ways_under_every_window() {
    for (own, foreign) in [(256 * 1024, "16"), (65_535, "10"), (1000, "16"), (1000, "10"), (1 << 20, "20")] {
        let nghttpd = Nghttpd::start(&["-w", foreign, "-W", foreign, "--padding=100"]);
        let limits = H2Limits { stream_window: own, connection_window: own, ..H2Limits::DEFAULT };
        let mut driver = Driver::connect_with(nghttpd.server.addr, limits);
        let ids: Vec<u32> = (0..3).map(|_| driver.upload(&POST, &pattern(100_000), "")).collect();
        for id in ids {
            let answer = driver.answer(id);
            assert_eq!(answer.status, 200);
            assert!(answer.body == pattern(100_000), "{own} {foreign}");
        }
        assert_eq!((driver.machine.open_streams(), driver.machine.unread_bytes()), (0, 0));
    }
}

#[test]
fn trailers_both_ways() {
    let nghttpd = Nghttpd::start(&["--trailer", "sum: 6", "--trailer", "more: b"]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    let id = driver.upload(&POST, b"abcdef", "Md: 1\r\n");
    let answer = driver.answer(id);
    assert_eq!(
        (answer.status, &answer.body[..], &answer.trailers[..]),
        (200, &b"abcdef"[..], "sum: 6\r\nmore: b\r\n")
    );
}

#[test]
fn an_interim_response_comes_first() {
    let nghttpd = Nghttpd::start(&[]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    let id = driver.upload(&SendRequest { lines: b"Expect: 100-continue\r\n", ..POST }, b"abc", "");
    let answer = driver.answer(id);
    assert_eq!((answer.interim.as_slice(), answer.status), (&[(100, String::new())][..], 200));
    assert_eq!(answer.body, b"abc");
}

/// nghttpd would push unless SETTINGS_ENABLE_PUSH is 0.
#[test]
fn nothing_is_pushed() {
    let nghttpd = Nghttpd::start(&["--push=/=/file"]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    let id = driver.request(&GET);
    assert_eq!(driver.answer(id).body, b"pushed?");
    assert_eq!(driver.machine.open_streams(), 0);
}

#[test]
fn the_limit_of_streams_is_kept() {
    let nghttpd = Nghttpd::start(&["-m", "2"]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    for _ in 0..20 {
        let ids: Vec<u32> =
            std::iter::from_fn(|| driver.machine.can_send_request().then(|| driver.request(&GET))).collect();
        assert_eq!(ids.len(), 2);
        ids.into_iter().for_each(|id| assert_eq!(driver.answer(id).status, 200));
    }
}

#[test]
fn a_reset_costs_one_stream() {
    let nghttpd = Nghttpd::start(&[]);
    let mut driver = Driver::connect(nghttpd.server.addr);
    for _ in 0..50 {
        let id = driver.request(&SendRequest { path: "/file", ..GET });
        driver.reset(id);
    }
    let id = driver.request(&SendRequest { path: "/file", ..GET });
    assert!(driver.answer(id).body == pattern(200_000));
    assert_eq!(driver.machine.open_streams(), 0);
}

#[test]
fn fields_repeat_by_index_and_secrets_do_not() {
    // Its decoder's table is smaller than ours, and is filled and emptied.
    for table in ["4096", "100", "0"] {
        let nghttpd = Nghttpd::start(&["--header-table-size", table, "--encoder-header-table-size", table]);
        let mut driver = Driver::connect(nghttpd.server.addr);
        for round in 0..40 {
            let lines =
                format!("X-Same: {}\r\nX-Other: {round}\r\nX-Third: {}\r\n", "s".repeat(40), round / 3);
            let lines = lines.as_bytes();
            let id = driver.request(&SendRequest { lines, never_indexed: b"Authorization: x\r\n", ..GET });
            assert_eq!(driver.answer(id).status, 200);
        }
    }
}
