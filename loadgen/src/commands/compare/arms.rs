//! An arm for real: a fresh server on its own CPU, the generator beside it, both gone afterwards. Decides
//! neither order nor verdicts.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::blocks::{Arm, Measured, Side};
use super::scenario::Scenario;
use crate::commands::generator::{Generator, Order};
use crate::commands::process::Process;
use crate::commands::words;
use crate::exit::Failure;
use crate::result::{HostFacts, RunResult};

/// How arms are measured.
pub(crate) struct Arms {
    /// Runs the load.
    pub(crate) generator: Generator,
    /// Base's command in words, with placeholders.
    pub(crate) base: Vec<String>,
    /// Head's.
    pub(crate) head: Vec<String>,
    /// Where servers run, alone.
    pub(crate) server_cpu: usize,
    /// Their port; `None` takes a free one each time.
    pub(crate) port: Option<u16>,
    /// How long a server may take until it accepts.
    pub(crate) start_timeout: Duration,
    /// Length of each measured phase.
    pub(crate) measured: Duration,
    /// Length of what comes before each.
    pub(crate) warmup: Duration,
    /// The machine, as reported by the generator.
    pub(crate) host: HostFacts,
}

impl Arms {
    /// Measures one.
    pub(crate) fn measure(&mut self, scenario: &Scenario, arm: Arm) -> Result<Measured, Failure> {
        let port = self.free_port()?;
        let command = if arm.side == Side::Base { &self.base } else { &self.head };
        let command = fill(command, &scenario.server, port);
        let name = arm.side.name();
        let log = self.generator.scratch.file("server.log");
        let mut server = Process::start(&command, Some(self.server_cpu), &log)
            .map_err(|cause| Failure::Target(format!("{name}: {cause}")))?;
        self.wait_for(&mut server, port, scenario.ready.as_deref(), name)?;
        let bench = words::fill_port(&scenario.bench, port);
        let mut measured = Measured::default();
        if arm.closed {
            measured.closed = Some(self.run(scenario, &bench, arm, None, &mut server)?);
        }
        if arm.rate.is_some() {
            measured.open = Some(self.run(scenario, &bench, arm, arm.rate, &mut server)?);
        }
        Ok(measured)
    }

    fn run(
        &mut self,
        scenario: &Scenario,
        bench: &[String],
        arm: Arm,
        rate: Option<f64>,
        server: &mut Process,
    ) -> Result<RunResult, Failure> {
        let (measured, seed) = (self.measured, arm.seed);
        let warmup = scenario.warmup.unwrap_or(self.warmup);
        let server_pid = Some(server.pid());
        let result =
            self.generator.run(&Order { arguments: bench, rate, measured, warmup, seed, server_pid });
        if let Some(status) = server.ended() {
            let (name, said) = (arm.side.name(), server.last_words());
            return Err(Failure::Target(format!("{name} ended under load ({status}): {said}")));
        }
        let result = result?;
        self.host = result.host.clone();
        Ok(result)
    }

    fn wait_for(
        &self,
        server: &mut Process,
        port: u16,
        ready: Option<&str>,
        name: &str,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.start_timeout;
        loop {
            if let Some(status) = server.ended() {
                let said = server.last_words();
                return Err(Failure::Target(format!("{name} ended before it accepted ({status}): {said}")));
            }
            let answered = ready.map(|path| answer(port, path));
            match answered {
                None if accepts(port) => return Ok(()),
                Some(Some(200..400)) => return Ok(()),
                _ => {}
            }
            if Instant::now() > deadline {
                let (seconds, said) = (self.start_timeout.as_secs_f64(), server.last_words());
                let what = match (ready, answered.flatten()) {
                    (Some(path), Some(status)) => {
                        format!("answered {path} with {status} and not with a success after {seconds} s")
                    }
                    _ => format!(
                        "did not answer on 127.0.0.1:{port} within {seconds} s; does its command use \
                         {{port}}, or does --port name its own?"
                    ),
                };
                return Err(Failure::Target(format!("{name} {what} {said}")));
            }
            self.generator.interrupt.check()?;
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// An unused port: a server left over from elsewhere must not answer for ours.
    fn free_port(&self) -> Result<u16, Failure> {
        let bound = TcpListener::bind(("127.0.0.1", self.port.unwrap_or(0)));
        let port = bound.and_then(|listener| Ok(listener.local_addr()?.port()));
        port.map_err(|error| match self.port {
            Some(port) => Failure::Usage(format!("--port {port} is not free: {error}")),
            None => Failure::Usage(format!("no free port on 127.0.0.1: {error}")),
        })
    }
}

fn accepts(port: u16) -> bool {
    connect(port).is_ok()
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(1))
}

/// The status with which a path is answered (RFC 9112, section 4), if it is.
fn answer(port: u16, path: &str) -> Option<u16> {
    let mut stream = connect(port).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    BufReader::new(stream.take(256)).read_line(&mut line).ok()?;
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.trim().parse().ok()
}

/// The command's words: a word `{server}` becomes the scenario's words, within a word it becomes their line.
fn fill(command: &[String], server: &[String], port: u16) -> Vec<String> {
    let mut filled = Vec::new();
    for word in command {
        match word.as_str() {
            "{server}" => filled.extend_from_slice(server),
            word => filled.push(word.replace("{server}", &words::join(server))),
        }
    }
    words::fill_port(&filled, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_it_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = thread::spawn(move || {
            for status in ["HTTP/1.1 503 Not yet\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n", "what?\r\n", ""] {
                let mut stream = listener.accept().unwrap().0;
                let mut head = [0; 256];
                let length = stream.read(&mut head).unwrap();
                assert!(head[..length].starts_with(b"GET /health HTTP/1.1\r\nHost: "));
                stream.write_all(status.as_bytes()).unwrap();
            }
        });
        let found = [(); 4].map(|()| answer(port, "/health"));
        answers.join().unwrap();
        assert_eq!(found, [Some(503), Some(204), None, None]);
        assert_eq!(answer(port, "/"), None, "nobody listens any more");
    }

    #[test]
    fn commands_are_filled_in() {
        let filled = |command: &str, server: &str| {
            let [command, server] = [command, server].map(|line| words::split(line).unwrap());
            words::join(&fill(&command, &server, 81))
        };
        assert_eq!(
            filled("x {server} --at=h:{port}", "serve 'a b' -p{port}"),
            "x serve 'a b' -p81 --at=h:81"
        );
        assert_eq!(filled("x {server} y", ""), "x y");
        assert_eq!(filled("sh -c 'exec x {server}'", "a b"), "sh -c 'exec x a b'");
    }
}
