//! How long clients wait that have sent wrong passwords. A guess counts when it begins, so that many at once
//! count as many. Reads no clock, and verifies nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use super::asker::Asker;
use super::verdicts::VerdictKey;

/// Wrong passwords for one name from one address that cost no wait: more than a person needs to remember.
const FREE: u32 = 5;

/// The wait after the next one, which doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Wrong passwords are forgotten so long after the wait.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Addresses with names that are remembered.
const STRIKES_MAX: usize = 4096;

/// An address with a name, as a keyed hash, so that a client cannot choose collisions.
pub(super) type GuesserKey = u64;

/// By address and name: a proxy carries many users, who must not wait for guesses at another's name, and a
/// name may be guessed at from elsewhere than where its owner is.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    hasher: RandomState,
    strikes: HashMap<GuesserKey, Strikes>,
}

#[derive(Debug)]
struct Strikes {
    /// Guesses that were wrong, or are being verified.
    wrong: u32,
    until: Instant,
    /// Credentials that are being verified. INVARIANT: no more than guesses have begun.
    pending: Vec<VerdictKey>,
}

/// Whether a guess may begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It counts.
    Counted(GuesserKey),
    /// The same one is being verified: a browser sends its password with many requests at once.
    Repeated,
    /// Not before so long.
    Wait(Duration),
}

impl BackOff {
    /// A guess is to be verified.
    pub(super) fn begin(&mut self, asker: Asker, name: &str, guess: VerdictKey, now: Instant) -> Admission {
        let key = self.hasher.hash_one((asker, name));
        let is_remembered = |strikes: &Strikes| now < strikes.until + FORGOTTEN_AFTER;
        if self.strikes.len() >= STRIKES_MAX && !self.strikes.contains_key(&key) {
            self.strikes.retain(|_, strikes| is_remembered(strikes));
            self.forget_half();
        }
        let strikes =
            self.strikes.entry(key).or_insert(Strikes { wrong: 0, until: now, pending: Vec::new() });
        if strikes.pending.contains(&guess) {
            return Admission::Repeated;
        }
        if !is_remembered(strikes) {
            strikes.wrong = 0;
        }
        let wait = strikes.until.saturating_duration_since(now);
        if !wait.is_zero() {
            return Admission::Wait(wait);
        }
        strikes.wrong += 1;
        strikes.pending.push(guess);
        let wait = match strikes.wrong.checked_sub(FREE + 1) {
            Some(over) => WAIT_MAX.min(FIRST_WAIT * (1 << over.min(16))),
            None => Duration::ZERO,
        };
        strikes.until = now + wait;
        Admission::Counted(key)
    }

    /// The verification of a guess has ended: whether it was right, if it came to that.
    pub(super) fn end(&mut self, key: GuesserKey, guess: &VerdictKey, fits: Option<bool>) {
        if fits == Some(true) {
            self.strikes.remove(&key);
            return;
        }
        if let Some(strikes) = self.strikes.get_mut(&key) {
            strikes.pending.retain(|pending| pending != guess);
            if fits.is_none() {
                strikes.wrong = strikes.wrong.saturating_sub(1);
            }
            if strikes.wrong == 0 && strikes.pending.is_empty() {
                self.strikes.remove(&key);
            }
        }
    }

    /// Makes room: those go that have guessed least, and of these the ones that would be forgotten first.
    /// They only have their free tries again. Guesses at many names thus do not end the wait of those at one.
    fn forget_half(&mut self) {
        if self.strikes.len() < STRIKES_MAX {
            return;
        }
        let rank = |key: &GuesserKey, strikes: &Strikes| (strikes.wrong, strikes.until, *key);
        let mut ranks: Vec<_> = self.strikes.iter().map(|(key, strikes)| rank(key, strikes)).collect();
        let (_, median, _) = ranks.select_nth_unstable(STRIKES_MAX / 2);
        let median = *median;
        self.strikes.retain(|key, strikes| rank(key, strikes) > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u16) -> Asker {
        let [high, low] = number.to_be_bytes();
        Asker::new(1, Some([192, 0, high, low].into()))
    }

    impl BackOff {
        /// A guess that begins and is judged now; how long it would have to wait.
        fn guess(&mut self, asker: Asker, name: &str, fits: bool, now: Instant) -> Option<Duration> {
            match self.begin(asker, name, [0, 0], now) {
                Admission::Counted(key) => {
                    self.end(key, &[0, 0], Some(fits));
                    None
                }
                Admission::Wait(wait) => Some(wait),
                Admission::Repeated => panic!("none is pending"),
            }
        }
    }

    #[test]
    fn the_wait_doubles_and_a_right_password_ends_it() {
        let (mut back_off, mut now) = (BackOff::default(), Instant::now());
        for _ in 0..=FREE {
            assert_eq!(back_off.guess(client(1), "a", false, now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(back_off.guess(client(1), "a", false, now), Some(wait));
            for (other, name) in [(client(2), "a"), (client(1), "b")] {
                assert_eq!(back_off.guess(other, name, true, now), None, "others do not wait");
            }
            now += wait;
            assert_eq!(back_off.guess(client(1), "a", false, now), None);
        }
        now += WAIT_MAX;
        assert_eq!(back_off.guess(client(1), "a", true, now), None);
        for _ in 0..=FREE {
            assert_eq!(back_off.guess(client(1), "a", false, now), None);
        }
    }

    #[test]
    fn guesses_at_once_count_when_they_begin() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        let begun: Vec<_> = (0..64).map(|guess| back_off.begin(client(1), "a", [guess, 0], now)).collect();
        let counted = begun.iter().filter(|begun| matches!(begun, Admission::Counted(_))).count();
        assert_eq!(counted, FREE as usize + 1);
        assert_eq!(begun[63], Admission::Wait(FIRST_WAIT));
        // The same again is no further guess, until it was judged.
        assert_eq!(back_off.begin(client(1), "a", [3, 0], now), Admission::Repeated);
        let Admission::Counted(key) = begun[3] else { panic!("{:?}", begun[3]) };
        back_off.end(key, &[3, 0], Some(false));
        assert_eq!(back_off.begin(client(1), "a", [3, 0], now), Admission::Wait(FIRST_WAIT));
        back_off.end(key, &[4, 0], Some(true));
        assert!(matches!(back_off.begin(client(1), "a", [9, 0], now), Admission::Counted(_)));
    }

    #[test]
    fn what_was_not_judged_does_not_count() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for _ in 0..10 * FREE {
            let begun = back_off.begin(client(1), "a", [0, 0], now);
            let Admission::Counted(key) = begun else { panic!("{begun:?}") };
            back_off.end(key, &[0, 0], None);
        }
    }

    #[test]
    fn guesses_at_many_names_do_not_end_the_wait_for_one() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for _ in 0..=FREE {
            assert_eq!(back_off.guess(client(1), "a", false, now), None);
        }
        // Its wait is over, so it ends before those of all that follow.
        let later = now + FIRST_WAIT;
        for number in 0..3 * STRIKES_MAX {
            back_off.guess(client(1), &number.to_string(), false, later);
        }
        assert!(back_off.strikes.len() <= STRIKES_MAX);
        assert_eq!(back_off.guess(client(1), "a", false, later), None);
        assert_eq!(back_off.guess(client(1), "a", false, later), Some(2 * FIRST_WAIT));
        for number in 0..3 * STRIKES_MAX {
            let begun = back_off.begin(client(2), &number.to_string(), [0, 0], later);
            let Admission::Counted(key) = begun else { panic!("{begun:?}") };
            back_off.end(key, &[0, 0], None);
        }
        assert!(back_off.strikes.len() <= STRIKES_MAX);
        assert_eq!(back_off.guess(client(1), "a", false, later), Some(2 * FIRST_WAIT));
    }

    #[test]
    fn wrong_ones_are_forgotten_and_bounded() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for _ in 0..=FREE {
            back_off.guess(client(1), "a", false, now);
        }
        for number in 2..u16::MAX {
            back_off.guess(client(number), "a", false, now);
        }
        assert!(back_off.strikes.len() <= STRIKES_MAX);
        assert!(
            back_off.guess(client(1), "a", false, now).is_some(),
            "who waits is not forgotten for others"
        );
        let later = now + FIRST_WAIT + FORGOTTEN_AFTER;
        for _ in 0..=FREE {
            assert_eq!(back_off.guess(client(1), "a", false, later), None);
        }
    }
}
