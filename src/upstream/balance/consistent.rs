//! Consistent hashing with bounded load (Karger et al. 1997; Mirrokni et al. 2018): endpoints have points on
//! a circle, a key belongs to the next point, and an endpoint that has more than 1.25 times its share of the
//! requests in flight passes the key on to the next one. Pure.
//!
//! An endpoint's points depend on its own address and weight and on nothing else, so that a change of one
//! moves only keys from it or to it, whatever the order of the list.

use super::hash::{combine, hash};
use super::seats::{Row, Seat};
use super::two_choices::Load;
use crate::upstream::slow_start;

/// Points per unit of weight. With 128 the shares of equal endpoints differ by some 9 % (one standard
/// deviation); four times as many would halve that for four times the memory.
const POINTS: u32 = 128;

/// Weight beyond which an endpoint gets no more points.
const WEIGHT_MAX: u32 = 64;

/// What an endpoint may have in flight, in percent of its share.
const LOAD_PERCENT: u64 = 125;

/// The points of all endpoints, usable or not: which ones are usable changes where a search ends, not the
/// map.
#[derive(Debug, Default)]
pub(crate) struct Circle(Vec<(u64, usize)>);

impl Circle {
    /// Of endpoints with these names and weights.
    pub(crate) fn new<'a>(endpoints: impl Iterator<Item = (&'a [u8], u32)>) -> Self {
        let points = endpoints.enumerate().flat_map(|(index, (name, weight))| {
            let name = hash(name);
            (0..u64::from(weight.min(WEIGHT_MAX) * POINTS)).map(move |point| (combine(name, point), index))
        });
        let mut points: Vec<_> = points.collect();
        points.sort_unstable();
        Self(points)
    }

    /// The endpoints of a key, in the order of preference; each may come several times.
    fn from(&self, key: u64) -> impl Iterator<Item = usize> + '_ {
        let (before, after) = self.0.split_at(self.0.partition_point(|(point, _)| *point < key));
        after.iter().chain(before).map(|(_, index)| *index)
    }

    /// The first endpoint of the key in this row that is free, not too busy, and accepts it.
    pub(crate) fn pick(
        &self,
        key: u64,
        row: Row<'_>,
        load: &impl Load,
        taken: &impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let seat = |index: usize| row.seat(index);
        // The request itself counts.
        let in_flight: u64 = 1 + row.0.iter().map(|seat| u64::from(load.in_flight(seat.index))).sum::<u64>();
        let has_room = |index: usize, weight: u64| {
            let share = (in_flight * weight * LOAD_PERCENT).div_ceil(row.total() * 100);
            u64::from(load.in_flight(index)) < share
        };
        let mut full = None;
        for index in self.from(key) {
            let Some(seat) = seat(index).filter(|_| !taken(index)) else { continue };
            if !accepts(key, seat) {
                continue;
            }
            if has_room(index, seat.weight) {
                return Some(index);
            }
            full = full.or(Some(index));
        }
        // None has room only if those with room are taken or do not accept the key yet.
        full.or_else(|| self.from(key).find(|&index| seat(index).is_some() && !taken(index)))
    }
}

/// Whether an endpoint that grows into its share takes this key already. The same keys on every core, and
/// ever more of them.
pub(super) fn accepts(key: u64, seat: &Seat) -> bool {
    // Other bits than those that order the points.
    !seat.is_ramping() || combine(key, 1) % u64::from(slow_start::WHOLE) < u64::from(seat.share)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::super::seats::tests::{seating_of, standing};
    use super::super::seats::{Seating, Standing};
    use super::*;
    use crate::upstream::moment::Moment;
    use crate::upstream::quality::Quality;
    use crate::upstream::slow_start::Ramp;

    struct Flying(HashMap<usize, u32>);

    impl Load for Flying {
        fn in_flight(&self, index: usize) -> u32 {
            self.0.get(&index).copied().unwrap_or(0)
        }

        fn quality(&self, _: usize) -> Quality {
            Quality::default()
        }
    }

    const NONE: fn(usize) -> bool = |_| false;

    /// Which endpoint each of 1,000 keys goes to, by name.
    fn map<'a>(endpoints: &[(&'a str, u32)], usable: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let circle = Circle::new(endpoints.iter().map(|(name, weight)| (name.as_bytes(), *weight)));
        let standings = endpoints.iter().map(|(name, weight)| Standing {
            weight: *weight,
            healthy: usable(name),
            ..standing()
        });
        let seating = seating_of(&standings.collect::<Vec<_>>());
        let idle = Flying(HashMap::new());
        let keys = (0..1000).map(|key: u32| hash(key.to_string().as_bytes()));
        let chosen =
            keys.map(|key| circle.pick(key, seating.first(), &idle, &NONE).expect("some are usable"));
        chosen.map(|index| endpoints[index].0).collect()
    }

    const FIVE: [(&str, u32); 5] =
        [("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1), ("10.0.0.4:80", 1), ("10.0.0.5:80", 1)];

    fn all(_: &str) -> bool {
        true
    }

    #[test]
    fn order_does_not_matter_and_shares_are_even() {
        let before = map(&FIVE, all);
        let mut turned = FIVE;
        turned.reverse();
        turned.swap(1, 2);
        assert_eq!(map(&turned, all), before);
        for (name, _) in FIVE {
            let count = before.iter().filter(|at| **at == name).count();
            assert!((130..270).contains(&count), "{name}: {count}");
        }
    }

    #[test]
    fn one_that_goes_moves_only_its_own_keys() {
        let before = map(&FIVE, all);
        let removed = map(&FIVE[1..], all);
        let unhealthy = map(&FIVE, |name| name != FIVE[0].0);
        for at in 0..before.len() {
            let stays = before[at] != FIVE[0].0;
            assert_eq!(stays, removed[at] == before[at]);
            assert_eq!(unhealthy[at], removed[at]);
        }
    }

    #[test]
    fn more_weight_takes_keys_and_moves_no_others() {
        let before = map(&FIVE, all);
        let mut heavier = FIVE;
        heavier[2].1 = 2;
        let after = map(&heavier, all);
        assert!(after.iter().zip(&before).all(|(a, b)| a == b || *a == FIVE[2].0));
        assert!((270..400).contains(&after.iter().filter(|at| **at == FIVE[2].0).count()));
    }

    #[test]
    fn nobody_has_much_more_than_its_share() {
        let circle = Circle::new(FIVE.iter().map(|(name, weight)| (name.as_bytes(), *weight)));
        let seating = seating_of(&[standing(); 5]);
        let mut flying = Flying(HashMap::new());
        for _ in 0..100 {
            let chosen = circle.pick(hash(b"hot"), seating.first(), &flying, &NONE).unwrap();
            *flying.0.entry(chosen).or_default() += 1;
        }
        assert_eq!(flying.0.values().sum::<u32>(), 100);
        assert!(flying.0.values().all(|&count| count <= 26), "{:?}", flying.0);
    }

    #[test]
    fn a_ramping_endpoint_takes_ever_more_of_its_keys() {
        let circle = Circle::new(FIVE.iter().map(|(name, weight)| (name.as_bytes(), *weight)));
        let idle = Flying(HashMap::new());
        let before = map(&FIVE, all);
        let mut counts = Vec::new();
        for share in [26, 64, 128, 192, 256] {
            let ramp = Ramp { share, next: Moment::NEVER };
            let mut standings = [standing(); 5];
            standings[0].ramp = if share < 256 { ramp } else { Ramp::DONE };
            let seating = Seating::new(&standings, 0, Moment(1));
            let of = |key: u32| circle.pick(hash(key.to_string().as_bytes()), seating.first(), &idle, &NONE);
            let now: Vec<_> = (0..1000).map(|key| FIVE[of(key).unwrap()].0).collect();
            assert!(now.iter().zip(&before).all(|(n, b)| n == b || *b == FIVE[0].0));
            counts.push(now.iter().filter(|at| **at == FIVE[0].0).count());
        }
        assert!(counts.is_sorted() && counts[0] > 0 && counts[0] < counts[4] / 4, "{counts:?}");
    }

    proptest! {
        #[test]
        fn a_free_endpoint_is_found(
            flying in prop::collection::vec(0..50_u32, 5),
            taken in prop::collection::vec(any::<bool>(), 5),
            key: u64,
        ) {
            let circle = Circle::new(FIVE.iter().map(|(name, weight)| (name.as_bytes(), *weight)));
            let seating = seating_of(&[standing(); 5]);
            let load = Flying(flying.into_iter().enumerate().collect());
            let chosen = circle.pick(key, seating.first(), &load, &|index| taken[index]);
            prop_assert_eq!(chosen.is_some(), taken.iter().any(|taken| !taken));
            prop_assert!(chosen.is_none_or(|index| !taken[index]));
        }
    }
}
