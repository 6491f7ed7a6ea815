//! Connections to endpoints: TCP and Unix sockets, within a time limit.

use std::future::{Future, poll_fn};
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::error::{ExchangeError, ExchangeFailure};
use super::group::Group;
use super::h1::Link;
use super::pool::{LocalPools, Place};
use crate::net::{Address, Stream};
use crate::ring::Ring;

/// A connection to an endpoint, kept or fresh; `is_fresh` requires a fresh one.
///
/// # Errors
/// Nothing was sent.
pub(crate) async fn link(
    ring: &Ring,
    pools: &LocalPools,
    group: &Group,
    endpoint: &Endpoint,
    is_fresh: bool,
) -> Result<Box<Link>, ExchangeError> {
    let options = group.options();
    let pool: Rc<_> = endpoint.pool(pools, options).clone();
    let place = pool.place(&options.pool, ring, is_fresh).await.map_err(ExchangeError::unsent)?;
    match place {
        Place::Kept(link) => Ok(link),
        Place::Open(open) => {
            let stream = connect(ring, group, endpoint, false).await.map_err(ExchangeError::unsent)?;
            Ok(Link::new(stream, open))
        }
    }
}

async fn connect(
    ring: &Ring,
    group: &Group,
    endpoint: &Endpoint,
    needs_http1: bool,
) -> Result<Stream, ExchangeFailure> {
    let timeouts = &group.options().timeouts;
    let connecting = async {
        match endpoint.address() {
            Address::Inet(addr) => ring.connect(*addr).await,
            Address::Unix(path) => ring.connect_unix(path.as_os_str().as_bytes()).await,
        }
    };
    let socket = match within(ring, timeouts.connect, connecting).await {
        Some(connected) => connected.map_err(ExchangeFailure::Connect)?,
        None => return Err(ExchangeFailure::ConnectTimeout),
    };
    let Some(tls) = group.tls() else { return Ok(Stream::from(socket)) };
    socket.set_deadline(Some(timeouts.tls));
    let stream = tls.connect(socket, endpoint.options(), needs_http1).await?;
    stream.set_deadline(None);
    Ok(stream)
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
