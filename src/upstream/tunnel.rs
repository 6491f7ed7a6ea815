//! A tunnel to an endpoint, whatever the version of HTTP: a connection whose protocol was switched, or a
//! stream that an extended CONNECT has opened (RFC 8441).

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::h1::H1Tunnel;
use super::h2::H2Tunnel;

/// Bytes in both directions. Dropping it closes its connection, or resets its stream unless both directions
/// have ended.
pub(crate) enum Tunnelled {
    H1(H1Tunnel),
    H2(H2Tunnel),
}

impl Tunnelled {
    /// Receiving fails with `TimedOut` after this time; from now on.
    pub(crate) fn set_idle(&mut self, idle: Duration) {
        match self {
            Self::H1(tunnel) => tunnel.set_idle(idle),
            Self::H2(tunnel) => tunnel.set_idle(idle),
        }
    }

    /// Ready when more may be sent.
    ///
    /// # Errors
    /// The endpoint takes nothing any more.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::H1(tunnel) => tunnel.poll_ready(cx),
            Self::H2(tunnel) => tunnel.poll_ready(cx),
        }
    }

    /// Sends bytes, once [`poll_ready`](Self::poll_ready) was ready.
    pub(crate) fn start_send(&mut self, bytes: Bytes) {
        match self {
            Self::H1(tunnel) => tunnel.start_send(bytes),
            Self::H2(tunnel) => tunnel.start_send(bytes),
        }
    }

    /// Ends the direction to the endpoint, once [`poll_ready`](Self::poll_ready) was ready.
    pub(crate) fn shut(&mut self) {
        match self {
            Self::H1(tunnel) => tunnel.shut(),
            Self::H2(tunnel) => tunnel.shut(),
        }
    }

    /// The next bytes; `None` once the endpoint has closed its direction.
    ///
    /// # Errors
    /// The tunnel was lost, or was silent for too long.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        match self {
            Self::H1(tunnel) => tunnel.poll_next(cx),
            Self::H2(tunnel) => tunnel.poll_next(cx),
        }
    }
}
