//! A tiny server whose delays are known: threads and blocking sockets, so that it shares nothing with what
//! it checks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What every answer takes at least.
pub(super) const SERVICE: Duration = Duration::from_millis(1);
/// From the first request to the freeze.
pub(super) const FREEZE_AFTER: Duration = Duration::from_secs(2);
/// How long nothing is answered.
pub(super) const FREEZE: Duration = Duration::from_secs(1);
/// What a slow answer takes.
pub(super) const SLOW: Duration = Duration::from_millis(50);
/// What a slow error takes.
pub(super) const SLOW_ERROR: Duration = Duration::from_millis(1500);

const ERROR: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GARBAGE: &[u8] = b"this is no response\r\n\r\n";

/// What a server does beside answering after [`SERVICE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// Stands still once, for [`FREEZE`].
    Freezes,
    /// Takes [`SLOW`] for every n-th request.
    SlowEvery(u64),
    /// Closes the connection at every n-th request, without an answer.
    ClosesEvery(u64),
    /// Answers every n-th request with something that is no HTTP.
    GarbageEvery(u64),
    /// Answers every n-th request with 503, after [`SLOW_ERROR`].
    ErrorEvery(u64),
    /// Answers one request after another, each [`SERVICE`] after the one before: a thousand a second,
    /// whatever is asked. What waits is answered late, and in the order in which it came.
    OneByOne,
}

struct Server {
    manner: Manner,
    count: AtomicU64,
    first: OnceLock<Instant>,
    /// When the last of those that are being answered is done.
    busy_until: Mutex<Option<Instant>>,
}

/// Starts one; it ends with the process.
pub(super) fn start(manner: Manner) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = Arc::new(Server {
        manner,
        count: AtomicU64::new(0),
        first: OnceLock::new(),
        busy_until: Mutex::default(),
    });
    thread::Builder::new().name("selftest".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = server.clone();
            // Without a thread the connection closes, and the test reports it.
            let _ = thread::Builder::new().spawn(move || server.serve(stream));
        }
    })?;
    Ok(addr)
}

impl Server {
    /// Answers requests without bodies, one at a time, until the connection ends.
    fn serve(&self, mut stream: TcpStream) {
        let (mut held, mut piece) = (Vec::new(), [0; 4096]);
        let _ = stream.set_nodelay(true);
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            held.extend_from_slice(&piece[..length]);
            while let Some(end) = held.windows(4).position(|four| four == b"\r\n\r\n") {
                held.drain(..end + 4);
                if !self.answer(&mut stream) {
                    return;
                }
            }
        }
    }

    fn answer(&self, stream: &mut TcpStream) -> bool {
        let first = *self.first.get_or_init(Instant::now);
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let is_nth = |nth: u64| number.is_multiple_of(nth);
        let (mut delay, mut answer) = (SERVICE, ANSWER);
        match self.manner {
            Manner::Freezes => {
                let (passed, thaw) = (first.elapsed(), FREEZE_AFTER + FREEZE);
                if (FREEZE_AFTER..thaw).contains(&passed) {
                    delay += thaw - passed;
                }
            }
            Manner::SlowEvery(nth) if is_nth(nth) => delay = SLOW,
            Manner::ClosesEvery(nth) if is_nth(nth) => return false,
            Manner::GarbageEvery(nth) if is_nth(nth) => answer = GARBAGE,
            Manner::ErrorEvery(nth) if is_nth(nth) => (delay, answer) = (SLOW_ERROR, ERROR),
            Manner::OneByOne => {
                let now = Instant::now();
                let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
                let done = busy_until.map_or(now, |until| until.max(now)) + SERVICE;
                *busy_until = Some(done);
                delay = done - now;
            }
            _ => {}
        }
        thread::sleep(delay);
        stream.write_all(answer).is_ok()
    }
}
