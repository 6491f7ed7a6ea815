//! Wilcoxon's signed-rank distribution, counted exactly, and what Hodges and Lehmann made of it: the centre
//! of paired differences with an interval that assumes no normal distribution, only that chance shifts a
//! difference as often up as down by the same amount. Knows nothing of servers.
//!
//! The Walsh averages of n differences are the n (n + 1) / 2 means of each pair, each difference with itself
//! included. Their median is the estimate. The k-th smallest and k-th largest bound an interval that misses
//! the true centre with probability 2 P(T ≤ k - 1), T being the signed-rank statistic of n differences
//! without an effect.
//!
//! Differences of zero and equal differences are kept, as an interval needs no ranks: with ties it holds the
//! truth at least as often as without them.

/// Differences up to which the distribution is counted: its 2^n cases fit an integer with room to spare, and
/// with more, no exact interval is needed.
pub(crate) const DIFFERENCES_MAX: usize = 40;

/// The estimate and its interval, in the unit of the differences.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Estimate {
    /// The median of the Walsh averages.
    pub(crate) centre: f64,
    /// The smallest centre that the differences are compatible with.
    pub(crate) low: f64,
    /// The greatest.
    pub(crate) high: f64,
    /// The share of such intervals that hold the true centre, at least the one that was asked for.
    pub(crate) coverage: f64,
    /// The interval begins with this Walsh average, counted from 1, and ends with the same from above.
    pub(crate) rank: usize,
}

/// Estimates the centre with an interval of at least this coverage. `None` where no such interval exists:
/// too few differences for it, more than [`DIFFERENCES_MAX`], or one that is no number.
pub(crate) fn estimate(differences: &[f64], coverage_min: f64) -> Option<Estimate> {
    let n = differences.len();
    if n > DIFFERENCES_MAX || differences.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let rank = interval_rank(n, coverage_min)?;
    let averages = walsh_averages(differences);
    Some(Estimate {
        centre: median(&averages)?,
        low: averages[rank - 1],
        high: averages[averages.len() - rank],
        coverage: 1.0 - 2.0 * at_most(n, rank - 1),
        rank,
    })
}

/// P(T ≤ `statistic`) for `n` differences without an effect: the share of the 2^n ways to choose among the
/// ranks 1 to n whose sum is at most that.
pub(crate) fn at_most(n: usize, statistic: usize) -> f64 {
    let cases: u64 = ways(n).iter().take(statistic + 1).sum();
    cases as f64 / (1u64 << n) as f64
}

/// The greatest k for which the k-th Walsh averages from below and above have this coverage; `None` where
/// even the outermost have not.
fn interval_rank(n: usize, coverage_min: f64) -> Option<usize> {
    let miss_max = (1.0 - coverage_min) / 2.0 * (1u64 << n) as f64;
    let mut cases = 0;
    let ways = ways(n);
    let within = ways.iter().take_while(|&&more| {
        cases += more;
        cases as f64 <= miss_max
    });
    // Past the middle both ends would meet; only a coverage of next to nothing leads there.
    Some(within.count().min(n * (n + 1) / 4)).filter(|&rank| rank > 0)
}

/// In how many ways ranks of 1 to n add up to 0, 1, 2 …: each rank is taken or not.
fn ways(n: usize) -> Vec<u64> {
    assert!(n <= DIFFERENCES_MAX, "the caller keeps to the bound");
    let mut ways = vec![0u64; n * (n + 1) / 2 + 1];
    ways[0] = 1;
    for rank in 1..=n {
        for sum in (rank..ways.len()).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

/// Ascending.
fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let mut averages = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
    for (at, first) in differences.iter().enumerate() {
        averages.extend(differences[at..].iter().map(|second| first / 2.0 + second / 2.0));
    }
    averages.sort_by(f64::total_cmp);
    averages
}

/// Of ascending values.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some(if sorted.len() % 2 == 1 { upper } else { (sorted[sorted.len() / 2 - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Critical values of the two-sided test at 5 % for n = 6 to 20: the greatest T with 2 P(T ≤ t) ≤ 0.05.
    /// Wilcoxon, Some Rapid Approximate Statistical Procedures (1949), as printed in most textbooks.
    const TWO_SIDED_5: [usize; 15] = [0, 2, 3, 5, 8, 10, 13, 17, 21, 25, 29, 34, 40, 46, 52];
    /// The same one-sided at 5 %, for n = 5 to 20.
    const ONE_SIDED_5: [usize; 16] = [0, 2, 3, 5, 8, 10, 13, 17, 21, 25, 30, 35, 41, 47, 53, 60];
    /// The same two-sided at 1 %, for n = 8 to 20.
    const TWO_SIDED_1: [usize; 13] = [0, 1, 3, 5, 7, 9, 12, 15, 19, 23, 27, 32, 37];

    fn critical(n: usize, one_sided: f64) -> Option<usize> {
        (0..=n * (n + 1) / 2).take_while(|&t| at_most(n, t) <= one_sided).last()
    }

    #[test]
    fn the_distribution_has_the_printed_critical_values() {
        for (n, &value) in (6..).zip(&TWO_SIDED_5) {
            assert_eq!(critical(n, 0.025), Some(value), "n = {n}");
        }
        for (n, &value) in (5..).zip(&ONE_SIDED_5) {
            assert_eq!(critical(n, 0.05), Some(value), "n = {n}");
        }
        for (n, &value) in (8..).zip(&TWO_SIDED_1) {
            assert_eq!(critical(n, 0.005), Some(value), "n = {n}");
        }
        assert_eq!((critical(5, 0.025), critical(7, 0.005)), (None, None));
    }

    #[test]
    fn the_distribution_is_whole_and_symmetric() {
        for n in 1..=DIFFERENCES_MAX {
            let ways = ways(n);
            assert_eq!(ways.iter().sum::<u64>(), 1 << n, "n = {n}");
            assert!(ways.iter().eq(ways.iter().rev()), "n = {n}");
        }
    }

    /// Hollander and Wolfe, Nonparametric Statistical Methods, example 3.1: depression factor IV of nine
    /// patients before and after a tranquilliser. They find -0.46, and for α = 0.04 the interval from -0.786
    /// to -0.010, which begins with Walsh average 6 of 45.
    #[test]
    #[allow(clippy::approx_constant)] // a score of 3.14 is no circle
    fn the_depression_scores_of_hollander_and_wolfe() {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let differences: Vec<f64> = after.iter().zip(before).map(|(y, x)| y - x).collect();
        let found = estimate(&differences, 0.96).unwrap();
        assert!((found.centre + 0.46).abs() < 1e-9, "{found:?}");
        assert!((found.low + 0.786).abs() < 1e-9 && (found.high + 0.010).abs() < 1e-9, "{found:?}");
        assert_eq!(found.rank, 6);
        assert!((found.coverage - 0.961).abs() < 0.0005, "{found:?}");
        // Their statistic, T+ = 5 of differences that fell, has P = 0.0195.
        assert!((at_most(9, 5) - 0.0195).abs() < 0.00005);
    }

    /// Darwin's cross- and self-fertilised maize (The Effects of Cross and Self Fertilisation, 1876; Fisher,
    /// The Design of Experiments, chapter 3): fifteen differences in eighths of an inch. T- = 24, two-sided
    /// P = 0.0413; the interval for 95 % begins with Walsh average 26 of 120.
    #[test]
    fn the_maize_of_darwin_and_fisher() {
        let differences =
            [49.0, -67.0, 8.0, 16.0, 6.0, 23.0, 28.0, 41.0, 14.0, 29.0, 56.0, 24.0, 75.0, 60.0, -48.0];
        let found = estimate(&differences, 0.95).unwrap();
        let below = walsh_averages(&differences).iter().filter(|&&average| average < 0.0).count();
        assert_eq!(below, 24, "as many Walsh averages are negative as the negative ranks add up to");
        assert!((2.0 * at_most(15, 24) - 0.0413).abs() < 0.00005);
        assert_eq!(found.rank, 26);
        assert!(found.low > 0.0 && found.low < found.centre && found.centre < found.high, "{found:?}");
    }

    #[test]
    fn ten_blocks_take_averages_6_and_50_and_twenty_46_and_165() {
        for (n, rank, coverage) in [(10, 6, 0.98047), (20, 46, 0.97605)] {
            assert_eq!(interval_rank(n, 0.975), Some(rank));
            assert!((1.0 - 2.0 * at_most(n, rank - 1) - coverage).abs() < 0.000_005);
        }
        let ten: Vec<f64> = (0..10).map(|i| f64::from(i * i)).collect();
        let found = estimate(&ten, 0.975).unwrap();
        let averages = walsh_averages(&ten);
        assert_eq!((found.low, found.high), (averages[5], averages[49]));
        let twenty: Vec<f64> = (0..20).map(|i| f64::from(i * i)).collect();
        let found = estimate(&twenty, 0.975).unwrap();
        let averages = walsh_averages(&twenty);
        assert_eq!((found.low, found.high), (averages[45], averages[164]));
    }

    #[test]
    fn too_few_too_many_and_no_numbers_have_no_interval() {
        assert_eq!(estimate(&[], 0.975), None);
        assert_eq!(estimate(&[1.0; 6], 0.975), None, "its outermost averages miss 2 in 64");
        assert_eq!(estimate(&[1.0; 7], 0.975).map(|e| e.rank), Some(1));
        assert_eq!(estimate(&[1.0; 41], 0.975), None);
        assert_eq!(estimate(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, f64::NAN], 0.5), None);
    }

    #[test]
    fn ties_and_zeros_are_kept() {
        let found = estimate(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0], 0.975).unwrap();
        assert_eq!((found.centre, found.low), (0.0, 0.0));
        assert_eq!(found.high, 2.5, "one block of ten is not yet impossible");
    }
}
