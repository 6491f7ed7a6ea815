//! Connections that are opened before a request needs one (`pool.warm`), and opened again as they are used up
//! or closed: one task per upstream and core, which ends with the upstream.

use std::rc::{Rc, Weak};
use std::time::Duration;

use super::connect::connect;
use super::endpoint::Endpoint;
use super::exchange::Link;
use super::group::Group;
use super::h1;
use super::pool::{EndpointPool, LocalPools};
use super::state::Health;
use crate::observe::log;
use crate::ring::Ring;

/// Time between two looks at the connections that there are.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks after a failure that are left out: an endpoint that is away is found by checks and requests.
const LOOKS_LEFT_OUT: u32 = 9;

/// Keeps the connections of this upstream, for as long as it lives.
pub(super) fn keep_warm(group: &Rc<Group>, pools: &Rc<LocalPools>, ring: &Ring) {
    if group.options().pool.warm == 0 {
        return;
    }
    let kept = kept(Rc::downgrade(group), pools.clone(), ring.clone());
    ring.spawn(kept, |panic| {
        log::line(format_args!("the opening of connections panicked: {}", log::panic_text(&*panic)));
    });
}

async fn kept(group: Weak<Group>, pools: Rc<LocalPools>, ring: Ring) {
    let mut failed: Vec<(Weak<Endpoint>, u32)> = Vec::new();
    loop {
        let Some(group) = group.upgrade() else { return };
        failed.retain_mut(|(endpoint, left)| {
            *left -= 1;
            *left > 0 && endpoint.strong_count() > 0
        });
        for endpoint in group.current_endpoints(ring.now()).iter() {
            let is_left_out =
                failed.iter().any(|(other, _)| std::ptr::eq(other.as_ptr(), Rc::as_ptr(endpoint)));
            let is_usable = endpoint.is_enabled() && endpoint.state().health() != Health::Down;
            if is_usable && !is_left_out && !warm(&group, endpoint, &pools, &ring).await {
                failed.push((Rc::downgrade(endpoint), LOOKS_LEFT_OUT));
            }
        }
        drop(group);
        ring.sleep(LOOK_EVERY).await;
    }
}

/// Opens what is missing to this endpoint; whether that was possible.
async fn warm(group: &Rc<Group>, endpoint: &Rc<Endpoint>, pools: &LocalPools, ring: &Ring) -> bool {
    let options = group.options();
    let pool = endpoint.pool(pools, options).clone();
    // Several routes may have this upstream.
    let Some(_warming) = Warming::begin(&pool) else { return true };
    // Bounded, so that an endpoint that closes what it accepts is not flooded.
    for _ in 0..options.pool.warm {
        if !pool.lacks_warm(&options.pool, ring.now()) {
            break;
        }
        let Some(open) = pool.open_now(&options.pool) else { return true };
        let is_http1 = !pool.uses_http2(false);
        let Ok(stream) = connect(ring, group, endpoint, is_http1).await else { return false };
        let link = if is_http1 {
            Link::H1(h1::Link::new(stream, open))
        } else {
            pool.h2().opened(stream, options, open)
        };
        if let Link::H1(mut link) = link {
            link.rest();
            pool.give(link, &options.pool);
        }
    }
    !pool.lacks_warm(&options.pool, ring.now())
}

/// Marks a pool as one whose connections are being opened.
struct Warming<'a>(&'a EndpointPool);

impl<'a> Warming<'a> {
    fn begin(pool: &'a EndpointPool) -> Option<Self> {
        (!pool.is_warming.replace(true)).then_some(Self(pool))
    }
}

impl Drop for Warming<'_> {
    fn drop(&mut self) {
        self.0.is_warming.set(false);
    }
}
