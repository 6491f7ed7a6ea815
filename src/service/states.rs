//! Values that a router is given when it is built and that its handlers extract by type.

use std::any::{Any, type_name};
use std::fmt;
use std::rc::Rc;

/// The states of one router. Few, so searched linearly.
#[derive(Clone, Default)]
pub struct States {
    values: Vec<(&'static str, Rc<dyn Any>)>,
}

impl States {
    pub(crate) fn insert<T: 'static>(&mut self, value: T) {
        self.values.retain(|(_, known)| !known.is::<T>());
        self.values.push((type_name::<T>(), Rc::new(value)));
    }

    /// Inherits the states of `outer` of types that it does not have.
    pub(crate) fn inherit(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if !self.values.iter().any(|(_, known)| (**known).type_id() == (**value).type_id()) {
                self.values.push((name, value.clone()));
            }
        }
    }

    /// The state of this type.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let (_, value) = self.values.iter().find(|(_, value)| value.is::<T>())?;
        value.clone().downcast().ok()
    }

    /// Whether there is a state of this type.
    pub fn has<T: 'static>(&self) -> bool {
        self.values.iter().any(|(_, value)| value.is::<T>())
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values.iter().map(|(name, _)| name)).finish()
    }
}
