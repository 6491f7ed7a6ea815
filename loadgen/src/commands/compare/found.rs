//! What a comparison found: all samples and what follows from them. The JSON report is this, field by field.
//! Measures and decides nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scenario::Figure;
use crate::exit::{Exit, Failure};
use crate::result::{HostFacts, SloVerdict};
use crate::stats::change::{Change, Verdict};

/// Name and version of the report's schema.
pub(crate) const SCHEMA: &str = "quoit-loadgen-compare/1";

/// Figures of one arm: throughput per second, CPU in microseconds per request, times in nanoseconds.
pub(crate) type Readings = BTreeMap<Figure, f64>;

/// A whole comparison.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comparison {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// The version of the program that measured.
    pub(crate) version: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// The machine.
    pub(crate) host: HostFacts,
    /// What base and head are, as commands.
    pub(crate) base: String,
    /// As `base`.
    pub(crate) head: String,
    /// Whether both are the same, to measure the host's noise.
    pub(crate) aa: bool,
    /// Seed of orders and arrivals.
    pub(crate) seed: u64,
    /// Seconds of each measured phase.
    pub(crate) seconds: f64,
    /// Scenarios in their order; the last may be incomplete.
    pub(crate) scenarios: Vec<Found>,
    /// What ended it before its end.
    pub(crate) failure: Option<String>,
    /// The exit code.
    pub(crate) exit: u8,
}

/// One scenario.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) name: String,
    /// Requests per second of the open loop, if one was run.
    pub(crate) rate: Option<f64>,
    /// Why blocks were refused.
    pub(crate) refused: Vec<String>,
    /// The samples.
    pub(crate) blocks: Vec<Block>,
    /// What follows, by figure.
    pub(crate) compared: Vec<Compared>,
    /// Demands on head.
    pub(crate) slo: Vec<SloVerdict>,
}

/// Two runs of each arm.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    /// `ABBA` or `BAAB`; A is base.
    pub(crate) order: String,
    /// Seed of its arrivals.
    pub(crate) seed: u64,
    /// Base's two runs.
    pub(crate) base: Vec<Readings>,
    /// Head's.
    pub(crate) head: Vec<Readings>,
}

impl Block {
    /// Head over base: the ratio of the geometric means of their runs.
    pub(crate) fn ratio(&self, figure: Figure) -> Option<f64> {
        let mean = |arm: &[Readings]| {
            let logs: Option<Vec<f64>> =
                arm.iter().map(|readings| Some(readings.get(&figure)?.ln())).collect();
            logs.filter(|logs| !logs.is_empty()).map(|logs| logs.iter().sum::<f64>() / logs.len() as f64)
        };
        Some((mean(&self.head)? - mean(&self.base)?).exp())
    }
}

/// One figure of a scenario.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compared {
    /// Which.
    pub(crate) figure: Figure,
    /// Base's median run.
    pub(crate) base: f64,
    /// Head's.
    pub(crate) head: f64,
    /// Standard deviation of a block's ratio, as a share: the host's noise.
    pub(crate) spread: f64,
    /// The change and its verdict.
    pub(crate) change: Change,
}

impl Comparison {
    /// The exit code that follows: a failure's own; else the worst verdict, a regression before doubt. A
    /// program compared with itself cannot regress in doubt: there noise is what was asked for.
    pub(crate) fn verdict(&self, failure: Option<&Failure>) -> Exit {
        if let Some(failure) = failure {
            return failure.exit();
        }
        let changes = || self.scenarios.iter().flat_map(|found| &found.compared);
        let any = |verdict| changes().any(|compared| compared.change.verdict == verdict);
        let missed = self.scenarios.iter().flat_map(|found| &found.slo).any(|verdict| !verdict.met);
        if any(Verdict::Regressed) || missed {
            Exit::Regressed
        } else if any(Verdict::Undecided) && !self.aa {
            Exit::Inconclusive
        } else {
            Exit::Pass
        }
    }
}
