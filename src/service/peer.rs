//! The address of a connection's peer, as the kernel reports it.

use std::fmt;
use std::net::SocketAddr;

/// The peer that sent a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Peer {
    /// A client over TCP.
    Inet(SocketAddr),
    /// A client on a Unix socket.
    Unix,
    /// Unknown: the connection was lost, or there was none (tests).
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

/// An address with its port; `unix:` for a Unix socket; `-` if it is unknown.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix => f.write_str("unix:"),
            Self::Unknown => f.write_str("-"),
        }
    }
}
