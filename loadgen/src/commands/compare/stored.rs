//! Two stored runs side by side. One run each does not show chance, so this gives a verdict only on request.

use std::fs;
use std::path::Path;

use super::blocks::cpu;
use super::render::{percent, shown, table};
use super::scenario::{Deltas, Figure};
use crate::exit::{Exit, Failure};
use crate::result::{RunResult, SCHEMA};
use crate::stats::change;

/// The comparison as Markdown, and how to end: with `gate`, a figure that is worse than allowed or an invalid
/// run fails.
pub(crate) fn compare(
    base: &Path,
    head: &Path,
    over: &Deltas,
    gate: bool,
) -> Result<(String, Exit), Failure> {
    let (base, head) = (read(base)?, read(head)?);
    Ok(judge(&base, &head, over, gate))
}

fn read(path: &Path) -> Result<RunResult, Failure> {
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("{place} cannot be read: {error}")))?;
    let run: RunResult = serde_json::from_str(&text).map_err(|error| {
        Failure::Usage(format!("{place} is no result of loadgen (bench -o json=FILE writes one): {error}"))
    })?;
    if run.schema != SCHEMA {
        let found = &run.schema;
        return Err(Failure::Usage(format!("{place} has the schema {found}, this program reads {SCHEMA}")));
    }
    Ok(run)
}

fn judge(base: &RunResult, head: &RunResult, over: &Deltas, gate: bool) -> (String, Exit) {
    let mut beyond = false;
    let mut rows = Vec::new();
    for figure in Figure::ALL {
        let (of_base, of_head) = (value(base, figure), value(head, figure));
        if of_base.is_none() && of_head.is_none() {
            continue;
        }
        let delta = over.0.get(&figure).copied().unwrap_or(figure.default_delta());
        let ratio = of_base.zip(of_head).map(|(base, head)| head / base);
        let worse = ratio.is_some_and(|ratio| change::is_beyond(ratio, figure.better(), delta));
        beyond |= worse;
        let change = ratio.map_or("–".to_string(), |ratio| percent(ratio - 1.0));
        let note = if worse { "worse than allowed" } else { "" };
        let (base, head) = (shown(figure, of_base), shown(figure, of_head));
        rows.push([figure.to_string(), base, head, change, format!("{:.0} %", delta * 100.0), note.into()]);
    }
    let mut text = table(&["figure", "base", "head", "change", "allowed", ""], &rows);
    let notes = differences(base, head);
    for note in &notes {
        text.push_str(&format!("\n- {note}"));
    }
    text.push_str(
        "\n- One run each: chance alone may explain any of this. `loadgen compare --base-cmd … --head-cmd …` \
         tells what does not.\n",
    );
    let valid = base.validity.is_valid() && head.validity.is_valid();
    let exit = match gate {
        true if !valid => Exit::Invalid,
        true if beyond => Exit::Regressed,
        _ => Exit::Pass,
    };
    (text, exit)
}

/// Rates achieved in an open loop stand where throughput does in a closed one.
fn value(run: &RunResult, figure: Figure) -> Option<f64> {
    let quantile = |share| run.total.response.quantile(share).map(|ns| ns as f64);
    match figure {
        Figure::Throughput => run.rate().filter(|rate| *rate > 0.0),
        Figure::Cpu => cpu(run),
        Figure::P50 => quantile(0.50),
        Figure::P99 => quantile(0.99),
    }
}

/// What makes the two hard to compare.
fn differences(base: &RunResult, head: &RunResult) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, run) in [("base", base), ("head", head)] {
        let reasons = run.validity.reasons.join("; ");
        if !run.validity.is_valid() {
            notes.push(format!("**{name} is invalid**: {reasons}"));
        }
    }
    let (of_base, of_head) = (&base.plan, &head.plan);
    let mut differ = |what: &str, differ: bool| {
        if differ {
            notes.push(format!("the runs differ in {what}"));
        }
    };
    differ("loop (closed or open)", of_base.mode != of_head.mode);
    differ("rate", of_base.rate != of_head.rate);
    differ("connections", of_base.connections != of_head.connections);
    differ("requests in flight per connection", of_base.pipeline != of_head.pipeline);
    differ("whether connections are kept", of_base.new_connections != of_head.new_connections);
    differ("arrivals", of_base.arrival != of_head.arrival || of_base.seed != of_head.seed);
    differ("length", of_base.duration_s != of_head.duration_s || of_base.requests != of_head.requests);
    differ("targets", of_base.urls != of_head.urls);
    differ("machine", base.host != head.host);
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::samples;

    fn run(done: u64, micros: u64) -> RunResult {
        let mut run = samples::run();
        (run.total.planned, run.total.done) = (done, done);
        (0..done).for_each(|_| run.total.response.record(micros * 1000));
        run
    }

    #[test]
    fn it_fails_only_when_asked_to() {
        let (good, slow) = (run(2000, 100), run(1800, 120));
        let exit = |base, head, gate| judge(base, head, &Deltas::default(), gate).1;
        assert_eq!(exit(&good, &slow, false), Exit::Pass);
        assert_eq!(exit(&good, &slow, true), Exit::Regressed);
        assert_eq!(exit(&slow, &good, true), Exit::Pass);
        let mut invalid = good.clone();
        invalid.validity.reasons.push("busy".to_string());
        assert_eq!(exit(&good, &invalid, true), Exit::Invalid);
        assert_eq!(exit(&good, &invalid, false), Exit::Pass);
        let loose = "throughput=20%,p50=30%,p99=30%".parse().unwrap();
        assert_eq!(judge(&good, &slow, &loose, true).1, Exit::Pass);
    }

    #[test]
    fn it_tells_figures_and_differences() {
        let mut other = run(1800, 120);
        other.plan.connections = 9;
        other.validity.reasons.push("busy".to_string());
        let (text, _) = judge(&run(2000, 100), &other, &Deltas::default(), false);
        for part in ["2000/s", "1800/s", "−10.0 %", "worse than allowed", "differ in connections", "busy"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("cpu"), "neither run has it: {text}");
    }

    #[test]
    fn files_that_are_no_results_are_named() {
        let scratch = crate::commands::process::Scratch::new().unwrap();
        let path = scratch.file("run.json");
        let wrong = |path: &Path| compare(path, path, &Deltas::default(), true).unwrap_err();
        assert!(wrong(&path).to_string().contains("cannot be read"));
        fs::write(&path, "{}").unwrap();
        assert!(wrong(&path).to_string().contains("no result of loadgen"));
        let mut run = samples::run();
        run.schema = "quoit-loadgen/99".to_string();
        fs::write(&path, serde_json::to_string(&run).unwrap()).unwrap();
        assert!(wrong(&path).to_string().contains("quoit-loadgen/99"));
        assert_eq!(wrong(&path).exit(), Exit::Usage);
        fs::write(&path, serde_json::to_string(&samples::run()).unwrap()).unwrap();
        assert_eq!(compare(&path, &path, &Deltas::default(), true).unwrap().1, Exit::Pass);
    }
}
