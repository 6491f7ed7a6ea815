//! The plots of a run: the percentile spectrum, then latency, rate, failures and CPU over time, then
//! connections.

use super::axis::Axis;
use super::svg::{Line, Plot};
use crate::histogram::{Durations, SAMPLES_BEHIND_QUANTILE};
use crate::report::figures::{count, duration, duration_or_none, rate, seconds, share};
use crate::report::summary::main_times;
use crate::result::{Interval, Mode, RunResult};

/// Steps that a plot over time shows, and a table lists; more are put together.
const STEPS_MAX: usize = 300;
/// Points of a line that answer when they are pointed at; with more they would cover each other.
const HINTS_MAX: usize = 120;
/// Points of the line over connections.
const RANKS_MAX: usize = 200;
/// Steps of the spectrum to every halving of what lies beyond.
const SPECTRUM_STEPS: u32 = 8;

/// All plots of which the run has the figures.
pub(super) fn plots(result: &RunResult, steps: &[Interval]) -> Vec<Plot> {
    let mut plots = Vec::new();
    plots.extend(spectrum(result));
    if !steps.is_empty() {
        plots.extend([latency(result, steps), rates(result, steps), failures(result, steps), cpu(steps)]);
    }
    plots.extend(connections(result));
    plots
}

/// The intervals, put together where there are more than can be shown.
pub(super) fn steps(result: &RunResult) -> Vec<Interval> {
    let together = result.intervals.len().div_ceil(STEPS_MAX).max(1);
    result.intervals.chunks(together).map(put_together).collect()
}

fn put_together(intervals: &[Interval]) -> Interval {
    let mut step = Interval { start_s: intervals[0].start_s, server_cpu_s: Some(0.0), ..Interval::default() };
    for interval in intervals {
        step.length_s += interval.length_s;
        step.planned = step.planned.saturating_add(interval.planned);
        step.sent = step.sent.saturating_add(interval.sent);
        step.done = step.done.saturating_add(interval.done);
        step.failed = step.failed.saturating_add(interval.failed);
        step.response.add(&interval.response);
        step.busy = step.busy.max(interval.busy);
        step.server_cpu_s = step.server_cpu_s.zip(interval.server_cpu_s).map(|(sum, more)| sum + more);
    }
    step
}

fn spectrum(result: &RunResult) -> Option<Plot> {
    let total = &result.total;
    let main = main_times(result.plan.mode, total);
    let (least, greatest) = (main.min()?, main.max()?);
    let mut lines = Vec::new();
    let mut least = least;
    if !std::ptr::eq(main, &total.service) {
        lines.extend(spectrum_lines("response", "a", "a few", &total.response));
        least = least.min(total.service.min().unwrap_or(least));
        lines.extend(spectrum_lines("service", "b dash", "b few", &total.service));
    } else {
        lines.extend(spectrum_lines("service", "a", "a few", &total.service));
    }
    let told = |share| duration_or_none(main.quantile(share));
    Some(Plot {
        id: "spectrum",
        title: "Percentile spectrum",
        description: format!(
            "Half of all took {} or less, 90 % {}, 99 % {}, 99.9 % {}; the longest {}. Beyond the solid line \
             fewer than {SAMPLES_BEHIND_QUANTILE} samples are left.",
            told(0.5),
            told(0.9),
            told(0.99),
            told(0.999),
            duration(greatest),
        ),
        x: Axis::nines("percentile (each nine as wide)", main.count()),
        y: Axis::durations("", least as f64, greatest as f64),
        lines,
    })
}

/// Solid as far as there are samples enough, then faint to the longest.
fn spectrum_lines(
    name: &'static str,
    class: &'static str,
    faint: &'static str,
    durations: &Durations,
) -> [Line; 2] {
    let end = durations.count() as f64;
    let told = end / SAMPLES_BEHIND_QUANTILE as f64;
    let mut all: Vec<(f64, Option<f64>)> = Vec::new();
    for step in durations.inner().iter_quantiles(SPECTRUM_STEPS) {
        let beyond = 1.0 / (1.0 - step.quantile_iterated_to()).max(f64::MIN_POSITIVE);
        all.push((beyond.min(end), Some(step.value_iterated_to() as f64)));
    }
    let solid = all.partition_point(|(beyond, _)| *beyond <= told * 1.000_001);
    let hint = |(beyond, value): &(f64, Option<f64>)| {
        let percent = (100.0 - 100.0 / beyond).to_string();
        let percent: String = percent.chars().take(8).collect();
        format!("{name} {percent} %: {}", duration_or_none(value.map(|value| value as u64)))
    };
    let faint_from = solid.saturating_sub(1);
    let few = Line { name: "", class: faint, points: all[faint_from..].to_vec(), hints: Vec::new() };
    all.truncate(solid);
    let hints = if all.len() <= HINTS_MAX { all.iter().map(hint).collect() } else { Vec::new() };
    [Line { name, class, points: all, hints }, few]
}

/// A line over the middles of steps.
fn over_time(
    name: &'static str,
    class: &'static str,
    steps: &[Interval],
    value: impl Fn(&Interval) -> Option<f64>,
    text: impl Fn(f64) -> String,
) -> Line {
    let points: Vec<(f64, Option<f64>)> =
        steps.iter().map(|step| (step.start_s + step.length_s / 2.0, value(step))).collect();
    let hint = |(step, (_, value)): (&Interval, &(f64, Option<f64>))| {
        let value = value.map_or_else(String::new, &text);
        format!("{name}, from {}: {value}", seconds(step.start_s))
    };
    let hints =
        if steps.len() <= HINTS_MAX { steps.iter().zip(&points).map(hint).collect() } else { Vec::new() };
    Line { name, class, points, hints }
}

fn time_axis(steps: &[Interval]) -> Axis {
    Axis::seconds("seconds", steps.last().map_or(0.0, |step| step.start_s + step.length_s))
}

fn latency(result: &RunResult, steps: &[Interval]) -> Plot {
    let nanoseconds = |value: f64| duration(value as u64);
    let quantile = |share: f64| move |step: &Interval| step.response.quantile(share).map(|ns| ns as f64);
    let max = |step: &Interval| step.response.max().map(|ns| ns as f64);
    let lines = vec![
        over_time("p50", "a", steps, quantile(0.5), nanoseconds),
        over_time("p99", "b dash", steps, quantile(0.99), nanoseconds),
        over_time("max", "c dot", steps, max, nanoseconds),
    ];
    let values = || lines.iter().flat_map(|line| line.points.iter().filter_map(|point| point.1));
    let least = values().fold(f64::INFINITY, f64::min);
    let greatest = values().fold(0.0, f64::max);
    let worst = steps.iter().max_by_key(|step| step.response.max());
    let worst = worst.map_or_else(String::new, |step| {
        format!(
            "The longest, {}, was due in the step from {}.",
            duration_or_none(step.response.max()),
            seconds(step.start_s)
        )
    });
    let open = result.plan.mode == Mode::Open;
    Plot {
        id: "latency",
        title: if open { "Response time over time" } else { "Service time over time" },
        description: format!("Median, 99th percentile and longest of what was due in each step. {worst}"),
        x: time_axis(steps),
        y: Axis::durations("", if least.is_finite() { least } else { 1e3 }, greatest),
        lines,
    }
}

fn per_second(count: u64, step: &Interval) -> Option<f64> {
    (step.length_s > 0.0).then(|| count as f64 / step.length_s)
}

fn greatest(lines: &[Line]) -> f64 {
    lines.iter().flat_map(|line| line.points.iter().filter_map(|point| point.1)).fold(0.0, f64::max)
}

fn rates(result: &RunResult, steps: &[Interval]) -> Plot {
    let mut lines = Vec::new();
    if result.plan.mode == Mode::Open {
        lines.push(over_time("planned", "c band", steps, |step| per_second(step.planned, step), rate));
    }
    lines.push(over_time("achieved", "a", steps, |step| per_second(step.done, step), rate));
    let total = &result.total;
    Plot {
        id: "rate",
        title: if result.plan.mode == Mode::Open { "Planned and achieved rate" } else { "Achieved rate" },
        description: format!(
            "{} requests were {} and {} were answered as expected, {} of them.",
            count(total.planned),
            if result.plan.mode == Mode::Open { "planned" } else { "begun" },
            count(total.done),
            share(total.done as f64, total.planned as f64),
        ),
        x: time_axis(steps),
        y: Axis::upwards("", greatest(&lines)),
        lines,
    }
}

fn failures(result: &RunResult, steps: &[Interval]) -> Plot {
    let lines = vec![over_time("failures", "bad", steps, |step| per_second(step.failed, step), rate)];
    let total = &result.total;
    Plot {
        id: "failures",
        title: "Errors and timeouts per second",
        description: format!("{} errors and {} timeouts.", count(total.errors), count(total.timeouts)),
        x: time_axis(steps),
        y: Axis::upwards("", greatest(&lines)),
        lines,
    }
}

fn cpu(steps: &[Interval]) -> Plot {
    let percent = |value: f64| share(value, 100.0);
    let server = |step: &Interval| {
        step.server_cpu_s.filter(|_| step.length_s > 0.0).map(|cpu_s| 100.0 * cpu_s / step.length_s)
    };
    let mut lines = vec![over_time("generator, busiest core", "a", steps, |s| Some(100.0 * s.busy), percent)];
    if steps.iter().any(|step| step.server_cpu_s.is_some()) {
        lines.push(over_time("server, all its cores", "b dash", steps, server, percent));
    }
    let busiest = steps.iter().map(|step| step.busy).fold(0.0, f64::max);
    Plot {
        id: "cpu",
        title: "CPU, % of a core",
        description: format!(
            "The busiest core of the generator was busy up to {} of a step.",
            share(busiest, 1.0)
        ),
        x: time_axis(steps),
        y: Axis::upwards("", greatest(&lines).max(10.0)),
        lines,
    }
}

fn connections(result: &RunResult) -> Option<Plot> {
    let each = &result.connections.done_each;
    if each.len() < 2 || result.plan.new_connections {
        return None;
    }
    let ranks = each.len().min(RANKS_MAX);
    let rank = |place: usize| place * (each.len() - 1) / (ranks - 1);
    let points = (0..ranks).map(|place| {
        let rank = rank(place);
        (100.0 * rank as f64 / (each.len() - 1) as f64, Some(each[rank] as f64))
    });
    let points: Vec<_> = points.collect();
    let hint = |(percent, done): &(f64, Option<f64>)| {
        format!("{percent:.0} % of connections: {} requests or fewer", count(done.unwrap_or(0.0) as u64))
    };
    let hints = if ranks <= HINTS_MAX { points.iter().map(hint).collect() } else { Vec::new() };
    let (least, most) = (each[0], each[each.len() - 1]);
    Some(Plot {
        id: "connections",
        title: "Requests on each connection",
        description: format!(
            "From {} on the connection with the fewest to {} on the one with the most, of {} connections.",
            count(least),
            count(most),
            count(each.len() as u64),
        ),
        x: Axis::seconds("% of connections, fewest first", 100.0),
        y: Axis::upwards("", most as f64),
        lines: vec![Line { name: "requests", class: "a", points, hints }],
    })
}
