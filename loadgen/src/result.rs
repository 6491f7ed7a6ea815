//! What a run found: the one shape that the engine fills, files store, and reports, merges and comparisons
//! read. The JSON file is this, field by field; its schema version changes when its meaning does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::Durations;

/// Name and version of the schema.
pub(crate) const SCHEMA: &str = "quoit-loadgen/1";

/// One run, or several that were merged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunResult {
    /// [`SCHEMA`].
    pub(crate) schema: String,
    /// The version of the program that measured.
    pub(crate) version: String,
    /// When the measured phase began, in milliseconds since the Unix epoch.
    pub(crate) started_unix_ms: u64,
    /// The command line that runs it again; values of secret fields are `***`.
    pub(crate) command: Vec<String>,
    /// What was to be done.
    pub(crate) plan: PlanFacts,
    /// The machine that made the load.
    pub(crate) host: HostFacts,
    /// Whether the figures may be believed.
    pub(crate) validity: Validity,
    /// Length of the measured phase in seconds, as it came out.
    pub(crate) measured_s: f64,
    /// Everything of the measured phase together.
    pub(crate) total: Outcomes,
    /// The same by endpoint, where there are several: by its name, such as `GET /users`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) endpoints: BTreeMap<String, Outcomes>,
    /// The measured phase in steps, usually of a second.
    pub(crate) intervals: Vec<Interval>,
    /// Connections.
    pub(crate) connections: ConnectionFacts,
    /// What it cost on both sides.
    pub(crate) cost: Cost,
    /// What was demanded, and whether it was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) slo: Vec<SloVerdict>,
    /// The runs that were merged into this one; none in a run as it was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) merged: Vec<MergedRun>,
}

impl RunResult {
    /// Answers as expected within the measured phase, per second; `None` where nothing was measured.
    pub(crate) fn rate(&self) -> Option<f64> {
        (self.measured_s > 0.0).then(|| self.total.achieved() as f64 / self.measured_s)
    }

    /// Whether what an open loop had planned and not got back grew after the first quarter of the measured
    /// phase, and still in its second half, which no target does that holds the rate: by how many requests.
    /// It is no growth while it could be what is in flight at one moment and not at another, or what is in
    /// flight at all, once there was time for that.
    pub(crate) fn backlog_growth(&self) -> Option<u64> {
        let steps = &self.intervals;
        if self.plan.mode == Mode::Closed || steps.len() < BACKLOG_STEPS_MIN {
            return None;
        }
        let since = |first: usize| {
            let planned: u64 = steps[first..].iter().map(|step| step.planned).sum();
            let ended: u64 = steps[first..].iter().map(|step| step.done.saturating_add(step.failed)).sum();
            (planned.saturating_sub(ended), BACKLOG_SHARE * planned as f64 + BACKLOG_NOISE)
        };
        let ((grown, chance), (still, still_chance)) = (since(steps.len() / 4), since(steps.len() / 2));
        // Answers that were seen late may be in the wrong half.
        (grown as f64 > chance && still as f64 > still_chance / 2.0).then_some(grown)
    }
}

/// Steps of a measured phase without which it has no quarters.
const BACKLOG_STEPS_MIN: usize = 4;

/// Share of what was planned by which a backlog may grow meanwhile, and the requests on top of it: a core
/// that collects its answers a little later, a server with a short pause just then.
const BACKLOG_SHARE: f64 = 0.02;
const BACKLOG_NOISE: f64 = 10.0;

/// A run that became part of another result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MergedRun {
    /// When its measured phase began, in milliseconds since the Unix epoch.
    pub(crate) started_unix_ms: u64,
    /// Length of its measured phase in seconds.
    pub(crate) measured_s: f64,
    /// Requests per second that it planned; `None` in a closed loop.
    pub(crate) rate: Option<f64>,
    /// Its connections.
    pub(crate) connections: u32,
    /// The command line that runs it again; values of secret fields are `***`.
    pub(crate) command: Vec<String>,
    /// The machine that made its load.
    pub(crate) host: HostFacts,
    /// Whether its figures may be believed.
    pub(crate) valid: bool,
}

/// What was to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanFacts {
    /// Targets as written.
    pub(crate) urls: Vec<String>,
    /// Closed or open loop.
    pub(crate) mode: Mode,
    /// Requests per second that were planned, over all stages; `None` in a closed loop.
    pub(crate) rate: Option<f64>,
    /// Parts of the measured phase with rates of their own; none where there is one rate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) stages: Vec<StageFacts>,
    /// How arrivals are spaced; `None` in a closed loop.
    pub(crate) arrival: Option<Arrival>,
    /// Connections.
    pub(crate) connections: u32,
    /// Cores that made the load.
    pub(crate) cpus: Vec<usize>,
    /// Planned seconds of the measured phase; `None` where the number of requests ends it.
    pub(crate) duration_s: Option<f64>,
    /// Planned requests; `None` where time ends it.
    pub(crate) requests: Option<u64>,
    /// Seconds before the measured phase.
    pub(crate) warmup_s: f64,
    /// Seconds in which the rate rises to its height, at the start of the warm-up.
    pub(crate) ramp_s: f64,
    /// Requests in flight per connection.
    pub(crate) pipeline: u32,
    /// Whether every request has a connection of its own.
    pub(crate) new_connections: bool,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Application protocol: `http/1.1`, `http/1.1 over TLS`, `h2` (over TLS), `h2c` (without).
    pub(crate) protocol: String,
}

/// A part of the measured phase with a rate of its own.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageFacts {
    /// Requests per second that were planned.
    pub(crate) rate: f64,
    /// Its length in seconds.
    pub(crate) length_s: f64,
}

/// What decides when a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The response before it: a slow server is asked less. Service time only.
    Closed,
    /// A schedule: a slow server is asked as often, and what waits is counted.
    Open,
}

/// How planned arrivals are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrival {
    /// Evenly.
    Fixed,
    /// As independent clients come.
    Poisson,
}

/// The machine that made the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostFacts {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Name of the processor.
    pub(crate) processor: String,
    /// Processors of the machine.
    pub(crate) processors: u32,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
}

/// Whether the figures may be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Validity {
    /// Why not, each in a sentence. Empty: valid.
    pub(crate) reasons: Vec<String>,
    /// What a reader should know, though the figures hold.
    pub(crate) warnings: Vec<String>,
}

impl Validity {
    /// Whether the figures may be believed.
    pub(crate) fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of requests. `planned == done + errors + timeouts + dropped`, or the run is invalid.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcomes {
    /// Arrivals of the schedule within the measured phase; in a closed loop, requests begun in it.
    pub(crate) planned: u64,
    /// Requests that left.
    pub(crate) sent: u64,
    /// Answered as expected.
    pub(crate) done: u64,
    /// Answers as expected that came within the measured phase, whenever they were asked for: what was
    /// achieved, which over its length is the rate. Of `done`, the others came afterwards. `None` in files of
    /// versions that did not tell them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) achieved: Option<u64>,
    /// Of `done`, those that were answered after the measured phase.
    #[serde(default)]
    pub(crate) drained: u64,
    /// Failed; by kind in `errors_by_kind`.
    pub(crate) errors: u64,
    /// Not answered in time.
    pub(crate) timeouts: u64,
    /// Of `timeouts`, those that were in flight when the run ended, before their time was over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unfinished: u64,
    /// Planned and never sent, because the run ended before.
    pub(crate) dropped: u64,
    /// Errors by kind: `connect`, `tls`, `write`, `read`, `reset`, `protocol`, `validation`; and `generator`,
    /// where this machine had no port, descriptor or memory for a connection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    /// Answers by status code, expected or not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Bytes received: heads and bodies.
    pub(crate) received_bytes: u64,
    /// Bytes sent.
    pub(crate) sent_bytes: u64,
    /// From the planned instant to the end of every request, whatever that was. What did not end by itself
    /// (timeouts, with those that are unfinished, and dropped arrivals) counts with the time that had passed.
    /// In a closed loop from the instant at which the request was taken, so that a connection opened for it
    /// counts.
    pub(crate) response: Durations,
    /// Of `response`, those that were answered as expected.
    #[serde(default)]
    pub(crate) response_ok: Durations,
    /// Of `response`, the others.
    #[serde(default)]
    pub(crate) response_failed: Durations,
    /// Of `response`, those in which the generator's own lateness may be, and what is left without it; `None`
    /// where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) own: Option<Box<OwnLateness>>,
    /// From the instant of sending to the end of every request that was sent.
    pub(crate) service: Durations,
    /// From the planned instant to that of sending. Empty in a closed loop.
    pub(crate) lag: Durations,
}

/// Response times that the generator itself may have made longer: it was kept from running, or had too much
/// to do, and saw arrivals or answers late. The same requests stand in each pair of histograms.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnLateness {
    /// As measured.
    pub(crate) measured: Durations,
    /// Less all that may be the generator's: the least that the target can have taken.
    pub(crate) at_least: Durations,
    /// As `measured`, of answers as expected.
    pub(crate) ok_measured: Durations,
    /// As `at_least`, of answers as expected.
    pub(crate) ok_at_least: Durations,
}

impl OwnLateness {
    /// Counts a request.
    pub(crate) fn note(&mut self, response_ns: u64, own_ns: u64, is_ok: bool) {
        let at_least_ns = response_ns.saturating_sub(own_ns);
        self.measured.record(response_ns);
        self.at_least.record(at_least_ns);
        if is_ok {
            self.ok_measured.record(response_ns);
            self.ok_at_least.record(at_least_ns);
        }
    }

    fn add(&mut self, other: &Self) {
        self.measured.add(&other.measured);
        self.at_least.add(&other.at_least);
        self.ok_measured.add(&other.ok_measured);
        self.ok_at_least.add(&other.ok_at_least);
    }
}

impl Outcomes {
    /// Answers within the measured phase. Files of older versions have no more than all answers.
    pub(crate) fn achieved(&self) -> u64 {
        self.achieved.unwrap_or(self.done)
    }

    /// The same requests without what of their response times may be the generator's own lateness; `None`
    /// where it was never late.
    pub(crate) fn without_own_lateness(&self) -> Option<Self> {
        let own = self.own.as_deref()?;
        let mut without = self.clone();
        without.own = None;
        without.response.replace(&own.measured, &own.at_least);
        without.response_ok.replace(&own.ok_measured, &own.ok_at_least);
        Some(without)
    }

    /// Adds all of another's. Counts stop at the greatest number: files may hold anything.
    pub(crate) fn add(&mut self, other: &Self) {
        fn add(sum: &mut u64, count: u64) {
            *sum = sum.saturating_add(count);
        }
        add(&mut self.planned, other.planned);
        add(&mut self.sent, other.sent);
        self.achieved = match (self.achieved, other.achieved) {
            (None, None) => None,
            _ => Some(self.achieved().saturating_add(other.achieved())),
        };
        add(&mut self.done, other.done);
        add(&mut self.drained, other.drained);
        add(&mut self.errors, other.errors);
        add(&mut self.timeouts, other.timeouts);
        add(&mut self.unfinished, other.unfinished);
        add(&mut self.dropped, other.dropped);
        for (kind, count) in &other.errors_by_kind {
            add(self.errors_by_kind.entry(kind.clone()).or_default(), *count);
        }
        for (status, count) in &other.statuses {
            add(self.statuses.entry(*status).or_default(), *count);
        }
        add(&mut self.received_bytes, other.received_bytes);
        add(&mut self.sent_bytes, other.sent_bytes);
        self.response.add(&other.response);
        self.response_ok.add(&other.response_ok);
        self.response_failed.add(&other.response_failed);
        if let Some(own) = &other.own {
            self.own.get_or_insert_default().add(own);
        }
        self.service.add(&other.service);
        self.lag.add(&other.lag);
    }

    /// Whether every planned arrival has exactly one outcome.
    pub(crate) fn is_accounted_for(&self) -> bool {
        let outcomes = [self.done, self.errors, self.timeouts, self.dropped];
        u128::from(self.planned) == outcomes.into_iter().map(u128::from).sum()
    }
}

/// One step of the measured phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    /// Its start, in seconds from the start of the measured phase.
    pub(crate) start_s: f64,
    /// Its length in seconds.
    pub(crate) length_s: f64,
    /// Arrivals planned in it.
    pub(crate) planned: u64,
    /// Requests that left in it.
    pub(crate) sent: u64,
    /// Answers as expected that came in it.
    pub(crate) done: u64,
    /// Errors and timeouts in it.
    pub(crate) failed: u64,
    /// Response times of what was planned in it, whenever that ended; in a closed loop, begun in it.
    pub(crate) response: Durations,
    /// Share of its time in which the busiest core of the generator was busy, 0 to 1.
    pub(crate) busy: f64,
    /// CPU seconds of the server in it, where its process is known.
    pub(crate) server_cpu_s: Option<f64>,
}

/// Connections of the measured phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionFacts {
    /// Opened, warm-up included.
    pub(crate) opened: u64,
    /// Closed by the server or lost.
    pub(crate) lost: u64,
    /// Bytes that came within the measured phase, of whole answers and of others; `None` in files of versions
    /// that did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) received_bytes: Option<u64>,
    /// Connections on which something came that no request had asked for, while none was in flight.
    #[serde(default)]
    pub(crate) unasked: u64,
    /// Time to connect; TLS comes behind it.
    pub(crate) connect: Durations,
    /// TLS handshakes; `None` without TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsFacts>,
    /// Requests done on each connection, in ascending order: how fair the server was. At most 10,000 are
    /// kept.
    pub(crate) done_each: Vec<u64>,
}

impl ConnectionFacts {
    /// Adds all of another's. Whoever calls sorts `done_each` afterwards.
    pub(crate) fn add(&mut self, other: &Self) {
        self.opened = self.opened.saturating_add(other.opened);
        self.lost = self.lost.saturating_add(other.lost);
        self.unasked = self.unasked.saturating_add(other.unasked);
        self.received_bytes = self.received_bytes.zip(other.received_bytes).map(|(a, b)| a.saturating_add(b));
        self.connect.add(&other.connect);
        if let Some(tls) = &other.tls {
            self.tls.get_or_insert_default().add(tls);
        }
        self.done_each.extend(&other.done_each);
    }
}

/// TLS handshakes that succeeded, warm-up included; those that did not are errors of kind `tls`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFacts {
    /// How long full ones took, from the connection's standing to the last message.
    pub(crate) full: Durations,
    /// How long those took that went on from an earlier connection.
    pub(crate) resumed: Durations,
    /// Connections by version and cipher suite.
    pub(crate) suites: BTreeMap<String, u64>,
}

impl TlsFacts {
    /// Counts a handshake.
    pub(crate) fn note(&mut self, is_resumed: bool, took_ns: u64, suite: String) {
        if is_resumed { &mut self.resumed } else { &mut self.full }.record(took_ns);
        *self.suites.entry(suite).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.full.add(&other.full);
        self.resumed.add(&other.resumed);
        for (suite, count) in &other.suites {
            let sum = self.suites.entry(suite.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

/// What it cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// CPU seconds of the generator in the measured phase.
    pub(crate) generator_cpu_s: f64,
    /// The greatest share of the measured phase in which one of its cores was busy, 0 to 1.
    pub(crate) generator_busy_max: f64,
    /// How late the generator itself was with requests of an open loop: from the instant at which one was due
    /// and a connection stood free for it, to its sending; and of those that were due while it did not run,
    /// or waited behind them, that time. Unlike [`Outcomes::lag`] it holds no time in which the server kept
    /// every connection busy. `None` in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generator_lag: Option<Durations>,
    /// Times in which a core of the generator was kept from running, or from looking at what came, beyond
    /// what a turn takes: each with its lower bound.
    #[serde(default)]
    pub(crate) generator_stalls: Durations,
    /// The server's, where its process is known.
    pub(crate) server: Option<ServerCost>,
}

/// What it cost the server, from /proc.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerCost {
    /// Its process.
    pub(crate) pid: u32,
    /// CPU seconds in user mode, children and threads included.
    pub(crate) user_s: f64,
    /// CPU seconds in the kernel.
    pub(crate) system_s: f64,
    /// Voluntary and involuntary context switches.
    pub(crate) switches: u64,
    /// System calls, where the kernel counts them (`/proc/PID/io` does for reads and writes).
    pub(crate) read_write_calls: Option<u64>,
    /// Bytes of memory resident at the end.
    pub(crate) resident_bytes: u64,
}

/// Whether a demand was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SloVerdict {
    /// As written: `p99<5ms`.
    pub(crate) demand: String,
    /// What was found, as text with its unit; `None` where there were too few samples.
    pub(crate) found: Option<String>,
    /// Whether it was met. Too few samples do not meet it.
    pub(crate) met: bool,
    /// Where there were too few: how many it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) needs: Option<u64>,
}

impl SloVerdict {
    /// Whether the run cannot tell: there were too few samples.
    pub(crate) fn is_open(&self) -> bool {
        !self.met && self.found.is_none()
    }
}
