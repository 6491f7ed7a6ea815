//! Whether the generator's own lateness is in the figures: each that is reported is held against what it
//! would be without. Measures nothing.

use std::time::Duration;

use super::slo::{Slo, show_nanoseconds};
use crate::histogram::QUANTILES;
use crate::result::{Mode, Outcomes, RunResult, Validity};

/// The generator's own share in a figure, at the most.
const SHARE_MAX: f64 = 0.10;

/// Lateness below which none of it matters: what the clock's reading and one turn of the ring take.
const HARMLESS_NS: u64 = 20_000;

/// The same of the longest response time, which is a single one: any thread may lose its processor for a
/// slice of the kernel's scheduler once in a run. It is reported, and invalidates no run.
const HARMLESS_MAX_NS: u64 = 4_000_000;

/// Share of the measured phase in which the generator did not run, from which its rate means nothing.
const STALLED_MAX: f64 = 0.10;

/// A figure in which the generator has a share.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Doubt {
    /// Its name.
    pub(crate) figure: &'static str,
    /// As measured.
    pub(crate) measured_ns: u64,
    /// What of it may be the generator's.
    pub(crate) own_ns: u64,
}

/// The reported response times in which the generator's share is more than a tenth.
pub(crate) fn doubts(result: &RunResult) -> Vec<Doubt> {
    doubts_of(&result.total)
}

/// Those of the whole; if there are none, those of its endpoints, whose figures stand below.
fn all_doubts(result: &RunResult) -> Vec<Doubt> {
    let doubts = doubts(result);
    if doubts.is_empty() { result.endpoints.values().flat_map(doubts_of).collect() } else { doubts }
}

fn doubts_of(outcomes: &Outcomes) -> Vec<Doubt> {
    let Some(without) = outcomes.without_own_lateness() else { return Vec::new() };
    let (measured, without) = (&outcomes.response, &without.response);
    let quantiles = QUANTILES
        .iter()
        .map(|&(name, share)| (name, measured.quantile(share), without.quantile(share), HARMLESS_NS));
    let all = quantiles.chain([("max", measured.max(), without.max(), HARMLESS_MAX_NS)]);
    let doubt = |(figure, measured, without, harmless_ns): (_, Option<u64>, Option<u64>, u64)| {
        let measured_ns = measured?;
        let own_ns = measured_ns.saturating_sub(without?);
        let matters = own_ns > harmless_ns && own_ns as f64 > SHARE_MAX * measured_ns as f64;
        matters.then_some(Doubt { figure, measured_ns, own_ns })
    };
    all.filter_map(doubt).collect()
}

/// The share of the measured phase in which the generator did not run.
pub(crate) fn stalled(result: &RunResult) -> f64 {
    let stalls = &result.cost.generator_stalls;
    let sum_s = stalls.mean().unwrap_or(0.0) * stalls.count() as f64 / 1e9;
    let cores = result.plan.cpus.len().max(1) as f64;
    if result.measured_s > 0.0 { sum_s / cores / result.measured_s } else { 0.0 }
}

/// Adds to a run's validity what follows from the generator's own lateness. What `slo` demands is what is
/// asked for: lateness that changes none of its verdicts is reported and does not matter, nor does what
/// `allowed` covers.
pub(crate) fn judge(result: &mut RunResult, slo: Option<&Slo>, allowed: Duration) {
    let found = find(result, slo, allowed);
    result.validity.reasons.extend(found.reasons);
    result.validity.warnings.extend(found.warnings);
}

fn find(result: &RunResult, slo: Option<&Slo>, allowed: Duration) -> Validity {
    let mut validity = Validity::default();
    let stalled = stalled(result);
    if result.plan.mode == Mode::Closed && stalled > STALLED_MAX && !allows(allowed, longest(result)) {
        validity.reasons.push(format!(
            "the generator itself did not run for {:.0} % of the time, and did so much less; give it \
             cores of its own with --cpus",
            stalled * 100.0
        ));
    }
    let doubts = all_doubts(result);
    if doubts.is_empty() {
        return validity;
    }
    let what = tell(&doubts, longest(result));
    if doubts.iter().all(|doubt| allows(allowed, doubt.own_ns)) {
        validity
            .warnings
            .push(format!("{what}, which --lag-allowed lets pass; read them as that much too high"));
    } else if slo.is_some_and(|slo| !slo.depends_on_lateness(result)) {
        validity.warnings.push(format!("{what}; what was demanded is met or missed without it as well"));
    } else {
        validity.reasons.push(format!(
            "{what}; give it a core with --cpus, or say with --lag-allowed what this machine takes anyway"
        ));
    }
    validity
}

fn allows(allowed: Duration, own_ns: u64) -> bool {
    u128::from(own_ns) <= allowed.as_nanos()
}

/// The longest time in which a core did not run, or was late with a request.
fn longest(result: &RunResult) -> u64 {
    let lag = result.cost.generator_lag.as_ref().and_then(|lag| lag.max());
    result.cost.generator_stalls.max().max(lag).unwrap_or(0)
}

fn tell(doubts: &[Doubt], longest_ns: u64) -> String {
    let show = |ns: u64| show_nanoseconds(ns as f64);
    let each: Vec<String> = doubts
        .iter()
        .map(|doubt| format!("{} {} of {}", doubt.figure, show(doubt.own_ns), show(doubt.measured_ns)))
        .collect();
    format!(
        "the generator itself was late by up to {}, which may be more than a tenth of {}",
        show(longest_ns),
        each.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::sample_result;

    /// A run of 1,000 requests of 1 ms, of which `late` were late by `own_ns` by the generator's own fault.
    fn run(late: u64, own_ns: u64) -> RunResult {
        let mut result = sample_result();
        let total = &mut result.total;
        (total.response, total.response_ok) = Default::default();
        for n in 0..10_000 {
            let own_ns = if n < late { own_ns } else { 0 };
            total.response.record(1_000_000 + own_ns);
            total.response_ok.record(1_000_000 + own_ns);
            if own_ns > 0 {
                total.own.get_or_insert_default().note(1_000_000 + own_ns, own_ns, true);
            }
        }
        result
    }

    fn names(result: &RunResult) -> Vec<&'static str> {
        doubts(result).iter().map(|doubt| doubt.figure).collect()
    }

    #[test]
    fn every_figure_is_held_against_what_it_would_be() {
        assert!(names(&run(0, 0)).is_empty());
        // Stopped for a second of ten at 1,000/s; for a tenth of that; for one request.
        assert_eq!(names(&run(1_000, 900_000_000)), ["p99", "p99.9", "max"]);
        assert_eq!(names(&run(6_000, 900_000_000)), ["p50", "p90", "p99", "p99.9", "max"]);
        assert_eq!(names(&run(50, 90_000_000)), ["p99.9", "max"]);
        assert_eq!(names(&run(1, 90_000_000)), ["max"]);
        assert!(names(&run(1, 3_000_000)).is_empty(), "a slice of the scheduler, once");
        assert!(names(&run(10_000, 90_000)).is_empty(), "less than a tenth");
        assert_eq!(names(&run(10_000, 200_000)).len(), 4);
    }

    #[test]
    fn lateness_counts_where_something_depends_on_it() {
        let judged = |late, own_ns, slo: Option<&str>, allowed| {
            let mut result = run(late, own_ns);
            let slo: Option<Slo> = slo.map(|slo| slo.parse().unwrap());
            judge(&mut result, slo.as_ref(), allowed);
            (result.validity.reasons.len(), result.validity.warnings.len())
        };
        let second = Duration::from_secs(1);
        assert_eq!(judged(0, 0, None, Duration::ZERO), (0, 0));
        assert_eq!(judged(1_000, 900_000_000, None, Duration::ZERO), (1, 0));
        assert_eq!(judged(1_000, 900_000_000, None, second), (0, 1));
        assert_eq!(
            judged(1_000, 900_000_000, Some("p99<50ms"), Duration::ZERO),
            (1, 0),
            "missed by it alone"
        );
        assert_eq!(judged(1_000, 900_000_000, Some("p50<50ms,rate>1"), Duration::ZERO), (0, 1));
        assert_eq!(judged(10_000, 200_000, Some("p99<20ms"), Duration::ZERO), (0, 1));
        assert_eq!(judged(10_000, 200_000, Some("p99<1us"), Duration::ZERO), (0, 1), "missed anyway");
        assert_eq!(judged(10_000, 200_000, Some("p99<1.1ms"), Duration::ZERO), (1, 0));
    }

    #[test]
    fn an_endpoint_may_be_all_that_is_spoiled() {
        let mut result = run(0, 0);
        result.endpoints.insert("GET /rare".to_owned(), run(1_000, 900_000_000).total);
        assert!(names(&result).is_empty());
        judge(&mut result, None, Duration::ZERO);
        assert_eq!(result.validity.reasons.len(), 1);
    }

    #[test]
    fn a_closed_loop_that_did_not_run_did_less() {
        let mut result = run(0, 0);
        result.plan.mode = Mode::Closed;
        (0..2).for_each(|_| result.cost.generator_stalls.record(1_000_000_000));
        judge(&mut result, None, Duration::ZERO);
        assert!(result.validity.reasons[0].contains("20 % of the time"), "{:?}", result.validity);
    }
}
