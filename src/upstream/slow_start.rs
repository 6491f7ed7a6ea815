//! Slow start: which part of its share an endpoint gets that has just begun, or begun again. Pure.

use std::time::Duration;

use super::moment::{Moment, micros};

/// A whole share.
pub(crate) const WHOLE: u32 = 256;

/// What an endpoint gets at once, of [`WHOLE`]: a tenth. Below it, an endpoint of a small pool would see
/// nothing for most of the window, and so its caches would stay cold.
const FIRST: u32 = 26;

/// Steps in which a share grows. More steps would rebuild the table of every core more often, for changes
/// that no endpoint notices.
const STEPS: u64 = 32;

/// How far an endpoint is: `share` of [`WHOLE`], and when it changes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ramp {
    pub(crate) share: u32,
    pub(crate) next: Moment,
}

impl Ramp {
    pub(crate) const DONE: Self = Self { share: WHOLE, next: Moment::NEVER };

    #[cfg(test)]
    fn is_done(self) -> bool {
        self.share >= WHOLE
    }
}

/// The ramp of an endpoint that began at `from`: from a tenth to the whole, linear.
pub(crate) fn ramp(from: Moment, length: Duration, now: Moment) -> Ramp {
    let length = micros(length);
    let passed = micros(now.since(from));
    if length == 0 || passed >= length {
        return Ramp::DONE;
    }
    let step = (u128::from(passed) * u128::from(STEPS) / u128::from(length)) as u64;
    let share = FIRST.max((step * u64::from(WHOLE) / STEPS) as u32);
    // Rounded up, so that the step is over when the moment has come.
    let next = (u128::from(step + 1) * u128::from(length)).div_ceil(u128::from(STEPS)) as u64;
    Ramp { share, next: Moment(from.0.saturating_add(next)) }
}

/// Shares are relative: where all endpoints are new, none is newer than the others, and a single endpoint has
/// no other to leave its requests to.
pub(crate) fn relative(share: u32, largest: u32) -> u32 {
    share * WHOLE / largest.max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    #[test]
    fn a_share_grows_from_a_tenth_to_the_whole() {
        let from = Moment(5_000_000);
        assert_eq!(ramp(from, LENGTH, from).share, FIRST);
        assert_eq!(ramp(from, LENGTH, from + LENGTH / 2).share, WHOLE / 2);
        assert_eq!(ramp(from, LENGTH, from + LENGTH), Ramp::DONE);
        assert_eq!(ramp(from, Duration::ZERO, from), Ramp::DONE);
        assert_eq!(ramp(Moment::default(), LENGTH, from + LENGTH), Ramp::DONE);
    }

    #[test]
    fn all_new_is_as_none_new() {
        assert_eq!(relative(FIRST, FIRST), WHOLE);
        assert_eq!(relative(FIRST, WHOLE), FIRST);
    }

    proptest! {
        #[test]
        fn it_never_shrinks_and_each_step_ends(
            from in 0..1_u64 << 40,
            ms in 1..100_000_u64,
            at in 0..200_000_u64,
        ) {
            let (from, length) = (Moment(from), Duration::from_millis(ms));
            let now = from + Duration::from_millis(at);
            let here = ramp(from, length, now);
            prop_assert!((FIRST..=WHOLE).contains(&here.share));
            prop_assert!(here.next > now);
            if !here.is_done() {
                let after = ramp(from, length, here.next);
                prop_assert!(after.share >= here.share);
                prop_assert!(after.next > here.next);
            }
        }
    }
}
