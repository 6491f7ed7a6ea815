//! What is to be done, checked: a plan cannot be wrong, only fail. Knows no sockets and no clock.

pub(crate) mod data;
pub(crate) mod expect;
pub(crate) mod random;
pub(crate) mod request;
pub(crate) mod schedule;
pub(crate) mod secrets;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod tls;
pub(crate) mod units;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quoit::net::Address;

use self::data::Data;
use self::expect::Expect;
use self::request::Mix;
use self::schedule::{Stage, Timetable};
use self::tls::{Protocol, Tls};
use crate::result::{Arrival, Mode, PlanFacts};

/// A run to be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Targets as written.
    pub urls: Vec<String>,
    /// Where they are: the addresses of a name, in the order in which they are to be tried. There is one.
    pub addresses: Vec<Address>,
    /// What decides when a request is sent.
    pub pace: Pace,
    /// Parts of the measured phase of an open loop with rates of their own; none, or two or more.
    pub stages: Vec<Stage>,
    /// Connections; at least one for each core.
    pub connections: usize,
    /// Cores that make the load.
    pub cpus: Vec<usize>,
    /// Length of the measured phase; `None` when `requests` ends it.
    pub duration: Option<Duration>,
    /// Requests of the measured phase at the most.
    pub requests: Option<u64>,
    /// Before the measured phase.
    pub warmup: Duration,
    /// In which an open loop's rate rises, at the start of the warm-up.
    pub ramp: Duration,
    /// From the sending of a request to the whole response.
    pub timeout: Duration,
    /// For a connection to stand.
    pub connect_timeout: Duration,
    /// From the end of the measured phase to that of the run.
    pub grace: Duration,
    /// Lateness of the generator itself that does not make an open loop's run invalid.
    pub lag_allowed: Duration,
    /// Which HTTP is spoken.
    pub protocol: Protocol,
    /// TLS below it; `None` for none.
    pub tls: Option<Tls>,
    /// Requests in flight per connection.
    pub pipeline: usize,
    /// Whether every request has a connection of its own.
    pub new_connections: bool,
    /// Connections closed and opened again per second, in millionths.
    pub churn_millionths: u64,
    /// What is asked.
    pub mix: Mix,
    /// Rows of data that it is filled with.
    pub data: Option<Arc<Data>>,
    /// Which answers are as expected.
    pub expect: Expect,
    /// Seed of everything random.
    pub seed: u64,
    /// The server's process, to be watched.
    pub server_pid: Option<u32>,
    /// The command line that runs it again, without secrets.
    pub command: Vec<String>,
    /// Whether the rate and so on are shown while it runs.
    pub progress: bool,
    /// Where they can be read by Prometheus meanwhile.
    pub metrics: Option<SocketAddr>,
}

/// What decides when a request is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// The response before it.
    Closed,
    /// A schedule.
    Open {
        /// Requests per second, in millionths.
        rate_millionths: u64,
        /// How they are spaced.
        arrival: Arrival,
    },
}

impl Plan {
    /// The schedule of an open loop.
    pub(crate) fn timetable(&self) -> Option<Timetable> {
        let Pace::Open { rate_millionths, arrival } = self.pace else { return None };
        Some(Timetable {
            rate_millionths,
            stages: self.stages.clone(),
            arrival,
            ramp: self.ramp,
            warmup: self.warmup,
            duration: self.duration,
            requests: self.requests,
            seed: self.seed,
        })
    }

    /// Requests per second over all stages.
    fn mean_rate(&self, rate_millionths: u64) -> f64 {
        let length_s: f64 = self.stages.iter().map(|stage| stage.length.as_secs_f64()).sum();
        let requests: f64 = self.stages.iter().map(|stage| stage.rate() * stage.length.as_secs_f64()).sum();
        if length_s > 0.0 { requests / length_s } else { rate_millionths as f64 / 1e6 }
    }

    /// The plan as recorded in results.
    pub(crate) fn facts(&self) -> PlanFacts {
        let (mode, rate, arrival) = match self.pace {
            Pace::Closed => (Mode::Closed, None, None),
            Pace::Open { rate_millionths, arrival } => {
                (Mode::Open, Some(self.mean_rate(rate_millionths)), Some(arrival))
            }
        };
        PlanFacts {
            urls: self.urls.clone(),
            mode,
            rate,
            stages: self.stages.iter().map(Stage::facts).collect(),
            arrival,
            connections: self.connections as u32,
            cpus: self.cpus.clone(),
            duration_s: self.duration.map(|duration| duration.as_secs_f64()),
            requests: self.requests,
            warmup_s: self.warmup.as_secs_f64(),
            ramp_s: self.ramp.as_secs_f64(),
            pipeline: self.pipeline as u32,
            new_connections: self.new_connections,
            seed: self.seed,
            protocol: match (self.protocol, &self.tls) {
                (Protocol::H1, None) => "http/1.1",
                (Protocol::H1, Some(_)) => "http/1.1 over TLS",
                (Protocol::H2, None) => "h2c",
                (Protocol::H2, Some(_)) => "h2",
            }
            .to_owned(),
        }
    }
}
