//! Two results into one. Counts and histograms add up, so their order does not matter; what cannot add up has
//! a rule, beside it. Knows no files.

use std::collections::BTreeSet;

use crate::commands::alike;
use crate::result::{
    ConnectionFacts, Cost, Interval, MergedRun, Mode, PlanFacts, RunResult, ServerCost, SloVerdict, Validity,
};
use crate::stats::slo::Slo;

/// How the runs lay in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    /// At once: rates and connections add up, and the longest measured phase is that of the whole.
    AtOnce,
    /// One after another: measured phases add up, and gaps between them do not count.
    InTurn,
}

/// Requests per connection that are kept.
const DONE_EACH_MAX: usize = 10_000;

/// How the runs lay in time, by their clocks: at once if all share half of the shortest, in turn if no two
/// share a tenth of it. `None`: neither.
pub(super) fn how(runs: &[RunResult]) -> Option<How> {
    let spans: Vec<(f64, f64)> = runs.iter().map(span_s).collect();
    let shortest = spans.iter().map(|(from, to)| to - from).fold(f64::INFINITY, f64::min);
    let shared = |some: &[(f64, f64)]| {
        let from = some.iter().map(|span| span.0).fold(f64::NEG_INFINITY, f64::max);
        let to = some.iter().map(|span| span.1).fold(f64::INFINITY, f64::min);
        (to - from) / shortest.max(f64::MIN_POSITIVE)
    };
    if shared(&spans) >= 0.5 {
        return Some(How::AtOnce);
    }
    let mut sorted = spans;
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    sorted.windows(2).all(|pair| shared(pair) < 0.1).then_some(How::InTurn)
}

/// From the start of its first measured phase to the end of its last, in seconds.
fn span_s(run: &RunResult) -> (f64, f64) {
    let parts = parts(run);
    let from = |part: &MergedRun| part.started_unix_ms as f64 / 1e3;
    let starts = parts.iter().map(from).fold(f64::INFINITY, f64::min);
    let ends = parts.iter().map(|part| from(part) + part.measured_s).fold(f64::NEG_INFINITY, f64::max);
    (starts, ends)
}

/// Why two runs cannot be added: they did different things.
pub(super) fn differences(a: &RunResult, b: &RunResult) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what} {a} and {b}"));
        }
    };
    let (p, q) = (&a.plan, &b.plan);
    differ("targets", format!("{:?}", p.urls), format!("{:?}", q.urls));
    differ("mode", format!("{:?}", p.mode), format!("{:?}", q.mode));
    differ("arrivals", format!("{:?}", p.arrival), format!("{:?}", q.arrival));
    differ("stages", format!("{:?}", p.stages), format!("{:?}", q.stages));
    differ("protocol", format!("{:?}", p.protocol), format!("{:?}", q.protocol));
    differ("requests in flight", p.pipeline.to_string(), q.pipeline.to_string());
    differ("new connections", p.new_connections.to_string(), q.new_connections.to_string());
    let endpoints = |run: &RunResult| format!("{:?}", run.endpoints.keys().collect::<Vec<_>>());
    differ("endpoints", endpoints(a), endpoints(b));
    found
}

/// Two of these that hold the same run: the same file twice, a copy, or a merged one beside one of its parts.
pub(super) fn same(runs: &[RunResult]) -> Option<(usize, usize)> {
    let texts: Vec<String> = runs.iter().map(|run| serde_json::to_string(run).expect("as written")).collect();
    let is_same = |a: usize, b: usize| {
        let is_merged = !runs[a].merged.is_empty() || !runs[b].merged.is_empty();
        // Of the parts of a merged run no more is known than what they were.
        texts[a] == texts[b] || is_merged && parts(&runs[a]).iter().any(|part| parts(&runs[b]).contains(part))
    };
    let pairs = (0..runs.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    pairs.into_iter().find(|&(a, b)| is_same(a, b))
}

/// Adds two runs for which [`differences`] is empty.
pub(super) fn merge(a: &RunResult, b: &RunResult, how: How) -> RunResult {
    let mut sum = a.clone();
    sum.started_unix_ms = a.started_unix_ms.min(b.started_unix_ms);
    sum.measured_s = match how {
        How::AtOnce => a.measured_s.max(b.measured_s),
        How::InTurn => a.measured_s + b.measured_s,
    };
    sum.plan = plan(a, b, how);
    sum.total.add(&b.total);
    for (name, outcomes) in &b.endpoints {
        sum.endpoints.entry(name.clone()).or_default().add(outcomes);
    }
    match how {
        How::AtOnce => intervals_at_once(&mut sum.intervals, &b.intervals),
        How::InTurn => sum.intervals.extend(b.intervals.iter().cloned().map(|mut interval| {
            interval.start_s += a.measured_s;
            interval
        })),
    }
    sum.connections = connections(&a.connections, &b.connections);
    sum.cost = cost(&a.cost, &b.cost, how);
    sum.slo = slo(a, b, &sum);
    sum.validity = validity(a, b, how);
    sum.merged = parts(a);
    sum.merged.append(&mut parts(b));
    sum
}

fn parts(run: &RunResult) -> Vec<MergedRun> {
    if !run.merged.is_empty() {
        return run.merged.clone();
    }
    vec![MergedRun {
        started_unix_ms: run.started_unix_ms,
        measured_s: run.measured_s,
        rate: run.plan.rate,
        connections: run.plan.connections,
        command: run.command.clone(),
        host: run.host.clone(),
        valid: run.validity.is_valid() && run.total.is_accounted_for(),
    }]
}

fn plan(a: &RunResult, b: &RunResult, how: How) -> PlanFacts {
    let (p, q) = (&a.plan, &b.plan);
    let both = |f: fn(f64, f64) -> f64, p: Option<f64>, q: Option<f64>| p.zip(q).map(|(p, q)| f(p, q));
    let mut plan = p.clone();
    match how {
        How::AtOnce => {
            plan.rate = both(|p, q| p + q, p.rate, q.rate);
            plan.connections = p.connections.saturating_add(q.connections);
            plan.cpus.extend(&q.cpus);
            plan.duration_s = both(f64::max, p.duration_s, q.duration_s);
        }
        How::InTurn => {
            let (s, t) = (a.measured_s, b.measured_s);
            plan.rate =
                p.rate.zip(q.rate).map(|(p, q)| if s + t > 0.0 { (p * s + q * t) / (s + t) } else { p });
            plan.connections = p.connections.max(q.connections);
            plan.cpus = p.cpus.iter().chain(&q.cpus).copied().collect::<BTreeSet<_>>().into_iter().collect();
            plan.duration_s = both(|p, q| p + q, p.duration_s, q.duration_s);
        }
    }
    plan.requests = p.requests.zip(q.requests).map(|(p, q)| p.saturating_add(q));
    plan.warmup_s = p.warmup_s.max(q.warmup_s);
    plan.ramp_s = p.ramp_s.max(q.ramp_s);
    plan
}

/// Steps that began alike, counted from the start of their own runs, become one; their order stays that of
/// time.
fn intervals_at_once(sum: &mut Vec<Interval>, others: &[Interval]) {
    let key = |interval: &Interval| (interval.start_s * 1e3).round() as i64;
    for other in others {
        match sum.binary_search_by_key(&key(other), key) {
            Ok(place) => add_interval(&mut sum[place], other),
            Err(place) => sum.insert(place, other.clone()),
        }
    }
}

fn add_interval(sum: &mut Interval, other: &Interval) {
    sum.length_s = sum.length_s.max(other.length_s);
    sum.planned = sum.planned.saturating_add(other.planned);
    sum.sent = sum.sent.saturating_add(other.sent);
    sum.done = sum.done.saturating_add(other.done);
    sum.failed = sum.failed.saturating_add(other.failed);
    sum.response.add(&other.response);
    sum.busy = sum.busy.max(other.busy);
    // Whoever watched the server saw all that it did.
    sum.server_cpu_s = match (sum.server_cpu_s, other.server_cpu_s) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
}

fn connections(a: &ConnectionFacts, b: &ConnectionFacts) -> ConnectionFacts {
    let mut sum = a.clone();
    sum.add(b);
    sum.done_each.sort_unstable();
    let all = sum.done_each.len();
    if all > DONE_EACH_MAX {
        // Evenly spaced ranks, the least and the most among them.
        let rank = |place| place * (all - 1) / (DONE_EACH_MAX - 1);
        sum.done_each = (0..DONE_EACH_MAX).map(|place| sum.done_each[rank(place)]).collect();
    }
    sum
}

fn cost(a: &Cost, b: &Cost, how: How) -> Cost {
    let mut sum = a.clone();
    sum.generator_cpu_s += b.generator_cpu_s;
    if let Some(lag) = &b.generator_lag {
        sum.generator_lag.get_or_insert_default().add(lag);
    }
    sum.generator_stalls.add(&b.generator_stalls);
    sum.generator_busy_max = a.generator_busy_max.max(b.generator_busy_max);
    sum.server = match (how, &a.server, &b.server) {
        (How::InTurn, Some(a), Some(b)) => Some(server_in_turn(a, b)),
        // The cost of one run cannot be shared out among the requests of both.
        (How::InTurn, _, _) => None,
        // Whoever watched it saw all that it did; the greater of two views is the more complete.
        (How::AtOnce, Some(a), Some(b)) => {
            Some(if a.user_s + a.system_s < b.user_s + b.system_s { b } else { a }.clone())
        }
        (How::AtOnce, a, b) => a.clone().or_else(|| b.clone()),
    };
    sum
}

fn server_in_turn(a: &ServerCost, b: &ServerCost) -> ServerCost {
    ServerCost {
        pid: a.pid,
        user_s: a.user_s + b.user_s,
        system_s: a.system_s + b.system_s,
        switches: a.switches.saturating_add(b.switches),
        read_write_calls: a.read_write_calls.zip(b.read_write_calls).map(|(a, b)| a.saturating_add(b)),
        resident_bytes: a.resident_bytes.max(b.resident_bytes),
    }
}

/// The demands that both runs made, evaluated on the combined result; one that cannot be parsed any more
/// is met if both met it. A demand that only one made is left out, which [`notes`] reports.
fn slo(a: &RunResult, b: &RunResult, sum: &RunResult) -> Vec<SloVerdict> {
    let both = |verdict: &SloVerdict| {
        let other = b.slo.iter().find(|other| other.demand == verdict.demand)?;
        let anew = verdict.demand.parse::<Slo>().ok().and_then(|slo| slo.judge_run(sum).pop());
        let met = verdict.met && other.met;
        Some(anew.unwrap_or_else(|| SloVerdict {
            found: None,
            met,
            needs: None,
            demand: verdict.demand.clone(),
        }))
    };
    a.slo.iter().filter_map(both).collect()
}

/// What was invalid stays invalid, and why; what differs, though it can be added, becomes a warning.
fn validity(a: &RunResult, b: &RunResult, how: How) -> Validity {
    let mut sum = a.validity.clone();
    b.validity.reasons.iter().for_each(|reason| alike::add(&mut sum.reasons, reason, "runs"));
    b.validity.warnings.iter().for_each(|warning| alike::add(&mut sum.warnings, warning, "runs"));
    for note in notes(a, b, how) {
        if !sum.warnings.iter().any(|known| alike::counted(known, "runs").0 == note) {
            sum.warnings.push(note);
        }
    }
    sum
}

fn notes(a: &RunResult, b: &RunResult, how: How) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |when: bool, text: &str| {
        if when {
            notes.push(text.to_string());
        }
    };
    let (p, q) = (&a.plan, &b.plan);
    note(a.version != b.version, "the merged runs were measured by different versions of loadgen");
    let demands =
        |run: &RunResult| run.slo.iter().map(|verdict| verdict.demand.clone()).collect::<BTreeSet<_>>();
    note(demands(a) != demands(b), "demands that only some of the merged runs made are left out");
    match how {
        How::AtOnce => {
            let uneven = (a.measured_s - b.measured_s).abs() > 0.05 * a.measured_s.max(b.measured_s);
            note(uneven, "the merged runs were not equally long: rates are those of the longest");
            let alike = p.mode == Mode::Open && p.seed == q.seed;
            note(
                alike,
                "merged runs share a seed, so that their arrivals coincide: give each its own --seed",
            );
        }
        How::InTurn => {
            note(p.rate != q.rate, "the merged runs had different rates: the planned rate is their mean");
            note(p.connections != q.connections, "the merged runs had different numbers of connections");
            note(
                a.host != b.host,
                "the merged runs were made by different machines: their cost is a mixture",
            );
            let some = a.cost.server.is_some() != b.cost.server.is_some();
            note(some, "the server's cost is known in some of the merged runs only, and left out");
        }
    }
    notes
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
