//! Budgets for frames that cost their sender nothing and their receiver something (RFC 9113 §10.5). Each
//! kind has its own; useful work and time pay back. Only counts: what a flood costs the connection is
//! decided elsewhere.

use std::time::Duration;

use super::error::{ConnectionError, Nuisance};
use super::limits::Budgets;

/// Frames of each kind that one DATA frame sent or read, or one response, pays for: WINDOW_UPDATE for stream
/// and connection, and as much again for what else a client may send with each.
const FRAMES_PER_WORK: u32 = 4;

/// The part of a budget that a second pays back.
const PART_PER_SECOND: u64 = 10;

/// What one connection has spent, and earned since its spending was last looked at.
#[derive(Debug)]
pub(super) struct Floods {
    budgets: Budgets,
    spent: [u32; Nuisance::COUNT],
    work: u32,
    responses: u32,
    /// `None` until a budget was first used up: the time before is of no use.
    settled: Option<Duration>,
}

impl Floods {
    pub(super) fn new(budgets: Budgets) -> Floods {
        Floods { budgets, spent: [0; Nuisance::COUNT], work: 0, responses: 0, settled: None }
    }

    /// A response was begun.
    #[inline]
    pub(super) fn answered(&mut self) {
        self.responses = self.responses.saturating_add(1);
        self.worked();
    }

    /// A response went nowhere, because its stream was reset as soon as it was answered.
    pub(super) fn answered_in_vain(&mut self) {
        self.responses = self.responses.saturating_sub(1);
    }

    /// A DATA frame was sent, or one that carries something was received.
    #[inline]
    pub(super) fn worked(&mut self) {
        self.work = self.work.saturating_add(FRAMES_PER_WORK);
    }

    /// Counts a nuisance.
    ///
    /// # Errors
    /// [`ConnectionError::Flood`] when neither its budget nor work nor time pays for it.
    #[inline]
    pub(super) fn spend(&mut self, nuisance: Nuisance, now: Duration) -> Result<(), ConnectionError> {
        let index = nuisance as usize;
        self.spent[index] += 1;
        if self.spent[index] > self.budgets.of(nuisance) { self.settle(nuisance, now) } else { Ok(()) }
    }

    #[cold]
    fn settle(&mut self, nuisance: Nuisance, now: Duration) -> Result<(), ConnectionError> {
        // The first budget to be used up is settled without time: it lasted for as long as it lasted.
        let passed = self.settled.map_or(0, |settled| now.saturating_sub(settled).as_millis());
        let passed_ms = u64::try_from(passed).unwrap_or(u64::MAX);
        for kind in ALL {
            let earned = if kind == Nuisance::Resets { self.responses } else { self.work };
            let part = u64::from(self.budgets.of(kind)).saturating_mul(passed_ms) / (PART_PER_SECOND * 1000);
            let paid = earned.saturating_add(u32::try_from(part).unwrap_or(u32::MAX));
            self.spent[kind as usize] = self.spent[kind as usize].saturating_sub(paid);
        }
        (self.work, self.responses) = (0, 0);
        self.settled = Some(now);
        if self.spent[nuisance as usize] > self.budgets.of(nuisance) {
            return Err(ConnectionError::Flood(nuisance));
        }
        Ok(())
    }
}

const ALL: [Nuisance; Nuisance::COUNT] = [
    Nuisance::Resets,
    Nuisance::Settings,
    Nuisance::Pings,
    Nuisance::Priorities,
    Nuisance::IdleData,
    Nuisance::WindowUpdates,
    Nuisance::UnknownFrames,
    Nuisance::InterimHeads,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `nuisance` pass at one moment.
    fn passing(floods: &mut Floods, nuisance: Nuisance, now: Duration) -> u32 {
        (0..).find(|_| floods.spend(nuisance, now).is_err()).unwrap_or_default()
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
        assert_eq!(passing(&mut floods, Nuisance::Pings, now), 256);
        assert_eq!(passing(&mut floods, Nuisance::Resets, now), 200);
    }

    #[test]
    fn work_pays_and_vain_answers_do_not() {
        let now = Duration::from_secs(1000);
        let mut floods = Floods::new(Budgets::DEFAULT);
        (0..100).for_each(|_| floods.answered());
        (0..40).for_each(|_| floods.answered_in_vain());
        assert_eq!(passing(&mut floods, Nuisance::Resets, now), 260);
        let mut floods = Floods::new(Budgets::DEFAULT);
        (0..100).for_each(|_| floods.worked());
        assert_eq!(passing(&mut floods, Nuisance::WindowUpdates, now), 1424);
    }

    #[test]
    fn time_pays() {
        let start = Duration::from_secs(1000);
        let mut floods = Floods::new(Budgets::DEFAULT);
        assert_eq!(passing(&mut floods, Nuisance::Resets, start), 200);
        let later = start + Duration::from_secs(5);
        // One more was counted when the budget broke.
        assert_eq!(passing(&mut floods, Nuisance::Resets, later), 99);
    }
}
