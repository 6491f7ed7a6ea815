//! `loadgen bench` as people run it, against servers that misbehave: whatever happens, every planned request
//! has one outcome, and the exit code says what went wrong.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
fn stages_have_their_rates() {
    let addr = server(|_| (OK, true));
    let (code, result) = measure(addr, "-c 4 --stages 100:1s,300:1s");
    assert_eq!((code, number(&result["total"], "planned")), (0, 400), "{result}");
    let planned: Vec<u64> =
        result["intervals"].as_array().unwrap().iter().map(|step| number(step, "planned")).collect();
    assert_eq!(planned, [50, 50, 150, 150]);
    assert_eq!(
        (&result["plan"]["rate"], &result["plan"]["stages"][1]["rate"]),
        (&200.0.into(), &300.0.into())
    );
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
        ("ftp://h/".to_owned(), 2, "https://"),
        ("--foo".to_owned(), 2, "see loadgen bench --help"),
    ];
    for (url, code, word) in urls {
        let output = bench(&[&url, "-d", "5s", "-c", "2"]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{url}: {told}");
        assert!(told.contains(word) && told.lines().count() == 1, "{url}: {told}");
        assert!(output.stdout.is_empty(), "{url}");
    }
}

/// A server that answers one request after another, each so long after the one before.
fn one_by_one(each: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let turn: &Mutex<Instant> = Box::leak(Box::new(Mutex::new(Instant::now())));
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
                    let due = {
                        let mut turn = turn.lock().unwrap();
                        *turn = (*turn).max(Instant::now()) + each;
                        *turn
                    };
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if stream.write_all(OK).is_err() {
                        return;
                    }
                }
            });
        }
    });
    addr
}

/// What a server answers after the measured phase was not achieved within it.
#[test]
fn a_rate_is_what_was_done_within_its_time() {
    let addr = one_by_one(Duration::from_millis(10));
    let (code, result) = measure(addr, "-c 8 -R 200 -d 1s --timeout 3s --grace 3s --slo rate>110");
    let total = &result["total"];
    assert_eq!((number(total, "planned"), number(total, "done")), (200, 200), "{total}");
    assert!(number(total, "achieved") <= 101, "100/s is all it can do: {total}");
    assert_eq!(number(total, "drained"), 200 - number(total, "achieved"), "{total}");
    assert_eq!(code, 1, "{}", result["slo"]);
    assert!(result["validity"]["warnings"].to_string().contains("backlog grew"), "{}", result["validity"]);
    let within: u64 =
        result["intervals"].as_array().unwrap().iter().map(|interval| number(interval, "done")).sum();
    assert_eq!(within, number(total, "achieved"));
    // And bytes that came afterwards were not received within it.
    let received = number(&result["connections"], "received_bytes");
    assert_eq!(received, number(total, "achieved") * OK.len() as u64);
}

/// An arrival that was never sent waited at least until the end.
#[test]
fn dropped_arrivals_have_waited() {
    let addr = one_by_one(Duration::from_millis(100));
    let (_, result) = measure(addr, "-c 1 -R 100 -d 1s --timeout 200ms");
    let total = &result["total"];
    assert!(number(total, "dropped") > 50, "{total}");
    assert_eq!(number(&total["response"], "count"), 100, "all of them: {total}");
    assert!(number(&total["response"], "p50_ns") > 500_000_000, "{total}");
}

/// A run ends when its grace is over, whatever is still sent then.
#[test]
fn a_run_ends_when_its_grace_is_over() {
    let addr = one_by_one(Duration::from_millis(1400));
    let (_, result) = measure(addr, "-c 1 -R 20 -d 1s --timeout 1500ms --grace 1500ms");
    let total = &result["total"];
    // The first one until 1.4 s; the second, sent then, does not go on until 2.8 s.
    assert_eq!((number(total, "done"), number(total, "timeouts")), (1, 1), "{total}");
    assert_eq!(number(total, "dropped"), 18, "{total}");
}

#[test]
fn errors_take_as_long_as_they_take() {
    let addr = server(|n| {
        if n % 10 == 9 {
            std::thread::sleep(Duration::from_millis(300));
            return (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", true);
        }
        (OK, true)
    });
    for mode in ["-R 100", ""] {
        let (code, result) = measure(addr, &format!("-c 8 -n 200 {mode} --slo p95<250ms"));
        let total = &result["total"];
        assert!(number(&total["response"], "p90_ns") > 0 && number(&total["response"], "count") == 200);
        // The histogram keeps three digits.
        assert!(number(&total["response_failed"], "min_ns") >= 299_000_000, "{total}");
        assert_eq!(number(&total["response_failed"], "count"), 20, "{total}");
        assert_eq!(code, 1, "the slow tenth is in p95: {}", result["slo"]);
    }
}

#[test]
fn what_is_longer_than_its_length_is_no_answer() {
    let addr = server(|n| match n % 5 {
        4 => (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok, and more", true),
        _ => (OK, true),
    });
    let (_, result) = measure(addr, "-c 1 -n 50");
    let total = &result["total"];
    assert_eq!((number(total, "done"), number(&total["errors_by_kind"], "protocol")), (40, 10), "{total}");
}

#[test]
fn too_few_samples_are_no_verdict() {
    let addr = server(|_| (OK, true));
    let (code, result) = measure(addr, "-c 1 -n 100 --slo p99.9<10s,err<1%");
    assert_eq!(code, 3, "it cannot tell: {}", result["slo"]);
    assert_eq!(number(&result["slo"][0], "needs"), 10_000);
    assert!(result["validity"]["warnings"].to_string().contains("10000 samples"), "{}", result["validity"]);
    let (code, _) = measure(addr, "-c 1 -n 100 --slo p99.9<10s,max<1ns");
    assert_eq!(code, 1, "what is missed is missed");
}

#[test]
fn endpoints_have_demands_of_their_own() {
    let addr = server(|_| (OK, true));
    let base = format!("http://{addr}");
    let run = |slo: &[&str]| {
        let (a, b) = (format!("{base}/a"), format!("{base}/b"));
        let mut words = vec![a.as_str(), &b, "-c", "1", "-n", "200", "--lag-allowed", "24h"];
        slo.iter().for_each(|slo| words.extend(["--slo", slo]));
        bench(&words)
    };
    let output = run(&["GET /a: p50<10s", "GET /b: max<1ns", "err<1%"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("NOT MET  GET /b: max<1ns") && told.contains("met  GET /a: p50<10s"), "{told}");
    let output = run(&["GET /c: p50<10s"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && told.contains("GET /a, GET /b"), "{told}");
}

/// A name with several addresses is reached by any that answers, and schemes know no case.
#[test]
fn a_name_is_reached_by_any_of_its_addresses() {
    let addr = server(|_| (OK, true));
    let (code, _) = support::measure(&format!("HTTP://localhost:{}/", addr.port()), "-c 2 -n 10");
    assert_eq!(code, 0);
}

/// A generator that does not run for a while must say so itself: it is the only one who can know.
#[test]
fn a_generator_that_was_stopped_says_so() {
    for (flags, is_valid) in [
        ("-R 500 -c 4 -d 2s", false),
        ("-c 4 -d 2s", false),
        // Nothing that was asked for depends on it.
        ("-R 500 -c 4 -d 2s --slo rate>1", true),
        ("-R 500 -c 4 -d 2s --lag-allowed 1h", true),
        // Until after its end, when there is nothing left but to drop what was due.
        ("-R 500 -c 4 -d 2s --timeout 50ms", false),
    ] {
        let (sender, requests) = std::sync::mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    while matches!(stream.read(&mut [0; 4096]), Ok(1..)) && stream.write_all(OK).is_ok() {
                        let _ = sender.send(());
                    }
                });
            }
        });
        let mut words = vec!["bench", &url, "-o", "json=-"];
        words.extend(flags.split_whitespace());
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        let child = command.args(words).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        let signal = |name: &str| Command::new("kill").args([name, pid.as_str()]).status().unwrap();
        // It is in the midst of its run.
        (0..200).for_each(|_| requests.recv_timeout(Duration::from_secs(20)).expect("it makes load"));
        assert!(signal("-STOP").success());
        let stopped = if flags.contains("--timeout") { 2_500 } else { 700 };
        std::thread::sleep(Duration::from_millis(stopped));
        assert!(signal("-CONT").success());
        let output = child.wait_with_output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let validity = &result["validity"];
        let told = if is_valid { &validity["warnings"] } else { &validity["reasons"] };
        assert!(told.to_string().contains("generator itself was late"), "{flags}: {validity}");
        assert_eq!(output.status.code(), Some(if is_valid { 0 } else { 3 }), "{flags}: {validity}");
        let (measured, at_least) = (&result["total"]["own"]["measured"], &result["total"]["own"]["at_least"]);
        assert!(number(measured, "max_ns") >= 600_000_000, "{flags}: {measured}");
        assert!(number(at_least, "min_ns") < 400_000_000, "{flags}: {at_least}");
        if flags.contains("-R") {
            // Not those alone for which a connection was free: all that were due meanwhile.
            assert!(number(measured, "count") > 300, "{flags}: {measured}");
        }
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
        "--stages 1k:10s -R 5",
        "--stages 1k:10s -d 5s",
        "--stages 1k",
        "-i /no/such/file",
        "-b @/no/such/file",
        "--cpus 4000",
        "-R 0",
        "--slo p99",
        "--new-conn --pipeline 2",
        "--streams 2",
        "--proto h2",
        "--proto h3",
        "--proto h2c --streams 0",
        "--proto h2c --pipeline 2",
        "--proto h2c --streams 2 --new-conn",
        "--ca /no/such/file",
        "http://other:1/",
    ] {
        let mut arguments = vec![url];
        arguments.extend(flags.split_whitespace());
        let output = bench(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.lines().count() == 1, "{flags}: {told}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).arg(url).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), &*told),
        (Some(2), &*format!("loadgen: `{url}` is no command; write loadgen bench {url}\n"))
    );
}

/// The cause once, and the remedy, in one line: whichever command meets it.
#[test]
fn a_target_that_cannot_be_is_told_once() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = format!("http://{free}/");
    let words = ["no connection to", "refused", "is the server running there?"];
    for (arguments, code, words) in [
        (&["bench", &closed][..], 5, &words[..]),
        (&["capacity", "--slo", "p99<5ms", &closed], 5, &words),
        (&["bench", "ftp://x/"], 2, &["`ftp` is no scheme", "http://… or https://…"]),
        (&["capacity", "--slo", "p99<5ms", "ftp://x/"], 2, &["`ftp` is no scheme", "http://… or https://…"]),
        (&["bench", "x"], 2, &["`x` is no URL", "write http://127.0.0.1:8080/path"]),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && told.lines().count() == 1, "{arguments:?}: {told}");
        for word in words {
            assert_eq!(told.matches(word).count(), 1, "{arguments:?}: {told}");
        }
    }
}

/// A signal ends a run whose connections hang, whatever time they were given.
#[test]
fn an_interrupt_does_not_wait_for_who_does_not_answer() {
    // It listens and says nothing, so that every handshake waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let flags = ["bench", &url, "--insecure", "-c", "20", "--connect-timeout", "1m"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(flags)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    for _ in 0..100 {
        if let Some(status) = child.try_wait().unwrap() {
            return assert_eq!(status.code(), Some(3));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let _ = child.kill();
    panic!("it still runs after 5 s");
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

/// The time for an answer may be long; the run is not.
#[test]
fn a_run_ends_soon_after_its_measured_phase() {
    // The first answers come at once, and then none.
    let addr = server(|n| if n < 8 { (OK, true) } else { (b"", true) });
    for (arguments, most_ms) in [
        ("-c 4 -d 500ms --timeout 30s --grace 300ms", 300),
        ("-c 4 -R 100 -d 500ms --timeout 30s --grace 300ms", 300),
        ("-c 4 -d 500ms --timeout 30s", 1000),
    ] {
        let began = Instant::now();
        let (_, result) = measure(addr, arguments);
        let (total, passed) = (&result["total"], began.elapsed());
        let least = Duration::from_millis(500 + most_ms);
        assert!(passed >= least && passed < least + Duration::from_secs(3), "{arguments}: {passed:?}");
        let unfinished = number(total, "unfinished");
        assert!((1..=4).contains(&unfinished) && number(total, "timeouts") == unfinished, "{total}");
        // With the time that had passed, which is a part of what they take.
        assert!(number(&total["response"], "max_ns") >= most_ms * 1_000_000, "{total}");
        let warnings = result["validity"]["warnings"].to_string();
        assert!(
            warnings.contains("in flight when the run ended") && warnings.contains("--grace"),
            "{warnings}"
        );
    }
}
