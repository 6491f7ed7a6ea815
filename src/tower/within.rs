//! Runs every poll of the application inside a context of its choice, such as that of a reactor on threads of
//! its own. Knows no reactor.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

type Around = dyn Fn(&mut dyn FnMut());

/// The context of polls; none by default.
#[derive(Clone, Default)]
pub(super) struct Within(Option<Rc<Around>>);

impl Within {
    pub(super) fn new(around: impl Fn(&mut dyn FnMut()) + 'static) -> Self {
        Self(Some(Rc::new(around)))
    }

    /// Runs `poll` inside the context.
    #[inline]
    pub(super) fn run<T>(&self, poll: impl FnOnce() -> T) -> T {
        let Some(around) = &self.0 else { return poll() };
        let (mut poll, mut result) = (Some(poll), None);
        around(&mut || {
            if let Some(poll) = poll.take() {
                result = Some(poll());
            }
        });
        result.expect("what is given to `within` runs what it is given")
    }
}

/// A part of the application, which is dropped in its context too: what a pool lent is often returned by a
/// task that is spawned when it is dropped.
pub(super) struct Held<T> {
    // INVARIANT: `Some` until it is moved out or dropped.
    part: Option<T>,
    within: Within,
}

impl<T> Held<T> {
    pub(super) fn new(part: T, within: &Within) -> Self {
        Self { part: Some(part), within: within.clone() }
    }

    /// Runs `poll` inside the context.
    pub(super) fn run<R>(&mut self, poll: impl FnOnce(&mut T) -> R) -> R {
        let part = self.part.as_mut().expect("it is held until it is dropped");
        self.within.run(|| poll(part))
    }

    pub(super) fn into_inner(mut self) -> T {
        self.part.take().expect("it is held until it is dropped")
    }
}

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.part.as_ref().expect("it is held until it is dropped")
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(part) = self.part.take() {
            self.within.run(|| drop(part));
        }
    }
}

/// As [`Held`], for a future that is pinned elsewhere.
pub(super) struct HeldPinned<'a, F> {
    future: Pin<&'a mut Option<F>>,
    within: &'a Within,
}

impl<'a, F: Future> HeldPinned<'a, F> {
    pub(super) fn new(future: Pin<&'a mut Option<F>>, within: &'a Within) -> Self {
        Self { future, within }
    }

    /// Polls the future inside the context.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.future.as_mut().as_pin_mut().expect("it is held until it is dropped");
        self.within.run(|| future.poll(cx))
    }
}

impl<F> Drop for HeldPinned<'_, F> {
    fn drop(&mut self) {
        self.within.run(|| self.future.set(None));
    }
}
