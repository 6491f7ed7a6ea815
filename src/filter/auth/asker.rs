//! Whose password is verified, as far as turns and waits are concerned. Knows no names.

use std::net::{IpAddr, Ipv6Addr};

/// Who asks: the file of users, and the address, of which one client has a whole /64 in IPv6. An IPv4 address
/// is one also where a socket that was handed over takes both kinds, and has it as a mapped one: all of those
/// are in one /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    scope: u64,
    address: Option<IpAddr>,
}

impl Asker {
    pub(super) fn new(scope: u64, address: Option<IpAddr>) -> Self {
        let network = |address: IpAddr| match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        Self { scope, address: address.map(network) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let asker = |address: &str| Asker::new(1, Some(address.parse().unwrap()));
        assert_eq!(asker("2001:db8::1"), asker("2001:db8::2:3"));
        assert_ne!(asker("2001:db8::1"), asker("2001:db8:0:1::1"));
        assert_ne!(asker("192.0.2.1"), asker("192.0.2.2"));
        assert_ne!(asker("::ffff:192.0.2.1"), asker("::ffff:192.0.2.2"));
        assert_eq!(asker("::ffff:192.0.2.1"), asker("192.0.2.1"));
        assert_ne!(asker("192.0.2.1"), Asker::new(2, Some([192, 0, 2, 1].into())));
    }
}
