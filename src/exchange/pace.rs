//! The minimum rate of a client: at sending a request's body, and at receiving a response. Callers pass the
//! time, and only time in which this side waits counts.

use std::time::{Duration, Instant};

use super::limits::Limits;
use crate::service::BodyPolicy;

/// The client was too slow for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooSlow;

/// Waiting for a request's body: since when, how long in this window, how much came in it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Pace {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
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
    /// without a limit.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(crate) fn look(&mut self, now: Instant, policy: &BodyPolicy) -> Result<Option<Duration>, TooSlow> {
        let Some(since) = self.since else { return Ok(None) };
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
        let is_too_slow = self.bytes < policy.rate_min.saturating_mul(self.waited.as_secs().max(1));
        *self = Self::default();
        if is_too_slow { Err(TooSlow) } else { Ok(()) }
    }
}

/// At the end of a window in which a response could not be sent: whether the client received enough of it
/// since the last check, by what its kernel has acknowledged.
pub(crate) fn has_progressed(known: &mut u64, acknowledged: u64, limits: &Limits) -> bool {
    let moved = acknowledged.saturating_sub(*known);
    *known = acknowledged;
    moved >= limits.rate_min * limits.stall_timeout.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BodyPolicy =
        BodyPolicy { bytes_max: None, stall_timeout: Some(Duration::from_secs(10)), rate_min: 100 };

    #[test]
    fn only_waiting_counts_and_a_window_starts_afresh() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert_eq!(pace.receive(1, at(100), &POLICY), Ok(()), "no reader waits");
        pace.begin(at(100));
        pace.begin(at(103));
        assert_eq!(pace.look(at(104), &POLICY), Ok(Some(Duration::from_secs(6))));
        assert_eq!(pace.receive(1100, at(109), &POLICY), Ok(()));
        pace.begin(at(200));
        assert_eq!(pace.receive(0, at(202), &POLICY), Ok(()), "1101 bytes in 11 s");
        pace.begin(at(300));
        assert!(pace.is_waiting());
        assert_eq!(pace.receive(999, at(310), &POLICY), Err(TooSlow));
        pace.begin(at(400));
        assert_eq!(pace.look(at(411), &POLICY), Err(TooSlow));
        let mut pace = Pace::default();
        pace.restart(at(499));
        assert!(!pace.is_waiting());
        pace.begin(at(500));
        pace.restart(at(509));
        assert_eq!(pace.look(at(511), &POLICY), Ok(Some(Duration::from_secs(8))));
    }

    #[test]
    fn a_route_may_leave_the_pace_to_its_handler() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.begin(start);
        let later = start + Duration::from_secs(86_400);
        assert_eq!(pace.look(later, &BodyPolicy::UNLIMITED), Ok(None));
        assert_eq!(pace.receive(1, later, &BodyPolicy::UNLIMITED), Ok(()));
    }

    #[test]
    fn a_response_has_to_move() {
        let limits = Limits { rate_min: 10, stall_timeout: Duration::from_secs(3), ..Limits::default() };
        let mut known = 0;
        assert!(has_progressed(&mut known, 30, &limits));
        assert!(!has_progressed(&mut known, 59, &limits));
        assert!(has_progressed(&mut known, 89, &limits));
    }
}
