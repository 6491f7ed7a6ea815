//! The built program as a child process, and the little HTTP that its tests need. Knows nothing of what is
//! tested.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::wait::until;

/// Nothing here takes longer, on a loaded machine either.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command that runs the program with these arguments.
pub(crate) fn quoit(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quoit"));
    command.args(args);
    command
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Server {
    /// Starts a server and waits until it has said where it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_command(quoit(&[&["serve"], args].concat()))
    }

    /// As [`start`](Self::start), from a command.
    pub(crate) fn start_command(command: Command) -> Self {
        let mut server = Self::start_silent(command);
        server.wait_for("stop with Ctrl-C");
        server
    }

    /// Starts a server that prints nothing.
    pub(crate) fn start_silent(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { child, lines, said: Vec::new() }
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_for_any(&[text])
    }

    /// Waits for a line that contains one of these.
    pub(crate) fn wait_for_any(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
        }
        panic!("the server did not say {texts:?}, but {:#?}", self.said);
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> &[String] {
        &self.said
    }

    /// The addresses it announced.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let line = self.said.iter().find(|line| line.contains("serving on ")).expect("announced");
        let list = line.split_once("serving on ").expect("found above").1;
        list.split(", ").map(str::to_owned).collect()
    }

    /// The first TCP address it announced.
    pub(crate) fn addr(&self) -> SocketAddr {
        let addresses = self.addresses();
        let tcp = addresses.iter().find_map(|address| Some(address.split_once("://")?.1));
        tcp.expect("a TCP address").parse().expect("an address")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        // The shell's own kill: there is none in std, and not every host has the program.
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status();
        assert!(kill.expect("a shell").success());
    }

    /// Waits for the end.
    pub(crate) fn ended(mut self) -> Ended {
        // Standard error mostly ends with the program.
        let deadline = Instant::now() + PATIENCE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line);
        }
        let what = format!("the end of the program, which said {:#?}", self.said);
        let status = until(&what, || self.child.try_wait().expect("our child"));
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
        self.said.extend(self.lines.iter());
        Ended { status, stdout, stderr: self.said.join("\n") }
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        self.ended()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that ends by itself.
pub(crate) fn run(command: Command) -> Ended {
    Server::start_silent(command).ended()
}

/// Runs a command that must be refused: one line that contains every one of `words`, a failing status, and
/// nothing on standard output.
#[track_caller]
pub(crate) fn refused(command: Command, words: &[&str]) {
    let ended = run(command);
    assert!(!ended.status.success() && ended.status.signal().is_none(), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "one line:\n{}", ended.stderr);
    assert!(ended.stderr.starts_with("quoit: "), "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is missing: {}", ended.stderr);
    }
}

/// A response: status, head, body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// GET over a stream, to the end of the connection.
pub(crate) fn get_over(mut stream: impl Read + Write, path: &str) -> Answer {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("an answer and its end");
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(all[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    Answer { status, head, body: all.split_off(end) }
}

/// GET over a new TCP connection.
pub(crate) fn get(addr: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(addr).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    get_over(stream, path)
}
