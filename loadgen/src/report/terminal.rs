//! The summary for a terminal: validity first.

use std::io::{self, Write};

use crate::histogram::Durations;
use crate::result::{Mode, RunResult};

/// Writes the summary.
///
/// # Errors
/// The writer's.
pub(crate) fn write(result: &RunResult, out: &mut impl Write) -> io::Result<()> {
    let total = &result.total;
    for reason in &result.validity.reasons {
        writeln!(out, "INVALID: {reason}")?;
    }
    for warning in &result.validity.warnings {
        writeln!(out, "note: {warning}")?;
    }
    let loop_name = match result.plan.mode {
        Mode::Closed => "closed loop: service time only",
        Mode::Open => "open loop: latency from the planned instant",
    };
    writeln!(out, "{} ({loop_name})", result.plan.urls.join(" "))?;
    let achieved = total.done as f64 / result.measured_s.max(1e-9);
    match result.plan.rate {
        Some(rate) => {
            writeln!(out, "rate      {achieved:.1}/s of {rate:.1}/s planned, {:.2} s", result.measured_s)?
        }
        None => writeln!(out, "rate      {achieved:.1}/s, {:.2} s", result.measured_s)?,
    }
    writeln!(
        out,
        "outcomes  {} planned = {} done + {} errors + {} timeouts + {} dropped",
        total.planned, total.done, total.errors, total.timeouts, total.dropped
    )?;
    for (kind, count) in &total.errors_by_kind {
        writeln!(out, "          {kind}: {count}")?;
    }
    for (status, count) in &total.statuses {
        writeln!(out, "          status {status}: {count}")?;
    }
    let rows = match result.plan.mode {
        Mode::Closed => vec![("service", &total.service)],
        Mode::Open => vec![
            ("response", &total.response),
            ("service", &total.service),
            ("lag", &total.lag),
            ("own lag", &result.cost.generator_lag),
        ],
    };
    for (name, durations) in rows {
        writeln!(out, "{name:9} {}", quantiles(durations))?;
    }
    let per_request = |seconds: f64| seconds * 1e6 / total.done.max(1) as f64;
    let cost = &result.cost;
    writeln!(
        out,
        "loadgen   {:.2} µs CPU per request, {:.0} % busy",
        per_request(cost.generator_cpu_s),
        cost.generator_busy_max * 100.0
    )?;
    if let Some(server) = &cost.server {
        let cpu = per_request(server.user_s + server.system_s);
        writeln!(out, "server    {cpu:.2} µs CPU per request, {} MiB", server.resident_bytes >> 20)?;
    }
    for demand in &result.slo {
        let found = demand.found.as_deref().unwrap_or("too few samples");
        writeln!(
            out,
            "slo       {}: {found}, {}",
            demand.demand,
            if demand.met { "met" } else { "NOT MET" }
        )?;
    }
    Ok(())
}

fn quantiles(durations: &Durations) -> String {
    let shown = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
        .iter()
        .filter_map(|(name, share)| Some(format!("{name} {}", milliseconds(durations.quantile(*share)?))));
    let longest = durations.max().map(|ns| format!("max {}", milliseconds(ns)));
    shown.chain(longest).collect::<Vec<_>>().join("  ")
}

fn milliseconds(ns: u64) -> String {
    format!("{:.3} ms", ns as f64 / 1e6)
}
