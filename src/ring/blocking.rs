//! Blocking work on helper threads, awaited on the core.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::core::Ring;
use super::offload::{Elsewhere, Offload, Place, Work};

/// A call that is not started, and gives its place back when it is started or dropped.
struct Unstarted {
    offload: Rc<Offload>,
    place: Option<Place>,
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.offload.leave(place);
        }
    }
}

/// Abandons the job when the future is dropped.
struct Awaited {
    offload: Rc<Offload>,
    ticket: usize,
    done: bool,
}

impl Awaited {
    async fn product(mut self) -> Option<thread::Result<Box<dyn Any + Send>>> {
        let product = poll_fn(|cx| self.offload.poll(self.ticket, cx)).await;
        self.done = true;
        product
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.done {
            self.offload.forget(self.ticket);
        }
    }
}

/// Sends a value to the core that awaits it, from any thread.
pub struct Reply<T> {
    elsewhere: Elsewhere,
    wanted: Arc<AtomicBool>,
    value: PhantomData<fn(T)>,
}

impl<T: Send + 'static> Reply<T> {
    /// Whether the value is still awaited. If not, it need not be made.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Sends the value.
    pub fn send(self, value: T) {
        self.elsewhere.report(Box::new(value));
    }
}

/// Records that a value is no longer awaited.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Ring {
    /// Runs `work` on a helper thread and awaits it, while the core continues: for databases, compression,
    /// directories, everything that blocks or computes for long.
    ///
    /// A core has up to `RingConfig::blocking_threads_max` such threads, started when needed; further work is
    /// queued, and tasks (connections, as a rule) take turns. Dropping the future removes queued work, but
    /// work that has begun runs to its end.
    ///
    /// # Panics
    /// If `work` does; and if the system cannot start the first thread.
    pub fn blocking<T, F>(&self, work: F) -> impl Future<Output = T> + 'static
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let ring = self.clone();
        async move {
            let offload = ring.offload();
            let mut work = Some(Box::new(move || Box::new(work()) as Box<dyn Any + Send>) as Work);
            let mut unstarted = Unstarted { offload: offload.clone(), place: None };
            let started = poll_fn(|cx| {
                offload.poll_start(ring.core.tasks.polled(), &mut work, &mut unstarted.place, cx)
            })
            .await;
            drop(unstarted);
            let ticket = started.expect("the system has a thread for blocking work");
            let product = Awaited { offload, ticket, done: false }.product().await;
            match product.expect("a helper thread reports every job") {
                Ok(product) => *product.downcast().expect("the work's own product"),
                Err(panic) => resume_unwind(panic),
            }
        }
    }

    /// Awaits a value that another thread makes: `start` gives it the [`Reply`]. `None` when the reply is
    /// dropped without a value, so that a thread that is lost leaves no task waiting.
    pub fn reply<T, F>(&self, start: F) -> impl Future<Output = Option<T>> + 'static
    where
        F: FnOnce(Reply<T>) + 'static,
        T: Send + 'static,
    {
        let ring = self.clone();
        async move {
            let offload = ring.offload();
            let (ticket, elsewhere) = offload.expect();
            let awaited = Awaited { offload, ticket, done: false };
            let wanted = Arc::new(AtomicBool::new(true));
            let _unwanted = Unwanted(wanted.clone());
            start(Reply { elsewhere, wanted, value: PhantomData });
            let product = awaited.product().await?.ok()?;
            Some(*product.downcast().expect("the reply's own value"))
        }
    }

    /// The core's helper threads; the first call starts them and the task that receives their results.
    fn offload(&self) -> Rc<Offload> {
        if let Some(offload) = self.core.offload.get() {
            return offload.clone();
        }
        let config = &self.core.config;
        let offload = Offload::new(config.blocking_threads_max, config.blocking_waiting_max)
            .expect("a descriptor for an event");
        offload.wake.attach(&self.core.inner.borrow().event).expect("a descriptor for an event");
        let offload = self.core.offload.get_or_init(|| Rc::new(offload)).clone();
        collect(self.clone(), offload.clone());
        offload
    }
}

/// Pause after a poll that failed: for lack of memory, as a rule.
const REST: Duration = Duration::from_millis(10);

/// Spawns the task that receives results. It lasts as long as the ring: every future of blocking work waits
/// for it. So an error of the kernel is tried again, and after a panic of a waker another task continues.
fn collect(ring: Ring, offload: Rc<Offload>) {
    let (again, collected) = (ring.clone(), offload.clone());
    ring.clone().spawn(
        async move {
            loop {
                if ring.readable(&offload.wake.event).await.is_err() {
                    ring.sleep(REST).await;
                }
                offload.collect();
            }
        },
        move |_| collect(again, collected),
    );
}
