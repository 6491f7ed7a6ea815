//! What the cores of a process know together of an endpoint: numbers without locks, and where to find them.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::options::EndpointAddress;

/// One endpoint of one upstream, for all cores. On a cache line of its own. All accesses are relaxed: each
/// number is used by itself.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointState {
    /// Requests that were sent to it and whose exchange has not ended.
    pub in_flight: AtomicU32,
    /// Connections to it, idle ones included.
    pub open: AtomicU32,
    /// Requests that wait for a connection because of `connections_max`.
    pub queued: AtomicU32,
}

/// The states of all endpoints of a server, by the name of the upstream and the address. Held weakly, so that
/// a plan finds the states of endpoints that the plan before it has too, and those of others go with it.
#[derive(Debug, Default)]
pub struct Upstreams {
    // Locked only while a service is built.
    known: Mutex<Vec<(String, EndpointAddress, Weak<EndpointState>)>>,
}

impl Upstreams {
    /// The state of an endpoint.
    pub fn endpoint(&self, upstream: &str, address: &EndpointAddress) -> Arc<EndpointState> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, _, state)| state.strong_count() > 0);
        let is_it = |(name, at, _): &&(String, EndpointAddress, Weak<_>)| name == upstream && at == address;
        if let Some(state) = known.iter().find(is_it).and_then(|(_, _, state)| state.upgrade()) {
            return state;
        }
        let state = Arc::new(EndpointState::default());
        known.push((upstream.to_owned(), address.clone(), Arc::downgrade(&state)));
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_lives_as_long_as_it_is_used() {
        let upstreams = Upstreams::default();
        let address = "a:1".parse().unwrap();
        let first = upstreams.endpoint("a", &address);
        assert!(Arc::ptr_eq(&first, &upstreams.endpoint("a", &address)));
        assert!(!Arc::ptr_eq(&first, &upstreams.endpoint("b", &address)));
        assert!(!Arc::ptr_eq(&first, &upstreams.endpoint("a", &"a:2".parse().unwrap())));
        drop(first);
        drop(upstreams.endpoint("a", &address));
        assert_eq!(upstreams.known.lock().unwrap().len(), 1);
    }
}
