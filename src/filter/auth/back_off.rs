//! How long a client waits that has sent wrong passwords. Of one core, because a connection stays on its
//! core; a client that connects anew for each guess has its turns with others in the queue (see `pool`).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Wrong passwords for one name on one connection that cost no wait: more than a person needs to remember.
const FREE: u32 = 5;

/// The wait after the next one, which doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Wrong passwords are forgotten so long after the wait.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// Connections and names that are remembered.
const STRIKES_MAX: usize = 4096;

/// By connection and name: a connection of a proxy carries several users, and a name may be guessed at by
/// others than its owner. As a keyed hash, so that a client cannot choose collisions.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    hasher: RandomState,
    strikes: HashMap<u64, Strikes>,
}

#[derive(Debug)]
struct Strikes {
    wrong: u32,
    until: Instant,
}

impl BackOff {
    /// How long the client has to wait before its next password for this name is verified.
    pub(super) fn wait(&self, client: SocketAddr, name: &str, now: Instant) -> Option<Duration> {
        let strikes = self.strikes.get(&self.key(client, name))?;
        Some(strikes.until.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// A password was wrong, or right.
    pub(super) fn record(&mut self, client: SocketAddr, name: &str, fits: bool, now: Instant) {
        let key = self.key(client, name);
        if fits {
            self.strikes.remove(&key);
            return;
        }
        let is_remembered = |strikes: &Strikes| now < strikes.until + FORGOTTEN_AFTER;
        if self.strikes.len() >= STRIKES_MAX && !self.strikes.contains_key(&key) {
            self.strikes.retain(|_, strikes| is_remembered(strikes));
            if self.strikes.len() >= STRIKES_MAX {
                // Each of them only has its free tries again.
                self.strikes.clear();
            }
        }
        let strikes = self.strikes.entry(key).or_insert(Strikes { wrong: 0, until: now });
        if !is_remembered(strikes) {
            strikes.wrong = 0;
        }
        strikes.wrong += 1;
        if let Some(over) = strikes.wrong.checked_sub(FREE + 1) {
            strikes.until = now + WAIT_MAX.min(FIRST_WAIT * (1 << over.min(16)));
        } else {
            strikes.until = now;
        }
    }

    fn key(&self, client: SocketAddr, name: &str) -> u64 {
        self.hasher.hash_one((client, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn the_wait_doubles_and_a_right_password_ends_it() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for _ in 0..FREE {
            back_off.record(client(1), "a", false, now);
            assert_eq!(back_off.wait(client(1), "a", now), None);
        }
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            back_off.record(client(1), "a", false, now);
            assert_eq!(back_off.wait(client(1), "a", now), Some(Duration::from_secs(seconds)));
        }
        for (other, name) in [(client(2), "a"), (client(1), "b")] {
            assert_eq!(back_off.wait(other, name, now), None, "others do not wait");
        }
        assert_eq!(back_off.wait(client(1), "a", now + WAIT_MAX), None);
        back_off.record(client(1), "a", true, now);
        back_off.record(client(1), "a", false, now);
        assert_eq!(back_off.wait(client(1), "a", now), None);
    }

    #[test]
    fn wrong_ones_are_forgotten_and_bounded() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        for _ in 0..=FREE {
            back_off.record(client(1), "a", false, now);
        }
        let later = now + WAIT_MAX + FORGOTTEN_AFTER;
        back_off.record(client(1), "a", false, later);
        assert_eq!(back_off.wait(client(1), "a", later), None);
        for port in 0..u16::MAX {
            back_off.record(client(port), "a", false, now);
        }
        assert!(back_off.strikes.len() <= STRIKES_MAX);
    }
}
