//! The exchanges in progress on one route of a plan, and their end when the plan was replaced by one that has
//! the route no more, or another in its place. Does not know plans, nor who ends an exchange.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// A route of a plan as its exchanges see it, on one core. Clones are the same route.
#[derive(Clone, Default)]
pub struct RouteLife(Rc<LifeState>);

#[derive(Default)]
struct LifeState {
    in_progress: Cell<usize>,
    is_over: Cell<bool>,
}

impl RouteLife {
    /// Counts an exchange as one in progress until what is returned is dropped. Only for those that wait: for
    /// one that is answered at once nothing is counted.
    pub(crate) fn hold(&self) -> RouteHold {
        self.0.in_progress.set(self.0.in_progress.get() + 1);
        RouteHold(self.clone())
    }

    /// Exchanges that wait for their handler, or for their response to be sent.
    pub(crate) fn in_progress(&self) -> usize {
        self.0.in_progress.get()
    }

    /// Ends its exchanges: each notices when it is polled next.
    pub(crate) fn end(&self) {
        self.0.is_over.set(true);
    }
}

impl fmt::Debug for RouteLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouteLife({} in progress)", self.in_progress())
    }
}

/// An exchange in progress.
#[derive(Debug)]
pub(crate) struct RouteHold(RouteLife);

impl RouteHold {
    /// Whether the exchange is to end now.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.0.0.is_over.get()
    }
}

impl Drop for RouteHold {
    fn drop(&mut self) {
        let count = &self.0.0.in_progress;
        count.set(count.get() - 1);
    }
}
