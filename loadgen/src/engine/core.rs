//! What the tasks of one core share: the clock, the work to be handed out, the seats of connections, and the
//! books. Work goes to whichever connection is free: in a closed loop each asks when it is done; in an open
//! loop the pacer hands out what falls due, and a connection that becomes free takes what is overdue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use quoit::ring::Ring;

use super::cpu::Cpu;
use super::record::{Flight, Record};
use super::response::Known;
use super::shared::Shared;
use super::tls::TlsClient;
use super::transport::Refusal;
use crate::plan::random::Random;
use crate::plan::schedule::{Due, Schedule, share};
use crate::plan::template::Filling;
use crate::plan::{Pace, Plan};

/// Nanoseconds in which a million of a rate in millionths is one event.
const SECOND: u128 = 1_000_000_000 * 1_000_000;

/// Requests of a closed loop that share one reading of the clock. What one turn brought is answered within
/// a few hundred nanoseconds each, and all of it leaves together when the turn ends; reading the clock for
/// each would be a twentieth of all that a request costs on a virtual machine.
const STAMPED_MAX: u32 = 8;

/// A reading of the clock, in the turn in which it was made.
#[derive(Clone, Copy)]
struct Stamp {
    turn: Instant,
    now_ns: u64,
    used: u32,
}

/// One core's state.
pub(super) struct Core {
    pub(super) ring: Ring,
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    /// `None` without TLS.
    pub(super) tls: Option<TlsClient>,
    /// The run's origin; before it is known, some instant.
    origin: Cell<Instant>,
    stamp: Cell<Stamp>,
    pub(super) record: RefCell<Record>,
    measured_from_ns: u64,
    /// Times that a connection's task had something to do: what shows whether a turn was idle.
    pub(super) worked: Cell<u64>,
    /// When the beat is due that was asked for last; 0 before the first.
    pub(super) beat_due_ns: Cell<u64>,
    pub(super) cpu: RefCell<Cpu>,
    work: RefCell<Work>,
    random: RefCell<Random>,
    /// Heads of the last answers, by request.
    pub(super) known: RefCell<Vec<Known>>,
    pub(super) filling: RefCell<(Filling, Vec<u8>)>,
    pub(super) seats: Vec<Seat>,
    /// Seats that wait for work, the longest waiting first.
    idle: RefCell<VecDeque<u32>>,
    /// The pacer, while it waits for a seat.
    pacer: RefCell<Option<Waker>>,
    pub(super) gate: Gate,
    churned: Cell<u64>,
}

/// Where a connection's task gets its work.
#[derive(Default)]
pub(super) struct Seat {
    mail: Cell<Option<Flight>>,
    waker: RefCell<Option<Waker>>,
    listed: Cell<bool>,
    free_since_ns: Cell<u64>,
}

/// The start and the end of a core's run.
#[derive(Default)]
pub(super) struct Gate {
    /// Seats whose first connection stands or was refused.
    pub(super) settled: Cell<usize>,
    /// Why the last one that was refused was refused.
    pub(super) refusal: RefCell<Option<Refusal>>,
    pub(super) connected: Cell<usize>,
    pub(super) started: Cell<bool>,
    /// Whether nothing more will be handed out.
    pub(super) closed: Cell<bool>,
    /// Seats whose task has not ended.
    pub(super) live: Cell<usize>,
    /// Arrivals that were overdue at the end although a connection was free.
    pub(super) overdue: Cell<u64>,
}

enum Work {
    /// Requests of the measured phase that are left.
    Closed { left: u64 },
    /// Arrivals to come.
    Open(Box<Schedule>),
}

/// What there is to do.
pub(super) enum Next {
    Now(Flight),
    /// Nothing is due.
    Wait,
    /// Nothing will be.
    Over,
}

/// What the pacer found.
pub(super) enum Paced {
    /// Everything due is handed out; the next is due then.
    Until(u64),
    /// Something is due and no connection is free.
    NobodyFree,
    /// Nothing is left.
    Over,
}

impl Core {
    pub(super) fn new(
        ring: Ring,
        plan: Arc<Plan>,
        shared: Arc<Shared>,
        index: usize,
        tls: Option<TlsClient>,
        record: Record,
    ) -> Rc<Self> {
        let cores = plan.cpus.len();
        let seats = share(plan.connections as u64, index, cores) as usize;
        let work = match plan.timetable() {
            None => Work::Closed { left: plan.requests.map_or(u64::MAX, |all| share(all, index, cores)) },
            Some(timetable) => Work::Open(Box::new(Schedule::new(&timetable, index, cores))),
        };
        let specs = plan.mix.specs();
        let known = RefCell::new(specs.iter().map(|_| Known::default()).collect());
        let gate = Gate { live: Cell::new(seats), ..Gate::default() };
        let some = Instant::now();
        Rc::new(Self {
            ring,
            index,
            tls,
            origin: Cell::new(some),
            stamp: Cell::new(Stamp { turn: some, now_ns: 0, used: STAMPED_MAX }),
            measured_from_ns: record.phases().from_ns,
            worked: Cell::new(0),
            beat_due_ns: Cell::new(0),
            record: RefCell::new(record),
            cpu: RefCell::default(),
            work: RefCell::new(work),
            random: RefCell::new(Random::new(plan.seed, 0x313c_0000 + index as u64)),
            known,
            filling: RefCell::new((
                Filling::new(plan.seed, index, cores).with(plan.data.clone()),
                Vec::new(),
            )),
            seats: (0..seats).map(|_| Seat::default()).collect(),
            idle: RefCell::default(),
            pacer: RefCell::default(),
            gate,
            churned: Cell::new(0),
            plan,
            shared,
        })
    }

    pub(super) fn set_origin(&self, origin: Instant) {
        self.origin.set(origin);
    }

    /// Nanoseconds from the origin to now; 0 before it.
    pub(super) fn now_ns(&self) -> u64 {
        Instant::now().saturating_duration_since(self.origin.get()).as_nanos() as u64
    }

    /// Nanoseconds from the origin to the ring's turn: when what it brought was there.
    pub(super) fn turn_ns(&self) -> u64 {
        self.ring.now().saturating_duration_since(self.origin.get()).as_nanos() as u64
    }

    /// Nanoseconds from the origin to now, or to a moment ago in the same turn.
    fn stamp_ns(&self) -> u64 {
        let (mut stamp, turn) = (self.stamp.get(), self.ring.now());
        if stamp.turn != turn || stamp.used >= STAMPED_MAX {
            stamp = Stamp { turn, now_ns: self.now_ns(), used: 0 };
        }
        stamp.used += 1;
        self.stamp.set(stamp);
        stamp.now_ns
    }

    pub(super) fn is_closed_loop(&self) -> bool {
        self.plan.pace == Pace::Closed
    }

    fn flight(&self, planned_ns: u64, ready_ns: u64, measured: bool) -> Flight {
        let endpoint = self.plan.mix.draw(&mut self.random.borrow_mut());
        Flight { planned_ns, ready_ns, sent_ns: None, own_ns: 0, endpoint, measured }
    }

    fn begin(&self, planned_ns: u64, ready_ns: u64, measured: bool) -> Flight {
        let flight = self.flight(planned_ns, ready_ns, measured);
        self.record.borrow_mut().handle_planned(&flight);
        flight
    }

    /// Takes an arrival that is due.
    fn begin_due(&self, due: Due, free_since_ns: u64, now_ns: u64) -> Flight {
        let mut flight = self.flight(due.at_ns, free_since_ns, due.measured);
        let mut record = self.record.borrow_mut();
        record.backlog.handle_overdue(due.at_ns, now_ns);
        flight.own_ns = record.backlog.own_ns(due.at_ns, now_ns);
        record.handle_planned(&flight);
        flight
    }

    /// Whether an instant lies within the measured phase.
    #[inline]
    pub(super) fn is_within(&self, at_ns: u64) -> bool {
        at_ns >= self.measured_from_ns && at_ns < self.shared.end_ns()
    }

    /// The next arrival, unless the run was broken off before it.
    fn ahead(&self, schedule: &Schedule) -> Option<Due> {
        schedule.peek().filter(|due| due.at_ns < self.shared.end_ns())
    }

    /// Work for a seat that has room since `free_since_ns`.
    pub(super) fn next_work(&self, seat: usize, free_since_ns: u64) -> Next {
        if let Some(flight) = self.seats[seat].mail.take() {
            return Next::Now(flight);
        }
        if self.gate.closed.get() {
            return Next::Over;
        }
        match &mut *self.work.borrow_mut() {
            Work::Closed { left } => {
                let now_ns = self.stamp_ns();
                let phases = self.record.borrow().phases();
                if now_ns >= self.shared.end_ns() || *left == 0 {
                    return Next::Over;
                }
                let measured = now_ns >= phases.from_ns;
                *left -= u64::from(measured);
                Next::Now(self.begin(now_ns, now_ns, measured))
            }
            Work::Open(schedule) => {
                let Some(due) = self.ahead(schedule) else { return Next::Over };
                self.record.borrow_mut().handle_turn(self.turn_ns());
                let now_ns = self.now_ns();
                if due.at_ns > now_ns {
                    self.record.borrow_mut().backlog.handle_caught_up();
                    return Next::Wait;
                }
                schedule.take();
                self.unlist(seat);
                Next::Now(self.begin_due(due, free_since_ns, now_ns))
            }
        }
    }

    /// Puts a seat in the line of those that wait for work.
    pub(super) fn list(&self, seat: usize, free_since_ns: u64) {
        let place = &self.seats[seat];
        if place.listed.replace(true) {
            return;
        }
        place.free_since_ns.set(free_since_ns);
        self.idle.borrow_mut().push_back(seat as u32);
        self.wake_pacer();
    }

    /// Takes a seat that found work by itself out of the line.
    fn unlist(&self, seat: usize) {
        if self.seats[seat].listed.replace(false) {
            self.idle.borrow_mut().retain(|&waiting| waiting as usize != seat);
        }
    }

    /// Whether there is mail for a seat; otherwise it is woken when there is.
    pub(super) fn poll_mail(&self, seat: usize, waker: &Waker) -> bool {
        let place = &self.seats[seat];
        let mail = place.mail.take();
        place.mail.set(mail);
        if mail.is_none() && !place.waker.borrow().as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place.waker.borrow_mut() = Some(waker.clone());
        }
        mail.is_some()
    }

    /// Assigns due requests to free connections.
    pub(super) fn hand_out(&self) -> Paced {
        let mut work = self.work.borrow_mut();
        let Work::Open(schedule) = &mut *work else { return Paced::Over };
        self.record.borrow_mut().handle_turn(self.turn_ns());
        let now_ns = self.now_ns();
        loop {
            let Some(due) = self.ahead(schedule) else { return Paced::Over };
            if due.at_ns > now_ns {
                self.record.borrow_mut().backlog.handle_caught_up();
                return Paced::Until(due.at_ns);
            }
            let Some(seat) = self.idle.borrow_mut().pop_front() else {
                self.record.borrow_mut().backlog.handle_overdue(due.at_ns, now_ns);
                return Paced::NobodyFree;
            };
            schedule.take();
            let seat = &self.seats[seat as usize];
            seat.listed.set(false);
            seat.mail.set(Some(self.begin_due(due, seat.free_since_ns.get(), now_ns)));
            seat.wake();
        }
    }

    /// Arrivals that are overdue although a connection is free for them.
    pub(super) fn overdue(&self) -> u64 {
        match &*self.work.borrow() {
            Work::Open(schedule) if !self.idle.borrow().is_empty() => {
                let (mut rest, now_ns) = (schedule.clone(), self.now_ns());
                std::iter::from_fn(|| rest.take().filter(|due| due.at_ns <= now_ns)).count() as u64
            }
            _ => 0,
        }
    }

    /// Whether no connection is free; otherwise the pacer is woken by the first free one.
    pub(super) fn poll_nobody_free(&self, waker: &Waker) -> bool {
        *self.pacer.borrow_mut() = Some(waker.clone());
        self.idle.borrow().is_empty() && !self.gate.closed.get()
    }

    fn wake_pacer(&self) {
        if let Some(waker) = self.pacer.borrow_mut().take() {
            waker.wake();
        }
    }

    /// The run was broken off: what is due later is not planned any more.
    pub(super) fn cut(&self, end_ns: u64) {
        if let Work::Open(schedule) = &mut *self.work.borrow_mut() {
            schedule.cut(end_ns);
        }
    }

    /// Hands out nothing more; what is left of the plan is dropped.
    pub(super) fn close(&self) {
        self.gate.closed.set(true);
        let now_ns = self.now_ns();
        if let Work::Open(schedule) = &mut *self.work.borrow_mut() {
            self.record.borrow_mut().handle_turn(self.turn_ns());
            while let Some(due) = schedule.take() {
                let mut flight = self.flight(due.at_ns, due.at_ns, due.measured);
                let mut record = self.record.borrow_mut();
                record.backlog.handle_overdue(due.at_ns, now_ns);
                flight.own_ns = record.backlog.own_ns(due.at_ns, now_ns);
                record.handle_dropped(&flight, now_ns);
            }
        }
        self.wake_all();
    }

    /// Wakes every task, so that it looks at the gate.
    pub(super) fn wake_all(&self) {
        self.wake_pacer();
        self.seats.iter().for_each(Seat::wake);
    }

    /// Whether nothing more will be handed out.
    pub(super) fn is_over(&self) -> bool {
        let exhausted = match &*self.work.borrow() {
            Work::Closed { left } => *left == 0 || self.now_ns() >= self.shared.end_ns(),
            Work::Open(schedule) => self.ahead(schedule).is_none(),
        };
        self.gate.closed.get() || exhausted
    }

    /// Whether a connection that is done should make room for a new one now.
    pub(super) fn is_churn_due(&self, now_ns: u64) -> bool {
        let rate = self.plan.churn_millionths;
        if rate == 0 {
            return false;
        }
        let due = u128::from(now_ns) * u128::from(rate) / SECOND;
        let is_due = self.churned.get() < share(due as u64, self.index, self.plan.cpus.len());
        self.churned.set(self.churned.get() + u64::from(is_due));
        is_due
    }

    /// A seat's task has ended.
    pub(super) fn leave(&self) {
        self.gate.live.set(self.gate.live.get() - 1);
        if self.gate.live.get() == 0 {
            self.ring.stop();
        }
    }
}

impl Seat {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
