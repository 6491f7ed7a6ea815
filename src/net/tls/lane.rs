//! The order of a core's handshakes: one computes per turn of the ring, after everything else that was ready.
//! A handshake takes as long as the responses to some hundred requests, and clients often begin many at once:
//! in one row they would hold up every connection that is established already.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::ring::Ring;

/// A queue of the handshakes of one core, first come first served.
#[derive(Debug, Default)]
pub struct Lane {
    is_taken: Cell<bool>,
    // INVARIANT: empty unless `is_taken`.
    waiting: RefCell<VecDeque<Rc<Ticket>>>,
}

#[derive(Debug)]
struct Ticket {
    state: Cell<TicketState>,
    waker: RefCell<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TicketState {
    Waits,
    /// The place was passed to it.
    Called,
    /// Its handshake was dropped.
    Gone,
}

/// The right to compute; passed on when it is dropped.
#[must_use]
pub(super) struct Place<'a>(&'a Lane);

impl Lane {
    /// Waits for this handshake's turn.
    pub(super) async fn enter(&self, ring: &Ring) -> Place<'_> {
        let place = Entering { lane: self, ticket: None }.await;
        ring.next_turn().await;
        place
    }

    fn pass_on(&self) {
        while let Some(next) = self.waiting.borrow_mut().pop_front() {
            if next.state.get() == TicketState::Waits {
                next.state.set(TicketState::Called);
                return next.waker.borrow().wake_by_ref();
            }
        }
        self.is_taken.set(false);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

struct Entering<'a> {
    lane: &'a Lane,
    ticket: Option<Rc<Ticket>>,
}

impl<'a> Future for Entering<'a> {
    type Output = Place<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Place<'a>> {
        match &self.ticket {
            Some(ticket) if ticket.state.get() == TicketState::Called => {
                self.ticket = None;
                Poll::Ready(Place(self.lane))
            }
            Some(ticket) => {
                ticket.waker.borrow_mut().clone_from(cx.waker());
                Poll::Pending
            }
            None if !self.lane.is_taken.replace(true) => Poll::Ready(Place(self.lane)),
            None => {
                let waker = RefCell::new(cx.waker().clone());
                let ticket = Rc::new(Ticket { state: Cell::new(TicketState::Waits), waker });
                self.lane.waiting.borrow_mut().push_back(ticket.clone());
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket
            && ticket.state.replace(TicketState::Gone) == TicketState::Called
        {
            self.lane.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_at_a_time_in_order_and_whoever_leaves_holds_nobody_up() {
        let lane = Lane::default();
        let enter = || Entering { lane: &lane, ticket: None };
        let first = poll(&mut enter()).expect("it is free");
        let [mut second, mut third, mut fourth, mut fifth] = [enter(), enter(), enter(), enter()];
        for waiting in [&mut second, &mut third, &mut fourth, &mut fifth] {
            assert!(poll(waiting).is_none());
        }
        drop(third);
        drop(first);
        assert!(poll(&mut fourth).is_none(), "it is the second's turn");
        let place = poll(&mut second).expect("its turn");
        drop(place);
        // Called, and dropped before it was polled.
        drop(fourth);
        let place = poll(&mut fifth).expect("the third and the fourth are gone");
        assert!(poll(&mut enter()).is_none());
        drop(place);
        assert!(poll(&mut enter()).is_some() && !lane.is_taken.get(), "free again");
    }
}
