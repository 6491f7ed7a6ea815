//! One core's part of a run: its thread, executor and ring; connecting, starting together with the others,
//! keeping the time, ending.

use std::any::Any;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use quoit::ring::{Ring, RingConfig};

use super::alarm::Alarm;
use super::core::Core;
use super::h1::Pipeline;
use super::h2::Multiplex;
use super::record::{Phases, Record};
use super::shared::Shared;
use super::tls::TlsClient;
use super::transport::Refusal;
use super::{connection, cpu, pacer};
use crate::histogram::Durations;
use crate::plan::schedule::{nanoseconds, share};
use crate::plan::tls::Protocol;
use crate::plan::{Pace, Plan};
use crate::result::{ConnectionFacts, Interval, Outcomes};

/// glommio's preemption timer, which the ring's driver replaces (see `quoit::ring`).
const PREEMPT_EVERY: Duration = Duration::from_secs(3600);

/// Registered buffers of glommio's own, which nothing here uses: the least it takes.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;

/// How often a core looks whether the run was broken off.
const LOOK_EVERY_NS: u64 = 100_000_000;

/// Completions that one turn of the ring brings at the least, if as many are there.
const COLLECTED_MIN: usize = 16;

/// What a core reports while it runs.
pub(super) enum News {
    /// Its connections stand, or were refused.
    Ready { connected: usize, refusal: Option<Refusal> },
    /// An interval is over.
    Interval(Box<Interval>),
    /// It is at its end, whatever that was.
    Ended,
}

/// Reports the end, also after a panic. The channel's own end does not: the executor does not drop
/// what it still holds when it ends.
struct Ending(mpsc::Sender<News>);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.send(News::Ended);
    }
}

/// What a core found.
pub(super) struct Findings {
    pub(super) endpoints: Vec<Outcomes>,
    pub(super) intervals: Vec<Interval>,
    pub(super) pacing: Durations,
    pub(super) stalls: Durations,
    pub(super) connections: ConnectionFacts,
    pub(super) busy: f64,
    pub(super) busy_each: Vec<f64>,
    pub(super) last_end_ns: u64,
    /// Arrivals that were overdue at the end although a connection was free.
    pub(super) overdue: u64,
}

/// Starts core `index` on its thread.
pub(super) fn start(
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    index: usize,
    news: mpsc::Sender<News>,
) -> Result<ExecutorJoinHandle<Result<Findings, String>>, String> {
    LocalExecutorBuilder::new(Placement::Unbound)
        .name(&format!("loadgen-{index}"))
        .preempt_timer(PREEMPT_EVERY)
        .io_memory(EXECUTOR_IO_BYTES)
        .spawn(move || async move {
            let _ending = Ending(news.clone());
            // Not by the executor, which asks sysfs for the topology: it need not be mounted.
            let cpu = plan.cpus[index];
            if !core_affinity::set_for_current(core_affinity::CoreId { id: cpu }) {
                return Err(format!("a thread cannot be pinned to CPU {cpu}; choose others with --cpus"));
            }
            let ring = Ring::new(RingConfig::default()).map_err(|error| error.to_string())?;
            let alarms = [(); 3].map(|()| Alarm::new().map_err(|_| "the kernel gives no timer".to_owned()));
            let [first, second, third] = alarms;
            let alarms = [first?, second?, third?];
            let tls = plan.tls.as_ref().map(|tls| TlsClient::new(tls, plan.protocol)).transpose();
            let tls = tls.map_err(|error| format!("TLS cannot be set up: {error}"))?;
            let is_open = plan.pace != Pace::Closed;
            let phases = Phases::new(plan.warmup, plan.duration);
            let seats = share(plan.connections as u64, index, plan.cpus.len()) as usize;
            let in_flight_max = seats.saturating_mul(plan.pipeline);
            let record = Record::new(phases, is_open, plan.mix.specs().len(), seats, in_flight_max);
            let core = Core::new(ring, plan, shared, index, tls, record);
            Ok(run(core, news, alarms).await)
        })
        .map_err(|error| format!("the executor did not start: {error}"))
}

async fn run(core: Rc<Core>, news: mpsc::Sender<News>, [pacing, keeping, beating]: [Alarm; 3]) -> Findings {
    let ring = core.ring.clone();
    for seat in 0..core.seats.len() {
        let left = core.clone();
        let left = move |_: Box<dyn Any + Send>| left.leave();
        match core.plan.protocol {
            Protocol::H1 => ring.spawn(connection::run::<Pipeline>(core.clone(), seat), left),
            Protocol::H2 => ring.spawn(connection::run::<Multiplex>(core.clone(), seat), left),
        }
    }
    ring.spawn(keep(core.clone(), news, [pacing, beating], keeping), |_| ());
    ring.drive().await;
    let now_ns = core.now_ns();
    let mut busy = core.cpu.borrow_mut();
    // A run that a number of requests ends has no border of an interval at its end.
    if core.shared.end_ns() > now_ns {
        busy.sample(now_ns);
    }
    let mut record = core.record.borrow_mut();
    // A beat that the end came before.
    let due_ns = core.beat_due_ns.get();
    if due_ns > 0 {
        record.end_beats(due_ns, now_ns, cpu::thread(cpu::thread_account().as_ref()));
    }
    Findings {
        endpoints: record.take_outcomes(),
        intervals: std::mem::take(&mut record.intervals),
        pacing: std::mem::take(&mut record.pacing),
        stalls: std::mem::take(&mut record.stalls),
        connections: record.take_connections(),
        busy: busy.busy_share(),
        busy_each: std::mem::take(&mut busy.busy),
        last_end_ns: record.last_end_ns,
        overdue: core.gate.overdue.get(),
    }
}

/// Starts the core when all are ready, reads its CPU clock at each interval's end, and ends it.
async fn keep(core: Rc<Core>, news: mpsc::Sender<News>, [pacing, beating]: [Alarm; 2], alarm: Alarm) {
    while core.gate.settled.get() < core.seats.len() {
        if core.shared.is_broken_off() {
            // Nothing was planned yet, so there is nothing to account for: what still connects is left.
            return core.ring.stop();
        }
        core.ring.sleep(Duration::from_millis(1)).await;
    }
    let (connected, refusal) = (core.gate.connected.get(), core.gate.refusal.take());
    let _ = news.send(News::Ready { connected, refusal });
    let origin = loop {
        if core.shared.is_broken_off() {
            return core.close();
        }
        match core.shared.origin() {
            Some(origin) => break origin,
            None => core.ring.sleep(Duration::from_millis(1)).await,
        }
    };
    core.set_origin(origin);
    wait_until(&core, &alarm, origin.saturating_duration_since(core.ring.now())).await;
    core.gate.started.set(true);
    core.wake_all();
    core.ring.spawn(beat(core.clone(), beating), |_| ());
    if core.plan.pace != Pace::Closed {
        core.ring.spawn(pacer::run(core.clone(), pacing), |_| ());
    }
    keep_time(&core, &news, &alarm).await;
}

/// Looks at regular times whether the core runs when it asked for it ([`lateness`](super::lateness)).
async fn beat(core: Rc<Core>, alarm: Alarm) {
    let account = cpu::thread_account();
    while core.gate.live.get() > 0 {
        let due_ns = core.record.borrow_mut().begin_beat(core.now_ns());
        core.beat_due_ns.set(due_ns);
        let left_ns = due_ns.saturating_sub(core.now_ns()).max(1);
        wait_until(&core, &alarm, Duration::from_nanos(left_ns)).await;
        let late =
            core.record.borrow_mut().handle_beat(due_ns, core.turn_ns(), cpu::thread(account.as_ref()));
        if late.ns > 0 {
            // The answers that came meanwhile are handled first. The kernel hands them out in portions.
            for _ in 0..2 + core.seats.len() / COLLECTED_MIN {
                core.ring.next_turn().await;
            }
        }
    }
}

async fn keep_time(core: &Core, news: &mpsc::Sender<News>, alarm: &Alarm) {
    let phases = core.record.borrow().phases();
    let mut border_ns = phases.from_ns;
    loop {
        let now_ns = core.now_ns();
        let end_ns = core.shared.end_ns();
        if now_ns >= border_ns && border_ns <= end_ns {
            core.cpu.borrow_mut().sample(now_ns);
            tell(core, news, border_ns);
            if border_ns == end_ns {
                core.gate.overdue.set(core.overdue());
            }
            let next_ns = border_ns.saturating_add(phases.step_ns);
            border_ns = if border_ns < end_ns { next_ns.min(end_ns) } else { u64::MAX };
            continue;
        }
        if core.shared.is_broken_off() {
            core.cut(end_ns);
        }
        let last_ns = end_ns.saturating_add(nanoseconds(core.plan.grace));
        if now_ns >= last_ns {
            // A run does not last longer, whatever is still in flight or waits.
            core.close();
            core.ring.fail_sockets();
            return;
        }
        let sleep_ns = border_ns.min(last_ns).saturating_sub(now_ns).clamp(1, LOOK_EVERY_NS);
        wait_until(core, alarm, Duration::from_nanos(sleep_ns)).await;
    }
}

async fn wait_until(core: &Core, alarm: &Alarm, duration: Duration) {
    if !duration.is_zero() && alarm.wait(&core.ring, duration).await.is_err() {
        core.ring.sleep(duration).await;
    }
}

/// Reports the interval that ended at `border_ns`.
fn tell(core: &Core, news: &mpsc::Sender<News>, border_ns: u64) {
    let record = core.record.borrow();
    if (core.plan.progress || core.plan.metrics.is_some()) && border_ns > record.phases().from_ns {
        let ended = record.intervals.get(record.phases().interval(border_ns - 1));
        let _ = news.send(News::Interval(Box::new(ended.cloned().unwrap_or_default())));
    }
}
