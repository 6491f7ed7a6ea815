//! What became of requests, on one core: every one that was planned ends here exactly once. Only numbers;
//! no sockets, no clock.

use std::time::Duration;

use super::lateness::{self, Backlog, Beats, Ended, Late, Thread};
use super::response::Answer;
use crate::histogram::Durations;
use crate::plan::schedule::nanoseconds;
use crate::result::{ConnectionFacts, Interval, Outcomes};

/// Steps of the measured phase at the most; longer runs have longer steps, whole seconds each.
const INTERVALS_MAX: u64 = 300;

/// Steps of the measured phase at the least: shorter runs have shorter steps, so that its second half can be
/// distinguished from its first.
const INTERVALS_MIN: u64 = 4;

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
    /// This machine's own lack of ports, descriptors or memory.
    Generator,
}

impl Fault {
    const NAMES: [&'static str; 8] =
        ["connect", "tls", "write", "read", "reset", "protocol", "validation", "generator"];

    /// What an error of connecting, or of a connection that stood, means.
    pub(super) fn of(error: &std::io::Error, otherwise: Self) -> Self {
        if error.raw_os_error().is_some_and(|code| OURS.contains(&code)) {
            return Self::Generator;
        }
        match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => Self::Reset,
            // What TLS makes of records that cannot be read, and of alerts.
            std::io::ErrorKind::InvalidData => Self::Tls,
            _ => otherwise,
        }
    }
}

/// Errors of this machine's and not of the target's (connect(2), socket(2)): no local port or address, no
/// descriptor for the process or the machine, no buffers, no memory.
const OURS: [i32; 5] = [99, 24, 23, 105, 12];

/// A request on its way. Instants are nanoseconds from the run's origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    /// When it was due.
    pub(super) planned_ns: u64,
    /// When it was due and a connection was free for it.
    pub(super) ready_ns: u64,
    /// When it was sent; `None` before.
    pub(super) sent_ns: Option<u64>,
    /// How long of that the generator itself may have made it wait.
    pub(super) own_ns: u64,
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
        let length_ns = duration.map_or(u64::MAX, nanoseconds);
        let seconds = duration.map_or(0, |duration| duration.as_secs());
        let step_ns = seconds.div_ceil(INTERVALS_MAX).max(1) * 1_000_000_000;
        let step_ns = step_ns.min(length_ns.div_ceil(INTERVALS_MIN).max(1));
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
    /// Answers as expected within the measured phase.
    achieved: u64,
    faults: [u64; Fault::NAMES.len()],
    statuses: Box<[u64; STATUSES]>,
}

/// The books of one core.
pub(super) struct Record {
    phases: Phases,
    is_open: bool,
    /// Requests that can be in flight on this core at a time.
    in_flight_max: usize,
    endpoints: Vec<Endpoint>,
    pub(super) intervals: Vec<Interval>,
    /// The interval looked up last and its start: the next look-up nearly always ends there, without
    /// dividing.
    latest: (usize, u64),
    /// How late the generator itself was with what it sent, and for how long it did not run.
    pub(super) pacing: Durations,
    pub(super) stalls: Durations,
    pub(super) backlog: Backlog,
    beats: Beats,
    received_bytes: u64,
    /// Connections; requests done on each by seat.
    pub(super) connections: ConnectionFacts,
    /// When the last request ended.
    pub(super) last_end_ns: u64,
}

impl Record {
    pub(super) fn new(
        phases: Phases,
        is_open: bool,
        endpoints: usize,
        seats: usize,
        in_flight_max: usize,
    ) -> Self {
        let endpoint = || Endpoint {
            outcomes: Outcomes::default(),
            achieved: 0,
            faults: Default::default(),
            statuses: Box::new([0; STATUSES]),
        };
        Self {
            phases,
            is_open,
            in_flight_max,
            endpoints: (0..endpoints).map(|_| endpoint()).collect(),
            intervals: Vec::new(),
            latest: (0, NO_START),
            pacing: Durations::default(),
            stalls: Durations::default(),
            backlog: Backlog::default(),
            beats: Beats::default(),
            received_bytes: 0,
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

    /// Bytes came, of whatever.
    #[inline]
    pub(super) fn handle_received(&mut self, bytes: usize, is_within: bool) {
        if is_within {
            self.received_bytes += bytes as u64;
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
        if self.is_open {
            let ready_ns = flight.ready_ns.max(flight.planned_ns);
            flight.own_ns = flight.own_ns.max(now_ns.saturating_sub(ready_ns));
        }
        if !flight.measured {
            return;
        }
        let outcomes = &mut self.endpoints[flight.endpoint as usize].outcomes;
        outcomes.sent += 1;
        outcomes.sent_bytes += bytes;
        if self.is_open {
            outcomes.lag.record(now_ns.saturating_sub(flight.planned_ns));
            self.pacing.record(flight.own_ns);
        }
        self.interval(now_ns).sent += 1;
    }

    /// It was answered, within the measured phase or not.
    pub(super) fn handle_answer(
        &mut self,
        flight: &Flight,
        answer: Answer,
        is_expected: bool,
        now_ns: u64,
        is_within: bool,
        seat: usize,
    ) {
        let endpoint = &mut self.endpoints[flight.endpoint as usize];
        if is_expected && is_within {
            endpoint.achieved += 1;
            self.interval(now_ns).done += 1;
        }
        if !flight.measured {
            return;
        }
        let endpoint = &mut self.endpoints[flight.endpoint as usize];
        endpoint.outcomes.received_bytes += answer.bytes;
        endpoint.statuses[usize::from(answer.status) % STATUSES] += 1;
        if !is_expected {
            return self.handle_fault(flight, Fault::Validation, now_ns, is_within);
        }
        endpoint.outcomes.done += 1;
        endpoint.outcomes.drained += u64::from(!is_within);
        self.connections.done_each[seat] += 1;
        self.handle_end(flight, now_ns, true);
    }

    /// It failed.
    pub(super) fn handle_fault(&mut self, flight: &Flight, fault: Fault, now_ns: u64, is_within: bool) {
        if is_within {
            self.interval(now_ns).failed += 1;
        }
        if !flight.measured {
            return;
        }
        let endpoint = &mut self.endpoints[flight.endpoint as usize];
        endpoint.outcomes.errors += 1;
        endpoint.faults[fault as usize] += 1;
        self.handle_end(flight, now_ns, false);
    }

    /// It was not answered in time; what had passed counts as its response time.
    pub(super) fn handle_timeout(&mut self, flight: &Flight, now_ns: u64, is_within: bool) {
        if is_within {
            self.interval(now_ns).failed += 1;
        }
        if flight.measured {
            self.endpoints[flight.endpoint as usize].outcomes.timeouts += 1;
            self.handle_end(flight, now_ns, false);
        }
    }

    /// The run has ended before it did: as a timeout, before the time for one.
    pub(super) fn handle_unfinished(&mut self, flight: &Flight, now_ns: u64) {
        if flight.measured {
            self.endpoints[flight.endpoint as usize].outcomes.unfinished += 1;
        }
        self.handle_timeout(flight, now_ns, false);
    }

    /// It was planned and never begun; what had passed counts as its response time.
    pub(super) fn handle_dropped(&mut self, flight: &Flight, now_ns: u64) {
        self.handle_planned(flight);
        if flight.measured {
            let outcomes = &mut self.endpoints[flight.endpoint as usize].outcomes;
            outcomes.dropped += 1;
            let (endpoint, response_ns) = (flight.endpoint, now_ns.saturating_sub(flight.planned_ns));
            outcomes.response_failed.record(response_ns);
            self.interval(flight.planned_ns).response.record(response_ns);
            self.beats.handle_ended(Ended { endpoint, is_ok: false, response_ns, own_ns: flight.own_ns });
        }
    }

    /// It ended, one way or another.
    #[inline]
    fn handle_end(&mut self, flight: &Flight, now_ns: u64, is_ok: bool) {
        let response_ns = now_ns.saturating_sub(flight.planned_ns);
        let outcomes = &mut self.endpoints[flight.endpoint as usize].outcomes;
        if is_ok { &mut outcomes.response_ok } else { &mut outcomes.response_failed }.record(response_ns);
        if let Some(sent_ns) = flight.sent_ns {
            outcomes.service.record(now_ns.saturating_sub(sent_ns));
        }
        self.last_end_ns = self.last_end_ns.max(now_ns);
        // At the time when it was due: a freeze is where it was, and not where it ended.
        self.interval(flight.planned_ns).response.record(response_ns);
        self.beats.handle_ended(Ended {
            endpoint: flight.endpoint,
            is_ok,
            response_ns,
            own_ns: flight.own_ns,
        });
    }

    /// A turn of the core began.
    #[inline]
    pub(super) fn handle_turn(&mut self, turn_ns: u64) {
        self.beats.handle_turn(turn_ns, &mut self.backlog);
    }

    /// The beat that was due at `due_ns`: how long the core was late.
    pub(super) fn handle_beat(&mut self, due_ns: u64, turn_ns: u64, thread: Thread) -> Late {
        self.handle_turn(turn_ns);
        let late = self.beats.end(due_ns, turn_ns, thread, !self.is_open);
        // Also one that began within the measured phase and ended after it.
        let measured = self.phases.from_ns..self.phases.end_ns.saturating_add(late.ns);
        if late.ns > 0 && measured.contains(&turn_ns) {
            self.stalls.record(late.ns);
        }
        late
    }

    /// Books what ended since the last beat as seen as late as that was, and begins the next: when it is due.
    pub(super) fn begin_beat(&mut self, now_ns: u64) -> u64 {
        self.settle();
        self.beats.begin(now_ns)
    }

    /// The run is over, with a beat that was due at `due_ns` or that is not booked yet.
    pub(super) fn end_beats(&mut self, due_ns: u64, turn_ns: u64, thread: Thread) {
        if !self.beats.is_unsettled() {
            self.handle_beat(due_ns, turn_ns, thread);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let (endpoints, in_flight_max) = (&mut self.endpoints, self.in_flight_max);
        self.beats.settle(in_flight_max, |ended, own_ns| {
            lateness::note(&mut endpoints[ended.endpoint as usize].outcomes.own, ended, own_ns);
        });
    }

    /// The connections.
    pub(super) fn take_connections(&mut self) -> ConnectionFacts {
        self.connections.received_bytes = Some(self.received_bytes);
        std::mem::take(&mut self.connections)
    }

    /// The outcomes by endpoint.
    pub(super) fn take_outcomes(&mut self) -> Vec<Outcomes> {
        let finish = |mut endpoint: Endpoint| {
            let outcomes = &mut endpoint.outcomes;
            outcomes.achieved = Some(endpoint.achieved);
            outcomes.response = outcomes.response_ok.clone();
            outcomes.response.add(&outcomes.response_failed);
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
        Flight { planned_ns, ready_ns: planned_ns, sent_ns: None, own_ns: 0, endpoint: 0, measured: true }
    }

    fn record(is_open: bool) -> Record {
        Record::new(Phases::new(Duration::ZERO, Some(Duration::from_secs(3))), is_open, 1, 1, 1)
    }

    #[test]
    fn every_outcome_is_counted_once() {
        let mut record = record(true);
        let mut flights = [0, 1, 2, 0, 2].map(|n| flight(n * 1_000_000_000));
        for sent in &mut flights[..4] {
            record.handle_planned(sent);
            record.handle_sent(sent, sent.planned_ns + 10, 7);
        }
        record.handle_answer(&flights[0], ANSWER, true, 500, true, 0);
        record.handle_answer(&flights[1], ANSWER, false, 2_500_000_000, true, 0);
        record.handle_fault(&flights[2], Fault::Reset, 2_000_000_500, true);
        record.handle_timeout(&flights[3], 9_000_000_000, false);
        record.handle_dropped(&flights[4], 5_000_000_000);
        let (done, failed) = record.intervals.iter().fold((0, 0), |(d, f), i| (d + i.done, f + i.failed));
        assert_eq!((done, failed, record.intervals.len()), (1, 2, 4), "what ends after the end is in none");
        let times: Vec<u64> = record.intervals.iter().map(|interval| interval.response.count()).collect();
        assert_eq!(times, [2, 1, 2, 0], "where they were due");
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
        // Every outcome has a response time; those that did not end are censored at what had passed.
        assert_eq!((outcomes.response.count(), outcomes.service.count()), (5, 4));
        assert_eq!((outcomes.response_ok.count(), outcomes.response_failed.count()), (1, 4));
        assert!(outcomes.response.max().unwrap() >= 8_990_000_000);
        assert!(outcomes.response_ok.max().unwrap() < 510);
    }

    #[test]
    fn what_comes_after_the_end_was_not_achieved() {
        let mut record = record(true);
        let early = Flight { measured: false, ..flight(0) };
        record.handle_answer(&early, ANSWER, true, 500, true, 0);
        for (now_ns, is_within) in [(500, true), (2_000, true), (3_000_000_001, false)] {
            let flight = flight(0);
            record.handle_planned(&flight);
            record.handle_answer(&flight, ANSWER, true, now_ns, is_within, 0);
            record.handle_received(10, is_within);
        }
        let outcomes = record.take_outcomes().remove(0);
        assert_eq!((outcomes.done, outcomes.achieved), (3, Some(3)), "one of the warm-up came in it");
        assert_eq!(outcomes.drained, 1);
        assert_eq!(record.take_connections().received_bytes, Some(20));
        assert_eq!(record.intervals.iter().map(|interval| interval.done).sum::<u64>(), 3);
    }

    #[test]
    fn the_warm_up_leaves_no_trace() {
        let mut record = record(true);
        let mut early = Flight { measured: false, ..flight(0) };
        record.handle_planned(&early);
        record.handle_sent(&mut early, 1, 1);
        record.handle_answer(&early, ANSWER, true, 2, false, 0);
        record.handle_timeout(&early, 2, false);
        record.handle_fault(&early, Fault::Read, 2, false);
        record.handle_dropped(&early, 2);
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
    fn a_stall_of_the_generator_is_taken_off_what_it_delayed() {
        let mut record = record(true);
        record.begin_beat(0);
        record.handle_beat(5_000_000, 5_000_000, Thread::default());
        let due_ns = record.begin_beat(5_000_000);
        let mut late = Flight { own_ns: 400_000_000, ..flight(100_000_000) };
        record.handle_planned(&late);
        record.handle_sent(&mut late, 500_000_000, 1);
        record.handle_answer(&late, ANSWER, true, 1_110_000_000, true, 0);
        // Stopped from 0.51 s to 1.11 s.
        record.handle_beat(due_ns, due_ns + 600_000_000, Thread::default());
        record.begin_beat(1_110_000_000);
        let outcomes = record.take_outcomes().remove(0);
        assert!(outcomes.response.max().unwrap().abs_diff(1_010_000_000) < 2_000_000);
        let without = outcomes.without_own_lateness().unwrap();
        assert!(without.response.max().unwrap().abs_diff(10_000_000) < 200_000, "{without:?}");
        assert_eq!((without.response.count(), without.response_ok.count()), (1, 1));
        assert_eq!(record.stalls.count(), 1);
    }

    /// Stopped until after its end, it drops what it could not send, and that is not the target's.
    #[test]
    fn a_stall_over_the_end_is_taken_off_what_it_dropped() {
        let mut record = record(true);
        record.begin_beat(0);
        record.handle_beat(5_000_000, 5_000_000, Thread::default());
        let due_ns = record.begin_beat(5_000_000);
        let (mut dropped, now_ns) = (flight(2_000_000_000), 9_000_000_000);
        record.backlog.handle_overdue(dropped.planned_ns, now_ns);
        dropped.own_ns = record.backlog.own_ns(dropped.planned_ns, now_ns);
        record.handle_dropped(&dropped, now_ns);
        record.end_beats(due_ns, now_ns, Thread::default());
        let outcomes = record.take_outcomes().remove(0);
        assert!(outcomes.is_accounted_for() && outcomes.dropped == 1);
        assert!(outcomes.response.max().unwrap() >= 6_990_000_000);
        assert!(outcomes.without_own_lateness().unwrap().response.max().unwrap() < 1000);
    }

    #[test]
    fn a_closed_loop_counts_from_taking_a_request() {
        let mut record = record(false);
        let mut one = flight(0);
        record.handle_planned(&one);
        // After 100 µs for a new connection.
        record.handle_sent(&mut one, 100_000, 1);
        record.handle_answer(&one, ANSWER, true, 300_000, true, 0);
        let outcomes = record.take_outcomes().remove(0);
        assert!(outcomes.response.max().unwrap().abs_diff(300_000) < 300);
        assert!(outcomes.service.max().unwrap().abs_diff(200_000) < 300);
        assert_eq!(outcomes.lag.count(), 0);
    }

    #[test]
    fn long_runs_have_longer_steps_and_short_ones_shorter() {
        let step = |s| Phases::new(Duration::ZERO, Some(Duration::from_millis(s))).step_ns / 1_000_000;
        assert_eq!((step(10_000), step(300_000), step(301_000), step(3_600_000)), (1000, 1000, 2000, 12_000));
        assert_eq!((step(4_000), step(2_000), step(200)), (1000, 500, 50));
        assert_eq!(Phases::new(Duration::ZERO, None).step_ns, 1_000_000_000);
    }

    #[test]
    fn what_this_machine_lacks_is_not_the_targets() {
        let of = |code| Fault::of(&std::io::Error::from_raw_os_error(code), Fault::Connect);
        assert_eq!([99, 24, 23, 105, 12].map(of), [Fault::Generator; 5]);
        assert_eq!([111, 113, 110].map(of), [Fault::Connect; 3]);
    }
}
