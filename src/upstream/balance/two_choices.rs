//! Power of two choices: one endpoint is drawn by weight, another one replaces it if that is clearly better.
//! Pure.
//!
//! *Better* is the lower product of latency and requests in flight. Differences below [`LATENCY_FLOOR_US`] or
//! a third are noise: among equals the draw decides, so that shares follow the weights and no endpoint
//! starves because it is some microseconds farther away.
//!
//! **An endpoint takes another's place only if it is known to be good**: measured, without recent failures,
//! and past its slow start. All others get what is drawn for them, at most their share by weight. So a new
//! endpoint with nothing in flight is not flooded, and one that fails fast earns nothing by that.

use super::random::Random;
use super::seats::{Row, Seat};
use crate::upstream::quality::Quality;

/// Added to each latency. Half a millisecond is about what scheduling on a busy machine adds by itself.
const LATENCY_FLOOR_US: u64 = 500;

/// What the endpoints do now.
pub(crate) trait Load {
    fn in_flight(&self, index: usize) -> u32;
    /// As of now.
    fn quality(&self, index: usize) -> Quality;
    /// How long a request has waited there since the last response of any, in microseconds: an endpoint that
    /// hangs has no latency to show, and its average still says that it is fast.
    fn waited_us(&self, _index: usize) -> u64 {
        0
    }
    /// Whether its latency was measured so long ago that another request is due to it.
    fn is_stale(&self, _index: usize) -> bool {
        false
    }
}

#[inline]
pub(crate) fn pick(
    row: Row<'_>,
    load: &impl Load,
    taken: &impl Fn(usize) -> bool,
    random: &mut Random,
) -> Option<usize> {
    let drawn = row.draw_free(taken, random)?;
    if row.0.len() == 1 {
        return Some(drawn.index);
    }
    let rival = rival(row, drawn, random);
    if rival.is_ramping() || taken(rival.index) {
        return Some(drawn.index);
    }
    let (known, other) = (load.quality(drawn.index), load.quality(rival.index));
    let Some(rival_us) = other.latency_us().filter(|_| other.is_proven()) else { return Some(drawn.index) };
    // What was never measured is taken to be as fast as the other.
    let drawn_us = known.latency_us().unwrap_or(rival_us);
    if load.is_stale(drawn.index) && load.in_flight(drawn.index) == 0 {
        // One request shows whether it is still slow; otherwise it would be avoided for as long as the others
        // do.
        return Some(drawn.index);
    }
    let mean = row.total() / row.0.len() as u64;
    let cost = |seat: &Seat, latency_us: u64| {
        let in_flight = u64::from(load.in_flight(seat.index));
        let latency_us = latency_us.max(load.waited_us(seat.index));
        // Latency × (1 + in flight × mean weight / weight).
        (latency_us + LATENCY_FLOOR_US).saturating_mul(seat.weight + in_flight * mean) / seat.weight
    };
    let drawn_cost = known.with_failures(cost(drawn, drawn_us));
    let rival_cost = other.with_failures(cost(rival, rival_us));
    let is_better = rival_cost.saturating_mul(4) < drawn_cost.saturating_mul(3);
    Some(if is_better { rival.index } else { drawn.index })
}

/// Another seat of the row, each with the same chance: the weight is part of the comparison.
#[inline]
fn rival<'a>(row: Row<'a>, drawn: &Seat, random: &mut Random) -> &'a Seat {
    let at = random.below(row.0.len() as u64 - 1) as usize;
    let seat = &row.0[at];
    // The last one stands for the drawn one, which is left out.
    if seat.index == drawn.index { &row.0[row.0.len() - 1] } else { seat }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::seats::Standing;
    use super::super::seats::tests::{seating_of, standing};
    use super::*;
    use crate::upstream::moment::Moment;
    use crate::upstream::slow_start::Ramp;

    const NOW: Moment = Moment(1_000_000_000);

    struct Known(Vec<(u32, Quality)>);

    /// The first one hangs.
    struct Hanging(Known, u64);

    impl Load for Hanging {
        fn in_flight(&self, index: usize) -> u32 {
            self.0.in_flight(index)
        }

        fn quality(&self, index: usize) -> Quality {
            self.0.quality(index)
        }

        fn waited_us(&self, index: usize) -> u64 {
            if index == 0 { self.1 } else { 0 }
        }
    }

    impl Load for Known {
        fn in_flight(&self, index: usize) -> u32 {
            self.0[index].0
        }

        fn quality(&self, index: usize) -> Quality {
            self.0[index].1
        }
    }

    fn measured(us: u64) -> Quality {
        Quality::default().succeeded(Duration::from_micros(us), NOW)
    }

    /// How many of 10,000 choices fall on each endpoint.
    fn shares(standings: &[Standing], known: Vec<(u32, Quality)>) -> Vec<u32> {
        let (seating, known, mut random) = (seating_of(standings), Known(known), Random::new(11));
        let mut counts = vec![0; standings.len()];
        for _ in 0..10_000 {
            let chosen = pick(seating.first(), &known, &|_| false, &mut random);
            counts[chosen.expect("all are free")] += 1;
        }
        counts
    }

    fn near(count: u32, wanted: u32) -> bool {
        count.abs_diff(wanted) < 300
    }

    #[test]
    fn equals_share_by_weight() {
        let of = |weight| Standing { weight, ..standing() };
        let even = shares(
            &[of(1), of(1), of(1)],
            vec![(0, measured(900)), (0, measured(1000)), (0, measured(1100))],
        );
        assert!(even.iter().all(|&count| near(count, 3333)), "{even:?}");
        let weighted = shares(&[of(1), of(3)], vec![(0, measured(1000)); 2]);
        assert!(near(weighted[1], 7500), "{weighted:?}");
        // In flight by weight is even too.
        let loaded = shares(&[of(1), of(3)], vec![(10, measured(1000)), (30, measured(1000))]);
        assert!(near(loaded[1], 7500), "{loaded:?}");
    }

    #[test]
    fn slow_or_busy_endpoints_are_avoided() {
        let slow =
            shares(&[standing(); 3], vec![(0, measured(1000)), (0, measured(500_000)), (0, measured(1000))]);
        assert_eq!(slow[1], 0);
        let busy = shares(&[standing(); 2], vec![(3, measured(1000)), (1, measured(1000))]);
        assert_eq!(busy[0], 0);
    }

    #[test]
    fn an_unmeasured_endpoint_gets_its_share_and_no_more() {
        let new = shares(&[standing(); 2], vec![(20, measured(50_000)), (0, Quality::default())]);
        assert!(near(new[1], 5000), "{new:?}");
        let all_new = shares(&[standing(); 4], vec![(0, Quality::default()); 4]);
        assert!(all_new.iter().all(|&count| near(count, 2500)), "{all_new:?}");
    }

    #[test]
    fn a_ramping_endpoint_gets_its_part_of_the_share_and_no_more() {
        let ramping = Standing { ramp: Ramp { share: 64, next: Moment::NEVER }, ..standing() };
        let counts = shares(&[standing(), ramping], vec![(20, measured(50_000)), (0, measured(1000))]);
        assert!(near(counts[1], 2000), "{counts:?}");
    }

    #[test]
    fn errors_earn_nothing() {
        let mut failing = measured(1000);
        for _ in 0..40 {
            failing = failing.failed(NOW);
        }
        let counts = shares(&[standing(); 2], vec![(10, measured(50_000)), (0, failing)]);
        assert!(counts[1] <= 5300, "{counts:?}");
        let idle = shares(&[standing(); 2], vec![(0, measured(1500)), (0, failing)]);
        assert_eq!(idle[1], 0, "the good one is preferred where it costs nothing");
    }

    #[test]
    fn an_endpoint_that_hangs_is_avoided_however_fast_it_was() {
        let (seating, mut random) = (seating_of(&[standing(); 3]), Random::new(5));
        for quality in [measured(800), Quality::default()] {
            let known = || Known(vec![(1, quality), (2, measured(20_000)), (2, measured(20_000))]);
            let mut count = |waited_us| {
                let load = Hanging(known(), waited_us);
                let picks = (0..1000).map(|_| pick(seating.first(), &load, &|_| false, &mut random));
                picks.filter(|&picked| picked == Some(0)).count()
            };
            assert!(count(0) > 200);
            assert_eq!(count(100_000), 0);
        }
    }

    #[test]
    fn what_was_tried_is_not_chosen_again() {
        let (seating, mut random) = (seating_of(&[standing(); 3]), Random::new(5));
        let known = Known(vec![(0, measured(1)), (90, measured(90_000)), (0, measured(1))]);
        for _ in 0..100 {
            assert_eq!(pick(seating.first(), &known, &|index| index != 1, &mut random), Some(1));
        }
        assert_eq!(pick(seating.first(), &known, &|_| true, &mut random), None);
    }
}
