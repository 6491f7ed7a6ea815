//! `loadgen bench` as people run it, against servers that misbehave: whatever happens, every planned request
//! has one outcome, and the exit code says what went wrong.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use support::{bench, number};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What a server does with the n-th request of all: bytes to answer, and whether it goes on.
type Manner = fn(u64) -> (&'static [u8], bool);

/// Starts a server; it lives as long as the test's process.
fn server(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let count: &AtomicU64 = Box::leak(Box::default());
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, manner, count));
        }
    });
    addr
}

/// Answers requests without bodies, however they are pipelined.
fn serve(mut stream: TcpStream, manner: Manner, count: &AtomicU64) {
    let (mut held, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = stream.read(&mut piece) {
        held.extend_from_slice(&piece[..length]);
        while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
            held.drain(..end + 4);
            let (answer, goes_on) = manner(count.fetch_add(1, Ordering::Relaxed));
            if stream.write_all(answer).is_err() || !goes_on {
                return;
            }
        }
    }
}

/// [`support::measure`] of a server's address.
fn measure(addr: SocketAddr, arguments: &str) -> (i32, Value) {
    support::measure(&format!("http://{addr}/"), arguments)
}

#[test]
fn a_closed_loop_counts_what_it_asked() {
    let addr = server(|_| (OK, true));
    let (code, result) = measure(addr, "-c 4 -n 500 --pipeline 3");
    assert_eq!((code, number(&result["total"], "done")), (0, 500));
    assert_eq!(number(&result["total"]["statuses"], "200"), 500);
    let each = result["connections"]["done_each"].as_array().unwrap();
    assert_eq!(each.iter().map(|done| done.as_u64().unwrap()).sum::<u64>(), 500);
}

#[test]
fn an_open_loop_plans_rate_times_duration() {
    let addr = server(|_| (OK, true));
    let (_, result) = measure(addr, "-c 4 -R 300 -d 1s --warmup 200ms");
    assert_eq!(number(&result["total"], "planned"), 300);
    assert_eq!(number(&result["total"], "done"), 300);
    assert_eq!(number(&result["total"]["lag"], "count"), 300);
}

#[test]
fn every_request_may_have_its_connection() {
    let addr = server(|_| (OK, true));
    let (code, result) = measure(addr, "-c 2 -n 60 --new-conn");
    assert_eq!((code, number(&result["total"], "done")), (0, 60));
    assert!(number(&result["connections"], "opened") >= 60, "{}", result["connections"]);
}

#[test]
fn closed_connections_and_garbage_are_errors_by_kind() {
    let addr = server(|n| match n % 10 {
        3 => (b"", false),
        7 => (b"garbage\r\n\r\n", false),
        _ => (OK, true),
    });
    for mode in ["", "-R 400"] {
        let (_, result) = measure(addr, &format!("-c 4 -n 400 --pipeline 2 {mode}"));
        let kinds = &result["total"]["errors_by_kind"];
        assert!(number(kinds, "protocol") > 10, "{kinds}");
        let lost = ["read", "reset"].iter().filter_map(|kind| kinds[*kind].as_u64()).sum::<u64>();
        assert!(lost > 10, "{kinds}");
    }
}

#[test]
fn what_stalls_is_a_timeout_at_its_elapsed_time() {
    let addr = server(|n| if n % 20 == 19 { (b"HTTP/1.1 200 OK\r\nContent-Le", true) } else { (OK, true) });
    let (_, result) = measure(addr, "-c 8 -R 100 -d 1s --timeout 200ms");
    let total = &result["total"];
    assert!(number(total, "timeouts") >= 4, "{total}");
    assert!(number(&total["response"], "max_ns") >= 200_000_000, "{total}");
}

#[test]
fn a_server_that_dies_half_way_leaves_every_request_accounted_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let count: &AtomicU64 = Box::leak(Box::default());
        let open: Vec<TcpStream> = (0..4).map(|_| listener.accept().unwrap().0).collect();
        drop(listener);
        for stream in &open {
            let stream = stream.try_clone().unwrap();
            std::thread::spawn(move || serve(stream, |_| (OK, true), count));
        }
        std::thread::sleep(Duration::from_millis(700));
        open.iter().for_each(|stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    });
    let (_, result) = measure(addr, "-c 4 -R 200 -d 1s");
    let total = &result["total"];
    assert_eq!(number(total, "planned"), 200);
    assert!(number(total, "done") > 50 && number(&total["errors_by_kind"], "connect") > 20, "{total}");
}

#[test]
fn unexpected_statuses_are_validation_errors() {
    let addr = server(|_| (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true));
    let (code, result) = measure(addr, "-c 1 -n 20");
    assert_eq!((code, number(&result["total"]["errors_by_kind"], "validation")), (5, 20));
    let (code, _) = measure(addr, "-c 1 -n 20 --expect 503");
    assert_eq!(code, 0);
    let (code, result) = measure(addr, "-c 1 -n 20 --expect 503 --slo err<1%,max<1ns");
    assert_eq!((code, &result["slo"][0]["met"], &result["slo"][1]["met"]), (1, &true.into(), &false.into()));
}

#[test]
fn targets_that_cannot_be_loaded_are_told_in_one_line() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let no_http = server(|_| (b"SSH-2.0-x\r\n", false));
    let urls = [
        (format!("http://{refused}/"), 5, "is the server running"),
        (format!("http://{no_http}/"), 5, "does not speak HTTP"),
        ("http://name.invalid/".to_owned(), 5, "dns"),
        (format!("https://{no_http}/"), 5, "TLS handshake"),
        ("ftp://h/".to_owned(), 2, "http://"),
    ];
    for (url, code, word) in urls {
        let output = bench(&[&url, "-d", "5s", "-c", "2"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{url}: {told}");
        assert!(told.contains(word) && told.lines().count() == 1, "{url}: {told}");
        assert!(output.stdout.is_empty(), "{url}");
    }
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let url = "http://127.0.0.1:9/";
    for flags in [
        "--arrival poisson",
        "-c 0",
        "-n 0",
        "--insecure",
        "--ramp 2s --warmup 1s -R 5",
        "--ramp 2s",
        "-i /no/such/file",
        "-b @/no/such/file",
        "--cpus 4000",
        "-R 0",
        "--slo p99",
        "--new-conn --pipeline 2",
        "http://other:1/",
    ] {
        let mut arguments = vec![url];
        arguments.extend(flags.split_whitespace());
        let output = bench(&arguments);
        assert_eq!(output.status.code(), Some(2), "{flags}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_interrupt_ends_early_with_a_report() {
    let addr = server(|_| (OK, true));
    let url = format!("http://{addr}/");
    let arguments = ["bench", &url, "-c", "2", "-R", "200", "-d", "60s", "-o", "json=-"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.wait().unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    let (planned, measured) = (number(&result["total"], "planned"), result["measured_s"].as_f64().unwrap());
    assert!((planned as f64 - measured * 200.0).abs() < 3.0, "{planned} in {measured} s");
    assert!(measured < 10.0 && result["validity"]["warnings"].to_string().contains("ended early"));
}
