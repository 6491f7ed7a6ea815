//! When requests are due: one schedule for the whole run, split over the cores, in whole nanoseconds from the
//! run's origin. It reads no clock and is never adjusted to what the target does.
//!
//! Evenly spaced arrivals are computed by remainders, so that the millionth is exact: arrival `k` of a steady
//! rate is due at `floor(k × 10⁹ / rate)` after the ramp. Core `i` of `n` has every arrival with
//! `k ≡ i (mod n)`, so the cores together have each one once. Poisson arrivals are drawn per core, at its
//! share of the rate.
//!
//! A run may have stages, each with a rate of its own: the arrivals of each are those of a run at its rate
//! that begins where it does, and the numbering goes on, so that the cores still have each arrival once.

use std::collections::VecDeque;
use std::time::Duration;

use super::random::Random;
use crate::result::{Arrival, StageFacts};

/// Nanoseconds of a second times a million, because rates are in millionths per second.
const SECOND: u128 = 1_000_000_000 * 1_000_000;

/// A part of the measured phase with a rate of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stage {
    /// Requests per second, in millionths.
    pub rate_millionths: u64,
    /// How long it lasts.
    pub length: Duration,
}

impl Stage {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.rate_millionths as f64 / 1e6
    }

    /// As recorded in results.
    pub(crate) fn facts(&self) -> StageFacts {
        StageFacts { rate: self.rate(), length_s: self.length.as_secs_f64() }
    }
}

/// What is to come when.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Timetable {
    /// Requests per second, in millionths: of the whole run, or up to the end of its first stage.
    pub rate_millionths: u64,
    /// Stages that follow one another, the first of which begins with the measured phase; none, or two or
    /// more.
    pub stages: Vec<Stage>,
    /// How arrivals are spaced.
    pub arrival: Arrival,
    /// In which the rate rises evenly from nothing, at the very start. At most `warmup`.
    pub ramp: Duration,
    /// Before the measured phase.
    pub warmup: Duration,
    /// Length of the measured phase; `None` when `requests` ends it.
    pub duration: Option<Duration>,
    /// Arrivals of the measured phase at the most.
    pub requests: Option<u64>,
    /// Seed of Poisson arrivals.
    pub seed: u64,
}

/// One arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Due {
    /// Nanoseconds from the origin.
    pub at_ns: u64,
    /// Whether it belongs to the measured phase.
    pub measured: bool,
}

/// The arrivals of one core, in order.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    spacing: Spacing,
    /// When the current stage began, and when the next one does.
    stage_ns: (u64, u64),
    /// Those that follow, each with its first number in the whole run's order.
    stages: VecDeque<(Stage, u64)>,
    numbers: Numbers,
    next: Option<Due>,
    warmup_ns: u64,
    end_ns: u64,
    measured_left: u64,
}

/// What of the whole run's order is a core's.
#[derive(Clone, Debug)]
struct Numbers {
    core: u64,
    cores: u64,
    arrival: Arrival,
    seed: u64,
}

impl Numbers {
    /// Arrivals at a rate from some instant on, whose first one has this number.
    fn spacing(&self, rate_millionths: u64, ramp_ns: u64, first: u64) -> Spacing {
        match self.arrival {
            Arrival::Fixed => {
                let index = (self.core + self.cores - first % self.cores) % self.cores;
                Spacing::Fixed(Fixed::new(rate_millionths, ramp_ns, index, self.cores))
            }
            Arrival::Poisson => Spacing::Poisson {
                // Another stage has other arrivals.
                random: Random::new(self.seed.wrapping_add(first), self.core),
                events: 0.0,
                ramp_ns: ramp_ns as f64,
                per_ns: rate_millionths as f64 / 1e15 / self.cores as f64,
            },
        }
    }
}

#[derive(Clone, Debug)]
enum Spacing {
    Fixed(Fixed),
    Poisson { random: Random, events: f64, ramp_ns: f64, per_ns: f64 },
}

/// Evenly spaced arrivals.
#[derive(Clone, Debug)]
struct Fixed {
    /// Number of the next arrival in the whole run's order.
    index: u64,
    step: u64,
    rate: u128,
    ramp_ns: u64,
    /// Arrivals within the ramp.
    ramped: u64,
    /// Quotient and remainder of `(index - ramped) × SECOND / rate`, once the ramp is over.
    at: Option<(u64, u128)>,
}

impl Schedule {
    /// The arrivals of core `core` of `cores`.
    ///
    /// # Panics
    /// If there is no such core.
    pub(crate) fn new(timetable: &Timetable, core: usize, cores: usize) -> Self {
        assert!(core < cores);
        let (warmup_ns, ramp_ns) = (nanoseconds(timetable.warmup), nanoseconds(timetable.ramp));
        let numbers = Numbers {
            core: core as u64,
            cores: cores as u64,
            arrival: timetable.arrival,
            seed: timetable.seed,
        };
        let rate = timetable.rate_millionths;
        let mut first_end_ns = u64::MAX;
        let mut stages = VecDeque::new();
        if let Some((first, others)) = timetable.stages.split_first() {
            let length_ns = nanoseconds(first.length);
            first_end_ns = warmup_ns + length_ns;
            let mut number = Fixed::new(rate, ramp_ns, 0, 1).arrivals(first_end_ns);
            for stage in others {
                stages.push_back((*stage, number));
                number += Fixed::new(stage.rate_millionths, 0, 0, 1).arrivals(nanoseconds(stage.length));
            }
        }
        let mut schedule = Self {
            spacing: numbers.spacing(rate, ramp_ns, 0),
            stage_ns: (0, first_end_ns),
            stages,
            numbers,
            next: None,
            warmup_ns,
            end_ns: timetable.duration.map_or(u64::MAX, |length| warmup_ns + nanoseconds(length)),
            measured_left: timetable.requests.map_or(u64::MAX, |requests| share(requests, core, cores)),
        };
        schedule.step();
        schedule
    }

    /// The next arrival, which stays the next.
    #[inline]
    pub(crate) fn peek(&self) -> Option<Due> {
        self.next
    }

    /// Takes the next arrival.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Due> {
        let taken = self.next?;
        self.step();
        Some(taken)
    }

    /// Ends the schedule before `end_ns`: the run was broken off.
    pub(crate) fn cut(&mut self, end_ns: u64) {
        self.end_ns = self.end_ns.min(end_ns);
        self.next = self.next.filter(|due| due.at_ns < self.end_ns);
    }

    fn step(&mut self) {
        let mut at_ns = self.stage_ns.0.saturating_add(self.spacing.next());
        while at_ns >= self.stage_ns.1 {
            let Some((stage, first)) = self.stages.pop_front() else { break };
            let from_ns = self.stage_ns.1;
            self.stage_ns = (from_ns, from_ns.saturating_add(nanoseconds(stage.length)));
            self.spacing = self.numbers.spacing(stage.rate_millionths, 0, first);
            at_ns = from_ns.saturating_add(self.spacing.next());
        }
        let measured = at_ns >= self.warmup_ns;
        let over = at_ns >= self.end_ns || (measured && self.measured_left == 0);
        self.measured_left -= u64::from(measured && !over);
        self.next = (!over).then_some(Due { at_ns, measured });
    }
}

impl Spacing {
    /// The next arrival, in nanoseconds from where it began.
    fn next(&mut self) -> u64 {
        match self {
            Self::Fixed(fixed) => fixed.next(),
            Self::Poisson { random, events, ramp_ns, per_ns } => {
                *events += random.exponential();
                poisson_instant(*events / *per_ns, *ramp_ns)
            }
        }
    }
}

impl Fixed {
    /// Arrivals before an instant, of all there are.
    fn arrivals(&self, end_ns: u64) -> u64 {
        let steady_ns = u128::from(end_ns.saturating_sub(self.ramp_ns));
        // The first one whose instant, rounded down, is not before the end.
        self.ramped + (steady_ns * self.rate).div_ceil(SECOND) as u64
    }

    fn new(rate_millionths: u64, ramp_ns: u64, index: u64, step: u64) -> Self {
        let rate = u128::from(rate_millionths);
        // Half of what a steady rate would bring in that time.
        let ramped = (rate * u128::from(ramp_ns)).div_ceil(2 * SECOND) as u64;
        Self { index, step, rate, ramp_ns, ramped, at: None }
    }

    fn next(&mut self) -> u64 {
        let index = self.index;
        self.index += self.step;
        if index < self.ramped {
            // The integral of a rising rate is index = rate × t² / (2 × ramp).
            let square = 2 * u128::from(self.ramp_ns) * u128::from(index) * SECOND / self.rate;
            return square.isqrt() as u64;
        }
        let (quotient, remainder) = match self.at {
            None => {
                let product = u128::from(index - self.ramped) * SECOND;
                ((product / self.rate) as u64, product % self.rate)
            }
            Some((quotient, remainder)) => {
                let product = u128::from(self.step) * SECOND;
                let carried = remainder + product % self.rate;
                let carry = u64::from(carried >= self.rate);
                (quotient + (product / self.rate) as u64 + carry, carried % self.rate)
            }
        };
        self.at = Some((quotient, remainder));
        self.ramp_ns.saturating_add(quotient)
    }
}

/// When as much has come as at a steady rate until `steady_ns`, if the rate rose during the ramp.
fn poisson_instant(steady_ns: f64, ramp_ns: f64) -> u64 {
    let instant = if steady_ns < ramp_ns / 2.0 {
        (2.0 * ramp_ns * steady_ns).sqrt()
    } else {
        steady_ns + ramp_ns / 2.0
    };
    instant as u64
}

/// A core's part of `total`; the parts add up.
pub(crate) fn share(total: u64, core: usize, cores: usize) -> u64 {
    let (core, cores) = (core as u64, cores as u64);
    total / cores + u64::from(core < total % cores)
}

/// Nanoseconds; 584 years at the most.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(rate_millionths: u64, seconds: u64) -> Timetable {
        Timetable {
            rate_millionths,
            stages: Vec::new(),
            arrival: Arrival::Fixed,
            ramp: Duration::ZERO,
            warmup: Duration::ZERO,
            duration: Some(Duration::from_secs(seconds)),
            requests: None,
            seed: 1,
        }
    }

    fn all(timetable: &Timetable, cores: usize) -> Vec<Due> {
        let mut all: Vec<Due> = (0..cores)
            .flat_map(|core| {
                let mut schedule = Schedule::new(timetable, core, cores);
                std::iter::from_fn(move || schedule.take())
            })
            .collect();
        all.sort_by_key(|due| due.at_ns);
        all
    }

    #[test]
    fn instants_are_exact_and_do_not_drift() {
        // A third of a nanosecond per arrival would be lost by adding up rounded gaps.
        let due = all(&timetable(3_000_000, 100_000), 1);
        assert_eq!(due.len(), 300_000);
        for (index, due) in due.iter().enumerate() {
            assert_eq!(due.at_ns, (index as u128 * 1_000_000_000 / 3) as u64);
        }
    }

    #[test]
    fn cores_together_have_each_arrival_once() {
        for rate in [999_999, 7_000_000, 1_234_567_891] {
            let whole = all(&timetable(rate, 20), 1);
            for cores in [2, 3, 7] {
                assert_eq!(all(&timetable(rate, 20), cores), whole, "{rate} on {cores}");
            }
        }
    }

    #[test]
    fn the_measured_phase_has_rate_times_duration() {
        let plan = Timetable { warmup: Duration::from_secs(2), ..timetable(1_000_000_000, 5) };
        let due = all(&plan, 3);
        assert_eq!(due.iter().filter(|due| due.measured).count(), 5000);
        assert_eq!(due.iter().filter(|due| !due.measured).count(), 2000);
        assert!(due.iter().all(|due| due.measured == (due.at_ns >= 2_000_000_000)));
    }

    #[test]
    fn a_ramp_brings_half_and_then_the_rate_is_steady() {
        let second = Duration::from_secs(1);
        let plan = Timetable { ramp: second, warmup: second, ..timetable(1_000_000_000, 1) };
        let due = all(&plan, 2);
        assert_eq!(due.iter().filter(|due| due.at_ns < 1_000_000_000).count(), 500);
        // A quarter of what the ramp brings comes in its first half.
        assert_eq!(due.iter().filter(|due| due.at_ns < 500_000_000).count(), 125);
        assert_eq!(due.iter().filter(|due| due.measured).count(), 1000);
        assert_eq!(due[500].at_ns, 1_000_000_000);
    }

    #[test]
    fn a_number_of_requests_ends_it() {
        for arrival in [Arrival::Fixed, Arrival::Poisson] {
            let warmup = Duration::from_millis(500);
            let plan = Timetable {
                requests: Some(1001),
                duration: None,
                warmup,
                arrival,
                ..timetable(100_000_000, 1)
            };
            assert_eq!(all(&plan, 2).iter().filter(|due| due.measured).count(), 1001, "{arrival:?}");
        }
    }

    #[test]
    fn poisson_has_the_rate_and_its_seed_repeats_it() {
        let plan = Timetable { arrival: Arrival::Poisson, ..timetable(1_000_000_000, 50) };
        let due = all(&plan, 2);
        assert!((49_000..51_000).contains(&due.len()), "{}", due.len());
        assert_eq!(due, all(&plan, 2));
        let gaps: Vec<f64> = due.windows(2).map(|pair| (pair[1].at_ns - pair[0].at_ns) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((0.95..1.05).contains(&(variance.sqrt() / mean)), "as wide as its mean");
        assert_ne!(due, all(&Timetable { seed: 2, ..plan.clone() }, 2));
    }

    #[test]
    fn stages_follow_one_another_and_cores_still_share_all() {
        let stage = |rate, seconds| Stage { rate_millionths: rate, length: Duration::from_secs(seconds) };
        let stages = vec![stage(7_000_000, 2), stage(1_234_567_891, 3), stage(999_999, 4)];
        let warmup = Duration::from_millis(500);
        for (arrival, ramp) in [(Arrival::Fixed, Duration::ZERO), (Arrival::Fixed, warmup)] {
            let plan = Timetable { stages: stages.clone(), warmup, ramp, arrival, ..timetable(7_000_000, 9) };
            let whole = all(&plan, 1);
            let within =
                |from, to| whole.iter().filter(|due| (from..to).contains(&(due.at_ns / 500_000_000))).count();
            assert_eq!(within(1, 5), 14, "{whole:?}");
            assert_eq!((within(5, 11), within(11, 19)), (3704, 4));
            assert_eq!(whole[whole.len() - 4].at_ns, 5_500_000_000, "each begins with an arrival");
            for cores in [2, 3, 7] {
                assert_eq!(all(&plan, cores), whole, "on {cores}");
            }
        }
        let poisson = Timetable { stages, warmup, arrival: Arrival::Poisson, ..timetable(7_000_000, 9) };
        let due = all(&poisson, 2);
        let busy = due.iter().filter(|due| (2_500_000_000..5_500_000_000).contains(&due.at_ns)).count();
        assert!((3_500..3_900).contains(&busy), "{busy}");
        assert_eq!(due, all(&poisson, 2));
    }

    #[test]
    fn a_cut_ends_it() {
        let mut schedule = Schedule::new(&timetable(1_000_000_000, 5), 0, 1);
        schedule.cut(3_000_000);
        assert_eq!(std::iter::from_fn(|| schedule.take()).count(), 3);
    }

    #[test]
    fn shares_add_up() {
        for total in [0, 1, 5, 1001] {
            assert_eq!((0..4).map(|core| share(total, core, 4)).sum::<u64>(), total);
        }
    }
}
