//! What an upstream is, as a value: its endpoints, how one is chosen, and every limit with its default and
//! the reason. Opens nothing and resolves nothing; holds no secret but the key of sticky cookies, which no
//! output shows.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::http::message::ResponseLimits;
use crate::http::target::split_authority;

/// A named group of endpoints that answer the same requests.
///
/// ```
/// use quoit::upstream::{Balance, UpstreamOptions};
///
/// let api = UpstreamOptions::new("api", ["127.0.0.1:9001", "unix:/run/api.sock"]).unwrap();
/// assert_eq!(api.to_string(), "api (127.0.0.1:9001, unix:/run/api.sock; power of two)");
/// assert_eq!((api.balance, api.endpoints[0].weight), (Balance::PowerOfTwo, 1));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamOptions {
    /// Its name, in logs, metrics and commands. Plans that name the same upstream share its state.
    pub name: String,
    /// Its endpoints. At least one.
    pub endpoints: Vec<EndpointOptions>,
    /// How an endpoint is chosen for a request. Default [`Balance::PowerOfTwo`].
    pub balance: Balance,
    /// Keeps a client at its endpoint by a signed cookie. Default: not.
    pub sticky: Option<StickyOptions>,
    /// The version of HTTP spoken to the endpoints. Default [`UpstreamProtocol::Auto`].
    pub protocol: UpstreamProtocol,
    /// TLS to the endpoints. Default: plain.
    pub tls: Option<UpstreamTls>,
    /// How long is waited for what.
    pub timeouts: UpstreamTimeouts,
    /// Connections that are kept, and how many there may be.
    pub pool: PoolOptions,
    /// When a request is sent again, to another endpoint or over another connection.
    pub retries: RetryOptions,
    /// Limits of the heads of responses. The defaults are those of requests.
    pub response_limits: ResponseLimits,
    /// Most bytes of a response's body; beyond it the exchange is cut. Default none: bodies are never held.
    pub response_bytes_max: Option<u64>,
    /// Active health checks. Default none: passive signs alone.
    pub checks: Option<CheckOptions>,
    /// When an endpoint is left out for a while because of how it answers.
    pub ejection: EjectionOptions,
    /// When an endpoint gets no requests at all for a while. Default none.
    pub breaker: Option<BreakerOptions>,
    /// Time in which an endpoint that is new, or that has returned, grows into its share. Default none: full
    /// share at once.
    pub slow_start: Option<Duration>,
    /// The zone of this process: endpoints of the same zone are preferred while enough of them are usable.
    /// Default none.
    pub zone: Option<String>,
    /// The name server that is asked for hosts and services. An answer holds as long as it says, 1 s to
    /// 5 min. Names are taken as they are, without the system's search list. Default none: hosts are looked
    /// up by the system every 5 s, and for services its name servers are asked.
    pub resolver: Option<SocketAddr>,
}

impl UpstreamOptions {
    /// An upstream of these addresses, each as in [`EndpointAddress::from_str`], with the defaults.
    ///
    /// # Errors
    /// The first address that is none.
    pub fn new<A: AsRef<str>>(
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = A>,
    ) -> Result<Self, EndpointAddressError> {
        let endpoint = |address: A| address.as_ref().parse().map(EndpointOptions::new);
        let endpoints = addresses.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self::of(name, endpoints))
    }

    /// Whether requests may go by HTTP/2: they must, or TLS negotiates it.
    pub(crate) fn may_use_http2(&self) -> bool {
        match self.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Auto => self.tls.is_some(),
            UpstreamProtocol::Http2 => true,
        }
    }

    /// Whether what is open may go on when `next` replaces it: that has all of the endpoints, and what is
    /// different only decides about requests that come.
    pub(crate) fn is_continued_by(&self, next: &Self) -> bool {
        let Self { endpoints, balance, sticky, pool, retries, .. } = next.clone();
        let Self { checks, ejection, breaker, slow_start, zone, .. } = next.clone();
        let choice = Self { endpoints, balance, sticky, pool, retries, ..self.clone() };
        let choice = Self { checks, ejection, breaker, slow_start, zone, ..choice };
        let has =
            |address: &EndpointAddress| next.endpoints.iter().any(|endpoint| endpoint.address == *address);
        choice == *next && self.endpoints.iter().all(|endpoint| has(&endpoint.address))
    }

    /// What applies to its requests, by name, and whether that is the default.
    pub(crate) fn explained(&self) -> Vec<(&'static str, String, bool)> {
        let (timeouts, retries, ejection) = (&self.timeouts, &self.retries, &self.ejection);
        let usual = Self::of("", Vec::new());
        let time = |value: Duration, usual: Duration| (format!("{value:?}"), value == usual);
        let named = |name: &'static str, (value, is_default): (String, bool)| (name, value, is_default);
        let tries = match retries.tries {
            0 | 1 => "none".to_owned(),
            tries => format!(
                "{} more within {:?} and {} % of the requests{}",
                tries - 1,
                retries.total_time,
                retries.budget_percent,
                if retries.non_idempotent { ", whatever the method" } else { ", of idempotent requests" }
            ),
        };
        let ejected = match ejection.failures_in_a_row {
            0 => "not for failures in a row".to_owned(),
            failures => format!(
                "after {failures} failures in a row, for {:?}, at most {} %",
                ejection.time, ejection.percent_max
            ),
        };
        let checks = match &self.checks {
            None => "none".to_owned(),
            Some(checks) => format!("every {:?}", checks.interval),
        };
        let breaker = if self.breaker.is_some() { "on" } else { "none" };
        vec![
            named("connect timeout", time(timeouts.connect, usual.timeouts.connect)),
            named("first byte timeout", time(timeouts.first_byte, usual.timeouts.first_byte)),
            named("idle timeout", time(timeouts.idle, usual.timeouts.idle)),
            named("tunnel idle timeout", time(timeouts.tunnel_idle, usual.timeouts.tunnel_idle)),
            ("retries", tries, *retries == usual.retries),
            ("ejection", ejected, *ejection == usual.ejection),
            ("checks", checks, self.checks.is_none()),
            ("breaker", breaker.to_owned(), self.breaker.is_none()),
        ]
    }

    /// An upstream of these endpoints, with the defaults.
    pub fn of(name: impl Into<String>, endpoints: Vec<EndpointOptions>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            balance: Balance::default(),
            sticky: None,
            protocol: UpstreamProtocol::default(),
            tls: None,
            timeouts: UpstreamTimeouts::default(),
            pool: PoolOptions::default(),
            retries: RetryOptions::default(),
            response_limits: ResponseLimits::DEFAULT,
            response_bytes_max: None,
            checks: None,
            ejection: EjectionOptions::default(),
            breaker: None,
            slow_start: None,
            zone: None,
            resolver: None,
        }
    }
}

/// Name, endpoints and policy: for explanations.
impl fmt::Display for UpstreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.name)?;
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            write!(f, "{}{endpoint}", if index > 0 { ", " } else { "" })?;
        }
        write!(f, "; {}", self.balance)?;
        f.write_str(if self.tls.is_some() { ", TLS" } else { "" })?;
        f.write_str(")")
    }
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Where it is.
    pub address: EndpointAddress,
    /// Its share relative to the others. Default 1; 0 gets no new requests, as one that drains.
    pub weight: u32,
    /// Gets requests only while no endpoint that is not a backup is usable. Default false.
    pub backup: bool,
    /// Gets no requests, and does not count as an endpoint. Default false.
    pub down: bool,
    /// Its zone. Default none.
    pub zone: Option<String>,
}

impl EndpointOptions {
    /// An endpoint with the defaults.
    pub fn new(address: EndpointAddress) -> Self {
        Self { address, weight: 1, backup: false, down: false, zone: None }
    }
}

/// The address, and what is not the default.
impl fmt::Display for EndpointOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.weight != 1 {
            write!(f, " weight {}", self.weight)?;
        }
        f.write_str(if self.backup { " backup" } else { "" })?;
        f.write_str(if self.down { " down" } else { "" })
    }
}

/// The address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointAddress {
    /// A host name or an IP address (IPv6 without brackets), and a port. Names are resolved off the cores.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// A service by its name in DNS, such as `_http._tcp.example.com`: SRV records (RFC 2782) name hosts,
    /// ports and weights, and those of any but the best priority are backups.
    Service(String),
}

/// Why a text is no address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no endpoint; write HOST:PORT, such as 127.0.0.1:9001 or [::1]:9001, unix:PATH, or srv:NAME"
)]
pub struct EndpointAddressError(String);

/// `HOST:PORT`, with IPv6 addresses in brackets, `unix:PATH`, or `srv:NAME`.
impl FromStr for EndpointAddress {
    type Err = EndpointAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EndpointAddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(error()) } else { Ok(Self::Unix(path.into())) };
        }
        let is_authority = crate::http::target::is_authority;
        if let Some(name) = text.strip_prefix("srv:") {
            let is_name = name.len() < 254 && !name.contains([':', '[']) && is_authority(name.as_bytes());
            let is_labels = name.split('.').all(|label| !label.is_empty() && label.len() < 64);
            return if is_name && is_labels {
                Ok(Self::Service(name.to_ascii_lowercase()))
            } else {
                Err(error())
            };
        }
        if !is_authority(text.as_bytes()) {
            return Err(error());
        }
        let (host, Some(port)) = split_authority(text) else { return Err(error()) };
        if port == 0 {
            return Err(error());
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self::Tcp { host: host.to_ascii_lowercase(), port })
    }
}

/// As it is parsed.
impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Service(name) => write!(f, "srv:{name}"),
        }
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Of two endpoints drawn at random, the one with the lower product of requests in flight and moving
    /// average of latency: as good as looking at all of them, without herds. The state is shared by the
    /// cores.
    #[default]
    PowerOfTwo,
    /// In turn, by weight.
    RoundRobin,
    /// The fewest requests in flight, by weight.
    LeastRequests,
    /// By a consistent hash with bounded load: the same key goes to the same endpoint unless that has more
    /// than 1.25 times its share.
    Hash(HashKey),
    /// By rendezvous hashing: the same key goes to the same endpoint whatever its load.
    Rendezvous(HashKey),
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerOfTwo => f.write_str("power of two"),
            Self::RoundRobin => f.write_str("round robin"),
            Self::LeastRequests => f.write_str("least requests"),
            Self::Hash(key) => write!(f, "hash by {key}"),
            Self::Rendezvous(key) => write!(f, "rendezvous by {key}"),
        }
    }
}

/// What of a request is hashed. Requests without it are spread evenly.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashKey {
    /// The value of this field, without regard to its name's case.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    /// The path, without the query.
    Path,
    /// The client's address, as the forwarding fields of trusted peers report it.
    ClientAddress,
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Path => f.write_str("path"),
            Self::ClientAddress => f.write_str("client address"),
        }
    }
}

/// A cookie that keeps a client at its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyOptions {
    /// The cookie's name.
    pub cookie: String,
    /// The key that signs it, so that clients cannot choose an endpoint.
    pub secret: StickySecret,
    /// How long it lives. Default none: as long as the browser runs.
    pub max_age: Option<Duration>,
}

/// A key whose bytes are in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct StickySecret(pub Vec<u8>);

impl fmt::Debug for StickySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StickySecret")
    }
}

/// The version of HTTP that is spoken to endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamProtocol {
    /// HTTP/1.1 without TLS; by ALPN with it.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by prior knowledge without TLS, and required of ALPN with it.
    Http2,
}

/// TLS to endpoints. Files are read when a plan is built, so that a reload takes new ones; connections stay.
/// HTTP/2 is used where the endpoint chooses it (ALPN), unless [`UpstreamProtocol`] says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Authorities that are trusted, as a PEM file. Default none: those of the system.
    pub ca: Option<PathBuf>,
    /// The name that the certificate must have, and that is sent as SNI. Default: the endpoint's host.
    pub server_name: Option<String>,
    /// The certificate that is presented, as a PEM file, with its key's file. Default none.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether certificates are verified. Default true; without it anyone on the way can read and change
    /// everything.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca: None, server_name: None, client_certificate: None, verify: true }
    }
}

/// How long is waited for endpoints, on a clock of 32 ms. None of these ends a transfer that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamTimeouts {
    /// For a connection. Default 3 s: within a site it takes milliseconds, and one lost SYN is sent again
    /// after 1 s.
    pub connect: Duration,
    /// For a TLS handshake. Default 5 s.
    pub tls: Duration,
    /// From the end of the request to the first byte of the response; begins again whenever bytes of the
    /// request move. Default 60 s, as elsewhere.
    pub first_byte: Duration,
    /// Without progress in either direction within a body. Default 60 s.
    pub idle: Duration,
    /// Without a byte within a tunnel or a stream of events. Default 1 h: these are silent by nature, and
    /// protocols with a heartbeat have their own limit.
    pub tunnel_idle: Duration,
    /// For `100 Continue` of an endpoint before a request's content is sent without it (RFC 9110 §10.1.1).
    /// Default 1 s, as curl waits.
    pub expect: Duration,
    /// Without a byte on an HTTP/2 connection with requests in flight before the endpoint is asked with a
    /// PING whether it is there. Default 30 s. While nothing but answers to PINGs comes, the next one follows
    /// after 5 min at the earliest, because servers of gRPC end connections with more.
    pub ping: Duration,
    /// For the answer to that PING; then the connection is lost. Default 10 s.
    pub ping_answer: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            tunnel_idle: Duration::from_secs(3600),
            expect: Duration::from_secs(1),
            ping: Duration::from_secs(30),
            ping_answer: Duration::from_secs(10),
        }
    }
}

/// Connections to endpoints. By HTTP/2 there are as few as carry the requests in flight, at most 8 per core
/// and endpoint; when all of these are full, requests wait as below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Idle connections of HTTP/1.1 that are kept per core and endpoint. Default 512: as many as 16 busy
    /// HTTP/2 clients have requests in flight at once, because connections beyond it are opened and closed
    /// for each burst.
    pub idle_max: usize,
    /// Connections that are opened before a request needs one, and kept ready, per core and endpoint that is
    /// usable; by HTTP/2 one, whatever the number. Default 0. They count among `connections_max`, and are
    /// opened again within half a second.
    pub warm: u32,
    /// How long one is kept idle. Default 55 s: below the 60 s of most servers, so that they are not the
    /// first to close.
    pub idle_time: Duration,
    /// How old one becomes; then it ends after its exchange. Default 1 h, so that a changed address of a
    /// load balancer behind a name is noticed.
    pub lifetime: Duration,
    /// Most connections to one endpoint, of all cores together. Default none. By HTTP/2 each core that has
    /// requests needs one of its own, and keeps it while it has requests.
    pub connections_max: Option<u32>,
    /// Requests that wait for a connection of one endpoint, of all cores together; beyond it 503 at once.
    /// Default 1024. Only with `connections_max`, and by HTTP/2.
    pub queue_max: u32,
    /// How long they wait; then 503. Default 1 s: longer waits outlive the patience of users.
    pub queue_time: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            idle_max: 512,
            warm: 0,
            idle_time: Duration::from_secs(55),
            lifetime: Duration::from_secs(3600),
            connections_max: None,
            queue_max: 1024,
            queue_time: Duration::from_secs(1),
        }
    }
}

/// When a request is sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryOptions {
    /// How often it is sent at most, the first time included. Default 3; 1 is no retry. A kept connection
    /// that was closed meanwhile is replaced by a fresh one without counting.
    pub tries: u32,
    /// Retries per 100 requests, of all cores together, beyond the first ten of a second. Default 20, so that
    /// a failing upstream gets a fifth more and not thrice as much. A request of which nothing was sent is no
    /// retry.
    pub budget_percent: u32,
    /// Time since the request's head after which it is not sent again. Default 30 s.
    pub total_time: Duration,
    /// Statuses after which an idempotent request is sent again, if nothing of the response was forwarded.
    /// Default none: a response is the endpoint's, and passed on as it is.
    pub statuses: Vec<u16>,
    /// Also send again what is not idempotent (POST, PATCH), at the risk that it is done twice. Default
    /// false.
    pub non_idempotent: bool,
    /// Bytes of a request's body that are held so that it can be sent again: an idempotent one, and by HTTP/2
    /// each that the endpoint has not processed. Default 64 KiB; longer bodies are sent once.
    pub body_bytes_max: usize,
    /// Time after which a second endpoint is asked too, if the first has not begun to answer; the first
    /// answer wins, and the other request is cancelled. Only for idempotent requests without content, and as
    /// one of the `tries` within the budget. Default none: endpoints get more requests when they are slow.
    pub hedge_after: Option<Duration>,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            tries: 3,
            budget_percent: 20,
            total_time: Duration::from_secs(30),
            statuses: Vec::new(),
            non_idempotent: false,
            body_bytes_max: 64 * 1024,
            hedge_after: None,
        }
    }
}

/// Active health checks, by one thread of the process for all cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// What is asked. Default GET `/`.
    pub kind: CheckKind,
    /// Time between two checks of an endpoint, spread by a tenth. Default 2 s.
    pub interval: Duration,
    /// Time for the answer. Default 1 s.
    pub timeout: Duration,
    /// Successes in a row after which an endpoint is healthy. Default 2.
    pub up_after: u32,
    /// Failures in a row after which it is not. Default 2: one lost packet is no outage.
    pub down_after: u32,
    /// The port that is checked. Default none: that of the endpoint.
    pub port: Option<u16>,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self {
            kind: CheckKind::http("/"),
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            up_after: 2,
            down_after: 2,
            port: None,
        }
    }
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckKind {
    /// GET this path.
    Http {
        /// The path, with a query if it has one.
        path: String,
        /// The value of `Host`. Default none: the endpoint's address.
        host: Option<String>,
        /// Statuses that are healthy. Default 200 to 299.
        statuses: Vec<std::ops::RangeInclusive<u16>>,
        /// Text that the body must contain, within its first 64 KiB. Default none.
        body: Option<String>,
    },
    /// `grpc.health.v1.Health/Check` of this service; empty for the whole server.
    Grpc {
        /// The service.
        service: String,
    },
    /// A connection.
    Tcp,
}

impl CheckKind {
    /// GET this path, and any 2xx is healthy.
    pub fn http(path: impl Into<String>) -> Self {
        Self::Http { path: path.into(), host: None, statuses: vec![200..=299], body: None }
    }
}

/// When an endpoint is left out because of how it answers.
#[derive(Clone, Debug, PartialEq)]
pub struct EjectionOptions {
    /// Failures in a row: refused, broken and timed out exchanges, and statuses of
    /// [`failures`](Self::failures). Default 5; 0 never ejects by them.
    /// At most 32.
    pub failures_in_a_row: u32,
    /// Time within which failures in a row count. Default 30 s: what fails less often is left to the success
    /// rate.
    pub window: Duration,
    /// Statuses that are failures. Default 502, 503, 504.
    pub failures: Vec<u16>,
    /// How long it is left out the first time; each further time takes as much longer. Default 10 s.
    pub time: Duration,
    /// The longest time. Default 300 s.
    pub time_max: Duration,
    /// How many of the endpoints may be left out at once, in percent, rounded down: one of two and one of
    /// three with the default 50, none of two with 10. Endpoints that are `down` or drained are none, those
    /// that active checks have found unhealthy are not counted as left out, and the last usable one stays
    /// whatever it does.
    pub percent_max: u32,
    /// Below this percentage of usable endpoints health is ignored, because the cause is more likely a
    /// common one. Default 0: only where none is usable, so that one healthy endpoint gets everything.
    pub panic_percent: u32,
    /// Eject by success rate: how many standard deviations below the mean of the endpoints. Default 1.9; 0
    /// never.
    pub success_rate_deviations: f64,
    /// Eject by latency: how many times the median of the endpoints. Default 0: never.
    pub latency_factor: f64,
    /// Time between two comparisons of the endpoints. Default 10 s.
    pub interval: Duration,
    /// Requests of an endpoint within an interval below which it is not compared. Default 100.
    pub requests_min: u32,
}

impl Default for EjectionOptions {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            window: Duration::from_secs(30),
            failures: vec![502, 503, 504],
            time: Duration::from_secs(10),
            time_max: Duration::from_secs(300),
            percent_max: 50,
            panic_percent: 0,
            success_rate_deviations: 1.9,
            latency_factor: 0.0,
            interval: Duration::from_secs(10),
            requests_min: 100,
        }
    }
}

/// A circuit breaker of each endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerOptions {
    /// Most requests in flight to one endpoint, of all cores together; beyond it 503 at once. Default none.
    pub in_flight_max: Option<u32>,
    /// Opens when this percentage of the requests of a window failed. Default 50.
    pub failure_percent: u32,
    /// Requests of a window below which it does not open. Default 10: one of one is no rate.
    pub requests_min: u32,
    /// The window. Default 10 s.
    pub window: Duration,
    /// How long it stays open; then some requests are tried. Default 5 s.
    pub open_time: Duration,
    /// How many are tried at once, of all cores together. Default 1.
    pub trials: u32,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            in_flight_max: None,
            failure_percent: 50,
            requests_min: 10,
            window: Duration::from_secs(10),
            open_time: Duration::from_secs(5),
            trials: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports_or_paths() {
        let tcp = |host: &str, port| EndpointAddress::Tcp { host: host.into(), port };
        for (text, address) in [
            ("127.0.0.1:9001", tcp("127.0.0.1", 9001)),
            ("[::1]:80", tcp("::1", 80)),
            ("Api.internal:8080", tcp("api.internal", 8080)),
            ("unix:/run/a b.sock", EndpointAddress::Unix("/run/a b.sock".into())),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in ["", "a", "a:", ":80", "a:0", "a:65536", "::1:80", "http://a:1", "a b:1", "unix:", "a:b"]
        {
            let error = text.parse::<EndpointAddress>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")) && error.contains("unix:PATH"), "{error}");
        }
    }

    #[test]
    fn a_secret_is_in_no_output() {
        let sticky =
            StickyOptions { cookie: "s".into(), secret: StickySecret(b"hunter2".to_vec()), max_age: None };
        let upstream = UpstreamOptions { sticky: Some(sticky), ..UpstreamOptions::of("a", Vec::new()) };
        let text = format!("{upstream:?} {upstream}");
        assert!(!text.contains("hunter2") && !text.contains("104"), "{text}");
    }
}
