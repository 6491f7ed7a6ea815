//! Random numbers that a seed repeats: SplitMix64. For loads, not for secrets.

/// A sequence of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of `seed` and `stream`; different streams have nothing in common.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03));
        random.0 = random.bits();
        random
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is above 0.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// The gap to the next of independent events that come once per unit of time on average.
    pub(crate) fn exponential(&mut self) -> f64 {
        let unit = ((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        -unit.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_streams_differ() {
        let take = |seed, stream| -> Vec<u64> {
            let mut random = Random::new(seed, stream);
            (0..8).map(|_| random.bits()).collect()
        };
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
    }

    #[test]
    fn means_are_what_they_should_be() {
        let mut random = Random::new(7, 0);
        let gaps = (0..100_000).map(|_| random.exponential()).sum::<f64>() / 1e5;
        assert!((0.98..1.02).contains(&gaps), "{gaps}");
        let below = (0..100_000).map(|_| random.below(10)).sum::<u64>() as f64 / 1e5;
        assert!((4.4..4.6).contains(&below), "{below}");
    }
}
