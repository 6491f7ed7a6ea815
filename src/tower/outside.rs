//! Delivers wake-ups from other threads at once. A busy core waits in its own ring, and notices the
//! executor's notification of a wake-up from another thread at the ring's next alarm, up to 2 ms later. So
//! such wake-ups go through a mailbox of the ring. Wake-ups on the core are passed on directly.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};

use crate::observe::log;
use crate::ring::{Mailbox, Ring, Sender, mailbox};

/// The mailbox of one core.
struct Post {
    core: ThreadId,
    letters: Sender<Arc<Letter>>,
}

/// Wakes a task of the core, from any thread.
struct Letter {
    task: Waker,
    post: Arc<Post>,
    /// In the mailbox, or about to be: further wake-ups post nothing, so that no thread can fill it.
    posted: AtomicBool,
}

impl Wake for Letter {
    fn wake(self: Arc<Self>) {
        if thread::current().id() == self.post.core {
            return self.task.wake_by_ref();
        }
        if self.posted.swap(true, Ordering::AcqRel) {
            return;
        }
        let post = self.post.clone();
        // Bounded by the tasks of the core. Once the core has ended there is nothing to wake.
        let _ = post.letters.send_always(self);
    }
}

/// Wakers for other threads, where prompt wake-ups are switched on.
#[derive(Clone, Default)]
pub(super) struct Outside {
    post: Option<Arc<Post>>,
    /// The last waker that was wrapped, and its wrapper.
    wrapped: Option<(Waker, Waker)>,
}

impl Outside {
    /// Watches a mailbox on this core's ring.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub(super) fn new(ring: &Ring) -> io::Result<Self> {
        let (letters, mailbox) = mailbox()?;
        let post = Arc::new(Post { core: thread::current().id(), letters });
        ring.spawn(deliver(ring.clone(), mailbox), |_| ());
        Ok(Self { post: Some(post), wrapped: None })
    }

    /// Runs `poll` with a waker that others may wake.
    #[inline]
    pub(super) fn enter<T>(&mut self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let Some(post) = &self.post else { return poll(cx) };
        if !self.wrapped.as_ref().is_some_and(|(task, _)| task.will_wake(cx.waker())) {
            let task = cx.waker().clone();
            let letter =
                Arc::new(Letter { task: task.clone(), post: post.clone(), posted: AtomicBool::new(false) });
            self.wrapped = Some((task, letter.into()));
        }
        match &self.wrapped {
            Some((_, waker)) => poll(&mut Context::from_waker(waker)),
            None => poll(cx),
        }
    }
}

/// Empties the mailbox while the core runs.
async fn deliver(ring: Ring, mailbox: Mailbox<Arc<Letter>>) {
    loop {
        match mailbox.receive(&ring).await {
            Ok(Some(letter)) => {
                // Before the task runs, so that later wake-ups are posted again; a swap, so that the task
                // sees everything before a wake-up that found the letter posted.
                letter.posted.swap(false, Ordering::AcqRel);
                letter.task.wake_by_ref();
            }
            Ok(None) => return,
            Err(error) => {
                return log::line(format_args!("wake-ups from other threads will be late: {error}"));
            }
        }
    }
}
