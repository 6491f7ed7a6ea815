//! A cache of recent password verifications, so that not every request costs a hash. Keeps no password, only
//! its keyed hash.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::asker::Asker;

/// How long a successful verification is valid after its last use. A change of the file ends it sooner. Long
/// enough that a person who reads between clicks does not wait for a hash, in whatever flood of guesses.
const RIGHT_HOLDS: Duration = Duration::from_secs(300);

/// How long a failed one is repeated without a hash: for clients that retry the same password.
const WRONG_HOLDS: Duration = Duration::from_secs(5);

/// Verdicts of each kind. Successful ones are kept apart, because any client can cause failed ones.
const VERDICTS_MAX: usize = 4096;

/// A keyed hash of a name and a password: 128 bits that cannot be computed without the secret key.
pub(super) type VerdictKey = [u64; 2];

/// The secret keys, the same on all cores, which share what they know.
static HASHERS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);

/// Identifies what verdicts are about.
pub(super) fn scope(of: impl Hash) -> u64 {
    HASHERS[0].hash_one(of)
}

/// The key of these credentials, sent from there. What is known of one address says nothing to another: else
/// an answer without a hash would tell a guesser, who has to wait, which guess is the password of a user who
/// is logged in elsewhere.
pub(super) fn key(asker: Asker, name: &str, password: &[u8]) -> VerdictKey {
    // Both with their length, so that no two pairs have the same input.
    [0, 1].map(|one: usize| HASHERS[one].hash_one((asker, name, password)))
}

#[derive(Debug, Default)]
pub(super) struct Verdicts {
    right: HashMap<VerdictKey, Instant>,
    wrong: HashMap<VerdictKey, Instant>,
}

impl Verdicts {
    /// Whether the password matches, if that is known.
    pub(super) fn get(&mut self, key: &VerdictKey, now: Instant) -> Option<bool> {
        if let Some(until) = self.right.get_mut(key).filter(|until| now < **until) {
            *until = now + RIGHT_HOLDS;
            return Some(true);
        }
        self.wrong.get(key).is_some_and(|until| now < *until).then_some(false)
    }

    /// Whether it was a right one, however long ago: those are kept until there are too many.
    pub(super) fn was_right(&self, key: &VerdictKey) -> bool {
        self.right.contains_key(key)
    }

    pub(super) fn insert(&mut self, key: VerdictKey, fits: bool, now: Instant) {
        let (kind, holds) =
            if fits { (&mut self.right, RIGHT_HOLDS) } else { (&mut self.wrong, WRONG_HOLDS) };
        if kind.len() >= VERDICTS_MAX {
            kind.retain(|_, until| now < *until);
        }
        if kind.len() >= VERDICTS_MAX {
            // The half that was used longest ago: dropping all at once would cause all their hashes at once.
            let mut ends: Vec<Instant> = kind.values().copied().collect();
            let (_, median, _) = ends.select_nth_unstable(VERDICTS_MAX / 2);
            let median = *median;
            kind.retain(|_, until| *until > median);
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

    /// From one address.
    fn key(scope: u64, name: &str, password: &[u8]) -> VerdictKey {
        super::key(Asker::new(scope, Some([192, 0, 2, 1].into())), name, password)
    }

    #[test]
    fn verdicts_hold_for_their_time_after_their_last_use() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let (right, wrong) = (key(1, "a", b"b"), key(1, "a", b"c"));
        verdicts.insert(right, true, now);
        verdicts.insert(wrong, false, now);
        assert_eq!((verdicts.get(&right, now), verdicts.get(&wrong, now)), (Some(true), Some(false)));
        assert_eq!(verdicts.get(&wrong, now + WRONG_HOLDS), None);
        let used = now + RIGHT_HOLDS - Duration::from_millis(1);
        assert_eq!(verdicts.get(&right, used), Some(true));
        assert_eq!(verdicts.get(&right, now + RIGHT_HOLDS), Some(true));
        assert_eq!(verdicts.get(&right, now + 2 * RIGHT_HOLDS), None);
        assert!(verdicts.was_right(&right) && !verdicts.was_right(&wrong), "what is no verdict any more");
        verdicts.insert(right, true, now);
        verdicts.clear();
        assert_eq!(verdicts.get(&right, now), None);
    }

    #[test]
    fn names_and_passwords_do_not_run_together() {
        let this = key(1, "ab", b"c");
        assert_eq!(this, key(1, "ab", b"c"));
        for (name, password) in [("a", &b"bc"[..]), ("abc", b""), ("", b"abc"), ("AB", b"c")] {
            assert_ne!(this, key(1, name, password));
        }
        assert_ne!(this, key(2, "ab", b"c"), "of another file, or of another version of it");
        let elsewhere = Asker::new(1, Some([192, 0, 2, 2].into()));
        assert_ne!(this, super::key(elsewhere, "ab", b"c"), "from another address");
    }

    #[test]
    fn they_are_bounded_and_wrong_ones_drive_no_right_one_out() {
        let (mut verdicts, now) = (Verdicts::default(), Instant::now());
        let right = key(1, "a", b"right");
        verdicts.insert(right, true, now);
        for guess in 0..5 * VERDICTS_MAX as u64 {
            verdicts.insert([guess, guess], false, now);
        }
        assert!(verdicts.wrong.len() <= VERDICTS_MAX);
        assert_eq!(verdicts.get(&right, now), Some(true));
        for user in 0..5 * VERDICTS_MAX as u64 {
            let later = now + Duration::from_millis(user);
            verdicts.insert([user, user], true, later);
            assert_eq!(verdicts.get(&right, later), Some(true), "one in use stays, with however many others");
        }
        assert!(verdicts.right.len() <= VERDICTS_MAX);
    }
}
