//! Demands on a run, `p99<5ms,err<0.1%,rate>1000`: read, and held against what was found. Measures nothing.

use std::fmt;
use std::str::FromStr;

use crate::histogram::Durations;
use crate::result::{Outcomes, SloVerdict};

/// Demands, all of which must be met.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Slo {
    demands: Vec<Demand>,
}

/// One comparison of a figure with a bound.
#[derive(Clone, PartialEq, Debug)]
struct Demand {
    written: String,
    figure: Figure,
    relation: Relation,
    /// Nanoseconds for times, a share for errors, requests per second for rates.
    bound: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Figure {
    /// A quantile of response times, as a share.
    Quantile(f64),
    Mean,
    Max,
    /// Errors, timeouts and dropped arrivals among all planned.
    Failed,
    /// Requests done per second.
    Rate,
}

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
                write!(f, "`{name}` is no figure; there are p50, p99, p99.9 and so on, mean, max, err, rate")
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

    /// Demands with commas between them; spaces do not count.
    fn from_str(written: &str) -> Result<Self, SloError> {
        let parts = written.split(',').map(str::trim).filter(|part| !part.is_empty());
        let demands = parts.map(Demand::from_str).collect::<Result<Vec<_>, _>>()?;
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
    /// Whether it limits the share of failed requests.
    pub(crate) fn speaks_of_errors(&self) -> bool {
        self.demands.iter().any(|demand| demand.figure == Figure::Failed)
    }

    /// The result of each demand, in the order written. Rates are done requests over `measured_s`.
    pub(crate) fn judge(&self, total: &Outcomes, measured_s: f64) -> Vec<SloVerdict> {
        self.demands.iter().map(|demand| demand.judge(total, measured_s)).collect()
    }
}

impl Demand {
    fn judge(&self, total: &Outcomes, measured_s: f64) -> SloVerdict {
        let found = self.figure.of(total, measured_s);
        SloVerdict {
            demand: self.written.clone(),
            found: found.map(|value| self.figure.show(value)),
            met: found.is_some_and(|value| self.relation.holds(value, self.bound)),
        }
    }
}

impl FromStr for Demand {
    type Err = SloError;

    fn from_str(written: &str) -> Result<Self, SloError> {
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
            Figure::Quantile(_) | Figure::Mean | Figure::Max => (nanoseconds(right), "5ms"),
        };
        let bound = bound.filter(|bound: &f64| bound.is_finite() && *bound >= 0.0);
        let bound = bound.ok_or_else(|| SloError::NoBound { written: right.to_string(), example })?;
        Ok(Self { written: written.split_whitespace().collect(), figure, relation, bound })
    }
}

impl FromStr for Figure {
    type Err = SloError;

    fn from_str(name: &str) -> Result<Self, SloError> {
        let unknown = || SloError::UnknownFigure(name.to_string());
        match name {
            "mean" => return Ok(Self::Mean),
            "max" => return Ok(Self::Max),
            "err" => return Ok(Self::Failed),
            "rate" => return Ok(Self::Rate),
            _ => {}
        }
        let percent: f64 =
            name.strip_prefix('p').and_then(|digits| digits.parse().ok()).ok_or_else(unknown)?;
        if percent > 0.0 && percent < 100.0 {
            Ok(Self::Quantile(percent / 100.0))
        } else {
            Err(SloError::QuantileOutOfRange(name.to_string()))
        }
    }
}

impl Figure {
    /// `None` if there are too few samples.
    fn of(self, total: &Outcomes, measured_s: f64) -> Option<f64> {
        let times: &Durations = &total.response;
        match self {
            Self::Quantile(share) => times.quantile(share).map(|value| value as f64),
            Self::Mean => times.mean(),
            Self::Max => times.max().map(|value| value as f64),
            Self::Failed => {
                let failed = total.errors + total.timeouts + total.dropped;
                (total.planned > 0).then(|| failed as f64 / total.planned as f64)
            }
            Self::Rate => (measured_s > 0.0).then(|| total.done as f64 / measured_s),
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Failed => format!("{:.3} %", value * 100.0),
            Self::Rate => format!("{value:.1}/s"),
            Self::Quantile(_) | Self::Mean | Self::Max => show_nanoseconds(value),
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
        (1..=990).for_each(|micros| total.response.record(micros * 1000));
        total
    }

    fn met(written: &str) -> Vec<bool> {
        let slo: Slo = written.parse().unwrap();
        slo.judge(&outcomes(), 2.0).iter().map(|verdict| verdict.met).collect()
    }

    #[test]
    fn demands_are_met_or_not() {
        assert_eq!(met("p50<496us,p50<495us"), [true, false]);
        assert_eq!(met("max<=1ms, max < 980us , mean>0.4ms"), [true, false, true]);
        assert_eq!(met("err<1%,err<=1%,err<0.011,err>=1%"), [false, true, true, true]);
        assert_eq!(met("rate>494,rate>=495,rate>495"), [true, true, false]);
        assert_eq!(met("p90<1s,p90<1ns"), [true, false]);
    }

    #[test]
    fn verdicts_tell_what_was_found() {
        let slo: Slo = "p99.9<5ms, err < 0.1%,rate>1000".parse().unwrap();
        assert_eq!(slo.to_string(), "p99.9<5ms,err<0.1%,rate>1000");
        let verdicts = slo.judge(&outcomes(), 1.0);
        assert_eq!((verdicts[0].found.as_deref(), verdicts[0].met), (None, false), "one sample is behind it");
        assert_eq!(verdicts[1].found.as_deref(), Some("1.000 %"));
        assert_eq!(verdicts[2].found.as_deref(), Some("990.0/s"));
        let nothing = slo.judge(&Outcomes::default(), 0.0);
        assert!(nothing.iter().all(|verdict| !verdict.met && verdict.found.is_none()));
    }

    #[test]
    fn wrong_expressions_are_told_apart() {
        let wrong = |written: &str| written.parse::<Slo>().unwrap_err();
        assert_eq!(wrong(" , "), SloError::Empty);
        assert_eq!(wrong("p99"), SloError::WithoutRelation("p99".into()));
        assert_eq!(wrong("p99=5ms"), SloError::WithoutRelation("p99=5ms".into()));
        assert_eq!(wrong("q99<5ms"), SloError::UnknownFigure("q99".into()));
        assert_eq!(wrong("p<5ms"), SloError::UnknownFigure("p".into()));
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
