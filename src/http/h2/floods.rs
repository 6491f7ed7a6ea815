//! Budgets for frames that cost their receiver more than their sender (RFC 9113 §10.5), one for each kind;
//! useful work and time replenish them. Only counts: the reaction to a flood is decided elsewhere.
//!
//! ```text
//! DATA sent ─────────► WINDOW_UPDATE: beyond its budget too, and for ever, because credit comes late
//!     │                                         ┌──────────────────────────────┐
//!     ├─ completed responses, data received ───►│ other kinds, up to the budget │◄── time
//!     │                                         └──────────────────────────────┘
//! responses that no RST_STREAM followed ───────► resets, up to the budget ◄── time
//! ```

use std::time::Duration;

use super::error::{ConnectionError, FloodKind};
use super::limits::Budgets;

/// Frames of each kind that one DATA frame sent, or one completed response, restores: WINDOW_UPDATE for
/// stream and connection, and as many again for other frames.
const FRAMES_PER_WORK: u32 = 4;

/// Data sent that pays for one more WINDOW_UPDATE. A client that gives credit for each read of 4 KiB, for
/// stream and connection (as Go's does, whose buffers are that small), sends 8 for a frame of 16 KiB; this
/// allows 36.
const SENT_BYTES_PER_UPDATE: u32 = 512;

/// Data received that restores one frame of each kind. By bytes, because a DATA frame of one byte would
/// otherwise pay for frames that cost more than itself.
const RECEIVED_BYTES_PER_FRAME: u64 = 4096;

/// The part of a budget, one in so many, that is restored per second.
const PART_PER_SECOND: u64 = 10;

/// What is left of each budget of one connection, and the work done since the last settlement.
#[derive(Debug)]
pub(super) struct Floods {
    budgets: Budgets,
    /// Frames that are still allowed. At most the budget, but for WINDOW_UPDATE.
    left: [u32; FloodKind::COUNT],
    work: u32,
    received_bytes: u64,
    /// Time of the last settlement, at first of the peer's first SETTINGS.
    settled: Option<Duration>,
}

impl Floods {
    pub(super) fn new(budgets: Budgets) -> Floods {
        let left = ALL.map(|kind| budgets.of(kind));
        Floods { budgets, left, work: 0, received_bytes: 0, settled: None }
    }

    /// The peer has begun: from now on time restores.
    pub(super) fn begin(&mut self, now: Duration) {
        self.settled.get_or_insert(now);
    }

    /// Counts a response that was completed.
    #[inline]
    pub(super) fn count_response(&mut self) {
        self.count_sent(0);
    }

    /// Counts a DATA frame that was sent.
    #[inline]
    pub(super) fn count_sent(&mut self, bytes: u32) {
        self.work = self.work.saturating_add(FRAMES_PER_WORK);
        let updates = &mut self.left[FloodKind::WindowUpdates as usize];
        *updates = updates.saturating_add(FRAMES_PER_WORK + bytes / SENT_BYTES_PER_UPDATE);
    }

    /// Counts data that was received.
    #[inline]
    pub(super) fn count_received(&mut self, bytes: u32) {
        self.received_bytes += u64::from(bytes);
    }

    /// Restores resets for responses that no RST_STREAM followed.
    pub(super) fn earn_resets(&mut self, responses: u32) {
        self.restore(FloodKind::Resets, responses);
    }

    /// Counts one frame of this kind.
    ///
    /// # Errors
    /// [`ConnectionError::Flood`] when its budget is exhausted, with work and time credited.
    #[inline]
    pub(super) fn spend(&mut self, flood: FloodKind, now: Duration) -> Result<(), ConnectionError> {
        let left = &mut self.left[flood as usize];
        match left.checked_sub(1) {
            Some(less) => *left = less,
            None => {
                self.settle(now);
                let left = &mut self.left[flood as usize];
                *left = left.checked_sub(1).ok_or(ConnectionError::Flood(flood))?;
            }
        }
        Ok(())
    }

    /// Credits the work and the time since the last settlement.
    #[cold]
    fn settle(&mut self, now: Duration) {
        let passed = self.settled.map_or(0, |settled| now.saturating_sub(settled).as_millis());
        let passed_ms = u64::try_from(passed).unwrap_or(u64::MAX);
        let received = u32::try_from(self.received_bytes / RECEIVED_BYTES_PER_FRAME).unwrap_or(u32::MAX);
        let work = self.work.saturating_add(received);
        for kind in ALL {
            let part = u64::from(self.budgets.of(kind)).saturating_mul(passed_ms) / (PART_PER_SECOND * 1000);
            let part = u32::try_from(part).unwrap_or(u32::MAX);
            let by_work = match kind {
                FloodKind::Resets | FloodKind::WindowUpdates => 0,
                _ => work,
            };
            self.restore(kind, part.saturating_add(by_work));
        }
        (self.work, self.received_bytes) = (0, self.received_bytes % RECEIVED_BYTES_PER_FRAME);
        self.settled = Some(now);
    }

    /// Up to the budget; what is beyond it already stays.
    fn restore(&mut self, kind: FloodKind, frames: u32) {
        let left = &mut self.left[kind as usize];
        *left = left.saturating_add(frames).min(self.budgets.of(kind)).max(*left);
    }
}

/// In the order of their values.
const ALL: [FloodKind; FloodKind::COUNT] = [
    FloodKind::Resets,
    FloodKind::Settings,
    FloodKind::Pings,
    FloodKind::Priorities,
    FloodKind::IdleData,
    FloodKind::WindowUpdates,
    FloodKind::UnknownFrames,
    FloodKind::InterimHeads,
    FloodKind::Goaways,
];

const _: () = {
    let mut index = 0;
    while index < ALL.len() {
        assert!(ALL[index] as usize == index);
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    fn begun() -> Floods {
        let mut floods = Floods::new(Budgets::DEFAULT);
        floods.begin(START);
        floods
    }

    /// How many frames of `flood` are accepted at one time.
    fn passing(floods: &mut Floods, flood: FloodKind, now: Duration) -> u32 {
        (0..).find(|_| floods.spend(flood, now).is_err()).unwrap_or_default()
    }

    #[test]
    fn each_kind_has_its_own_budget() {
        for kind in ALL {
            let mut floods = begun();
            assert_eq!(passing(&mut floods, kind, START), Budgets::DEFAULT.of(kind));
            assert_eq!(floods.spend(kind, START), Err(ConnectionError::Flood(kind)));
            let other = ALL[(kind as usize + 1) % ALL.len()];
            assert_eq!(passing(&mut floods, other, START), Budgets::DEFAULT.of(other));
        }
    }

    #[test]
    fn work_restores_a_budget_and_no_more_than_that() {
        let mut floods = begun();
        assert_eq!(passing(&mut floods, FloodKind::Pings, START), 256);
        (0..10).for_each(|_| floods.count_sent(100));
        floods.count_response();
        assert_eq!(passing(&mut floods, FloodKind::Pings, START), 44);
        (0..10_000).for_each(|_| floods.count_sent(100));
        assert_eq!(passing(&mut floods, FloodKind::Pings, START), 256);
        floods.count_received(10 * 4096 + 4095);
        assert_eq!(passing(&mut floods, FloodKind::Pings, START), 10);
        floods.count_received(1);
        assert_eq!(passing(&mut floods, FloodKind::Pings, START), 1);
    }

    /// What data has paid for is not forgotten, however late and in whatever portions the credit comes.
    #[test]
    fn window_updates_are_paid_by_what_was_sent() {
        let mut floods = begun();
        for _ in 0..10_000 {
            floods.count_sent(1);
        }
        assert_eq!(passing(&mut floods, FloodKind::WindowUpdates, START), 1024 + 40_000);
        let mut floods = begun();
        for _ in 0..100 {
            floods.count_sent(16_384);
        }
        assert_eq!(passing(&mut floods, FloodKind::WindowUpdates, START), 1024 + 100 * 36);
        (0..200).for_each(|_| floods.count_sent(16_384));
        let other = passing(&mut floods, FloodKind::Pings, START);
        assert_eq!(other, 512, "a settlement for another kind takes nothing");
        assert_eq!(passing(&mut floods, FloodKind::WindowUpdates, START), 200 * 36);
    }

    #[test]
    fn resets_are_restored_by_what_outlived_them_alone() {
        let mut floods = begun();
        (0..100).for_each(|_| floods.count_response());
        assert_eq!(passing(&mut floods, FloodKind::Resets, START), 200);
        floods.earn_resets(60);
        assert_eq!(passing(&mut floods, FloodKind::Resets, START), 60);
        floods.earn_resets(100_000);
        assert_eq!(passing(&mut floods, FloodKind::Resets, START), 200);
    }

    /// Also before a budget is exhausted for the first time: a PING every 20 s is no flood after an hour.
    #[test]
    fn time_restores() {
        let mut floods = begun();
        let at = |seconds: u64| START + Duration::from_secs(seconds);
        assert_eq!(passing(&mut floods, FloodKind::Resets, START), 200);
        assert_eq!(passing(&mut floods, FloodKind::Resets, at(5)), 100);
        assert_eq!(passing(&mut floods, FloodKind::Resets, at(1000)), 200);
        let mut floods = begun();
        for ping in 0..1000 {
            assert_eq!(floods.spend(FloodKind::Pings, at(20 * ping)), Ok(()));
        }
    }
}
