//! Demands on a run, `p99<5ms,err<0.1%,rate>1000`, or on one of its endpoints, `GET /users: p99<5ms`: read,
//! and held against what was found. Measures nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::histogram::Durations;
use crate::result::{Outcomes, RunResult, SloVerdict};

/// Demands, all of which must be met.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Slo {
    demands: Vec<Demand>,
}

/// One comparison of a figure with a bound.
#[derive(Clone, PartialEq, Debug)]
struct Demand {
    written: String,
    /// The endpoint whose figure it is; `None` for all of them together.
    endpoint: Option<String>,
    figure: Figure,
    relation: Relation,
    /// Nanoseconds for times, a share for errors, requests per second for rates.
    bound: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Figure {
    /// A figure of response times.
    Time(Time, Which),
    /// Errors, timeouts and dropped arrivals among all planned.
    Failed,
    /// Requests done per second.
    Rate,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Time {
    /// A quantile, as a share.
    Quantile(f64),
    Mean,
    Max,
}

/// Of which requests.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Which {
    /// Of all, whatever became of them: a user waits for an error as long.
    All,
    /// Of those that were answered as expected.
    Ok,
    /// Of the others.
    Failed,
}

/// As it is written behind a figure.
const WHICH: [(&str, Which); 3] = [("(all)", Which::All), ("(ok)", Which::Ok), ("(err)", Which::Failed)];

#[derive(Clone, Copy, PartialEq, Debug)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// What is wrong with an expression; names the part that is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum SloError {
    /// Nothing is demanded.
    Empty,
    /// No `<`, `<=`, `>` or `>=`.
    WithoutRelation(String),
    /// The left side is no figure.
    UnknownFigure(String),
    /// A quantile that is not above 0 and below 100.
    QuantileOutOfRange(String),
    /// The right side is no positive number with the figure's unit.
    NoBound {
        /// The right side.
        written: String,
        /// Such as it should be.
        example: &'static str,
    },
}

impl fmt::Display for SloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "nothing is demanded; write for example p99<5ms,err<0.1%"),
            Self::WithoutRelation(part) => {
                write!(f, "`{part}` has no <, <=, > or >=; write for example p99<5ms")
            }
            Self::UnknownFigure(name) => {
                write!(
                    f,
                    "`{name}` is no figure; there are p50, p99, p99.9 and so on, mean and max, each of \
                     all, or as p99(ok) and p99(err); err and rate"
                )
            }
            Self::QuantileOutOfRange(name) => write!(f, "`{name}` is not between p0 and p100; p100 is max"),
            Self::NoBound { written, example } => {
                write!(f, "`{written}` is no bound; write it such as {example}")
            }
        }
    }
}

impl std::error::Error for SloError {}

impl FromStr for Slo {
    type Err = SloError;

    /// Demands with commas between them; spaces do not count. An endpoint and a colon before them say whose
    /// they are.
    fn from_str(written: &str) -> Result<Self, SloError> {
        let (endpoint, written) = match written.rsplit_once(": ") {
            Some((endpoint, demands)) => (Some(endpoint.trim()), demands),
            None => (None, written),
        };
        let parts = written.split(',').map(str::trim).filter(|part| !part.is_empty());
        let demands = parts.map(|part| Demand::read(endpoint, part)).collect::<Result<Vec<_>, _>>()?;
        if demands.is_empty() { Err(SloError::Empty) } else { Ok(Self { demands }) }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<&str> = self.demands.iter().map(|demand| demand.written.as_str()).collect();
        f.write_str(&written.join(","))
    }
}

impl Slo {
    /// These and others.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.demands.extend(other.demands.iter().cloned());
        self
    }

    /// Whether it limits the share of failed requests.
    pub(crate) fn speaks_of_errors(&self) -> bool {
        self.demands.iter().any(|demand| demand.figure == Figure::Failed)
    }

    /// The endpoints it names.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.demands.iter().filter_map(|demand| demand.endpoint.as_deref())
    }

    /// Requests without which the run cannot tell.
    pub(crate) fn samples(&self) -> u64 {
        self.demands.iter().filter_map(|demand| demand.figure.samples()).max().unwrap_or(0)
    }

    /// The result of each demand, in the order written. Rates are requests achieved over `measured_s`. A run
    /// of a single endpoint keeps no books for it: `total` is what it did.
    pub(crate) fn judge(
        &self,
        total: &Outcomes,
        endpoints: &BTreeMap<String, Outcomes>,
        measured_s: f64,
    ) -> Vec<SloVerdict> {
        let of = |demand: &Demand| match &demand.endpoint {
            Some(name) if !endpoints.is_empty() => endpoints.get(name),
            _ => Some(total),
        };
        let none = Outcomes::default();
        self.demands.iter().map(|demand| demand.judge(of(demand).unwrap_or(&none), measured_s)).collect()
    }

    /// The result of each demand on a run.
    pub(crate) fn judge_run(&self, run: &RunResult) -> Vec<SloVerdict> {
        self.judge(&run.total, &run.endpoints, run.measured_s)
    }

    /// Whether a verdict would be another if the generator had not been late itself.
    pub(crate) fn depends_on_lateness(&self, run: &RunResult) -> bool {
        let without =
            |outcomes: &Outcomes| outcomes.without_own_lateness().unwrap_or_else(|| outcomes.clone());
        let endpoints =
            run.endpoints.iter().map(|(name, outcomes)| (name.clone(), without(outcomes))).collect();
        let other = self.judge(&without(&run.total), &endpoints, run.measured_s);
        self.judge_run(run).iter().zip(&other).any(|(found, other)| found.met != other.met)
    }
}

impl Demand {
    fn judge(&self, total: &Outcomes, measured_s: f64) -> SloVerdict {
        let found = self.figure.of(total, measured_s);
        SloVerdict {
            demand: self.written.clone(),
            found: found.map(|value| self.figure.show(value)),
            met: found.is_some_and(|value| self.relation.holds(value, self.bound)),
            needs: if found.is_none() { self.figure.samples() } else { None },
        }
    }

    fn read(endpoint: Option<&str>, written: &str) -> Result<Self, SloError> {
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Less),
            (">", Relation::More),
        ];
        let split =
            relations.iter().find_map(|(sign, relation)| Some((written.split_once(sign)?, *relation)));
        let ((left, right), relation) =
            split.ok_or_else(|| SloError::WithoutRelation(written.to_string()))?;
        let (left, right) = (left.trim(), right.trim());
        let figure = Figure::from_str(left)?;
        let (bound, example) = match figure {
            Figure::Failed => (share(right), "0.1%"),
            Figure::Rate => (right.parse().ok(), "1000"),
            Figure::Time(..) => (nanoseconds(right), "5ms"),
        };
        let bound = bound.filter(|bound: &f64| bound.is_finite() && *bound >= 0.0);
        let bound = bound.ok_or_else(|| SloError::NoBound { written: right.to_string(), example })?;
        let plain: String = written.split_whitespace().collect();
        let written = endpoint.map_or_else(|| plain.clone(), |endpoint| format!("{endpoint}: {plain}"));
        Ok(Self { written, endpoint: endpoint.map(str::to_string), figure, relation, bound })
    }
}

impl FromStr for Figure {
    type Err = SloError;

    fn from_str(name: &str) -> Result<Self, SloError> {
        match name {
            "err" => return Ok(Self::Failed),
            "rate" => return Ok(Self::Rate),
            _ => {}
        }
        let told = WHICH.iter().find_map(|&(suffix, which)| Some((name.strip_suffix(suffix)?, which)));
        let (time, which) = told.unwrap_or((name, Which::All));
        match time {
            "mean" => return Ok(Self::Time(Time::Mean, which)),
            "max" => return Ok(Self::Time(Time::Max, which)),
            _ => {}
        }
        let percent = time.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
        let percent = percent.ok_or_else(|| SloError::UnknownFigure(name.to_string()))?;
        if percent > 0.0 && percent < 100.0 {
            Ok(Self::Time(Time::Quantile(percent / 100.0), which))
        } else {
            Err(SloError::QuantileOutOfRange(name.to_string()))
        }
    }
}

impl Figure {
    /// `None` if there are too few samples.
    fn of(self, total: &Outcomes, measured_s: f64) -> Option<f64> {
        match self {
            Self::Time(time, which) => time.of(match which {
                Which::All => &total.response,
                Which::Ok => &total.response_ok,
                Which::Failed => &total.response_failed,
            }),
            Self::Failed => {
                let failed = total.errors + total.timeouts + total.dropped;
                (total.planned > 0).then(|| failed as f64 / total.planned as f64)
            }
            Self::Rate => (measured_s > 0.0).then(|| total.achieved() as f64 / measured_s),
        }
    }

    /// Requests that it takes.
    fn samples(self) -> Option<u64> {
        match self {
            Self::Time(Time::Quantile(share), _) => Some(Durations::samples_for(share)),
            Self::Time(..) | Self::Failed => Some(1),
            Self::Rate => None,
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Failed => format!("{:.3} %", value * 100.0),
            Self::Rate => format!("{value:.1}/s"),
            Self::Time(..) => show_nanoseconds(value),
        }
    }
}

impl Time {
    fn of(self, times: &Durations) -> Option<f64> {
        match self {
            Self::Quantile(share) => times.quantile(share).map(|value| value as f64),
            Self::Mean => times.mean(),
            Self::Max => times.max().map(|value| value as f64),
        }
    }
}

impl Relation {
    fn holds(self, found: f64, bound: f64) -> bool {
        match self {
            Self::Less => found < bound,
            Self::AtMost => found <= bound,
            Self::More => found > bound,
            Self::AtLeast => found >= bound,
        }
    }
}

/// A duration for readers: `1.234 ms`.
pub(crate) fn show_nanoseconds(value: f64) -> String {
    match value {
        _ if value < 1e3 => format!("{value:.0} ns"),
        _ if value < 1e6 => format!("{:.3} µs", value / 1e3),
        _ if value < 1e9 => format!("{:.3} ms", value / 1e6),
        _ => format!("{:.3} s", value / 1e9),
    }
}

/// `0.1%`, or the share itself: `0.001`.
fn share(written: &str) -> Option<f64> {
    match written.strip_suffix('%') {
        Some(percent) => Some(percent.trim().parse::<f64>().ok()? / 100.0),
        None => written.parse().ok(),
    }
}

/// `5ms`; a unit is required, so that seconds are not mistaken for milliseconds.
fn nanoseconds(written: &str) -> Option<f64> {
    let digits = written.trim_end_matches(|c: char| c.is_alphabetic());
    let unit = match &written[digits.len()..] {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(digits.trim().parse::<f64>().ok()? * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand arrivals in a second: 990 answered after 1 to 990 µs, 4 errors, 3 timeouts, 3 dropped.
    fn outcomes() -> Outcomes {
        let mut total =
            Outcomes { planned: 1000, done: 990, errors: 4, timeouts: 3, dropped: 3, ..Default::default() };
        for micros in 1..=990 {
            total.response.record(micros * 1000);
            total.response_ok.record(micros * 1000);
        }
        (0..10).for_each(|_| total.response.record(2_000_000_000));
        (0..10).for_each(|_| total.response_failed.record(2_000_000_000));
        total
    }

    fn met(written: &str) -> Vec<bool> {
        let slo: Slo = written.parse().unwrap();
        slo.judge(&outcomes(), &BTreeMap::new(), 2.0).iter().map(|verdict| verdict.met).collect()
    }

    #[test]
    fn demands_are_met_or_not() {
        assert_eq!(met("p50(ok)<496us,p50(ok)<495us"), [true, false]);
        assert_eq!(met("max(ok)<=1ms, max(ok) < 980us , mean>0.4ms"), [true, false, true]);
        assert_eq!(met("p50<510us,p50<495us"), [true, false]);
        assert_eq!(met("err<1%,err<=1%,err<0.011,err>=1%"), [false, true, true, true]);
        assert_eq!(met("rate>494,rate>=495,rate>495"), [true, true, false]);
        assert_eq!(met("p90<1s,p90<1ns"), [true, false]);
    }

    #[test]
    fn verdicts_tell_what_was_found() {
        let slo: Slo = "p99.9<5ms, err < 0.1%,rate>1000".parse().unwrap();
        assert_eq!(slo.to_string(), "p99.9<5ms,err<0.1%,rate>1000");
        let verdicts = slo.judge(&outcomes(), &BTreeMap::new(), 1.0);
        assert_eq!((verdicts[0].found.as_deref(), verdicts[0].met), (None, false), "one sample is behind it");
        assert_eq!((verdicts[0].needs, verdicts[0].is_open()), (Some(10_000), true));
        assert_eq!((verdicts[1].needs, verdicts[1].is_open()), (None, false));
        assert_eq!(verdicts[1].found.as_deref(), Some("1.000 %"));
        assert_eq!(verdicts[2].found.as_deref(), Some("990.0/s"));
        let nothing = slo.judge(&Outcomes::default(), &BTreeMap::new(), 0.0);
        assert!(nothing.iter().all(|verdict| !verdict.met && verdict.found.is_none()));
    }

    /// A tenth of the answers are errors after 1.5 s: users wait for those as well.
    #[test]
    fn errors_have_their_time() {
        let mut total = Outcomes { planned: 1000, done: 900, errors: 100, ..Outcomes::default() };
        for n in 0..1000 {
            let (ns, is_ok) = if n < 100 { (1_500_000_000, false) } else { (1_000_000, true) };
            total.response.record(ns);
            if is_ok { &mut total.response_ok } else { &mut total.response_failed }.record(ns);
        }
        let slo: Slo =
            "p99<50ms,p99(all)<50ms,p99(ok)<50ms,p50(err)>1s,max(err)<2s,p80<50ms".parse().unwrap();
        let met: Vec<bool> = slo.judge(&total, &BTreeMap::new(), 1.0).iter().map(|v| v.met).collect();
        assert_eq!(met, [false, false, false, true, true, true], "900 are too few for p99(ok)");
    }

    #[test]
    fn endpoints_have_demands_of_their_own() {
        let slo: Slo = "GET /a,b:c: p50 < 1s, err<1%".parse().unwrap();
        let slo = slo.and(&"POST /x: p50<1s".parse().unwrap()).and(&"rate>0".parse().unwrap());
        assert_eq!(slo.to_string(), "GET /a,b:c: p50<1s,GET /a,b:c: err<1%,POST /x: p50<1s,rate>0");
        assert_eq!(slo.endpoints().collect::<Vec<_>>(), ["GET /a,b:c", "GET /a,b:c", "POST /x"]);
        let mut slow = outcomes();
        slow.response = Durations::default();
        (0..100).for_each(|_| slow.response.record(2_000_000_000));
        let endpoints = [("GET /a,b:c".to_string(), outcomes()), ("POST /x".to_string(), slow)].into();
        let verdicts = slo.judge(&outcomes(), &endpoints, 1.0);
        assert_eq!(verdicts.iter().map(|v| v.met).collect::<Vec<_>>(), [true, false, false, true]);
        for verdict in &verdicts {
            assert_eq!(verdict.demand.parse::<Slo>().unwrap().to_string(), verdict.demand);
        }
        let alone = slo.judge(&outcomes(), &BTreeMap::new(), 1.0);
        assert!(alone[2].met, "a run of one endpoint is that endpoint's");
        let other = [("GET /".to_string(), outcomes())].into();
        assert!(slo.judge(&outcomes(), &other, 1.0)[0].is_open());
    }

    #[test]
    fn it_knows_how_many_requests_it_takes() {
        let samples = |slo: &str| slo.parse::<Slo>().unwrap().samples();
        assert_eq!(
            ["p99<1s,err<1%", "p50<1s,p99.9(ok)<1s", "max<1s", "rate>1"].map(samples),
            [1000, 10_000, 1, 0]
        );
    }

    #[test]
    fn wrong_expressions_are_told_apart() {
        let wrong = |written: &str| written.parse::<Slo>().unwrap_err();
        assert_eq!(wrong(" , "), SloError::Empty);
        assert_eq!(wrong("p99"), SloError::WithoutRelation("p99".into()));
        assert_eq!(wrong("p99=5ms"), SloError::WithoutRelation("p99=5ms".into()));
        assert_eq!(wrong("q99<5ms"), SloError::UnknownFigure("q99".into()));
        assert_eq!(wrong("p<5ms"), SloError::UnknownFigure("p".into()));
        assert_eq!(wrong("p99(x)<5ms"), SloError::UnknownFigure("p99(x)".into()));
        assert_eq!(wrong("err(ok)<5%"), SloError::UnknownFigure("err(ok)".into()));
        assert_eq!(wrong("<5ms"), SloError::UnknownFigure(String::new()));
        for out in ["p100<5ms", "p0<5ms", "p-1<5ms", "pnan<5ms"] {
            assert!(matches!(wrong(out), SloError::QuantileOutOfRange(_)), "{out}");
        }
        for bound in ["p99<5", "p99<ms", "p99<-5ms", "p99<5h", "err<x%", "rate>", "rate>1e999", "rate>nan"] {
            assert!(matches!(wrong(bound), SloError::NoBound { .. }), "{bound}");
        }
        for written in ["", "p99", "x<1", "p100<1s", "p99<5"] {
            assert!(!wrong(written).to_string().is_empty());
        }
    }

    #[test]
    fn durations_are_shown_in_their_unit() {
        let shown: Vec<String> = [12.0, 1234.0, 5e6, 1.5e9].into_iter().map(show_nanoseconds).collect();
        assert_eq!(shown, ["12 ns", "1.234 µs", "5.000 ms", "1.500 s"]);
    }
}
