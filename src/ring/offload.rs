//! Helper threads of a core, for blocking work. They share only two channels and a wake-up with the core:
//! jobs are sent, outcomes are received, and there is no lock.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;

use slab::Slab;

use super::sys;
use super::wake::WakeUp;

type Product = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce() -> Product + Send>;

/// A core's helper threads and their jobs.
pub(super) struct Offload {
    state: RefCell<OffloadState>,
    /// Raised when an outcome is available.
    pub(super) wake: Arc<WakeUp>,
}

struct OffloadState {
    threads: Vec<Thread>,
    threads_max: usize,
    /// Queued jobs. One for each waiting task at most, and so bounded by the connections.
    waiting: VecDeque<OffloadJob>,
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
    thread: usize,
    ticket: usize,
    product: thread::Result<Product>,
}

enum Ticket {
    Pending(Option<Waker>),
    Done(thread::Result<Product>),
    /// Its future was dropped.
    Orphan,
}

impl Offload {
    pub(super) fn new(threads_max: usize) -> io::Result<Self> {
        let (report, outcomes) = mpsc::channel();
        let state = OffloadState {
            threads: Vec::new(),
            threads_max: threads_max.max(1),
            waiting: VecDeque::new(),
            tickets: Slab::new(),
            outcomes,
            report,
        };
        Ok(Self { state: RefCell::new(state), wake: Arc::new(WakeUp::new()?) })
    }

    /// Sends a job to a thread, or queues it, and returns its ticket.
    ///
    /// # Errors
    /// The first thread cannot be started.
    pub(super) fn start(&self, work: Work) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let idle = state.threads.iter().position(|thread| !thread.busy);
        let thread = match idle {
            None if state.threads.len() < state.threads_max => match self.spawn(&mut state) {
                Ok(thread) => Some(thread),
                Err(error) if state.threads.is_empty() => return Err(error),
                Err(_) => None,
            },
            idle => idle,
        };
        let ticket = state.tickets.insert(Ticket::Pending(None));
        let job = OffloadJob { ticket, work };
        match thread {
            Some(thread) => state.threads[thread].take(job),
            None => state.waiting.push_back(job),
        }
        Ok(ticket)
    }

    fn spawn(&self, state: &mut OffloadState) -> io::Result<usize> {
        let number = state.threads.len();
        let (jobs, inbox) = mpsc::channel::<OffloadJob>();
        let (report, wake) = (state.report.clone(), self.wake.clone());
        thread::Builder::new().name("quoit-blocking".to_owned()).spawn(move || {
            // Spawned by a pinned thread: on that CPU it would compete with the core.
            sys::unpin_thread();
            for OffloadJob { ticket, work } in inbox {
                let product = catch_unwind(AssertUnwindSafe(work));
                if report.send(JobOutcome { thread: number, ticket, product }).is_err() {
                    return;
                }
                wake.raise();
            }
        })?;
        state.threads.push(Thread { jobs, busy: false });
        Ok(number)
    }

    /// Collects outcomes, and sends queued jobs to idle threads.
    pub(super) fn collect(&self) {
        self.wake.clear();
        let mut state = self.state.borrow_mut();
        while let Ok(JobOutcome { thread, ticket, product }) = state.outcomes.try_recv() {
            state.threads[thread].busy = false;
            if let Some(job) = state.waiting.pop_front() {
                state.threads[thread].take(job);
            }
            match std::mem::replace(&mut state.tickets[ticket], Ticket::Done(product)) {
                Ticket::Pending(waker) => waker.into_iter().for_each(Waker::wake),
                Ticket::Done(_) | Ticket::Orphan => drop(state.tickets.remove(ticket)),
            }
        }
    }

    pub(super) fn poll(&self, ticket: usize, cx: &mut Context<'_>) -> Poll<thread::Result<Product>> {
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
        let mut state = self.state.borrow_mut();
        let queued = state.waiting.iter().position(|job| job.ticket == ticket);
        let never_runs = queued.and_then(|at| state.waiting.remove(at)).is_some();
        match &mut state.tickets[ticket] {
            pending @ Ticket::Pending(_) if !never_runs => *pending = Ticket::Orphan,
            _ => drop(state.tickets.remove(ticket)),
        }
    }
}

impl Thread {
    fn take(&mut self, job: OffloadJob) {
        self.busy = true;
        self.jobs.send(job).expect("a thread lives as long as its channel");
    }
}
