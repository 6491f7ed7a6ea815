//! An endpoint as one core sees it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use super::options::{EndpointAddress, EndpointOptions, UpstreamOptions};
use super::pool::{EndpointPool, LocalPools};
use super::state::EndpointState;
use crate::net::Address;

/// An endpoint on one core. A name with several addresses is as many endpoints.
#[derive(Debug)]
pub struct Endpoint {
    options: EndpointOptions,
    authority: String,
    state: Arc<EndpointState>,
    pool: OnceCell<Rc<EndpointPool>>,
}

impl Endpoint {
    pub(super) fn new(options: EndpointOptions, state: Arc<EndpointState>) -> Self {
        state.set_options(&options);
        let authority = match &options.address {
            EndpointAddress::Unix(_) => "localhost".to_owned(),
            tcp => tcp.to_string(),
        };
        Self { options, authority, state, pool: OnceCell::new() }
    }

    /// Address, weight and the like, as configured.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    /// What all cores know of it.
    pub fn state(&self) -> &EndpointState {
        &self.state
    }

    pub(crate) fn shared(&self) -> &Arc<EndpointState> {
        &self.state
    }

    /// Where to connect.
    pub fn address(&self) -> &Address {
        &self.state.id().address
    }

    /// Host and port, as in `Host`; `localhost` for a Unix socket.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Its connections on this core.
    pub(crate) fn pool(&self, pools: &LocalPools, options: &UpstreamOptions) -> &Rc<EndpointPool> {
        self.pool.get_or_init(|| pools.pool(&self.state, options))
    }

    /// The weight that an administrator has set, or the configured one.
    pub fn weight(&self) -> u32 {
        self.state.weight_set().unwrap_or(self.options.weight)
    }

    /// Whether it counts as an endpoint: not down by configuration, not drained, and with a weight.
    pub(super) fn is_enabled(&self) -> bool {
        !self.options.down && !self.state.is_drained() && self.weight() > 0
    }
}
