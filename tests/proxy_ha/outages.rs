//! One endpoint fails in each way; the clients notice nothing, and the others do not get much more.

use rustix::process::Signal;

use super::common::{eventually, time_passes};
use super::lab::{Lab, Load, Seen};
use std::time::Duration;

/// Short times, so that everything that is waited for comes within seconds.
const QUICK: &str = "timeouts = { connect = \"500ms\", first_byte = \"500ms\" }\n\
                     ejection = { failures = [500, 502, 503, 504], time = \"1s\" }\n\
                     retries = { statuses = [500] }\n";

const CHECKS: &str = "checks = { path = \"/health\", interval = \"200ms\", timeout = \"300ms\" }\n";

fn checked() -> Lab {
    Lab::new(&format!("{QUICK}{CHECKS}"))
}

fn while_it_lasts() {
    time_passes(Duration::from_millis(1500), "the load goes on while an endpoint is out");
}

/// No request has failed, and the endpoints got at most a fifth more than the clients sent.
#[track_caller]
fn none_failed(lab: &mut Lab, load: Load) -> Seen {
    let seen = load.end();
    assert!(seen.requests > 300, "the load was low: {seen:?}");
    assert_eq!(seen.failures, Vec::<String>::new(), "of {}", seen.requests);
    let got = lab.counts();
    assert!(got as f64 <= seen.requests as f64 * 1.2, "{got} requests for {}", seen.requests);
    seen
}

/// Waits until this endpoint gets requests again.
#[track_caller]
fn returns(lab: &mut Lab, index: usize) {
    let before = lab.endpoints[index].count();
    eventually("the endpoint gets requests again", || lab.endpoints[index].count() > before + 10);
}

#[test]
fn one_is_killed_and_comes_back() {
    for checks in ["", CHECKS] {
        let mut lab = Lab::new(&format!("{QUICK}{checks}"));
        let load = lab.load();
        returns(&mut lab, 0);
        lab.endpoints[0].kill();
        while_it_lasts();
        lab.endpoints[0].restart();
        returns(&mut lab, 0);
        none_failed(&mut lab, load);
    }
}

#[test]
fn all_are_restarted_in_turn() {
    let mut lab = checked();
    let load = lab.load();
    for index in 0..3 {
        returns(&mut lab, index);
        lab.endpoints[index].kill();
        lab.endpoints[index].restart();
        returns(&mut lab, index);
    }
    none_failed(&mut lab, load);
}

#[test]
fn two_of_three_are_killed() {
    let mut lab = checked();
    let load = lab.load();
    returns(&mut lab, 0);
    lab.endpoints[0].kill();
    while_it_lasts();
    lab.endpoints[1].kill();
    while_it_lasts();
    lab.endpoints[0].restart();
    lab.endpoints[1].restart();
    returns(&mut lab, 0);
    returns(&mut lab, 1);
    none_failed(&mut lab, load);
}

#[test]
fn one_freezes_and_goes_on() {
    let mut lab = checked();
    let load = lab.load();
    returns(&mut lab, 1);
    lab.endpoints[1].signal(Signal::STOP);
    lab.says(0, &["is unhealthy", "no answer in time"]);
    while_it_lasts();
    lab.endpoints[1].signal(Signal::CONT);
    returns(&mut lab, 1);
    none_failed(&mut lab, load);
}

#[test]
fn what_waits_for_a_frozen_one_goes_elsewhere_when_checks_find_it() {
    // The response may take a minute.
    let mut lab = Lab::new(CHECKS);
    let load = lab.load();
    returns(&mut lab, 1);
    lab.endpoints[1].signal(Signal::STOP);
    lab.says(0, &["is unhealthy", "no answer in time"]);
    while_it_lasts();
    lab.endpoints[1].signal(Signal::CONT);
    returns(&mut lab, 1);
    let seen = none_failed(&mut lab, load);
    assert!(seen.slowest < Duration::from_secs(10), "{seen:?}");
}

#[test]
fn one_accepts_and_never_answers() {
    // Without checks: its answers alone show it.
    let mut lab = Lab::new(QUICK);
    let load = lab.load();
    returns(&mut lab, 2);
    lab.endpoints[2].tell("mode silent");
    while_it_lasts();
    lab.endpoints[2].tell("mode ok");
    returns(&mut lab, 2);
    none_failed(&mut lab, load);
}

#[test]
fn one_refuses_connections_and_resets_those_it_has() {
    let mut lab = Lab::new(QUICK);
    let load = lab.load();
    returns(&mut lab, 0);
    lab.endpoints[0].tell("refuse");
    while_it_lasts();
    lab.endpoints[0].tell("listen");
    returns(&mut lab, 0);
    none_failed(&mut lab, load);
}

#[test]
fn one_answers_errors() {
    let mut lab = Lab::new(QUICK);
    let load = lab.load();
    returns(&mut lab, 0);
    lab.endpoints[0].tell("mode error 500");
    while_it_lasts();
    lab.endpoints[0].tell("mode ok");
    returns(&mut lab, 0);
    none_failed(&mut lab, load);
}

#[test]
fn one_is_slow_and_gets_less() {
    let mut lab = checked();
    let load = lab.load();
    returns(&mut lab, 0);
    lab.endpoints[0].tell("mode slow 0.25");
    time_passes(Duration::from_millis(500), "the first slow responses arrive");
    let before: Vec<_> = lab.endpoints.iter_mut().map(|at| at.count()).collect();
    while_it_lasts();
    let after: Vec<_> = lab.endpoints.iter_mut().map(|at| at.count()).collect();
    let got: Vec<_> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(got[0] * 10 < got.iter().sum(), "{got:?}");
    lab.endpoints[0].tell("mode ok");
    none_failed(&mut lab, load);
}

#[test]
fn one_breaks_off_its_responses_and_is_left_out() {
    // What has begun cannot be sent again: the clients see some, and then none.
    let mut lab = Lab::new(&format!("{QUICK}balance = \"round_robin\"\n"));
    let load = lab.load();
    returns(&mut lab, 0);
    lab.endpoints[0].tell("mode cut");
    lab.says(0, &["is left out", "failures in a row"]);
    lab.endpoints[0].tell("mode ok");
    returns(&mut lab, 0);
    let seen = load.end();
    // Five in a row, and those that were under way.
    assert!(seen.failures.len() <= 5 + 8, "{:?}", seen.failures);
}
