//! Memory and descriptors come back after connections of every bad kind, against the built program: thousands
//! of each, while requests of other clients are answered in time.
//!
//! 10,000 connections per kind and round. Allocators keep what a busy moment
//! needed, so memory may grow for a while; what leaks grows with every round. A kind passes with its first
//! round that does not grow.

#[allow(dead_code, reason = "shared with the tests of the command line, which need all of it")]
#[path = "cli/server.rs"]
mod server;
#[path = "common/wait.rs"]
mod wait;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use server::{Server, get};
use socket2::{Domain, SockRef, Socket, Type};

/// Connections in a round.
const CONNECTIONS: usize = 10_000;

/// Connections that each client has open at the same time, and the number of clients.
const BATCH: usize = 50;
const CLIENTS: usize = 4;

/// What VmRSS may grow by in a round that passes: 10,000 connections that leak 105 bytes each are over it.
const GROWTH_BYTES_MAX: u64 = 1 << 20;

/// Rounds, the first for warming up, until growth is a leak.
const ROUNDS_MAX: usize = 6;

/// What the server may compute while another client's request waits for its answer, in its own time: that a
/// machine does other work is not its fault.
const COMPUTED_MAX: Duration = Duration::from_secs(1);

/// Time for a client's exchange: the end of what has no receiver takes this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// For one round; a server that is stuck must not hold everything up.
const ROUND_WITHIN: Duration = Duration::from_secs(180);

/// Lingering after a refusal takes up to 5 s, and so does finding a reset behind unread input.
const SETTLES_WITHIN: Duration = Duration::from_secs(20);

/// How a connection ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// In order, or by the reset that closing with unread input is.
    Close,
    /// By a reset, always.
    Reset,
}

/// One way to misbehave.
struct Kind {
    name: &'static str,
    /// What is sent, at once.
    says: Vec<u8>,
    /// Whether an answer, or its beginning, is waited for.
    listens: bool,
    end: End,
}

fn kinds() -> Vec<Kind> {
    let kind = |name, says: &[u8], listens, end| Kind { name, says: says.to_vec(), listens, end };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let oversized = [b"GET / HTTP/1.1\r\nHost: a\r\nX: ".as_slice(), &[b'x'; 40_000]].concat();
    let half_body = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nonly this much";
    let half_chunk = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nonly";
    let garbage: Vec<u8> = (0..3000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        kind("connect and close", b"", false, End::Close),
        kind("connect and reset", b"", false, End::Reset),
        kind("half a head, then close", b"GET / HTTP/1.1\r\nHo", false, End::Close),
        kind("half a head, then reset", b"GET / HTTP/1.1\r\nHo", false, End::Reset),
        kind("garbage", &garbage, true, End::Close),
        kind("an oversized head", &oversized, true, End::Close),
        kind("100 KiB asked for and not read", &get("/100k"), false, End::Close),
        kind("10 MiB asked for and not read", &get("/10m"), true, End::Close),
        kind("10 MiB asked for, then reset", &get("/10m"), true, End::Reset),
        kind("half a body", half_body, false, End::Close),
        kind("half a chunk, then reset", half_chunk, false, End::Reset),
        kind("a pipelined flood, then reset", &get("/").repeat(16), false, End::Reset),
        kind("a pipelined flood of large files", &get("/100k").repeat(50), true, End::Close),
        kind("kept alive, then reset", &get("/"), true, End::Reset),
    ]
}

/// Makes `count` connections of a kind from one loopback address, `BATCH` at a time: all are opened and
/// spoken to before the first is ended.
fn misbehave(kind: &Kind, server: SocketAddr, from: Ipv4Addr, count: usize) {
    let mut left = count;
    let began = Instant::now();
    while left > 0 {
        assert!(began.elapsed() < ROUND_WITHIN, "{}: the server is too slow, or stuck", kind.name);
        let batch: Vec<TcpStream> =
            (0..BATCH.min(left)).map(|_| connect_from(from, server).expect("the server accepts")).collect();
        for mut stream in &batch {
            // A server that has refused already may have closed: that is its right.
            let _ = stream.write_all(&kind.says);
        }
        for mut stream in &batch {
            if kind.listens && began.elapsed() < ROUND_WITHIN {
                let _ = stream.read(&mut [0; 512]);
            }
            if kind.end == End::Reset {
                // Closing with no time to linger is a reset.
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
        }
        left -= batch.len();
    }
}

/// From an address of its own, so that no kind runs out of ports for the next: closed connections keep theirs
/// for a minute.
fn connect_from(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// One round: `CONNECTIONS` from `CLIENTS` threads at once.
fn round(kind: &Kind, server: SocketAddr, number: usize) {
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let from = Ipv4Addr::new(127, 1, number as u8, client as u8 + 1);
            scope.spawn(move || misbehave(kind, server, from, CONNECTIONS / CLIENTS));
        }
    });
}

fn open_descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs").count()
}

/// Whether it has a file of this name open.
fn holds(pid: u32, name: &str) -> bool {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the server runs");
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|path| path.ends_with(name))
}

/// The time that its threads have run.
fn computed(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("the server runs");
    let run_ns = |entry: io::Result<fs::DirEntry>| {
        let line = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(run_ns).sum())
}

fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells");
    let kib: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
    kib * 1024
}

/// Waits until no more descriptors are open than at first; how many are.
fn settled(pid: u32, at_first: usize) -> usize {
    let deadline = Instant::now() + SETTLES_WITHIN;
    wait::until_within(2 * SETTLES_WITHIN, "an end", || {
        let open = open_descriptors(pid);
        (open <= at_first || Instant::now() > deadline).then_some(open)
    })
}

/// A well-behaved client, which asks for a page again and again until stopped.
#[derive(Default)]
struct Probe {
    stop: AtomicBool,
    answers: AtomicU64,
    /// The most that the server computed during one request.
    computed_us: AtomicU64,
}

impl Probe {
    fn run(&self, server: SocketAddr, pid: u32) {
        while !self.stop.load(Ordering::Relaxed) {
            let before = computed(pid);
            assert_eq!(get(server, "/").status, 200, "everybody else is served");
            let computed = computed(pid).saturating_sub(before);
            self.computed_us.fetch_max(computed.as_micros() as u64, Ordering::Relaxed);
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Rounds of one kind until one leaves nothing behind; what is wrong otherwise.
fn try_kind(
    kind: &Kind,
    number: usize,
    server: &Server,
    descriptors: usize,
    probe: &Probe,
) -> Option<String> {
    let mut grown_kib = Vec::new();
    let began = Instant::now();
    probe.computed_us.store(0, Ordering::Relaxed);
    for attempt in 0..ROUNDS_MAX {
        let before = resident_bytes(server.pid());
        round(kind, server.addr(), number * ROUNDS_MAX + attempt);
        // The probe's own connection may be open at any time.
        let left = settled(server.pid(), descriptors + 1).saturating_sub(descriptors + 1);
        let grown = resident_bytes(server.pid()).saturating_sub(before);
        grown_kib.push(grown / 1024);
        let computed = Duration::from_micros(probe.computed_us.load(Ordering::Relaxed));
        let told = format!(
            "{}: rounds grew by {grown_kib:?} KiB, {left} descriptors left, {:.1} s, \
             computed {computed:?} before the latest answer",
            kind.name,
            began.elapsed().as_secs_f64(),
        );
        if left > 0 || computed > COMPUTED_MAX {
            return Some(told);
        }
        if attempt > 0 && grown <= GROWTH_BYTES_MAX {
            println!("{told}");
            return None;
        }
        if attempt + 1 == ROUNDS_MAX {
            return Some(told);
        }
    }
    None
}

#[test]
fn nothing_is_left_of_ten_thousand_bad_connections() {
    let site = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(site.path().join("index.html"), "<title>here</title>").unwrap();
    fs::write(site.path().join("100k"), vec![b'h'; 100 << 10]).unwrap();
    fs::write(site.path().join("10m"), vec![b'm'; 10 << 20]).unwrap();
    let directory = site.path().to_str().expect("test paths are text");
    let server = Server::start(&[directory, "--listen", "127.0.0.1:0", "--workers", "1"]);
    let (addr, pid) = (server.addr(), server.pid());
    // Opens what is opened once: the root is there already, caches are not.
    for path in ["/", "/100k", "/10m", "/none"] {
        get(addr, path);
    }
    // It is held open for a second.
    wait::until("the large file is closed", || (!holds(pid, "10m")).then_some(()));
    let descriptors = open_descriptors(pid);
    let probe = Probe::default();
    let mut problems = Vec::new();
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe.run(addr, pid));
        for (number, kind) in kinds().iter().enumerate() {
            problems.extend(try_kind(kind, number, &server, descriptors, &probe));
        }
        probe.stop.store(true, Ordering::Relaxed);
        probing.join().expect("the probe was answered");
    });
    assert!(problems.is_empty(), "left behind:\n{}", problems.join("\n"));
    assert!(probe.answers.load(Ordering::Relaxed) > 10, "the probe did ask");
    assert_eq!(settled(pid, descriptors), descriptors, "back to where it was, exactly");
    let ended = server.stop();
    assert!(ended.status.success() && ended.stderr.contains(" 0 panics)"), "{}", ended.stderr);
}
