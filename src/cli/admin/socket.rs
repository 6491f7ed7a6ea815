//! The administrator's socket: a small server of its own on a Unix socket that only its owner may use, on a
//! thread beside the cores. What it says and does is JSON over HTTP.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::metrics;
use crate::net::Address;
use crate::ring::RingConfig;
use crate::service::{CoreContext, IntoResponse as _, Json, Response, RouteErrors, Router, Routes};
use crate::supervisor::{ReloadOutcome, ServerHandle};
use crate::upstream::{EndpointStatus, UpstreamStatus};
use crate::{RunError, Running, Server};

/// Permissions of the socket's file: who may write to it may drain servers.
const MODE: u32 = 0o600;

/// For one administrator at a time, whose requests are small.
fn ring() -> RingConfig {
    RingConfig { submissions: 64, completions: 512, buffers: 16, ..RingConfig::default() }
}

/// Starts the socket's server.
pub(in crate::cli) fn start(path: &std::path::Path, handle: ServerHandle) -> Result<Running, RunError> {
    Server::new()
        .listen(Address::Unix(path.to_owned()))
        .unix_mode(MODE)
        .workers(1)
        .ring(ring())
        .quiet(true)
        .try_start(move |core| routes(core, &handle))
}

/// Starts a server for `GET /metrics` alone.
pub(in crate::cli) fn start_metrics(address: &Address, handle: ServerHandle) -> Result<Running, RunError> {
    Server::new()
        .listen(address.clone())
        .workers(1)
        .ring(ring())
        .quiet(true)
        .try_start(move |core| Router::new().get("/metrics", metrics_of(core, &handle)).build())
}

/// The handler of `GET /metrics`.
fn metrics_of(core: &CoreContext, handle: &ServerHandle) -> impl AsyncFn() -> Response + 'static {
    let (ring, handle) = (core.ring.clone(), handle.clone());
    async move || {
        let handle = handle.clone();
        let text = ring.blocking(move || metrics::text(&handle)).await;
        let mut response = Response::text(text);
        response.set_field("Content-Type", metrics::CONTENT_TYPE).expect("a constant that can be sent");
        response
    }
}

/// What `GET /status` says.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_seconds: u64,
    pub(super) addresses: Vec<String>,
    pub(super) workers: usize,
    /// Workers that replied; fewer than all if a core is blocked.
    pub(super) workers_answering: usize,
    pub(super) connections_open: usize,
    pub(super) connections: u64,
    pub(super) requests: u64,
    pub(super) refused: u64,
    pub(super) timed_out: u64,
    pub(super) over_capacity: u64,
    pub(super) cut: u64,
    pub(super) panics: u64,
    pub(super) reloads: u64,
    pub(super) reloads_refused: u64,
    /// Seconds since 1970; none before the first.
    pub(super) last_reload: Option<u64>,
}

/// What `GET /upstreams` says of each.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct UpstreamReport {
    pub(super) name: String,
    pub(super) balance: String,
    pub(super) panics: bool,
    pub(super) endpoints: Vec<EndpointReport>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EndpointReport {
    pub(super) endpoint: String,
    /// `up`, `down`, `drained`, `unhealthy`, `ejected`, `open` (its breaker), `backup`.
    pub(super) state: String,
    pub(super) is_usable: bool,
    pub(super) weight: u32,
    pub(super) is_weight_set: bool,
    pub(super) in_flight: u32,
    pub(super) connections: u32,
    pub(super) queued: u32,
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) latency_ms: Option<f64>,
    pub(super) ejected_for_seconds: Option<f64>,
}

/// Which endpoint a command is for.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct EndpointCommand {
    pub(super) endpoint: String,
    /// In every upstream without.
    pub(super) upstream: Option<String>,
    /// For `weight`: none is the configured one.
    pub(super) weight: Option<u32>,
}

/// What came of a command.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct CommandReport {
    pub(super) done: bool,
    pub(super) lines: Vec<String>,
}

fn routes(core: &CoreContext, handle: &ServerHandle) -> Result<Routes, RouteErrors> {
    let ring = core.ring.clone();
    // Workers are asked, and plans are built, while this core goes on.
    let status = {
        let (ring, handle) = (ring.clone(), handle.clone());
        async move || {
            let handle = handle.clone();
            Json(ring.blocking(move || status(&handle)).await)
        }
    };
    let reload = {
        let handle = handle.clone();
        async move || {
            let handle = handle.clone();
            let ReloadOutcome { is_served, lines } = ring.blocking(move || handle.reload()).await;
            Json(CommandReport { done: is_served, lines })
        }
    };
    let upstreams = {
        let handle = handle.clone();
        async move || {
            let all = handle.upstreams().status(Instant::now());
            Json(all.iter().map(upstream_report).collect::<Vec<_>>()).into_response()
        }
    };
    let command = |drained: Option<bool>| {
        let handle = handle.clone();
        async move |Json(command): Json<EndpointCommand>| Json(act(&handle, &command, drained))
    };
    Router::new()
        .get("/status", status)
        .get("/upstreams", upstreams)
        .get("/metrics", metrics_of(core, handle))
        .post("/reload", reload)
        .post("/drain", command(Some(true)))
        .post("/enable", command(Some(false)))
        .post("/weight", command(None))
        .build()
}

fn status(handle: &ServerHandle) -> Status {
    let (live, reloads) = (handle.totals(), handle.reloads());
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: handle.age().as_secs(),
        addresses: handle.urls(),
        workers: live.workers,
        workers_answering: live.answered,
        connections_open: live.open,
        connections: live.totals.accepted,
        requests: live.totals.requests,
        refused: live.totals.refused,
        timed_out: live.totals.timed_out,
        over_capacity: live.totals.over_capacity,
        cut: live.totals.cut,
        panics: live.totals.panics,
        reloads: reloads.served,
        reloads_refused: reloads.refused,
        last_reload: reloads.last_served.map(since_1970),
    }
}

fn upstream_report(status: &UpstreamStatus) -> UpstreamReport {
    UpstreamReport {
        name: status.name.clone(),
        balance: status.balance.clone(),
        panics: status.panics,
        endpoints: status.endpoints.iter().map(endpoint_report).collect(),
    }
}

fn endpoint_report(status: &EndpointStatus) -> EndpointReport {
    EndpointReport {
        endpoint: status.endpoint.clone(),
        state: state_of(status).to_owned(),
        is_usable: status.is_usable(),
        weight: status.weight,
        is_weight_set: status.is_weight_set,
        in_flight: status.in_flight,
        connections: status.connections,
        queued: status.queued,
        requests: status.requests,
        failures: status.failures,
        latency_ms: status.latency.map(|latency| latency.as_secs_f64() * 1000.0),
        ejected_for_seconds: status.ejected_for.map(|time| time.as_secs_f64()),
    }
}

/// The reason why an endpoint gets no requests, or `up`.
fn state_of(status: &EndpointStatus) -> &'static str {
    use crate::upstream::{BreakerStatus, Health};

    match status {
        _ if status.down => "down",
        _ if status.drained || status.weight == 0 => "drained",
        _ if status.health == Health::Down => "unhealthy",
        _ if status.ejected_for.is_some() => "ejected",
        _ if status.breaker == Some(BreakerStatus::Open) => "open",
        _ if status.backup => "backup",
        _ => "up",
    }
}

/// Drains or enables an endpoint, or sets its weight.
fn act(handle: &ServerHandle, command: &EndpointCommand, drained: Option<bool>) -> CommandReport {
    let EndpointCommand { endpoint, upstream, weight } = command;
    let upstreams = handle.upstreams();
    let count = match drained {
        Some(drained) => upstreams.set_drained(upstream.as_deref(), endpoint, drained, Instant::now()),
        None => upstreams.set_weight(upstream.as_deref(), endpoint, *weight),
    };
    let what = match (drained, weight) {
        (Some(true), _) => "gets no more requests; what is open goes on".to_owned(),
        (Some(false), _) => "gets requests again".to_owned(),
        (None, Some(weight)) => format!("has the weight {weight}"),
        (None, None) => "has its configured weight".to_owned(),
    };
    let lines = match count {
        0 => {
            let all = upstreams.status(Instant::now());
            if let Some(name) = upstream
                && !all.iter().any(|of| of.name == *name)
            {
                let known: Vec<&str> = all.iter().map(|of| &*of.name).collect();
                let lines = vec![format!("there is no upstream {name}; there are {}", known.join(", "))];
                return CommandReport { done: false, lines };
            }
            let known: Vec<&str> =
                all.iter().flat_map(|of| &of.endpoints).map(|one| &*one.endpoint).collect();
            vec![format!("there is no endpoint {endpoint}; there are {}", known.join(", "))]
        }
        1 => vec![format!("{endpoint} {what}")],
        count => vec![format!("{endpoint} {what}, in {count} upstreams")],
    };
    CommandReport { done: count > 0, lines }
}
