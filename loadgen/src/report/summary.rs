//! The summary of a run, in order of importance: whether it is valid, what was planned and
//! what came of it, how long it took, what failed, what it cost, how to run it again. Words and figures;
//! knows nothing of where they stand on a page.

use super::figures::{
    NONE, bytes, command_line, count, duration, duration_or_none, rate, seconds, share, three_digits,
};
use crate::histogram::Durations;
use crate::result::{Arrival, Mode, Outcomes, RunResult, TlsFacts};

/// The reported quantiles, and their names.
pub(crate) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What a closed loop's durations are, so that they are not taken for latencies of users.
pub(crate) const SERVICE_ONLY: &str =
    "service time only: a closed loop asks a slow server less, and what would have waited is not counted";

/// The contents of a summary.
pub(crate) struct Summary {
    /// `open loop, …`: the plan on one line.
    pub(crate) plan: String,
    /// Targets as written.
    pub(crate) targets: Vec<String>,
    /// Why the figures may not be believed. Empty: valid.
    pub(crate) reasons: Vec<String>,
    /// What a reader should know, though the figures hold.
    pub(crate) warnings: Vec<String>,
    /// What became of what was planned.
    pub(crate) outcomes: Vec<Fact>,
    /// Durations: response beside service beside lag.
    pub(crate) times: Vec<Times>,
    /// The same by endpoint, where there are several.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Errors by kind, statuses, fairness, cost.
    pub(crate) facts: Vec<Fact>,
    /// Demands and whether they were met.
    pub(crate) slo: Vec<Demand>,
    /// Command lines of the runs that were merged.
    pub(crate) merged: Vec<String>,
    /// The line that runs it again.
    pub(crate) command: String,
}

/// A name, a figure, and what is to be said beside it.
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) figure: String,
    pub(crate) note: String,
}

/// One line of durations: [`QUANTILES`], then the longest.
pub(crate) struct Times {
    pub(crate) name: &'static str,
    pub(crate) figures: [String; QUANTILES.len() + 1],
}

/// One endpoint's line: its durations are those of the main times above it.
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) done: String,
    pub(crate) failed: String,
    pub(crate) figures: [String; QUANTILES.len() + 1],
}

/// A demand and its verdict.
pub(crate) struct Demand {
    pub(crate) demand: String,
    pub(crate) found: String,
    pub(crate) met: bool,
}

impl Summary {
    pub(crate) fn new(result: &RunResult) -> Self {
        let mut reasons = result.validity.reasons.clone();
        if reasons.is_empty() && !result.total.is_accounted_for() {
            reasons.push("the outcomes do not add up to what was planned".to_string());
        }
        Self {
            plan: plan(result),
            targets: result.plan.urls.clone(),
            reasons,
            warnings: result.validity.warnings.clone(),
            outcomes: outcomes(result),
            times: times(result),
            endpoints: endpoints(result),
            facts: facts(result),
            slo: result
                .slo
                .iter()
                .map(|verdict| Demand {
                    demand: verdict.demand.clone(),
                    found: verdict.found.clone().unwrap_or_else(|| "too few samples".to_string()),
                    met: verdict.met,
                })
                .collect(),
            merged: result.merged.iter().map(|run| command_line(&run.command)).collect(),
            command: command_line(&result.command),
        }
    }

    /// Whether the figures may be believed.
    pub(crate) fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The verdict in a word or three.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.is_valid(), self.slo.iter().all(|demand| demand.met)) {
            (false, _) => "INVALID",
            (true, false) => "SLO NOT MET",
            (true, true) => "VALID",
        }
    }

    /// What the verdict rests on, where it is not plain.
    pub(crate) fn verdict_note(&self) -> String {
        let missed = self.slo.iter().filter(|demand| !demand.met);
        let missed: Vec<String> = missed.map(|d| format!("{} (found {})", d.demand, d.found)).collect();
        if self.is_valid() { missed.join("; ") } else { self.reasons.join("; ") }
    }
}

/// The durations that count: response times in an open loop, service times in a closed one.
pub(crate) fn main_times(mode: Mode, outcomes: &Outcomes) -> &Durations {
    match mode {
        Mode::Open => &outcomes.response,
        Mode::Closed => &outcomes.service,
    }
}

fn plan(result: &RunResult) -> String {
    let plan = &result.plan;
    let mut parts = vec![match plan.mode {
        Mode::Closed => "closed loop".to_string(),
        Mode::Open => "open loop".to_string(),
    }];
    if let Some(planned) = plan.rate {
        let spaced = match plan.arrival {
            Some(Arrival::Poisson) => " at random (Poisson)",
            Some(Arrival::Fixed) | None => " evenly spaced",
        };
        parts.push(format!("{}{spaced}", rate(planned)));
    }
    parts.push(plural(u64::from(plan.connections), "connection"));
    if plan.new_connections {
        parts.push("each request on a new one".to_string());
    }
    if plan.pipeline > 1 {
        parts.push(format!("{} in flight on each", plan.pipeline));
    }
    parts.push(format!("{} on {}", seconds(result.measured_s), plural(plan.cpus.len() as u64, "core")));
    if !result.merged.is_empty() {
        parts.push(format!("{} merged", plural(result.merged.len() as u64, "run")));
    }
    parts.push(plan.protocol.clone());
    parts.join(", ")
}

fn outcomes(result: &RunResult) -> Vec<Fact> {
    let total = &result.total;
    let per_second = |count: u64| rate(count as f64 / result.measured_s);
    let whole = if result.plan.mode == Mode::Open { "the plan" } else { "all" };
    let of_plan = |count: u64| format!("{} of {whole}", share(count as f64, total.planned as f64));
    let mut facts = Vec::new();
    if result.plan.mode == Mode::Open {
        facts.push(Fact { name: "planned", figure: count(total.planned), note: per_second(total.planned) });
        let note = format!("{}, {}", per_second(total.done), of_plan(total.done));
        facts.push(Fact { name: "achieved", figure: count(total.done), note });
    } else {
        facts.push(Fact { name: "begun", figure: count(total.planned), note: String::new() });
        facts.push(Fact { name: "done", figure: count(total.done), note: per_second(total.done) });
    }
    let kinds = total.errors_by_kind.iter().map(|(kind, errors)| format!("{kind} {}", count(*errors)));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    for (name, outcome, kinds) in [
        ("errors", total.errors, kinds),
        ("timeouts", total.timeouts, String::new()),
        ("dropped", total.dropped, String::new()),
    ] {
        let mut note = if outcome == 0 { String::new() } else { of_plan(outcome) };
        if !kinds.is_empty() {
            note = format!("{note}: {kinds}");
        }
        facts.push(Fact { name, figure: count(outcome), note });
    }
    let received = total.received_bytes as f64;
    let note = format!("{}/s", bytes(received / result.measured_s));
    facts.push(Fact { name: "received", figure: bytes(received), note });
    facts
}

fn times(result: &RunResult) -> Vec<Times> {
    let line = |name, durations| Times { name, figures: figures(durations) };
    let total = &result.total;
    let mut times = match result.plan.mode {
        Mode::Open => vec![
            line("response", &total.response),
            line("service", &total.service),
            line("send lag", &total.lag),
        ],
        Mode::Closed => vec![line("service", &total.service)],
    };
    if result.connections.connect.count() > 0 {
        times.push(line("connect", &result.connections.connect));
    }
    if let Some(tls) = &result.connections.tls {
        for (name, handshakes) in [("handshake", &tls.full), ("resumption", &tls.resumed)] {
            if handshakes.count() > 0 {
                times.push(line(name, handshakes));
            }
        }
    }
    times
}

fn endpoints(result: &RunResult) -> Vec<Endpoint> {
    let endpoint = |(name, outcomes): (&String, &Outcomes)| Endpoint {
        name: name.clone(),
        done: count(outcomes.done),
        failed: count(outcomes.errors.saturating_add(outcomes.timeouts)),
        figures: figures(main_times(result.plan.mode, outcomes)),
    };
    result.endpoints.iter().map(endpoint).collect()
}

fn figures(durations: &Durations) -> [String; QUANTILES.len() + 1] {
    std::array::from_fn(|column| match QUANTILES.get(column) {
        Some((_, share)) => duration_or_none(durations.quantile(*share)),
        None => duration_or_none(durations.max()),
    })
}

fn facts(result: &RunResult) -> Vec<Fact> {
    let mut facts = Vec::new();
    let statuses =
        result.total.statuses.iter().map(|(status, answers)| format!("{status} × {}", count(*answers)));
    let statuses: Vec<String> = statuses.collect();
    if !statuses.is_empty() {
        facts.push(Fact { name: "statuses", figure: String::new(), note: statuses.join(", ") });
    }
    facts.push(Fact { name: "connections", figure: String::new(), note: connections(result) });
    if let Some(tls) = &result.connections.tls {
        facts.push(Fact { name: "TLS", figure: String::new(), note: handshakes(tls) });
    }
    facts.push(Fact { name: "generator", figure: generator_cpu(result), note: generator(result) });
    if result.cost.server.is_some() {
        facts.push(Fact { name: "server", figure: server_cpu(result), note: server(result) });
    }
    facts
}

fn connections(result: &RunResult) -> String {
    let each = &result.connections.done_each;
    let mut text = plural(result.connections.opened, "connection") + " opened";
    if result.connections.lost > 0 {
        text += &format!(", {} lost", count(result.connections.lost));
    }
    if let (Some(least), Some(most), true) = (each.first(), each.last(), each.len() > 1) {
        let median = each[each.len() / 2];
        text +=
            &format!("; requests on each: {} to {}, median {}", count(*least), count(*most), count(median));
    }
    text
}

fn handshakes(tls: &TlsFacts) -> String {
    let (full, resumed) = (tls.full.count(), tls.resumed.count());
    let suites = tls.suites.iter().map(|(suite, connections)| format!("{suite} × {}", count(*connections)));
    let suites = suites.collect::<Vec<_>>().join(", ");
    format!("{}, {} resumed; {suites}", plural(full, "full handshake"), count(resumed))
}

/// CPU time per request that left: what failed was work as well.
fn per_request(result: &RunResult, cpu_s: f64) -> String {
    match result.total.sent {
        0 => NONE.to_string(),
        sent => format!("{} µs", three_digits(cpu_s * 1e6 / sent as f64)),
    }
}

fn generator_cpu(result: &RunResult) -> String {
    per_request(result, result.cost.generator_cpu_s)
}

fn generator(result: &RunResult) -> String {
    let busiest = share(result.cost.generator_busy_max, 1.0);
    let late = result.cost.generator_lag.as_ref().and_then(|lag| lag.quantile(0.99));
    let late = late.map_or_else(String::new, |ns| format!(", itself late by {} at p99", duration(ns)));
    format!("CPU per request, busiest core {busiest}{late}")
}

fn server_cpu(result: &RunResult) -> String {
    result.cost.server.as_ref().map_or_else(String::new, |s| per_request(result, s.user_s + s.system_s))
}

fn server(result: &RunResult) -> String {
    let Some(server) = &result.cost.server else { return String::new() };
    let each = |count: u64| match result.total.sent {
        0 => NONE.to_string(),
        sent => three_digits(count as f64 / sent as f64),
    };
    let (user, system) = (per_request(result, server.user_s), per_request(result, server.system_s));
    let mut text = format!("CPU per request: {user} user, {system} kernel");
    if let Some(calls) = server.read_write_calls {
        text += &format!("; {} reads and writes", each(calls));
    }
    text + &format!(
        "; {} context switches; {} resident (process {})",
        each(server.switches),
        bytes(server.resident_bytes as f64),
        server.pid
    )
}

fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_run_that_does_not_add_up_is_invalid_whatever_it_says() {
        let mut result = fixture::open_loop();
        assert!(Summary::new(&result).is_valid());
        result.total.planned += 1;
        let summary = Summary::new(&result);
        assert_eq!(summary.verdict(), "INVALID");
        assert!(summary.verdict_note().contains("do not add up"));
    }

    #[test]
    fn invalid_comes_before_a_missed_demand() {
        let mut result = fixture::open_loop();
        result.slo[0].met = false;
        assert_eq!(Summary::new(&result).verdict(), "SLO NOT MET");
        result.validity.reasons.push("a core was busy".to_string());
        assert_eq!(Summary::new(&result).verdict(), "INVALID");
        assert_eq!(Summary::new(&result).verdict_note(), "a core was busy");
    }

    #[test]
    fn handshakes_stand_beside_connecting() {
        let mut result = fixture::open_loop();
        result.connections.tls = Some(fixture::handshakes());
        let summary = Summary::new(&result);
        let names: Vec<&str> = summary.times.iter().map(|line| line.name).collect();
        assert_eq!(names, ["response", "service", "send lag", "connect", "handshake", "resumption"]);
        let tls = summary.facts.iter().find(|fact| fact.name == "TLS").unwrap();
        assert_eq!(tls.note, "12 full handshakes, 4 resumed; TLSv1.3 TLS13_AES_256_GCM_SHA384 × 16");
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        let summary = Summary::new(&fixture::empty());
        let figures = summary.facts.iter().map(|fact| format!("{} {}", fact.figure, fact.note));
        let figures: Vec<String> = figures.collect();
        assert!(figures.iter().all(|text| !text.contains("NaN") && !text.contains("inf")), "{figures:?}");
        assert!(summary.times.iter().all(|line| line.figures.iter().all(|figure| figure == NONE)));
    }
}
