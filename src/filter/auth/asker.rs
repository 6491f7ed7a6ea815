//! Whose password is verified, as far as turns and waits are concerned. Knows no names.

use std::net::{IpAddr, Ipv6Addr};

/// Who asks, for turns and waits: the file of users, and the address, of which one client has a whole /64 in
/// IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    scope: u64,
    address: Option<IpAddr>,
}

impl Asker {
    pub(super) fn new(scope: u64, address: Option<IpAddr>) -> Self {
        let network = |address| match address {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        Self { scope, address: address.map(network) }
    }
}
