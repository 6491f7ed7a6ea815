//! `loadgen bench`: makes the load, reports the results, and checks the demands.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

pub(crate) use super::bench_args::BenchArgs;
use crate::engine;
use crate::exit::{Exit, Failure};
use crate::report::outputs::Outputs;
use crate::report::terminal;
use crate::result::RunResult;
use crate::stats::own;

/// The exit status of a process ended by SIGINT, as in shells.
const ENDED_BY_INTERRUPT: i32 = 130;

/// Runs the command.
///
/// # Errors
/// When nothing was measured.
pub(crate) fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    let plan = args.plan()?;
    let slo = args.slo(&plan)?;
    let stop = stop_on_signal()?;
    let mut result = engine::run(&plan, &stop)?;
    own::judge(&mut result, slo.as_ref(), plan.lag_allowed);
    if let Some(slo) = &slo {
        result.slo = slo.judge_run(&result);
        result.validity.warnings.extend(longer(&result));
    }
    if let Some(outputs) = &args.output {
        outputs.write(&result).map_err(Failure::Usage)?;
    }
    if !args.output.as_ref().is_some_and(Outputs::take_stdout) {
        let mut out = io::stdout().lock();
        // A reader that has seen enough is no error.
        let _ = terminal::write(&result, &mut out).and_then(|()| out.flush());
    }
    Ok(verdict(&result))
}

/// The exit code of a result: what cannot be believed first.
fn verdict(result: &RunResult) -> Exit {
    if !result.validity.is_valid() {
        Exit::Invalid
    } else if result.total.done == 0 {
        Exit::Target
    } else if result.slo.iter().any(|demand| !demand.met && !demand.is_open()) {
        Exit::Regressed
    } else if result.slo.iter().any(|demand| demand.is_open()) {
        // Too few samples are neither met nor missed.
        Exit::Invalid
    } else {
        Exit::Pass
    }
}

/// The length of a run that would tell what this one could not.
fn longer(result: &RunResult) -> Option<String> {
    let needs =
        result.slo.iter().filter(|demand| demand.is_open()).filter_map(|demand| demand.needs).max()?;
    let ended = result.total.planned.saturating_sub(result.total.dropped).max(1);
    let length_s = (result.measured_s * needs as f64 / ended as f64 * 1.05).ceil();
    Some(format!(
        "what was demanded takes {needs} samples, and there were too few: measure for at least -d {length_s}s"
    ))
}

/// A flag that the first signal sets, so that the run ends early with a report; the second ends the process.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: only a second signal finds the flag set.
        signal_hook::flag::register_conditional_shutdown(signal, ENDED_BY_INTERRUPT, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| Failure::Usage(format!("signals cannot be handled: {error}")))?;
    }
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use quoit::net::Address;

    use super::*;

    /// The first address of a name may be one without a listener, or a family that goes nowhere.
    #[test]
    fn the_next_address_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {
                        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
                    }
                });
            }
        });
        let run = |addresses: &[std::net::SocketAddr]| {
            let mut plan =
                BenchArgs::of(&["http://h.invalid/", "-n", "6", "-c", "3", "--connect-to", "127.0.0.1:1"])
                    .and_then(|args| args.plan())
                    .unwrap();
            plan.addresses = addresses.iter().copied().map(Address::Inet).collect();
            plan.progress = false;
            engine::run(&plan, &AtomicBool::new(false))
        };
        for addresses in [[refused, addr], [addr, refused]] {
            let total = run(&addresses).unwrap().total;
            assert_eq!((total.done, total.errors), (6, 0));
        }
        let Err(Failure::Target(line)) = run(&[refused, refused]) else { panic!("nobody listens") };
        assert!(line.contains(&format!("{refused} or {refused}")) && line.contains("refused"), "{line}");
    }
}
