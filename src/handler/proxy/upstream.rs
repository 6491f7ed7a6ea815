//! An upstream as one proxy on one core uses it: the group, and where its connections are kept.

use std::rc::Rc;
use std::sync::Arc;

use crate::ring::Ring;
use crate::service::CoreContext;
use crate::upstream::{
    Endpoint, Exchange, ExchangeError, Group, Link, LocalPools, Needs, UpstreamMistake, UpstreamOptions, link,
};

/// An upstream, and its connections on this core.
pub(super) struct ProxyUpstream {
    pub(super) group: Rc<Group>,
    ring: Ring,
    pools: Rc<LocalPools>,
}

impl ProxyUpstream {
    pub(super) fn new(
        options: &Arc<UpstreamOptions>,
        core: &CoreContext,
    ) -> Result<Rc<Self>, UpstreamMistake> {
        let group = Group::new(options, core)?;
        Ok(Rc::new(Self { group, ring: core.ring.clone(), pools: core.local.get() }))
    }

    pub(super) fn options(&self) -> &UpstreamOptions {
        self.group.options()
    }

    pub(super) fn name(&self) -> &str {
        &self.group.options().name
    }

    /// Where an exchange may begin at once, if there is such a place.
    #[inline]
    pub(super) fn take_now(&self, endpoint: &Endpoint, needs_http1: bool) -> Option<Link> {
        let options = self.options();
        endpoint.pool(&self.pools, options).take_now(&options.pool, self.ring.now(), needs_http1)
    }

    /// A connection, kept or fresh.
    pub(super) async fn link(&self, endpoint: &Endpoint, needs: Needs) -> Result<Link, ExchangeError> {
        link(&self.ring, &self.pools, &self.group, endpoint, needs).await
    }

    /// After an exchange: keeps its connection, if another may begin on it.
    pub(super) fn keep(&self, endpoint: &Endpoint, exchange: Exchange) {
        if let Some(link) = exchange.end() {
            let options = self.options();
            endpoint.pool(&self.pools, options).give(link, &options.pool);
        }
    }
}
