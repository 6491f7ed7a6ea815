//! Servers to talk to: in this process, on one worker and port 0, stopped when dropped; and the `quoit`
//! binary or an example as a process of its own, killed by its id when dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use quoit::handler::{Files, FilesOptions};
use quoit::net::Address;
use quoit::observe::Totals;
use quoit::server::{CoreContext, Limits};
use quoit::service::Service;
use quoit::{RunError, Running, Server};
use rustix::process::{Pid, Signal, kill_process};

use super::{Client, HELLO, PATIENCE, until};

/// Limits that no test reaches by accident on a loaded machine, and a short drain.
pub(crate) fn lenient() -> Limits {
    Limits {
        head_timeout: Duration::from_secs(60),
        stall_timeout: Duration::from_secs(60),
        drain_timeout: Duration::from_millis(500),
        drain_grace: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// Longest wait for the end of a server, whose drain may take a while.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// A server in this process.
pub(crate) struct Hosted {
    pub(crate) addr: SocketAddr,
    running: Option<Running>,
}

/// Serves `service` on one worker, so that all connections share a core.
#[track_caller]
pub(crate) fn serve<S: Service + Clone + Send + Sync>(limits: Limits, service: S) -> Hosted {
    serve_with(1, limits, move |_| service.clone())
}

/// Serves what `make` builds on each core.
#[track_caller]
pub(crate) fn serve_with<S, M>(workers: usize, limits: Limits, make: M) -> Hosted
where
    S: Service,
    M: Fn(&CoreContext) -> S + Clone + Send + Sync + 'static,
{
    let any = Address::Inet(([127, 0, 0, 1], 0).into());
    let server = Server::new().listen(any).workers(workers).limits(limits).quiet(true);
    let running = server.start(make).expect("the server starts");
    let Address::Inet(addr) = running.addresses()[0] else { panic!("asked for TCP") };
    Hosted { addr, running: Some(running) }
}

/// Serves a directory on one worker, with default options.
#[track_caller]
pub(crate) fn serve_files(limits: Limits, dir: &Path) -> Hosted {
    serve_files_with(1, limits, dir, FilesOptions::default())
}

/// Serves a directory, with these options.
#[track_caller]
pub(crate) fn serve_files_with(workers: usize, limits: Limits, dir: &Path, options: FilesOptions) -> Hosted {
    let dir = dir.to_owned();
    serve_with(workers, limits, move |core: &CoreContext| {
        Files::new(core.ring.clone(), &dir, options.clone()).expect("the directory opens")
    })
}

impl Hosted {
    /// Waits until the worker has looked at all that was sent to it before: it answers in the order in which
    /// input comes.
    #[track_caller]
    pub(crate) fn turns(&self) {
        Client::connect(self.addr).ask(HELLO);
    }

    /// Drains and stops; the counters.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Totals {
        match stop(self.running.take().expect("stopped once")) {
            Some(totals) => totals.expect("no worker was lost"),
            None => panic!("the server does not stop"),
        }
    }
}

/// `None` when it takes too long; tests with longer drains wait in a thread of their own.
fn stop(running: Running) -> Option<Result<Totals, RunError>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(running.stop()));
    receiver.recv_timeout(STOPS_WITHIN).ok()
}

impl Drop for Hosted {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let stopped = stop(running);
            // A panic of the test itself is more informative.
            assert!(
                matches!(stopped, Some(Ok(_))) || thread::panicking(),
                "the server does not stop in order"
            );
        }
    }
}

/// Where the example of this name lies, built as this test was: `cargo test --test NAME` builds none.
#[track_caller]
pub(crate) fn example_path(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows its own path");
    let profile = own.ancestors().nth(2).expect("it lies in target/PROFILE/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--example", name]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    // With the features of this test, or everything would be built twice.
    if cfg!(feature = "tower") {
        cargo.arg("--all-features");
    }
    assert!(cargo.status().expect("cargo runs").success(), "the example {name} builds");
    profile.join("examples").join(name)
}

/// A binary of ours as a process of its own, serving.
pub(crate) struct Binary {
    pub(crate) addr: SocketAddr,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Binary {
    /// `quoit serve DIR --listen 127.0.0.1:0 --workers 1 ARGS`, once it serves.
    #[track_caller]
    pub(crate) fn serve(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
        command.arg("serve").arg(dir);
        Self::start(command, args)
    }

    /// The example of this name, once it serves.
    #[track_caller]
    pub(crate) fn example(name: &str, args: &[&str]) -> Self {
        Self::start(Command::new(example_path(name)), args)
    }

    /// `COMMAND --workers 1 --listen 127.0.0.1:0 ARGS`, once it serves.
    #[track_caller]
    pub(crate) fn start(mut command: Command, args: &[&str]) -> Self {
        if !args.contains(&"--workers") {
            command.args(["--workers", "1"]);
        }
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stderr = child.stderr.take().expect("piped above");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut binary = Self { addr: ([127, 0, 0, 1], 0).into(), child, lines };
        binary.addr = loop {
            let line = binary.lines.recv_timeout(PATIENCE).expect("the binary says where it serves");
            if let Some((_, addr)) = line.split_once("serving on http://") {
                break addr.trim().parse().expect("an address");
            }
        };
        binary
    }

    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        until("the end of the binary", || self.child.try_wait().unwrap())
    }

    /// Its output since it began to serve, up to now or its end.
    pub(crate) fn lines(&self) -> Vec<String> {
        std::iter::from_fn(|| self.lines.recv_timeout(Duration::from_millis(200)).ok()).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of memory it holds (VmRSS).
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process has it");
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
