//! Results for tests: one that is valid and empty.

use crate::histogram::Durations;
use crate::result::{
    ConnectionFacts, Cost, HostFacts, Mode, Outcomes, PlanFacts, RunResult, SCHEMA, Validity,
};

/// A closed loop of a second without requests.
pub(crate) fn run() -> RunResult {
    let plan = PlanFacts {
        urls: vec!["http://127.0.0.1/".to_string()],
        mode: Mode::Closed,
        rate: None,
        stages: Vec::new(),
        arrival: None,
        connections: 1,
        cpus: vec![0],
        duration_s: Some(1.0),
        requests: None,
        warmup_s: 0.0,
        ramp_s: 0.0,
        pipeline: 1,
        new_connections: false,
        seed: 1,
        protocol: "http/1.1".to_string(),
    };
    RunResult {
        schema: SCHEMA.to_string(),
        version: "0".to_string(),
        started_unix_ms: 0,
        command: Vec::new(),
        plan,
        host: HostFacts::default(),
        validity: Validity::default(),
        measured_s: 1.0,
        total: Outcomes { response: Durations::default(), ..Outcomes::default() },
        endpoints: Default::default(),
        intervals: Vec::new(),
        connections: ConnectionFacts::default(),
        cost: Cost::default(),
        slo: Vec::new(),
        merged: Vec::new(),
    }
}
