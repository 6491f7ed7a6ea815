//! `loadgen selftest`: the ruler measured against arithmetic. Servers with known delays are loaded at fixed
//! rates; what is found must be what the delays make inevitable.

mod processes;
mod server;

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use self::server::Manner;
use super::bench_args::BenchArgs;
use crate::engine;
use crate::exit::{Exit, Failure};
use crate::report::outputs;
use crate::result::{Outcomes, RunResult};
use crate::stats::slo::Slo;

/// How far a time may be off, in milliseconds: servers and generator share the machine with others, and a
/// thread that sleeps may wake up late. Far below what a mistake in the method makes of a second's freeze.
const TOLERANCE_MS: f64 = 40.0;

/// As a share of longer ones, where it is more: the server's own pace decides how long its queue is, and a
/// busy machine slows it down. A mistake of the method is off by half and more.
const TOLERANCE_SHARE: f64 = 0.1;

/// Checks the generator against servers with known delays
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Cores that make the load, such as 1 [default: as bench]
    #[arg(long, value_name = "LIST")]
    cpus: Option<String>,
}

/// A server, the load, and what must come of it.
struct Trial {
    name: &'static str,
    manner: Manner,
    flags: &'static str,
    expected: &'static [Expected],
}

/// A figure and its value.
enum Expected {
    /// Exactly so many.
    Count(&'static str, fn(&Outcomes) -> u64, u64),
    /// A quantile of response times in milliseconds; 1 is the longest.
    Response(f64, f64),
    /// The same of those that were answered as expected.
    Answer(f64, f64),
    /// The same of service times.
    Service(f64, f64),
    /// No more than so many requests achieved per second.
    RateAtMost(f64),
    /// A demand that is not met.
    Missed(&'static str),
}

use Expected::{Answer, Count, Missed, RateAtMost, Response, Service};

/// Fixed arrivals make all of this arithmetic. Of 2500 arrivals in 5 s, the 500 within the freeze wait for
/// what is left of it: from a second down to nothing, evenly. So p80 is where the waiting begins, and p90
/// half a second. Each of them, once sent, is served within the rest of the freeze at most.
const TRIALS: [Trial; 7] = [
    Trial {
        name: "a 1 s freeze in a steady 1 ms service",
        manner: Manner::Freezes,
        flags: "-R 500 -d 5s -c 64",
        expected: &[
            Count("planned", |total| total.planned, 2500),
            Count("done", |total| total.done, 2500),
            Response(0.5, 1.0),
            Response(0.75, 1.0),
            Response(0.9, 500.0),
            Response(0.95, 750.0),
            Response(0.99, 950.0),
            Response(1.0, 1001.0),
            // Connections were used up: what waited for one was sent after the freeze, and served at once.
            Service(0.95, 1.0),
            Service(1.0, 1001.0),
        ],
    },
    Trial {
        name: "the same freeze seen by a closed loop",
        manner: Manner::Freezes,
        flags: "-d 5s -c 1",
        // One request of thousands: why a closed loop is labelled.
        expected: &[Service(0.5, 1.0), Service(0.99, 1.0), Service(1.0, 1001.0)],
    },
    Trial {
        name: "a slow tenth",
        manner: Manner::SlowEvery(10),
        flags: "-R 200 -d 2s -c 32",
        expected: &[
            Count("done", |total| total.done, 400),
            Response(0.5, 1.0),
            Response(0.85, 1.0),
            Response(0.95, 50.0),
            Response(1.0, 50.0),
        ],
    },
    Trial {
        name: "a connection closed at every 50th request",
        manner: Manner::ClosesEvery(50),
        flags: "-R 200 -d 2s -c 8",
        expected: &[
            Count("planned", |total| total.planned, 400),
            Count("done", |total| total.done, 392),
            Count("read errors", |total| kind(total, "read") + kind(total, "reset"), 8),
        ],
    },
    Trial {
        name: "garbage for every 40th answer",
        manner: Manner::GarbageEvery(40),
        flags: "-R 200 -d 2s -c 8",
        expected: &[
            Count("planned", |total| total.planned, 400),
            Count("done", |total| total.done, 390),
            Count("protocol errors", |total| kind(total, "protocol"), 10),
        ],
    },
    Trial {
        name: "twice what a server of 1,000/s can do",
        manner: Manner::OneByOne,
        flags: "-R 2000 -d 2s -c 32 --timeout 5s --grace 5s",
        // All is answered in the end, and half of it within the measured phase. A request that is due at its
        // end waits for the 2,000 before it.
        expected: &[
            Count("done", |total| total.done, 4000),
            RateAtMost(1_010.0),
            Missed("rate>1050"),
            Response(0.5, 1001.0),
            Response(0.99, 1981.0),
        ],
    },
    Trial {
        name: "an error after 1.5 s for every 10th request",
        manner: Manner::ErrorEvery(10),
        flags: "-R 100 -d 4s -c 32 --grace 2s",
        expected: &[
            Count("done", |total| total.done, 360),
            Count("validation errors", |total| kind(total, "validation"), 40),
            Response(0.85, 1.0),
            Response(0.95, 1500.0),
            Answer(0.95, 1.0),
            Missed("p95<50ms"),
        ],
    },
];

fn kind(total: &Outcomes, name: &str) -> u64 {
    total.errors_by_kind.get(name).copied().unwrap_or(0)
}

/// Runs the trials; [`Exit::Invalid`] when one fails.
///
/// # Errors
/// When a trial cannot be made.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut failed = 0;
    for trial in &TRIALS {
        let result = measure(trial, args.cpus.as_deref())?;
        let (text, misses) = compare(trial, &result);
        failed += misses;
        outputs::write_stdout(&text).map_err(Failure::Usage)?;
    }
    for trial in [processes::stopped, processes::capacity] {
        let (text, misses) = trial(args.cpus.as_deref())?;
        failed += misses;
        outputs::write_stdout(&text).map_err(Failure::Usage)?;
    }
    let told = match failed {
        0 => format!("selftest: passed (times within {TOLERANCE_MS} ms or a tenth, counts exact)\n"),
        _ => {
            format!("selftest: FAILED: {failed} figures are not what they must be; do not trust this build\n")
        }
    };
    outputs::write_stdout(&told).map_err(Failure::Usage)?;
    Ok(if failed == 0 { Exit::Pass } else { Exit::Invalid })
}

fn measure(trial: &Trial, cpus: Option<&str>) -> Result<RunResult, Failure> {
    let cannot = |error| Failure::Usage(format!("the server of the selftest does not start: {error}"));
    let url = format!("http://{}/", server::start(trial.manner).map_err(cannot)?);
    let mut words = vec![url.as_str()];
    words.extend(trial.flags.split_whitespace());
    words.extend(cpus.into_iter().flat_map(|cpus| ["--cpus", cpus]));
    let mut plan = BenchArgs::of(&words)?.plan()?;
    plan.progress = false;
    engine::run(&plan, &AtomicBool::new(false))
}

/// What was found beside what was expected, and how many figures are wrong.
fn compare(trial: &Trial, result: &RunResult) -> (String, usize) {
    let total = &result.total;
    let (mut text, mut misses) = (format!("{} ({})\n", trial.name, trial.flags), 0);
    let mut line = |is_met: bool, what: String| {
        misses += usize::from(!is_met);
        let mark = if is_met { "ok  " } else { "MISS" };
        writeln!(text, "  {mark} {what}").expect("writing to memory does not fail");
    };
    line(total.is_accounted_for(), "every planned request has one outcome".to_owned());
    for expected in trial.expected {
        let (name, durations, share, wanted) = match *expected {
            Count(name, count, wanted) => {
                let found = count(total);
                line(found == wanted, format!("{name}: {found}, expected {wanted}"));
                continue;
            }
            RateAtMost(most) => {
                let found = result.rate().unwrap_or(f64::INFINITY);
                line(found <= most, format!("achieved: {found:.0}/s, at most {most:.0}/s"));
                continue;
            }
            Missed(demand) => {
                let slo: Slo = demand.parse().expect("it is written above");
                let is_missed =
                    slo.judge_run(result).iter().all(|verdict| !verdict.met && !verdict.is_open());
                line(is_missed, format!("{demand} is not met"));
                continue;
            }
            Response(share, wanted) => ("response", &total.response, share, wanted),
            Answer(share, wanted) => ("response of answers", &total.response_ok, share, wanted),
            Service(share, wanted) => ("service", &total.service, share, wanted),
        };
        let quantile = if share >= 1.0 { durations.max() } else { durations.quantile(share) };
        let name = if share >= 1.0 { format!("{name} max") } else { format!("{name} p{:.0}", share * 100.0) };
        let found = quantile.map_or(f64::NAN, |ns| ns as f64 / 1e6);
        // NaN is within nothing.
        let is_met = (found - wanted).abs() <= TOLERANCE_MS.max(wanted * TOLERANCE_SHARE);
        line(is_met, format!("{name}: {found:.1} ms, expected {wanted:.0} ms"));
    }
    (text, misses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::sample_result;

    #[test]
    fn what_is_wrong_is_a_miss() {
        let expected: &'static [Expected] = &[
            Count("done", |total| total.done, 1000),
            Response(0.5, 0.5),
            Response(0.5, 100.0),
            Service(0.9999, 1.0),
            RateAtMost(99.0),
            RateAtMost(100.0),
            Missed("rate>99"),
            Missed("rate>100"),
        ];
        let trial = Trial { name: "x", manner: Manner::Freezes, flags: "", expected };
        let (text, misses) = compare(&trial, &sample_result());
        assert_eq!(
            misses, 4,
            "a time off, too few samples behind one, a rate too high, a demand met: {text}"
        );
        let mut lost = sample_result();
        lost.total.done -= 1;
        assert_eq!(compare(&trial, &lost).1, 6, "a request is missing, and so is its outcome");
    }
}
