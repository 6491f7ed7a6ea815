//! Tasks that wait for the same event.

use std::task::{Context, Waker};

/// Tasks to be woken together.
#[derive(Default, Debug)]
pub struct Wakers(Vec<Waker>);

impl Wakers {
    /// Adds the task. One that is polled for other reasons meanwhile, as often as that may be, is there once
    /// if no other was added between.
    pub fn add(&mut self, cx: &Context<'_>) {
        if !self.0.last().is_some_and(|last| last.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    /// Wakes all.
    pub fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}
