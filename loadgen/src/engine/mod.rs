//! Makes a plan's load and finds out what became of it: one glommio executor with a ring per core, books per
//! core, added up at the end.
//!
//! ```text
//! run ─ worker per core: connect, start together, keep the time
//!        ├─ pacer        open loop: wakes precisely, hands out what is due
//!        ├─ connection   a task per connection: send, wait, account
//!        │   ├─ h1, h2     what is said on it
//!        │   └─ transport  the byte stream below it, TLS in it
//!        └─ record       every planned request ends here once
//! ```

mod alarm;
mod chunked;
mod connection;
mod core;
mod cpu;
mod h1;
mod h2;
mod host;
mod lateness;
mod link;
mod merge;
mod metrics;
mod pacer;
mod process;
mod progress;
mod record;
mod response;
mod shared;
mod tls;
mod transport;
mod validity;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use quoit::net::Address;
use quoit::ring::sys;

use self::metrics::Metrics;
use self::process::Watched;
use self::progress::Progress;
use self::record::{Fault, Phases};
use self::shared::Shared;
use self::transport::Refusal;
use self::worker::{Findings, News};
use crate::exit::Failure;
use crate::plan::Plan;
use crate::result::RunResult;

/// Between the last core's readiness and the run's origin: all cores look for it every 32 ms.
const HEAD_START: Duration = Duration::from_millis(100);

/// How often the thread that watches a run looks around.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Descriptors beside those of connections.
const DESCRIPTORS_SPARE: u64 = 64;

/// Makes the load of `plan` and returns the results. `stop` ends it early, with what was found by then.
///
/// # Errors
/// Only where nothing was measured at all.
pub(crate) fn run(plan: &Plan, stop: &AtomicBool) -> Result<RunResult, Failure> {
    check_descriptors(plan)?;
    let metrics = plan.metrics.map(|addr| {
        let cannot = |error| Failure::Usage(format!("--prometheus {addr}: {error}; name a free port"));
        Metrics::start(addr).map_err(cannot)
    });
    let metrics = metrics.transpose()?;
    let phases = Phases::new(plan.warmup, plan.duration);
    let (plan, shared) = (Arc::new(plan.clone()), Arc::new(Shared::new(phases.end_ns)));
    let (news, told) = mpsc::channel();
    let mut workers = Vec::new();
    for index in 0..plan.cpus.len() {
        let started = worker::start(plan.clone(), shared.clone(), index, news.clone());
        workers.push(started.map_err(|error| give_up(&shared, Failure::Usage(error)))?);
    }
    drop(news);
    let watched = watch(&plan, &shared, phases, &told, stop, metrics);
    let mut findings = Vec::new();
    let mut lost = None;
    for worker in workers {
        match worker.join() {
            Ok(Ok(found)) => findings.push(found),
            Ok(Err(error)) => lost = Some(Failure::Usage(error)),
            Err(error) => lost = Some(Failure::Invalid(format!("a core of the generator was lost: {error}"))),
        }
    }
    if let Some(failure) = lost {
        return Err(failure);
    }
    let watched = watched?;
    if let Some(what) = shared.not_http() {
        let target = &plan.addresses[shared.address(plan.addresses.len()).unwrap_or(0)];
        return Err(Failure::Target(format!(
            "{target} does not speak {}: {what}; check port, scheme and --proto",
            plan.protocol
        )));
    }
    Ok(merge::result(&plan, &shared, phases, watched, findings))
}

/// What the watching thread saw.
struct Seen {
    started_unix_ms: u64,
    generator_cpu_s: f64,
    server: Option<Watched>,
    server_cpu_each: Vec<f64>,
    interrupted: bool,
}

fn give_up(shared: &Shared, failure: Failure) -> Failure {
    shared.break_off(0);
    failure
}

fn check_descriptors(plan: &Plan) -> Result<(), Failure> {
    sys::raise_descriptor_limit();
    let (limit, needed) = (sys::descriptor_limit().0, plan.connections as u64 + DESCRIPTORS_SPARE);
    if needed <= limit {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{} connections need {needed} descriptors and this process may have {limit}; raise `ulimit -n` \
         or lower -c",
        plan.connections
    )))
}

/// Waits for the cores, starts them together, and watches until the end.
fn watch(
    plan: &Plan,
    shared: &Shared,
    phases: Phases,
    told: &mpsc::Receiver<News>,
    stop: &AtomicBool,
    mut metrics: Option<Metrics>,
) -> Result<Seen, Failure> {
    await_readiness(plan, shared, told, stop)?;
    let server = match plan.server_pid {
        None => None,
        Some(pid) => Some(Watched::new(pid).ok_or_else(|| {
            give_up(shared, Failure::Target(format!("--server-pid {pid}: there is no such process")))
        })?),
    };
    let origin = Instant::now() + HEAD_START;
    shared.start(origin);
    let mut seen = Seen {
        started_unix_ms: 0,
        generator_cpu_s: 0.0,
        server,
        server_cpu_each: Vec::new(),
        interrupted: false,
    };
    let mut progress = plan.progress.then(|| {
        let length = plan.duration.map(|length| length.as_secs_f64());
        Progress::new(plan.cpus.len(), phases.step_ns as f64 / 1e9, length, plan.requests)
    });
    let mut cpu_at_start = None;
    let (mut border_ns, mut running) = (phases.from_ns, plan.cpus.len());
    loop {
        let now_ns = origin.elapsed().as_nanos() as u64 * u64::from(Instant::now() >= origin);
        if now_ns >= border_ns && Instant::now() >= origin {
            border_ns = at_border(&mut seen, &mut cpu_at_start, plan.server_pid, border_ns, phases);
        }
        if stop.load(Ordering::Relaxed) && !seen.interrupted {
            seen.interrupted = true;
            shared.break_off(now_ns);
        }
        let until_border = Duration::from_nanos(border_ns.saturating_sub(now_ns).max(1));
        match told.recv_timeout(until_border.min(LOOK_EVERY)) {
            Ok(News::Interval(interval)) => {
                if let Some(progress) = &mut progress {
                    progress.handle_interval(&interval, &mut std::io::stderr());
                }
                if let Some(metrics) = &mut metrics {
                    metrics.handle_interval(&interval, plan.cpus.len());
                }
            }
            Ok(News::Ended) => {
                running -= 1;
                if running == 0 {
                    break;
                }
            }
            Ok(News::Ready { .. }) | Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    if progress.is_some() {
        Progress::finish(&mut std::io::stderr());
    }
    // The run ended before its planned end, or a number of requests ended it.
    if border_ns != u64::MAX {
        at_border(&mut seen, &mut cpu_at_start, plan.server_pid, u64::MAX, phases);
    }
    Ok(seen)
}

/// Reads the clocks of both sides where an interval begins or ends; the next such border.
fn at_border(
    seen: &mut Seen,
    cpu_at_start: &mut Option<u64>,
    server_pid: Option<u32>,
    border_ns: u64,
    phases: Phases,
) -> u64 {
    let cpu_ns = cpu::process_ns();
    match cpu_at_start {
        None => {
            *cpu_at_start = Some(cpu_ns);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            seen.started_unix_ms = now.as_millis() as u64;
            seen.server = server_pid.and_then(Watched::new).or(seen.server.take());
        }
        Some(start) => {
            seen.generator_cpu_s = (cpu_ns - *start) as f64 / 1e9;
            if let Some(server) = &mut seen.server {
                seen.server_cpu_each.push(server.step());
            }
        }
    }
    if border_ns >= phases.end_ns {
        u64::MAX
    } else {
        border_ns.saturating_add(phases.step_ns).min(phases.end_ns)
    }
}

/// Waits until every core has its connections; a target that takes none of them ends the run.
fn await_readiness(
    plan: &Plan,
    shared: &Shared,
    told: &mpsc::Receiver<News>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let (mut ready, mut connected, mut refusal) = (0, 0, None);
    while ready < plan.cpus.len() {
        match told.recv_timeout(LOOK_EVERY) {
            Ok(News::Ready { connected: stand, refusal: why }) => {
                (ready, connected, refusal) = (ready + 1, connected + stand, refusal.or(why));
            }
            Ok(News::Interval(_)) => {}
            Err(mpsc::RecvTimeoutError::Timeout) if !stop.load(Ordering::Relaxed) => {}
            Ok(News::Ended) | Err(_) => {
                let why = "it ended before the first request";
                return Err(give_up(shared, Failure::Invalid(why.to_owned())));
            }
        }
    }
    if connected > 0 {
        return Ok(());
    }
    let addresses: Vec<String> = plan.addresses.iter().map(Address::to_string).collect();
    let (url, address) = (&plan.urls[0], addresses.join(" or ").replace("http://", ""));
    let why = refusal.as_ref().map_or_else(String::new, Refusal::to_string);
    let line = format!("{url}: no connection to {address}: {why}");
    let is_ours = refusal.is_some_and(|refusal| refusal.fault == Fault::Generator);
    Err(give_up(shared, if is_ours { Failure::Invalid(line) } else { Failure::Target(line) }))
}

#[cfg(test)]
pub(crate) mod tests;
