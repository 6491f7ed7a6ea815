//! The context in which services are built. Knows no server: the tests' harness makes one too.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::drain::Drain;
use crate::observe::meters::CoreMeters;
use crate::ring::Ring;

/// The core that a service is built for. Clones are the same core.
#[derive(Clone)]
pub struct CoreContext {
    /// The core's ring.
    pub ring: Ring,
    /// Number of the worker, from 0.
    pub worker: usize,
    /// Tells services that the worker is about to end.
    pub drain: Drain,
    /// What the cores of a server share.
    pub process: ProcessValues,
    /// What the services of this core share, those of a plan that replaces another included.
    pub local: LocalValues,
    /// What is measured of routes and upstreams; `None` unless metrics are on.
    pub(crate) meters: Option<Arc<CoreMeters>>,
}

/// Values by type, one of each, that the cores of a server share. Used while a service is built; what
/// requests use is held by the service. Clones are the same values.
#[derive(Clone)]
pub struct ProcessValues(Arc<ArcSwap<Vec<Arc<dyn Any + Send + Sync>>>>);

impl Default for ProcessValues {
    fn default() -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Vec::new())))
    }
}

impl ProcessValues {
    /// The value of this type, the same on every core.
    pub fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let find = |values: &[Arc<dyn Any + Send + Sync>]| {
            values.iter().find_map(|value| value.clone().downcast::<T>().ok())
        };
        if let Some(known) = find(&self.0.load()) {
            return known;
        }
        let made: Arc<T> = Arc::default();
        // Two cores may be here at once: the second finds the value of the first.
        self.0.rcu(|values| {
            let mut values = Vec::clone(values);
            if find(&values).is_none() {
                values.push(made.clone());
            }
            values
        });
        find(&self.0.load()).unwrap_or(made)
    }
}

impl fmt::Debug for ProcessValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessValues({})", self.0.load().len())
    }
}

/// Values by type, one of each, of one core. They outlive the service of a plan, so that the one of the next
/// plan finds them. Clones are the same values.
#[derive(Clone, Default)]
pub struct LocalValues(Rc<RefCell<Vec<Rc<dyn Any>>>>);

impl LocalValues {
    /// The value of this type.
    pub fn get<T: Default + 'static>(&self) -> Rc<T> {
        let find = || self.0.borrow().iter().find_map(|value| value.clone().downcast::<T>().ok());
        find().unwrap_or_else(|| {
            // Made before the borrow, because it may use the values itself.
            let made = Rc::new(T::default());
            self.0.borrow_mut().push(made.clone());
            made
        })
    }
}

impl fmt::Debug for LocalValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalValues({})", self.0.borrow().len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn there_is_one_value_of_a_type() {
        let values = ProcessValues::default();
        let adders: Vec<_> = (0..8)
            .map(|_| {
                let values = values.clone();
                thread::spawn(move || values.get::<AtomicU32>().fetch_add(1, Ordering::Relaxed))
            })
            .collect();
        for adder in adders {
            adder.join().unwrap();
        }
        assert_eq!(values.get::<AtomicU32>().load(Ordering::Relaxed), 8);
        let local = LocalValues::default();
        local.get::<RefCell<u32>>().replace(7);
        assert_eq!((*local.clone().get::<RefCell<u32>>().borrow(), *local.get::<u64>()), (7, 0));
    }
}
