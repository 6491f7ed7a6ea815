//! Rendezvous hashing (Thaler and Ravishankar 1998), weighted: of all endpoints the one with the highest
//! score for the key. Needs no table, and looks at every endpoint. Pure.

use super::consistent::accepts;
use super::hash::combine;
use super::seats::Row;

/// The endpoint of a key in this row. `name` is the hash of an endpoint's name, `weight` its configured
/// weight.
pub(crate) fn pick(
    key: u64,
    row: Row<'_>,
    endpoint: impl Fn(usize) -> (u64, u32),
    taken: &impl Fn(usize) -> bool,
) -> Option<usize> {
    let free = row.0.iter().filter(|seat| !taken(seat.index));
    let scored = free.map(|seat| {
        let (name, weight) = endpoint(seat.index);
        let accepts = accepts(key, seat);
        (accepts, score(combine(name, key), weight), seat.index)
    });
    // What accepts the key first, then the score. Scores of two endpoints are never equal but by chance.
    let better = |a: &(bool, f64, usize), b: &(bool, f64, usize)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
    scored.max_by(better).map(|(_, _, index)| index)
}

/// −weight / ln(u), for u from the hash in (0, 1): shares are as the weights, and a change of one weight
/// moves only keys from or to it.
fn score(hash: u64, weight: u32) -> f64 {
    let unit = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(weight) / unit.ln()
}

#[cfg(test)]
mod tests {
    use super::super::hash::hash;
    use super::super::seats::Standing;
    use super::super::seats::tests::{seating_of, standing};
    use super::*;

    fn map<'a>(endpoints: &[(&'a str, u32)], usable: impl Fn(&str) -> bool) -> Vec<&'a str> {
        let standings = endpoints.iter().map(|(name, weight)| Standing {
            weight: *weight,
            healthy: usable(name),
            ..standing()
        });
        let seating = seating_of(&standings.collect::<Vec<_>>());
        let endpoint = |index: usize| (hash(endpoints[index].0.as_bytes()), endpoints[index].1);
        let keys = (0..3000).map(|key: u32| hash(key.to_string().as_bytes()));
        let chosen =
            keys.map(|key| pick(key, seating.first(), endpoint, &|_| false).expect("some are usable"));
        chosen.map(|index| endpoints[index].0).collect()
    }

    const THREE: [(&str, u32); 3] = [("a:1", 1), ("b:1", 2), ("c:1", 3)];

    #[test]
    fn shares_follow_weights_in_any_order() {
        let before = map(&THREE, |_| true);
        assert_eq!(map(&[THREE[2], THREE[0], THREE[1]], |_| true), before);
        for ((name, _), share) in THREE.iter().zip([500, 1000, 1500]) {
            let count = before.iter().filter(|at| *at == name).count();
            assert!(count.abs_diff(share) < 120, "{name}: {count}");
        }
    }

    #[test]
    fn one_that_goes_moves_only_its_own_keys() {
        let (before, after) = (map(&THREE, |_| true), map(&THREE, |name| name != "b:1"));
        assert!(before.iter().zip(&after).all(|(b, a)| (b == a) == (*b != "b:1")));
        let mut heavier = THREE;
        heavier[0].1 = 2;
        let moved = map(&heavier, |_| true);
        assert!(before.iter().zip(&moved).all(|(b, m)| b == m || *m == "a:1"));
    }
}
