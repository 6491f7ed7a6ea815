//! Blocking work on helper threads, awaited on the core.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::rc::Rc;

use super::core::Ring;
use super::offload::Offload;

/// Abandons the job when the future is dropped.
struct Awaited {
    offload: Rc<Offload>,
    ticket: usize,
    done: bool,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.done {
            self.offload.forget(self.ticket);
        }
    }
}

impl Ring {
    /// Runs `work` on a helper thread and awaits it, while the core continues: for databases, password
    /// hashes, compression, directories, everything that blocks or computes for long.
    ///
    /// A core has up to `RingConfig::blocking_threads_max` such threads, started when needed; further work is
    /// queued. Dropping the future removes queued work, but work that has begun runs to its end.
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
            let work = Box::new(move || Box::new(work()) as Box<dyn Any + Send>);
            let ticket = offload.start(work).expect("the system has a thread for blocking work");
            let mut awaited = Awaited { offload, ticket, done: false };
            let product = poll_fn(|cx| awaited.offload.poll(ticket, cx)).await;
            awaited.done = true;
            match product {
                Ok(product) => *product.downcast().expect("the work's own product"),
                Err(panic) => resume_unwind(panic),
            }
        }
    }

    /// The core's helper threads; the first call starts them and the task that receives their results.
    fn offload(&self) -> Rc<Offload> {
        if let Some(offload) = self.core.offload.get() {
            return offload.clone();
        }
        let offload = Offload::new(self.core.config.blocking_threads_max).expect("a descriptor for an event");
        offload.wake.attach(&self.core.inner.borrow().event).expect("a descriptor for an event");
        let offload = self.core.offload.get_or_init(|| Rc::new(offload)).clone();
        let (ring, heard) = (self.clone(), offload.clone());
        self.spawn(
            async move {
                while ring.readable(&heard.wake.event).await.is_ok() {
                    heard.collect();
                }
            },
            |_| (),
        );
        offload
    }
}
