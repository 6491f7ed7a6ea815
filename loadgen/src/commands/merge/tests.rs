//! Merging: what adds up, what has a rule, what is refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::histogram::Durations;
use crate::report::fixture;
use crate::result::Outcomes;

/// A run of 10 s that began so many seconds after the first.
fn begun_at(second: u64, seed: u64) -> RunResult {
    let mut run = fixture::open_loop_of(seed, 2, 500);
    run.started_unix_ms = 1_795_000_000_000 + second * 1000;
    run
}

#[test]
fn runs_at_once_add_their_rates() {
    let (a, b) = (begun_at(0, 1), begun_at(0, 2));
    let sum = merge(&a, &b, How::AtOnce);
    assert_eq!((sum.measured_s, sum.plan.rate, sum.plan.connections), (2.0, Some(1000.0), 32));
    assert_eq!(sum.plan.cpus, [1, 1]);
    assert_eq!((sum.total.planned, sum.intervals.len(), sum.intervals[1].planned), (2000, 2, 1000));
    assert_eq!(sum.total.response.count(), a.total.response.count() + b.total.response.count());
    assert_eq!(sum.connections.done_each.len(), 32);
    assert!(sum.connections.done_each.is_sorted());
    assert_eq!(sum.cost.server, a.cost.server, "both saw one server");
    assert_eq!(sum.merged.len(), 2);
    assert!(sum.validity.warnings.is_empty(), "{:?}", sum.validity);
    assert!(merge(&a, &a, How::AtOnce).validity.warnings[0].contains("--seed"));
}

#[test]
fn runs_in_turn_add_their_times() {
    let (a, mut b) = (begun_at(0, 1), begun_at(60, 1));
    let sum = merge(&a, &b, How::InTurn);
    assert_eq!((sum.measured_s, sum.plan.rate, sum.plan.connections), (4.0, Some(500.0), 16));
    assert_eq!(sum.plan.cpus, [1]);
    let starts: Vec<f64> = sum.intervals.iter().map(|interval| interval.start_s).collect();
    assert_eq!(starts, [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(sum.cost.server.as_ref().unwrap().switches, 5000);
    assert!(sum.validity.warnings.is_empty(), "{:?}", sum.validity);
    (b.plan.rate, b.cost.server) = (Some(700.0), None);
    let sum = merge(&a, &b, How::InTurn);
    assert_eq!((sum.plan.rate, sum.cost.server), (Some(600.0), None));
    assert_eq!(sum.validity.warnings.len(), 2, "{:?}", sum.validity);
}

#[test]
fn runs_that_were_spoiled_alike_say_so_once() {
    let late = |second, us: u32| {
        let mut run = begun_at(second, second);
        run.validity.reasons = vec![format!("late by {us} µs at p99"), "a core was busy 9 %".to_string()];
        run
    };
    let (a, b, c) = (late(0, 23), late(60, 37), late(120, 5));
    let left = merge(&merge(&a, &b, How::InTurn), &c, How::InTurn).validity.reasons;
    assert_eq!(left, ["late by 23 µs at p99 (alike in 3 runs)", "a core was busy 9 % (alike in 3 runs)"]);
    let four = merge(&merge(&a, &b, How::InTurn), &merge(&b, &c, How::InTurn), How::InTurn);
    assert_eq!(four.validity.reasons[0], "late by 23 µs at p99 (alike in 4 runs)");
}

#[test]
fn one_invalid_run_spoils_the_whole() {
    let (a, mut b) = (begun_at(0, 1), begun_at(60, 2));
    b.validity.reasons.push("a core was busy".to_string());
    for sum in [merge(&a, &b, How::InTurn), merge(&b, &a, How::InTurn)] {
        assert!(!sum.validity.is_valid());
    }
    assert_eq!(merge(&b, &b, How::InTurn).validity.reasons, ["a core was busy (alike in 2 runs)"]);
    let valid: Vec<bool> = merge(&a, &b, How::InTurn).merged.iter().map(|run| run.valid).collect();
    assert_eq!(valid, [true, false]);
}

#[test]
fn demands_are_judged_anew() {
    let (mut a, mut b) = (begun_at(0, 1), begun_at(60, 2));
    for run in [&mut a, &mut b] {
        let demand =
            |demand: &str, met| SloVerdict { demand: demand.to_string(), found: None, met, needs: None };
        run.slo =
            vec![demand("rate>900", false), demand("p50<1ns", true), demand("what<1", run.plan.seed == 1)];
    }
    b.slo.push(SloVerdict { demand: "err<1%".to_string(), found: None, met: true, needs: None });
    let met = |how| merge(&a, &b, how).slo.iter().map(|verdict| verdict.met).collect::<Vec<_>>();
    assert_eq!(met(How::AtOnce), [true, false, false]);
    assert_eq!(met(How::InTurn), [false, false, false]);
    assert!(merge(&a, &b, How::InTurn).validity.warnings[0].contains("left out"));
}

#[test]
fn clocks_tell_how_runs_lay_in_time() {
    let at = |seconds: &[u64]| how(&seconds.iter().map(|&s| begun_at(s, 1)).collect::<Vec<_>>());
    assert_eq!(at(&[0, 0]), Some(How::AtOnce));
    assert_eq!(at(&[0, 1, 0]), Some(How::AtOnce), "half is shared");
    assert_eq!(at(&[60, 0, 30]), Some(How::InTurn));
    assert_eq!(at(&[0, 2]), Some(How::InTurn));
    assert_eq!(at(&[0, 0, 60]), None);
    // What was merged before spans its parts and the gaps between them.
    let merged = merge(&begun_at(0, 1), &begun_at(60, 1), How::InTurn);
    assert_eq!(how(&[merged, begun_at(90, 1)]), Some(How::InTurn));
}

#[test]
fn a_run_counts_once() {
    let (a, b, c) = (begun_at(0, 1), begun_at(0, 2), begun_at(60, 1));
    assert_eq!(same(&[a.clone(), b.clone(), c.clone()]), None);
    assert_eq!(same(&[a.clone(), b.clone(), a.clone()]), Some((0, 2)));
    let both = merge(&a, &c, How::InTurn);
    assert_eq!(same(&[both.clone(), c]), Some((0, 1)));
    assert_eq!(same(&[both.clone(), begun_at(120, 1)]), None);
    assert_eq!(same(&[both.clone(), both]), Some((0, 1)));
}

#[test]
fn different_work_is_not_added() {
    let run = begun_at(0, 1);
    assert!(differences(&run, &begun_at(60, 2)).is_empty());
    let mut other = begun_at(0, 1);
    other.plan.urls.push("http://127.0.0.1/b".to_string());
    other.plan.pipeline = 4;
    other.endpoints.insert("GET /b".to_string(), Outcomes::default());
    let differences = differences(&run, &other);
    assert_eq!(differences.len(), 3, "{differences:?}");
    assert_eq!(differences[1], "requests in flight 1 and 4");
}

#[test]
fn many_connections_are_thinned_evenly() {
    let all =
        |from: u64| ConnectionFacts { done_each: (from..from + 10_000).collect(), ..Default::default() };
    let sum = connections(&all(0), &all(10_000));
    assert_eq!(sum.done_each.len(), DONE_EACH_MAX);
    assert_eq!((sum.done_each[0], sum.done_each[DONE_EACH_MAX - 1]), (0, 19_999));
    assert!(sum.done_each[DONE_EACH_MAX / 2].abs_diff(10_000) < 3);
}

/// A run of any counts and durations, in any number of steps.
fn any_run() -> impl Strategy<Value = RunResult> {
    let durations = prop::collection::vec(0u64..10_000_000_000, 0..20);
    let step = (any::<[u64; 4]>(), durations.clone());
    (any::<[u64; 6]>(), durations, prop::collection::vec(step, 0..4), 0u16..3).prop_map(
        |(counts, times, steps, s)| {
            let histogram = |times: &[u64]| {
                let mut durations = Durations::default();
                times.iter().for_each(|&time| durations.record(time));
                durations
            };
            let mut run = fixture::empty();
            let [planned, sent, done, errors, timeouts, dropped] = counts;
            run.total = Outcomes { planned, sent, done, errors, timeouts, dropped, ..Outcomes::default() };
            run.total.statuses.insert(200 + s, done);
            run.total.errors_by_kind.insert(format!("kind {s}"), errors);
            run.total.response = histogram(&times);
            run.total.service = run.total.response.clone();
            run.connections.connect = histogram(&times);
            run.connections.done_each = times.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            run.endpoints.insert(format!("GET /{s}"), run.total.clone());
            run.intervals = (0..)
                .zip(steps)
                .map(|(second, (counts, times))| Interval {
                    start_s: f64::from(second),
                    length_s: 1.0,
                    planned: counts[0],
                    sent: counts[1],
                    done: counts[2],
                    failed: counts[3],
                    response: histogram(&times),
                    ..Interval::default()
                })
                .collect();
            run.measured_s = run.intervals.len() as f64;
            run
        },
    )
}

/// What must not depend on the order in which runs were merged.
fn figures(run: &RunResult) -> Value {
    json!([run.total, run.endpoints, run.intervals, run.connections, run.measured_s])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn merging_is_associative(a in any_run(), b in any_run(), c in any_run()) {
        for how in [How::AtOnce, How::InTurn] {
            let left = merge(&merge(&a, &b, how), &c, how);
            let right = merge(&a, &merge(&b, &c, how), how);
            prop_assert_eq!(figures(&left), figures(&right));
            prop_assert_eq!(left.merged.len(), right.merged.len());
        }
    }

    #[test]
    fn merging_at_once_is_commutative(a in any_run(), b in any_run()) {
        prop_assert_eq!(figures(&merge(&a, &b, How::AtOnce)), figures(&merge(&b, &a, How::AtOnce)));
    }
}
