//! The endpoints of an upstream as one core sees them, and the choice of one for a request.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::options::{EndpointOptions, UpstreamOptions};
use super::state::{EndpointState, Upstreams};
use crate::http::status::Status;
use crate::service::{Context, CoreContext};

/// Why an upstream cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpstreamMistake {
    /// It has no endpoint.
    #[error("the upstream {0} has no endpoint; give it at least one address")]
    Empty(String),
    /// Two endpoints have the same address.
    #[error("the upstream {upstream} names {address} twice; give each endpoint once, with a weight")]
    Twice {
        /// The upstream.
        upstream: String,
        /// The address.
        address: String,
    },
}

/// An upstream on one core.
#[derive(Debug)]
pub struct Group {
    options: Arc<UpstreamOptions>,
    // INVARIANT: not empty.
    endpoints: Vec<Rc<Endpoint>>,
    next: Cell<usize>,
}

/// An endpoint on one core.
#[derive(Debug)]
pub struct Endpoint {
    options: EndpointOptions,
    state: Arc<EndpointState>,
}

impl Endpoint {
    /// Address, weight and the like.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// What all cores know of it.
    pub fn state(&self) -> &EndpointState {
        &self.state
    }
}

/// What of a request may decide about its endpoint. Nothing is read of it unless the policy needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickKey<'a> {
    context: Option<&'a Context>,
}

impl<'a> PickKey<'a> {
    /// Of this request.
    pub fn of(context: &'a Context) -> Self {
        Self { context: Some(context) }
    }

    /// The request.
    pub fn context(&self) -> Option<&'a Context> {
        self.context
    }
}

/// The endpoints that were tried for a request.
#[derive(Debug, Default)]
pub struct Tried(Vec<Rc<Endpoint>>);

impl Tried {
    /// Adds the endpoint of a try that failed.
    pub fn add(&mut self, endpoint: &Rc<Endpoint>) {
        self.0.push(endpoint.clone());
    }

    /// Whether this endpoint was tried.
    pub fn contains(&self, endpoint: &Endpoint) -> bool {
        self.0.iter().any(|tried| std::ptr::eq(&**tried, endpoint))
    }

    /// Number of tries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets them, and keeps the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Why there is no endpoint for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoEndpoint {
    /// None is usable: down, draining or unhealthy.
    #[error("no endpoint of the upstream is usable")]
    Unavailable,
    /// Circuit breakers are open, or too much is in flight.
    #[error("the endpoints of the upstream are overloaded")]
    Overloaded {
        /// When to come again.
        retry_after: Duration,
    },
}

/// How an exchange with an endpoint ended, as far as the endpoint is to blame. What the client or this side
/// did is no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A response with this status began.
    Response(Status),
    /// No connection, by refusal or by time.
    ConnectFailed,
    /// The connection was lost, or what came is no valid response.
    Broken,
    /// It did not answer in time.
    TimedOut,
}

/// An endpoint that was chosen. Its request counts as in flight until this is dropped; if no outcome was
/// recorded by then, it was the client who left.
#[derive(Debug)]
pub struct Pick {
    endpoint: Rc<Endpoint>,
}

impl Pick {
    /// The endpoint.
    pub fn endpoint(&self) -> &Rc<Endpoint> {
        &self.endpoint
    }

    /// Records how the exchange went, `latency` after it was sent. A response whose body breaks off later is
    /// recorded a second time.
    pub fn record(&mut self, outcome: Outcome, latency: Duration, now: Instant) {
        let _ = (outcome, latency, now);
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        self.endpoint.state.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Group {
    /// The upstream with these options on this core, with the state that its endpoints have in the process.
    ///
    /// # Errors
    /// The first mistake.
    pub fn new(options: &Arc<UpstreamOptions>, core: &CoreContext) -> Result<Rc<Self>, UpstreamMistake> {
        Self::check(options)?;
        let upstreams = core.process.get::<Upstreams>();
        let endpoints = options.endpoints.iter().map(|endpoint| {
            let state = upstreams.endpoint(&options.name, &endpoint.address);
            Rc::new(Endpoint { options: endpoint.clone(), state })
        });
        let endpoints = endpoints.collect();
        Ok(Rc::new(Self { options: options.clone(), endpoints, next: Cell::new(core.worker) }))
    }

    /// Finds what is wrong with the options without a core.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(options: &UpstreamOptions) -> Result<(), UpstreamMistake> {
        if options.endpoints.is_empty() {
            return Err(UpstreamMistake::Empty(options.name.clone()));
        }
        for (index, endpoint) in options.endpoints.iter().enumerate() {
            if options.endpoints[..index].iter().any(|before| before.address == endpoint.address) {
                let (upstream, address) = (options.name.clone(), endpoint.address.to_string());
                return Err(UpstreamMistake::Twice { upstream, address });
            }
        }
        Ok(())
    }

    /// Its options.
    pub fn options(&self) -> &Arc<UpstreamOptions> {
        &self.options
    }

    /// Its endpoints.
    pub fn endpoints(&self) -> &[Rc<Endpoint>] {
        &self.endpoints
    }

    /// Chooses an endpoint, one that was not tried if there is one.
    ///
    /// # Errors
    /// Why there is none.
    pub fn pick(&self, key: &PickKey<'_>, tried: &Tried, now: Instant) -> Result<Pick, NoEndpoint> {
        let _ = (key, now);
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        let count = self.endpoints.len();
        let in_turn = (0..count).map(|step| &self.endpoints[first.wrapping_add(step) % count]);
        let usable = in_turn.filter(|endpoint| !endpoint.options.down && endpoint.options.weight > 0);
        let mut usable = usable.peekable();
        let fallback = usable.peek().copied().ok_or(NoEndpoint::Unavailable)?;
        let chosen = usable.find(|endpoint| !tried.contains(endpoint)).unwrap_or(fallback);
        chosen.state.in_flight.fetch_add(1, Relaxed);
        Ok(Pick { endpoint: chosen.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_take_turns_and_untried_ones_come_first() {
        crate::harness::on_core(async |core| {
            let options = UpstreamOptions::new("a", ["a:1", "a:2", "a:3"]).unwrap();
            let group = Group::new(&Arc::new(options), &core).unwrap();
            let mut tried = Tried::default();
            let pick = |tried: &Tried| group.pick(&PickKey::default(), tried, core.ring.now()).unwrap();
            let port = |pick: &Pick| pick.endpoint().options().address.to_string();
            let picks: Vec<_> = (0..4).map(|_| port(&pick(&tried))).collect();
            assert_eq!(picks, ["a:1", "a:2", "a:3", "a:1"]);
            tried.add(pick(&tried).endpoint());
            tried.add(pick(&tried).endpoint());
            let last = pick(&tried);
            assert_eq!((port(&last), port(&pick(&tried))), ("a:1".into(), "a:1".into()));
            assert_eq!(last.endpoint().state().in_flight.load(Relaxed), 1);
        });
    }

    #[test]
    fn mistakes_are_found_without_a_core() {
        let check = |addresses: &[&str]| Group::check(&UpstreamOptions::new("api", addresses).unwrap());
        assert_eq!(check(&["a:1", "b:1"]), Ok(()));
        assert_eq!(check(&[]), Err(UpstreamMistake::Empty("api".into())));
        let twice = check(&["a:1", "A:1"]).unwrap_err().to_string();
        assert_eq!(twice, "the upstream api names a:1 twice; give each endpoint once, with a weight");
    }
}
