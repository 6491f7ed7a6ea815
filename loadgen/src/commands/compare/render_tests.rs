//! What readers see of comparisons with known content.

use super::*;
use crate::exit::Failure;
use crate::result::{HostFacts, SloVerdict};
use crate::stats::change;

fn compared(figure: Figure, ratio: f64, noise: f64) -> Compared {
    let ratios: Vec<f64> = (0..10).map(|i| ratio * (1.0 + noise * f64::from(i - 4))).collect();
    let change = change::judge(&ratios, figure.better(), figure.default_delta()).unwrap();
    Compared { figure, base: 10_000.0, head: 10_000.0 * ratio, spread: noise, change }
}

fn comparison(compared: Vec<Compared>) -> Comparison {
    let found = Found {
        name: "1 KiB | kept".to_string(),
        rate: Some(20_000.0),
        refused: vec![
            "a run of base is invalid: late by 1 µs".to_string(),
            "a run of base is invalid: late by 2 µs".to_string(),
        ],
        compared,
        ..Found::default()
    };
    Comparison {
        schema: super::super::found::SCHEMA.to_string(),
        version: "0.1.0".to_string(),
        command: Vec::new(),
        host: HostFacts { processor: "A <Chip>".to_string(), processors: 2, ..HostFacts::default() },
        base: "old {port}".to_string(),
        head: "new {port}".to_string(),
        aa: false,
        seed: 7,
        seconds: 2.0,
        scenarios: vec![found],
        failure: None,
        exit: 0,
    }
}

fn ended(mut comparison: Comparison, failure: Option<Failure>) -> Comparison {
    comparison.exit = comparison.verdict(failure.as_ref()) as u8;
    comparison.failure = failure.map(|failure| failure.to_string());
    comparison
}

#[test]
fn verdicts_lead() {
    let pass = || compared(Figure::Cpu, 1.0, 0.0001);
    let regressed = || compared(Figure::Cpu, 1.1, 0.0001);
    let doubt = || compared(Figure::P99, 1.0, 0.2);
    let mut aa_doubt = comparison(vec![doubt()]);
    aa_doubt.aa = true;
    let mut aa_alarm = comparison(vec![regressed()]);
    aa_alarm.aa = true;
    for (comparison, failure, exit, headline) in [
        (comparison(vec![pass()]), None, 0, "## Performance: pass"),
        (comparison(vec![pass(), regressed()]), None, 1, "## Performance: **regressed**"),
        (comparison(vec![pass(), doubt()]), None, 4, "## Performance: inconclusive"),
        (comparison(vec![doubt(), regressed()]), None, 1, "## Performance: **regressed**"),
        (aa_doubt, None, 0, "## Performance: inconclusive"),
        (aa_alarm, None, 1, "## Performance: **false alarm**"),
        (comparison(vec![regressed()]), Some(Failure::Invalid("x".into())), 3, "## Performance: **invalid**"),
        (comparison(vec![]), Some(Failure::Target("x".into())), 5, "## Performance: **the server failed**"),
        (comparison(vec![]), Some(Failure::Interrupted), 4, "## Performance: inconclusive"),
    ] {
        let comparison = ended(comparison, failure);
        assert_eq!(comparison.exit, exit, "{headline}");
        assert_eq!(markdown(&comparison).lines().next(), Some(headline));
    }
}

#[test]
fn a_missed_demand_is_a_breach() {
    let mut missed = comparison(vec![compared(Figure::P50, 1.0, 0.0001)]);
    let verdict =
        SloVerdict { demand: "p99<5ms".into(), found: Some("7.000 ms".into()), met: false, needs: None };
    missed.scenarios[0].slo.push(verdict);
    let missed = ended(missed, None);
    assert_eq!(missed.exit, 1);
    assert!(markdown(&missed).contains("`p99<5ms`: **missed** by head (7.000 ms)"));
    assert!(junit(&missed).contains("<failure message=\"7.000 ms\"/>"));
}

#[test]
fn the_table_has_what_a_reviewer_needs() {
    let text = markdown(&ended(comparison(vec![compared(Figure::Throughput, 0.9, 0.001)]), None));
    let row = text.lines().find(|line| line.contains("throughput |")).unwrap_or_else(|| panic!("{text}"));
    let cells: Vec<&str> = row.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
    assert_eq!(cells[1..6], ["throughput", "10000/s", "9000/s", "−10.0 %", "−10.2 % to −9.7 %"], "{row}");
    assert_eq!((cells[6], cells[8]), ("−3.0 %", "**regressed**"), "{row}");
    assert!(cells[0].starts_with("1 KiB \\"), "a name cannot break the table: {row}");
    for part in [
        "20000 requests/s",
        "late by 1 µs (alike in 2 blocks)",
        "`old {port}`",
        "seed 7",
        "98.0 %",
        "A <Chip>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let widths: Vec<usize> =
        text.lines().filter(|line| line.starts_with('|')).map(|line| line.chars().count()).collect();
    assert!(widths.len() == 3 && widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
}

#[test]
fn junit_counts_and_escapes() {
    let mixed = vec![
        compared(Figure::Cpu, 1.0, 0.0001),
        compared(Figure::P50, 1.2, 0.0001),
        compared(Figure::P99, 1.0, 0.2),
    ];
    let mut comparison = comparison(mixed);
    comparison.scenarios[0].name = "<a & \"b\">".to_string();
    let text = junit(&ended(comparison, Some(Failure::Target("base <died>\n".into()))));
    assert!(text.contains(r#"tests="4" failures="1" errors="1" skipped="1""#), "{text}");
    assert!(text.contains(r#"classname="&lt;a &amp; &quot;b&quot;&gt;" name="cpu"/>"#), "{text}");
    assert!(text.contains(r#"<error message="base &lt;died&gt; "/>"#), "{text}");
}

#[test]
fn percentages_are_short_and_signed() {
    let shown = [0.0, 0.0004, -0.0004, 0.031, -0.031, 0.123, -1.0].map(percent);
    assert_eq!(shown, ["0.0 %", "0.0 %", "0.0 %", "+3.1 %", "−3.1 %", "+12.3 %", "−100.0 %"]);
}

#[test]
fn json_reads_back() {
    let mut regressed = compared(Figure::Cpu, 1.25, 0.0);
    // Numbers that decimals hold exactly; the parser may be off by the last bit.
    let change = &mut regressed.change;
    (change.estimate, change.low, change.high) = (0.25, 0.25, 0.25);
    (change.delta, change.detectable, change.coverage) = (0.5, 0.5, 0.75);
    let written = ended(comparison(vec![regressed]), None);
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&text).unwrap(), written);
    assert!(text.contains("\"figure\":\"cpu\"") && text.contains("\"verdict\":\"regressed\""), "{text}");
}
