//! Scenarios on invented servers: what they cost is known, what the noise is too.

use std::collections::BTreeMap;

use super::*;
use crate::commands::samples;
use crate::result::ServerCost;
use crate::stats::change::Verdict;

const LOOKS: Looks = Looks { first: 10, last: 20 };

fn scenario(measure: &[Figure]) -> Scenario {
    Scenario {
        lag_allowed: std::time::Duration::ZERO,
        name: "s".to_string(),
        server: Vec::new(),
        bench: vec!["http://h/".to_string()],
        thresholds: measure.iter().map(|&figure| (figure, figure.default_delta())).collect(),
        rate: Rate::Share(0.5),
        slo: None,
        ready: None,
        warmup: None,
    }
}

/// A server that takes some CPU per request, on a machine that varies by some share from run to run.
struct Machine {
    coin: Coin,
    noise: f64,
    /// CPU µs per request of base and head.
    cpu: [f64; 2],
    arms: Vec<Arm>,
}

impl Machine {
    fn new(seed: u64, noise: f64, cpu: [f64; 2]) -> Self {
        Self { coin: Coin(seed), noise, cpu, arms: Vec::new() }
    }

    fn measure(&mut self, arm: Arm) -> Result<Measured, Failure> {
        self.arms.push(arm);
        let uniform = (0..12).map(|_| (self.coin.next() >> 11) as f64 / (1u64 << 53) as f64);
        let noise = ((uniform.sum::<f64>() - 6.0) * self.noise).exp();
        let micros = self.cpu[usize::from(arm.side == Side::Head)] * noise;
        let closed = arm.closed.then(|| run_of((1e6 / micros) as u64, micros, 0));
        let open = arm.rate.map(|rate| run_of(rate as u64, micros, 1200));
        Ok(Measured { closed, open })
    }
}

/// A second in which `done` requests were answered, each at the cost of `micros`; some response times
/// between twice and four times that are kept.
fn run_of(done: u64, micros: f64, times: u32) -> RunResult {
    let mut run = samples::run();
    run.measured_s = 1.0;
    run.total = Outcomes { planned: done, sent: done, done, ..Outcomes::default() };
    for n in 0..times {
        let share = f64::from(n) / f64::from(times);
        run.total.response.record((micros * 1000.0 * (2.0 + 2.0 * share)) as u64);
    }
    run.cost.server = Some(ServerCost { user_s: done as f64 * micros / 1e6, ..ServerCost::default() });
    run
}

fn compare_once(machine: &mut Machine, measure: &[Figure], seed: u64) -> (Found, Result<(), Failure>) {
    let mut found = Found::default();
    let ended = run(&scenario(measure), LOOKS, seed, &mut found, |arm| machine.measure(arm));
    (found, ended)
}

#[test]
fn arms_take_turns_and_share_arrivals() {
    let mut machine = Machine::new(1, 0.001, [10.0, 10.0]);
    let (found, ended) = compare_once(&mut machine, &Figure::ALL, 7);
    assert_eq!((ended, found.blocks.len()), (Ok(()), 10), "quiet: the first look decides");
    let [calibration, arms @ ..] = machine.arms.as_slice() else { panic!("something ran") };
    assert_eq!((calibration.side, calibration.closed, calibration.rate), (Side::Base, true, None));
    assert!(found.rate.is_some_and(|rate| (rate - 50_000.0).abs() < 500.0), "{:?}", found.rate);
    let mut orders = BTreeMap::new();
    for (block, arms) in found.blocks.iter().zip(arms.chunks(4)) {
        let letters: String = arms.iter().map(|arm| if arm.side == Side::Base { 'A' } else { 'B' }).collect();
        assert_eq!(letters, block.order);
        assert!(arms.iter().all(|arm| arm.seed == block.seed && arm.rate == found.rate && arm.closed));
        *orders.entry(block.order.clone()).or_insert(0) += 1;
    }
    assert!(orders["ABBA"] > 0 && orders["BAAB"] > 0, "{orders:?}");
    assert!(found.blocks.windows(2).all(|pair| pair[0].seed != pair[1].seed));
    let (again, _) = compare_once(&mut Machine::new(1, 0.001, [10.0, 10.0]), &Figure::ALL, 7);
    assert_eq!(found, again, "all of it follows from the seed");
}

#[test]
fn a_tenth_more_cpu_shows_in_every_figure() {
    let (found, _) = compare_once(&mut Machine::new(5, 0.01, [10.0, 11.5]), &Figure::ALL, 1);
    for compared in &found.compared {
        assert_eq!(compared.change.verdict, Verdict::Regressed, "{compared:?}");
    }
    let by_figure = |figure| found.compared.iter().find(|c| c.figure == figure).unwrap();
    let (cpu, throughput) = (by_figure(Figure::Cpu), by_figure(Figure::Throughput));
    assert!((cpu.change.estimate - 0.15).abs() < 0.02, "{cpu:?}");
    assert!((throughput.change.estimate - (1.0 / 1.15 - 1.0)).abs() < 0.02, "{throughput:?}");
    assert!((cpu.spread - 0.01).abs() < 0.006, "two runs a side: the noise of one, {cpu:?}");
    assert!((cpu.base - 10.0).abs() < 0.2 && (cpu.head - 11.5).abs() < 0.2, "{cpu:?}");
}

#[test]
fn alarms_are_rare_and_a_tenth_is_seen() {
    let runs = 60;
    let count = |head: f64| {
        let regressed = |seed: &u64| {
            let mut machine = Machine::new(seed * 31 + 5, 0.03, [10.0, head]);
            let (found, _) = compare_once(&mut machine, &[Figure::Cpu], *seed);
            found.compared[0].change.verdict == Verdict::Regressed
        };
        (0..runs).filter(regressed).count()
    };
    assert!(count(10.0) <= runs as usize / 20, "false alarms");
    assert!(count(11.0) >= runs as usize * 9 / 10, "a tenth more CPU");
}

#[test]
fn doubt_extends_once_and_stays_doubt() {
    let (found, ended) = compare_once(&mut Machine::new(3, 0.4, [10.0, 10.0]), &[Figure::Cpu], 1);
    assert_eq!((ended, found.blocks.len()), (Ok(()), 20));
    assert_eq!(found.compared[0].change.verdict, Verdict::Undecided);
    assert_eq!(found.compared[0].change.blocks, 20);
}

#[test]
fn a_verdict_once_given_stays() {
    // CPU is quiet and decided at once; the tail is not and goes on.
    let mut machine = Machine::new(3, 0.002, [10.0, 10.0]);
    let mut count = 0u64;
    let mut found = Found::default();
    let measured = [Figure::Cpu, Figure::P99];
    let ended = run(&scenario(&measured), LOOKS, 1, &mut found, |arm| {
        let mut measured = machine.measure(arm)?;
        count = (count + 7919) * 7919 % 1_000_003;
        if let Some(open) = &mut measured.open {
            (0..40).for_each(|_| open.total.response.record(40_000 + count));
        }
        Ok(measured)
    });
    assert_eq!((ended, found.blocks.len()), (Ok(()), 20));
    let blocks: Vec<usize> = found.compared.iter().map(|compared| compared.change.blocks).collect();
    assert_eq!(blocks, [10, 20]);
}

#[test]
fn spoiled_blocks_are_measured_again_but_not_for_ever() {
    for (spoil_until, refused, ends) in [(7, 2, true), (1000, 3, false)] {
        let mut machine = Machine::new(1, 0.001, [10.0, 10.0]);
        let mut found = Found::default();
        let ended = run(&scenario(&Figure::ALL), LOOKS, 7, &mut found, |arm| {
            let mut measured = machine.measure(arm)?;
            // The arm of calibration is the first; after it every second spoils its block.
            let at = machine.arms.len();
            if (3..spoil_until).contains(&at) && at % 2 == 1 {
                let open = measured.open.as_mut().expect("a rate was given");
                open.validity.reasons.push("a worker was busy".to_string());
            }
            Ok(measured)
        });
        assert_eq!(found.refused.len(), refused, "{:?}", found.refused);
        assert_eq!(ended.is_ok(), ends, "{ended:?}");
        if let Err(failure) = ended {
            assert_eq!(failure.exit(), crate::exit::Exit::Invalid);
            assert!(failure.to_string().contains("a worker was busy"), "{failure}");
        } else {
            assert_eq!(found.blocks.len(), 10);
        }
    }
}

#[test]
fn failing_requests_end_everything() {
    let mut machine = Machine::new(1, 0.001, [10.0, 10.0]);
    let mut found = Found::default();
    let ended = run(&scenario(&Figure::ALL), LOOKS, 7, &mut found, |arm| {
        let mut measured = machine.measure(arm)?;
        if arm.side == Side::Head {
            let total = &mut measured.closed.as_mut().expect("it is measured").total;
            (total.done, total.errors) = (total.done - 1000, 1000);
            total.errors_by_kind.insert("reset".to_string(), 1000);
        }
        Ok(measured)
    });
    let Err(Failure::Target(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("head") && text.contains("reset 1000"), "{text}");
}

#[test]
fn what_has_no_figure_is_refused() {
    let mut machine = Machine::new(1, 0.001, [10.0, 10.0]);
    let mut found = Found::default();
    let ended = run(&scenario(&[Figure::Cpu]), LOOKS, 7, &mut found, |arm| {
        let mut measured = machine.measure(arm)?;
        measured.closed.as_mut().expect("it is measured").cost.server = None;
        Ok(measured)
    });
    let Err(Failure::Invalid(text)) = ended else { panic!("{ended:?}") };
    assert!(text.contains("no cpu"), "{text}");
}

#[test]
fn demands_are_held_against_all_of_heads_runs() {
    let mut demanding = scenario(&[Figure::P50]);
    demanding.slo = Some("p99<50us,p99<30us,rate>1".parse().unwrap());
    let mut machine = Machine::new(1, 0.001, [10.0, 10.0]);
    let mut found = Found::default();
    run(&demanding, LOOKS, 7, &mut found, |arm| machine.measure(arm)).unwrap();
    assert_eq!(found.slo.iter().map(|verdict| verdict.met).collect::<Vec<_>>(), [true, false, true]);
}
