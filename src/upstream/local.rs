//! An upstream as one user of it on one core has it: the group, and where its connections are kept.

use std::rc::Rc;
use std::sync::Arc;

use super::connect::{Needs, link};
use super::connect_tunnel::ConnectTunnel;
use super::endpoint::Endpoint;
use super::error::ExchangeError;
use super::exchange::{Exchange, Link};
use super::group::{Group, UpstreamMistake};
use super::options::UpstreamOptions;
use super::pool::LocalPools;
use super::warm::keep_warm;
use super::watch::NameState;
use crate::ring::Ring;
use crate::service::CoreContext;

/// An upstream, and its connections on this core.
pub(crate) struct LocalUpstream {
    pub(crate) group: Rc<Group>,
    ring: Ring,
    pools: Rc<LocalPools>,
}

impl LocalUpstream {
    pub(crate) fn new(
        options: &Arc<UpstreamOptions>,
        core: &CoreContext,
    ) -> Result<Rc<Self>, UpstreamMistake> {
        let group = Group::new(options, core)?;
        let (ring, pools) = (core.ring.clone(), core.local.get());
        keep_warm(&group, &pools, &ring);
        Ok(Rc::new(Self { group, ring, pools }))
    }

    /// As [`new`](Self::new), for one endpoint, whose name is looked up elsewhere (`name`), or that is
    /// reached through a forward proxy at its address (`tunnel`).
    pub(crate) fn of_origin(
        options: &Arc<UpstreamOptions>,
        name: Option<Arc<NameState>>,
        tunnel: Option<ConnectTunnel>,
        core: &CoreContext,
    ) -> Result<Rc<Self>, UpstreamMistake> {
        let group = Group::of_origin(options, name, tunnel, core)?;
        Ok(Rc::new(Self { group, ring: core.ring.clone(), pools: core.local.get() }))
    }

    pub(crate) fn options(&self) -> &UpstreamOptions {
        self.group.options()
    }

    pub(crate) fn name(&self) -> &str {
        &self.group.options().name
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    /// Where an exchange may begin at once, if there is such a place.
    #[inline]
    pub(crate) fn take_now(&self, endpoint: &Endpoint, needs_http1: bool) -> Option<Link> {
        let options = self.options();
        endpoint.pool(&self.pools, options).take_now(&options.pool, self.ring.now(), needs_http1)
    }

    /// A connection, kept or fresh.
    pub(crate) async fn link(&self, endpoint: &Endpoint, needs: Needs) -> Result<Link, ExchangeError> {
        link(&self.ring, &self.pools, &self.group, endpoint, needs).await
    }

    /// After an exchange: keeps its connection, if another may begin on it.
    pub(crate) fn keep(&self, endpoint: &Endpoint, exchange: Exchange) {
        if let Some(link) = exchange.end() {
            let options = self.options();
            endpoint.pool(&self.pools, options).give(link, &options.pool);
        }
    }
}
