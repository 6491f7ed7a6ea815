//! The limits on clients, each with its default and its reason.

use std::ops::Deref;
use std::time::Duration;

use crate::http::h2::H2Limits;
use crate::http::message::{BodyLimits, HeadLimits};
use crate::service::{BodyPolicy, Drain};

/// Deadlines closer than this, or closer together, count as one: the timer wheel is coarse.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// The limits of a server. `Default` is meant for the open internet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds on request heads: line 8 KiB, head 16 KiB, 100 fields.
    pub head: HeadLimits,
    /// Bounds on request bodies: 16 MiB of data, and on chunk extensions and trailers.
    pub body: BodyLimits,
    /// Further bounds on each HTTP/2 connection: 100 streams, field lists of 16 KiB, windows, budgets for
    /// frames that cost their sender nothing.
    pub h2: H2Limits,
    /// A whole head must arrive within this time of its first byte (or of the connection's start).
    /// Default 10 s: a head is one packet or two, so a slower client is broken or malicious.
    pub head_timeout: Duration,
    /// A TLS handshake must complete within this time of the connection's start. Default 10 s: it is two
    /// round trips of a few packets.
    pub handshake_timeout: Duration,
    /// TLS handshakes in progress per worker; connections beyond them are closed. Default 1024: one holds
    /// some 30 KiB and up to a millisecond of the core, and a worker completes thousands in a second.
    pub handshakes_max: usize,
    /// A kept-alive connection may be idle this long between requests. Default 60 s: longer than browsers
    /// pause between clicks, shorter than most middleboxes keep idle connections.
    pub idle_timeout: Duration,
    /// Bodies and responses must make progress of at least `rate_min` bytes a second, checked once per this
    /// time. Default 30 s. There is no limit on the time of a transfer that makes progress. A client that was
    /// faster before may be silent for up to three further checks, as long as what it moved makes up for it:
    /// two minutes in all, in which a phone comes out of a tunnel. Receivers whose window is shut may not.
    pub stall_timeout: Duration,
    /// Default 240 bytes a second: a modem from 1985 passes, an attacker who holds connections open does not.
    pub rate_min: u64,
    /// A client that has closed its sending direction, and has then been made to wait this long by a handler
    /// or by the source of a response, is taken to have left: the handler is dropped. Default 500 ms: enough
    /// for what a handler was about to answer, and a client that left costs little. Routes may choose to go
    /// on ([`HalfClose`](crate::service::HalfClose)).
    pub half_closed_timeout: Duration,
    /// After a response to a request that was not read to its end, the client has this long to read the
    /// response before the connection closes. Default 5 s; without it, a reset could overtake the response.
    pub linger_timeout: Duration,
    /// Most bytes of an unread body that are discarded after a response, to keep the connection. Default
    /// 256 KiB; for more, a new connection is cheaper.
    pub discard_bytes_max: u64,
    /// Time for open requests to complete when the server stops. Default 8 s: container engines kill after
    /// ten.
    pub drain_timeout: Duration,
    /// When the server stops, a listener that has accepted within this time stays for the rest of it (and at
    /// least for a fifth) to accept what is being set up, and a kept connection that was used within it stays
    /// open for the rest of it, so that requests on their way are answered. Default 1.25 s: clients that
    /// connect one after the other are held up for a second by a SYN that is lost at that moment.
    pub drain_grace: Duration,
    /// While the server drains, a client or source that it waits for must make progress within this time, if
    /// a usual limit is not shorter: clients that send a head, a body or a handshake, or receive a response;
    /// and sources of responses, such as event streams. Otherwise one of them would use up `drain_timeout`.
    /// Handlers that have not responded yet have all of that. Default 2 s: above the time in which TCP
    /// repairs a loss.
    pub drain_stall_timeout: Duration,
    /// After a reload, time for what is in progress on routes that it removed or changed: responses, uploads,
    /// tunnels. What is left then is cut, and counted. What is on other routes is never cut by a reload.
    /// Default ten minutes: nearly every download is over by then, and of a client with a tunnel it costs one
    /// reconnection; without it, one forgotten tunnel would keep a former configuration in memory for good.
    pub reload_drain_timeout: Duration,
    /// A connection is ended this long after it began, up to a tenth earlier, so that connections that
    /// began together are not renewed together: HTTP/1 with `Connection: close` in the next response, or at
    /// once when it is idle; HTTP/2 with GOAWAY. Nothing that is in progress is cut, however long it takes.
    /// Default none: a connection that is used costs no more with its age. Set it to have clients look up an
    /// address anew, or find servers that were added behind a balancer: an hour makes few new handshakes, a
    /// minute many.
    pub connection_age_max: Option<Duration>,
    /// Connections per worker. A further one takes the place of the one that has waited longest for its
    /// client, between requests, within a head or a handshake; where all are in use, it is answered 503.
    /// Default: three quarters of the descriptors, shared by the workers; the rest is for files and accepts.
    pub connections_max: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: HeadLimits::DEFAULT,
            body: BodyLimits::DEFAULT,
            h2: H2Limits::DEFAULT,
            head_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 1024,
            idle_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30),
            rate_min: 240,
            half_closed_timeout: Duration::from_millis(500),
            linger_timeout: Duration::from_secs(5),
            discard_bytes_max: 256 * 1024,
            drain_timeout: Duration::from_secs(8),
            drain_grace: Duration::from_millis(1250),
            drain_stall_timeout: Duration::from_secs(2),
            reload_drain_timeout: Duration::from_secs(600),
            connection_age_max: None,
            connections_max: None,
        }
    }
}

impl Limits {
    /// Sets the size of heads in every version of HTTP. A request line is a part of its head and keeps its
    /// part, and fields of HTTP/2 count as theirs.
    pub fn set_head_bytes_max(&mut self, bytes: u16) {
        let head = &mut self.head;
        head.request_line_bytes_max = head.request_line_bytes_max.max(bytes / 2).min(bytes);
        head.head_bytes_max = bytes;
        self.h2.list_bytes_max = bytes;
        self.h2.block_bytes_max = self.h2.block_bytes_max.max(u32::from(bytes));
    }

    /// The policy for a request's body, unless its route has its own.
    pub(crate) fn body_policy(&self) -> BodyPolicy {
        BodyPolicy {
            bytes_max: self.body.body_bytes_max,
            stall_timeout: Some(self.stall_timeout),
            rate_min: self.rate_min,
        }
    }

    /// These limits while the server drains.
    fn while_draining(&self) -> Limits {
        let most = self.drain_stall_timeout;
        let mut limits = self.clone();
        limits.head_timeout = self.head_timeout.min(most);
        limits.handshake_timeout = self.handshake_timeout.min(most);
        limits.idle_timeout = self.idle_timeout.min(self.drain_grace);
        limits.stall_timeout = self.stall_timeout.min(most);
        limits.linger_timeout = self.linger_timeout.min(most);
        limits.h2.window_timeout = self.h2.window_timeout.min(most);
        limits
    }

    /// Connections for each of `workers`, given the limit on descriptors.
    pub fn connections_per_worker(&self, descriptors: u64, workers: usize) -> usize {
        self.connections_max.unwrap_or_else(|| {
            let usable = descriptors.saturating_sub(64) * 3 / 4;
            (usable as usize / workers.max(1)).max(1)
        })
    }

    /// Files that each of `workers` may have open, given the limit on descriptors: a quarter of those that
    /// connections do not use is left for the rest of the process. At least what one look-up takes.
    pub fn files_per_worker(&self, descriptors: u64, workers: usize) -> usize {
        let usable = descriptors.saturating_sub(64) * 3 / 16;
        (usable as usize / workers.max(1)).max(8)
    }
}

/// The limits in force: shorter ones once the drain has begun. Reads of a field are those of the limits now.
pub(crate) struct CurrentLimits {
    serving: Limits,
    draining: Limits,
    drain: Drain,
}

impl CurrentLimits {
    pub(crate) fn new(limits: Limits, drain: Drain) -> Self {
        Self { draining: limits.while_draining(), serving: limits, drain }
    }

    /// Whether the drain has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Whether a client that receives is excused from sending. A tunnel's need not send at all; in a drain,
    /// which shortens the waits for bodies, an exchange that moves in one direction is not what holds it up.
    pub(crate) fn receiving_excuses(&self, is_tunnel: bool) -> bool {
        is_tunnel || self.is_draining()
    }

    /// The policy that holds for a body now.
    pub(crate) fn policy_now(&self, policy: BodyPolicy) -> BodyPolicy {
        if !self.drain.has_begun() {
            return policy;
        }
        let most = self.serving.drain_stall_timeout;
        let stall_timeout = policy.stall_timeout.map_or(most, |timeout| timeout.min(most));
        BodyPolicy { stall_timeout: Some(stall_timeout), rate_min: policy.rate_min.max(1), ..policy }
    }
}

impl Deref for CurrentLimits {
    type Target = Limits;

    fn deref(&self) -> &Limits {
        if self.drain.has_begun() { &self.draining } else { &self.serving }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_shortens_waits_and_lengthens_none() {
        let drain = Drain::default();
        let limits = Limits { head_timeout: Duration::from_millis(500), ..Limits::default() };
        let current = CurrentLimits::new(limits, drain.clone());
        assert_eq!(current.stall_timeout, Duration::from_secs(30));
        assert_eq!(current.policy_now(BodyPolicy::UNLIMITED), BodyPolicy::UNLIMITED);
        drain.begin(std::time::Instant::now());
        assert_eq!(current.stall_timeout, Duration::from_secs(2));
        assert_eq!(current.head_timeout, Duration::from_millis(500));
        assert_eq!(current.idle_timeout, Duration::from_millis(1250));
        let policy = current.policy_now(BodyPolicy::UNLIMITED);
        assert_eq!((policy.stall_timeout, policy.rate_min), (Some(Duration::from_secs(2)), 1));
        assert_eq!(policy.bytes_max, None);
    }

    #[test]
    fn connections_leave_room_for_files() {
        let limits = Limits::default();
        assert_eq!(limits.connections_per_worker(1024, 1), 720);
        assert_eq!(limits.connections_per_worker(20_000, 2), 7476);
        assert_eq!(limits.connections_per_worker(10, 8), 1);
        assert_eq!(limits.files_per_worker(1024, 1), 180);
        assert_eq!(limits.files_per_worker(10, 8), 8);
        assert_eq!(Limits { connections_max: Some(5), ..limits }.connections_per_worker(9, 9), 5);
    }
}
