//! `loadgen capacity`: the highest rate at which a server that runs already meets its demands. Its flags, its
//! runs and its report; the search itself stands beside it.

mod search;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use self::search::{Edges, Probe, Search};
use super::generator::{Generator, Order, lag_allowed};
use super::process::Interrupt;
use crate::exit::{Exit, Failure};
use crate::plan::units;
use crate::result::RunResult;
use crate::stats::own;
use crate::stats::slo::Slo;

/// Name and version of the report's schema.
const SCHEMA: &str = "quoit-loadgen-capacity/1";

/// Share of requests that may fail unless the demands limit errors: a server that refuses quickly
/// meets any demand on time.
const FAILED_MAX: f64 = 0.001;

/// Find the highest rate at which a running server meets its demands.
#[derive(Args, Clone, Debug)]
pub(crate) struct CapacityArgs {
    /// Targets, as `bench` takes them
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// What is demanded: p99<5ms,err<0.1%
    #[arg(long, value_name = "EXPR")]
    slo: Slo,
    /// Exit with 1 when the capacity is below this rate per second, such as 2k
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    at_least: Option<f64>,
    /// Rate to begin with [default: half of what a closed loop reaches]
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    start: Option<f64>,
    /// Step between rates, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    precision: f64,
    /// Walks to the edge from each side
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeats: usize,
    /// Seconds of each run at the least: it is as long as the demanded quantiles need at its rate
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Seconds of a run at the most
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    seconds_max: f64,
    /// Seconds of load before each
    #[arg(long, value_name = "S", default_value_t = 0.5)]
    warmup: f64,
    /// Seed of arrivals
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// CPUs of the generator [default: as bench]
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
    /// Write all of it to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
    /// Measures in place of this program's own `bench`
    #[arg(long, value_name = "CMD", hide = true)]
    bench_cmd: Option<String>,
    /// Further flags of `bench`, such as -c 64
    #[arg(last = true, value_name = "BENCH FLAGS")]
    bench: Vec<String>,
}

/// What was found, as JSON has it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    /// [`SCHEMA`].
    schema: String,
    /// The version of the program that measured.
    version: String,
    /// The command line.
    command: Vec<String>,
    /// What was demanded.
    slo: String,
    /// Requests per second; `None` when no rate met it.
    capacity: Option<f64>,
    /// The edges.
    edges: Edges,
    /// Step between rates, as a share.
    #[serde(default)]
    precision: f64,
    /// The lowest rate that could be tried: below, the longest run has too few requests for a quantile.
    #[serde(default)]
    floor: f64,
    /// Every run, in its order.
    runs: Vec<Run>,
    /// What ended it before its end.
    failure: Option<String>,
}

/// One run of the search.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    /// Requests per second.
    rate: f64,
    /// `met`, `missed` or `spoiled`.
    verdict: String,
    /// What was found, by demand.
    found: Vec<(String, Option<String>)>,
}

/// Searches, prints, writes what was asked for.
pub(crate) fn run(args: &CapacityArgs) -> Result<Exit, Failure> {
    check(args)?;
    let interrupt = Interrupt::listen()?;
    let generator = Generator::new(args.bench_cmd.as_deref(), args.cpus.clone(), interrupt)?;
    let mut runs = Vec::new();
    let found = search(args, &generator, &mut runs);
    progress("");
    let (edges, failure) = match found {
        Ok(edges) => (edges, None),
        Err(failure) => (None, Some(failure)),
    };
    let report = Report {
        schema: SCHEMA.to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        command: std::env::args().collect(),
        slo: args.slo.to_string(),
        capacity: edges.as_ref().and_then(Edges::capacity),
        edges: edges.unwrap_or_default(),
        precision: args.precision / 100.0,
        floor: floor(args),
        runs,
        failure: failure.as_ref().map(Failure::to_string),
    };
    // A failure is reported once, on standard error. A closed pipe must not turn a verdict into another.
    if failure.is_none() {
        let _ = std::io::stdout().write_all(show(&report).as_bytes());
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report).expect("it has no maps with odd keys") + "\n";
        std::fs::write(path, text)
            .map_err(|error| Failure::Usage(format!("{} cannot be written: {error}", path.display())))?;
    }
    match failure {
        Some(failure) => Err(failure),
        None => Ok(verdict(&report, args.at_least)),
    }
}

fn check(args: &CapacityArgs) -> Result<(), Failure> {
    let wrong = |what: String| Err(Failure::Usage(what));
    if !(0.1..=50.0).contains(&args.precision) {
        return wrong(format!("--precision {}: give percents from 0.1 to 50", args.precision));
    }
    if !(1..=100).contains(&args.repeats) {
        return wrong(format!("--repeats {}: give 1 to 100", args.repeats));
    }
    if !(args.seconds..=3600.0).contains(&args.seconds_max) {
        return wrong(format!("--seconds-max {}: give --seconds or more, up to 3600", args.seconds_max));
    }
    if !(0.001..=3600.0).contains(&args.seconds) || !(0.0..=3600.0).contains(&args.warmup) {
        return wrong("--seconds and --warmup: give up to 3600, and --seconds above 0".to_string());
    }
    Ok(())
}

fn search(args: &CapacityArgs, generator: &Generator, runs: &mut Vec<Run>) -> Result<Option<Edges>, Failure> {
    let arguments = [args.bench.as_slice(), args.urls.as_slice()].concat();
    let lag_allowed = lag_allowed(&arguments)?;
    let mut seed = args.seed;
    let mut measure = |rate: Option<f64>, seconds: f64| {
        // Each run has arrivals of its own: a rate must not owe its luck to one of them.
        seed = seed.wrapping_add(1);
        generator.run(&Order {
            arguments: &arguments,
            rate,
            measured: Duration::from_secs_f64(seconds),
            warmup: Duration::from_secs_f64(args.warmup),
            seed,
            server_pid: None,
        })
    };
    let start = match args.start {
        Some(rate) => rate,
        None => {
            progress("closed loop");
            half_of_closed(&measure(None, args.seconds)?)?
        }
    };
    let (floor, precision) = (floor(args), args.precision / 100.0);
    let search = Search { start, floor, precision, repeats: args.repeats };
    search.run(|rate| {
        // Whole requests per second where that is fine enough, which is easier to read.
        let rate = if rate >= 1000.0 { rate.round().max(floor) } else { rate };
        progress(&format!("run {}: {rate:.1}/s", runs.len() + 1));
        let mut result = measure(Some(rate), seconds(args, rate))?;
        own::judge(&mut result, Some(&args.slo), lag_allowed);
        let probe = judge(&args.slo, &result);
        runs.push(told(rate, &probe, &args.slo, &result));
        Ok(probe)
    })
}

/// The length of a run at this rate: the demanded quantiles need as many requests.
fn seconds(args: &CapacityArgs, rate: f64) -> f64 {
    (args.slo.samples() as f64 * SAMPLES_SPARE / rate).clamp(args.seconds, args.seconds_max)
}

/// The lowest rate at which the longest run has the requests that the demanded quantiles need.
fn floor(args: &CapacityArgs) -> f64 {
    (args.slo.samples() as f64 * SAMPLES_SPARE / args.seconds_max).max(1.0)
}

/// Requests beside those that a quantile needs: the first and last of a run may fall out of it.
const SAMPLES_SPARE: f64 = 1.05;

/// Where a closed loop gets no answers, no rate will.
fn half_of_closed(result: &RunResult) -> Result<f64, Failure> {
    if result.total.done == 0 || result.measured_s <= 0.0 {
        let kinds: Vec<String> =
            result.total.errors_by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        return Err(Failure::Target(format!("no request was answered as expected ({})", kinds.join(", "))));
    }
    Ok(result.total.achieved().max(1) as f64 / result.measured_s / 2.0)
}

fn judge(slo: &Slo, result: &RunResult) -> Probe {
    let total = &result.total;
    let failed = total.errors + total.timeouts + total.dropped;
    let too_many = !slo.speaks_of_errors() && failed as f64 > FAILED_MAX * total.planned as f64;
    let verdicts = slo.judge_run(result);
    let missed = verdicts.iter().any(|verdict| !verdict.met && !verdict.is_open());
    if !result.validity.is_valid() {
        Probe::Spoiled(result.validity.reasons.join("; "))
    } else if too_many || missed || result.backlog_growth().is_some() {
        // A backlog that grows is a rate that is not held, whatever it has come to by the end of the run.
        Probe::Missed
    } else if let Some(open) = verdicts.iter().find(|verdict| verdict.is_open()) {
        Probe::Spoiled(format!("too few requests for {}", open.demand))
    } else {
        Probe::Met
    }
}

fn told(rate: f64, probe: &Probe, slo: &Slo, result: &RunResult) -> Run {
    let verdict = match probe {
        Probe::Met => "met",
        Probe::Missed => "missed",
        Probe::Spoiled(_) => "spoiled",
    };
    let verdicts = slo.judge_run(result);
    let found = verdicts.into_iter().map(|verdict| (verdict.demand, verdict.found)).collect();
    Run { rate, verdict: verdict.to_string(), found }
}

fn verdict(report: &Report, at_least: Option<f64>) -> Exit {
    match report.capacity {
        None => Exit::Regressed,
        Some(capacity) if at_least.is_none_or(|rate| capacity >= rate) && at_least.is_some() => Exit::Pass,
        // The target may be able to do more than was seen.
        Some(_) if report.edges.spoiled.is_some() => Exit::Invalid,
        Some(_) if at_least.is_some() => Exit::Regressed,
        Some(_) => Exit::Pass,
    }
}

fn show(report: &Report) -> String {
    let edges = &report.edges;
    let mut text = String::new();
    let mut line = |what: String| text.push_str(&(what + "\n"));
    match report.capacity {
        None if report.floor > 1.0 => line(format!(
            "No rate from {:.1}/s up meets {}; at lower ones a run of --seconds-max has too few requests to \
             tell.",
            report.floor, report.slo
        )),
        None => line(format!("No rate meets {}.", report.slo)),
        Some(capacity) if edges.spoiled.is_some() => {
            let reason = edges.spoiled.as_deref().unwrap_or_default();
            line(format!("INVALID: at least {capacity:.0}/s, then the generator gave out: {reason}"));
        }
        Some(capacity) => line(format!("Capacity: {capacity:.0}/s with {}", report.slo)),
    }
    for (name, rates) in [("from below", &edges.from_below), ("from above", &edges.from_above)] {
        if !rates.is_empty() {
            let rates: Vec<String> = rates.iter().map(|rate| format!("{rate:.0}/s")).collect();
            line(format!("  {name}: {}", rates.join(", ")));
        }
    }
    if let (Some(spread), Some(hysteresis)) = (edges.spread(), edges.hysteresis()) {
        let after = after_overload(hysteresis, edges.noise(report.precision));
        line(format!("  spread {:.1} %; after an overload {after}", spread * 100.0));
    }
    line(format!("  {} runs", report.runs.len()));
    text
}

/// What an overload leaves, from the share by which less is met after it; `noise` is what chance and the
/// steps between rates make of none.
fn after_overload(hysteresis: f64, noise: f64) -> String {
    match hysteresis {
        less if less > noise => format!("{:.1} % less is met than before", less * 100.0),
        more if more < -noise => {
            format!("{:.1} % more is met than before: the edge is no sharper than that", -more * 100.0)
        }
        _ => format!("as much is met as before, within {:.1} %", noise * 100.0),
    }
}

/// One line that is written over, on terminals alone.
fn progress(text: &str) {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        // A failure to print progress is ignored.
        let _ = write!(terminal, "\r\x1b[K{text}");
        let _ = terminal.flush();
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::commands::samples;
    use crate::result::Interval;

    fn report(below: &[f64], above: &[f64], spoiled: Option<&str>) -> Report {
        let edges = Edges {
            from_below: below.to_vec(),
            from_above: above.to_vec(),
            spoiled: spoiled.map(str::to_string),
            at_least: None,
        };
        Report {
            schema: SCHEMA.to_string(),
            version: "0".to_string(),
            command: Vec::new(),
            slo: "p99<5ms".to_string(),
            capacity: edges.capacity(),
            edges,
            precision: 0.01,
            floor: 1.0,
            runs: Vec::new(),
            failure: None,
        }
    }

    #[test]
    fn a_capacity_is_told_with_its_doubts() {
        let sound = report(&[1000.0, 1100.0, 1050.0], &[850.0, 800.0, 850.0], None);
        let text = show(&sound);
        for part in ["Capacity: 850/s with p99<5ms", "1100/s", "spread 35.3 %", "19.0 % less"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let more = show(&report(&[1000.0], &[1107.0], None));
        assert!(more.contains("10.7 % more is met") && !more.contains("-10.7"), "{more}");
        assert!(show(&report(&[1000.0], &[1000.0], None)).contains("as much is met as before, within 2.0 %"));
        assert!(
            show(&report(&[1000.0], &[985.0], None)).contains("as much is met as before"),
            "a step or two"
        );
        let spoiled = show(&report(&[1000.0], &[], Some("busy")));
        assert!(spoiled.starts_with("INVALID: at least 1000/s") && spoiled.contains("busy"), "{spoiled}");
        assert!(show(&report(&[], &[], None)).starts_with("No rate meets"));
    }

    #[test]
    fn verdicts_follow_from_what_is_asked() {
        let sound = || report(&[1000.0], &[1000.0], None);
        let spoiled = || report(&[1000.0], &[1000.0], Some("busy"));
        for (report, at_least, exit) in [
            (sound(), None, Exit::Pass),
            (sound(), Some(999.0), Exit::Pass),
            (sound(), Some(1001.0), Exit::Regressed),
            (spoiled(), None, Exit::Invalid),
            (spoiled(), Some(999.0), Exit::Pass),
            (spoiled(), Some(1001.0), Exit::Invalid),
            (report(&[], &[], None), None, Exit::Regressed),
        ] {
            assert_eq!(verdict(&report, at_least), exit, "{at_least:?} of {:?}", report.edges);
        }
    }

    #[test]
    fn quick_failures_meet_no_demand() {
        let slo: Slo = "p50<5ms".parse().unwrap();
        let mut result = samples::run();
        (0..1000).for_each(|_| result.total.response.record(1000));
        (result.total.planned, result.total.done) = (1000, 1000);
        assert_eq!(judge(&slo, &result), Probe::Met);
        (result.total.done, result.total.errors) = (990, 10);
        assert_eq!(judge(&slo, &result), Probe::Missed);
        assert_eq!(judge(&"p50<5ms,err<2%".parse().unwrap(), &result), Probe::Met);
        result.validity.reasons.push("busy".to_string());
        assert_eq!(judge(&slo, &result), Probe::Spoiled("busy".to_string()));
        assert!(half_of_closed(&samples::run()).is_err());
    }

    #[test]
    fn what_a_short_run_hides_is_no_capacity() {
        let mut result = crate::engine::tests::sample_result();
        let step = |done| Interval { planned: 500, done, ..Interval::default() };
        let slo: Slo = "err<0.1%".parse().unwrap();
        result.intervals = vec![step(500); 4];
        assert_eq!(judge(&slo, &result), Probe::Met);
        // None has failed yet: what was planned is on its way.
        result.intervals = vec![step(400); 4];
        assert_eq!(judge(&slo, &result), Probe::Missed);
        result.intervals.clear();
        let spoiled = judge(&"p99.9<1s".parse().unwrap(), &result);
        assert!(matches!(&spoiled, Probe::Spoiled(why) if why.contains("p99.9<1s")), "{spoiled:?}");
    }

    #[test]
    fn runs_are_as_long_as_their_quantiles_need() {
        let args = |slo: &str| {
            let words = ["capacity", "http://h/", "--slo", slo];
            let command = CapacityArgs::augment_args(clap::Command::new("capacity"));
            CapacityArgs::from_arg_matches(&command.get_matches_from(words)).unwrap()
        };
        assert_eq!(seconds(&args("p99<100ms"), 200.0), 5.25);
        assert_eq!(seconds(&args("p99<100ms"), 20_000.0), 2.0);
        assert_eq!(seconds(&args("err<1%"), 1.0), 2.0);
        assert_eq!((floor(&args("p99<100ms")), floor(&args("err<1%"))), (17.5, 1.0));
    }
}
