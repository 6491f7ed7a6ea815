//! Futures that other threads complete: their wake-ups arrive at once. A busy core waits in its own ring, and
//! notices the executor's notification of a wake-up from another thread at the ring's next alarm, up to 2 ms
//! later. So such wake-ups go through a mailbox. Wake-ups on the core are passed on directly. Knows no
//! runtime that the other threads may be part of.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::core::Ring;
use super::mailbox::{Mailbox, Sender, mailbox};

/// How often the mailbox is looked into while the kernel cannot poll it. The ring's timers are coarser.
const LATE: Duration = Duration::from_millis(2);

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

/// Awaits, on one core, futures that other threads wake, such as tasks of a runtime on threads of its own:
///
/// ```
/// use std::sync::Arc;
///
/// use quoit::ring::Outside;
/// use quoit::http::status::Status;
/// use quoit::service::{Problem, Router, State};
///
/// struct App {
///     outside: Outside,
///     runtime: Arc<tokio::runtime::Runtime>,
/// }
///
/// async fn slow(app: State<App>) -> Result<&'static str, Problem> {
///     // Runs on a thread of the runtime: everything that needs tokio works there.
///     let task = app.runtime.spawn(async {
///         tokio::time::sleep(std::time::Duration::from_millis(1)).await;
///         "done"
///     });
///     app.outside.wait(task).await.map_err(|_| Problem::new(Status::INTERNAL_SERVER_ERROR))
/// }
/// # use quoit::harness::{Call, on_core};
/// # on_core(async |core| {
/// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
/// # let app = App { outside: Outside::new(&core.ring).unwrap(), runtime: Arc::new(runtime.unwrap()) };
/// # let routes = Router::new().state(app).get("/", slow).build().unwrap();
/// # assert_eq!(Call::get("/").send(&routes).await.text(), "done");
/// # });
/// ```
///
/// Such a wait costs one allocation and, where nothing else wakes the core, one write to an event. Without
/// it, a busy core notices wake-ups from other threads up to 2 ms later; the default value waits so, too.
#[derive(Clone, Default)]
pub struct Outside {
    post: Option<Arc<Post>>,
    /// The last waker that was wrapped, and its wrapper.
    wrapped: Option<(Waker, Waker)>,
}

impl Outside {
    /// Watches a mailbox on this core's ring, until the last copy is dropped. One per core is enough.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub fn new(ring: &Ring) -> io::Result<Self> {
        let (letters, mailbox) = mailbox()?;
        mailbox.attach(ring)?;
        let post = Arc::new(Post { core: thread::current().id(), letters });
        ring.spawn(deliver(ring.clone(), mailbox), |_| ());
        Ok(Self { post: Some(post), wrapped: None })
    }

    /// Awaits `future` on this core. Dropping this drops the future; a task that it stands for continues,
    /// unless dropping its handle ends it.
    pub fn wait<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let mut outside = Self { post: self.post.clone(), wrapped: None };
        async move {
            let mut future = pin!(future);
            poll_fn(|cx| outside.enter(cx, |cx| future.as_mut().poll(cx))).await
        }
    }

    /// Runs `poll` with a waker that others may wake.
    #[inline]
    pub(crate) fn enter<T>(&mut self, cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
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

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("is_prompt", &self.post.is_some()).finish_non_exhaustive()
    }
}

/// Empties the mailbox while the core runs and somebody may post.
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
            // The kernel cannot poll now. Every attempt looks into the mailbox first, so nothing is lost.
            Err(_) => ring.sleep(LATE).await,
        }
    }
}
