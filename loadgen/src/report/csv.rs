//! One row per interval, for spreadsheets: counts, rates per second, response times in microseconds (service
//! times in a closed loop). What is not known stays empty.

use std::fmt::Write;

use super::summary::QUANTILES;
use crate::result::{Interval, RunResult};

/// The table, with a line of names.
pub(crate) fn text(result: &RunResult) -> String {
    let mut text = String::from(
        "start_s,length_s,planned,sent,done,failed,done_per_s,mean_us,p50_us,p90_us,p99_us,p999_us,max_us,\
         generator_busy,server_cpu_s\n",
    );
    for interval in &result.intervals {
        row(interval, &mut text);
        text.push('\n');
    }
    text
}

fn row(interval: &Interval, text: &mut String) {
    let Interval { start_s, length_s, planned, sent, done, failed, busy, server_cpu_s, .. } = interval;
    let rate = (*length_s > 0.0).then(|| *done as f64 / length_s);
    let microseconds = |nanoseconds: Option<u64>| nanoseconds.map(|ns| ns as f64 / 1e3);
    let mut cells = vec![(rate, 1), (interval.response.mean().map(|ns| ns / 1e3), 3)];
    for (_, share) in QUANTILES {
        cells.push((microseconds(interval.response.quantile(share)), 3));
    }
    cells.push((microseconds(interval.response.max()), 3));
    cells.push((Some(*busy), 4));
    cells.push((*server_cpu_s, 4));
    write!(text, "{start_s:.3},{length_s:.3},{planned},{sent},{done},{failed}")
        .expect("writing to memory does not fail");
    for (cell, places) in cells {
        let cell = cell.map_or_else(String::new, |value| format!("{value:.places$}"));
        text.push(',');
        text.push_str(&cell);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn every_interval_is_a_row_under_its_names() {
        let mut result = fixture::open_loop();
        result.intervals.truncate(2);
        result.intervals[1] = Interval { start_s: 1.0, ..Interval::default() };
        crate::report::golden::holds("intervals.csv", &text(&result));
        let columns: Vec<usize> = text(&result).lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [15; 3]);
    }
}
