//! Whether a worker is draining, since when, and the tasks that wait for it. Does not know what they do then.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use slab::Slab;

/// The drain of a worker: after the signal to stop, open requests may complete, and then the worker ends.
/// Clones are the same drain.
///
/// What has no end of its own, such as an event stream or a tunnel, should end when it begins: by then a
/// client that reconnects reaches another server, or the one that replaces this. What only stays silent is
/// ended after [`Limits::drain_stall_timeout`](crate::Limits::drain_stall_timeout).
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::pin;
/// use std::task::Poll;
///
/// use quoit::CoreContext;
/// use quoit::service::{Context, Response, Routes, Router, Tunnel};
///
/// fn routes(core: &CoreContext) -> Routes {
///     let drain = core.drain.clone();
///     let echo = async move |context: Context| {
///         let drain = drain.clone();
///         Response::upgrade(&context, "echo", async move |mut tunnel: Tunnel| {
///             let mut over = pin!(drain.begun());
///             loop {
///                 let read = {
///                     let mut read = pin!(tunnel.read());
///                     poll_fn(|cx| match read.as_mut().poll(cx) {
///                         Poll::Pending => over.as_mut().poll(cx).map(|()| None),
///                         read => read,
///                     })
///                     .await
///                 };
///                 let Some(Ok(bytes)) = read else { break };
///                 let _ = tunnel.write(bytes).await;
///             }
///             let _ = tunnel.write("bye").await;
///         })
///     };
///     Router::new().any("/echo", echo).build().expect("sound routes")
/// }
/// ```
#[derive(Clone, Default)]
pub struct Drain(Rc<DrainState>);

#[derive(Default)]
struct DrainState {
    begun: Cell<Option<Instant>>,
    waiting: RefCell<Slab<Waker>>,
}

impl Drain {
    /// Whether it has begun.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.0.begun.get().is_some()
    }

    /// Waits until it begins; at once if it has.
    pub async fn begun(&self) {
        let mut place = Place { drain: self, key: None };
        poll_fn(|cx| place.poll(cx)).await;
    }

    /// Whether it began less than `time` ago.
    pub(crate) fn is_within(&self, time: Duration, now: Instant) -> bool {
        self.0.begun.get().is_some_and(|begun| now.saturating_duration_since(begun) < time)
    }

    /// Begins it.
    pub(crate) fn begin(&self, now: Instant) {
        self.0.begun.set(Some(now));
        let waiting = self.0.waiting.take();
        for (_, waker) in waiting {
            waker.wake();
        }
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Drain").field(&self.has_begun()).finish()
    }
}

/// A task's place among those that wait. Given back when the wait is dropped, so that tasks that come and go
/// leave nothing behind.
struct Place<'a> {
    drain: &'a Drain,
    key: Option<usize>,
}

impl Place<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.has_begun() {
            self.key = None;
            return Poll::Ready(());
        }
        let mut waiting = self.drain.0.waiting.borrow_mut();
        match self.key {
            Some(key) => waiting[key].clone_from(cx.waker()),
            None => self.key = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.drain.0.waiting.borrow_mut().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn waits_end_with_the_beginning_and_leave_nothing_behind() {
        let drain = Drain::default();
        let cx = &mut Context::from_waker(Waker::noop());
        {
            let (mut one, mut other) = (pin!(drain.begun()), pin!(drain.begun()));
            assert!(one.as_mut().poll(cx).is_pending() && other.as_mut().poll(cx).is_pending());
            assert!(one.as_mut().poll(cx).is_pending());
            assert_eq!(drain.0.waiting.borrow().len(), 2);
        }
        assert!(drain.0.waiting.borrow().is_empty());
        let mut wait = pin!(drain.begun());
        assert!(wait.as_mut().poll(cx).is_pending());
        let now = Instant::now();
        drain.clone().begin(now);
        assert!(wait.as_mut().poll(cx).is_ready());
        assert!(drain.has_begun() && drain.is_within(Duration::from_secs(1), now));
        assert!(!drain.is_within(Duration::from_secs(1), now + Duration::from_secs(1)));
    }
}
