//! Runs as they could have been, from a seeded generator, for the tests of reports and merges. Not shipped.

use std::collections::BTreeMap;

use crate::histogram::Durations;
use crate::result::*;

/// Numbers that look random and are the same every time (SplitMix64).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A service time: 400 µs and an exponential tail, one in 500 slow.
    fn service_ns(&mut self) -> u64 {
        let tail = -(1.0 - self.share()).ln() * 150e3;
        let slow = if self.next().is_multiple_of(500) { 4e6 * self.share() } else { 0.0 };
        (400e3 + tail + slow) as u64
    }
}

/// Ten seconds at 2,000/s on 16 connections, half a second of which the server stood still.
pub(crate) fn open_loop() -> RunResult {
    open_loop_of(7, 10, 2_000)
}

/// The same with another seed, another length, another rate.
pub(crate) fn open_loop_of(seed: u64, length_s: u64, rate: u64) -> RunResult {
    let mut numbers = Numbers::new(seed);
    let (mut total, mut intervals) = (Outcomes::default(), Vec::new());
    for second in 0..length_s {
        let mut interval = Interval {
            start_s: second as f64,
            length_s: 1.0,
            planned: rate,
            busy: 0.31 + 0.04 * numbers.share(),
            server_cpu_s: Some(0.52 + 0.05 * numbers.share()),
            ..Interval::default()
        };
        for arrival in 0..rate {
            let stall_s = if second == 6 { (0.5 - arrival as f64 / rate as f64).max(0.0) } else { 0.0 };
            arrive(&mut numbers, (stall_s * 1e9) as u64, &mut total, &mut interval);
        }
        intervals.push(interval);
    }
    total.received_bytes = total.done * 172;
    (total.achieved, total.drained) = (Some(total.done), 0);
    total.sent_bytes = total.sent * 61;
    let mut done_each = vec![total.done / 16; 16];
    done_each.iter_mut().for_each(|done| *done = *done - 20 + numbers.next() % 40);
    done_each.sort_unstable();
    let mut connect = Durations::default();
    (0..16).for_each(|_| connect.record(60_000 + numbers.next() % 90_000));
    RunResult {
        connections: ConnectionFacts {
            opened: 16,
            lost: 0,
            received_bytes: Some(total.received_bytes),
            unasked: 0,
            connect,
            tls: None,
            done_each,
        },
        cost: Cost {
            generator_cpu_s: 0.33 * length_s as f64,
            generator_busy_max: 0.35,
            generator_lag: Some(total.lag.clone()),
            generator_stalls: Durations::default(),
            server: Some(ServerCost {
                pid: 4711,
                user_s: 0.19 * length_s as f64,
                system_s: 0.35 * length_s as f64,
                switches: 1_250 * length_s,
                read_write_calls: Some(4_000 * length_s),
                resident_bytes: 14_300_000,
            }),
        },
        slo: vec![
            SloVerdict { demand: "p90<5ms".into(), found: Some("820 µs".into()), met: true, needs: None },
            SloVerdict { demand: "err<1%".into(), found: Some("0.06 %".into()), met: true, needs: None },
        ],
        intervals,
        total,
        ..empty_of(seed, length_s, rate)
    }
}

fn arrive(numbers: &mut Numbers, stall_ns: u64, total: &mut Outcomes, interval: &mut Interval) {
    total.planned += 1;
    total.sent += 1;
    interval.sent += 1;
    if numbers.next().is_multiple_of(2_000) {
        interval.failed += 1;
        if numbers.next().is_multiple_of(2) {
            total.timeouts += 1;
            end(1_000_000_000, 0, stall_ns, false, total, interval);
        } else {
            total.errors += 1;
            *total.errors_by_kind.entry("reset".into()).or_default() += 1;
            end(200_000, 0, stall_ns, false, total, interval);
        }
        return;
    }
    let (lag, service) = (8_000 + numbers.next() % 9_000, numbers.service_ns());
    total.done += 1;
    interval.done += 1;
    *total.statuses.entry(200).or_default() += 1;
    total.lag.record(lag);
    end(service, lag, stall_ns, true, total, interval);
}

fn end(service: u64, lag: u64, stall: u64, is_ok: bool, total: &mut Outcomes, interval: &mut Interval) {
    let response = lag + service + stall;
    total.service.record(service + stall / 100);
    total.response.record(response);
    if is_ok { &mut total.response_ok } else { &mut total.response_failed }.record(response);
    interval.response.record(response);
}

/// Without a rate: service time only.
pub(crate) fn closed_loop() -> RunResult {
    let mut result = open_loop();
    result.plan.mode = Mode::Closed;
    (result.plan.rate, result.plan.arrival) = (None, None);
    result.total.response = result.total.service.clone();
    (result.total.response_ok, result.total.response_failed) = Default::default();
    result.total.lag = Durations::default();
    result.cost.generator_lag = None;
    result.slo.clear();
    result.cost.server = None;
    result.intervals.iter_mut().for_each(|interval| interval.server_cpu_s = None);
    result
}

/// A run in which nothing happened.
pub(crate) fn empty() -> RunResult {
    empty_of(7, 10, 2_000)
}

fn empty_of(seed: u64, length_s: u64, rate: u64) -> RunResult {
    let command = ["loadgen", "bench", "-c", "16", "-R", &rate.to_string(), "http://127.0.0.1:8080/?a=1&b=2"]
        .map(String::from)
        .to_vec();
    RunResult {
        schema: SCHEMA.to_string(),
        version: "0.1.0".to_string(),
        started_unix_ms: 1_795_000_000_000 + seed,
        command,
        plan: PlanFacts {
            urls: vec!["http://127.0.0.1:8080/?a=1&b=2".to_string()],
            mode: Mode::Open,
            rate: Some(rate as f64),
            stages: Vec::new(),
            arrival: Some(Arrival::Fixed),
            connections: 16,
            cpus: vec![1],
            duration_s: Some(length_s as f64),
            requests: None,
            warmup_s: 1.0,
            ramp_s: 0.0,
            pipeline: 1,
            new_connections: false,
            seed,
            protocol: "http/1.1".to_string(),
        },
        host: HostFacts {
            kernel: "6.18.0".to_string(),
            processor: "a processor".to_string(),
            processors: 2,
            memory_bytes: 8_000_000_000,
        },
        validity: Validity::default(),
        measured_s: length_s as f64,
        total: Outcomes::default(),
        endpoints: BTreeMap::new(),
        intervals: Vec::new(),
        connections: ConnectionFacts::default(),
        cost: Cost::default(),
        slo: Vec::new(),
        merged: Vec::new(),
    }
}

/// Sixteen connections over TLS.
pub(crate) fn handshakes() -> TlsFacts {
    let mut facts = TlsFacts::default();
    let suite = "TLSv1.3 TLS13_AES_256_GCM_SHA384";
    (0..16).for_each(|n| {
        facts.note(n >= 12, if n < 12 { 800_000 + n * 1000 } else { 300_000 }, suite.to_string())
    });
    facts
}

/// One of the runs of which a result was merged.
pub(crate) fn merged_run() -> MergedRun {
    let run = empty();
    MergedRun {
        started_unix_ms: run.started_unix_ms,
        measured_s: run.measured_s,
        rate: run.plan.rate,
        connections: run.plan.connections,
        command: run.command,
        host: run.host,
        valid: true,
    }
}

/// Every text of it holds what a page, a table, a shell or a terminal could take for its own.
pub(crate) fn hostile() -> RunResult {
    let text =
        "</style><script>alert(1)</script>\"'`|]]>&amp;\u{1b}[2J\u{202e}\n# <img src=x onerror=x> @all";
    let mut result = open_loop();
    result.plan.urls = vec![text.to_string(), "http://[::1]/".to_string()];
    result.plan.protocol = text.to_string();
    result.command.push(text.to_string());
    result.validity.reasons = vec![text.to_string()];
    result.validity.warnings = vec![text.to_string()];
    result.total.errors_by_kind.insert(text.to_string(), 1);
    result.endpoints.insert(text.to_string(), result.total.clone());
    result.endpoints.insert("GET /b".to_string(), result.total.clone());
    result.slo.push(SloVerdict {
        demand: text.to_string(),
        found: Some(text.to_string()),
        met: false,
        needs: None,
    });
    result.version = text.to_string();
    result.host.processor = text.to_string();
    result.host.kernel = text.to_string();
    result
}
