//! Three endpoints as processes, a quoit in front of them, and a steady load.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::common::{Client, time_passes};

/// Requests per second and client, and clients: slow enough for Python on a loaded machine.
const PACE: Duration = Duration::from_millis(20);
const CLIENTS: usize = 8;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxy_ha/endpoint.py");

/// An endpoint of its own process.
pub(crate) struct Endpoint {
    name: String,
    pub(crate) port: u16,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// Requests of its former processes.
    counted: u64,
}

impl Endpoint {
    fn start(name: &str, port: u16) -> Self {
        let mut child = Command::new("python3")
            .args([SCRIPT, name, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let input = child.stdin.take();
        let mut endpoint = Self { name: name.into(), port, child, input, output, counted: 0 };
        let line = endpoint.line();
        endpoint.port = line.strip_prefix("port ").and_then(|port| port.parse().ok()).expect(&line);
        endpoint
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the endpoint answers");
        line.trim().to_owned()
    }

    /// Has it obey, and waits until it does.
    pub(crate) fn tell(&mut self, command: &str) -> String {
        writeln!(self.input.as_mut().expect("it runs"), "{command}").expect("the endpoint reads");
        self.line()
    }

    /// Requests that it got, health checks not counted.
    pub(crate) fn count(&mut self) -> u64 {
        let line = self.tell("count");
        self.counted + line.strip_prefix("count ").and_then(|count| count.parse::<u64>().ok()).expect(&line)
    }

    pub(crate) fn kill(&mut self) {
        self.counted = self.count();
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.input = None;
    }

    /// A new process at the same address.
    pub(crate) fn restart(&mut self) {
        let mut fresh = Self::start(&self.name, self.port);
        fresh.counted = self.counted;
        *self = fresh;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The endpoints and the proxy.
pub(crate) struct Lab {
    pub(crate) endpoints: Vec<Endpoint>,
    addr: SocketAddr,
    proxy: Child,
    log: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

impl Lab {
    /// Three endpoints behind `quoit run`, with these lines of `[upstreams.app]`.
    pub(crate) fn new(upstream: &str) -> Self {
        let endpoints: Vec<_> = ["a", "b", "c"].into_iter().map(|name| Endpoint::start(name, 0)).collect();
        let addresses: Vec<_> = endpoints.iter().map(|at| format!("\"127.0.0.1:{}\"", at.port)).collect();
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("quoit.toml");
        let text = format!(
            "listen = \"127.0.0.1:0\"\nworkers = 2\nproxy = \"app\"\n\
             [upstreams.app]\nendpoints = [{}]\n{upstream}\n",
            addresses.join(", ")
        );
        std::fs::write(&config, text).unwrap();
        let mut proxy = Command::new(env!("CARGO_BIN_EXE_quoit"))
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let mut lines = BufReader::new(proxy.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let addr = loop {
            let line = lines.next().unwrap_or_else(|| panic!("quoit serves: {before:?}"));
            if let Some((_, addr)) = line.split_once("serving on http://") {
                break addr.trim().parse().expect("an address");
            }
            before.push(line);
        };
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines_of = log.clone();
        thread::spawn(move || lines.for_each(|line| lines_of.lock().unwrap().push(line)));
        Self { endpoints, addr, proxy, log, _dir: dir }
    }

    /// Begins a load of GETs at a steady rate, whatever the responses take.
    pub(crate) fn load(&self) -> Load {
        let (addr, stop) = (self.addr, Arc::new(AtomicBool::new(false)));
        let clients = (0..CLIENTS).map(|number| {
            let stop = stop.clone();
            thread::spawn(move || client(addr, number, &stop))
        });
        Load { stop: stop.clone(), clients: clients.collect() }
    }

    /// Requests that endpoints have got, all together.
    pub(crate) fn counts(&mut self) -> u64 {
        self.endpoints.iter_mut().map(Endpoint::count).sum()
    }

    /// Waits until the proxy has written a line with all these words since the `from`th.
    #[track_caller]
    pub(crate) fn says(&self, from: usize, words: &[&str]) {
        super::common::until(&format!("{words:?} in the log"), || {
            let log = self.log.lock().unwrap();
            log[from..].iter().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
        });
    }

    /// Lines of its log so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
        if thread::panicking() {
            eprintln!("the proxy's log: {:#?}", self.log());
        }
    }
}

/// A load that runs.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: u64,
    /// What was no whole response with status 200.
    pub(crate) failures: Vec<String>,
    pub(crate) slowest: Duration,
}

impl Load {
    /// Ends it after the requests that are under way.
    pub(crate) fn end(self) -> Seen {
        self.stop.store(true, Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().expect("a client ends");
            all.requests += seen.requests;
            all.failures.extend(seen.failures);
            all.slowest = all.slowest.max(seen.slowest);
        }
        all
    }
}

/// A client with a kept connection. Late requests are sent at once, so that a delay loses none.
fn client(addr: SocketAddr, number: usize, stop: &AtomicBool) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    let mut due = Instant::now() + PACE * number as u32 / CLIENTS as u32;
    while !stop.load(Relaxed) {
        let now = Instant::now();
        if due > now {
            time_passes(due - now, "requests have a rate");
        }
        due += PACE;
        seen.requests += 1;
        let began = Instant::now();
        let mut client = match connection.take().map_or_else(|| Client::try_connect(addr), Ok) {
            Ok(client) => client,
            Err(error) => {
                seen.failures.push(format!("connect: {error}"));
                continue;
            }
        };
        let sent = client.try_send("GET /x HTTP/1.1\r\nHost: app.test\r\n\r\n");
        match sent
            .map_err(|error| error.to_string())
            .and_then(|()| client.try_response_to("GET").map_err(|broken| format!("{broken:?}")))
        {
            Ok(response) if response.status == 200 => connection = Some(client),
            Ok(response) => {
                seen.failures.push(format!(
                    "{} {}",
                    response.status,
                    String::from_utf8_lossy(&response.body)
                ));
                connection = Some(client);
            }
            Err(broken) => seen.failures.push(broken),
        }
        seen.slowest = seen.slowest.max(began.elapsed());
    }
    seen
}
