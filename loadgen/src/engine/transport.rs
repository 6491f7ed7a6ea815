//! The way to the server: a byte stream over TCP or a Unix socket. TLS will join here; what speaks over a
//! stream does not see what it is made of.

use std::future::poll_fn;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use quoit::net::Address;
use quoit::ring::{Payload, RecvBuf, Ring, Socket};

/// A connection that stands.
pub(super) struct Stream {
    socket: Socket,
}

impl Stream {
    /// Connects, within `timeout`.
    pub(super) async fn connect(ring: &Ring, address: &Address, timeout: Duration) -> io::Result<Self> {
        let mut limit = pin!(ring.sleep(timeout));
        let mut connecting = pin!(async {
            match address {
                Address::Inet(addr) => ring.connect(*addr).await,
                Address::Unix(path) => ring.connect_unix(path.as_os_str().as_bytes()).await,
            }
        });
        let connected = poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(connected);
            }
            limit.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
        });
        let socket = connected.await?;
        socket.set_multishot(true);
        Ok(Self { socket })
    }

    /// Sets when waiting for input ends with `TimedOut`, counted from now; `None` for never.
    pub(super) fn set_deadline(&self, after: Option<Duration>) {
        self.socket.set_deadline(after);
    }

    /// Waits until what was sent before is with the kernel.
    pub(super) async fn flush(&self) -> io::Result<()> {
        self.socket.flush().await
    }

    /// Sends; nothing else may be on its way: `flush` was awaited.
    pub(super) fn start_send(&self, payload: Payload) {
        self.socket.start_send(payload);
    }

    /// The next input, or `None` at the end.
    pub(super) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<RecvBuf>>> {
        self.socket.poll_recv(cx)
    }
}
