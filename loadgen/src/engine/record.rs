//! What became of requests, on one core: every one that was planned ends here exactly once. Only numbers;
//! no sockets, no clock.

use std::time::Duration;

use super::response::Answer;
use crate::histogram::Durations;
use crate::plan::schedule::nanoseconds;
use crate::result::{ConnectionFacts, Interval, Outcomes};

/// Steps of the measured phase at the most; longer runs have longer steps, whole seconds each.
const INTERVALS_MAX: u64 = 300;

/// Statuses that are counted separately; httparse takes three digits.
const STATUSES: usize = 1000;

/// No interval's start: three centuries behind every instant of a run.
const NO_START: u64 = 1 << 63;

/// Why a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    Connect,
    Tls,
    Write,
    Read,
    Reset,
    Protocol,
    Validation,
}

impl Fault {
    const NAMES: [&'static str; 7] = ["connect", "tls", "write", "read", "reset", "protocol", "validation"];

    /// What an error of a connection that stood means.
    pub(super) fn of(error: &std::io::Error, otherwise: Self) -> Self {
        match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Reset,
            // What TLS makes of records that cannot be read, and of alerts.
            std::io::ErrorKind::InvalidData => Self::Tls,
            _ => otherwise,
        }
    }
}

/// A request on its way. Instants are nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// When it was due.
    pub(super) planned_ns: u64,
    /// When it was due and a connection was free for it.
    pub(super) ready_ns: u64,
    /// When it was sent; `None` before.
    pub(super) sent_ns: Option<u64>,
    /// Which request it is.
    pub(super) endpoint: u32,
    /// Whether it belongs to the measured phase.
    pub(super) measured: bool,
}

/// The phases' borders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phases {
    /// Start of the measured phase.
    pub(super) from_ns: u64,
    /// Its planned end; `u64::MAX` when a number of requests ends it.
    pub(super) end_ns: u64,
    /// Length of an interval.
    pub(super) step_ns: u64,
}

impl Phases {
    pub(super) fn new(warmup: Duration, duration: Option<Duration>) -> Self {
        let from_ns = nanoseconds(warmup);
        let seconds = duration.map_or(0, |duration| duration.as_secs());
        let step_ns = seconds.div_ceil(INTERVALS_MAX).max(1) * 1_000_000_000;
        let end_ns = duration.map_or(u64::MAX, |duration| from_ns.saturating_add(nanoseconds(duration)));
        Self { from_ns, end_ns, step_ns }
    }

    /// The interval of an instant.
    pub(super) fn interval(&self, at_ns: u64) -> usize {
        (self.measured_ns(at_ns) / self.step_ns) as usize
    }

    /// An instant, from the start of the measured phase; what comes after the end belongs to the last
    /// interval.
    fn measured_ns(&self, at_ns: u64) -> u64 {
        at_ns.min(self.end_ns - 1).saturating_sub(self.from_ns)
    }
}

struct Endpoint {
    outcomes: Outcomes,
    faults: [u64; Fault::NAMES.len()],
    statuses: Box<[u64; STATUSES]>,
}

/// The books of one core.
pub(super) struct Record {
    phases: Phases,
    is_open: bool,
    endpoints: Vec<Endpoint>,
    pub(super) intervals: Vec<Interval>,
    /// The interval looked up last and its start: the next look-up nearly always ends there, without
    /// dividing.
    latest: (usize, u64),
    /// How late the generator itself was.
    pub(super) pacing: Durations,
    /// Connections; requests done on each by seat.
    pub(super) connections: ConnectionFacts,
    /// When the last request ended.
    pub(super) last_end_ns: u64,
}

impl Record {
    pub(super) fn new(phases: Phases, is_open: bool, endpoints: usize, seats: usize) -> Self {
        let endpoint = || Endpoint {
            outcomes: Outcomes::default(),
            faults: Default::default(),
            statuses: Box::new([0; STATUSES]),
        };
        Self {
            phases,
            is_open,
            endpoints: (0..endpoints).map(|_| endpoint()).collect(),
            intervals: Vec::new(),
            latest: (0, NO_START),
            pacing: Durations::default(),
            connections: ConnectionFacts { done_each: vec![0; seats], ..Default::default() },
            last_end_ns: phases.from_ns,
        }
    }

    pub(super) fn phases(&self) -> Phases {
        self.phases
    }

    #[inline]
    fn interval(&mut self, at_ns: u64) -> &mut Interval {
        let measured_ns = self.phases.measured_ns(at_ns);
        if measured_ns.wrapping_sub(self.latest.1) >= self.phases.step_ns {
            self.look_up(measured_ns);
        }
        &mut self.intervals[self.latest.0]
    }

    #[cold]
    fn look_up(&mut self, measured_ns: u64) {
        let index = (measured_ns / self.phases.step_ns) as usize;
        self.latest = (index, index as u64 * self.phases.step_ns);
        if index >= self.intervals.len() {
            self.intervals.resize_with(index + 1, Interval::default);
        }
    }

    /// A request was taken from the plan.
    pub(super) fn handle_planned(&mut self, flight: &Flight) {
        if flight.measured {
            self.endpoints[flight.endpoint as usize].outcomes.planned += 1;
            self.interval(flight.planned_ns).planned += 1;
        }
    }

    /// It leaves now.
    pub(super) fn handle_sent(&mut self, flight: &mut Flight, now_ns: u64, bytes: u64) {
        flight.sent_ns = Some(now_ns);
        if !flight.measured {
            return;
        }
        let outcomes = &mut self.endpoints[flight.endpoint as usize].outcomes;
        outcomes.sent += 1;
        outcomes.sent_bytes += bytes;
        if self.is_open {
            outcomes.lag.record(now_ns.saturating_sub(flight.planned_ns));
            self.pacing.record(now_ns.saturating_sub(flight.ready_ns.max(flight.planned_ns)));
        }
        self.interval(now_ns).sent += 1;
    }

    /// It was answered.
    pub(super) fn handle_answer(
        &mut self,
        flight: &Flight,
        answer: Answer,
        is_expected: bool,
        now_ns: u64,
        seat: usize,
    ) {
        if !flight.measured {
            return;
        }
        let endpoint = &mut self.endpoints[flight.endpoint as usize];
        endpoint.outcomes.received_bytes += answer.bytes;
        endpoint.statuses[usize::from(answer.status) % STATUSES] += 1;
        if !is_expected {
            return self.handle_fault(flight, Fault::Validation, now_ns);
        }
        let service = now_ns.saturating_sub(flight.sent_ns.unwrap_or(now_ns));
        let response = now_ns.saturating_sub(flight.planned_ns);
        endpoint.outcomes.done += 1;
        endpoint.outcomes.service.record(service);
        if self.is_open {
            endpoint.outcomes.response.record(response);
        }
        self.connections.done_each[seat] += 1;
        self.last_end_ns = self.last_end_ns.max(now_ns);
        let shown = if self.is_open { response } else { service };
        let interval = self.interval(now_ns);
        interval.done += 1;
        interval.response.record(shown);
    }

    /// It failed.
    pub(super) fn handle_fault(&mut self, flight: &Flight, fault: Fault, now_ns: u64) {
        if !flight.measured {
            return;
        }
        let endpoint = &mut self.endpoints[flight.endpoint as usize];
        endpoint.outcomes.errors += 1;
        endpoint.faults[fault as usize] += 1;
        self.last_end_ns = self.last_end_ns.max(now_ns);
        self.interval(now_ns).failed += 1;
    }

    /// It was not answered in time; what had passed counts as its response time.
    pub(super) fn handle_timeout(&mut self, flight: &Flight, now_ns: u64) {
        if !flight.measured {
            return;
        }
        let response = now_ns.saturating_sub(flight.planned_ns);
        let service = now_ns.saturating_sub(flight.sent_ns.unwrap_or(now_ns));
        let shown = if self.is_open { response } else { service };
        let outcomes = &mut self.endpoints[flight.endpoint as usize].outcomes;
        outcomes.timeouts += 1;
        outcomes.service.record(service);
        if self.is_open {
            outcomes.response.record(response);
        }
        self.last_end_ns = self.last_end_ns.max(now_ns);
        let interval = self.interval(now_ns);
        interval.failed += 1;
        interval.response.record(shown);
    }

    /// It was planned and never begun.
    pub(super) fn handle_dropped(&mut self, flight: &Flight) {
        self.handle_planned(flight);
        if flight.measured {
            self.endpoints[flight.endpoint as usize].outcomes.dropped += 1;
        }
    }

    /// The outcomes by endpoint.
    pub(super) fn take_outcomes(&mut self) -> Vec<Outcomes> {
        let is_open = self.is_open;
        let finish = |mut endpoint: Endpoint| {
            let outcomes = &mut endpoint.outcomes;
            if !is_open {
                outcomes.response = outcomes.service.clone();
            }
            for (name, &count) in Fault::NAMES.iter().zip(&endpoint.faults).filter(|(_, count)| **count > 0) {
                outcomes.errors_by_kind.insert((*name).to_owned(), count);
            }
            for (status, &count) in endpoint.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
                outcomes.statuses.insert(status as u16, count);
            }
            endpoint.outcomes
        };
        self.endpoints.drain(..).map(finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Answer = Answer { status: 200, closes: false, bytes: 10 };

    fn flight(planned_ns: u64) -> Flight {
        Flight { planned_ns, ready_ns: planned_ns, sent_ns: None, endpoint: 0, measured: true }
    }

    fn record(is_open: bool) -> Record {
        Record::new(Phases::new(Duration::ZERO, Some(Duration::from_secs(3))), is_open, 1, 1)
    }

    #[test]
    fn every_outcome_is_counted_once() {
        let mut record = record(true);
        let mut flights = [0, 1, 2, 3, 4].map(|n| flight(n * 1_000_000_000));
        for sent in &mut flights[..4] {
            record.handle_planned(sent);
            record.handle_sent(sent, sent.planned_ns + 10, 7);
        }
        record.handle_answer(&flights[0], ANSWER, true, 500, 0);
        record.handle_answer(&flights[1], ANSWER, false, 1_000_000_500, 0);
        record.handle_fault(&flights[2], Fault::Reset, 2_000_000_500);
        record.handle_timeout(&flights[3], 9_000_000_000);
        record.handle_dropped(&flights[4]);
        let (done, failed) = record.intervals.iter().fold((0, 0), |(d, f), i| (d + i.done, f + i.failed));
        assert_eq!((done, failed, record.intervals.len()), (1, 3, 3), "the end takes what comes after it");
        let outcomes = record.take_outcomes().remove(0);
        assert!(outcomes.is_accounted_for());
        assert_eq!((outcomes.planned, outcomes.sent, outcomes.done), (5, 4, 1));
        assert_eq!((outcomes.errors, outcomes.timeouts, outcomes.dropped), (2, 1, 1));
        assert_eq!(
            outcomes.errors_by_kind.iter().map(|(k, n)| (&**k, *n)).collect::<Vec<_>>(),
            [("reset", 1), ("validation", 1)]
        );
        assert_eq!(outcomes.statuses[&200], 2);
        assert_eq!((outcomes.sent_bytes, outcomes.received_bytes), (28, 20));
        // Censored at what had passed, and in the histogram.
        assert_eq!(outcomes.response.count(), 2);
        assert!(outcomes.response.max().unwrap() >= 5_990_000_000);
    }

    #[test]
    fn the_warm_up_leaves_no_trace() {
        let mut record = record(true);
        let mut early = Flight { measured: false, ..flight(0) };
        record.handle_planned(&early);
        record.handle_sent(&mut early, 1, 1);
        record.handle_answer(&early, ANSWER, true, 2, 0);
        record.handle_timeout(&early, 2);
        record.handle_fault(&early, Fault::Read, 2);
        record.handle_dropped(&early);
        let outcomes = record.take_outcomes().remove(0);
        assert_eq!((outcomes.planned, outcomes.sent, outcomes.response.count()), (0, 0, 0));
        assert!(record.intervals.is_empty());
    }

    #[test]
    fn waiting_for_a_connection_is_not_the_generators_lag() {
        let mut record = record(true);
        let mut late = Flight { ready_ns: 1_000_000, ..flight(0) };
        record.handle_planned(&late);
        record.handle_sent(&mut late, 1_010_000, 1);
        assert!(record.pacing.max().unwrap() < 10_100);
        assert!(record.take_outcomes()[0].lag.max().unwrap() >= 1_009_000);
    }

    #[test]
    fn a_closed_loop_has_service_times_alone() {
        let mut record = record(false);
        let mut one = flight(0);
        record.handle_planned(&one);
        record.handle_sent(&mut one, 100_000, 1);
        record.handle_answer(&one, ANSWER, true, 300_000, 0);
        let outcomes = record.take_outcomes().remove(0);
        assert_eq!(outcomes.response, outcomes.service);
        assert_eq!(outcomes.lag.count(), 0);
        assert!(outcomes.service.max().unwrap().abs_diff(200_000) < 300);
    }

    #[test]
    fn long_runs_have_longer_steps() {
        let step = |s| Phases::new(Duration::ZERO, Some(Duration::from_secs(s))).step_ns / 1_000_000_000;
        assert_eq!((step(10), step(300), step(301), step(3600)), (1, 1, 2, 12));
    }
}
