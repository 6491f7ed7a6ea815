//! The response times of a run as the percentile distribution that HdrHistogram prints and its plotters draw:
//! in milliseconds, five steps to every halving of what lies beyond. In a closed loop, service times.

use std::fmt::Write;

use super::summary::main_times;
use crate::result::RunResult;

/// Nanoseconds in the unit of the values.
const NS_PER_MS: f64 = 1e6;
/// Steps to every halving of the distance to 100 %: HdrHistogram's default.
const STEPS: u32 = 5;

/// The distribution.
pub(crate) fn text(result: &RunResult) -> String {
    let histogram = main_times(result.plan.mode, &result.total).inner();
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("writing to memory does not fail");
        text.push('\n');
    };
    let mut total = 0u64;
    for step in histogram.iter_quantiles(STEPS) {
        total = total.saturating_add(step.count_since_last_iteration());
        let (value, share) = (step.value_iterated_to() as f64 / NS_PER_MS, step.quantile_iterated_to());
        match share < 1.0 {
            true => line(format_args!("{value:12.3} {share:2.12} {total:10} {:14.2}", 1.0 / (1.0 - share))),
            false => line(format_args!("{value:12.3} {share:2.12} {total:10}")),
        }
    }
    let (mean, deviation) = (histogram.mean() / NS_PER_MS, histogram.stdev() / NS_PER_MS);
    line(format_args!("#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]"));
    let max = histogram.max() as f64 / NS_PER_MS;
    line(format_args!("#[Max     = {max:12.3}, Total count    = {:12}]", histogram.len()));
    let halves = sub_buckets(histogram.sigfig());
    line(format_args!("#[Buckets = {:12}, SubBuckets     = {halves:12}]", histogram.buckets()));
    text
}

/// Values that a bucket resolves: twice those that so many digits need, as a power of two.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10u64.pow(u32::from(digits))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn it_is_what_hdr_histogram_prints() {
        let mut result = fixture::empty();
        for value in 1..=1000u64 {
            result.total.response.record(value * 100_000);
        }
        crate::report::golden::holds("response.hgrm", &text(&result));
    }

    #[test]
    fn nothing_has_a_distribution_of_nothing() {
        let text = text(&fixture::empty());
        assert!(text.contains("#[Max     =        0.000, Total count    =            0]"), "{text}");
        assert!(!text.contains("NaN"), "{text}");
    }
}
