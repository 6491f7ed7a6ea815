//! What is looked up, and what is found: names of hosts and services, and their addresses.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::upstream::options::EndpointAddress;

/// Addresses of one name that are used. More come from mistakes, and each costs checks and connections.
const ADDRESSES_MAX: usize = 256;

/// What is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// A host, or a service such as `_http._tcp.example.com`.
    pub(crate) name: String,
    /// Of a host. A service has no port: its records have.
    pub(crate) port: Option<u16>,
    /// The name server; the system's resolver, or for a service its name servers, if there is none.
    pub(crate) resolver: Option<SocketAddr>,
}

impl Wanted {
    /// What is to be looked up to connect to this, if anything.
    pub(crate) fn of(address: &EndpointAddress, resolver: Option<SocketAddr>) -> Option<Self> {
        match address {
            EndpointAddress::Tcp { host, port } if host.parse::<IpAddr>().is_err() => {
                Some(Self { name: host.clone(), port: Some(*port), resolver })
            }
            EndpointAddress::Service(name) => Some(Self { name: name.clone(), port: None, resolver }),
            EndpointAddress::Tcp { .. } | EndpointAddress::Unix(_) => None,
        }
    }
}

/// An address of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) addr: SocketAddr,
    /// Where the name is that of a service.
    pub(crate) service: Option<Service>,
}

/// What a service's record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Service {
    /// The host that has the address.
    pub(crate) host: String,
    pub(crate) weight: u32,
    /// Not of the best priority.
    pub(crate) is_backup: bool,
}

impl From<SocketAddr> for Found {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, service: None }
    }
}

/// What a look-up found.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Sorted by address, each once.
    pub(crate) found: Vec<Found>,
    /// For how long it holds.
    pub(crate) valid: Duration,
}

/// Those that this machine has a route to, and not too many.
pub(super) fn usable(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut reachable = addresses.clone();
    let (has_v4, has_v6) = (has_route(&addresses, false), has_route(&addresses, true));
    reachable.retain(|addr| if addr.is_ipv4() { has_v4 } else { has_v6 });
    // Without any route the error of the connection is the clearest.
    let mut used = if reachable.is_empty() { addresses } else { reachable };
    used.truncate(ADDRESSES_MAX);
    used
}

/// Whether this machine has a route to the first of these addresses of a family: many have none for IPv6, and
/// names have addresses of both. A datagram socket that is connected sends nothing.
fn has_route(addresses: &[SocketAddr], v6: bool) -> bool {
    let Some(first) = addresses.iter().find(|addr| addr.is_ipv6() == v6) else { return false };
    let unspecified: IpAddr = if v6 { [0_u16; 8].into() } else { [0, 0, 0, 0].into() };
    UdpSocket::bind((unspecified, 0)).and_then(|socket| socket.connect(first)).is_ok()
}
