//! A server with an access log in a directory of its own, and the lines it wrote.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use quoit::net::Address;
use quoit::observe::Totals;
use quoit::observe::access::{Destination, Format};
use quoit::server::Limits;
use quoit::{Running, Server};
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Client, eventually, lenient};
use crate::lab::Lab;

/// A running server and its log.
pub(crate) struct Site {
    pub(crate) running: Running,
    pub(crate) lab: Lab,
    pub(crate) addr: SocketAddr,
    pub(crate) log: PathBuf,
    pub(crate) dir: TempDir,
}

impl Site {
    /// On one worker, with lines of JSON.
    pub(crate) fn new() -> Self {
        Self::with(1, lenient(), Format::Json)
    }

    pub(crate) fn with(workers: usize, limits: Limits, format: Format) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = dir.path().join("log");
        Self::logging_to(dir, &log, workers, limits, format)
    }

    pub(crate) fn logging_to(dir: TempDir, log: &Path, workers: usize, limits: Limits, f: Format) -> Self {
        let socket = dir.path().join("socket");
        let server = Server::new()
            .listen(Address::Inet(([127, 0, 0, 1], 0).into()))
            .listen(Address::Unix(socket))
            .workers(workers)
            .limits(limits)
            .access_log(Destination::File(log.to_owned()), Some(f))
            .quiet(true);
        let lab = Lab::default();
        let service = lab.clone();
        let running = server.start(move |_| service.clone()).expect("the server starts");
        let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP first") };
        Self { running, lab, addr, log: log.to_owned(), dir }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Waits for this many lines, and asserts that there are no more.
    #[track_caller]
    pub(crate) fn lines(&self, count: usize) -> Vec<String> {
        eventually("the lines are written", || lines_of(&self.log).len() >= count);
        let lines = lines_of(&self.log);
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    /// As [`lines`](Self::lines), each read as JSON.
    #[track_caller]
    pub(crate) fn records(&self, count: usize) -> Vec<Value> {
        self.lines(count).iter().map(|line| record(line)).collect()
    }

    /// The only line.
    #[track_caller]
    pub(crate) fn record(&self) -> Value {
        self.records(1).remove(0)
    }

    pub(crate) fn stop(self) -> (Totals, TempDir) {
        (self.running.stop().expect("it stops"), self.dir)
    }
}

/// Whole lines of a file.
pub(crate) fn lines_of(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    assert!(text.is_empty() || text.ends_with('\n'), "torn: {text}");
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
pub(crate) fn record(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}
