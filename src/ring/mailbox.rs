//! Messages from any thread to one core, which wake it from any wait. Does not interpret the messages.
//!
//! **Bounded**, because senders only ever wait for a reply with a time limit: a blocked core must not collect
//! messages whose senders have given up. A full mailbox returns the message at once, and the sender decides.
//! A few messages must never be refused (shutdown); [`Sender::send_always`] is for those.
//!
//! The queue is `std::sync::mpsc`: a linked list of blocks with atomic indices, without a lock. Wake-ups are
//! merged: while one is pending, further messages cost no system call.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::core::Ring;
use super::wake::WakeUp;

/// Messages that wait for one core. Senders are a handful of threads that wait for replies, so more means
/// that the core does not run; twice as many would only hide that for longer.
pub const MAILBOX_MAX: usize = 1024;

/// Why a message was not queued. The message is returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError<M> {
    /// [`MAILBOX_MAX`] messages wait already.
    Full(M),
    /// The core has ended.
    Closed(M),
}

/// Creates a mailbox: its sender, which can be cloned, and its receiver for one core.
///
/// # Errors
/// The kernel's, when it has no descriptors.
pub fn mailbox<M: Send>() -> io::Result<(Sender<M>, Mailbox<M>)> {
    let (sender, queue) = mpsc::channel();
    let shared = Arc::new(MailboxShared { wake: WakeUp::new()?, waiting: AtomicUsize::new(0) });
    Ok((Sender { queue: Some(sender), shared: shared.clone() }, Mailbox { queue, shared }))
}

struct MailboxShared {
    wake: WakeUp,
    /// Messages in the queue; may be briefly too high, never too low.
    waiting: AtomicUsize,
}

/// Sends messages to a core, from any thread. Never blocks.
pub struct Sender<M> {
    // INVARIANT: `Some` until it is dropped.
    queue: Option<mpsc::Sender<M>>,
    shared: Arc<MailboxShared>,
}

impl<M> Sender<M> {
    /// Queues a message and wakes the core.
    ///
    /// # Errors
    /// The mailbox is full, or its core has ended; with the message.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        if self.shared.waiting.load(Ordering::Relaxed) >= MAILBOX_MAX {
            return Err(SendError::Full(message));
        }
        self.send_always(message)
    }

    /// Queues a message regardless of the limit. For messages that a process sends a bounded number of times.
    ///
    /// # Errors
    /// The core has ended.
    pub fn send_always(&self, message: M) -> Result<(), SendError<M>> {
        let queue = self.queue.as_ref().expect("only a sender that is dropped has none");
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        match queue.send(message) {
            Ok(()) => {
                self.shared.wake.raise();
                Ok(())
            }
            Err(mpsc::SendError(message)) => Err(SendError::Closed(message)),
        }
    }
}

impl<M> Clone for Sender<M> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), shared: self.shared.clone() }
    }
}

impl<M> std::fmt::Debug for Sender<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.shared.waiting).finish_non_exhaustive()
    }
}

impl<M> Drop for Sender<M> {
    fn drop(&mut self) {
        // The queue is dropped first, so that the woken core sees that the last sender is gone.
        self.queue = None;
        self.shared.wake.raise();
    }
}

/// The receiving side of a mailbox, on its core.
pub struct Mailbox<M> {
    queue: mpsc::Receiver<M>,
    shared: Arc<MailboxShared>,
}

impl<M> Mailbox<M> {
    /// Lets senders wake the core of this ring when it is parked. [`receive`](Self::receive) does so too.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub(super) fn attach(&self, ring: &Ring) -> io::Result<()> {
        self.shared.wake.attach(&ring.core.inner.borrow().event)
    }

    /// The next message, in the order of each sender; `None` once all senders are gone. Nothing is lost when
    /// the future is dropped.
    ///
    /// # Errors
    /// The kernel's, when it cannot poll or has no descriptors.
    pub async fn receive(&self, ring: &Ring) -> io::Result<Option<M>> {
        self.attach(ring)?;
        loop {
            match self.queue.try_recv() {
                Ok(message) => {
                    self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                    return Ok(Some(message));
                }
                Err(mpsc::TryRecvError::Disconnected) => return Ok(None),
                Err(mpsc::TryRecvError::Empty) => {}
            }
            ring.readable(&self.shared.wake.event).await?;
            self.shared.wake.clear();
        }
    }
}
