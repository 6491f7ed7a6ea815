//! Connections to endpoints: TCP and Unix sockets, through a forward proxy where there is one, within a time
//! limit.

use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::rc::Rc;
use std::time::Instant;

use super::endpoint::Endpoint;
use super::error::{ExchangeError, ExchangeFailure};
use super::exchange::Link;
use super::group::Group;
use super::h1;
use super::pool::{LocalPools, Place};
use crate::net::{Address, Stream};
use crate::ring::Ring;

/// What a request needs of its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Needs {
    /// One that was not used before, because one that was is closed.
    pub(crate) is_fresh: bool,
    /// For an upgrade: HTTP/1.1 where the endpoint speaks it.
    pub(crate) http1: bool,
    /// For an upgrade that HTTP/2 can ask for too: the endpoint has said whether it opens tunnels.
    pub(crate) tunnel: bool,
}

/// A connection to an endpoint, kept or fresh.
///
/// # Errors
/// Nothing was sent.
pub(crate) async fn link(
    ring: &Ring,
    pools: &LocalPools,
    group: &Group,
    endpoint: &Endpoint,
    needs: Needs,
) -> Result<Link, ExchangeError> {
    let options = group.options();
    let pool: Rc<_> = endpoint.pool(pools, options).clone();
    loop {
        if pool.uses_http2(needs.http1) {
            let wait = Wait::begin(ring, group);
            let connecting = async move || {
                drop(wait);
                connect(ring, group, endpoint, false).await
            };
            let placed = pool.h2().place(&pool, options, ring, connecting).await;
            if let Some(link) = placed.map_err(ExchangeError::unsent)? {
                if needs.tunnel
                    && let Link::H2(carrier) = &link
                {
                    poll_fn(|cx| carrier.poll_settings(cx)).await.map_err(ExchangeError::unsent)?;
                }
                return Ok(link);
            }
        }
        let wait = Wait::begin(ring, group);
        let place = pool.place(&options.pool, ring, needs.is_fresh).await.map_err(ExchangeError::unsent)?;
        drop(wait);
        let open = match place {
            Place::Kept(link) => return Ok(Link::H1(link)),
            Place::Open(open) => open,
        };
        match connect(ring, group, endpoint, true).await {
            Ok(stream) => return Ok(Link::H1(h1::Link::new(stream, open))),
            // It refuses HTTP/1.1, which alone was offered for an upgrade.
            Err(ExchangeFailure::NoVersion) if needs.http1 && pool.speaks_http2_alone() => {}
            Err(failure) => return Err(ExchangeError::unsent(failure)),
        }
    }
}

/// A request in a queue, which is measured however that ends: those that wait in vain are what one looks for.
struct Wait<'a> {
    since: Instant,
    ring: &'a Ring,
    group: &'a Group,
}

impl<'a> Wait<'a> {
    fn begin(ring: &'a Ring, group: &'a Group) -> Self {
        Self { since: ring.now(), ring, group }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let waited = self.ring.now().saturating_duration_since(self.since);
        if !waited.is_zero()
            && let Some(meter) = self.group.meter()
        {
            meter.queue.record(waited);
        }
    }
}

/// A failure to connect as another request of it gets to know of it.
pub(super) fn copy_of(failure: &ExchangeFailure) -> ExchangeFailure {
    match failure {
        ExchangeFailure::Connect(error) => {
            let copy = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            ExchangeFailure::Connect(copy)
        }
        ExchangeFailure::Tls(why) => ExchangeFailure::Tls(why.clone()),
        ExchangeFailure::Certificate(error) => ExchangeFailure::Certificate(error.clone()),
        ExchangeFailure::NoVersion => ExchangeFailure::NoVersion,
        ExchangeFailure::TlsTimeout => ExchangeFailure::TlsTimeout,
        ExchangeFailure::NoSettings => ExchangeFailure::NoSettings,
        ExchangeFailure::ForwardProxy(status) => ExchangeFailure::ForwardProxy(*status),
        _ => ExchangeFailure::ConnectTimeout,
    }
}

pub(super) async fn connect(
    ring: &Ring,
    group: &Group,
    endpoint: &Endpoint,
    needs_http1: bool,
) -> Result<Stream, ExchangeFailure> {
    let since = ring.now();
    let stream = connect_unmeasured(ring, group, endpoint, needs_http1).await?;
    if let Some(meter) = group.meter() {
        meter.connect.record(ring.now().saturating_duration_since(since));
    }
    Ok(stream)
}

async fn connect_unmeasured(
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
    let mut socket = match ring.within(timeouts.connect, connecting).await {
        Some(connected) => connected.map_err(ExchangeFailure::Connect)?,
        None => return Err(ExchangeFailure::ConnectTimeout),
    };
    if let Some(tunnel) = group.tunnel() {
        socket.set_deadline(Some(timeouts.connect));
        socket = tunnel.open(socket, &group.options().response_limits).await?;
        socket.set_deadline(None);
    }
    let Some(tls) = group.tls() else { return Ok(Stream::from(socket)) };
    socket.set_deadline(Some(timeouts.tls));
    let stream = tls.connect(socket, endpoint.options(), needs_http1).await?;
    stream.set_deadline(None);
    Ok(stream)
}
