//! Messages from any thread to one core, which wake it whatever it waits in. Knows nothing of what the
//! messages mean.
//!
//! **Bounded**, because senders only ever wait for an answer with a time limit: a core that is stuck must not
//! collect what callers have given up on. A full mailbox refuses the message at once, and the sender decides.
//! A few messages must never be refused (the end of the server); [`Sender::send_always`] is for those.
//!
//! The queue is `std::sync::mpsc`: a linked list of blocks with atomic indices, without a lock. Signals are
//! merged: while one is on its way, further messages cost no system call.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use super::core::Ring;
use super::wake::WakeUp;

/// Messages that wait for one core. Senders are a handful of threads that wait for replies, so that more
/// means a core that does not run; twice as many would only hide that for longer.
pub const MAILBOX_MAX: usize = 1024;

/// Why a message was not taken. It comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError<M> {
    /// [`MAILBOX_MAX`] messages wait already.
    Full(M),
    /// The core has ended.
    Closed(M),
}

/// A new mailbox: where messages go in, to be cloned for every sender, and where its core takes them out.
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
    /// Messages in the queue; may be too high for a moment, never too low.
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

    /// Queues a message whatever waits already. For messages that a process sends a bounded number of times.
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
        // The queue first, so that a core that looks finds that the last sender has gone.
        self.queue = None;
        self.shared.wake.raise();
    }
}

/// A core's end of its mailbox.
pub struct Mailbox<M> {
    queue: mpsc::Receiver<M>,
    shared: Arc<MailboxShared>,
}

impl<M> Mailbox<M> {
    /// The next message, in the order of each sender; `None` once all senders are gone. Nothing is lost when
    /// the future is dropped.
    ///
    /// # Errors
    /// The kernel's, when it cannot poll or has no descriptors.
    pub async fn receive(&self, ring: &Ring) -> io::Result<Option<M>> {
        self.shared.wake.attach(&ring.core.inner.borrow().event)?;
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
