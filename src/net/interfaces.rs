//! The addresses of this machine's interfaces, as the kernel lists them, to tell where a server that listens
//! on every interface can be reached. Best effort: without procfs there are none.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses by which other machines may reach this one: those of its interfaces, without the loopback and
/// those that are valid on one link alone.
pub fn reachable_addresses() -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let v4 = v4_of(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    v4.chain(v6_of(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6)).collect()
}

/// The local addresses in a routing table. A leaf is two lines: `|-- ADDRESS`, `/32 host LOCAL`.
fn v4_of(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut found: Vec<Ipv4Addr> = Vec::new();
    let mut leaf: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse().ok();
        } else if line == "/32 host LOCAL"
            && let Some(address) = leaf.take()
        {
            let is_of_use = !address.is_loopback() && !address.is_link_local() && !found.contains(&address);
            found.extend(is_of_use.then_some(address));
        }
    }
    found
}

/// The lasting global addresses: `ADDRESS INDEX PREFIX SCOPE FLAGS NAME`, in hexadecimal.
fn v6_of(if_inet6: &str) -> Vec<Ipv6Addr> {
    /// Temporary, failed, deprecated and tentative (linux/if_addr.h).
    const PASSING: u8 = 0x01 | 0x08 | 0x20 | 0x40;
    let address = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, "00", flags, _] = words[..] else { return None };
        let lasts = u8::from_str_radix(flags, 16).ok()? & PASSING == 0;
        lasts.then_some(Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?))
    };
    if_inet6.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_reach_are_found_once() {
        let trie = [
            "Main:\n   |-- 0.0.0.0\n      /0 universe UNICAST\n   |-- 192.168.7.0\n      /24 link UNICAST\n",
            "   |-- 192.168.7.5\n      /32 host LOCAL\nLocal:\n   |-- 127.0.0.1\n      /32 host LOCAL\n",
            "   |-- 192.168.7.5\n      /32 host LOCAL\n   |-- 192.168.7.255\n      /32 link BROADCAST\n",
            "   |-- 169.254.1.1\n      /32 host LOCAL\n",
        ];
        assert_eq!(v4_of(&trie.concat()), [Ipv4Addr::new(192, 168, 7, 5)]);
        let v6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
                  fe800000000000000000000000000001 02 40 20 80     eth0\n\
                  20010db8000000000000000000000007 02 40 00 80     eth0\n\
                  20010db8000000000000000000000008 02 40 00 01     eth0\n";
        assert_eq!(v6_of(v6), ["2001:db8::7".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!((v4_of("nonsense"), v6_of("nonsense")), (vec![], vec![]));
    }
}
