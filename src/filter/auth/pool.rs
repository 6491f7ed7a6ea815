//! The threads that verify passwords: a few for the whole process, at low priority, so that a flood of
//! guesses takes little of what serves, and none of what other blocking work needs. Knows no file and no
//! response.
//!
//! Clients take turns by address: one with many guesses delays the login of another by one guess. Memory is
//! bounded by the number of jobs that wait, and by what those that run allocate together.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::asker::Asker;
use super::back_off::{Admission, BackOff, GuesserKey};
use super::users::Users;
use super::verdicts::{VerdictKey, Verdicts};
use crate::ring::{Reply, lower_priority};

/// Threads: half of the CPUs, and four at most, which verify some sixty passwords of the usual cost a second.
const THREADS_MAX: usize = 4;

/// Their niceness: beside workers that want all of a CPU, they get about a tenth of it.
const NICENESS: i32 = 10;

/// Passwords of one client, and of all, that wait. Beyond it the response is 503.
const CLIENT_WAITING_MAX: usize = 64;
const WAITING_MAX: usize = 512;

/// A password that has waited for so long is not verified any more: its client is gone, or will try again,
/// and a flood must not become a queue of minutes.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Memory, in KiB, of the verifications that run. As much as the costliest hash that is accepted, so that one
/// can always run.
const MEMORY_KIB_MAX: u64 = super::hash::ARGON2_KIB_MAX as u64;

/// A password to verify.
pub(super) struct Job {
    pub(super) users: Arc<Users>,
    pub(super) name: Box<str>,
    pub(super) password: Vec<u8>,
    /// Dropped without a verdict if there will be none.
    pub(super) reply: Reply<bool>,
    pub(super) since: Instant,
}

impl Job {
    fn memory_kib(&self) -> u64 {
        u64::from(self.users.memory_kib(&self.name))
    }
}

static POOL: LazyLock<Pool> = LazyLock::new(Pool::default);

/// Queues a job; drops it when too many wait already.
pub(super) fn verify(asker: Asker, job: Job) {
    POOL.submit(asker, job);
}

/// Whether another core has found these credentials right, a short time ago.
pub(super) fn is_known(key: &VerdictKey, now: Instant) -> bool {
    lock(&POOL.known).get(key, now) == Some(true)
}

/// Lets other cores know that these credentials are right.
pub(super) fn remember(key: VerdictKey, now: Instant) {
    lock(&POOL.known).insert(key, true, now);
}

/// Whether these credentials were right from this address at any time that is remembered. Their owner does
/// not wait for those who guess at the name beside.
pub(super) fn was_right(key: &VerdictKey) -> bool {
    lock(&POOL.known).was_right(key)
}

/// A guess that is being verified. Dropped without a verdict it counts as a wrong one: its client has left.
pub(super) struct Guess {
    /// `None` when the same is being verified already.
    counted: Option<GuesserKey>,
    key: VerdictKey,
    fits: Option<bool>,
}

impl Guess {
    /// Begins a guess, or says how long its client has to wait before.
    pub(super) fn begin(asker: Asker, name: &str, key: VerdictKey, now: Instant) -> Result<Self, Duration> {
        match lock(&POOL.back_off).begin(asker, name, key, now) {
            Admission::Counted(guesser) => Ok(Self { counted: Some(guesser), key, fits: Some(false) }),
            Admission::Repeated => Ok(Self { counted: None, key, fits: Some(false) }),
            Admission::Wait(wait) => Err(wait),
        }
    }

    /// It was verified, or it could not be.
    pub(super) fn end(mut self, fits: Option<bool>) {
        self.fits = fits;
    }
}

impl Drop for Guess {
    fn drop(&mut self) {
        if let Some(guesser) = self.counted {
            lock(&POOL.back_off).end(guesser, &self.key, self.fits);
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Pool {
    queue: Mutex<Queue>,
    /// A job was queued, or memory is free again.
    ready: Condvar,
    known: Mutex<Verdicts>,
    back_off: Mutex<BackOff>,
}

#[derive(Default)]
struct Queue {
    /// Askers with jobs, in the order of their turns.
    order: VecDeque<Asker>,
    // INVARIANT: an asker in `order` has an entry, and no entry is empty.
    jobs: HashMap<Asker, VecDeque<Job>>,
    waiting: usize,
    threads: usize,
    idle: usize,
    running_kib: u64,
}

impl Pool {
    fn submit(&'static self, asker: Asker, job: Job) {
        let mut queue = lock(&self.queue);
        if !queue.push(asker, job) {
            return;
        }
        if queue.idle == 0 && queue.threads < threads_max() {
            let thread = thread::Builder::new().name("quoit-passwords".to_owned());
            match thread.spawn(|| self.work()) {
                Ok(_) => queue.threads += 1,
                // Without any thread none of them would be verified.
                Err(_) if queue.threads == 0 => queue.clear(),
                Err(_) => {}
            }
        }
        drop(queue);
        self.ready.notify_one();
    }

    fn work(&self) {
        // At the priority of the workers it would only be a little less fair.
        let _ = lower_priority(NICENESS);
        let mut queue = lock(&self.queue);
        loop {
            let Some(job) = queue.pop(Instant::now()) else {
                queue.idle += 1;
                queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
                queue.idle -= 1;
                continue;
            };
            let memory = job.memory_kib();
            queue.running_kib += memory;
            drop(queue);
            let Job { users, name, password, reply, .. } = job;
            // After a panic there is no verdict, and the thread goes on.
            if let Ok(fits) = catch_unwind(AssertUnwindSafe(|| users.verify(&name, &password))) {
                reply.send(fits);
            }
            queue = lock(&self.queue);
            queue.running_kib -= memory;
            // One that found too little memory may be waiting.
            self.ready.notify_one();
        }
    }
}

fn threads_max() -> usize {
    thread::available_parallelism().map_or(1, |cpus| (cpus.get() / 2).clamp(1, THREADS_MAX))
}

impl Queue {
    fn push(&mut self, asker: Asker, job: Job) -> bool {
        let own = |queue: &Self| queue.jobs.get(&asker).map_or(0, VecDeque::len);
        if self.waiting >= WAITING_MAX || own(self) >= CLIENT_WAITING_MAX {
            self.forget_unwanted();
        }
        if self.waiting >= WAITING_MAX || own(self) >= CLIENT_WAITING_MAX {
            return false;
        }
        let jobs = self.jobs.entry(asker).or_default();
        if jobs.is_empty() {
            self.order.push_back(asker);
        }
        jobs.push_back(job);
        self.waiting += 1;
        true
    }

    /// The next job in turn that is still worth its time, and whose memory there is.
    fn pop(&mut self, now: Instant) -> Option<Job> {
        loop {
            let asker = *self.order.front()?;
            let jobs = self.jobs.get_mut(&asker)?;
            let job = jobs.front()?;
            let is_worth = job.reply.is_wanted() && now.saturating_duration_since(job.since) < WAIT_MAX;
            let fits = self.running_kib == 0 || self.running_kib + job.memory_kib() <= MEMORY_KIB_MAX;
            if is_worth && !fits {
                return None;
            }
            let job = jobs.pop_front();
            self.waiting -= 1;
            self.order.pop_front();
            if jobs.is_empty() {
                self.jobs.remove(&asker);
            } else if is_worth {
                self.order.push_back(asker);
            } else {
                // What was given up is no turn.
                self.order.push_front(asker);
            }
            if is_worth {
                return job;
            }
        }
    }

    fn forget_unwanted(&mut self) {
        self.jobs.retain(|_, jobs| {
            jobs.retain(|job| job.reply.is_wanted());
            !jobs.is_empty()
        });
        self.order.retain(|asker| self.jobs.contains_key(asker));
        self.waiting = self.jobs.values().map(VecDeque::len).sum();
    }

    fn clear(&mut self) {
        self.order.clear();
        self.jobs.clear();
        self.waiting = 0;
    }
}
