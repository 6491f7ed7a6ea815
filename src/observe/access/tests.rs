//! The complete log, without a server: records in, files out.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::*;

fn dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn open(path: &Path) -> (LogWriter, CoreLog) {
    let log = AccessLog::open(&Destination::File(path.into()), Some(Format::Common)).expect("opened");
    let (writer, mut cores) = log.start(1).expect("started");
    (writer, cores.remove(0))
}

/// Logs an exchange with a distinct status.
fn log(core: &CoreLog, status: u16) {
    let record = Record {
        peer: LoggedPeer::Unix,
        head: None,
        status,
        body_bytes: 1,
        duration: Duration::ZERO,
        user: None,
        request_id: None,
        end: ExchangeEnd::Complete,
        reason: None,
    };
    core.record(&record, Instant::now());
}

fn statuses(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.split(' ').rev().nth(1).unwrap_or("?").to_owned()).collect()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(15), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn lines_arrive_when_handed_over_and_at_the_end() {
    let dir = dir();
    let path = dir.path().join("log");
    let (writer, core) = open(&path);
    log(&core, 200);
    assert_eq!(statuses(&path), [""; 0]);
    core.flush();
    eventually("the line is written", || statuses(&path) == ["200"]);
    log(&core, 404);
    core.flush();
    core.flush();
    assert_eq!((writer.finish(), core.recorded()), (2, 2));
    assert_eq!(statuses(&path), ["200", "404"]);
}

#[test]
fn a_full_buffer_hands_itself_over() {
    let dir = dir();
    let path = dir.path().join("log");
    let (writer, core) = open(&path);
    let mut recorded = 0_u64;
    // More than all buffers hold, with waits for the writer.
    for _ in 0..20_000 {
        log(&core, 200);
        recorded += 1;
        if recorded.is_multiple_of(1000) {
            let written = || writer.flags.written.load(Ordering::Relaxed);
            eventually("the writer follows", || recorded - written() < 3000);
        }
    }
    core.flush();
    assert_eq!(writer.finish(), recorded);
    assert_eq!(statuses(&path).len() as u64, recorded);
}

#[test]
fn rotation_by_signal_and_by_name_loses_nothing() {
    let dir = dir();
    let [path, first, second] = ["log", "log.1", "log.2"].map(|name| dir.path().join(name));
    let (writer, core) = open(&path);
    log(&core, 201);
    core.flush();
    eventually("written", || statuses(&path) == ["201"]);
    fs::rename(&path, &first).unwrap();
    writer.reopen();
    eventually("opened again while idle", || path.exists());
    log(&core, 202);
    core.flush();
    eventually("written", || statuses(&path) == ["202"]);
    fs::rename(&path, &second).unwrap();
    eventually("noticed", || {
        log(&core, 203);
        core.flush();
        path.exists()
    });
    assert_eq!(writer.finish(), core.recorded());
    assert_eq!(statuses(&first), ["201"]);
    let (second, last) = (statuses(&second), statuses(&path));
    assert_eq!(second[0], "202");
    assert_eq!((second.len() + last.len() + 1) as u64, core.recorded());
    assert!(!last.is_empty() && last.iter().all(|status| status == "203"));
}

#[test]
fn what_a_full_disk_took_is_counted() {
    let (writer, core) = open(Path::new("/dev/full"));
    (0..3).for_each(|_| log(&core, 200));
    core.flush();
    assert_eq!((writer.finish(), core.recorded()), (0, 3));
}

#[test]
fn a_fifo_without_a_reader_costs_lines_and_no_time() {
    let dir = dir();
    let path = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let (writer, core) = open(&path);
    let began = Instant::now();
    for _ in 0..50_000 {
        log(&core, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // A reader opens the FIFO, and sees how many lines it missed.
    let out = dir.path().join("out");
    let kept = fs::File::create(&out).unwrap();
    let mut cat = Command::new("cat").arg(&path).stdout(kept).spawn().expect("cat");
    let told = || fs::read_to_string(&out).unwrap_or_default();
    eventually("lost lines are told", || {
        log(&core, 200);
        core.flush();
        told().contains(" lines were lost")
    });
    let written = writer.finish();
    eventually("all that was written is read", || {
        told().lines().filter(|line| !line.starts_with('#')).count() as u64 == written
    });
    let lost: u64 = told()
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split(' ').nth(1)?.parse::<u64>().ok())
        .sum();
    assert!(lost > 40_000, "{lost}");
    assert_eq!(written + lost, core.recorded());
    drop(core);
    cat.wait().expect("the reader ends with the last writer");
}

#[test]
fn a_reader_that_never_comes_does_not_keep_the_end_from_coming() {
    let dir = dir();
    let path = dir.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let (writer, core) = open(&path);
    for _ in 0..5_000 {
        log(&core, 200);
    }
    core.flush();
    let began = Instant::now();
    assert!(writer.finish() < core.recorded());
    assert!(began.elapsed() < FINISH_WITHIN, "{:?}", began.elapsed());
}

#[test]
fn what_cannot_be_opened_is_told_with_the_remedy() {
    let dir = dir();
    for (path, words) in
        [(dir.path().to_owned(), "name a file in it"), (dir.path().join("no/log"), "mkdir -p")]
    {
        let error = AccessLog::open(&Destination::File(path.clone()), None).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn a_file_gets_json_and_never_colours() {
    let dir = dir();
    let to = Destination::File(dir.path().join("log"));
    assert_eq!(AccessLog::open(&to, None).unwrap().format, Format::Json);
    let pretty = AccessLog::open(&to, Some(Format::Pretty { coloured: true })).unwrap();
    assert_eq!(pretty.format, Format::Pretty { coloured: false });
}
