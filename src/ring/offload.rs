//! Helper threads of a core, for blocking work. They share only two channels and a wake-up with the core:
//! jobs are sent, outcomes are received, and there is no lock.
//!
//! Jobs wait in a bounded queue, in turns by the task that asked: a connection with a hundred streams that
//! all wait for a disk delays another connection's one job by at most one of its own. Beyond the bound tasks
//! wait for a place and keep their work. No closure and no result of a caller is dropped while the state is
//! borrowed: their destructors may ask for blocking work themselves.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use slab::Slab;

use super::sys;
use super::wake::WakeUp;

type Product = Box<dyn Any + Send>;
pub(super) type Work = Box<dyn FnOnce() -> Product + Send>;

/// The task that asks; all that is no task of the ring's is one.
type Asker = Option<u32>;

/// Where a call waits that found the queue full.
pub(super) type Place = u64;

/// A core's helper threads and their jobs.
pub(super) struct Offload {
    state: RefCell<OffloadState>,
    /// Raised when an outcome is available.
    pub(super) wake: Arc<WakeUp>,
}

struct OffloadState {
    threads: Vec<Thread>,
    threads_max: usize,
    waiting: Turns,
    waiting_max: usize,
    /// Calls that found the queue full, by their place, in order.
    blocked: VecDeque<(Place, Waker)>,
    next_place: Place,
    tickets: Slab<Ticket>,
    outcomes: mpsc::Receiver<JobOutcome>,
    report: mpsc::Sender<JobOutcome>,
}

struct Thread {
    jobs: mpsc::Sender<OffloadJob>,
    busy: bool,
}

struct OffloadJob {
    ticket: usize,
    work: Work,
}

struct JobOutcome {
    /// The helper thread that is free now; `None` for a result from elsewhere.
    thread: Option<usize>,
    ticket: usize,
    /// `None` if there will be no result.
    product: Option<thread::Result<Product>>,
}

/// Queued jobs by task, each task in its turn.
#[derive(Default)]
struct Turns {
    /// Tasks with jobs, in the order of their turns.
    order: VecDeque<Asker>,
    // INVARIANT: a task in `order` has an entry, and no entry is empty.
    jobs: HashMap<Asker, VecDeque<OffloadJob>>,
    count: usize,
}

impl Turns {
    fn push(&mut self, task: Asker, job: OffloadJob) {
        let jobs = self.jobs.entry(task).or_default();
        if jobs.is_empty() {
            self.order.push_back(task);
        }
        jobs.push_back(job);
        self.count += 1;
    }

    fn pop(&mut self) -> Option<OffloadJob> {
        let task = self.order.pop_front()?;
        let jobs = self.jobs.get_mut(&task)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.jobs.remove(&task);
        } else {
            self.order.push_back(task);
        }
        self.count -= 1;
        job
    }

    fn remove(&mut self, ticket: usize) -> Option<OffloadJob> {
        let place = |jobs: &VecDeque<OffloadJob>| jobs.iter().position(|job| job.ticket == ticket);
        let (&task, at) = self.jobs.iter().find_map(|(task, jobs)| Some((task, place(jobs)?)))?;
        let jobs = self.jobs.get_mut(&task)?;
        let job = jobs.remove(at);
        if jobs.is_empty() {
            self.jobs.remove(&task);
            self.order.retain(|&other| other != task);
        }
        self.count -= 1;
        job
    }
}

enum Ticket {
    Pending(Option<Waker>),
    Done(Option<thread::Result<Product>>),
    /// Its future was dropped.
    Orphan,
}

/// The other end of a ticket, for a thread that is none of the helpers. Dropping it without a result ends the
/// wait too.
pub(super) struct Elsewhere {
    report: mpsc::Sender<JobOutcome>,
    wake: Arc<WakeUp>,
    ticket: usize,
}

impl Elsewhere {
    pub(super) fn report(mut self, product: Product) {
        self.send(Some(Ok(product)));
    }

    fn send(&mut self, product: Option<thread::Result<Product>>) {
        let ticket = std::mem::replace(&mut self.ticket, usize::MAX);
        // Fails when the core has ended.
        if ticket != usize::MAX && self.report.send(JobOutcome { thread: None, ticket, product }).is_ok() {
            self.wake.raise();
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.send(None);
    }
}

impl Offload {
    pub(super) fn new(threads_max: usize, waiting_max: usize) -> io::Result<Self> {
        let (report, outcomes) = mpsc::channel();
        let state = OffloadState {
            threads: Vec::new(),
            threads_max: threads_max.max(1),
            waiting: Turns::default(),
            waiting_max: waiting_max.max(1),
            blocked: VecDeque::new(),
            next_place: 0,
            tickets: Slab::new(),
            outcomes,
            report,
        };
        Ok(Self { state: RefCell::new(state), wake: Arc::new(WakeUp::new()?) })
    }

    /// Sends a job to a thread, or queues it, and returns its ticket; pending while the queue is full. The
    /// call then has a place, which is its own in later polls, and which it [leaves](Offload::leave).
    ///
    /// # Errors
    /// The first thread cannot be started.
    pub(super) fn poll_start(
        &self,
        task: Asker,
        work: &mut Option<Work>,
        place: &mut Option<Place>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        // A waker is dropped after the state's borrow, as everything of a caller.
        let _former;
        let mut state = self.state.borrow_mut();
        let idle = state.threads.iter().position(|thread| !thread.busy);
        let thread = match idle {
            None if state.threads.len() < state.threads_max => match self.spawn(&mut state) {
                Ok(thread) => Some(thread),
                Err(error) if state.threads.is_empty() => return Poll::Ready(Err(error)),
                Err(_) => None,
            },
            idle => idle,
        };
        if thread.is_none() && state.waiting.count >= state.waiting_max {
            let waker = cx.waker().clone();
            match place.and_then(|place| state.blocked_at(place)) {
                Some(at) => _former = std::mem::replace(&mut state.blocked[at].1, waker),
                None => {
                    let new = state.next_place;
                    state.next_place += 1;
                    state.blocked.push_back((new, waker));
                    *place = Some(new);
                }
            }
            return Poll::Pending;
        }
        let work = work.take().expect("work is started once");
        let ticket = state.tickets.insert(Ticket::Pending(None));
        let job = OffloadJob { ticket, work };
        match thread {
            Some(thread) => state.threads[thread].take(job),
            None => state.waiting.push(task, job),
        }
        Poll::Ready(Ok(ticket))
    }

    /// A call that waits no more gives its place back, if it was not woken.
    pub(super) fn leave(&self, place: Place) {
        let left = {
            let mut state = self.state.borrow_mut();
            state.blocked_at(place).and_then(|at| state.blocked.remove(at))
        };
        drop(left);
    }

    /// A ticket for a result that another thread reports.
    pub(super) fn expect(&self) -> (usize, Elsewhere) {
        let mut state = self.state.borrow_mut();
        let ticket = state.tickets.insert(Ticket::Pending(None));
        (ticket, Elsewhere { report: state.report.clone(), wake: self.wake.clone(), ticket })
    }

    fn spawn(&self, state: &mut OffloadState) -> io::Result<usize> {
        let number = state.threads.len();
        let (jobs, inbox) = mpsc::channel::<OffloadJob>();
        let (report, wake) = (state.report.clone(), self.wake.clone());
        thread::Builder::new().name("quoit-blocking".to_owned()).spawn(move || {
            // Spawned by a pinned thread: on that CPU it would compete with the core.
            sys::unpin_thread();
            for OffloadJob { ticket, work } in inbox {
                let product = Some(catch_unwind(AssertUnwindSafe(work)));
                if report.send(JobOutcome { thread: Some(number), ticket, product }).is_err() {
                    return;
                }
                wake.raise();
            }
        })?;
        state.threads.push(Thread { jobs, busy: false });
        Ok(number)
    }

    /// Collects outcomes, sends queued jobs to idle threads, and lets tasks queue where there is room.
    pub(super) fn collect(&self) {
        self.wake.clear();
        let (mut unwanted, mut woken) = (Vec::new(), Vec::new());
        self.settle(&mut unwanted, &mut woken);
        woken.into_iter().for_each(Waker::wake);
        for ticket in unwanted {
            // No task awaits its outcome, so a panic of its destructor has no receiver either.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(ticket)));
        }
    }

    fn settle(&self, unwanted: &mut Vec<Ticket>, woken: &mut Vec<Waker>) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        while let Ok(JobOutcome { thread, ticket, product }) = state.outcomes.try_recv() {
            if let Some(thread) = thread {
                state.threads[thread].busy = false;
                if let Some(job) = state.waiting.pop() {
                    state.threads[thread].take(job);
                }
            }
            match std::mem::replace(&mut state.tickets[ticket], Ticket::Done(product)) {
                Ticket::Pending(waker) => woken.extend(waker),
                Ticket::Done(_) | Ticket::Orphan => unwanted.push(state.tickets.remove(ticket)),
            }
        }
        let places = match state.threads.iter().any(|thread| thread.busy) {
            true => state.waiting_max.saturating_sub(state.waiting.count),
            // Nothing would wake those that are left.
            false => usize::MAX,
        };
        let leaving = state.blocked.drain(..places.min(state.blocked.len()));
        woken.extend(leaving.map(|(_, waker)| waker));
    }

    /// The result; `None` inside when there will be none.
    pub(super) fn poll(&self, ticket: usize, cx: &mut Context<'_>) -> Poll<Option<thread::Result<Product>>> {
        let mut state = self.state.borrow_mut();
        match &mut state.tickets[ticket] {
            Ticket::Pending(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Ticket::Done(_) | Ticket::Orphan => match state.tickets.remove(ticket) {
                Ticket::Done(product) => Poll::Ready(product),
                Ticket::Pending(_) | Ticket::Orphan => unreachable!("an orphan has no future"),
            },
        }
    }

    /// The future of this ticket was dropped. Work that has begun runs to its end.
    pub(super) fn forget(&self, ticket: usize) {
        let (job, ticket) = {
            let mut state = self.state.borrow_mut();
            let job = state.waiting.remove(ticket);
            let ticket = match &mut state.tickets[ticket] {
                pending @ Ticket::Pending(_) if job.is_none() => {
                    Some(std::mem::replace(pending, Ticket::Orphan))
                }
                _ => state.tickets.try_remove(ticket),
            };
            (job, ticket)
        };
        drop((job, ticket));
    }
}

impl OffloadState {
    /// Where the call with this place is, unless it was woken.
    fn blocked_at(&self, place: Place) -> Option<usize> {
        self.blocked.binary_search_by_key(&place, |&(place, _)| place).ok()
    }
}

impl Thread {
    fn take(&mut self, job: OffloadJob) {
        self.busy = true;
        self.jobs.send(job).expect("a thread lives as long as its channel");
    }
}
