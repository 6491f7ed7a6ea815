//! Choosing an endpoint. Everything here is pure: what is known of the endpoints, random numbers and the time
//! are arguments.
//!
//! [`seats::Seating`] says who may get requests at all and with which share, and is kept while nothing
//! changes; a policy chooses among those seats for one request.

pub(crate) mod consistent;
pub(crate) mod hash;
pub(crate) mod least;
pub(crate) mod random;
pub(crate) mod rendezvous;
pub(crate) mod round_robin;
pub(crate) mod seats;
pub(crate) mod sticky;
pub(crate) mod two_choices;
