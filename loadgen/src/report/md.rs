//! The summary in Markdown, fit for a pull request: the verdict and the durations at once, the rest folded
//! away. Whatever a result holds stays text: no markup, no mention, no link comes from it.

use std::fmt::Write;

use super::summary::{QUANTILES, SERVICE_ONLY, Summary};
use crate::result::{Mode, RunResult};

/// The page.
pub(crate) fn text(result: &RunResult) -> String {
    let summary = Summary::new(result);
    let mut page = String::new();
    verdict(&summary, &mut page);
    times(&summary, &mut page);
    if result.plan.mode == Mode::Closed {
        page += &format!("\n_{SERVICE_ONLY}._\n");
    }
    demands(&summary, &mut page);
    for warning in &summary.warnings {
        page += &format!("\n> {}\n", escape(warning));
    }
    page += "\n<details><summary>Outcomes, cost, and how to run it again</summary>\n\n";
    facts(&summary, &mut page);
    endpoints(&summary, &mut page);
    let commands = if summary.merged.is_empty() { vec![summary.command] } else { summary.merged };
    page += &fenced(&commands.join("\n"));
    let (kernel, processor) = (escape(&result.host.kernel), escape(&result.host.processor));
    let processors = result.host.processors;
    page += &format!("\nLoad made on {processors} × {processor}, Linux {kernel}, ");
    page += &format!("by loadgen {}.\n\n</details>\n", escape(&result.version));
    page
}

fn verdict(summary: &Summary, page: &mut String) {
    let targets: Vec<String> = summary.targets.iter().map(|target| code(target)).collect();
    let note = summary.verdict_note();
    let note = if note.is_empty() { note } else { format!(": {}", escape(&note)) };
    *page += &format!("### Load test: {}\n\n", targets.join(", "));
    *page += &format!("**{}**{note}  \n{}\n\n", summary.verdict(), escape(&summary.plan));
}

fn times(summary: &Summary, page: &mut String) {
    *page += "| |";
    QUANTILES.iter().map(|(name, _)| *name).chain(["max"]).for_each(|name| *page += &format!(" {name} |"));
    *page += "\n|---|";
    *page += &"---:|".repeat(QUANTILES.len() + 1);
    *page += "\n";
    for line in &summary.times {
        row(page, line.name.trim(), &line.figures);
    }
}

fn demands(summary: &Summary, page: &mut String) {
    if summary.slo.is_empty() {
        return;
    }
    *page += "\n| SLO | found | |\n|---|---:|---|\n";
    for demand in &summary.slo {
        let verdict = match (demand.met, demand.is_open) {
            (true, _) => "met",
            (false, true) => "cannot tell",
            (false, false) => "**NOT MET**",
        };
        *page += &format!("| {} | {} | {verdict} |\n", escape(&demand.demand), escape(&demand.found));
    }
}

fn facts(summary: &Summary, page: &mut String) {
    *page += "| | | |\n|---|---:|---|\n";
    for fact in summary.outcomes.iter().chain(&summary.facts) {
        *page += &format!("| {} | {} | {} |\n", fact.name, escape(&fact.figure), escape(&fact.note));
    }
}

fn endpoints(summary: &Summary, page: &mut String) {
    if summary.endpoints.is_empty() {
        return;
    }
    *page += "\n| endpoint | done | failed | p50 | p90 | p99 | p99.9 | max |\n|---|---:|---:|";
    *page += &"---:|".repeat(QUANTILES.len() + 1);
    *page += "\n";
    for endpoint in &summary.endpoints {
        let name = format!("{} | {} | {}", escape(&endpoint.name), endpoint.done, endpoint.failed);
        row(page, &name, &endpoint.figures);
    }
}

fn row(page: &mut String, name: &str, figures: &[String]) {
    writeln!(page, "| {name} | {} |", figures.join(" | ")).expect("writing to memory does not fail");
}

/// Every ASCII punctuation that Markdown or HTML could take for its own, as a character reference: those are
/// text everywhere, in tables and headings as well. A mention needs its `@` plain, a link its `:` or `.`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '|' | '&' | '@' | '~'
            | '"' | '\'' => {
                write!(escaped, "&#{};", u32::from(c)).expect("writing to memory does not fail");
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped.replace("://", "&#58;//")
}

/// As code, by HTML's tag: a code span of backticks does not know character references.
fn code(text: &str) -> String {
    format!("<code>{}</code>", escape(text))
}

/// A block of code behind a fence that nothing in it can close.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("\n{fence}sh\n{text}\n{fence}\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_page_is_as_it_was_agreed() {
        crate::report::golden::holds("run.md", &text(&fixture::open_loop()));
    }

    #[test]
    fn nothing_in_a_result_is_markup() {
        let page = text(&fixture::hostile());
        let (before, code) = page.split_once("\n````").unwrap_or(page.split_once("\n```").unwrap());
        assert!(
            !before.contains("<script") && !before.contains("<img") && !before.contains("@all"),
            "{before}"
        );
        assert!(!before.contains("://"), "{before}");
        // Every row of a table has as many cells as its head.
        for table in before.split("\n\n") {
            let cells: Vec<usize> =
                table.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count()).collect();
            assert!(cells.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
        }
        assert!(code.contains("$'"), "{code}");
    }

    #[test]
    fn no_backticks_close_the_fence() {
        assert_eq!(fenced("a ```` b"), "\n`````sh\na ```` b\n`````\n");
        assert_eq!(fenced("plain"), "\n```sh\nplain\n```\n");
    }
}
