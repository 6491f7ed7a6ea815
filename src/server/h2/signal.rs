//! Wakers for the exchanges of one connection: each marks its exchange as ready to be polled, and wakes the
//! connection's task unless it is running.
//!
//! Why not a task per exchange: one task can send the responses of several handlers in one send, a stream
//! that is reset drops its handler by dropping a box, and a task costs more than a flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// Shared by the signals of one connection.
pub(super) struct Hub {
    task: Waker,
    /// The task is running, and will check for signals before it returns `Pending`.
    is_running: AtomicBool,
    /// Some signal was given.
    is_called: AtomicBool,
}

impl Hub {
    /// For the task with this waker, which is running.
    pub(super) fn new(task: Waker) -> Arc<Hub> {
        Arc::new(Hub { task, is_running: AtomicBool::new(true), is_called: AtomicBool::new(false) })
    }

    /// The task runs: signals need not wake it.
    pub(super) fn begin(&self) {
        self.is_running.store(true, Ordering::SeqCst);
    }

    /// The task is about to return `Pending`. True when a signal came that it has not seen: then it must
    /// check once more, or be woken. Both sides write before they read, so that one of them sees the other.
    pub(super) fn rest(&self) -> bool {
        self.is_running.store(false, Ordering::SeqCst);
        self.is_called.load(Ordering::SeqCst)
    }

    /// Whether a signal was given since the last call.
    pub(super) fn take(&self) -> bool {
        self.is_called.load(Ordering::Relaxed) && self.is_called.swap(false, Ordering::SeqCst)
    }
}

/// One exchange's signal.
pub(super) struct Signal {
    hub: Arc<Hub>,
    is_given: AtomicBool,
}

impl Signal {
    /// One that was not given.
    pub(super) fn new(hub: Arc<Hub>) -> Arc<Signal> {
        Arc::new(Signal { hub, is_given: AtomicBool::new(false) })
    }

    /// Whether it was given since the last call.
    pub(super) fn take(&self) -> bool {
        self.is_given.load(Ordering::Relaxed) && self.is_given.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_given.store(true, Ordering::SeqCst);
        self.hub.is_called.store(true, Ordering::SeqCst);
        if !self.hub.is_running.load(Ordering::SeqCst) {
            self.hub.task.wake_by_ref();
        }
    }
}

/// A signal with its waker.
pub(super) struct SignalWaker {
    signal: Arc<Signal>,
    waker: Waker,
}

impl SignalWaker {
    /// One that was not given.
    pub(super) fn new(hub: &Arc<Hub>) -> SignalWaker {
        let signal = Signal::new(hub.clone());
        SignalWaker { waker: Waker::from(signal.clone()), signal }
    }

    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Whether it was given since the last call.
    pub(super) fn take(&self) -> bool {
        self.signal.take()
    }

    /// The same for another exchange, not given; `None` where a clone of the waker is left, which may still
    /// signal for the exchange before.
    pub(super) fn into_unused(self) -> Option<SignalWaker> {
        const OWN: usize = 2;
        self.take();
        (Arc::strong_count(&self.signal) == OWN).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_signal_wakes_a_task_that_rests_and_only_then() {
        let woken = Arc::new(Count::default());
        let hub = Hub::new(Waker::from(woken.clone()));
        let (one, other) = (Signal::new(hub.clone()), Signal::new(hub.clone()));
        Waker::from(one.clone()).wake();
        assert_eq!((woken.0.load(Ordering::Relaxed), one.take(), other.take()), (0, true, false));
        assert!(hub.rest(), "a signal that was not looked for keeps the task from resting");
        assert!(hub.take() && !hub.take() && !one.take());
        hub.begin();
        assert!(!hub.rest());
        Waker::from(other.clone()).wake_by_ref();
        assert_eq!((woken.0.load(Ordering::Relaxed), other.take()), (1, true));
    }

    /// A late call of one exchange's waker does not poll another.
    #[test]
    fn a_signal_is_used_again_only_without_other_wakers() {
        let hub = Hub::new(Waker::from(Arc::new(Count::default())));
        let signal = SignalWaker::new(&hub);
        signal.waker().wake_by_ref();
        let signal = signal.into_unused().expect("no waker is left");
        assert!(!signal.take(), "it begins as not given");
        let kept = signal.waker().clone();
        assert!(signal.into_unused().is_none());
        kept.wake();
    }
}
