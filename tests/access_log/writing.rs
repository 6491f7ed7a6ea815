//! How lines get into the file: soon, all of them across a rotation, and never at the cost of serving.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quoit::observe::access::Format;

use crate::common::{Client, HELLO, eventually, lenient};
use crate::site::{Site, lines_of};

fn temp() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn a_lonely_line_is_written_within_a_second() {
    let site = Site::new();
    let mut client = site.connect();
    for round in 1..=3 {
        // The core has parked meanwhile.
        client.stays_quiet(Duration::from_millis(300));
        client.is_usable();
        let began = Instant::now();
        site.lines(round);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
}

#[test]
fn the_last_lines_are_written_at_the_end() {
    let site = Site::with(2, lenient(), Format::Common);
    let mut client = site.connect();
    (0..50).for_each(|_| client.is_usable());
    drop(client);
    let log = site.log.clone();
    let (totals, _dir) = site.stop();
    assert_eq!((totals.logged, totals.lines_lost), (50, 0));
    assert_eq!(lines_of(&log).len(), 50);
}

/// Lines that may be under way: fewer than one buffer of a core holds. Of more, those are lost for which a
/// writer without a processor has no buffer, by design.
const UNDER_WAY_MAX: u64 = 150;

/// Requests and lines, both counted by the test.
#[derive(Default)]
struct Load {
    asked: AtomicU64,
    written: AtomicU64,
    done: AtomicBool,
}

impl Load {
    /// Asks over and over, and waits for the writer.
    fn run(&self, addr: SocketAddr) {
        let mut client = Client::connect(addr);
        while !self.done.load(Ordering::Relaxed) {
            let under_way =
                || self.asked.load(Ordering::Relaxed).saturating_sub(self.written.load(Ordering::Relaxed));
            eventually("the writer keeps up", || {
                under_way() < UNDER_WAY_MAX || self.done.load(Ordering::Relaxed)
            });
            client.send(HELLO.repeat(8));
            for _ in 0..8 {
                client.response().is(200, "Hello, World!");
            }
            self.asked.fetch_add(8, Ordering::Relaxed);
        }
    }

    /// Waits until there are this many lines in these files.
    fn reaches(&self, count: u64, files: &[PathBuf]) {
        let lines =
            |path| fs::read(path).unwrap_or_default().iter().filter(|&&byte| byte == b'\n').count() as u64;
        eventually("lines of the load", || {
            let written = files.iter().map(lines).sum();
            self.written.store(written, Ordering::Relaxed);
            written >= count
        });
    }
}

#[test]
fn rotations_under_load_lose_nothing() {
    let site = Site::with(2, lenient(), Format::Json);
    let old = |n: usize| site.dir.path().join(format!("log.{n}"));
    let mut files = vec![site.log.clone()];
    let load = Load::default();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| load.run(site.addr));
        }
        let rotations = || {
            for n in 0..6 {
                load.reaches(1000 * (n as u64 + 1), &files);
                eventually("there is a log", || site.log.exists());
                fs::rename(&site.log, old(n)).unwrap();
                files.push(old(n));
                // By signal, and by name alone.
                if n % 2 == 0 {
                    site.running.reopen_log();
                }
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(rotations));
        load.done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let asked = load.asked.load(Ordering::Relaxed);
    load.reaches(asked, &files);
    let (log, paths) = (site.log.clone(), (0..6).map(old).collect::<Vec<_>>());
    let (totals, _dir) = site.stop();
    assert_eq!((totals.logged, totals.lines_lost), (asked, 0));
    let mut written = 0;
    for path in paths.iter().chain([&log]) {
        let lines = lines_of(path);
        assert!(lines.iter().all(|line| crate::site::record(line)["status"] == 200));
        written += lines.len() as u64;
    }
    assert_eq!(written, asked);
}

#[test]
fn a_removed_file_is_made_anew() {
    let site = Site::new();
    let mut client = site.connect();
    client.is_usable();
    site.lines(1);
    fs::remove_file(&site.log).unwrap();
    eventually("the log is there again", || {
        client.is_usable();
        !lines_of(&site.log).is_empty()
    });
}

#[test]
fn a_reader_that_is_stuck_costs_lines_and_never_an_answer() {
    let dir = temp();
    let fifo = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let site = Site::logging_to(dir, &fifo, 1, lenient(), Format::Json);
    // Nobody reads: more than all buffers and the pipe hold.
    let mut client = site.connect();
    let many = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: ".to_owned() + &"u".repeat(3000) + "\r\n\r\n";
    let mut slowest = Duration::ZERO;
    for _ in 0..600 {
        let began = Instant::now();
        client.ask(&many).is(200, "Hello, World!");
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    // A reader comes back, and reads how many lines it missed.
    let out = site.dir.path().join("out");
    let mut cat = Command::new("cat").arg(&fifo).stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    eventually("the loss is told", || {
        client.is_usable();
        fs::read_to_string(&out).unwrap_or_default().contains("\"lost\":")
    });
    let (totals, _dir) = site.stop();
    cat.wait().unwrap();
    let lines: Vec<_> = lines_of(&out).iter().map(|line| crate::site::record(line)).collect();
    let lost: u64 = lines.iter().filter_map(|line| line["lost"].as_u64()).sum();
    let written = lines.iter().filter(|line| line.get("lost").is_none()).count() as u64;
    assert!(lost > 100, "{lost}");
    assert_eq!((written + lost, lost), (totals.logged, totals.lines_lost));
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let site = Site::logging_to(temp(), Path::new("/dev/full"), 1, lenient(), Format::Json);
    let mut client = site.connect();
    (0..100).for_each(|_| client.is_usable());
    // The first ones are due to be written, and are lost.
    client.stays_quiet(Duration::from_millis(400));
    (0..100).for_each(|_| client.is_usable());
    let (totals, _dir) = site.stop();
    assert_eq!((totals.requests, totals.logged, totals.lines_lost), (200, 200, 200));
}
