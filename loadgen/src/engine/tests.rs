//! A result to try things on.

use std::collections::BTreeMap;

use crate::result::*;

/// A sound run of an open loop.
pub(crate) fn sample_result() -> RunResult {
    let mut total = Outcomes { planned: 1000, sent: 1000, done: 1000, ..Outcomes::default() };
    let mut cost = Cost::default();
    for n in 1..=1000 {
        total.response.record(n * 1000);
        total.service.record(n * 1000);
        total.lag.record(5_000);
        cost.generator_lag.get_or_insert_default().record(5_000);
    }
    RunResult {
        schema: SCHEMA.to_owned(),
        version: "0".to_owned(),
        started_unix_ms: 0,
        command: Vec::new(),
        plan: PlanFacts {
            urls: vec!["http://h/".to_owned()],
            mode: Mode::Open,
            rate: Some(100.0),
            stages: Vec::new(),
            arrival: Some(Arrival::Fixed),
            connections: 1,
            cpus: vec![0],
            duration_s: Some(10.0),
            requests: None,
            warmup_s: 0.0,
            ramp_s: 0.0,
            pipeline: 1,
            new_connections: false,
            seed: 1,
            protocol: "http/1.1".to_owned(),
        },
        host: HostFacts::default(),
        validity: Validity::default(),
        measured_s: 10.0,
        total,
        endpoints: BTreeMap::new(),
        intervals: Vec::new(),
        connections: ConnectionFacts::default(),
        cost,
        slo: Vec::new(),
        merged: Vec::new(),
    }
}
