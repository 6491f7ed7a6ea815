//! A run as one page for a browser: no script, nothing from elsewhere, the plots as SVG and the numbers
//! behind them as tables. Whatever a result holds passes through `escape`.

mod axis;
mod escape;
mod plots;
mod svg;

use std::fmt::Write;

use self::escape::escape;
use self::svg::Plot;
use super::figures::{NONE, count, duration_or_none, printable, rate, share, three_digits};
use super::summary::{Fact, QUANTILES, SERVICE_ONLY, Summary, main_times};
use crate::result::{Interval, Mode, RunResult};

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded, nothing runs, nothing is sent; the style stands in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page.
pub(crate) fn text(result: &RunResult) -> String {
    let summary = Summary::new(result);
    let steps = plots::steps(result);
    let mut page = Page(String::new());
    page.head(&summary);
    page.verdict(&summary);
    page.tiles(result);
    page.times(&summary, result.plan.mode);
    page.plots(&plots::plots(result, &steps));
    page.demands(&summary);
    page.endpoints(&summary);
    page.facts("Outcomes", &summary.outcomes);
    page.facts("Answers, connections and cost", &summary.facts);
    page.steps(&steps, result.intervals.len());
    page.again(&summary);
    page.foot(result);
    page.0
}

struct Page(String);

impl Page {
    fn put(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn line(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.0.write_fmt(arguments).expect("writing to memory does not fail");
        self.0.push('\n');
    }

    fn head(&mut self, summary: &Summary) {
        let title = escape(&summary.targets.join(", "));
        self.put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        self.line(format_args!("<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">"));
        self.put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        self.put("<meta name=\"referrer\" content=\"no-referrer\">\n");
        self.line(format_args!("<title>Load test of {title}</title>\n<style>{STYLE}</style>\n</head>"));
    }

    fn verdict(&mut self, summary: &Summary) {
        let verdict = summary.verdict();
        let class = if verdict == "VALID" { "verdict" } else { "verdict bad" };
        self.put("<body>\n<main>\n<header>\n");
        self.line(format_args!("<p class=\"{class}\">{verdict}</p>"));
        if !summary.reasons.is_empty() {
            self.list("reasons", &summary.reasons);
        }
        self.line(format_args!("<h1>{}</h1>", escape(&summary.targets.join(", "))));
        self.line(format_args!("<p class=\"plan\">{}</p>", escape(&summary.plan)));
        for warning in &summary.warnings {
            self.line(format_args!("<p class=\"note\">Note: {}</p>", escape(warning)));
        }
        self.put("</header>\n");
    }

    fn list(&mut self, class: &str, sentences: &[String]) {
        self.line(format_args!("<ul class=\"{class}\">"));
        sentences.iter().for_each(|sentence| self.line(format_args!("<li>{}</li>", escape(sentence))));
        self.put("</ul>\n");
    }

    fn tiles(&mut self, result: &RunResult) {
        let total = &result.total;
        let times = main_times(result.plan.mode, total);
        let failed = total.errors.saturating_add(total.timeouts).saturating_add(total.dropped);
        let what = if std::ptr::eq(times, &total.service) { "service" } else { "response" };
        self.put("<dl class=\"tiles\">\n");
        for (name, figure) in [
            ("achieved".to_string(), result.rate().map_or_else(|| NONE.into(), rate)),
            ("not answered".to_string(), share(failed as f64, total.planned as f64)),
            (format!("{what}, median"), duration_or_none(times.quantile(0.5))),
            (format!("{what}, p99"), duration_or_none(times.quantile(0.99))),
            (format!("{what}, max"), duration_or_none(times.max())),
        ] {
            self.line(format_args!("<div><dt>{name}</dt><dd>{figure}</dd></div>"));
        }
        self.put("</dl>\n");
    }

    fn times(&mut self, summary: &Summary, mode: Mode) {
        self.put("<h2>Durations</h2>\n");
        if mode == Mode::Closed {
            self.line(format_args!("<p class=\"note\">{SERVICE_ONLY}</p>"));
        }
        self.table(&["", "p50", "p90", "p99", "p99.9", "max"]);
        for line in &summary.times {
            self.row(line.name.trim(), &line.figures);
        }
        self.table_end();
    }

    fn plots(&mut self, plots: &[Plot]) {
        if plots.is_empty() {
            return;
        }
        self.put("<h2>Plots</h2>\n<div class=\"plots\">\n");
        plots.iter().for_each(|plot| self.put(&plot.draw()));
        self.put("</div>\n");
    }

    fn demands(&mut self, summary: &Summary) {
        if summary.slo.is_empty() {
            return;
        }
        self.put("<h2>Demands</h2>\n");
        self.table(&["demand", "found", "verdict"]);
        for demand in &summary.slo {
            let (class, verdict) = match (demand.met, demand.is_open) {
                (true, _) => ("met", "met"),
                (false, true) => ("missed", "cannot tell"),
                (false, false) => ("missed", "not met"),
            };
            let (demand, found) = (escape(&demand.demand), escape(&demand.found));
            self.line(format_args!(
                "<tr><th scope=\"row\">{demand}</th><td>{found}</td><td class=\"{class}\">{verdict}</td></tr>"
            ));
        }
        self.table_end();
    }

    fn endpoints(&mut self, summary: &Summary) {
        if summary.endpoints.is_empty() {
            return;
        }
        self.put("<h2>Endpoints</h2>\n");
        self.table(&["endpoint", "done", "failed", "p50", "p90", "p99", "p99.9", "max"]);
        for endpoint in &summary.endpoints {
            let counts = [endpoint.done.clone(), endpoint.failed.clone()];
            let cells: Vec<String> = counts.into_iter().chain(endpoint.figures.clone()).collect();
            self.row(&endpoint.name, &cells);
        }
        self.table_end();
    }

    fn facts(&mut self, title: &str, facts: &[Fact]) {
        self.line(format_args!(
            "<h2>{title}</h2>\n<div class=\"scroll\" tabindex=\"0\"><table class=\"facts\"><tbody>"
        ));
        for Fact { name, figure, note } in facts {
            let (figure, note) = (escape(figure), escape(note));
            self.line(format_args!(
                "<tr><th scope=\"row\">{name}</th><td>{figure}</td><td class=\"text\">{note}</td></tr>"
            ));
        }
        self.table_end();
    }

    /// The numbers behind the plots over time.
    fn steps(&mut self, steps: &[Interval], intervals: usize) {
        if steps.is_empty() {
            return;
        }
        let together = intervals.div_ceil(steps.len());
        let note = if together > 1 { format!(", {together} intervals in each") } else { String::new() };
        self.line(format_args!("<details><summary>Every step of the plots{note}</summary>"));
        self.table(&["from (s)", "planned", "done", "failed", "p50", "p99", "max", "generator", "server"]);
        for step in steps {
            let server = step.server_cpu_s.map_or_else(|| NONE.into(), |cpu_s| share(cpu_s, step.length_s));
            let cells = [
                count(step.planned),
                count(step.done),
                count(step.failed),
                duration_or_none(step.response.quantile(QUANTILES[0].1)),
                duration_or_none(step.response.quantile(QUANTILES[2].1)),
                duration_or_none(step.response.max()),
                share(step.busy, 1.0),
                server,
            ];
            self.row(&three_digits(step.start_s), &cells);
        }
        self.table_end();
        self.put("</details>\n");
    }

    fn again(&mut self, summary: &Summary) {
        let (title, commands) = match summary.merged.is_empty() {
            true => ("Run it again", std::slice::from_ref(&summary.command)),
            false => ("Merged from", summary.merged.as_slice()),
        };
        self.line(format_args!("<h2>{title}</h2>"));
        commands.iter().for_each(|command| self.line(format_args!("<pre>{}</pre>", escape(command))));
    }

    fn foot(&mut self, result: &RunResult) {
        let host = &result.host;
        let made_on = format!("{} × {}, Linux {}", host.processors, host.processor, host.kernel);
        let (made_on, version) = (escape(&made_on), escape(&printable(&result.version)));
        self.line(format_args!("<footer>Load made on {made_on}, by loadgen {version}.</footer>"));
        self.put("</main>\n</body>\n</html>\n");
    }

    fn table(&mut self, heads: &[&str]) {
        self.put("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
        heads.iter().for_each(|head| self.put(&format!("<th scope=\"col\">{head}</th>")));
        self.put("</tr></thead><tbody>\n");
    }

    fn row(&mut self, name: &str, cells: &[String]) {
        let mut row = format!("<tr><th scope=\"row\">{}</th>", escape(name));
        cells.iter().for_each(|cell| row += &format!("<td>{}</td>", escape(cell)));
        self.line(format_args!("{row}</tr>"));
    }

    fn table_end(&mut self) {
        self.put("</tbody></table></div>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// The tags of a page, without what stands in quotes.
    fn tags(page: &str) -> Vec<String> {
        let page = page.split_once("</style>").expect("a style").1;
        page.split('<').skip(1).map(|tag| tag.split(['>', ' ', '\n']).next().unwrap().to_string()).collect()
    }

    #[test]
    fn nothing_in_a_result_is_markup() {
        let known = tags(&text(&fixture::open_loop()));
        let mut hostile = fixture::hostile();
        hostile.merged = vec![fixture::merged_run()];
        hostile.merged[0].command = hostile.command.clone();
        let page = text(&hostile);
        for tag in tags(&page) {
            assert!(known.contains(&tag) || ["ul", "li", "/ul", "/li"].contains(&tag.as_str()), "<{tag}>");
        }
        assert!(!page.contains("<img") && !page.contains("onerror=x>") && !page.contains('\u{1b}'));
        assert_eq!(page.matches("</style>").count(), 1);
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for result in [fixture::open_loop(), fixture::closed_loop(), fixture::empty()] {
            let page = text(&result);
            assert!(page.contains("content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri"));
            for loads in ["src=", "href=", "url(", "@import", "<script", "<link", "<iframe"] {
                assert!(!page.contains(loads), "{loads}");
            }
            assert!(!page.contains("NaN") && !page.contains("inf "), "a figure is none");
        }
    }

    #[test]
    fn every_plot_is_described() {
        let page = text(&fixture::open_loop());
        for id in ["spectrum", "latency", "rate", "failures", "cpu", "connections"] {
            assert_eq!(page.matches(&format!("aria-labelledby=\"{id}-t {id}-d\"")).count(), 1, "{id}");
            assert_eq!(page.matches(&format!("<desc id=\"{id}-d\">")).count(), 1, "{id}");
        }
        assert!(page.contains("fewer than 10 samples are left"));
        assert!(!text(&fixture::empty()).contains("<figure>"));
    }

    #[test]
    fn elements_close_in_order() {
        let page = text(&fixture::hostile());
        let body = page.split_once("</head>").expect("a head").1.replace("</html>", "");
        let mut open = Vec::new();
        for part in body.split('<').skip(1) {
            let tag = part.split_once('>').expect("it ends").0;
            let name = tag.split(' ').next().expect("a name");
            match tag.strip_prefix('/') {
                Some(closed) => assert_eq!(open.pop(), Some(closed)),
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn long_runs_are_put_together() {
        let mut result = fixture::empty();
        result.intervals = (0..1000)
            .map(|second| Interval {
                start_s: f64::from(second),
                length_s: 1.0,
                done: 1,
                ..Interval::default()
            })
            .collect();
        let steps = plots::steps(&result);
        assert_eq!((steps.len(), steps[0].done, steps[249].start_s), (250, 4, 996.0));
        assert!(text(&result).contains("Every step of the plots, 4 intervals in each"));
    }
}
