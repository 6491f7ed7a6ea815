//! The minimum rate of a client: at sending a request's body, and at receiving a response. Callers pass the
//! time, and only time in which this side waits counts. A client that was faster before may be silent for a
//! while, because its network may have a gap.

use std::time::{Duration, Instant};

use super::limits::CurrentLimits;
use crate::net::Stream;
use crate::service::BodyPolicy;

/// Windows for which a client can be ahead of the minimum rate. With the one that is judged these are two
/// minutes by default: after a gap in its radio, as in a tunnel, a phone is silent until TCP's next attempt,
/// and attempts come 25, 51 and 102 s after the first loss. A client that holds a connection on purpose gains
/// nothing, because the mean rate stays. Not while draining, which cannot wait.
const AHEAD_WINDOWS: u8 = 3;

/// The client was too slow for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooSlow;

/// Waiting for a request's body: since when, how long in this window, how much came in it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pace {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
    /// Bytes of earlier windows, beyond what was required of them.
    ahead: u64,
}

impl Pace {
    /// A reader waits.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Whether a reader waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// What was waited so far does not count. A reader that waits continues.
    pub(crate) fn restart(&mut self, now: Instant) {
        let since = self.since.map(|_| now);
        *self = Self { since, ..Self::default() };
    }

    /// Bytes have arrived.
    ///
    /// # Errors
    /// [`TooSlow`] when a window of waiting has passed and too little arrived in it.
    pub(crate) fn receive(&mut self, bytes: usize, now: Instant, policy: &BodyPolicy) -> Result<(), TooSlow> {
        self.bytes += bytes as u64;
        match self.since.take() {
            Some(since) => {
                self.waited += now.saturating_duration_since(since);
                self.weigh(policy)
            }
            None => Ok(()),
        }
    }

    /// Checks a wait that continues: how long it may still last. `None` without a reader that waits, or
    /// without a limit. The policy is the one in force by `limits`.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(crate) fn look(
        &mut self,
        now: Instant,
        policy: BodyPolicy,
        limits: &CurrentLimits,
    ) -> Result<Option<Duration>, TooSlow> {
        let Some(since) = self.since else { return Ok(None) };
        let policy = &limits.policy_now(policy);
        if limits.is_draining() {
            self.ahead = 0;
        }
        self.waited += now.saturating_duration_since(since);
        self.since = Some(now);
        let weighed = self.weigh(policy);
        self.since = Some(now);
        weighed?;
        Ok(policy.stall_timeout.map(|timeout| timeout.saturating_sub(self.waited)))
    }

    fn weigh(&mut self, policy: &BodyPolicy) -> Result<(), TooSlow> {
        let Some(timeout) = policy.stall_timeout else { return Ok(()) };
        if self.waited < timeout {
            return Ok(());
        }
        let required = policy.rate_min.saturating_mul(self.waited.as_secs().max(1));
        let left = (self.bytes + self.ahead).checked_sub(required).ok_or(TooSlow);
        let ahead_max = policy.rate_min.saturating_mul(u64::from(AHEAD_WINDOWS) * timeout.as_secs().max(1));
        *self = Self { ahead: left.unwrap_or(0).min(ahead_max), ..Self::default() };
        left.map(|_| ())
    }
}

/// How a client receives what is sent to it, by what its kernel acknowledges.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Progress {
    /// Bytes at the last check.
    acknowledged: u64,
    /// Windows for which it is ahead.
    ahead: u8,
}

impl Progress {
    /// Begins with what a client has acknowledged so far.
    pub(crate) fn since(stream: &Stream) -> Self {
        Self { acknowledged: stream.acknowledged(), ahead: 0 }
    }

    /// At the end of a window in which something could not be sent: whether the client has received enough,
    /// or may be unable to because its network has a gap.
    pub(crate) fn is_enough(&mut self, stream: &Stream, limits: &CurrentLimits) -> bool {
        self.judge(stream.acknowledged(), || stream.socket().has_open_window(), limits)
    }

    /// A client that does not read shuts TCP's window, and has no gap.
    fn judge(
        &mut self,
        acknowledged: u64,
        may_have_gap: impl FnOnce() -> bool,
        limits: &CurrentLimits,
    ) -> bool {
        let required = limits.rate_min.saturating_mul(limits.stall_timeout.as_secs().max(1));
        let moved = acknowledged.saturating_sub(self.acknowledged);
        self.acknowledged = acknowledged;
        if moved >= required {
            let windows = u8::try_from(moved / required.max(1)).unwrap_or(u8::MAX);
            self.ahead = self.ahead.saturating_add(windows.saturating_sub(1)).min(AHEAD_WINDOWS);
            return true;
        }
        if self.ahead == 0 || limits.is_draining() || !may_have_gap() {
            return false;
        }
        self.ahead -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::Limits;
    use super::*;
    use crate::service::Drain;

    const POLICY: BodyPolicy =
        BodyPolicy { bytes_max: None, stall_timeout: Some(Duration::from_secs(10)), rate_min: 100 };

    fn limits() -> (CurrentLimits, Drain) {
        let drain = Drain::default();
        let limits = Limits { rate_min: 10, stall_timeout: Duration::from_secs(3), ..Limits::default() };
        (CurrentLimits::new(limits, drain.clone()), drain)
    }

    #[test]
    fn only_waiting_counts_and_a_window_starts_afresh() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (limits, _) = limits();
        let mut pace = Pace::default();
        assert_eq!(pace.receive(1, at(100), &POLICY), Ok(()), "no reader waits");
        pace.begin(at(100));
        pace.begin(at(103));
        assert_eq!(pace.look(at(104), POLICY, &limits), Ok(Some(Duration::from_secs(6))));
        assert_eq!(pace.receive(1100, at(109), &POLICY), Ok(()));
        pace.begin(at(200));
        assert_eq!(pace.receive(0, at(202), &POLICY), Ok(()), "1101 bytes in 11 s");
        pace.begin(at(300));
        assert!(pace.is_waiting());
        assert_eq!(pace.receive(998, at(310), &POLICY), Err(TooSlow), "and one byte ahead");
        pace.begin(at(400));
        assert_eq!(pace.look(at(411), POLICY, &limits), Err(TooSlow));
        let mut pace = Pace::default();
        pace.restart(at(499));
        assert!(!pace.is_waiting());
        pace.begin(at(500));
        pace.restart(at(509));
        assert_eq!(pace.look(at(511), POLICY, &limits), Ok(Some(Duration::from_secs(8))));
    }

    /// A phone in a tunnel, which sent faster before, for as many windows as it was ahead, at most three.
    #[test]
    fn an_upload_may_have_a_gap() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (limits, drain) = limits();
        for (bytes, windows) in [(1000, 1), (1999, 1), (2000, 2), (4000, 4), (1_000_000, 4)] {
            let mut pace = Pace::default();
            pace.begin(at(0));
            assert_eq!(pace.receive(bytes, at(1), &POLICY), Ok(()));
            pace.begin(at(1));
            for window in 1..=windows {
                assert!(pace.look(at(10 * window), POLICY, &limits).is_ok(), "{bytes}: {window}");
            }
            assert_eq!(pace.look(at(10 * windows + 10), POLICY, &limits), Err(TooSlow), "{bytes}");
        }
        let mut pace = Pace::default();
        pace.begin(at(0));
        assert_eq!(pace.receive(1_000_000, at(10), &POLICY), Ok(()));
        drain.begin(at(11));
        pace.begin(at(11));
        assert_eq!(pace.look(at(14), POLICY, &limits), Err(TooSlow), "a drain does not wait");
    }

    #[test]
    fn a_route_may_leave_the_pace_to_its_handler() {
        let start = Instant::now();
        let (limits, _) = limits();
        let mut pace = Pace::default();
        pace.begin(start);
        let later = start + Duration::from_secs(86_400);
        assert_eq!(pace.look(later, BodyPolicy::UNLIMITED, &limits), Ok(None));
        assert_eq!(pace.receive(1, later, &BodyPolicy::UNLIMITED), Ok(()));
    }

    #[test]
    fn a_response_has_to_move() {
        let (limits, drain) = limits();
        let mut progress = Progress::default();
        let mut judge = |acknowledged, gap| progress.judge(acknowledged, || gap, &limits);
        assert!(judge(30, false));
        assert!(!judge(59, true), "too little, and not ahead");
        assert!(judge(89, false));
        // Far ahead: three more windows, if that can be a gap, and what moves counts.
        assert!(judge(1_000_000, false));
        assert!(judge(1_000_000, true) && judge(1_000_000, true) && judge(1_000_000, true));
        assert!(!judge(1_000_000, true));
        assert!(judge(1_000_060, false) && judge(1_000_060, true) && !judge(1_000_060, true));
        assert!(judge(2_000_000, false));
        assert!(!judge(2_000_000, false), "it does not read");
        drain.begin(Instant::now());
        assert!(!judge(2_000_000, true), "a drain does not wait");
    }

    #[test]
    fn without_a_rate_nothing_is_too_slow() {
        let drain = Drain::default();
        let limits = CurrentLimits::new(Limits { rate_min: 0, ..Limits::default() }, drain);
        let mut progress = Progress::default();
        assert!((0..9).all(|_| progress.judge(0, || false, &limits)));
    }
}
