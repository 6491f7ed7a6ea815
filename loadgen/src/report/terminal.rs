//! The summary on a terminal: aligned, in colour where there is one, and whether it may be believed first.

use std::env;
use std::io::{self, IsTerminal, Write};

use super::figures::printable;
use super::summary::{Fact, QUANTILES, SERVICE_ONLY, Summary};
use crate::result::{Mode, RunResult};

/// Writes the summary, in colour if `out` is a terminal and `NO_COLOR` is not set.
pub(crate) fn write(result: &RunResult, out: &mut (impl Write + IsTerminal)) -> io::Result<()> {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = out.is_terminal() && !refused;
    out.write_all(text(result, colour).as_bytes())
}

/// The summary as text.
pub(crate) fn text(result: &RunResult, colour: bool) -> String {
    let summary = Summary::new(result);
    let mut page = Page { text: String::new(), colour };
    page.verdict(&summary);
    page.line(&summary.plan);
    summary.targets.iter().for_each(|target| page.line(target));
    page.blank();
    page.facts(&summary.outcomes);
    page.blank();
    page.times(&summary);
    if result.plan.mode == Mode::Closed {
        page.line(SERVICE_ONLY);
    }
    page.endpoints(&summary);
    page.blank();
    page.facts(&summary.facts);
    page.demands(&summary);
    page.last(&summary);
    page.text
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "1;32";
const YELLOW: &str = "33";

/// Width of the names at the left.
const NAME: usize = 11;
/// Width of a figure.
const FIGURE: usize = 9;

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text += printable(text).trim_end();
        self.text.push('\n');
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    /// In a colour, or plain.
    fn paint(&mut self, colour: &str, text: &str) {
        match self.colour {
            true => self.text += &format!("\x1b[{colour}m{text}\x1b[0m"),
            false => self.text += text,
        }
    }

    fn verdict(&mut self, summary: &Summary) {
        let verdict = summary.verdict();
        self.paint(if verdict == "VALID" { GREEN } else { RED }, verdict);
        let note = summary.verdict_note();
        self.line(&if note.is_empty() { note } else { format!(": {note}") });
    }

    fn name(&mut self, name: &str) {
        self.text += "  ";
        self.paint(DIM, &format!("{name:<NAME$}"));
        self.text += "  ";
    }

    fn facts(&mut self, facts: &[Fact]) {
        for fact in facts {
            self.name(fact.name);
            match fact.figure.is_empty() {
                true => self.line(&fact.note),
                false => self.line(&format!("{:>FIGURE$}  {}", fact.figure, fact.note)),
            }
        }
    }

    fn times(&mut self, summary: &Summary) {
        self.name("");
        let heads = QUANTILES.iter().map(|(name, _)| *name).chain(["max"]);
        let heads: String = heads.map(|name| format!("{name:>FIGURE$} ")).collect();
        self.paint(DIM, heads.trim_end());
        self.blank();
        for times in &summary.times {
            self.name(times.name);
            self.line(&columns(&times.figures));
        }
    }

    fn endpoints(&mut self, summary: &Summary) {
        if summary.endpoints.is_empty() {
            return;
        }
        self.blank();
        for endpoint in &summary.endpoints {
            self.paint(BOLD, &format!("  {}", printable(&endpoint.name)));
            self.line(&format!("  done {}, failed {}", endpoint.done, endpoint.failed));
            self.name("");
            self.line(&columns(&endpoint.figures));
        }
    }

    fn demands(&mut self, summary: &Summary) {
        for demand in &summary.slo {
            self.name("SLO");
            let (colour, verdict) = match (demand.met, demand.is_open) {
                (true, _) => (GREEN, "met"),
                (false, true) => (YELLOW, "CANNOT TELL"),
                (false, false) => (RED, "NOT MET"),
            };
            self.paint(colour, verdict);
            let found = if demand.is_open { "" } else { "found " };
            self.line(&format!("  {}  {found}{}", demand.demand, demand.found));
        }
    }

    fn last(&mut self, summary: &Summary) {
        for warning in &summary.warnings {
            self.name("note");
            self.paint(YELLOW, &printable(warning));
            self.blank();
        }
        for command in &summary.merged {
            self.name("merged");
            self.line(command);
        }
        if summary.merged.is_empty() {
            self.name("again");
            self.line(&summary.command);
        }
    }
}

fn columns(figures: &[String]) -> String {
    figures.iter().map(|figure| format!("{figure:>FIGURE$} ")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn validity_comes_first() {
        let mut result = fixture::open_loop();
        assert!(text(&result, false).starts_with("VALID\nopen loop, 2,000/s evenly spaced, 16 connections"));
        result.validity.reasons = vec!["a core was busy".to_string(), "the plan was not sent".to_string()];
        assert!(text(&result, false).starts_with("INVALID: a core was busy; the plan was not sent\n"));
    }

    #[test]
    fn a_closed_loop_says_what_it_measures() {
        let text = text(&fixture::closed_loop(), false);
        assert!(text.contains("\nservice time only: "), "{text}");
        assert!(!text.contains("response"), "{text}");
    }

    #[test]
    fn the_page_is_as_it_was_agreed() {
        crate::report::golden::holds("terminal-open.txt", &text(&fixture::open_loop(), false));
        crate::report::golden::holds("terminal-closed.txt", &text(&fixture::closed_loop(), false));
        crate::report::golden::holds("terminal-empty.txt", &text(&fixture::empty(), false));
    }

    #[test]
    fn colours_only_add() {
        let result = fixture::open_loop();
        let coloured = text(&result, true);
        assert!(coloured.starts_with("\x1b[1;32mVALID\x1b[0m\n"));
        let mut plain = String::new();
        for (place, part) in coloured.split("\x1b[").enumerate() {
            plain += if place == 0 { part } else { part.split_once('m').unwrap().1 };
        }
        assert_eq!(plain, text(&result, false));
    }

    #[test]
    fn nothing_in_a_result_steers_the_terminal() {
        let text = text(&fixture::hostile(), false);
        assert!(text.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{text}");
    }
}
