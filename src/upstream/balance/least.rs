//! Least requests: the endpoint with the fewest requests in flight by its weight. Pure.
//!
//! Ties are decided by weight at random, and as with two choices only an endpoint that is known to be good
//! takes the place of the drawn one: a new one is not flooded, and one that fails fast, and so never has
//! anything in flight, gets no more than its share.

use super::random::Random;
use super::seats::{Row, Seat};
use super::two_choices::Load;

pub(crate) fn pick(
    row: Row<'_>,
    load: &impl Load,
    taken: &impl Fn(usize) -> bool,
    random: &mut Random,
) -> Option<usize> {
    let drawn = row.draw_free(taken, random)?;
    // In flight by weight, compared without a division: a/wa < b/wb.
    let is_less = |a: (u64, &Seat), b: (u64, &Seat)| {
        u128::from(a.0) * u128::from(b.1.weight) < u128::from(b.0) * u128::from(a.1.weight)
    };
    let in_flight = |seat: &Seat| u64::from(load.in_flight(seat.index));
    let mut best = (in_flight(drawn), drawn);
    let start = random.below(row.0.len() as u64) as usize;
    for seat in row.0[start..].iter().chain(&row.0[..start]) {
        let here = (in_flight(seat), seat);
        let may_win = is_less(here, best) && !seat.is_ramping() && !taken(seat.index);
        if may_win && load.quality(seat.index).is_proven() {
            best = here;
        }
    }
    Some(best.1.index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::seats::Standing;
    use super::super::seats::tests::{seating_of, standing};
    use super::*;
    use crate::upstream::moment::Moment;
    use crate::upstream::quality::Quality;

    struct Known(Vec<u32>, Vec<Quality>);

    impl Load for Known {
        fn in_flight(&self, index: usize) -> u32 {
            self.0[index]
        }

        fn quality(&self, index: usize) -> Quality {
            self.1[index]
        }
    }

    fn good() -> Quality {
        Quality::default().succeeded(Duration::from_millis(1), Moment(1))
    }

    #[test]
    fn the_least_busy_one_by_weight_is_chosen() {
        let standings = [1, 4, 1].map(|weight| Standing { weight, ..standing() });
        let (seating, mut random) = (seating_of(&standings), Random::new(1));
        let pick = |in_flight: [u32; 3], random: &mut Random| {
            super::pick(seating.first(), &Known(in_flight.into(), vec![good(); 3]), &|_| false, random)
                .unwrap()
        };
        assert!((0..100).all(|_| pick([2, 7, 2], &mut random) == 1));
        assert!((0..100).all(|_| pick([2, 9, 3], &mut random) == 0));
        let ties = (0..6000).filter(|_| pick([0, 0, 0], &mut random) == 1).count();
        assert!((3800..4200).contains(&ties), "{ties}");
    }

    #[test]
    fn what_is_not_known_to_be_good_gets_no_more_than_its_share() {
        let (seating, mut random) = (seating_of(&[standing(); 2]), Random::new(1));
        let failing = (0..9).fold(good(), |quality, _| quality.failed(Moment(1)));
        for idle in [Quality::default(), failing] {
            let known = Known(vec![9, 0], vec![good(), idle]);
            let count =
                (0..4000).filter(|_| pick(seating.first(), &known, &|_| false, &mut random) == Some(1));
            assert!((1850..2150).contains(&count.count()));
        }
        let known = Known(vec![9, 0], vec![good(); 2]);
        assert_eq!(pick(seating.first(), &known, &|index| index == 1, &mut random), Some(0));
    }
}
