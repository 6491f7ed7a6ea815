//! A cache of recent password verifications, so that not every request costs a hash. Keeps no password, only
//! its keyed hash.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

/// How long a successful verification is valid. A change of the file ends it sooner.
const RIGHT_HOLDS: Duration = Duration::from_secs(60);

/// How long a failed one is repeated without a hash: for clients that retry the same password.
const WRONG_HOLDS: Duration = Duration::from_secs(5);

/// Verdicts of each kind. Successful ones are kept apart, because any client can cause failed ones.
const VERDICTS_MAX: usize = 1024;

/// A keyed hash of a name and a password: 128 bits that cannot be computed without the secret key.
pub(super) type VerdictKey = [u64; 2];

#[derive(Debug, Default)]
pub(super) struct Verdicts {
    hashers: [RandomState; 2],
    right: HashMap<VerdictKey, Instant>,
    wrong: HashMap<VerdictKey, Instant>,
}

impl Verdicts {
    pub(super) fn key(&self, name: &str, password: &[u8]) -> VerdictKey {
        // Both with their length, so that no two pairs have the same input.
        [self.hashers[0].hash_one((name, password)), self.hashers[1].hash_one((name, password))]
    }

    /// Whether the password matches, if that is known.
    pub(super) fn get(&self, key: &VerdictKey, now: Instant) -> Option<bool> {
        let holds = |kind: &HashMap<VerdictKey, Instant>| kind.get(key).is_some_and(|until| now < *until);
        match (holds(&self.right), holds(&self.wrong)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        }
    }

    pub(super) fn insert(&mut self, key: VerdictKey, fits: bool, now: Instant) {
        let (kind, holds) =
            if fits { (&mut self.right, RIGHT_HOLDS) } else { (&mut self.wrong, WRONG_HOLDS) };
        if kind.len() >= VERDICTS_MAX {
            kind.retain(|_, until| now < *until);
        }
        if kind.len() >= VERDICTS_MAX {
            // Evicted ones only cost a hash each.
            kind.clear();
        }
        kind.insert(key, now + holds);
    }

    /// Clears the cache, because the passwords have changed.
    pub(super) fn clear(&mut self) {
        self.right.clear();
        self.wrong.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_hold_for_their_time() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let (right, wrong) = (verdicts.key("a", b"b"), verdicts.key("a", b"c"));
        verdicts.insert(right, true, now);
        verdicts.insert(wrong, false, now);
        assert_eq!((verdicts.get(&right, now), verdicts.get(&wrong, now)), (Some(true), Some(false)));
        assert_eq!(verdicts.get(&wrong, now + WRONG_HOLDS), None);
        assert_eq!(verdicts.get(&right, now + RIGHT_HOLDS - Duration::from_millis(1)), Some(true));
        assert_eq!(verdicts.get(&right, now + RIGHT_HOLDS), None);
        verdicts.clear();
        assert_eq!(verdicts.get(&right, now), None);
    }

    #[test]
    fn names_and_passwords_do_not_run_together() {
        let verdicts = Verdicts::default();
        let key = verdicts.key("ab", b"c");
        assert_eq!(key, verdicts.key("ab", b"c"));
        for (name, password) in [("a", &b"bc"[..]), ("abc", b""), ("", b"abc"), ("AB", b"c")] {
            assert_ne!(key, verdicts.key(name, password));
        }
        assert_ne!(key, Verdicts::default().key("ab", b"c"), "each has a secret of its own");
    }

    #[test]
    fn wrong_ones_are_bounded_and_drive_no_right_one_out() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let right = verdicts.key("a", b"right");
        verdicts.insert(right, true, now);
        for guess in 0..5 * VERDICTS_MAX as u64 {
            verdicts.insert([guess, guess], false, now);
        }
        assert!(verdicts.wrong.len() <= VERDICTS_MAX);
        assert_eq!(verdicts.get(&right, now), Some(true));
    }
}
