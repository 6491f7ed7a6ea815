//! `quoit run` in front of an endpoint that echoes, streams and answers, and what clients keep open on it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Client, pattern, time_passes};
use crate::lab::Endpoint;
use crate::server::{Server, quoit, run};

/// Bytes of a download: far more than sockets and buffers on the way hold.
pub(crate) const DOWNLOAD_BYTES: usize = 16 << 20;

/// Answers GETs, sends [`DOWNLOAD_BYTES`] of the pattern below `/down`, echoes below `/ws`, and does nothing
/// below `/never`.
pub(crate) fn endpoint() -> Endpoint {
    let content = Arc::new(pattern(DOWNLOAD_BYTES));
    Endpoint::new(move |wire, _| {
        while let Some(head) = wire.head() {
            if head.contains(" /ws") {
                wire.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                );
                while let Some(byte) = wire.take(1) {
                    wire.send(byte);
                }
                return;
            }
            if head.contains(" /never") {
                wire.until_closed();
                return;
            }
            if head.contains(" /down") {
                wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD_BYTES}\r\n\r\n"));
                wire.send(&*content);
            } else {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    })
}

/// A running `quoit run` with an administrator's socket.
pub(crate) struct Site {
    pub(crate) server: Server,
    path: PathBuf,
    dir: TempDir,
}

impl Site {
    pub(crate) fn start(content: &str) -> Self {
        Self::start_in(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), content, &[])
    }

    /// In a directory that has other files, with these arguments.
    pub(crate) fn start_in(dir: TempDir, content: &str, args: &[&str]) -> Self {
        let path = dir.path().join("quoit.toml");
        fs::write(&path, with_base(content)).unwrap();
        let server =
            Server::start_command(quoit(&[&["run", "--config", path.to_str().unwrap()], args].concat()));
        let socket = dir.path().join("admin.sock");
        crate::wait::until("the administrator's socket", || socket.exists().then_some(()));
        Self { server, path, dir }
    }

    /// As [`start_in`](Self::start_in), with a listener by TLS, whose configuration is `main`.
    pub(crate) fn start_tls(dir: TempDir, content: &str) -> Self {
        let content = format!("listen = {{ address = \"127.0.0.1:0\", tls = \"main\" }}\n{content}");
        Self::start_in(dir, &content, &[])
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces a file by rename.
    pub(crate) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let beside = self.path(&format!(".{name}"));
        fs::write(&beside, content).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// What the administrator's socket answers.
    pub(crate) fn ask_admin(&self, path: &str) -> String {
        let stream = UnixStream::connect(self.path("admin.sock")).unwrap();
        String::from_utf8(crate::server::get_over(stream, path).body).unwrap()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Replaces the file, as editors do.
    pub(crate) fn write(&self, content: &str) {
        self.replace("quoit.toml", with_base(content));
    }

    /// Runs an administrator's command, which must succeed: what it prints.
    #[track_caller]
    pub(crate) fn admin(&self, args: &[&str]) -> String {
        let ended = run(quoit(&[args, &["--config", self.path.to_str().unwrap()]].concat()));
        assert!(ended.status.success(), "{ended:?}");
        ended.stdout
    }

    /// Replaces the file and reloads: the report.
    #[track_caller]
    pub(crate) fn reload(&self, content: &str) -> String {
        self.write(content);
        self.admin(&["reload"])
    }

    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.server.pid())).unwrap().count()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.server.pid())).unwrap().count()
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("of every process");
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }
}

fn with_base(content: &str) -> String {
    let listen = if content.starts_with("listen = ") { "" } else { "listen = \"127.0.0.1:0\"\n" };
    format!("workers = 2\nadmin = \"admin.sock\"\n{listen}{content}")
}

/// An open tunnel.
pub(crate) struct Tunnelled(pub(crate) Client);

impl Tunnelled {
    #[track_caller]
    pub(crate) fn open(addr: SocketAddr, path: &str) -> Self {
        let mut client = Client::connect(addr);
        client.send(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        assert_eq!(client.response().status, 101);
        Self(client)
    }

    /// Asserts that bytes go both ways.
    #[track_caller]
    pub(crate) fn echoes(&mut self, byte: u8) {
        self.0.send([byte]);
        while self.0.peek().is_empty() {
            assert!(self.0.fill().expect("the tunnel goes on"), "the tunnel was cut");
        }
        assert_eq!(std::mem::take(self.0.input()), [byte]);
    }
}

/// A download that is read piece by piece.
pub(crate) struct Download {
    client: Client,
    received: Vec<u8>,
}

impl Download {
    #[track_caller]
    pub(crate) fn begin(addr: SocketAddr, path: &str) -> Self {
        let mut client = Client::connect_narrow(addr, 64 << 10);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let end = loop {
            if let Some(at) = client.peek().windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            client.fill_some(4096).expect("a head");
        };
        assert!(client.peek().starts_with(b"HTTP/1.1 200 "));
        client.input().drain(..end);
        Self { client, received: Vec::with_capacity(DOWNLOAD_BYTES) }
    }

    /// Reads on up to this many bytes in all.
    #[track_caller]
    pub(crate) fn read_to(&mut self, bytes: usize) {
        loop {
            self.received.append(self.client.input());
            if self.received.len() >= bytes {
                return;
            }
            self.client.fill_some(64 << 10).expect("the download goes on");
        }
    }

    /// Reads to its early end: bytes in all.
    #[track_caller]
    pub(crate) fn ends_early(mut self) -> usize {
        self.received.append(&mut self.client.drain());
        assert!(self.received.len() < DOWNLOAD_BYTES, "it was complete");
        self.received.len()
    }

    /// Reads the rest; every byte must be right.
    #[track_caller]
    pub(crate) fn finish(mut self, content: &[u8]) {
        self.read_to(DOWNLOAD_BYTES);
        assert!(self.received == content, "another content, {} bytes", self.received.len());
    }
}

/// Clients that ask at a steady rate on kept connections.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    pub(crate) fn begin(addr: SocketAddr, clients: usize, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = stop.clone();
            thread::spawn(move || {
                let (mut count, mut failures, mut client) = (0, Vec::new(), Client::connect(addr));
                while !stop.load(Ordering::SeqCst) {
                    count += 1;
                    let sent = client.try_send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
                    match sent
                        .map_err(|error| error.to_string())
                        .and_then(|()| client.try_response_to("GET").map_err(|broken| format!("{broken:?}")))
                    {
                        Ok(response) if response.status == 200 => {}
                        Ok(response) => failures.push(format!("request {count}: {}", response.status)),
                        Err(error) => {
                            failures.push(format!("request {count}: {error}"));
                            client = Client::connect(addr);
                        }
                    }
                    time_passes(every, "requests have a rate");
                }
                (count, failures)
            })
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, clients }
    }

    /// Ends it: requests, none of which may have failed.
    #[track_caller]
    pub(crate) fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        let ends = self.clients.into_iter().map(|client| client.join().expect("a client ends"));
        let (counts, failures): (Vec<_>, Vec<_>) = ends.unzip();
        assert_eq!(failures.concat(), Vec::<String>::new());
        counts.into_iter().sum()
    }
}
