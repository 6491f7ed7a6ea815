//! A comparison for readers: Markdown that is legible on a terminal as well, and JUnit. Judges nothing.

use std::fmt::Write;

use super::found::{Compared, Comparison, Found};
use super::scenario::Figure;
use crate::commands::alike;
use crate::exit::Exit;
use crate::stats::change::{Better, Verdict};

/// For a pull request, a step summary, or a terminal.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("## Performance: {}\n\n", headline(comparison));
    if let Some(failure) = &comparison.failure {
        let _ = writeln!(text, "**{failure}**\n");
    }
    if comparison.aa {
        text.push_str("Base against itself: what differs is the noise of this machine.\n\n");
    }
    let rows: Vec<[String; 9]> = comparison
        .scenarios
        .iter()
        .flat_map(|found| found.compared.iter().map(move |compared| row(found, compared)))
        .collect();
    if !rows.is_empty() {
        let head = ["scenario", "figure", "base", "head", "change", "interval", "allowed"];
        let titles = [&head[..], &["would be seen", "verdict"]].concat();
        text.push_str(&table(&titles, &rows));
        text.push('\n');
    }
    for found in &comparison.scenarios {
        text.push_str(&below(found));
    }
    text.push_str(&footer(comparison));
    text
}

fn headline(comparison: &Comparison) -> &'static str {
    let regressed = |exit: u8| exit == Exit::Regressed as u8;
    let changes = || comparison.scenarios.iter().flat_map(|found| &found.compared);
    let is_open = changes().any(|compared| compared.change.verdict == Verdict::Undecided);
    match comparison.exit {
        _ if comparison.aa && regressed(comparison.exit) => "**false alarm**",
        // A program compared with itself does not fail for noise, which is what was asked for.
        exit if comparison.aa && is_open && exit == Exit::Pass as u8 => "inconclusive",
        exit if regressed(exit) => "**regressed**",
        exit if exit == Exit::Pass as u8 => "pass",
        exit if exit == Exit::Inconclusive as u8 => "inconclusive",
        exit if exit == Exit::Invalid as u8 => "**invalid**",
        exit if exit == Exit::Target as u8 => "**the server failed**",
        _ => "**not measured**",
    }
}

fn row(found: &Found, compared: &Compared) -> [String; 9] {
    let Compared { figure, change, .. } = compared;
    let worse = if figure.better() == Better::Lower { 1.0 } else { -1.0 };
    [
        cell(&found.name),
        figure.to_string(),
        figure.show(compared.base),
        figure.show(compared.head),
        percent(change.estimate),
        format!("{} to {}", percent(change.low), percent(change.high)),
        percent(worse * change.delta),
        percent(worse * change.detectable),
        match change.verdict {
            Verdict::Regressed => "**regressed**".to_string(),
            Verdict::Pass => "pass".to_string(),
            Verdict::Improved => "improved".to_string(),
            Verdict::Undecided => "inconclusive".to_string(),
        },
    ]
}

/// What a scenario's rows have no room for.
fn below(found: &Found) -> String {
    let mut text = String::new();
    let spreads: Vec<String> = found
        .compared
        .iter()
        .map(|compared| format!("{} {:.2} %", compared.figure, compared.spread * 100.0))
        .collect();
    let rate = found.rate.map(|rate| format!(", {rate} requests/s in the open loop")).unwrap_or_default();
    let _ = write!(text, "- {}: {} blocks{rate}", cell(&found.name), found.blocks.len());
    if !spreads.is_empty() {
        let _ = write!(text, "; a block varies by {}", spreads.join(", "));
    }
    text.push('\n');
    let mut refused = Vec::new();
    found.refused.iter().for_each(|reason| alike::add(&mut refused, reason, "blocks"));
    for reason in &refused {
        let _ = writeln!(text, "  - a block was refused: {}", cell(reason));
    }
    for verdict in &found.slo {
        let (met, found) = (verdict.met, verdict.found.as_deref().unwrap_or("too few samples"));
        let word = if met { "met" } else { "**missed**" };
        let _ = writeln!(text, "  - `{}`: {word} by head ({found})", verdict.demand);
    }
    text
}

fn footer(comparison: &Comparison) -> String {
    let mut text = String::new();
    let changes = || comparison.scenarios.iter().flat_map(|found| &found.compared).map(|c| &c.change);
    if let Some(coverage) = changes().map(|change| change.coverage).reduce(f64::min) {
        let _ = writeln!(
            text,
            "\nA block is four runs (base, head, head, base, or the reverse), each of a fresh process; the \
             change is the Hodges–Lehmann estimate over blocks, its interval is the exact signed-rank one \
             ({:.1} % or more). *Regressed*: all of the interval is worse than allowed; *pass*: none of it; \
             *inconclusive*: neither. *Would be seen*: the change that such a comparison calls regressed \
             four times in five.",
            coverage * 100.0
        );
    }
    let host = &comparison.host;
    if !host.processor.is_empty() {
        let (processor, count, kernel) = (&host.processor, host.processors, &host.kernel);
        let _ = writeln!(text, "\nMachine: {}, {count} CPUs, Linux {}.", cell(processor), cell(kernel));
    }
    let (base, head, seed) = (&comparison.base, &comparison.head, comparison.seed);
    let _ = writeln!(
        text,
        "\nBase: `{base}`. Head: `{head}`. {} s a phase, seed {seed}, loadgen {}.",
        comparison.seconds, comparison.version
    );
    text
}

/// One suite; a test per figure and per demand. What is in doubt is skipped, what failed is an error.
pub(crate) fn junit(comparison: &Comparison) -> String {
    let mut cases = String::new();
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    let mut case = |suite: &str, name: &str, inner: Option<(&str, String)>| {
        tests += 1;
        let _ = write!(cases, "  <testcase classname=\"{}\" name=\"{}\"", xml(suite), xml(name));
        let _ = match inner {
            None => writeln!(cases, "/>"),
            Some((kind, message)) => {
                failures += u32::from(kind == "failure");
                skipped += u32::from(kind == "skipped");
                writeln!(cases, "><{kind} message=\"{}\"/></testcase>", xml(&message))
            }
        };
    };
    for found in &comparison.scenarios {
        for compared in &found.compared {
            let [_, _, base, head, change, interval, allowed, _, _] = row(found, compared);
            let message = format!("{base} to {head}: {change} ({interval}), allowed {allowed}");
            let inner = match compared.change.verdict {
                Verdict::Regressed => Some(("failure", message)),
                Verdict::Undecided => Some(("skipped", format!("inconclusive: {message}"))),
                Verdict::Pass | Verdict::Improved => None,
            };
            case(&found.name, compared.figure.name(), inner);
        }
        for verdict in &found.slo {
            let told = verdict.found.clone().unwrap_or("too few samples".to_string());
            case(&found.name, &verdict.demand, (!verdict.met).then_some(("failure", told)));
        }
    }
    let failed = comparison.failure.as_ref();
    if let Some(failure) = failed {
        case("comparison", "measurement", Some(("error", failure.clone())));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"loadgen compare\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{}\" skipped=\"{skipped}\">\n{cases}</testsuite>\n",
        u32::from(failed.is_some())
    )
}

/// A Markdown table whose columns are aligned in the source too.
pub(crate) fn table<const N: usize>(titles: &[&str], rows: &[[String; N]]) -> String {
    let length = |text: &str| text.chars().count();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| length(&row[column]));
        cells.chain([length(titles[column])]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(text, width)| format!(" {text:width$} |"));
        format!("|{}\n", padded.collect::<String>())
    };
    let mut text = line(&mut titles.iter().copied());
    let rule: String = widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))).collect();
    let _ = writeln!(text, "|{rule}");
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

/// A share as a signed percentage; a real minus sign, so that a browser does not break the line behind it.
pub(crate) fn percent(share: f64) -> String {
    let shown = format!("{:.1} %", share.abs() * 100.0);
    let zero = shown.chars().all(|c| !c.is_ascii_digit() || c == '0');
    match share {
        _ if zero => shown,
        share if share < 0.0 => format!("−{shown}"),
        _ => format!("+{shown}"),
    }
}

/// Text that cannot end a cell or a line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Characters that mean something in XML, and those that it does not allow.
fn xml(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The figure's name and value of one stored run.
pub(crate) fn shown(figure: Figure, value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| figure.show(value))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
