//! What a client does unless a request says otherwise: limits, timeouts, redirects, each with its default and
//! the reason. Opens nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::proxies::ClientProxies;
use crate::http::message::ResponseLimits;
use crate::upstream::{PoolOptions, RetryOptions, UpstreamProtocol, UpstreamTimeouts, UpstreamTls};

/// Which addresses may be connected to.
#[derive(Clone)]
pub struct AddressRule(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl AddressRule {
    /// Those that this accepts.
    pub fn new(rule: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }
}

impl fmt::Debug for AddressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressRule")
    }
}

/// The options of a [`Client`](super::Client).
///
/// ```
/// use std::time::Duration;
///
/// use quoit::client::{ClientOptions, is_public};
///
/// // For URLs that users give: no address of the own network, and no redirects that were not looked at.
/// let mut options = ClientOptions::default().allow(is_public);
/// options.redirects_max = 0;
/// options.timeout = Some(Duration::from_secs(5));
/// ```
#[derive(Clone)]
pub struct ClientOptions {
    /// For a whole request, its redirects and its response's content included. Default 30 s; `None` is no
    /// limit, for long downloads, which the other timeouts still watch.
    pub timeout: Option<Duration>,
    /// How long is waited for what. Default as of upstreams, but 5 s for a connection (names included),
    /// because hosts are farther away than those of a site.
    pub timeouts: UpstreamTimeouts,
    /// Limits of the heads of responses.
    pub response_limits: ResponseLimits,
    /// Most bytes of a response's content, as it is sent and once it is decompressed; beyond it the exchange
    /// is cut. Default 1 GiB, which a reader of a stream may have to store; `None`: any number.
    pub response_bytes_max: Option<u64>,
    /// Most bytes of content that `bytes`, `text` and `json` take into memory. Default 8 MiB.
    pub whole_bytes_max: usize,
    /// Redirects that are followed for one request. Default 10; with 0 they are returned as they are.
    pub redirects_max: u32,
    /// Whether a redirect from https to http is followed. Default false.
    pub redirects_to_plain: bool,
    /// Whether compressed responses are asked for and decompressed (gzip, br, zstd). Default true; no effect
    /// without the feature `compress`.
    pub decompress: bool,
    /// Fields of every request that has none of the same name, such as `User-Agent`. Default none.
    pub fields: Vec<(String, String)>,
    /// The version of HTTP. Default [`UpstreamProtocol::Auto`]: HTTP/1.1, and over TLS what the server
    /// chooses.
    pub protocol: UpstreamProtocol,
    /// Which certificates are accepted, and what is presented. By default the machine's authorities decide. A
    /// `server_name` would be that of every host.
    pub tls: UpstreamTls,
    /// Connections that are kept, and how many there may be to one host.
    pub pool: PoolOptions,
    /// When a request is sent again, over another connection or to another address of its host. An address
    /// gets a request once, but for kept connections that were closed meanwhile.
    pub retries: RetryOptions,
    /// Hosts per core whose connections and addresses are kept; of more the one that was not used for longest
    /// is forgotten. Default 256, so that URLs of strangers cannot fill the memory.
    pub hosts_max: usize,
    /// How long the addresses of a name are used before they are looked up again. Default 10 s; the system's
    /// resolver reports no lifetimes.
    pub names_time: Duration,
    /// Proxies that requests go through. Default none; the environment is read by
    /// [`ClientProxies::from_env`] alone.
    pub proxies: ClientProxies,
    /// Which addresses may be connected to, as [`allow`](Self::allow) says. Default all.
    pub allow: Option<AddressRule>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
            timeouts: UpstreamTimeouts { connect: Duration::from_secs(5), ..UpstreamTimeouts::default() },
            response_limits: ResponseLimits::DEFAULT,
            response_bytes_max: Some(1 << 30),
            whole_bytes_max: 8 * 1024 * 1024,
            redirects_max: 10,
            redirects_to_plain: false,
            decompress: true,
            fields: Vec::new(),
            protocol: UpstreamProtocol::default(),
            tls: UpstreamTls::default(),
            pool: PoolOptions { idle_max: 64, ..PoolOptions::default() },
            retries: RetryOptions::default(),
            hosts_max: 256,
            names_time: Duration::from_secs(10),
            proxies: ClientProxies::none(),
            allow: None,
        }
    }
}

impl ClientOptions {
    /// Connects only to addresses that this accepts, whether they stand in a URL, in a redirect, or are what
    /// a name stands for. It sees the address that is then connected to, so that a name that changes its
    /// meaning gains nothing. An IPv4 address within an IPv6 one is that. Names that a forward proxy resolves
    /// are not seen.
    #[must_use]
    pub fn allow(self, rule: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self { allow: Some(AddressRule::new(rule)), ..self }
    }

    pub(super) fn allows(&self, address: IpAddr) -> bool {
        self.allow.as_ref().is_none_or(|rule| (rule.0)(address.to_canonical()))
    }
}

/// Without the values of fields, which may be secrets.
impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("ClientOptions")
            .field("timeout", &self.timeout)
            .field("timeouts", &self.timeouts)
            .field("redirects_max", &self.redirects_max)
            .field("fields", &names)
            .field("proxies", &self.proxies)
            .field("allow", &self.allow)
            .finish_non_exhaustive()
    }
}

/// Whether an address is one of the public Internet: not of this machine, of a private or shared network, of
/// one link, of several hosts, or reserved (RFC 6890). IPv4 addresses within IPv6 ones count as themselves.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match a {
        0 | 10 | 127 | 224.. => false,
        100 => !(64..=127).contains(&b),
        169 => b != 254,
        172 => !(16..=31).contains(&b),
        192 => b != 168 && !matches!((b, c), (0, 0 | 2) | (88, 99)),
        198 => !matches!((b, c), (18 | 19, _) | (51, 100)),
        203 => (b, c) != (0, 113),
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    let segments = address.segments();
    match a {
        // NAT64, of the well-known prefix; the local-use one is private.
        0x64 if b == 0xff9b => segments[2..6] == [0; 4] && embedded(segments[6], segments[7]),
        // 6to4.
        0x2002 => embedded(b, c),
        // Teredo, benchmarking, ORCHID and the like; documentation.
        0x2001 => b > 0x1ff && b != 0xdb8,
        0x3fff => b > 0xfff,
        // Global unicast is what is left.
        0x2000..=0x3ffe => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_none_of_the_internet() {
        for address in
            ["1.1.1.1", "93.184.216.34", "2606:2800:220:1::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
