//! Timeouts of heads, idle connections and stalls, and slow transfers that make progress.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use quoit::server::Limits;

use crate::common::{
    Client, Hosted, assert_took, eventually, lenient, pattern, serve, serve_files, time_passes,
};
use crate::lab::Lab;

/// Deadlines are kept in ticks of 16 ms, so one may come this much early at most.
const TICKS: Duration = Duration::from_millis(40);

const HEAD: Duration = Duration::from_millis(300);
const STALL: Duration = Duration::from_secs(1);

/// For clients that keep sending after a refusal.
const LINGER: Duration = Duration::from_millis(200);

fn short_head() -> Limits {
    Limits { head_timeout: HEAD, linger_timeout: LINGER, ..lenient() }
}

fn short_stall() -> Limits {
    Limits { stall_timeout: STALL, rate_min: 1000, linger_timeout: LINGER, ..lenient() }
}

#[test]
fn a_head_that_does_not_arrive_is_408() {
    let server = serve(short_head(), Lab::default());
    for part in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n"] {
        let mut client = Client::connect(server.addr);
        let began = Instant::now();
        client.send(part);
        client.response().has_status(408).says_close();
        assert_took(began, HEAD - TICKS);
        client.is_closed();
    }
    assert_eq!(server.stop().timed_out, 3);
}

#[test]
fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let server = serve(short_head(), Lab::default());
    for nothing in ["\r", "\r\n"] {
        let mut client = Client::connect(server.addr);
        let began = Instant::now();
        client.send(nothing);
        client.is_closed();
        assert_took(began, HEAD - TICKS);
    }
}

#[test]
fn a_dripping_head_gets_no_more_time() {
    let server = serve(short_head(), Lab::default());
    let mut client = Client::connect(server.addr);
    let began = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").drip("y", Duration::from_millis(10));
    client.response().has_status(408).says_close();
    assert_took(began, HEAD - TICKS);
    assert!(began.elapsed() < 10 * HEAD, "each byte bought more time: {:?}", began.elapsed());
}

#[test]
fn the_time_of_a_later_head_begins_with_its_first_byte() {
    let server = serve(short_head(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.is_usable();
    // Longer than the head timeout, but the connection is idle.
    client.stays_quiet(HEAD * 2);
    let began = Instant::now();
    client.send("GET / HT");
    client.response().has_status(408).says_close();
    assert_took(began, HEAD - TICKS);
    client.is_closed();
}

#[test]
fn a_later_head_may_come_in_pieces() {
    let server = serve(short_head(), Lab::default());
    let mut client = Client::connect(server.addr);
    for _ in 0..4 {
        client.is_usable();
        client.send("GET / HTTP/1.1\r\n");
        client.stays_quiet(HEAD / 3);
        client.send("Host: a\r\n\r\n");
        client.response().is(200, "Hello, World!");
    }
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let idle = Duration::from_millis(400);
    for stall in [Duration::from_secs(60), Duration::from_millis(100)] {
        let limits = Limits { idle_timeout: idle, stall_timeout: stall, ..lenient() };
        let server = serve(limits, Lab::default());
        let mut client = Client::connect(server.addr);
        for _ in 0..2 {
            client.is_usable();
            client.stays_quiet(idle / 2);
        }
        client.is_usable();
        let began = Instant::now();
        client.is_closed();
        assert_took(began, idle - TICKS);
    }
}

/// After a tenth of a second without a request a connection keeps only what it needs to wait; nothing
/// shows of that.
#[test]
fn a_connection_that_rested_is_as_good_as_new() {
    let rests = Duration::from_millis(400);
    let server = serve(Limits { idle_timeout: rests * 2, ..lenient() }, Lab::default());
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(server.addr)).collect();
    clients.iter_mut().for_each(Client::is_usable);
    clients[0].stays_quiet(rests);
    clients.iter_mut().for_each(Client::is_usable);
    clients[0].stays_quiet(rests);
    // A head in pieces; what is no request; one that leaves; and the idle timeout.
    let began = Instant::now();
    let [whole, refused, left, idle] = &mut clients[..] else { unreachable!("four") };
    whole.send("GET /n/3 HT").send("TP/1.1\r\nHost: a\r\n\r\n").response().is(200, "3");
    refused.send("nonsense\r\n\r\n").response().has_status(400).says_close();
    left.end();
    idle.is_closed();
    assert_took(began, rests - 2 * TICKS);
    // It has rested meanwhile.
    whole.is_usable();
    // A drain finds it at rest.
    whole.stays_quiet(rests);
    server.stop();
    whole.is_closed();
}

/// Empty lines between requests are no request (RFC 9112 §2.2), and do not end the wait for one.
#[test]
fn an_empty_line_between_requests_changes_nothing() {
    let server = serve(lenient(), Lab::default());
    let mut client = Client::connect(server.addr);
    for wait_ms in [50, 400] {
        client.is_usable();
        client.stays_quiet(Duration::from_millis(wait_ms));
        client.send("\r\n");
        client.stays_quiet(Duration::from_millis(400));
    }
    client.is_usable();
}

#[test]
fn a_stalled_upload_is_408() {
    let server = serve(short_stall(), Lab::default());
    for framing in ["Content-Length: 100\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n64\r\nhello"] {
        let mut client = Client::connect(server.addr);
        let began = Instant::now();
        client.send(format!("POST /count HTTP/1.1\r\nHost: a\r\n{framing}"));
        client.response().has_status(408).says_close();
        assert_took(began, STALL - TICKS);
        client.is_closed();
    }
}

#[test]
fn an_upload_below_the_least_rate_is_408() {
    let server = serve(short_stall(), Lab::default());
    let mut client = Client::connect(server.addr);
    let began = Instant::now();
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    // 100 bytes a second, where 1000 are required.
    client.drip("y", Duration::from_millis(10));
    client.response().has_status(408).says_close();
    assert_took(began, STALL - TICKS);
    assert!(began.elapsed() < 10 * STALL, "each byte bought more time: {:?}", began.elapsed());
}

#[test]
fn an_upload_that_moves_may_take_as_long_as_it_likes() {
    let server = serve(short_stall(), Lab::default());
    let (pieces, length) = (60, 1000);
    at_once([false, true], |chunked| {
        let mut client = Client::connect(server.addr);
        let began = Instant::now();
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 60000" };
        client.send(format!("POST /count HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        for _ in 0..pieces {
            let data = "y".repeat(length);
            client.stays_quiet(Duration::from_millis(45));
            client.send(if chunked { format!("{length:x}\r\n{data}\r\n") } else { data });
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        client.response().is(200, "60000 bytes").keeps();
        assert!(began.elapsed() > 2 * STALL);
        client.is_usable();
    });
}

#[test]
fn an_unread_upload_that_stalls_ends_the_connection() {
    let server = serve(short_stall(), Lab::default());
    let mut client = Client::connect(server.addr);
    let began = Instant::now();
    client.send("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello");
    client.response().is(200, "ignored");
    assert!(began.elapsed() < STALL, "the response does not wait for the body");
    client.is_closed();
    assert_took(began, STALL - TICKS);
}

/// Larger than what the kernels on both sides hold of a connection.
const LARGE: usize = 24 * 1024 * 1024;

fn with_large_file(limits: Limits, test: impl FnOnce(Hosted)) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("large"), pattern(LARGE)).unwrap();
    test(serve_files(limits, dir.path() as &Path));
}

/// Requests something large and reads nothing: the server aborts after one or two stall windows.
fn is_cut_off(server: Hosted, target: &str) {
    let mut client = Client::connect_narrow(server.addr, 16 * 1024);
    let began = Instant::now();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    // The server's reset shows at once, although nothing is read.
    eventually("a client that reads nothing is given up", || client.error().is_some());
    assert_took(began, STALL - TICKS);
    assert_eq!(server.stop().timed_out, 1);
}

#[test]
fn bytes_that_nobody_takes_are_given_up() {
    is_cut_off(serve(short_stall(), Lab::default()), &format!("/bytes/{LARGE}"));
}

#[test]
fn a_stream_that_nobody_takes_is_given_up() {
    let script = vec!["100000"; LARGE / 100_000].join(",");
    is_cut_off(serve(short_stall(), Lab::default()), &format!("/stream/{script}"));
}

#[test]
fn a_file_that_nobody_takes_is_given_up() {
    with_large_file(short_stall(), |server| is_cut_off(server, "/large"));
}

/// A client that has received much, and whose network has a gap from then on.
fn in_a_gap(server: &Hosted) -> Client {
    let mut client = Client::connect(server.addr);
    client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    // One read may return the head alone, and who has received that is not ahead of the minimum rate.
    let mut received = 0;
    while received < 1 << 20 {
        received += client.fill_some(1 << 20).unwrap();
    }
    client.begin_gap();
    client
}

/// After a gap the kernels find each other at the next retransmission. A client that was faster than the
/// minimum rate before has time for that.
#[test]
fn a_download_survives_a_gap_in_the_network() {
    with_large_file(short_stall(), |server| {
        let mut client = in_a_gap(&server);
        time_passes(STALL * 5 / 2, "the length of the gap is what is tested");
        client.end_gap();
        client.fill_some(1 << 20).unwrap();
        client.close();
        server.stop();
    });
}

#[test]
fn a_gap_without_an_end_is_given_up() {
    with_large_file(short_stall(), |server| {
        let client = in_a_gap(&server);
        time_passes(STALL * 6, "four windows that it was ahead by, and the one that had begun");
        assert_eq!(server.stop().timed_out, 1);
        client.close();
    });
}

#[test]
fn an_upload_survives_a_gap_in_the_network() {
    let server = serve(short_stall(), Lab::default());
    let mut client = Client::connect(server.addr);
    client.send("POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n");
    client.stays_quiet(STALL / 4);
    client.send("y".repeat(9000)).stays_quiet(STALL * 5 / 2);
    client.send("y".repeat(1000)).response().is(200, "10000 bytes").keeps();
}

/// Reads as many bytes every 40 ms, for longer than a stall may take.
fn reads_slowly(client: &mut Client, bytes: usize) {
    let began = Instant::now();
    while began.elapsed() < 3 * STALL {
        client.fill_some(bytes).unwrap();
        time_passes(Duration::from_millis(40), "the pace of the client is what is tested");
    }
}

/// Reads something large slowly, yet faster than the minimum rate, for longer than a stall, then the rest.
fn survives(server: &Hosted, target: &str, body: &[u8]) {
    let mut client = Client::connect_narrow(server.addr, 16 * 1024);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    reads_slowly(&mut client, 8 * 1024);
    client.response().is(200, body).keeps();
}

#[test]
fn bytes_that_move_may_take_as_long_as_they_like() {
    let server = serve(short_stall(), Lab::default());
    survives(&server, &format!("/bytes/{LARGE}"), &pattern(LARGE));
}

#[test]
fn a_stream_that_moves_may_take_as_long_as_it_likes() {
    let server = serve(short_stall(), Lab::default());
    let script = vec!["100000"; LARGE / 100_000].join(",");
    survives(&server, &format!("/stream/{script}"), &vec![b'x'; LARGE / 100_000 * 100_000]);
}

#[test]
fn a_file_that_moves_may_take_as_long_as_it_likes() {
    with_large_file(short_stall(), |server| survives(&server, "/large", &pattern(LARGE)));
}

#[test]
fn pipelining_without_reading_is_given_up() {
    let server = serve(short_stall(), Lab::default());
    let client = Client::connect_narrow(server.addr, 16 * 1024);
    let began = Instant::now();
    let mut sender = client.sender();
    let flooding = thread::spawn(move || {
        let flood = "GET /bytes/10000 HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
        while std::io::Write::write_all(&mut sender, flood.as_bytes()).is_ok() {}
    });
    eventually("a client that reads nothing is given up", || {
        client.error().is_some() || flooding.is_finished()
    });
    assert_took(began, STALL - TICKS);
    flooding.join().unwrap();
    assert_eq!(server.stop().timed_out, 1);
    client.close();
}

/// Runs each case in a thread of its own, because they mostly wait.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(|| test(case));
        }
    });
}

#[test]
fn a_handler_may_take_longer_than_any_limit_of_the_client() {
    let server = serve(Limits { head_timeout: HEAD, ..short_stall() }, Lab::default());
    at_once(["", "Connection: close\r\n"], |fields| {
        let mut client = Client::connect(server.addr);
        for warm in [false, true] {
            if warm && fields.is_empty() {
                client.is_usable();
            } else if warm {
                client = Client::connect(server.addr);
                client.is_usable();
            }
            client.ask(format!("GET /wait/1300 HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).is(200, "waited");
            if fields.is_empty() {
                client.is_usable();
            } else {
                client.is_closed();
            }
        }
    });
}

#[test]
fn a_body_may_be_made_more_slowly_than_any_limit_of_the_client() {
    let server = serve(Limits { head_timeout: HEAD, ..short_stall() }, Lab::default());
    let large = ["300000"; 10].join(",");
    let scripts =
        [format!("w1300,{large}"), format!("5,w1300,{large}"), format!("{large},w1300,5"), "w1300".into()];
    let clients = ["1.1\r\nHost: a", "1.1\r\nHost: a\r\nConnection: close", "1.0"];
    let cases = scripts.iter().flat_map(|script| clients.map(|client| (script, client)));
    at_once(cases, |(script, version)| {
        let mut client = Client::connect(server.addr);
        client.send(format!("GET /stream/{script} HTTP/{version}\r\n\r\n"));
        let length = script.split(',').filter_map(|step| step.parse::<usize>().ok()).sum();
        client.response().is(200, vec![b'x'; length]);
        if version == clients[0] {
            client.is_usable();
        } else {
            client.is_closed();
        }
    });
}

#[test]
fn a_body_may_be_pulled_later_than_any_limit_of_the_client() {
    let server = serve(
        Limits { head_timeout: HEAD, idle_timeout: Duration::from_millis(800), ..short_stall() },
        Lab::default(),
    );
    at_once(["hello", "he", ""], |body| {
        let mut client = Client::connect(server.addr);
        for _ in 0..2 {
            client.send(format!("POST /later/1300 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n{body}"));
            if body != "hello" {
                // The handler waits for the rest by then.
                client.stays_quiet(Duration::from_millis(1500));
                client.send(&"hello"[body.len()..]);
            }
            client.response().is(200, "5 bytes").keeps();
            client.is_usable();
        }
    });
}

#[test]
fn a_large_response_after_idling_is_whole() {
    let server = serve(short_stall(), Lab::default());
    at_once([1, 900, 984, 1000, 1016, 1032, 2010], |idle| {
        let mut client = Client::connect(server.addr);
        client.is_usable();
        client.stays_quiet(Duration::from_millis(idle));
        client.ask("GET /bytes/3000000 HTTP/1.1\r\nHost: a\r\n\r\n").is(200, pattern(3_000_000)).keeps();
        client.ask("GET /stream/300000,300000,300000 HTTP/1.1\r\nHost: a\r\n\r\n").has_status(200);
        client.is_usable();
    });
}

/// Something that fits the kernel's buffer is sent at once, and nothing of it taken: the connection is reset
/// after one or two stall windows, whether it is kept or closes, and not only closed.
#[test]
fn a_small_response_that_nobody_takes_is_given_up() {
    let limits = Limits { idle_timeout: 2 * STALL, ..short_stall() };
    let server = serve(limits, Lab::default());
    at_once(["", "Connection: close\r\n"], |fields| {
        let mut client = Client::connect_narrow(server.addr, 4 * 1024);
        let began = Instant::now();
        client.send(format!("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        eventually("a client that takes nothing is given up", || client.error().is_some());
        assert_took(began, STALL - TICKS);
    });
    // One that takes it slowly, and closes its direction first, gets the whole.
    let mut client = Client::connect_narrow(server.addr, 4 * 1024);
    client.send("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").half_close();
    reads_slowly(&mut client, 2 * 1024);
    client.response().is(200, pattern(300_000));
    assert_eq!(server.stop().timed_out, 2);
}
