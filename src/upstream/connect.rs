//! Connections to endpoints: TCP and Unix sockets, within a time limit.

use std::future::{Future, poll_fn};
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::{ExchangeError, ExchangeFailure};
use super::h1::Link;
use super::options::UpstreamOptions;
use super::pool::{LocalPools, OpenCount, Place};
use crate::net::{Address, Stream};
use crate::ring::Ring;

/// A connection to an endpoint, kept or fresh; `is_fresh` requires a fresh one.
///
/// # Errors
/// Nothing was sent.
pub(crate) async fn link(
    ring: &Ring,
    pools: &LocalPools,
    endpoint: &Endpoint,
    options: &UpstreamOptions,
    is_fresh: bool,
) -> Result<Box<Link>, ExchangeError> {
    let pool: Rc<_> = endpoint.pool(pools, options).clone();
    let place = pool.place(&options.pool, ring, is_fresh).await.map_err(ExchangeError::unsent)?;
    match place {
        Place::Kept(link) => Ok(link),
        Place::Open(open) => connect(ring, endpoint, options, open).await.map_err(ExchangeError::unsent),
    }
}

async fn connect(
    ring: &Ring,
    endpoint: &Endpoint,
    options: &UpstreamOptions,
    open: OpenCount,
) -> Result<Box<Link>, ExchangeFailure> {
    let connecting = async {
        match endpoint.address() {
            Address::Inet(addr) => ring.connect(*addr).await,
            Address::Unix(path) => ring.connect_unix(path.as_os_str().as_bytes()).await,
        }
    };
    match within(ring, options.timeouts.connect, connecting).await {
        Some(Ok(socket)) => Ok(Link::new(Stream::from(socket), open)),
        Some(Err(error)) => Err(ExchangeFailure::Connect(error)),
        None => Err(ExchangeFailure::ConnectTimeout),
    }
}

/// The result of `work`, if there is one in time.
async fn within<T>(ring: &Ring, time: Duration, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut over) = (pin!(work), pin!(ring.sleep(time)));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => over.as_mut().poll(cx).map(|()| None),
    })
    .await
}
