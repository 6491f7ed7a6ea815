//! What a run found: the one shape that the engine fills, files store, and reports, merges and comparisons
//! read. The JSON file is this, field by field; its schema version changes when its meaning does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::Durations;

/// Name and version of the schema.
pub const SCHEMA: &str = "quoit-loadgen/1";

/// One run, or several that were merged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// The version of the program that measured.
    pub version: String,
    /// When the measured phase began, in milliseconds since the Unix epoch.
    pub started_unix_ms: u64,
    /// The command line that runs it again.
    pub command: Vec<String>,
    /// What was to be done.
    pub plan: PlanFacts,
    /// The machine that made the load.
    pub host: HostFacts,
    /// Whether the figures may be believed.
    pub validity: Validity,
    /// Length of the measured phase in seconds, as it came out.
    pub measured_s: f64,
    /// Everything of the measured phase together.
    pub total: Outcomes,
    /// The same by endpoint, where there are several: by its name, such as `GET /users`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, Outcomes>,
    /// The measured phase in steps, usually of a second.
    pub intervals: Vec<Interval>,
    /// Connections.
    pub connections: ConnectionFacts,
    /// What it cost on both sides.
    pub cost: Cost,
    /// What was demanded, and whether it was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slo: Vec<SloVerdict>,
}

/// What was to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFacts {
    /// Targets as written.
    pub urls: Vec<String>,
    /// Closed or open loop.
    pub mode: Mode,
    /// Requests per second that were planned; `None` in a closed loop.
    pub rate: Option<f64>,
    /// How arrivals are spaced; `None` in a closed loop.
    pub arrival: Option<Arrival>,
    /// Connections.
    pub connections: u32,
    /// Cores that made the load.
    pub cpus: Vec<usize>,
    /// Planned seconds of the measured phase; `None` where the number of requests ends it.
    pub duration_s: Option<f64>,
    /// Planned requests; `None` where time ends it.
    pub requests: Option<u64>,
    /// Seconds before the measured phase.
    pub warmup_s: f64,
    /// Seconds in which the rate rises to its height, at the start of the warm-up.
    pub ramp_s: f64,
    /// Requests in flight per connection.
    pub pipeline: u32,
    /// Whether every request has a connection of its own.
    pub new_connections: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Application protocol: `http/1.1`.
    pub protocol: String,
}

/// What decides when a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The response before it: a slow server is asked less. Service time only.
    Closed,
    /// A schedule: a slow server is asked as often, and what waits is counted.
    Open,
}

/// How planned arrivals are spaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// Evenly.
    Fixed,
    /// As independent clients come.
    Poisson,
}

/// The machine that made the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostFacts {
    /// Kernel release.
    pub kernel: String,
    /// Name of the processor.
    pub processor: String,
    /// Processors of the machine.
    pub processors: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// Whether the figures may be believed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validity {
    /// Why not, each in a sentence. Empty: valid.
    pub reasons: Vec<String>,
    /// What a reader should know, though the figures hold.
    pub warnings: Vec<String>,
}

impl Validity {
    /// Whether the figures may be believed.
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// What became of requests. `planned == done + errors + timeouts + dropped`, or the run is invalid.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Arrivals of the schedule within the measured phase; in a closed loop, requests begun in it.
    pub planned: u64,
    /// Requests that left.
    pub sent: u64,
    /// Answered as expected.
    pub done: u64,
    /// Failed; by kind in `errors_by_kind`.
    pub errors: u64,
    /// Not answered in time.
    pub timeouts: u64,
    /// Planned and never sent, because the run ended before.
    pub dropped: u64,
    /// Errors by kind: `dns`, `connect`, `tls`, `write`, `read`, `reset`, `protocol`, `validation`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Answers by status code, expected or not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes received: heads and bodies.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// From the planned instant to the whole response; timeouts count with the time that had passed. In a
    /// closed loop the same as `service`.
    pub response: Durations,
    /// From the instant of sending to the whole response.
    pub service: Durations,
    /// From the planned instant to that of sending. Empty in a closed loop.
    pub lag: Durations,
}

impl Outcomes {
    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.done += other.done;
        self.errors += other.errors;
        self.timeouts += other.timeouts;
        self.dropped += other.dropped;
        for (kind, count) in &other.errors_by_kind {
            *self.errors_by_kind.entry(kind.clone()).or_default() += count;
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.received_bytes += other.received_bytes;
        self.sent_bytes += other.sent_bytes;
        self.response.add(&other.response);
        self.service.add(&other.service);
        self.lag.add(&other.lag);
    }

    /// Whether every planned arrival has exactly one outcome.
    pub fn is_accounted_for(&self) -> bool {
        self.planned == self.done + self.errors + self.timeouts + self.dropped
    }
}

/// One step of the measured phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Its start, in seconds from the start of the measured phase.
    pub start_s: f64,
    /// Its length in seconds.
    pub length_s: f64,
    /// Arrivals planned in it.
    pub planned: u64,
    /// Requests that left in it.
    pub sent: u64,
    /// Answers that came in it.
    pub done: u64,
    /// Errors and timeouts in it.
    pub failed: u64,
    /// Response times of what ended in it.
    pub response: Durations,
    /// Share of its time in which the busiest core of the generator was busy, 0 to 1.
    pub busy: f64,
    /// CPU seconds of the server in it, where its process is known.
    pub server_cpu_s: Option<f64>,
}

/// Connections of the measured phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionFacts {
    /// Opened, warm-up included.
    pub opened: u64,
    /// Closed by the server or lost.
    pub lost: u64,
    /// Time to connect.
    pub connect: Durations,
    /// Requests done on each connection, in ascending order: how fair the server was. At most 10,000 are kept.
    pub done_each: Vec<u64>,
}

/// What it cost.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// CPU seconds of the generator in the measured phase.
    pub generator_cpu_s: f64,
    /// The greatest share of the measured phase in which one of its cores was busy, 0 to 1.
    pub generator_busy_max: f64,
    /// How late the generator itself was with requests of an open loop: from the instant at which one was due
    /// and a connection stood free for it, to its sending. Not in [`Outcomes::lag`]'s sense, which also
    /// holds the time in which the server kept every connection busy.
    #[serde(default)]
    pub generator_lag: Durations,
    /// The server's, where its process is known.
    pub server: Option<ServerCost>,
}

/// What it cost the server, from /proc.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerCost {
    /// Its process.
    pub pid: u32,
    /// CPU seconds in user mode, children and threads included.
    pub user_s: f64,
    /// CPU seconds in the kernel.
    pub system_s: f64,
    /// Voluntary and involuntary context switches.
    pub switches: u64,
    /// System calls, where the kernel counts them (`/proc/PID/io` does for reads and writes).
    pub read_write_calls: Option<u64>,
    /// Bytes of memory resident at the end.
    pub resident_bytes: u64,
}

/// Whether a demand was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloVerdict {
    /// As written: `p99<5ms`.
    pub demand: String,
    /// What was found, as text with its unit; `None` where there were too few samples.
    pub found: Option<String>,
    /// Whether it was met. Too few samples do not meet it.
    pub met: bool,
}
