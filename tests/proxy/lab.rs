//! Endpoints that follow a script, and proxies in front of them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use quoit::handler::{Proxy, ProxyOptions};
use quoit::upstream::UpstreamOptions;
use socket2::SockRef;

use crate::common::{Hosted, PATIENCE, lenient, serve_with};

/// What an endpoint has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// The heads of requests, in the order in which they were complete.
    pub(crate) heads: Mutex<Vec<String>>,
    /// Connections that were accepted, and that have ended.
    pub(crate) accepted: AtomicUsize,
    pub(crate) ended: AtomicUsize,
}

impl Seen {
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.accepted() - self.ended.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    pub(crate) fn head(&self, index: usize) -> String {
        self.heads.lock().unwrap()[index].clone()
    }
}

/// A server of threads that runs a script on each connection.
pub(crate) struct Endpoint {
    pub(crate) addr: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    stops: Arc<AtomicBool>,
}

impl Endpoint {
    /// `script` is called with each connection and its number, in a thread of its own.
    pub(crate) fn new(script: impl Fn(&mut Wire, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, script)
    }

    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&mut Wire, usize) + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().unwrap();
        let (seen, stops) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
        let script = Arc::new(script);
        let (all, stop) = (seen.clone(), stops.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = all.accepted.fetch_add(1, Ordering::SeqCst);
                let (script, seen) = (script.clone(), all.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let mut wire = Wire { stream, input: Vec::new(), seen: seen.clone() };
                    script(&mut wire, number);
                    drop(wire);
                    seen.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { addr, seen, stops }
    }

    /// Answers every request with the same bytes.
    pub(crate) fn answering(response: &'static str) -> Self {
        Self::new(move |wire, _| {
            while let Some(head) = wire.head() {
                // What is left of a body that was cut is no request.
                if wire.whole(&head).is_none() {
                    return;
                }
                wire.send(response);
            }
        })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

/// One connection of an endpoint.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    pub(crate) input: Vec<u8>,
    seen: Arc<Seen>,
}

impl Wire {
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    return true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The next head, its empty line included.
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.input[..at + 4]).into_owned();
                self.input.drain(..at + 4);
                self.seen.heads.lock().unwrap().push(head.clone());
                return Some(head);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// This many bytes.
    pub(crate) fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.input.len() < length {
            if !self.fill() {
                return None;
            }
        }
        Some(self.input.drain(..length).collect())
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..at]).into_owned();
                self.input.drain(..at + 2);
                return Some(line);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The body of a request with this head, and the trailers' lines.
    pub(crate) fn whole(&mut self, head: &str) -> Option<(Vec<u8>, Vec<String>)> {
        if let Some(length) = field(head, "content-length") {
            return Some((self.take(length.parse().unwrap())?, Vec::new()));
        }
        let (mut body, mut trailers) = (Vec::new(), Vec::new());
        if field(head, "transfer-encoding").is_some() {
            loop {
                let size = usize::from_str_radix(&self.line()?, 16).unwrap();
                if size == 0 {
                    break;
                }
                body.extend(self.take(size)?);
                assert_eq!(self.line()?, "");
            }
            loop {
                match self.line()? {
                    line if line.is_empty() => break,
                    line => trailers.push(line),
                }
            }
        }
        Some((body, trailers))
    }

    /// The body alone; empty where it is cut.
    pub(crate) fn body(&mut self, head: &str) -> Vec<u8> {
        self.whole(head).map(|(body, _)| body).unwrap_or_default()
    }

    /// An error is ignored: the proxy may have left.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Waits until the proxy closes.
    pub(crate) fn until_closed(&mut self) {
        while self.fill() {}
    }

    /// Makes the close a reset.
    pub(crate) fn resets(&mut self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The value of a field, which must be the only one.
#[track_caller]
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let values = fields(head, name);
    assert!(values.len() < 2, "{name} is repeated: {head}");
    values.first().copied()
}

/// The values of a field.
pub(crate) fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

/// An upstream of these endpoints, in turn.
pub(crate) fn upstream(endpoints: &[&Endpoint]) -> UpstreamOptions {
    let addresses = endpoints.iter().map(|endpoint| endpoint.addr.to_string());
    let mut upstream = UpstreamOptions::new("lab", addresses).unwrap();
    upstream.balance = quoit::upstream::Balance::RoundRobin;
    upstream
}

/// A proxy on one worker.
#[track_caller]
pub(crate) fn proxy(options: ProxyOptions) -> Hosted {
    proxy_on(1, options)
}

/// A proxy on these many workers.
#[track_caller]
pub(crate) fn proxy_on(workers: usize, options: ProxyOptions) -> Hosted {
    serve_with(workers, lenient(), move |core| match Proxy::with_options(&options, core) {
        Ok(proxy) => proxy,
        Err(mistakes) => panic!("{mistakes:?}"),
    })
}

/// A proxy in front of one endpoint, with the defaults.
#[track_caller]
pub(crate) fn before(endpoint: &Endpoint) -> Hosted {
    proxy(ProxyOptions::to(upstream(&[endpoint])))
}

/// A simple answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

/// How long something took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = work();
    (value, began.elapsed())
}
