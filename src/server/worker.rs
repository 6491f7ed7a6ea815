//! What a worker's connections share, on their core.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::limits::Limits;
use crate::http::date::DateLine;
use crate::observe::Counters;
use crate::observe::access::CoreLog;
use crate::ring::Ring;

/// The state of one worker, shared by its connections.
pub(super) struct Worker<S> {
    pub(super) ring: Ring,
    /// What answers requests. Replaced whole; a request in progress keeps the one it began with.
    pub(super) service: RefCell<Rc<S>>,
    pub(super) limits: Rc<Limits>,
    pub(super) counters: Counters,
    /// The access log, if there is one.
    pub(super) access: Option<CoreLog>,
    pub(super) date: RefCell<DateLine>,
    pub(super) scratch: RefCell<Vec<u8>>,
    pub(super) open: Cell<usize>,
    pub(super) connections_max: usize,
    /// TLS handshakes in progress.
    pub(super) handshakes: Cell<usize>,
    pub(super) drain: Drain,
}

impl<S> Worker<S> {
    /// The service that answers requests now.
    #[inline]
    pub(super) fn service(&self) -> Rc<S> {
        self.service.borrow().clone()
    }

    /// Answers requests with this service from here on; what is in progress ends with the one before.
    pub(super) fn replace_service(&self, service: S) {
        // The old one is dropped after the borrow: what it owns may look at the worker.
        let _before = self.service.replace(Rc::new(service));
    }
}

/// Whether the worker is draining, and who waits to hear it.
#[derive(Default)]
pub(super) struct Drain {
    begun: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Drain {
    pub(super) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Ready once the drain has begun. For the few tasks that are not connections.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.begun.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    pub(super) fn begin(&self) {
        self.begun.set(true);
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}
