//! Live progress on a terminal: one line, written over once a second.

use std::io::Write;

use crate::histogram::Durations;
use crate::result::Interval;

/// Adds up the cores' reports of an interval, and shows the sum when it is complete.
pub(super) struct Progress {
    cores: usize,
    told: usize,
    step_s: f64,
    passed_s: f64,
    length_s: Option<f64>,
    requests: Option<u64>,
    all_done: u64,
    done: u64,
    failed: u64,
    response: Durations,
}

impl Progress {
    pub(super) fn new(cores: usize, step_s: f64, length_s: Option<f64>, requests: Option<u64>) -> Self {
        Self {
            cores,
            told: 0,
            step_s,
            passed_s: 0.0,
            length_s,
            requests,
            all_done: 0,
            done: 0,
            failed: 0,
            response: Durations::default(),
        }
    }

    /// A core's interval is over.
    pub(super) fn handle_interval(&mut self, interval: &Interval, out: &mut impl Write) {
        self.done += interval.done;
        self.failed += interval.failed;
        self.response.add(&interval.response);
        self.told += 1;
        if self.told == self.cores {
            self.passed_s += self.step_s;
            self.all_done += self.done;
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(out, "\r\x1b[K{}", self.line()).and_then(|()| out.flush());
            (self.told, self.done, self.failed, self.response) = (0, 0, 0, Durations::default());
        }
    }

    fn line(&self) -> String {
        let quantile = |share| {
            let found = self.response.quantile(share);
            found.map_or("-".to_owned(), |ns| format!("{:.3} ms", ns as f64 / 1e6))
        };
        let left = match (self.length_s, self.requests) {
            (Some(length), _) => Some(length - self.passed_s),
            (None, Some(requests)) if self.all_done > 0 => {
                Some(requests.saturating_sub(self.all_done) as f64 * self.passed_s / self.all_done as f64)
            }
            _ => None,
        };
        let left = left.map_or(String::new(), |left| format!(", {:.0} s left", left.max(0.0)));
        let (rate, failed) = (self.done as f64 / self.step_s, self.failed);
        format!("{:.0}/s, p50 {}, p99 {}, {failed} failed{left}", rate, quantile(0.5), quantile(0.99))
    }

    /// Clears the line.
    pub(super) fn finish(out: &mut impl Write) {
        let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_when_all_cores_have_told() {
        let mut progress = Progress::new(2, 1.0, Some(10.0), None);
        let mut interval = Interval { done: 500, failed: 1, ..Interval::default() };
        (0..2000).for_each(|_| interval.response.record(2_000_000));
        let mut out = Vec::new();
        progress.handle_interval(&interval, &mut out);
        assert!(out.is_empty());
        progress.handle_interval(&interval, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1000/s") && text.contains("p99 2.0") && text.contains("2 failed"), "{text}");
        assert!(text.ends_with("9 s left"), "{text}");
    }
}
