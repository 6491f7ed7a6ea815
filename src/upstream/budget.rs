//! The budget of retries of an upstream, shared by the cores: retries are a part of the requests, so that an
//! upstream that fails under its load gets a little more of it, and not a multiple. Pure but for its atomics.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::moment::Moment;

/// Retries of each second that cost nothing, so that quiet sites have some at all.
const FREE_PER_SECOND: u64 = 10;

/// Retries that can be saved up: when an endpoint of a busy upstream dies, everything that was in flight to
/// it is sent again at once.
const SAVED_MAX: u64 = 1000;

/// What one retry costs.
const RETRY: u64 = 100;

/// The budget. A request pays its percentage in, a retry costs a hundred of them.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    saved: AtomicU64,
    /// The second, and in the lowest byte how many free retries it has had.
    free: AtomicU64,
}

impl Budget {
    /// Adds what so many requests are worth. Cores collect some before they call this.
    pub(crate) fn deposit(&self, requests: u32, percent: u32) {
        let worth = u64::from(requests) * u64::from(percent);
        let _ = self.saved.fetch_update(Relaxed, Relaxed, |saved| {
            (saved < SAVED_MAX * RETRY).then_some((saved + worth).min(SAVED_MAX * RETRY))
        });
    }

    /// Takes one retry, if there is one.
    pub(crate) fn withdraw(&self, now: Moment) -> bool {
        let second = now.0 / 1_000_000;
        let saved = self.saved.fetch_update(Relaxed, Relaxed, |saved| saved.checked_sub(RETRY));
        let free = |free: u64| match (free >> 8 == second, free & 255) {
            (true, FREE_PER_SECOND..) => None,
            (true, _) => Some(free + 1),
            (false, _) => Some(second << 8 | 1),
        };
        saved.is_ok() || self.free.fetch_update(Relaxed, Relaxed, free).is_ok()
    }

    /// Whole retries that are saved up.
    pub(crate) fn saved(&self) -> u64 {
        self.saved.load(Relaxed) / RETRY
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn taken(budget: &Budget, now: Moment) -> u32 {
        (0..100_000).take_while(|_| budget.withdraw(now)).count() as u32
    }

    #[test]
    fn a_fifth_of_the_requests_and_ten_of_each_second() {
        let (budget, now) = (Budget::default(), Moment(5_000_000));
        assert_eq!(taken(&budget, now), 10);
        assert_eq!(taken(&budget, now + Duration::from_millis(500)), 0);
        assert_eq!(taken(&budget, now + Duration::from_secs(1)), 10);
        budget.deposit(1000, 20);
        assert_eq!((budget.saved(), taken(&budget, now + Duration::from_secs(1))), (200, 200));
        budget.deposit(4, 20);
        assert_eq!(taken(&budget, now + Duration::from_secs(1)), 0);
        budget.deposit(1, 20);
        assert_eq!(taken(&budget, now + Duration::from_secs(1)), 1);
    }

    #[test]
    fn savings_are_bounded() {
        let budget = Budget::default();
        budget.deposit(u32::MAX, 100);
        assert_eq!(budget.saved(), SAVED_MAX);
        assert_eq!(u64::from(taken(&budget, Moment(1))), SAVED_MAX + FREE_PER_SECOND);
    }

    #[test]
    fn cores_share_it() {
        let budget = Arc::new(Budget::default());
        budget.deposit(2_000, 20);
        let cores = (0..8).map(|_| {
            let budget = budget.clone();
            std::thread::spawn(move || taken(&budget, Moment(1)))
        });
        let cores: Vec<_> = cores.collect();
        assert_eq!(cores.into_iter().map(|core| core.join().unwrap()).sum::<u32>(), 410);
    }

    proptest! {
        #[test]
        fn it_is_never_overdrawn(steps in prop::collection::vec((0..50_u32, 0..20_u32, 0..400_u64), 1..80)) {
            let (budget, mut now) = (Budget::default(), Moment(1_000_000));
            let (mut requests, mut retries) = (0, 0);
            for (made, wanted, later) in steps {
                now = now + Duration::from_millis(later);
                budget.deposit(made, 20);
                requests += u64::from(made);
                retries += (0..wanted).filter(|_| budget.withdraw(now)).count() as u64;
                prop_assert!(retries <= requests / 5 + FREE_PER_SECOND * (now.0 / 1_000_000));
            }
        }
    }
}
