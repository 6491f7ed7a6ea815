//! The scenario file: named runs, what is measured in each, and how much worse head may be. Starts nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::commands::{generator, words};
use crate::stats::change::Better;
use crate::stats::slo::Slo;

/// A figure that base and head are compared by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Figure {
    /// Requests done per second in a closed loop.
    Throughput,
    /// CPU time of the server per request done.
    Cpu,
    /// Median response time at a fixed rate.
    P50,
    /// The 99th percentile of it.
    P99,
}

impl Figure {
    /// All, in the order of reports.
    pub(crate) const ALL: [Self; 4] = [Self::Throughput, Self::Cpu, Self::P50, Self::P99];

    /// As it is written in files and flags.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Cpu => "cpu",
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }

    /// Which way it should go.
    pub(crate) fn better(self) -> Better {
        if self == Self::Throughput { Better::Higher } else { Better::Lower }
    }

    /// By how much head may be worse by default. A change of 3 % is the smallest that
    /// shared machines can resolve within minutes; response times are noisier, their tails most.
    pub(crate) fn default_delta(self) -> f64 {
        match self {
            Self::Throughput | Self::Cpu => 0.03,
            Self::P50 => 0.05,
            Self::P99 => 0.10,
        }
    }

    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Throughput => format!("{value:.0}/s"),
            Self::Cpu => format!("{value:.2} µs"),
            Self::P50 | Self::P99 => crate::stats::slo::show_nanoseconds(value),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much worse head may be, by figure, as shares.
pub(crate) type Thresholds = BTreeMap<Figure, f64>;

/// Thresholds as `--delta` takes them: `cpu=2%,p99=15%`.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Deltas(pub(crate) Thresholds);

impl FromStr for Deltas {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let figure = Figure::ALL.into_iter().find(|figure| figure.name() == name.trim())?;
            let percent: f64 = value.trim().strip_suffix('%')?.trim().parse().ok()?;
            is_share(percent / 100.0).then_some((figure, percent / 100.0))
        };
        let wrong =
            |part: &str| format!("`{part}` is no threshold; write cpu=2%, of throughput, cpu, p50 and p99");
        let parts = written.split(',').map(|part| one(part).ok_or_else(|| wrong(part)));
        parts.collect::<Result<_, _>>().map(Self)
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// Default of all scenarios.
    #[serde(default)]
    thresholds: Thresholds,
    scenarios: Vec<WrittenScenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenScenario {
    name: String,
    /// Put for `{server}` in the commands.
    #[serde(default)]
    server: String,
    /// Flags and targets of `loadgen bench`; `{port}` is filled in.
    bench: String,
    /// Figures; all if absent.
    measure: Option<Vec<Figure>>,
    /// Share of base's throughput that the open loop uses.
    load: Option<f64>,
    /// Requests per second of the open loop instead.
    rate: Option<f64>,
    #[serde(default)]
    thresholds: Thresholds,
    /// Demands on head.
    slo: Option<String>,
    /// Path that a server answers once it is ready.
    ready: Option<String>,
    /// Seconds of load before each run.
    warmup: Option<f64>,
}

/// A scenario that can be run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scenario {
    /// Its name, unlike all others'.
    pub(crate) name: String,
    /// Words for `{server}`.
    pub(crate) server: Vec<String>,
    /// Words of bench.
    pub(crate) bench: Vec<String>,
    /// Lateness of the generator itself that spoils no figure, as they say.
    pub(crate) lag_allowed: Duration,
    /// Figures and their thresholds.
    pub(crate) thresholds: Thresholds,
    /// Rate of the open loop.
    pub(crate) rate: Rate,
    /// Demands on head.
    pub(crate) slo: Option<Slo>,
    /// Path that a server answers with a success once it is ready; `None`: once it accepts.
    pub(crate) ready: Option<String>,
    /// Load before each run, where it is not the comparison's.
    pub(crate) warmup: Option<Duration>,
}

/// Where the open loop's rate comes from.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Rate {
    /// A share of what base does in a closed loop.
    Share(f64),
    /// Requests per second.
    Fixed(f64),
}

/// Half of base's throughput: busy enough to matter, far enough from the knee where noise rules.
const LOAD: f64 = 0.5;

/// What a comparison decides itself.
const OURS: [&str; 11] = [
    "--duration",
    "--rate",
    "--stages",
    "--requests",
    "--seed",
    "--cpus",
    "--server-pid",
    "--warmup",
    "--output",
    "--slo",
    "--ramp",
];
const OURS_SHORT: [&str; 4] = ["-d", "-R", "-n", "-o"];

impl Scenario {
    /// Whether throughput is measured, in a closed loop.
    pub(crate) fn is_closed(&self) -> bool {
        self.thresholds.contains_key(&Figure::Throughput) || !self.is_open()
    }

    /// Whether a rate is held, in an open loop.
    pub(crate) fn is_open(&self) -> bool {
        let times = [Figure::P50, Figure::P99].iter().any(|figure| self.thresholds.contains_key(figure));
        times || self.slo.is_some()
    }
}

/// Reads a file's text; `over` comes before its own thresholds. The error names the scenario.
pub(crate) fn read(text: &str, over: &Deltas) -> Result<Vec<Scenario>, String> {
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut scenarios: Vec<Scenario> = Vec::new();
    for scenario in written.scenarios {
        let name = scenario.name.clone();
        if name.trim().is_empty() || scenarios.iter().any(|other| other.name == name) {
            return Err(format!("the name `{name}` is empty or taken; each scenario needs one of its own"));
        }
        let checked = check(scenario, &written.thresholds, over);
        scenarios.push(checked.map_err(|wrong| format!("scenario `{name}`: {wrong}"))?);
    }
    if scenarios.is_empty() { Err("it has no scenarios".to_string()) } else { Ok(scenarios) }
}

fn check(written: WrittenScenario, common: &Thresholds, over: &Deltas) -> Result<Scenario, String> {
    let bench = words::split(&written.bench)?;
    let taken = |word: &&String| {
        let name = word.split('=').next().unwrap_or_default();
        OURS.contains(&name) || OURS_SHORT.iter().any(|short| word.starts_with(short))
    };
    if let Some(word) = bench.iter().find(taken) {
        return Err(format!("`{word}` in `bench` is for the comparison to decide; leave it out"));
    }
    if !bench.iter().any(|word| word.contains("://")) {
        return Err("`bench` names no target; write for example http://127.0.0.1:{port}/".to_string());
    }
    let rate = match (written.load, written.rate) {
        (Some(_), Some(_)) => return Err("`load` and `rate` exclude each other".to_string()),
        (Some(load), None) if load > 0.0 && load <= 1.0 => Rate::Share(load),
        (Some(_), None) => return Err("`load` is a share above 0 and up to 1".to_string()),
        (None, Some(rate)) if rate.is_finite() && rate > 0.0 => Rate::Fixed(rate),
        (None, Some(_)) => return Err("`rate` is above 0".to_string()),
        (None, None) => Rate::Share(LOAD),
    };
    let measure = written.measure.unwrap_or(Figure::ALL.to_vec());
    if measure.is_empty() {
        return Err("`measure` is empty; name some of throughput, cpu, p50 and p99".to_string());
    }
    let delta = |figure: Figure| {
        let found = [&over.0, &written.thresholds, common].into_iter().find_map(|all| all.get(&figure));
        found.copied().unwrap_or(figure.default_delta())
    };
    let thresholds: Thresholds = measure.into_iter().map(|figure| (figure, delta(figure))).collect();
    if let Some((figure, delta)) = thresholds.iter().find(|(_, delta)| !is_share(**delta)) {
        return Err(format!("the threshold {delta} of {figure} is no share from 0 to below 1 (3 % is 0.03)"));
    }
    let slo = written.slo.map(|slo| slo.parse::<Slo>()).transpose().map_err(|error| error.to_string())?;
    let server = words::split(&written.server)?;
    let lag_allowed = generator::lag_allowed(&bench).map_err(|failure| failure.to_string())?;
    if let Some(path) = &written.ready {
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("`ready`: `{path}` is no path; begin with /, and write other bytes as %XX"));
        }
        if bench.iter().any(|word| word.to_ascii_lowercase().contains("https://")) {
            return Err("`ready` is asked for without TLS; leave it out for an https target".to_string());
        }
    }
    let warmup = match written.warmup {
        None => None,
        Some(seconds) if (0.0..=3600.0).contains(&seconds) => Some(Duration::from_secs_f64(seconds)),
        Some(_) => return Err("`warmup` is seconds, up to 3600".to_string()),
    };
    let (name, ready) = (written.name, written.ready);
    Ok(Scenario { name, server, bench, lag_allowed, thresholds, rate, slo, ready, warmup })
}

fn is_share(delta: f64) -> bool {
    (0.0..1.0).contains(&delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(scenario: &str) -> Result<Scenario, String> {
        let text = format!(r#"{{"thresholds": {{"cpu": 0.02}}, "scenarios": [{scenario}]}}"#);
        read(&text, &Deltas::default()).map(|mut all| all.remove(0))
    }

    #[test]
    fn defaults_are_filled_in() {
        let found = one(r#"{"name": "a", "server": "--x 'y z'", "bench": "-c 8 http://h:{port}/"}"#).unwrap();
        assert_eq!((found.server.len(), found.bench.len()), (2, 3));
        assert_eq!(found.rate, Rate::Share(0.5));
        let expected = [0.03, 0.02, 0.05, 0.10];
        assert_eq!(found.thresholds.into_values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_nearest_threshold_counts() {
        let text = r#"{"thresholds": {"cpu": 0.02, "p50": 0.2}, "scenarios": [
            {"name": "a", "bench": "http://h/", "measure": ["cpu", "p50", "p99"],
             "thresholds": {"p50": 0.3}}]}"#;
        let found = read(text, &"p99=40%".parse().unwrap()).unwrap().remove(0);
        assert_eq!(found.thresholds.values().copied().collect::<Vec<_>>(), [0.02, 0.3, 0.4]);
        assert!(found.is_open() && !found.is_closed());
        let cpu = one(r#"{"name": "a", "bench": "http://h/", "measure": ["cpu"]}"#).unwrap();
        assert!(!cpu.is_open() && cpu.is_closed());
    }

    #[test]
    fn mistakes_are_named() {
        for (scenario, part) in [
            (r#"{"name": "a", "bench": "-c 8 -R 5 http://h/"}"#, "`-R`"),
            (r#"{"name": "a", "bench": "-d5s http://h/"}"#, "`-d5s`"),
            (r#"{"name": "a", "bench": "--seed=5 http://h/"}"#, "`--seed=5`"),
            (r#"{"name": "a", "bench": "-c 8"}"#, "no target"),
            (r#"{"name": "a", "bench": "'http://h/"}"#, "closing '"),
            (r#"{"name": "a", "bench": "http://h/", "load": 1.5}"#, "`load`"),
            (r#"{"name": "a", "bench": "http://h/", "load": 0.5, "rate": 5}"#, "exclude"),
            (r#"{"name": "a", "bench": "http://h/", "rate": 0}"#, "`rate`"),
            (r#"{"name": "a", "bench": "http://h/", "measure": []}"#, "`measure`"),
            (r#"{"name": "a", "bench": "http://h/", "thresholds": {"p99": 10}}"#, "threshold 10 of p99"),
            (r#"{"name": "a", "bench": "http://h/", "slo": "p99"}"#, "p99<5ms"),
            (r#"{"name": "a", "bench": "http://h/", "ready": "health"}"#, "`ready`"),
            (r#"{"name": "a", "bench": "https://h/", "ready": "/"}"#, "without TLS"),
            (r#"{"name": "a", "bench": "http://h/", "warmup": -1}"#, "`warmup`"),
            (r#"{"name": "a", "bench": "--lag-allowed x http://h/"}"#, "--lag-allowed"),
            (r#"{"name": "", "bench": "http://h/"}"#, "name"),
            (r#"{"name": "a", "bench": "http://h/"}, {"name": "a", "bench": "http://h/"}"#, "taken"),
            (r#"{"name": "a", "bench": "http://h/", "colour": 1}"#, "colour"),
            ("", "no scenarios"),
        ] {
            let wrong = one(scenario).unwrap_err();
            assert!(wrong.contains(part), "{scenario}: {wrong}");
        }
        for wrong in ["cpu", "cpu=3", "size=3%", "cpu=-1%", "cpu=100%", ""] {
            assert!(wrong.parse::<Deltas>().is_err(), "{wrong}");
        }
    }
}
