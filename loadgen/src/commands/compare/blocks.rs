//! One scenario from calibration to verdicts: which arm runs when, what a block comes to, when to go on. Runs
//! nothing itself: the caller passes a function that measures an arm, and tests pass noise.
//!
//! A block is base, head, head, base, or the other way round by a seeded coin: what drifts steadily (heat,
//! neighbours) weighs on both alike. Every letter is a fresh process. Both arms of a block see the same
//! arrivals; the next block sees others. The block is the sample: runs within it are not independent.

use std::collections::BTreeMap;

use crate::exit::Failure;
use crate::result::{Mode, Outcomes, RunResult};
use crate::stats::change::{self, Better, Verdict};
use crate::stats::own;

use super::found::{Block, Compared, Found, Readings};
use super::scenario::{Figure, Rate, Scenario};

/// Blocks that may be refused and measured again in one scenario. A machine that spoils more than this spoils
/// the rest unseen.
pub(crate) const REFUSED_MAX: usize = 2;

/// Share of requests that may fail in a run: a few connections lost to chance, no server that answers faster
/// because it does not do its work.
pub(crate) const FAILED_MAX: f64 = 0.001;

/// Of the two programs, one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// What it was.
    Base,
    /// What it is to become.
    Head,
}

impl Side {
    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::Base { "base" } else { "head" }
    }
}

/// What to measure on one fresh process.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Arm {
    /// Which program.
    pub(crate) side: Side,
    /// Whether to run the closed loop.
    pub(crate) closed: bool,
    /// The open loop's rate, if one is to run.
    pub(crate) rate: Option<f64>,
    /// Of arrivals and all else.
    pub(crate) seed: u64,
}

/// What was found on it.
#[derive(Default)]
pub(crate) struct Measured {
    /// Of the closed loop.
    pub(crate) closed: Option<RunResult>,
    /// Of the open loop.
    pub(crate) open: Option<RunResult>,
}

/// How many blocks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Looks {
    /// Before the first verdict.
    pub(crate) first: usize,
    /// Before the last.
    pub(crate) last: usize,
}

/// Runs a scenario into `found`, which holds what was done also when this fails.
pub(crate) fn run(
    scenario: &Scenario,
    looks: Looks,
    seed: u64,
    found: &mut Found,
    mut measure: impl FnMut(Arm) -> Result<Measured, Failure>,
) -> Result<(), Failure> {
    let mut coin = Coin(seed);
    found.rate = match scenario.rate {
        _ if !scenario.is_open() => None,
        Rate::Fixed(rate) => Some(rate),
        Rate::Share(share) => Some(calibrate(share, coin.next(), &mut measure)?),
    };
    let mut outcomes = (Outcomes::default(), 0.0);
    for blocks in [looks.first, looks.last] {
        while found.blocks.len() < blocks {
            let (base_first, seed) = (coin.next() & 1 == 0, coin.next() >> 12);
            match block(scenario, base_first, seed, found.rate, &mut outcomes, &mut measure)? {
                Ok(block) => found.blocks.push(block),
                Err(reason) => found.refused.push(reason),
            }
            if let Some(reason) = found.refused.get(REFUSED_MAX) {
                return Err(Failure::Invalid(format!(
                    "scenario `{}`: {} blocks were refused, the last because {reason}",
                    scenario.name,
                    found.refused.len()
                )));
            }
        }
        look(scenario, found);
        if found.compared.iter().all(|compared| compared.change.verdict != Verdict::Undecided) {
            break;
        }
    }
    if let Some(slo) = &scenario.slo {
        found.slo = slo.judge(&outcomes.0, &BTreeMap::new(), outcomes.1);
    }
    Ok(())
}

/// A rate that base can hold: a share of what it does in a closed loop.
fn calibrate(
    share: f64,
    seed: u64,
    measure: &mut impl FnMut(Arm) -> Result<Measured, Failure>,
) -> Result<f64, Failure> {
    let arm = Arm { side: Side::Base, closed: true, rate: None, seed: seed >> 12 };
    let result = measure(arm)?.closed;
    let result = result.ok_or_else(|| Failure::Invalid("calibration found nothing".to_string()))?;
    check(&result, Side::Base)?.map_err(|reason| Failure::Invalid(format!("calibration: {reason}")))?;
    let rate = (throughput(&result).unwrap_or(0.0) * share).round();
    if rate < 1.0 {
        return Err(Failure::Target("base answers less than twice a second; give a `rate`".to_string()));
    }
    Ok(rate)
}

/// Four arms. The inner error is why the block is refused.
fn block(
    scenario: &Scenario,
    base_first: bool,
    seed: u64,
    rate: Option<f64>,
    outcomes: &mut (Outcomes, f64),
    measure: &mut impl FnMut(Arm) -> Result<Measured, Failure>,
) -> Result<Result<Block, String>, Failure> {
    let (outer, inner) = if base_first { (Side::Base, Side::Head) } else { (Side::Head, Side::Base) };
    let mut block = Block { order: order(base_first), seed, base: Vec::new(), head: Vec::new() };
    let mut of_head = (Outcomes::default(), 0.0);
    for side in [outer, inner, inner, outer] {
        let measured = measure(Arm { side, closed: scenario.is_closed(), rate, seed })?;
        for result in [&measured.closed, &measured.open].into_iter().flatten() {
            if let Err(reason) = check(result, side)?.and_then(|()| check_lateness(scenario, result, side)) {
                return Ok(Err(reason));
            }
        }
        let readings = match read(scenario, &measured) {
            Ok(readings) => readings,
            Err(figure) => return Ok(Err(missing(figure, side))),
        };
        if side == Side::Head {
            if let Some(open) = &measured.open {
                of_head.0.add(&open.total);
                of_head.1 += open.measured_s;
            }
            block.head.push(readings);
        } else {
            block.base.push(readings);
        }
    }
    outcomes.0.add(&of_head.0);
    outcomes.1 += of_head.1;
    Ok(Ok(block))
}

fn order(base_first: bool) -> String {
    if base_first { "ABBA".to_string() } else { "BAAB".to_string() }
}

fn missing(figure: Figure, side: Side) -> String {
    let remedy = match figure {
        Figure::Cpu => "is the server's process gone?",
        Figure::Throughput => "no request was done",
        Figure::P50 | Figure::P99 => {
            "too few samples: raise the rate, --seconds, or leave it out of `measure`"
        }
    };
    format!("a run of {} has no {figure} ({remedy})", side.name())
}

/// Whether a run may be used. Failed requests are the target's fault and end everything; what spoils the
/// measurement is the inner error.
fn check(result: &RunResult, side: Side) -> Result<Result<(), String>, Failure> {
    let total = &result.total;
    let failed = total.errors + total.timeouts;
    if total.planned > 0 && failed as f64 > FAILED_MAX * total.planned as f64 {
        let mut kinds: Vec<String> =
            total.errors_by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if total.timeouts > 0 {
            kinds.push(format!("timeout {}", total.timeouts));
        }
        let (name, planned, kinds) = (side.name(), total.planned, kinds.join(", "));
        return Err(Failure::Target(format!("{failed} of {planned} requests to {name} failed ({kinds})")));
    }
    if !result.validity.is_valid() {
        return Ok(Err(format!(
            "a run of {} is invalid: {}",
            side.name(),
            result.validity.reasons.join("; ")
        )));
    }
    if !total.is_accounted_for() {
        return Ok(Err(format!("a run of {} lost count of its requests", side.name())));
    }
    Ok(Ok(()))
}

/// Share of a run in which the generator may not run: beyond, it is the generator that is compared.
const STALLED_MAX: f64 = 0.10;

/// Whether the generator's own lateness is in a figure that is compared.
fn check_lateness(scenario: &Scenario, result: &RunResult, side: Side) -> Result<(), String> {
    let name = side.name();
    if result.plan.mode == Mode::Closed {
        let stalled = own::stalled(result);
        return match stalled > STALLED_MAX {
            true => Err(format!("the generator did not run for {:.0} % of a run of {name}", stalled * 100.0)),
            false => Ok(()),
        };
    }
    let compared = |doubt: &own::Doubt| {
        scenario.thresholds.keys().any(|figure| figure.name() == doubt.figure)
            && u128::from(doubt.own_ns) > scenario.lag_allowed.as_nanos()
    };
    match own::doubts(result).into_iter().find(compared) {
        None => Ok(()),
        Some(doubt) => Err(format!(
            "in a run of {name} up to {:.0} µs of the {} of {:.0} µs are the generator's own lateness",
            doubt.own_ns as f64 / 1e3,
            doubt.figure,
            doubt.measured_ns as f64 / 1e3
        )),
    }
}

fn throughput(result: &RunResult) -> Option<f64> {
    result.rate().filter(|rate| *rate > 0.0)
}

/// CPU microseconds of the server per request done.
pub(crate) fn cpu(result: &RunResult) -> Option<f64> {
    let server = result.cost.server.as_ref()?;
    let used = server.user_s + server.system_s;
    (result.total.done > 0 && used > 0.0).then(|| used * 1e6 / result.total.done as f64)
}

/// The figures of an arm; the error is one that it lacks.
fn read(scenario: &Scenario, measured: &Measured) -> Result<Readings, Figure> {
    let read = |figure: Figure| match figure {
        Figure::Throughput => measured.closed.as_ref().and_then(throughput),
        // At a fixed rate both arms do the same work, so that it is the better place to count its cost.
        Figure::Cpu => measured.open.as_ref().or(measured.closed.as_ref()).and_then(cpu),
        Figure::P50 => quantile(measured, 0.50),
        Figure::P99 => quantile(measured, 0.99),
    };
    let figures = scenario.thresholds.keys();
    figures.map(|&figure| Ok((figure, read(figure).ok_or(figure)?))).collect()
}

fn quantile(measured: &Measured, share: f64) -> Option<f64> {
    measured.open.as_ref()?.total.response.quantile(share).map(|ns| ns as f64)
}

/// Decides figures without a verdict. A verdict is final: each figure is tested at most twice.
fn look(scenario: &Scenario, found: &mut Found) {
    for (&figure, &delta) in &scenario.thresholds {
        let known = found.compared.iter().position(|compared| compared.figure == figure);
        if known.is_some_and(|at| found.compared[at].change.verdict != Verdict::Undecided) {
            continue;
        }
        let compared = compare(figure, figure.better(), delta, &found.blocks);
        match (known, compared) {
            (Some(at), Some(compared)) => found.compared[at] = compared,
            (None, Some(compared)) => found.compared.push(compared),
            (_, None) => {}
        }
    }
}

fn compare(figure: Figure, better: Better, delta: f64, blocks: &[Block]) -> Option<Compared> {
    let ratios: Vec<f64> = blocks.iter().filter_map(|block| block.ratio(figure)).collect();
    let change = change::judge(&ratios, better, delta)?;
    let middle = |arms: fn(&Block) -> &Vec<Readings>| {
        let mut values: Vec<f64> =
            blocks.iter().flat_map(arms).filter_map(|readings| readings.get(&figure).copied()).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let logs: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let mean = logs.iter().sum::<f64>() / logs.len() as f64;
    let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
    let spread = (squares / (logs.len() - 1) as f64).sqrt();
    let (base, head) = (middle(|block| &block.base), middle(|block| &block.head));
    Some(Compared { figure, base, head, spread, change })
}

/// Splitmix64: the orders and seeds of a comparison follow from its seed.
struct Coin(u64);

impl Coin {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
#[path = "blocks_tests.rs"]
mod tests;
