//! The response times of every interval as an HdrHistogram interval log, version 1.3: what HdrHistogram's own
//! log processors, plotters and readers take. In a closed loop these are service times.

use std::fmt::Write;

use crate::result::RunResult;

/// Nanoseconds in the unit of the column `Interval_Max`: milliseconds, as HdrHistogram's own writer has it.
const NS_PER_MS: f64 = 1e6;

/// The log.
pub(crate) fn text(result: &RunResult) -> String {
    let started_s = result.started_unix_ms as f64 / 1e3;
    let mut text = format!(
        "#[Histograms of nanoseconds, logged by loadgen]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {started_s:.3} (seconds since epoch)]\n\
         #[BaseTime: {started_s:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
    );
    for interval in &result.intervals {
        let max_ms = interval.response.max().unwrap_or(0) as f64 / NS_PER_MS;
        let histogram = interval.response.encode();
        writeln!(text, "{:.3},{:.3},{max_ms:.3},{histogram}", interval.start_s, interval.length_s)
            .expect("writing to memory does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::fixture;
    use super::*;
    use crate::histogram::Durations;

    /// Python's and Java's readers were tried by hand; tests/clients/hdr.py tries Python's.
    #[test]
    fn an_hdr_histogram_reader_finds_every_interval() {
        let result = fixture::open_loop();
        let text = text(&result);
        let entries: Result<Vec<_>, _> = IntervalLogIterator::new(text.as_bytes()).collect();
        let entries = entries.expect("it reads as a log");
        let intervals = entries.iter().filter_map(|entry| match entry {
            LogEntry::Interval(interval) => Some(interval),
            _ => None,
        });
        let mut sum = Durations::default();
        for (read, interval) in intervals.zip(&result.intervals) {
            assert_eq!(read.start_timestamp().as_secs_f64(), interval.start_s);
            assert_eq!(read.duration().as_secs_f64(), interval.length_s);
            let whole = format!(r#"{{"histogram":"{}"}}"#, read.encoded_histogram());
            let histogram: Durations = serde_json::from_str(&whole).unwrap();
            assert_eq!(histogram, interval.response);
            sum.add(&histogram);
        }
        assert_eq!(sum, result.total.response);
        assert!(
            entries.iter().any(|e| matches!(e, LogEntry::StartTime(t) if t.as_millis() == 1_795_000_000_007))
        );
    }
}
