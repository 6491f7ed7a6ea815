//! Whether head is worse than base: from the ratio of each block to a verdict against a threshold.
//! Does not know what was measured, nor how.
//!
//! Ratios are compared by their logarithms, so that twice and half as much are equally far from no change.

use serde::{Deserialize, Serialize};

use super::signed_rank;

/// Share of intervals that hold the true change, at the least. A comparison looks at most twice, so that both
/// looks together err in at most 5 of 100. Ten blocks make it 98.0 %, twenty 97.6 %.
pub(crate) const COVERAGE_MIN: f64 = 0.975;

/// Blocks without which no interval has [`COVERAGE_MIN`].
pub(crate) const BLOCKS_MIN: usize = 7;

/// Blocks beyond which a comparison goes on for ever; the distribution is counted up to here.
pub(crate) const BLOCKS_MAX: usize = signed_rank::DIFFERENCES_MAX;

/// Quantiles of the normal distribution, used for the detectable effect alone: four of five, and the
/// half of the interval's error that lies on one side.
const Z_POWER: f64 = 0.8416;
const Z_INTERVAL: f64 = 2.2414;

/// Which way a figure should go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// More is better: throughput.
    Higher,
    /// Less is better: time, CPU.
    Lower,
}

/// What a comparison of one figure came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// The whole interval is worse than the threshold allows.
    Regressed,
    /// No part of it is.
    Pass,
    /// As pass, and all of it is better by more than the threshold.
    Improved,
    /// The interval holds the threshold: more blocks may decide.
    Undecided,
}

/// The change of one figure from base to head, as ratios minus 1: 0.03 is 3 % more.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The estimate.
    pub(crate) estimate: f64,
    /// Its interval.
    pub(crate) low: f64,
    /// Its interval.
    pub(crate) high: f64,
    /// Share of such intervals that hold the truth.
    pub(crate) coverage: f64,
    /// Blocks it rests on.
    pub(crate) blocks: usize,
    /// The threshold.
    pub(crate) delta: f64,
    /// The true worsening that would be called regressed in four of five comparisons like this one.
    pub(crate) detectable: f64,
    /// What follows.
    pub(crate) verdict: Verdict,
}

/// Judges the ratios head / base of some blocks; `delta` is the share by which head may be worse (0.03).
/// `None` with fewer blocks than [`BLOCKS_MIN`] or more than [`BLOCKS_MAX`], or a ratio that is not positive.
pub(crate) fn judge(ratios: &[f64], better: Better, delta: f64) -> Option<Change> {
    // Worse is up, whichever way the figure should go.
    let sign = if better == Better::Lower { 1.0 } else { -1.0 };
    let worse: Vec<f64> = ratios.iter().map(|ratio| sign * ratio.ln()).collect();
    let found = signed_rank::estimate(&worse, COVERAGE_MIN)?;
    let limit = threshold(better, delta);
    let verdict = if found.low > limit {
        Verdict::Regressed
    } else if found.high < -limit {
        Verdict::Improved
    } else if found.high <= limit {
        Verdict::Pass
    } else {
        Verdict::Undecided
    };
    let half_width = (found.high - found.low) / 2.0;
    let detectable = limit + half_width * (1.0 + Z_POWER / Z_INTERVAL);
    let share = |worse: f64| (sign * worse).exp_m1();
    let (low, high) = if sign > 0.0 { (found.low, found.high) } else { (found.high, found.low) };
    Some(Change {
        estimate: share(found.centre),
        low: share(low),
        high: share(high),
        coverage: found.coverage,
        blocks: ratios.len(),
        delta,
        detectable: share(detectable).abs(),
        verdict,
    })
}

/// A worsening by the share `delta`, as a logarithm.
fn threshold(better: Better, delta: f64) -> f64 {
    match better {
        Better::Lower => delta.ln_1p(),
        Better::Higher => -(-delta).ln_1p(),
    }
}

/// Whether a single ratio is worse than the threshold allows; chance is not considered.
pub(crate) fn is_beyond(ratio: f64, better: Better, delta: f64) -> bool {
    match better {
        Better::Lower => ratio > 1.0 + delta,
        Better::Higher => ratio < 1.0 - delta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splitmix64, and the sum of twelve uniform numbers for a normal one.
    struct Chance(u64);

    impl Chance {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
        }

        /// Noise with rare great outliers, as shared machines make.
        fn noise(&mut self, sigma: f64) -> f64 {
            let factor = if self.uniform() < 0.05 { 5.0 } else { 1.0 };
            self.normal() * sigma * factor
        }
    }

    /// A whole comparison, with its second look; the change and the noise are shares.
    fn compare(chance: &mut Chance, change: f64, sigma: f64, better: Better, delta: f64) -> Verdict {
        let mut ratios = Vec::new();
        for blocks in [10, 20] {
            ratios.resize_with(blocks, || (1.0 + change) * chance.noise(sigma).exp());
            let verdict = judge(&ratios, better, delta).unwrap().verdict;
            if verdict != Verdict::Undecided {
                return verdict;
            }
        }
        Verdict::Undecided
    }

    fn share_of(verdict: Verdict, runs: u64, mut run: impl FnMut(&mut Chance) -> Verdict) -> f64 {
        let hits = (0..runs).filter(|&seed| run(&mut Chance(seed * 7919 + 1)) == verdict).count();
        hits as f64 / runs as f64
    }

    #[test]
    fn a_comparison_with_itself_raises_at_most_one_alarm_in_twenty() {
        for (sigma, delta) in [(0.005, 0.03), (0.02, 0.03), (0.05, 0.05), (0.3, 0.10)] {
            for better in [Better::Lower, Better::Higher] {
                let alarms =
                    share_of(Verdict::Regressed, 500, |chance| compare(chance, 0.0, sigma, better, delta));
                assert!(alarms <= 0.05, "{alarms} with noise of {sigma} against {delta}");
            }
        }
        // Noise that buries any effect, and no tolerance: the bound is the interval's own.
        let alarms = share_of(Verdict::Regressed, 1000, |c| compare(c, 0.0, 0.1, Better::Lower, 0.0));
        assert!((0.001..=0.05).contains(&alarms), "{alarms}");
    }

    #[test]
    fn a_tenth_more_cpu_is_seen() {
        for sigma in [0.005, 0.02, 0.04] {
            let seen = share_of(Verdict::Regressed, 500, |c| compare(c, 0.10, sigma, Better::Lower, 0.03));
            assert!(seen >= 0.95, "{seen} with noise of {sigma}");
            let seen = share_of(Verdict::Regressed, 500, |c| compare(c, -0.10, sigma, Better::Higher, 0.03));
            assert!(seen >= 0.95, "{seen} with noise of {sigma}");
        }
    }

    #[test]
    fn quiet_machines_pass_and_noisy_ones_decide_nothing() {
        let pass = share_of(Verdict::Pass, 300, |c| compare(c, 0.0, 0.01, Better::Lower, 0.03));
        assert!(pass >= 0.95, "{pass}");
        let open = share_of(Verdict::Undecided, 300, |c| compare(c, 0.0, 0.3, Better::Lower, 0.03));
        assert!(open >= 0.9, "{open}");
    }

    #[test]
    fn the_detectable_effect_is_seen_four_times_in_five() {
        for better in [Better::Lower, Better::Higher] {
            let (mut seen, runs) = (0, 600);
            for seed in 0..runs {
                let chance = &mut Chance(seed);
                let mut draw = |change: f64| -> Vec<f64> {
                    (0..10).map(|_| (1.0 + change) * (chance.normal() * 0.02).exp()).collect()
                };
                let detectable = judge(&draw(0.0), better, 0.03).unwrap().detectable;
                let worsening = if better == Better::Lower { detectable } else { -detectable };
                let again = judge(&draw(worsening), better, 0.03).unwrap();
                seen += u64::from(again.verdict == Verdict::Regressed);
            }
            let share = seen as f64 / runs as f64;
            assert!((0.65..=0.92).contains(&share), "{share}");
        }
    }

    #[test]
    fn verdicts_keep_to_the_sides_of_the_threshold() {
        let all = |ratio: f64, better| judge(&[ratio; 10], better, 0.03).unwrap();
        for (ratio, lower, higher) in [
            (1.031, Verdict::Regressed, Verdict::Improved),
            (1.029, Verdict::Pass, Verdict::Pass),
            (0.971, Verdict::Pass, Verdict::Pass),
            (0.969, Verdict::Improved, Verdict::Regressed),
        ] {
            assert_eq!(all(ratio, Better::Lower).verdict, lower, "{ratio}");
            assert_eq!(all(ratio, Better::Higher).verdict, higher, "{ratio}");
        }
        let change = all(0.969, Better::Higher);
        assert!((change.estimate + 0.031).abs() < 1e-12);
        assert!((change.detectable - 0.03).abs() < 1e-12, "without noise the threshold is what can be seen");
        assert!(is_beyond(1.031, Better::Lower, 0.03) && !is_beyond(0.5, Better::Lower, 0.03));
        assert!(is_beyond(0.969, Better::Higher, 0.03) && !is_beyond(2.0, Better::Higher, 0.03));
    }

    #[test]
    fn intervals_are_ordered_whichever_way_is_better() {
        let ratios = [0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 0.99, 1.01, 1.02, 0.98];
        for better in [Better::Lower, Better::Higher] {
            let change = judge(&ratios, better, 0.03).unwrap();
            assert!(change.low < change.estimate && change.estimate < change.high, "{change:?}");
            assert_eq!((change.verdict, change.blocks), (Verdict::Undecided, 10));
        }
    }

    #[test]
    fn what_cannot_be_judged_is_not() {
        assert_eq!(judge(&[1.0; BLOCKS_MIN - 1], Better::Lower, 0.03), None);
        assert!(judge(&[1.0; BLOCKS_MIN], Better::Lower, 0.03).is_some());
        assert!(judge(&[1.0; BLOCKS_MAX], Better::Lower, 0.03).is_some());
        assert_eq!(judge(&[1.0; BLOCKS_MAX + 1], Better::Lower, 0.03), None);
        assert_eq!(judge(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], Better::Lower, 0.03), None);
        assert_eq!(judge(&[f64::NAN; 10], Better::Higher, 0.03), None);
    }
}
