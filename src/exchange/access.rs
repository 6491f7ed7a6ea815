//! What the access log is told of each exchange. Without a log nothing is noted, and nothing is asked.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::filter::{RequestId, User};
use crate::http::status::Status;
use crate::observe::access::{self, CLIENT_GONE, End, Record};
use crate::ring::Socket;
use crate::service::{BodyError, Context, Peer};

/// Lines are handed to the writer at least this often. A person who watches the log does not notice, and five
/// wake-ups per second are nothing on a core that serves; one that does not has no lines.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// Hands over lines that are a moment old, for as long as the worker lives.
pub(crate) async fn flush<S>(worker: Rc<Worker<S>>) {
    let Some(log) = &worker.access else { return };
    loop {
        poll_fn(|cx| log.poll_lines(cx)).await;
        worker.ring.sleep(FLUSH_EVERY).await;
        log.flush();
    }
}

/// An exchange that is to be logged when it is over.
pub(crate) struct Entry(Context);

impl Entry {
    /// Notes a request whose head is complete; `None` without a log.
    #[inline]
    pub(crate) fn begin<S>(worker: &Worker<S>, context: &Context) -> Option<Self> {
        worker.access.as_ref()?;
        // Asked for now, for a connection that was reset knows its peer no more.
        context.peer();
        context.begin(worker.ring.now());
        Some(Self(context.clone()))
    }

    /// Logs the exchange. Without a `status` the client was gone before there was one.
    pub(crate) fn end<S>(self, worker: &Worker<S>, status: Option<Status>, body_bytes: u64, end: End) {
        let Some(log) = &worker.access else { return };
        let Self(context) = self;
        let now = Instant::now();
        let (id, user) = (context.get::<RequestId>(), context.get::<User>());
        let record = Record {
            peer: known(context.peer()),
            head: Some(context.head()),
            status: status.map_or(CLIENT_GONE, Status::code),
            body_bytes,
            duration: context.since().map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            user: user.as_ref().map(|user| user.name().as_bytes()),
            request_id: id.as_ref().map(|id| id.as_str().as_bytes()),
            end,
        };
        log.record(&record, now);
    }
}

/// Whose doing it was that a response broke off.
pub(crate) fn end_of(error: &io::Error) -> End {
    use io::ErrorKind as Kind;
    let of_request = error.get_ref().and_then(|error| error.downcast_ref::<BodyError>());
    match (error.kind(), of_request) {
        (_, Some(BodyError::TimedOut)) | (Kind::TimedOut, _) => End::TooSlow,
        (_, Some(BodyError::Disconnected)) => End::ClientGone,
        (Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted | Kind::NotConnected, _) => {
            End::ClientGone
        }
        _ => End::BodyFailed,
    }
}

/// Logs a request that was refused before its head was whole.
#[cold]
pub(crate) fn refused<S>(worker: &Worker<S>, peer: impl FnOnce() -> Peer, status: Status, body_bytes: u64) {
    let Some(log) = &worker.access else { return };
    let record = Record {
        peer: known(peer()),
        head: None,
        status: status.code(),
        body_bytes,
        duration: Duration::ZERO,
        user: None,
        request_id: None,
        end: End::Refused,
    };
    log.record(&record, Instant::now());
}

/// Who is at the other end. A system call or two.
pub(crate) fn peer_of(socket: &Socket) -> Peer {
    match socket.peer_addr() {
        Some(addr) => Peer::Inet(addr),
        // This end still has its address when the other has reset the connection.
        None if socket.local_addr().is_some() => Peer::Unknown,
        None => Peer::Unix,
    }
}

fn known(peer: Peer) -> access::Peer {
    match peer {
        Peer::Inet(addr) => access::Peer::Inet(addr),
        Peer::Unix => access::Peer::Unix,
        Peer::Unknown => access::Peer::Unknown,
    }
}
