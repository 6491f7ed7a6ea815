//! What crosses cores: the messages that the supervisor sends to each worker's mailbox, and their replies.
//! Nothing else of a worker is reachable from another thread.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::change::WorkerChange;
use crate::exchange::InProgress;
use crate::observe::meters::CoreMeters;
use crate::observe::{Counters, Totals};
use crate::plan::{Plan, PlanErrors};
use crate::ring::{Mailbox, SendError, Sender, mailbox};

/// The phase of the server. Only advances.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Serving.
    Serve,
    /// Completing open requests, accepting no connections.
    Drain,
    /// Stopping at once.
    Stop,
}

/// A message to a worker.
#[derive(Debug)]
pub enum Message {
    /// The server's phase is this one now.
    Phase(Phase),
    /// Reply with the number of the worker and of its open connections.
    Open(mpsc::Sender<(usize, usize)>),
    /// Build the service of this plan, keep it beside the one in use, and reply.
    Prepare {
        /// Identifies the prepared service in later messages.
        version: u64,
        /// The plan.
        plan: Arc<Plan>,
        /// What else changes with it.
        change: Box<WorkerChange>,
        /// Whether the service could be built.
        reply: mpsc::Sender<Result<(), PlanErrors>>,
    },
    /// Answer new requests with the service prepared under this version, and reply.
    Commit {
        /// The version of the prepared service.
        version: u64,
        /// The places of routes that it does not have, or has others for.
        gone: Arc<[String]>,
        /// Sent once no request begins with the previous service: what is in progress with it.
        reply: mpsc::Sender<InProgress>,
    },
    /// Drop the prepared service.
    Abandon,
}

/// The supervisor's hold on its workers.
#[derive(Debug)]
pub struct Shared {
    phase: AtomicU8,
    /// One per worker. Locked by the supervisor's threads alone, and only while messages are queued.
    senders: Mutex<Vec<Sender<Message>>>,
    /// One per worker that was planned. A worker that takes the place of a lost one continues its counters,
    /// so that no sum ever shrinks.
    counters: Vec<Arc<Counters>>,
    /// As the counters.
    meters: Vec<Arc<CoreMeters>>,
}

impl Shared {
    /// For this many workers, with the mailbox of each.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub fn new(workers: usize) -> io::Result<(Self, Vec<Mailbox<Message>>)> {
        let pairs = (0..workers).map(|_| mailbox()).collect::<io::Result<Vec<_>>>()?;
        let (senders, mailboxes) = pairs.into_iter().unzip();
        let phase = AtomicU8::new(Phase::Serve as u8);
        let counters = (0..workers).map(|_| Arc::default()).collect();
        let meters = (0..workers).map(|_| Arc::default()).collect();
        Ok((Self { phase, senders: Mutex::new(senders), counters, meters }, mailboxes))
    }

    /// The counters of a worker. One worker at a time may count with them.
    pub fn counters(&self, worker: usize) -> Arc<Counters> {
        self.counters[worker].clone()
    }

    /// What is measured of a worker's routes and upstreams. One worker at a time may count with them.
    pub fn meters(&self, worker: usize) -> Arc<CoreMeters> {
        self.meters[worker].clone()
    }

    /// What is measured of all workers.
    pub fn all_meters(&self) -> &[Arc<CoreMeters>] {
        &self.meters
    }

    /// The counters of each worker that was planned.
    pub fn totals_of_each(&self) -> Vec<Totals> {
        self.counters.iter().map(|counters| counters.totals()).collect()
    }

    /// The counters so far, summed over all workers: those that were lost, or that do not reply, included.
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.counters.iter().for_each(|counters| sum += counters.totals());
        sum
    }

    /// A new mailbox for a worker that takes the place of a lost one.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replace(&self, worker: usize) -> io::Result<Mailbox<Message>> {
        let (sender, inbox) = mailbox()?;
        self.senders()[worker] = sender;
        Ok(inbox)
    }

    /// Forgets the workers from this number on, which could not be started.
    pub fn truncate(&self, workers: usize) {
        self.senders().truncate(workers);
    }

    fn senders(&self) -> MutexGuard<'_, Vec<Sender<Message>>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances the phase and sends it to every worker that runs.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
        for sender in self.senders().iter() {
            // Exempt from the mailbox's bound: it is rare, and must arrive.
            let _ = sender.send_always(Message::Phase(phase));
        }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serve,
            1 => Phase::Drain,
            _ => Phase::Stop,
        }
    }

    /// Sends every worker a message without a reply. Workers with a full mailbox do not get it.
    pub fn notify(&self, message: impl Fn() -> Message) {
        for sender in self.senders().iter() {
            let _ = sender.send(message());
        }
    }

    /// Workers in all, those that have ended included.
    pub fn workers(&self) -> usize {
        self.senders().len()
    }

    /// Sends each worker a message with a channel for its reply, and collects the replies that arrive within
    /// `limit`. Workers that have ended, whose mailbox is full or whose core is stuck are missing.
    pub fn ask<R>(&self, limit: Duration, message: impl Fn(mpsc::Sender<R>) -> Message) -> Vec<R> {
        let deadline = Instant::now() + limit;
        let (reply, replies) = mpsc::channel();
        let taken = |sender: &&Sender<Message>| {
            let message = message(reply.clone());
            let sent = match message {
                // The worker has just replied to `Prepare`, and all workers have to commit.
                Message::Commit { .. } => sender.send_always(message),
                message => sender.send(message),
            };
            match sent {
                Ok(()) => true,
                Err(SendError::Full(_) | SendError::Closed(_)) => false,
            }
        };
        let asked = self.senders().iter().filter(taken).count();
        drop(reply);
        let mut answers = Vec::with_capacity(asked);
        while answers.len() < asked {
            // Also ends when every worker has dropped its reply channel.
            match replies.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(answer) => answers.push(answer),
                Err(mpsc::RecvTimeoutError::Timeout | mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        answers
    }
}
