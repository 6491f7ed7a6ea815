//! The summary of a run, in order of importance: whether it is valid, what was planned and
//! what came of it, how long it took, what failed, what it cost, how to run it again. Words and figures;
//! knows nothing of where they stand on a page.

use super::figures::{
    NONE, bytes, command_line, count, duration, duration_or_none, rate, seconds, share, three_digits,
};
use crate::histogram::Durations;
use crate::result::{Arrival, Interval, Mode, Outcomes, RunResult, StageFacts, TlsFacts};

pub(crate) use crate::histogram::QUANTILES;

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
    /// Whether there were too few samples to tell.
    pub(crate) is_open: bool,
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
                    found: verdict.found.clone().unwrap_or_else(|| too_few(verdict.needs)),
                    met: verdict.met,
                    is_open: verdict.is_open(),
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
        let missed = |demand: &Demand| !demand.met && !demand.is_open;
        match (self.is_valid(), self.slo.iter().any(missed), self.slo.iter().all(|demand| demand.met)) {
            (false, _, _) => "INVALID",
            (true, true, _) => "SLO NOT MET",
            (true, false, false) => "CANNOT TELL",
            (true, false, true) => "VALID",
        }
    }

    /// What the verdict rests on, where it is not plain.
    pub(crate) fn verdict_note(&self) -> String {
        let missed = self.slo.iter().filter(|demand| !demand.met);
        let told = |d: &Demand| match d.is_open {
            true => format!("{} ({})", d.demand, d.found),
            false => format!("{} (found {})", d.demand, d.found),
        };
        let missed: Vec<String> = missed.map(told).collect();
        if self.is_valid() { missed.join("; ") } else { self.reasons.join("; ") }
    }
}

fn too_few(needs: Option<u64>) -> String {
    match needs {
        Some(needs) if needs > 1 => format!("too few samples: it takes {}", count(needs)),
        _ => "too few samples".to_string(),
    }
}

/// The durations that count: response times in an open loop, service times in a closed one, unless it also
/// waited for connections.
pub(crate) fn main_times(mode: Mode, outcomes: &Outcomes) -> &Durations {
    match mode {
        Mode::Closed if !waits_to_connect(outcomes) => &outcomes.service,
        _ => &outcomes.response,
    }
}

/// Whether requests of a closed loop waited for a connection of their own, or failed for the lack of one.
fn waits_to_connect(outcomes: &Outcomes) -> bool {
    outcomes.response != outcomes.service
}

fn plan(result: &RunResult) -> String {
    let plan = &result.plan;
    let mut parts = vec![match plan.mode {
        Mode::Closed => "closed loop".to_string(),
        Mode::Open => "open loop".to_string(),
    }];
    if !plan.stages.is_empty() {
        let stages =
            plan.stages.iter().map(|stage| format!("{} for {}", rate(stage.rate), seconds(stage.length_s)));
        parts.push(format!("in stages of {}", stages.collect::<Vec<_>>().join(", ")));
    }
    if let Some(planned) = plan.rate.filter(|_| plan.stages.is_empty()) {
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
    let achieved = total.achieved();
    if result.plan.mode == Mode::Open {
        facts.push(Fact { name: "planned", figure: count(total.planned), note: per_second(total.planned) });
        let note = format!("{}, {}", per_second(achieved), of_plan(achieved));
        facts.push(Fact { name: "achieved", figure: count(achieved), note });
    } else {
        facts.push(Fact { name: "begun", figure: count(total.planned), note: String::new() });
        facts.push(Fact { name: "done", figure: count(achieved), note: per_second(achieved) });
    }
    if total.drained > 0 {
        let note = "answered after the measured phase, and in no rate".to_string();
        facts.push(Fact { name: "afterwards", figure: count(total.drained), note });
    }
    let kinds = total.errors_by_kind.iter().map(|(kind, errors)| format!("{kind} {}", count(*errors)));
    let kinds = kinds.collect::<Vec<_>>().join(", ");
    let unfinished = match total.unfinished {
        0 => String::new(),
        unfinished => format!("unfinished {}", count(unfinished)),
    };
    for (name, outcome, kinds) in [
        ("errors", total.errors, kinds),
        ("timeouts", total.timeouts, unfinished),
        ("dropped", total.dropped, String::new()),
    ] {
        let mut note = if outcome == 0 { String::new() } else { of_plan(outcome) };
        if !kinds.is_empty() {
            note = format!("{note}: {kinds}");
        }
        facts.push(Fact { name, figure: count(outcome), note });
    }
    let received = result.connections.received_bytes.unwrap_or(total.received_bytes) as f64;
    let note = format!("{}/s", bytes(received / result.measured_s));
    facts.push(Fact { name: "received", figure: bytes(received), note });
    facts
}

fn times(result: &RunResult) -> Vec<Times> {
    let line = |name, durations| Times { name, figures: figures(durations) };
    let total = &result.total;
    let mut times = Vec::new();
    if result.plan.mode == Mode::Open || waits_to_connect(total) {
        times.push(line("response", &total.response));
    }
    // What failed has a time of its own, which may be much shorter, or much longer.
    if total.response_failed.count() > 0 && total.response_ok.count() > 0 {
        times.push(line("  ok", &total.response_ok));
        times.push(line("  failed", &total.response_failed));
    }
    times.push(line("service", &total.service));
    if result.plan.mode == Mode::Open {
        times.push(line("send lag", &total.lag));
    }
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
        failed: count(outcomes.errors.saturating_add(outcomes.timeouts).saturating_add(outcomes.dropped)),
        figures: figures(main_times(result.plan.mode, outcomes)),
    };
    stages(result).into_iter().chain(result.endpoints.iter().map(endpoint)).collect()
}

/// The stages, from the steps that lie in them.
fn stages(result: &RunResult) -> Vec<Endpoint> {
    let mut from_s = 0.0;
    let stage = |stage: &StageFacts| {
        let (start_s, end_s) = (from_s, from_s + stage.length_s);
        from_s = end_s;
        let mut sum = Interval::default();
        for step in &result.intervals {
            let middle_s = step.start_s + step.length_s / 2.0;
            if (start_s..end_s).contains(&middle_s) {
                sum.done += step.done;
                sum.failed += step.failed;
                sum.length_s += step.length_s;
                sum.response.add(&step.response);
            }
        }
        Endpoint {
            name: format!("stage of {}", rate(stage.rate)),
            done: format!("{} ({})", count(sum.done), rate(sum.done as f64 / sum.length_s)),
            failed: count(sum.failed),
            figures: figures(&sum.response),
        }
    };
    result.plan.stages.iter().map(stage).collect()
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
    let stalls = &result.cost.generator_stalls;
    let stalls = match stalls.max() {
        Some(longest) => {
            format!(", kept from running {} times, for {} at most", count(stalls.count()), duration(longest))
        }
        None => String::new(),
    };
    format!("CPU per request, busiest core {busiest}{late}{stalls}")
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
    fn stages_are_told_one_by_one() {
        let mut result = fixture::open_loop();
        result.plan.stages = [4.0, 6.0].map(|length_s| StageFacts { rate: 2_000.0, length_s }).to_vec();
        let summary = Summary::new(&result);
        assert!(
            summary.plan.contains("in stages of 2,000/s for 4.00 s, 2,000/s for 6.00 s"),
            "{}",
            summary.plan
        );
        let told: Vec<&str> = summary.endpoints.iter().map(|stage| stage.figures[4].as_str()).collect();
        // The server stood still in the second.
        assert_eq!((told.len(), told[1]), (2, "1.00 s"), "{told:?}");
        assert!(summary.endpoints[0].done.contains("/s)") && summary.endpoints[0].name == "stage of 2,000/s");
    }

    #[test]
    fn too_few_samples_are_no_verdict() {
        let mut result = fixture::open_loop();
        (result.slo[0].met, result.slo[0].found, result.slo[0].needs) = (false, None, Some(10_000));
        assert_eq!(Summary::new(&result).verdict(), "CANNOT TELL");
        assert_eq!(Summary::new(&result).verdict_note(), "p90<5ms (too few samples: it takes 10,000)");
        result.slo[1].met = false;
        assert_eq!(Summary::new(&result).verdict(), "SLO NOT MET");
    }

    #[test]
    fn what_came_afterwards_is_in_no_rate() {
        let mut result = fixture::open_loop();
        (result.total.achieved, result.total.drained) = (Some(10_000), 9_985);
        let outcomes = Summary::new(&result).outcomes;
        let told: Vec<String> =
            outcomes.iter().map(|f| format!("{} {} {}", f.name, f.figure, f.note)).collect();
        assert_eq!(told[1], "achieved 10,000 1,000/s, 50.0 % of the plan");
        assert!(told[2].starts_with("afterwards 9,985 "), "{told:?}");
    }

    #[test]
    fn a_closed_loop_that_connects_for_each_request_tells_both_times() {
        let mut result = fixture::closed_loop();
        assert_eq!(main_times(Mode::Closed, &result.total).max(), result.total.service.max());
        result.total.response.record(58_000_000);
        assert_eq!(main_times(Mode::Closed, &result.total).max(), result.total.response.max());
        assert_eq!(Summary::new(&result).times[0].name, "response");
    }

    #[test]
    fn handshakes_stand_beside_connecting() {
        let mut result = fixture::open_loop();
        result.connections.tls = Some(fixture::handshakes());
        let summary = Summary::new(&result);
        let names: Vec<&str> = summary.times.iter().map(|line| line.name).collect();
        let wanted =
            ["response", "  ok", "  failed", "service", "send lag", "connect", "handshake", "resumption"];
        assert_eq!(names, wanted);
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
