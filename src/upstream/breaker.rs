//! The circuit breaker of an endpoint, shared by the cores. Pure but for its atomics.
//!
//! ```text
//! closed ──(failure_percent of a window with requests_min)──► open until a time
//!   ▲                                                          │ refuses; refusals change nothing
//!   │ `trials` successes                                       ▼ the time has come
//!   └───────────────────────────────── half-open: at most `trials` requests at once, of all cores
//!                                         │ a failure: open again
//! ```
//!
//! A trial whose client left frees its place and says nothing of the endpoint.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::moment::{Moment, micros};
use super::options::BreakerOptions;

/// Parts of a window. A request counts for at least nine tenths of the window and at most for all of it.
const PARTS: usize = 10;

/// A part of a window in one number: its number (20 bits), requests and failures (22 each).
const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const PART_MASK: u64 = (1 << 20) - 1;

/// One endpoint's.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// A [`Word`]. Zero: closed.
    word: AtomicU64,
    parts: [AtomicU64; PARTS],
}

/// When it is open or half-open: since when trials are allowed, how many run, how many have succeeded. The
/// time is also what tells one period from another, so that a late outcome of an earlier one is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word {
    /// In units of 1,024 microseconds, 48 bits; not zero.
    until: u64,
    running: u8,
    succeeded: u8,
}

/// The permission to try an endpoint whose breaker is half-open, of one period of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trial(u64);

/// What a request may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// It is closed.
    Free,
    /// It is half-open, and this is one of its trials: must be ended.
    Trial(Trial),
    /// Too many trials run, or it is open.
    Refused,
}

/// How a request ended, for the breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Success,
    Failure,
    /// The client left: nothing is known.
    Unknown,
}

/// For people and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BreakerStatus {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// Some requests are tried.
    HalfOpen,
}

impl fmt::Display for BreakerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

impl Word {
    fn decode(bits: u64) -> Option<Self> {
        (bits > 0).then_some(Self { until: bits >> 16, running: (bits >> 8) as u8, succeeded: bits as u8 })
    }

    fn encode(self) -> u64 {
        self.until << 16 | u64::from(self.running) << 8 | u64::from(self.succeeded)
    }

    fn opened(now: Moment, open_time: Duration) -> Self {
        // Rounded up: not before the time.
        Self { until: ((now + open_time).0 >> 10) + 1, running: 0, succeeded: 0 }
    }

    fn until(self) -> Moment {
        Moment(self.until << 10)
    }
}

impl Breaker {
    /// Until when it is open; the past when requests or trials may pass.
    pub(crate) fn open_until(&self) -> Moment {
        Word::decode(self.word.load(Relaxed)).map_or(Moment::default(), Word::until)
    }

    pub(crate) fn status(&self, now: Moment) -> BreakerStatus {
        match Word::decode(self.word.load(Relaxed)) {
            None => BreakerStatus::Closed,
            Some(word) if word.until() > now => BreakerStatus::Open,
            Some(_) => BreakerStatus::HalfOpen,
        }
    }

    /// Whether a request would be refused: for a look at an endpoint that takes nothing.
    #[inline]
    pub(crate) fn refuses(&self, options: &BreakerOptions, now: Moment) -> bool {
        let word = Word::decode(self.word.load(Relaxed));
        word.is_some_and(|word| word.until() > now || word.running >= trials(options))
    }

    /// Asks for a request.
    pub(crate) fn admit(&self, options: &BreakerOptions, now: Moment) -> Admission {
        let mut admission = Admission::Free;
        let _ = self.word.fetch_update(Relaxed, Relaxed, |bits| {
            let (next, decided) = match Word::decode(bits) {
                None => (None, Admission::Free),
                Some(word) if word.until() > now || word.running >= trials(options) => {
                    (None, Admission::Refused)
                }
                Some(word) => {
                    let next = Word { running: word.running + 1, ..word };
                    (Some(next.encode()), Admission::Trial(Trial(word.until)))
                }
            };
            admission = decided;
            next
        });
        admission
    }

    /// Records the outcome of a request that was admitted. Returns whether the state has changed.
    pub(crate) fn record(
        &self,
        trial: Option<Trial>,
        verdict: Verdict,
        options: &BreakerOptions,
        now: Moment,
    ) -> bool {
        match trial {
            Some(trial) => self.end_trial(trial, verdict, options, now),
            None => self.count(verdict, options, now),
        }
    }

    fn end_trial(&self, trial: Trial, verdict: Verdict, options: &BreakerOptions, now: Moment) -> bool {
        let mut changed = false;
        let updated = self.word.fetch_update(Relaxed, Relaxed, |bits| {
            let word = Word::decode(bits).filter(|word| word.until == trial.0)?;
            let running = word.running.saturating_sub(1);
            let next = match verdict {
                Verdict::Failure => Some(Word::opened(now, options.open_time)),
                Verdict::Unknown => Some(Word { running, ..word }),
                Verdict::Success if word.succeeded + 1 >= trials(options) => None,
                Verdict::Success => Some(Word { running, succeeded: word.succeeded + 1, ..word }),
            };
            changed = verdict == Verdict::Failure || next.is_none();
            Some(next.map_or(0, Word::encode))
        });
        if updated.is_ok() && changed && self.word.load(Relaxed) == 0 {
            // What failed before it opened is no reason to open again.
            self.parts.iter().for_each(|part| part.store(0, Relaxed));
        }
        updated.is_ok() && changed
    }

    fn count(&self, verdict: Verdict, options: &BreakerOptions, now: Moment) -> bool {
        if verdict == Verdict::Unknown {
            return false;
        }
        let failed = u64::from(verdict == Verdict::Failure);
        let number = part_number(options, now);
        let part = &self.parts[(number % PARTS as u64) as usize];
        let tag = (number & PART_MASK) << (2 * COUNT_BITS);
        let _ = part.fetch_update(Relaxed, Relaxed, |bits| {
            let is_current = bits >> (2 * COUNT_BITS) << (2 * COUNT_BITS) == tag;
            let bits = if is_current { bits } else { tag };
            let is_full = bits >> COUNT_BITS & COUNT_MASK == COUNT_MASK;
            (!is_full).then_some(bits + (1 << COUNT_BITS) + failed)
        });
        if failed == 0 {
            return false;
        }
        let (requests, failures) = self.window(options, now);
        let opens = requests >= u64::from(options.requests_min.max(1))
            && failures * 100 >= requests * u64::from(options.failure_percent);
        // Only from closed: a failure of a request that began earlier does not lengthen anything.
        let open = Word::opened(now, options.open_time).encode();
        opens && self.word.compare_exchange(0, open, Relaxed, Relaxed).is_ok()
    }

    /// Requests and failures of the window that ends now.
    pub(crate) fn window(&self, options: &BreakerOptions, now: Moment) -> (u64, u64) {
        let current = part_number(options, now) & PART_MASK;
        let parts = self.parts.iter().map(|part| part.load(Relaxed));
        let recent = parts.filter(|bits| {
            let number = bits >> (2 * COUNT_BITS);
            current.wrapping_sub(number) & PART_MASK < PARTS as u64
        });
        recent.fold((0, 0), |(requests, failures), bits| {
            (requests + (bits >> COUNT_BITS & COUNT_MASK), failures + (bits & COUNT_MASK))
        })
    }
}

/// At most 255, the size of their field; at least one, because otherwise it would never close.
fn trials(options: &BreakerOptions) -> u8 {
    options.trials.clamp(1, 255) as u8
}

fn part_number(options: &BreakerOptions, now: Moment) -> u64 {
    now.0 / (micros(options.window) / PARTS as u64).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const START: Moment = Moment(100_000_000);

    fn options() -> BreakerOptions {
        BreakerOptions {
            requests_min: 10,
            failure_percent: 50,
            window: Duration::from_secs(10),
            open_time: Duration::from_secs(2),
            trials: 1,
            ..BreakerOptions::default()
        }
    }

    fn at(ms: u64) -> Moment {
        START + Duration::from_millis(ms)
    }

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for request in 0..10 {
            let verdict = if request % 2 == 1 { Verdict::Failure } else { Verdict::Success };
            assert_eq!(breaker.admit(&options(), START), Admission::Free);
            assert_eq!(breaker.record(None, verdict, &options(), START), request == 9);
        }
        breaker
    }

    fn trial(breaker: &Breaker, options: &BreakerOptions, now: Moment) -> Option<Trial> {
        match breaker.admit(options, now) {
            Admission::Trial(trial) => Some(trial),
            Admission::Refused => None,
            Admission::Free => panic!("it is closed"),
        }
    }

    #[test]
    fn it_opens_at_half_of_ten_and_is_tried_at_its_time_whatever_was_refused() {
        let breaker = opened();
        assert_eq!(breaker.status(at(0)), BreakerStatus::Open);
        for ms in 0..100 {
            assert_eq!(breaker.admit(&options(), at(ms * 20)), Admission::Refused);
            assert!(breaker.refuses(&options(), at(ms * 20)));
        }
        assert!(breaker.open_until() <= at(2002));
        let first = trial(&breaker, &options(), at(2002)).expect("the time has come");
        assert_eq!(breaker.status(at(2002)), BreakerStatus::HalfOpen);
        assert!(breaker.record(Some(first), Verdict::Success, &options(), at(2010)));
        assert_eq!(breaker.admit(&options(), at(2010)), Admission::Free);
        // The failures before are forgotten.
        assert!(!breaker.record(None, Verdict::Failure, &options(), at(2010)));
    }

    #[test]
    fn a_minimum_of_requests_is_needed_within_the_window() {
        let breaker = Breaker::default();
        // One of two per minute.
        for minute in 0..100 {
            assert!(!breaker.record(None, Verdict::Success, &options(), at(minute * 60_000)));
            assert!(!breaker.record(None, Verdict::Failure, &options(), at(minute * 60_000 + 30_000)));
        }
        // Nine, and the tenth after the window.
        let breaker = Breaker::default();
        (0..9).for_each(|_| assert!(!breaker.record(None, Verdict::Failure, &options(), START)));
        assert!(!breaker.record(None, Verdict::Failure, &options(), at(10_001)));
        assert_eq!(breaker.window(&options(), at(10_001)), (1, 1));
    }

    #[test]
    fn a_cancelled_trial_frees_its_place() {
        let breaker = opened();
        let first = trial(&breaker, &options(), at(3000)).expect("a trial");
        assert!(trial(&breaker, &options(), at(3000)).is_none());
        assert!(!breaker.record(Some(first), Verdict::Unknown, &options(), at(3500)));
        let second = trial(&breaker, &options(), at(3500)).expect("a place is free");
        assert!(breaker.record(Some(second), Verdict::Failure, &options(), at(3600)));
        assert_eq!(breaker.status(at(3600)), BreakerStatus::Open);
        assert!(breaker.open_until() >= at(5600));
        // An outcome of the period before changes nothing.
        assert!(!breaker.record(Some(second), Verdict::Success, &options(), at(3700)));
        assert_eq!(breaker.status(at(3700)), BreakerStatus::Open);
    }

    #[test]
    fn trials_are_few_over_all_cores() {
        let (breaker, many) = (Arc::new(opened()), BreakerOptions { trials: 3, ..options() });
        let cores = (0..8).map(|_| {
            let (breaker, many) = (breaker.clone(), many.clone());
            std::thread::spawn(move || {
                (0..100).filter_map(|_| trial(&breaker, &many, at(3000))).collect::<Vec<_>>()
            })
        });
        let cores: Vec<_> = cores.collect();
        let trials: Vec<_> = cores.into_iter().flat_map(|core| core.join().unwrap()).collect();
        assert_eq!(trials.len(), 3);
        // It closes when all have succeeded, and not before.
        let closed =
            trials.iter().map(|trial| breaker.record(Some(*trial), Verdict::Success, &many, at(3500)));
        assert_eq!(closed.collect::<Vec<_>>(), [false, false, true]);
    }

    proptest! {
        /// Whatever happens, no more trials run than are allowed, and a closed breaker admits.
        #[test]
        fn trials_never_exceed_their_number(steps in prop::collection::vec((0..4_u8, 0..3000_u64), 1..200)) {
            let (breaker, options) = (Breaker::default(), BreakerOptions { trials: 2, ..options() });
            let (mut running, mut now) = (Vec::new(), START);
            for (step, later) in steps {
                now = now + Duration::from_millis(later);
                match (step, running.pop()) {
                    (0, ended) => {
                        running.extend(ended);
                        match breaker.admit(&options, now) {
                            Admission::Trial(trial) => running.push(Some(trial)),
                            Admission::Free => running.push(None),
                            Admission::Refused => {}
                        }
                    }
                    (_, None) => {}
                    (step, Some(trial)) => {
                        let verdicts = [Verdict::Success, Verdict::Failure, Verdict::Unknown];
                        let verdict = verdicts[usize::from(step) - 1];
                        breaker.record(trial, verdict, &options, now);
                    }
                }
                let period = Word::decode(breaker.word.load(Relaxed));
                let current = period.map(|word| Trial(word.until));
                let of_period = |trial: &&Option<Trial>| trial.is_some() && **trial == current;
                prop_assert!(running.iter().filter(of_period).count() <= 2);
            }
        }
    }
}
