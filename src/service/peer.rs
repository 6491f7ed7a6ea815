//! Who is at the other end of a connection, as far as the kernel knows.

use std::fmt;
use std::net::SocketAddr;

/// Where a request comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// A client over TCP.
    Inet(SocketAddr),
    /// A client on a Unix socket.
    Unix,
    /// Nobody knows: the connection is gone, or there was none (tests).
    Unknown,
}

impl Peer {
    /// The address of a TCP client.
    pub fn addr(self) -> Option<SocketAddr> {
        match self {
            Self::Inet(addr) => Some(addr),
            Self::Unix | Self::Unknown => None,
        }
    }
}

/// An address with its port; `unix:` for a Unix socket; `-` if nobody knows.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix => f.write_str("unix:"),
            Self::Unknown => f.write_str("-"),
        }
    }
}
