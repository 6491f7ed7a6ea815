//! Smooth weighted round robin: with weights 5, 1, 1 the order is `a a b a c a a`, and not `a a a a a b c`.
//! Pure.
//!
//! The order is computed once for a row of seats, and all cores take their turns in it from one counter of
//! the process: so shares are exact over all cores, however few requests each of them has.

use super::seats::Row;

/// Turns of a round at most, or as many as there are endpoints. Weights whose sum is larger are rounded: an
/// endpoint's share is then wrong by less than half a turn of a round.
const TURNS_MAX: u64 = 512;

/// The order in which the endpoints of a row have their turns.
#[derive(Debug, Default)]
pub(crate) struct Round(Vec<usize>);

impl Round {
    pub(crate) fn new(row: Row<'_>) -> Self {
        let weights = turns(row);
        let total: i64 = weights.iter().sum();
        // nginx's algorithm: everyone gains its weight, the richest has the turn and pays the total.
        let mut credit = vec![0; weights.len()];
        let turn = |_| {
            credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
            let richest = (0..credit.len()).rev().max_by_key(|&at| credit[at]).unwrap_or(0);
            credit[richest] -= total;
            row.0[richest].index
        };
        let equal = weights.iter().all(|weight| *weight == 1);
        Self(if equal {
            row.0.iter().map(|seat| seat.index).collect()
        } else {
            (0..total).map(turn).collect()
        })
    }

    /// Whose turn it is, or the next one's who is free.
    #[inline]
    pub(crate) fn pick(&self, turn: u64, taken: &impl Fn(usize) -> bool) -> Option<usize> {
        let first = (turn % self.0.len().max(1) as u64) as usize;
        let (before, after) = self.0.split_at(first.min(self.0.len()));
        after.iter().chain(before).copied().find(|&index| !taken(index))
    }
}

/// The weights in lowest terms, and scaled down where a round would be too long.
fn turns(row: Row<'_>) -> Vec<i64> {
    let divisor = row.0.iter().fold(0, |divisor, seat| gcd(divisor, seat.weight)).max(1);
    let total = row.total() / divisor;
    let max = TURNS_MAX.max(row.0.len() as u64);
    let scaled = |seat: &super::seats::Seat| {
        let weight = seat.weight / divisor;
        let turns = if total <= max { weight } else { (weight * max + total / 2) / total };
        turns.max(1) as i64
    };
    row.0.iter().map(scaled).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::seats::Standing;
    use super::super::seats::tests::{seating_of, standing};
    use super::*;

    fn round(weights: &[u32]) -> Round {
        let standings: Vec<_> = weights.iter().map(|&weight| Standing { weight, ..standing() }).collect();
        Round::new(seating_of(&standings).first())
    }

    #[test]
    fn turns_are_spread() {
        assert_eq!(round(&[5, 1, 1]).0, [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(round(&[1, 1, 1]).0, [0, 1, 2]);
        assert_eq!(round(&[7, 7]).0, [0, 1]);
        assert_eq!(round(&[2, 4]).0, [1, 0, 1]);
    }

    #[test]
    fn the_next_free_one_takes_the_turn() {
        let round = round(&[1, 1, 1]);
        let picks = |turn, busy: &[usize]| round.pick(turn, &|index| busy.contains(&index));
        assert_eq!((picks(4, &[]), picks(4, &[1]), picks(4, &[1, 2])), (Some(1), Some(2), Some(0)));
        assert_eq!(picks(4, &[0, 1, 2]), None);
        assert_eq!(Round::default().pick(4, &|_| false), None);
    }

    proptest! {
        #[test]
        fn shares_are_exact_and_nobody_waits_long(weights in prop::collection::vec(1..9_u32, 1..9)) {
            let round = round(&weights);
            let divisor = weights.iter().fold(0, |d, &w| gcd(d, u64::from(w)));
            let total = round.0.len();
            for (index, &weight) in weights.iter().enumerate() {
                let turns = weight as usize / divisor as usize;
                prop_assert_eq!(round.0.iter().filter(|&&at| at == index).count(), turns);
                // Within any stretch the turns differ from the share by less than two.
                for length in 1..=total {
                    let begun = round.0[..length].iter().filter(|&&at| at == index).count();
                    let share = turns as f64 * length as f64 / total as f64;
                    prop_assert!((begun as f64 - share).abs() < 2.0);
                }
            }
        }

        #[test]
        fn huge_weights_are_rounded(weights in prop::collection::vec(1..1_000_000_u32, 1..40)) {
            let round = round(&weights);
            let turns = round.0.len() as f64;
            prop_assert!(turns <= (TURNS_MAX + weights.len() as u64) as f64);
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            for (index, &weight) in weights.iter().enumerate() {
                let count = round.0.iter().filter(|&&at| at == index).count() as f64;
                prop_assert!(count >= 1.0 && (count - turns * f64::from(weight) / total).abs() < 1.5);
            }
        }
    }
}
