//! The search for the highest rate that is still met: bracket, halve, then walk to the edge from both sides
//! several times. Runs nothing: the caller passes the result of a run at a rate.
//!
//! A single crossing is luck. The edge is approached from below, as load grows in the morning, and from
//! above, as a server recovers from too much;
//! where the two disagree, an overload costs more than its own time.

use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// Growth while looking for a rate that is missed, and for one that is met.
const STRIDE: f64 = 1.5;

/// Strides before a search gives up: from 1 to over a hundred million requests per second.
const STRIDES_MAX: usize = 48;

/// Steps between the place where a walk starts and the edge as it is known; noise may have it further off,
/// then the walk starts again from that much further.
const RUN_UP: i32 = 2;

/// Restarts of a walk, each twice as far away, until the edge is taken to have moved for good.
const RESTARTS_MAX: i32 = 5;

/// Runs at a rate that may be spoiled, one after another, until the search ends: a machine that was busy for
/// a moment is given another chance, a generator that is not up to the rate is not.
const SPOILED_MAX: usize = 3;

/// What a run at some rate came to.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Probe {
    /// All demands were met.
    Met,
    /// One was not.
    Missed,
    /// It says nothing, for this reason: the rate is too high for the generator, or the machine is not quiet.
    Spoiled(String),
}

/// Why a search ends early.
enum Stop {
    /// A run could not be made.
    Failed(Failure),
    /// Every run at this rate was spoiled, the last for this reason.
    Spoiled(f64, String),
}

/// What the search found.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edges {
    /// The highest rate met while it grew, once for each repeat.
    pub(crate) from_below: Vec<f64>,
    /// The first rate met while it fell.
    pub(crate) from_above: Vec<f64>,
    /// Why the search ended early: runs at some rate said nothing, whatever the target can do.
    pub(crate) spoiled: Option<String>,
    /// The highest rate that was met by then.
    #[serde(default)]
    pub(crate) at_least: Option<f64>,
}

/// How fine, and how often.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Search {
    /// A rate to begin with, per second.
    pub(crate) start: f64,
    /// The lowest rate that can be tried.
    pub(crate) floor: f64,
    /// Steps between rates as a share of the rate.
    pub(crate) precision: f64,
    /// Walks from each side.
    pub(crate) repeats: usize,
}

impl Search {
    /// Searches; `None` when no rate down to the floor is met.
    pub(crate) fn run(
        self,
        mut probe: impl FnMut(f64) -> Result<Probe, Failure>,
    ) -> Result<Option<Edges>, Failure> {
        let (mut edges, mut met) = (Edges::default(), None::<f64>);
        let mut is_met = |rate: f64| {
            let mut last = String::new();
            for _ in 0..SPOILED_MAX {
                match probe(rate).map_err(Stop::Failed)? {
                    Probe::Met => {
                        met = Some(met.map_or(rate, |met| met.max(rate)));
                        return Ok(true);
                    }
                    Probe::Missed => return Ok(false),
                    Probe::Spoiled(reason) => last = reason,
                }
            }
            Err(Stop::Spoiled(rate, last))
        };
        match self.search(&mut edges, &mut is_met) {
            Ok(is_found) => Ok(is_found.then_some(edges)),
            Err(Stop::Failed(failure)) => Err(failure),
            Err(Stop::Spoiled(rate, reason)) if met.is_some() => {
                edges.spoiled = Some(format!("at {rate:.0}/s, {SPOILED_MAX} times: {reason}"));
                edges.at_least = met;
                Ok(Some(edges))
            }
            Err(Stop::Spoiled(rate, reason)) => {
                Err(Failure::Invalid(format!("even at {rate:.0}/s, {SPOILED_MAX} times: {reason}")))
            }
        }
    }

    fn search(
        self,
        edges: &mut Edges,
        is_met: &mut impl FnMut(f64) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        let Some((mut low, mut high)) = self.bracket(is_met)? else { return Ok(false) };
        while high / low > 1.0 + self.precision {
            let middle = (low * high).sqrt();
            match is_met(middle)? {
                true => low = middle,
                false => high = middle,
            }
        }
        for _ in 0..self.repeats {
            edges.from_below.extend(self.climb(low, is_met)?);
            edges.from_above.extend(self.descend(high, is_met)?);
        }
        Ok(true)
    }

    /// A rate that is met and a higher one that is not.
    fn bracket(self, is_met: &mut impl FnMut(f64) -> Result<bool, Stop>) -> Result<Option<(f64, f64)>, Stop> {
        let mut rate = self.start.max(self.floor);
        let first = is_met(rate)?;
        for _ in 0..STRIDES_MAX {
            let next = if first { rate * STRIDE } else { (rate / STRIDE).max(self.floor) };
            if next == rate {
                return Ok(None);
            }
            match (first, is_met(next)?) {
                (true, false) => return Ok(Some((rate, next))),
                (false, true) => return Ok(Some((next, rate))),
                _ => rate = next,
            }
        }
        let line = format!("every rate up to {rate:.0}/s is met: does the target do anything?");
        Err(Stop::Failed(Failure::Invalid(line)))
    }

    /// Upwards from below the edge to the last rate that is met.
    fn climb(
        self,
        edge: f64,
        is_met: &mut impl FnMut(f64) -> Result<bool, Stop>,
    ) -> Result<Option<f64>, Stop> {
        let step = 1.0 + self.precision;
        for restart in 0..RESTARTS_MAX {
            let mut rate = (edge / step.powi(RUN_UP << restart)).max(self.floor);
            let mut met = None;
            while is_met(rate)? {
                met = Some(rate);
                rate *= step;
                if rate > edge * step.powi(RUN_UP << RESTARTS_MAX) {
                    break;
                }
            }
            if met.is_some() {
                return Ok(met);
            }
        }
        Ok(None)
    }

    /// Downwards from above the edge to the first rate that is met.
    fn descend(
        self,
        edge: f64,
        is_met: &mut impl FnMut(f64) -> Result<bool, Stop>,
    ) -> Result<Option<f64>, Stop> {
        let step = 1.0 + self.precision;
        for restart in 0..RESTARTS_MAX {
            let start = edge * step.powi(RUN_UP << restart);
            let mut rate = start;
            while !is_met(rate)? {
                rate /= step;
                if rate < (edge / step.powi(RUN_UP << RESTARTS_MAX)).max(self.floor) {
                    return Ok(None);
                }
            }
            if rate < start {
                return Ok(Some(rate));
            }
        }
        Ok(None)
    }
}

impl Edges {
    /// What the target can be relied on for: the lower of the two sides' medians; where the search ended
    /// before them, what was met.
    pub(crate) fn capacity(&self) -> Option<f64> {
        let sides = [median(&self.from_below), median(&self.from_above)];
        sides.into_iter().flatten().reduce(f64::min).or(self.at_least)
    }

    /// Greatest edge minus least, as a share of the capacity.
    pub(crate) fn spread(&self) -> Option<f64> {
        let all = || self.from_below.iter().chain(&self.from_above).copied();
        let (least, greatest) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
        Some((greatest - least) / self.capacity()?)
    }

    /// By how much less is met after an overload than before it, as a share; negative where it is more.
    pub(crate) fn hysteresis(&self) -> Option<f64> {
        Some(1.0 - median(&self.from_above)? / median(&self.from_below)?)
    }

    /// The hysteresis that chance and the grid of rates may make: two steps, since each side ends on a grid
    /// of its own, and what the walks of one side vary by.
    pub(crate) fn noise(&self, precision: f64) -> f64 {
        let width = |rates: &[f64]| {
            let (least, greatest) =
                rates.iter().fold((f64::INFINITY, 0.0), |(least, greatest): (f64, f64), &rate| {
                    (least.min(rate), greatest.max(rate))
                });
            if greatest > 0.0 { 1.0 - least / greatest } else { 0.0 }
        };
        2.0 * precision + width(&self.from_below).max(width(&self.from_above))
    }
}

/// The lower of the two in the middle where there are two.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(start: f64) -> Search {
        Search { start, floor: 1.0, precision: 0.05, repeats: 3 }
    }

    /// A server that meets its demands below a rate.
    fn simple(capacity: f64) -> impl FnMut(f64) -> Result<Probe, Failure> {
        move |rate| Ok(if rate < capacity { Probe::Met } else { Probe::Missed })
    }

    #[test]
    fn the_edge_is_found_from_wherever_it_starts() {
        for capacity in [1.5, 37.0, 9_999.0, 2e6] {
            for start in [1.0, 1000.0, 5e5] {
                let edges = search(start).run(simple(capacity)).unwrap().unwrap();
                let found = edges.capacity().unwrap();
                assert!(found < capacity && found > capacity / 1.11, "{found} for {capacity} from {start}");
                assert_eq!((edges.from_below.len(), edges.from_above.len()), (3, 3));
                assert!(edges.hysteresis().unwrap().abs() < 0.1 && edges.spread().unwrap() < 0.1);
                assert_eq!(edges.spoiled, None);
            }
        }
    }

    #[test]
    fn noise_at_the_edge_is_spread() {
        let mut state = 1u64;
        let edges = search(500.0).run(|rate| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let noise = (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
            simple(10_000.0 * (1.0 + 0.3 * noise))(rate)
        });
        let edges = edges.unwrap().unwrap();
        let (found, spread) = (edges.capacity().unwrap(), edges.spread().unwrap());
        assert!((8_000.0..12_000.0).contains(&found), "{edges:?}");
        assert!((0.01..0.4).contains(&spread), "{edges:?}");
    }

    #[test]
    fn a_server_that_does_not_recover_shows_hysteresis() {
        // Once overloaded it holds 30 % less, until a run at half its capacity lets it drain.
        let mut hurt = false;
        let edges = search(1000.0).run(|rate| {
            if rate < 6_800.0 {
                hurt = false;
            }
            let met = rate < if hurt { 7_000.0 } else { 10_000.0 };
            hurt |= !met;
            Ok(if met { Probe::Met } else { Probe::Missed })
        });
        let edges = edges.unwrap().unwrap();
        assert!(edges.hysteresis().unwrap() > 0.2, "{edges:?}");
        assert!(edges.capacity().unwrap() < 7_000.0, "the lower side counts: {edges:?}");
    }

    #[test]
    fn what_meets_nothing_or_everything_is_told() {
        assert_eq!(search(1000.0).run(|_| Ok(Probe::Missed)), Ok(None));
        let spoiled = search(1000.0).run(|_| Ok(Probe::Spoiled("busy".to_string()))).unwrap_err();
        assert_eq!(spoiled, Failure::Invalid("even at 1000/s, 3 times: busy".to_string()));
        let mut least = f64::INFINITY;
        let bounded = Search { floor: 17.5, ..search(10.0) }.run(|rate| {
            least = least.min(rate);
            Ok(Probe::Missed)
        });
        assert_eq!((bounded, least), (Ok(None), 17.5));
        let endless = search(1000.0).run(|_| Ok(Probe::Met)).unwrap_err();
        assert!(matches!(endless, Failure::Invalid(_)), "{endless}");
        let failed = search(1.0).run(|_| Err(Failure::Interrupted)).unwrap_err();
        assert_eq!(failed, Failure::Interrupted);
    }

    #[test]
    fn a_generator_that_gives_out_first_is_told() {
        let mut runs = Vec::new();
        let edges = search(1000.0).run(|rate| {
            runs.push(rate);
            Ok(if rate < 5_000.0 { Probe::Met } else { Probe::Spoiled("busy".to_string()) })
        });
        let edges = edges.unwrap().unwrap();
        assert_eq!(edges.spoiled.as_deref(), Some("at 5062/s, 3 times: busy"));
        assert_eq!((edges.capacity(), edges.from_below.len()), (Some(3375.0), 0));
        assert_eq!(runs.len(), 4 + 3, "and it goes on to nothing else: {runs:?}");
    }

    /// A machine that is busy now and then costs runs; it is no target that misses its demands.
    #[test]
    fn a_spoiled_run_is_repeated() {
        let mut runs = 0;
        let edges = search(20_000.0).run(|rate| {
            runs += 1;
            if runs % 3 != 0 { Ok(Probe::Spoiled("busy".to_string())) } else { simple(5_000.0)(rate) }
        });
        let edges = edges.unwrap().unwrap();
        assert_eq!(edges.spoiled, None);
        assert!((4_500.0..5_000.0).contains(&edges.capacity().unwrap()), "{edges:?}");
    }

    #[test]
    fn the_grid_is_no_hysteresis() {
        let below = |from_above: f64| Edges {
            from_below: vec![1000.0, 1000.0, 1050.0],
            from_above: vec![from_above; 3],
            ..Edges::default()
        };
        let noise = below(1000.0).noise(0.05);
        assert!((noise - 0.1476).abs() < 0.001, "{noise}");
        assert!(below(900.0).hysteresis().unwrap() < noise && below(800.0).hysteresis().unwrap() > noise);
        for capacity in [1.7, 2_000.0, 2_048.0, 77_777.0] {
            let edges = search(700.0).run(simple(capacity)).unwrap().unwrap();
            assert!(edges.hysteresis().unwrap().abs() <= edges.noise(0.05), "{edges:?}");
        }
    }

    #[test]
    fn an_edge_that_moved_is_found_again() {
        // It gets slower for good after twenty runs.
        let mut runs = 0;
        let edges = search(1000.0).run(|rate| {
            runs += 1;
            simple(if runs < 20 { 10_000.0 } else { 8_000.0 })(rate)
        });
        let edges = edges.unwrap().unwrap();
        assert!(edges.spread().unwrap() > 0.15, "{edges:?}");
        assert!(edges.from_below.len() + edges.from_above.len() > 4, "{edges:?}");
    }
}
