//! Handlers and filters written in Rust, as parts of a plan: a name, and a function that creates them on each
//! core. Equal if the function is the same, because functions cannot be compared.

use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::service::{AnyService, Around, ChainLink, CoreContext, Filter, Service};

type BoxError = Box<dyn Error + Send + Sync>;
type Make<T> = dyn Fn(&CoreContext) -> Result<T, BoxError> + Send + Sync;

macro_rules! custom {
    ($name:ident) => {
        impl $name {
            /// Its name.
            pub fn name(&self) -> &str {
                &self.name
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name && Arc::ptr_eq(&self.make, &other.make)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.name).finish()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "custom `{}`", self.name)
            }
        }
    };
}

/// A handler written in Rust: any service, a router with its own routes included.
#[derive(Clone)]
pub struct CustomHandler {
    name: String,
    make: Arc<Make<Rc<dyn AnyService>>>,
}

/// A filter written in Rust.
#[derive(Clone)]
pub struct CustomFilter {
    name: String,
    make: Arc<Make<ChainLink>>,
}

custom!(CustomHandler);
custom!(CustomFilter);

impl CustomHandler {
    /// A handler with this name, which explanations show. `make` is called on each core.
    pub fn new<S, E, M>(name: &str, make: M) -> Self
    where
        S: Service,
        E: Into<BoxError>,
        M: Fn(&CoreContext) -> Result<S, E> + Send + Sync + 'static,
    {
        let make = move |core: &CoreContext| match make(core) {
            Ok(service) => Ok(Rc::new(service) as Rc<dyn AnyService>),
            Err(error) => Err(error.into()),
        };
        Self { name: name.to_owned(), make: Arc::new(make) }
    }

    pub(super) fn make(&self, core: &CoreContext) -> Result<Rc<dyn AnyService>, BoxError> {
        (self.make)(core)
    }
}

impl CustomFilter {
    /// A filter with this name, which explanations show. `make` is called on each core.
    pub fn new<F, E, M>(name: &str, make: M) -> Self
    where
        F: Filter,
        E: Into<BoxError>,
        M: Fn(&CoreContext) -> Result<F, E> + Send + Sync + 'static,
    {
        Self::of(name, move |core| Ok(ChainLink::Filter(Rc::new(make(core).map_err(Into::into)?))))
    }

    /// An asynchronous filter.
    pub fn around<A, E, M>(name: &str, make: M) -> Self
    where
        A: Around,
        E: Into<BoxError>,
        M: Fn(&CoreContext) -> Result<A, E> + Send + Sync + 'static,
    {
        Self::of(name, move |core| Ok(ChainLink::Around(Rc::new(make(core).map_err(Into::into)?))))
    }

    fn of(
        name: &str,
        make: impl Fn(&CoreContext) -> Result<ChainLink, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.to_owned(), make: Arc::new(make) }
    }

    pub(super) fn make(&self, core: &CoreContext) -> Result<ChainLink, BoxError> {
        (self.make)(core)
    }
}
