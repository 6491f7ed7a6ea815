//! Named groups of servers: `[upstreams.NAME]`.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Depth;
use crate::config::mistake::{At, Mistake};
use crate::config::nearest::nearest;
use crate::config::node::{Node, Table};
use crate::config::shape::{BYTES, CENTURY, Key, Kind, Shape, WAIT, WAIT_OR_NONE, WEEK};
use crate::upstream::{
    Balance, BreakerOptions, CheckKind, CheckOptions, EjectionOptions, EndpointAddress, EndpointOptions,
    HashKey, PoolOptions, RetryOptions, StickyOptions, StickySecret, UpstreamOptions, UpstreamProtocol,
    UpstreamTimeouts, UpstreamTls, Wanted, look_up_wanted,
};

const COUNT: Kind = Kind::Count(0, u32::MAX as u64);
const POSITIVE: Kind = Kind::Count(1, u32::MAX as u64);
const PERCENT: Kind = Kind::Count(0, 100);
const STATUSES: Kind = Kind::List(&Kind::Either(&[Kind::Count(100, 999), Kind::Text]));
const TIME: Kind = Kind::Time(Duration::from_millis(1), WEEK);

pub(in crate::config) const UPSTREAM: Shape = Shape::new(
    "an upstream",
    &[
        Key::required(
            "endpoints",
            Kind::List(&Kind::Either(&[Kind::Text, Kind::Table(&ENDPOINT)])),
            "Its servers: HOST:PORT or unix:PATH, alone or with options.",
        ),
        Key::new(
            "balance",
            Kind::Either(&[
                Kind::Choice(&["power_of_two", "round_robin", "least_requests"]),
                Kind::Table(&HASHED),
            ]),
            "How a server is chosen: power_of_two, round_robin, least_requests, or by a key of the request. \
             Default power_of_two.",
        ),
        Key::new("sticky", Kind::Table(&STICKY), "A signed cookie that keeps a client at its server."),
        Key::new(
            "protocol",
            Kind::Choice(&["auto", "http1", "http2"]),
            "The version of HTTP. Default auto: HTTP/1.1 without TLS, by ALPN with it.",
        ),
        Key::new(
            "tls",
            Kind::Either(&[Kind::Bool, Kind::Table(&UPSTREAM_TLS)]),
            "TLS to the servers, whose certificates are verified. Default: none.",
        ),
        Key::new("timeouts", Kind::Table(&TIMEOUTS), "How long is waited for what."),
        Key::new("pool", Kind::Table(&POOL), "Connections that are kept, and how many there may be."),
        Key::new("retries", Kind::Table(&RETRIES), "When a request is sent again."),
        Key::new("response", Kind::Table(&RESPONSE), "Limits of responses."),
        Key::new(
            "checks",
            Kind::Either(&[Kind::Text, Kind::Table(&CHECKS)]),
            "Active health checks: the path of a GET, \"tcp\", \"grpc\", or a table. Default: none.",
        ),
        Key::new(
            "ejection",
            Kind::Table(&EJECTION),
            "When a server is left out for a while because of how it answers.",
        ),
        Key::new(
            "breaker",
            Kind::Either(&[Kind::Bool, Kind::Table(&BREAKER)]),
            "When a server gets no requests at all for a while. Default: never.",
        ),
        Key::new("slow_start", WAIT, "Time in which a server that is new or back grows into its share."),
        Key::new("zone", Kind::Text, "The zone of this process, whose servers are preferred."),
        Key::new(
            "resolver",
            Kind::Text,
            "The name server that is asked for names, ADDRESS or ADDRESS:PORT. Default: the system's.",
        ),
    ],
);

const ENDPOINT: Shape = Shape::new(
    "an endpoint",
    &[
        Key::required(
            "address",
            Kind::Text,
            "HOST:PORT, unix:PATH, or srv:NAME for a service by its SRV records.",
        ),
        Key::new("weight", COUNT, "Its share relative to the others. Default 1; 0 gets no new requests."),
        Key::new("backup", Kind::Bool, "Whether it is used only while no other is usable. Default false."),
        Key::new("down", Kind::Bool, "Whether it gets no requests. Default false."),
        Key::new("zone", Kind::Text, "Its zone."),
    ],
);

const HASHED: Shape = Shape::choice(
    "a balance by key",
    &[
        Key::new("hash", HASH_KEY, "By a consistent hash with bounded load."),
        Key::new("rendezvous", HASH_KEY, "By rendezvous hashing, whatever the load."),
    ],
);

const HASH_KEY: Kind =
    Kind::Either(&[Kind::Choice(&["path", "client_address"]), Kind::Table(&NAMED_HASH_KEY)]);

const NAMED_HASH_KEY: Shape = Shape::choice(
    "a key to hash",
    &[
        Key::new("header", Kind::Text, "The value of this field."),
        Key::new("cookie", Kind::Text, "The value of this cookie."),
    ],
);

const STICKY: Shape = Shape::new(
    "the options of sticky",
    &[
        Key::new("cookie", Kind::Text, "The cookie's name. Default `quoit`."),
        Key::required("secret", Kind::Value, "The key that signs it, at least 16 characters."),
        Key::new("max_age", Kind::Time(Duration::from_secs(1), CENTURY), "How long it lives."),
    ],
);

const UPSTREAM_TLS: Shape = Shape::new(
    "TLS to an upstream",
    &[
        Key::new("ca", Kind::Path, "PEM file of the authorities that are trusted. Default: the system's."),
        Key::new("server_name", Kind::Text, "The name that certificates must have. Default: the host."),
        Key::new("certificate", Kind::Path, "PEM file of the certificate that is presented."),
        Key::new("key", Kind::Path, "PEM file of its key. Default: in the certificate's file."),
        Key::new("verify", Kind::Bool, "Whether certificates are verified. Default true."),
    ],
);

const TIMEOUTS: Shape = Shape::new(
    "the timeouts of an upstream",
    &[
        Key::new("connect", WAIT, "For a connection. Default 3s."),
        Key::new("tls", WAIT, "For a TLS handshake. Default 5s."),
        Key::new("first_byte", WAIT, "From the end of the request to the response. Default 60s."),
        Key::new("idle", WAIT, "Without progress in either direction. Default 60s."),
        Key::new("tunnel_idle", WAIT, "Without a byte in a tunnel or a stream of events. Default 1h."),
        Key::new("expect", WAIT, "For 100 Continue before content is sent without it. Default 1s."),
        Key::new("ping", WAIT, "Without a byte from a busy HTTP/2 server before a PING. Default 30s."),
        Key::new("ping_answer", WAIT, "For its answer; then the connection is lost. Default 10s."),
    ],
);

const POOL: Shape = Shape::new(
    "the pool of an upstream",
    &[
        Key::new("idle", COUNT, "Idle connections kept per core and server. Default 512."),
        Key::new("warm", Kind::Count(0, 1024), "Connections kept ready per core and server. Default 0."),
        Key::new("idle_time", TIME, "How long one is kept idle. Default 55s."),
        Key::new("lifetime", TIME, "How old one becomes. Default 1h."),
        Key::new("connections", POSITIVE, "Most connections to one server, of all cores. Default: no limit."),
        Key::new("queue", COUNT, "Requests that wait for a connection of one server. Default 1024."),
        Key::new("queue_time", WAIT_OR_NONE, "How long they wait; then 503. Default 1s."),
    ],
);

const RETRIES: Shape = Shape::new(
    "the retries of an upstream",
    &[
        Key::new("tries", POSITIVE, "How often a request is sent at most. Default 3; 1 is no retry."),
        Key::new("budget", PERCENT, "Retries per 100 requests. Default 20."),
        Key::new("total_time", WAIT, "Time after which it is not sent again. Default 30s."),
        Key::new("statuses", STATUSES, "Statuses after which an idempotent request is sent again."),
        Key::new("non_idempotent", Kind::Bool, "Whether POST is sent again too. Default false."),
        Key::new("body_size", BYTES, "Bytes of a body that are held to send it again. Default 64 KiB."),
        Key::new("hedge_after", WAIT, "Time after which a second server is asked too. Default: never."),
    ],
);

const RESPONSE: Shape = Shape::new(
    "the limits of responses",
    &[
        Key::new("head_size", Kind::Size(512, 65_535), "Size of a head. Default 16 KiB."),
        Key::new("fields", Kind::Count(1, 255), "Fields of a head. Default 100."),
        Key::new("interim", Kind::Count(0, 255), "Interim responses before the final one. Default 16."),
        Key::new("body_size", BYTES, "Size of a body. Default: no limit."),
    ],
);

const CHECKS: Shape = Shape::new(
    "health checks",
    &[
        Key::new("path", Kind::Text, "GET this path. Default /."),
        Key::new("host", Kind::Text, "The value of Host. Default: the server's address."),
        Key::new("statuses", STATUSES, "Statuses that are healthy, such as 200 or \"200-299\". Default 2xx."),
        Key::new("body", Kind::Text, "Text that the body must contain."),
        Key::new("grpc", Kind::Text, "Ask the gRPC health service for this service, \"\" for the server."),
        Key::new("tcp", Kind::Bool, "Whether a connection is enough."),
        Key::new("interval", WAIT, "Time between two checks. Default 2s."),
        Key::new("timeout", WAIT, "Time for the answer. Default 1s."),
        Key::new("up_after", POSITIVE, "Successes in a row to be healthy. Default 2."),
        Key::new("down_after", POSITIVE, "Failures in a row not to be. Default 2."),
        Key::new("port", Kind::Count(1, 65_535), "The port that is checked. Default: the server's."),
    ],
);

const EJECTION: Shape = Shape::new(
    "the ejection of an upstream",
    &[
        Key::new("failures_in_a_row", COUNT, "Failures in a row, at most 32. Default 5; 0 never."),
        Key::new("window", WAIT, "Time within which failures in a row count. Default 30s."),
        Key::new("failures", STATUSES, "Statuses that are failures. Default 502, 503, 504."),
        Key::new("time", WAIT, "How long it is left out the first time. Default 10s."),
        Key::new("time_max", WAIT, "The longest time. Default 5m."),
        Key::new("percent_max", PERCENT, "How many may be left out at once, in percent. Default 50."),
        Key::new(
            "panic_percent",
            PERCENT,
            "Below this percentage of usable ones health is ignored. Default 0: only where none is usable.",
        ),
        Key::new(
            "success_rate_deviations",
            Kind::Number,
            "Eject by success rate, in standard deviations below the mean. Default 1.9; 0 never.",
        ),
        Key::new("latency_factor", Kind::Number, "Eject by latency, in medians. Default 0: never."),
        Key::new("interval", WAIT, "Time between two comparisons. Default 10s."),
        Key::new("requests_min", COUNT, "Requests below which a server is not compared. Default 100."),
    ],
);

const BREAKER: Shape = Shape::new(
    "the breaker of an upstream",
    &[
        Key::new("in_flight", POSITIVE, "Most requests in flight to one server. Default: no limit."),
        Key::new("failure_percent", PERCENT, "Opens at this percentage of failures. Default 50."),
        Key::new("requests_min", COUNT, "Requests of a window below which it does not open. Default 10."),
        Key::new("window", WAIT, "The window. Default 10s."),
        Key::new("open_time", WAIT, "How long it stays open. Default 5s."),
        Key::new("trials", POSITIVE, "How many requests are tried then. Default 1."),
    ],
);

/// The upstreams by name.
pub(in crate::config) struct UpstreamNames {
    pub(in crate::config) known: Vec<(String, Arc<UpstreamOptions>)>,
    /// Those that are named, also those with mistakes.
    pub(in crate::config) names: Vec<String>,
}

impl UpstreamNames {
    /// The upstream that a handler names: its name, or the address of its only endpoint.
    pub(in crate::config) fn of(&self, name: &str, node: Node<'_>) -> Option<Arc<UpstreamOptions>> {
        self.of_at(name, node, node.at)
    }

    /// As [`of`](Self::of), for a name at another place.
    pub(in crate::config) fn of_at(
        &self,
        name: &str,
        node: Node<'_>,
        at: At,
    ) -> Option<Arc<UpstreamOptions>> {
        if let Some((_, upstream)) = self.known.iter().find(|(known, _)| known == name) {
            return Some(upstream.clone());
        }
        if self.names.iter().any(|known| known == name) {
            return None;
        }
        if name.contains(':') {
            return match name.parse::<EndpointAddress>() {
                Ok(address) => Some(Arc::new(UpstreamOptions::of(
                    address.to_string(),
                    vec![EndpointOptions::new(address)],
                ))),
                Err(_) => {
                    let mistake = Mistake::new(at, "this is no endpoint");
                    let help = if name.contains("://") {
                        "write HOST:PORT without a scheme, or the name of an upstream, which may have `tls`"
                    } else {
                        "write HOST:PORT, unix:PATH, or the name of an upstream"
                    };
                    node.reader.report(mistake.help(help));
                    None
                }
            };
        }
        let mistake = Mistake::new(at, format!("there is no upstream `{name}`"));
        node.reader.report(match nearest(name, self.names.iter().map(String::as_str)) {
            Some(known) => mistake.label(format!("did you mean \"{known}\"?")),
            None => mistake.help(format!("add [upstreams.{name}] with its endpoints")),
        });
        None
    }
}

/// An upstream; `None` after its mistakes were reported.
pub(in crate::config) fn upstream(name: &str, table: Table<'_>, depth: Depth) -> Option<UpstreamOptions> {
    let before = table.reader.mistakes.borrow().len();
    let resolver = table.entry("resolver").and_then(resolver);
    let options = UpstreamOptions {
        balance: table.entry("balance").and_then(balance).unwrap_or_default(),
        sticky: table.table("sticky").and_then(sticky),
        protocol: match table.text("protocol").as_deref() {
            Some("http1") => UpstreamProtocol::Http1,
            Some("http2") => UpstreamProtocol::Http2,
            _ => UpstreamProtocol::Auto,
        },
        tls: table.entry("tls").and_then(tls),
        timeouts: table.table("timeouts").map(timeouts).unwrap_or_default(),
        pool: table.table("pool").map(pool).unwrap_or_default(),
        retries: table.table("retries").map(retries).unwrap_or_default(),
        checks: table.entry("checks").and_then(checks),
        ejection: table.table("ejection").map(ejection).unwrap_or_default(),
        breaker: table.entry("breaker").and_then(breaker),
        slow_start: table.time("slow_start"),
        zone: table.text("zone"),
        resolver,
        ..UpstreamOptions::of(name, endpoints(table, resolver, depth))
    };
    let options = with_response(options, table.table("response"));
    check_queue(&options, table.table("pool"));
    if name.is_empty() {
        table.reader.report(Mistake::new(table.at, "an upstream has a name").help("write [upstreams.NAME]"));
    }
    (table.reader.mistakes.borrow().len() == before).then_some(options)
}

/// A name server; its port is 53 unless it is given.
fn resolver(node: Node<'_>) -> Option<SocketAddr> {
    let text = node.text()?;
    let given = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::from((ip, 53))));
    match given {
        Ok(server) if server.port() != 0 => Some(server),
        _ => {
            node.report(
                "this is no address of a name server",
                "write an IP address, such as 10.0.0.2, or with a port 10.0.0.2:5353",
            );
            None
        }
    }
}

fn endpoints(table: Table<'_>, resolver: Option<SocketAddr>, depth: Depth) -> Vec<EndpointOptions> {
    let mut endpoints: Vec<(At, EndpointOptions)> = Vec::new();
    let Some(list) = table.entry("endpoints") else { return Vec::new() };
    for node in list.list() {
        let options = node.table();
        let Some(address_node) = options.map_or(Some(node), |options| options.entry("address")) else {
            continue;
        };
        let Some(text) = address_node.text() else { continue };
        let Ok(address) = text.parse::<EndpointAddress>() else {
            address_node.report(
                "this is no endpoint",
                "write HOST:PORT, such as 127.0.0.1:9001, unix:PATH or srv:NAME",
            );
            continue;
        };
        if let Some((first, _)) = endpoints.iter().find(|(_, known)| known.address == address) {
            let mistake = Mistake::new(address_node.at, "this endpoint is given twice");
            node.reader
                .report(mistake.other(*first, "here first").help("give one of them the sum of the weights"));
        }
        if depth == Depth::Check {
            resolve(address_node, &address, resolver);
        }
        let mut endpoint = EndpointOptions::new(address);
        if let Some(options) = options {
            endpoint.weight = options.count("weight").map_or(1, |weight| weight as u32);
            endpoint.backup = options.bool("backup").unwrap_or(false);
            endpoint.down = options.bool("down").unwrap_or(false);
            endpoint.zone = options.text("zone");
        }
        endpoints.push((address_node.at, endpoint));
    }
    if list.is_list() && list.list().is_empty() {
        list.report("an upstream has at least one endpoint", "write HOST:PORT or unix:PATH");
    }
    endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
}

/// Whether the name of an endpoint is known now.
fn resolve(node: Node<'_>, address: &EndpointAddress, resolver: Option<SocketAddr>) {
    let Some(wanted) = Wanted::of(address, resolver) else { return };
    if let Err(error) = look_up_wanted(&wanted) {
        node.report(
            format!("the name {} cannot be resolved: {error}", wanted.name),
            "check its spelling, and the resolver",
        );
    }
}

fn balance(node: Node<'_>) -> Option<Balance> {
    match node.text().as_deref() {
        Some("round_robin") => return Some(Balance::RoundRobin),
        Some("least_requests") => return Some(Balance::LeastRequests),
        Some(_) => return Some(Balance::PowerOfTwo),
        None => {}
    }
    let table = node.table()?;
    let key = |node: Node<'_>| match (node.text().as_deref(), node.table()) {
        (Some("path"), _) => Some(HashKey::Path),
        (Some(_), _) => Some(HashKey::ClientAddress),
        (None, Some(table)) => {
            let header = table.text("header").map(HashKey::Header);
            header.or_else(|| table.text("cookie").map(HashKey::Cookie))
        }
        (None, None) => None,
    };
    match (table.entry("hash"), table.entry("rendezvous")) {
        (Some(node), _) => key(node).map(Balance::Hash),
        (None, Some(node)) => key(node).map(Balance::Rendezvous),
        (None, None) => None,
    }
}

/// Shorter keys can be guessed.
const SECRET_CHARS_MIN: usize = 16;

fn sticky(table: Table<'_>) -> Option<StickyOptions> {
    let node = table.entry("secret")?;
    let secret = node.own_secret()?;
    if secret.len() < SECRET_CHARS_MIN && node.reader.view == crate::config::node::View::Real {
        node.report(
            "the key of a cookie has at least 16 characters",
            "make one with: openssl rand -base64 32",
        );
    }
    let cookie = table.text("cookie").unwrap_or_else(|| "quoit".to_owned());
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if cookie.is_empty() || !cookie.bytes().all(is_token) {
        table.entry("cookie")?.report("this is no name of a cookie", "use letters, digits, - and _");
    }
    Some(StickyOptions { cookie, secret: StickySecret(secret.into_bytes()), max_age: table.time("max_age") })
}

fn tls(node: Node<'_>) -> Option<UpstreamTls> {
    let Some(table) = node.table() else {
        return (node.bool() == Some(true)).then(UpstreamTls::default);
    };
    let path = |key: &str| {
        let path = table.path(key);
        path.iter().for_each(|path| node.reader.name_file(path));
        path
    };
    let (certificate, key) = (path("certificate"), path("key"));
    if certificate.is_none() && key.is_some() {
        let mistake = Mistake::new(table.key_at("key"), "`key` needs `certificate`");
        node.reader.report(mistake.help("name the certificate that this is the key of"));
    }
    Some(UpstreamTls {
        ca: path("ca"),
        server_name: table.text("server_name"),
        client_certificate: certificate.map(|chain| (chain.clone(), key.unwrap_or(chain))),
        verify: table.bool("verify").unwrap_or(true),
    })
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn number(table: Table<'_>, key: &str) -> Option<u32> {
    table.count(key).and_then(|count| u32::try_from(count).ok())
}

fn timeouts(table: Table<'_>) -> UpstreamTimeouts {
    let mut timeouts = UpstreamTimeouts::default();
    set(&mut timeouts.connect, table.time("connect"));
    set(&mut timeouts.tls, table.time("tls"));
    set(&mut timeouts.first_byte, table.time("first_byte"));
    set(&mut timeouts.idle, table.time("idle"));
    set(&mut timeouts.tunnel_idle, table.time("tunnel_idle"));
    set(&mut timeouts.expect, table.time("expect"));
    set(&mut timeouts.ping, table.time("ping"));
    set(&mut timeouts.ping_answer, table.time("ping_answer"));
    timeouts
}

fn pool(table: Table<'_>) -> PoolOptions {
    let mut pool = PoolOptions::default();
    set(&mut pool.idle_max, number(table, "idle").map(|count| count as usize));
    set(&mut pool.warm, number(table, "warm"));
    set(&mut pool.idle_time, table.time("idle_time"));
    set(&mut pool.lifetime, table.time("lifetime"));
    pool.connections_max = number(table, "connections");
    set(&mut pool.queue_max, number(table, "queue"));
    set(&mut pool.queue_time, table.time("queue_time"));
    pool
}

/// HTTP/2 has a queue whenever the endpoint's limit of streams is reached.
fn check_queue(options: &UpstreamOptions, pool: Option<Table<'_>>) {
    let may_be_http2 = match options.protocol {
        UpstreamProtocol::Auto => options.tls.is_some(),
        UpstreamProtocol::Http1 => false,
        UpstreamProtocol::Http2 => true,
    };
    let Some(table) = pool.filter(|_| options.pool.connections_max.is_none() && !may_be_http2) else {
        return;
    };
    for key in ["queue", "queue_time"].into_iter().filter(|key| table.has(key)) {
        let mistake = Mistake::new(table.key_at(key), format!("`{key}` needs `connections`"));
        let why = "without a limit of connections no request of HTTP/1.1 waits for one";
        table.reader.report(mistake.help(why));
    }
}

fn retries(table: Table<'_>) -> RetryOptions {
    let mut retries = RetryOptions::default();
    set(&mut retries.tries, number(table, "tries"));
    set(&mut retries.budget_percent, number(table, "budget"));
    set(&mut retries.total_time, table.time("total_time"));
    set(&mut retries.statuses, table.entry("statuses").map(single_statuses));
    set(&mut retries.non_idempotent, table.bool("non_idempotent"));
    set(&mut retries.body_bytes_max, table.size("body_size").map(|bytes| bytes as usize));
    retries.hedge_after = table.time("hedge_after");
    retries
}

fn with_response(mut options: UpstreamOptions, table: Option<Table<'_>>) -> UpstreamOptions {
    let Some(table) = table else { return options };
    let limits = &mut options.response_limits;
    set(&mut limits.head_bytes_max, table.size("head_size").and_then(|bytes| u16::try_from(bytes).ok()));
    set(&mut limits.fields_max, table.count("fields").and_then(|count| u8::try_from(count).ok()));
    set(&mut limits.interim_max, table.count("interim").and_then(|count| u8::try_from(count).ok()));
    options.response_bytes_max = table.size("body_size");
    options
}

fn checks(node: Node<'_>) -> Option<CheckOptions> {
    let mut checks = CheckOptions::default();
    let Some(table) = node.table() else {
        checks.kind = match node.text()?.as_str() {
            "tcp" => CheckKind::Tcp,
            "grpc" => CheckKind::Grpc { service: String::new() },
            path if path.starts_with('/') => CheckKind::http(path),
            _ => {
                node.report("this is no health check", "write a path such as /health, \"tcp\" or \"grpc\"");
                return None;
            }
        };
        return Some(checks);
    };
    let of_http: Vec<&str> =
        ["path", "host", "statuses", "body"].into_iter().filter(|key| table.has(key)).collect();
    let is_tcp = table.bool("tcp") == Some(true);
    let others = [(table.has("grpc"), "grpc"), (is_tcp, "tcp")];
    let given: Vec<&str> = others.into_iter().filter_map(|(is, key)| is.then_some(key)).collect();
    if let (Some(other), Some(key)) = (given.first(), of_http.first().or(given.get(1))) {
        let mistake = Mistake::new(table.key_at(key), format!("`{key}` and `{other}` exclude each other"));
        table.reader.report(mistake.other(table.key_at(other), "the other").help("a check asks one thing"));
    }
    checks.kind = match (table.text("grpc"), is_tcp) {
        (Some(service), _) => CheckKind::Grpc { service },
        (None, true) => CheckKind::Tcp,
        (None, false) => {
            let path = table.text("path").unwrap_or_else(|| "/".to_owned());
            if !path.starts_with('/') {
                table.entry("path")?.report("a path begins with a slash", "write /health");
            }
            CheckKind::Http {
                path,
                host: table.text("host"),
                statuses: table.entry("statuses").map_or(vec![200..=299], statuses),
                body: table.text("body"),
            }
        }
    };
    set(&mut checks.interval, table.time("interval"));
    set(&mut checks.timeout, table.time("timeout"));
    set(&mut checks.up_after, number(table, "up_after"));
    set(&mut checks.down_after, number(table, "down_after"));
    checks.port = table.count("port").and_then(|port| u16::try_from(port).ok());
    Some(checks)
}

/// Statuses and ranges of them, such as `200` and `"200-299"`.
fn statuses(node: Node<'_>) -> Vec<RangeInclusive<u16>> {
    let mut ranges = Vec::new();
    for element in node.list() {
        let text = element.count().map(|count| count.to_string()).or_else(|| element.text());
        let text = text.unwrap_or_default();
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last && (100..600).contains(&first) && last < 600 => {
                ranges.push(first..=last);
            }
            _ => element.report("this is no status", "write 503, or a range such as \"500-599\""),
        }
    }
    ranges
}

/// Each status of the ranges.
fn single_statuses(node: Node<'_>) -> Vec<u16> {
    statuses(node).into_iter().flatten().collect()
}

fn ejection(table: Table<'_>) -> EjectionOptions {
    let mut ejection = EjectionOptions::default();
    set(&mut ejection.failures_in_a_row, number(table, "failures_in_a_row"));
    set(&mut ejection.window, table.time("window"));
    set(&mut ejection.failures, table.entry("failures").map(single_statuses));
    set(&mut ejection.time, table.time("time"));
    set(&mut ejection.time_max, table.time("time_max"));
    set(&mut ejection.percent_max, number(table, "percent_max"));
    set(&mut ejection.panic_percent, number(table, "panic_percent"));
    set(&mut ejection.success_rate_deviations, table.number("success_rate_deviations"));
    set(&mut ejection.latency_factor, table.number("latency_factor"));
    set(&mut ejection.interval, table.time("interval"));
    set(&mut ejection.requests_min, number(table, "requests_min"));
    ejection
}

fn breaker(node: Node<'_>) -> Option<BreakerOptions> {
    let mut breaker = BreakerOptions::default();
    let Some(table) = node.table() else {
        return (node.bool() == Some(true)).then_some(breaker);
    };
    breaker.in_flight_max = number(table, "in_flight");
    set(&mut breaker.failure_percent, number(table, "failure_percent"));
    set(&mut breaker.requests_min, number(table, "requests_min"));
    set(&mut breaker.window, table.time("window"));
    set(&mut breaker.open_time, table.time("open_time"));
    set(&mut breaker.trials, number(table, "trials"));
    Some(breaker)
}
