//! Budgets for frames that cost their receiver more than their sender (RFC 9113 §10.5), one for each kind;
//! useful work and time replenish them. Only counts: the reaction to a flood is decided elsewhere.

use std::time::Duration;

use super::error::{ConnectionError, FloodKind};
use super::limits::Budgets;

/// Frames of each kind that one DATA frame, sent or received, or one response restores to the budget:
/// WINDOW_UPDATE for stream and connection, and as many again for other frames.
const FRAMES_PER_WORK: u32 = 4;

/// The part of a budget, one in so many, that is restored per second.
const PART_PER_SECOND: u64 = 10;

/// Frames counted on one connection, and work done since the last settlement.
#[derive(Debug)]
pub(super) struct Floods {
    budgets: Budgets,
    spent: [u32; FloodKind::COUNT],
    work: u32,
    responses: u32,
    /// Time of the last settlement; `None` until a budget was first exhausted.
    settled: Option<Duration>,
}

impl Floods {
    pub(super) fn new(budgets: Budgets) -> Floods {
        Floods { budgets, spent: [0; FloodKind::COUNT], work: 0, responses: 0, settled: None }
    }

    /// Counts a response that was begun.
    #[inline]
    pub(super) fn count_response(&mut self) {
        self.responses = self.responses.saturating_add(1);
        self.count_work();
    }

    /// Reverts [`count_response`](Floods::count_response): the stream was reset as soon as it ended.
    pub(super) fn uncount_response(&mut self) {
        self.responses = self.responses.saturating_sub(1);
    }

    /// Counts a DATA frame that was sent, or received with data.
    #[inline]
    pub(super) fn count_work(&mut self) {
        self.work = self.work.saturating_add(FRAMES_PER_WORK);
    }

    /// Counts one frame of this kind.
    ///
    /// # Errors
    /// [`ConnectionError::Flood`] when its budget is exhausted, with work and time credited.
    #[inline]
    pub(super) fn spend(&mut self, flood: FloodKind, now: Duration) -> Result<(), ConnectionError> {
        let index = flood as usize;
        self.spent[index] += 1;
        if self.spent[index] > self.budgets.of(flood) { self.settle(flood, now) } else { Ok(()) }
    }

    #[cold]
    fn settle(&mut self, flood: FloodKind, now: Duration) -> Result<(), ConnectionError> {
        // The first settlement credits no time: budgets began full.
        let passed = self.settled.map_or(0, |settled| now.saturating_sub(settled).as_millis());
        let passed_ms = u64::try_from(passed).unwrap_or(u64::MAX);
        for kind in ALL {
            let credit = if kind == FloodKind::Resets { self.responses } else { self.work };
            let part = u64::from(self.budgets.of(kind)).saturating_mul(passed_ms) / (PART_PER_SECOND * 1000);
            let restored = credit.saturating_add(u32::try_from(part).unwrap_or(u32::MAX));
            self.spent[kind as usize] = self.spent[kind as usize].saturating_sub(restored);
        }
        (self.work, self.responses) = (0, 0);
        self.settled = Some(now);
        if self.spent[flood as usize] > self.budgets.of(flood) {
            return Err(ConnectionError::Flood(flood));
        }
        Ok(())
    }
}

const ALL: [FloodKind; FloodKind::COUNT] = [
    FloodKind::Resets,
    FloodKind::Settings,
    FloodKind::Pings,
    FloodKind::Priorities,
    FloodKind::IdleData,
    FloodKind::WindowUpdates,
    FloodKind::UnknownFrames,
    FloodKind::InterimHeads,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// How many frames of `flood` are accepted at one time.
    fn passing(floods: &mut Floods, flood: FloodKind, now: Duration) -> u32 {
        (0..).find(|_| floods.spend(flood, now).is_err()).unwrap_or_default()
    }

    #[test]
    fn each_kind_has_its_own_budget() {
        let now = Duration::from_secs(1000);
        for kind in ALL {
            let mut floods = Floods::new(Budgets::DEFAULT);
            assert_eq!(passing(&mut floods, kind, now), Budgets::DEFAULT.of(kind));
            assert_eq!(floods.spend(kind, now), Err(ConnectionError::Flood(kind)));
        }
        let mut floods = Floods::new(Budgets::DEFAULT);
        assert_eq!(passing(&mut floods, FloodKind::Pings, now), 256);
        assert_eq!(passing(&mut floods, FloodKind::Resets, now), 200);
    }

    #[test]
    fn work_restores_and_reset_responses_do_not() {
        let now = Duration::from_secs(1000);
        let mut floods = Floods::new(Budgets::DEFAULT);
        (0..100).for_each(|_| floods.count_response());
        (0..40).for_each(|_| floods.uncount_response());
        assert_eq!(passing(&mut floods, FloodKind::Resets, now), 260);
        let mut floods = Floods::new(Budgets::DEFAULT);
        (0..100).for_each(|_| floods.count_work());
        assert_eq!(passing(&mut floods, FloodKind::WindowUpdates, now), 1424);
    }

    #[test]
    fn time_restores() {
        let start = Duration::from_secs(1000);
        let mut floods = Floods::new(Budgets::DEFAULT);
        assert_eq!(passing(&mut floods, FloodKind::Resets, start), 200);
        let later = start + Duration::from_secs(5);
        // One more was counted when the budget was exceeded.
        assert_eq!(passing(&mut floods, FloodKind::Resets, later), 99);
    }
}
