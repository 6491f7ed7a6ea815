//! Whether a run can be valid at all: that its outcomes add up, and that the generator was able to make the
//! load. Whether its lateness is in the figures is decided where it is known which of them are asked for
//! (`stats::own`).

use crate::result::{Mode, RunResult, Validity};

/// Share of its time above which a core of an open loop is not trusted to have kept it.
const BUSY_MAX: f64 = 0.90;

/// Share of a plan that must have been sent, unless the target held it up.
const SENT_SHARE_MIN: f64 = 0.99;

/// Judges what was found. `unsent`: arrivals that were overdue at the end although connections were free.
pub(super) fn judge(result: &RunResult, unsent: u64) -> Validity {
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
    if let Some(&lacking) = total.errors_by_kind.get("generator") {
        validity.reasons.push(format!(
            "this machine had no port, descriptor or memory left for a connection, {lacking} times: \
             lower -c, close fewer connections, or widen net.ipv4.ip_local_port_range or `ulimit -n`"
        ));
    }
    if result.connections.unasked > 0 {
        validity.warnings.push(format!(
            "on {} connections something came that no request had asked for; they were closed",
            result.connections.unasked
        ));
    }
    if total.unfinished > 0 {
        validity.warnings.push(format!(
            "{} requests were in flight when the run ended, and count among the timeouts with the time that \
             had passed; raise --grace, up to --timeout, to wait for them",
            total.unfinished
        ));
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
    if let Some(grown) = result.backlog_growth() {
        validity.warnings.push(format!(
            "the backlog grew by {grown} requests after the first quarter of the run: the target does not \
             hold this rate, and the response times depend on the length of the run"
        ));
    }
    validity
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::sample_result;
    use crate::result::Interval;

    #[test]
    fn a_sound_run_is_valid() {
        let validity = judge(&sample_result(), 0);
        assert!(validity.is_valid() && validity.warnings.is_empty(), "{validity:?}");
    }

    #[test]
    fn each_doubt_is_named() {
        let broken = |change: &dyn Fn(&mut RunResult), unsent: u64| {
            let mut result = sample_result();
            change(&mut result);
            judge(&result, unsent).reasons
        };
        let one = |reasons: Vec<String>, word: &str| {
            assert!(reasons.len() == 1 && reasons[0].contains(word), "{reasons:?}");
        };
        one(broken(&|result| result.total.done -= 1, 0), "outcomes");
        one(broken(&|result| result.cost.generator_busy_max = 0.91, 0), "busy");
        one(broken(&|_| (), 11), "free");
        let lacking = |result: &mut RunResult| {
            (result.total.done, result.total.errors) = (999, 1);
            result.total.errors_by_kind.insert("generator".to_owned(), 1);
        };
        one(broken(&lacking, 0), "no port");
        let closed = |result: &mut RunResult| {
            result.plan.mode = Mode::Closed;
            result.cost.generator_busy_max = 1.0;
        };
        assert!(broken(&closed, 0).is_empty(), "a closed loop may use its cores up");
    }

    #[test]
    fn a_backlog_that_grows_is_told() {
        let warnings = |done: [u64; 4]| {
            let mut result = sample_result();
            result.intervals =
                done.map(|done| Interval { planned: 500, done, ..Interval::default() }).to_vec();
            judge(&result, 0).warnings
        };
        assert!(warnings([400, 500, 490, 505]).is_empty(), "what is in flight varies");
        // A server of 480/s.
        let told = warnings([480; 4]);
        assert!(told.len() == 1 && told[0].contains("grew by 60 requests"), "{told:?}");
        // 0.4 s of responses are in flight once the run has begun, and are no more later.
        assert!(warnings([300, 500, 500, 500]).is_empty() && warnings([250, 400, 500, 500]).is_empty());
        // Answers of the first half that were seen in the second.
        assert_eq!(warnings([480, 430, 520, 460]).len(), 1);
    }
}
