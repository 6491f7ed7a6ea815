//! Makes one result of what the cores found.

use std::collections::BTreeMap;

use super::record::Phases;
use super::shared::Shared;
use super::{Findings, Seen, host, validity};
use crate::plan::{Pace, Plan};
use crate::result::{ConnectionFacts, Cost, Interval, Outcomes, RunResult, SCHEMA, Validity};

/// Connections whose share is kept; more would only make files large.
const DONE_EACH_MAX: usize = 10_000;

pub(super) fn result(
    plan: &Plan,
    shared: &Shared,
    phases: Phases,
    seen: Seen,
    findings: Vec<Findings>,
) -> RunResult {
    let last_end_ns = findings.iter().map(|found| found.last_end_ns).max().unwrap_or(0);
    let end_ns = if shared.end_ns() == u64::MAX { last_end_ns } else { shared.end_ns() };
    let measured_s = end_ns.saturating_sub(phases.from_ns) as f64 / 1e9;
    let cost = Cost {
        generator_cpu_s: seen.generator_cpu_s,
        generator_busy_max: findings.iter().map(|found| found.busy).fold(0.0, f64::max),
        server: seen.server.as_ref().map(|server| server.cost()),
        ..Cost::default()
    };
    let mut result = RunResult {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix_ms: seen.started_unix_ms,
        command: plan.command.clone(),
        plan: plan.facts(),
        host: host::facts(),
        validity: Validity::default(),
        measured_s,
        total: Outcomes::default(),
        endpoints: BTreeMap::new(),
        intervals: Vec::new(),
        connections: ConnectionFacts { received_bytes: Some(0), ..ConnectionFacts::default() },
        cost,
        slo: Vec::new(),
        merged: Vec::new(),
    };
    for found in &findings {
        add(&mut result, plan, found);
    }
    if plan.mix.specs().len() == 1 {
        result.endpoints.clear();
    }
    finish_intervals(&mut result.intervals, phases, measured_s, &seen.server_cpu_each);
    result.connections.done_each.sort_unstable();
    thin(&mut result.connections.done_each);
    let overdue = findings.iter().map(|found| found.overdue).sum();
    result.validity = validity::judge(&result, overdue);
    if seen.interrupted {
        result.validity.warnings.push("the run was ended early; this is what was done until then".to_owned());
    }
    result
}

fn add(result: &mut RunResult, plan: &Plan, found: &Findings) {
    for (spec, outcomes) in plan.mix.specs().iter().zip(&found.endpoints) {
        result.total.add(outcomes);
        result.endpoints.entry(spec.name.clone()).or_default().add(outcomes);
    }
    let steps = found.intervals.len().max(result.intervals.len());
    result.intervals.resize_with(steps, Interval::default);
    for (interval, one) in result.intervals.iter_mut().zip(&found.intervals) {
        interval.planned += one.planned;
        interval.sent += one.sent;
        interval.done += one.done;
        interval.failed += one.failed;
        interval.response.add(&one.response);
    }
    for (interval, &busy) in result.intervals.iter_mut().zip(&found.busy_each) {
        interval.busy = interval.busy.max(busy);
    }
    if plan.pace != Pace::Closed {
        result.cost.generator_lag.get_or_insert_default().add(&found.pacing);
    }
    result.cost.generator_stalls.add(&found.stalls);
    result.connections.add(&found.connections);
}

fn finish_intervals(intervals: &mut [Interval], phases: Phases, measured_s: f64, server_cpu: &[f64]) {
    let step_s = phases.step_ns as f64 / 1e9;
    for (index, interval) in intervals.iter_mut().enumerate() {
        interval.start_s = index as f64 * step_s;
        interval.length_s = (measured_s - interval.start_s).clamp(0.0, step_s);
        interval.server_cpu_s = server_cpu.get(index).copied();
    }
}

/// Keeps every n-th of an ascending list, and its ends.
fn thin(sorted: &mut Vec<u64>) {
    if sorted.len() > DONE_EACH_MAX {
        let last = sorted.len() - 1;
        *sorted = (0..DONE_EACH_MAX).map(|n| sorted[n * last / (DONE_EACH_MAX - 1)]).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_keeps_its_ends() {
        let mut list: Vec<u64> = (0..25_000).collect();
        thin(&mut list);
        assert_eq!((list.len(), list[0], list[9_999]), (10_000, 0, 24_999));
    }
}
