//! Whether a run's figures are valid: checks of the generator itself.

use std::time::Duration;

use crate::result::{Mode, RunResult, Validity};

/// Share of its time above which a core of an open loop is not trusted to have kept it.
const BUSY_MAX: f64 = 0.90;

/// The generator's own lateness at p99, as a share of the reported p99.
const LAG_SHARE_MAX: f64 = 0.10;

/// Share of a plan that must have been sent, unless the target held it up.
const SENT_SHARE_MIN: f64 = 0.99;

/// Lateness below which none of it matters: what the clock's reading and one turn of the ring take.
const LAG_HARMLESS: Duration = Duration::from_micros(20);

/// Judges what was found. `unsent`: arrivals that were overdue at the end although connections were free.
/// `lag_allowed`: lateness of the generator that is reported without making the run invalid.
pub(super) fn judge(result: &RunResult, unsent: u64, lag_allowed: Duration) -> Validity {
    let mut validity = Validity::default();
    let total = &result.total;
    let outcomes = total.done + total.errors + total.timeouts + total.dropped;
    if !total.is_accounted_for() {
        validity.reasons.push(format!(
            "{} arrivals were planned and {outcomes} outcomes counted: this is a mistake of loadgen's",
            total.planned
        ));
    }
    if total.planned == 0 {
        validity.reasons.push("nothing was planned within the measured phase; measure longer".to_owned());
    }
    if result.plan.mode == Mode::Closed {
        return validity;
    }
    let busy = result.cost.generator_busy_max;
    if busy > BUSY_MAX {
        validity.reasons.push(format!(
            "a core of the generator was busy {:.0} % of the time (at most {:.0} % is trusted); give it more \
             cores with -t or --cpus, or lower -R",
            busy * 100.0,
            BUSY_MAX * 100.0
        ));
    }
    judge_lag(result, lag_allowed, &mut validity);
    if unsent as f64 > (1.0 - SENT_SHARE_MIN) * total.planned as f64 {
        validity.reasons.push(format!(
            "{unsent} of {} arrivals were not sent although connections were free; lower -R or add cores",
            total.planned
        ));
    }
    if total.dropped > 0 {
        validity.warnings.push(format!(
            "{} arrivals were never sent: the target held every connection; it cannot serve this rate",
            total.dropped
        ));
    }
    validity
}

fn judge_lag(result: &RunResult, allowed: Duration, validity: &mut Validity) {
    let late = result.cost.generator_lag.as_ref().and_then(|lag| lag.quantile(0.99));
    let (Some(late), Some(response)) = (late, result.total.response.quantile(0.99)) else { return };
    if u128::from(late) <= LAG_HARMLESS.as_nanos() || late as f64 <= LAG_SHARE_MAX * response as f64 {
        return;
    }
    let what = format!(
        "the generator itself was {:.0} µs late at p99, more than a tenth of the reported {:.0} µs",
        late as f64 / 1e3,
        response as f64 / 1e3
    );
    if u128::from(late) > allowed.as_nanos() {
        validity.reasons.push(format!(
            "{what}; give it a core with --cpus, or say with --lag-allowed what this machine takes \
             anyway"
        ));
    } else {
        validity.warnings.push(format!(
            "{what}, which --lag-allowed lets pass; read p99 and beyond as that much too high"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::sample_result;

    #[test]
    fn a_sound_run_is_valid() {
        let validity = judge(&sample_result(), 0, Duration::ZERO);
        assert!(validity.is_valid() && validity.warnings.is_empty(), "{validity:?}");
    }

    #[test]
    fn each_doubt_is_named() {
        let broken = |change: &dyn Fn(&mut RunResult), unsent: u64| {
            let mut result = sample_result();
            change(&mut result);
            judge(&result, unsent, Duration::ZERO).reasons
        };
        let one = |reasons: Vec<String>, word: &str| {
            assert!(reasons.len() == 1 && reasons[0].contains(word), "{reasons:?}");
        };
        one(broken(&|result| result.total.done -= 1, 0), "outcomes");
        one(broken(&|result| result.cost.generator_busy_max = 0.91, 0), "busy");
        one(broken(&|_| (), 11), "free");
        let late = |result: &mut RunResult| {
            (0..100).for_each(|_| result.cost.generator_lag.as_mut().unwrap().record(150_000))
        };
        one(broken(&late, 0), "late");
        let mut ticked = sample_result();
        ticked.total.response = Default::default();
        (1..=1000).for_each(|n| ticked.total.response.record(n * 200));
        (0..100).for_each(|_| ticked.cost.generator_lag.as_mut().unwrap().record(50_000));
        one(judge(&ticked, 0, Duration::from_micros(49)).reasons, "50 µs late");
        let validity = judge(&ticked, 0, Duration::from_micros(60));
        assert!(validity.is_valid() && validity.warnings[0].contains("50 µs late"), "{validity:?}");
        let closed = |result: &mut RunResult| {
            result.plan.mode = Mode::Closed;
            result.cost.generator_busy_max = 1.0;
        };
        assert!(broken(&closed, 0).is_empty(), "a closed loop may use its cores up");
    }
}
