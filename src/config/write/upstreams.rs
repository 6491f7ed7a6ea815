//! Upstreams, and the proxies that name them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::text::{Entries, Item};
use super::{Unwritable, Written, headers, path, text, texts, unless};
use crate::config::units::{write_duration, write_size};
use crate::handler::{ForwardedForm, HostPolicy, ProxyOptions};
use crate::plan::{HandlerOptions, Plan};
use crate::upstream::{
    Balance, BreakerOptions, CheckKind, CheckOptions, EjectionOptions, EndpointOptions, HashKey, PoolOptions,
    RetryOptions, UpstreamOptions, UpstreamProtocol, UpstreamTimeouts, UpstreamTls,
};

/// Every upstream of a plan, once.
pub(super) fn all(plan: &Plan) -> Written<Vec<Arc<UpstreamOptions>>> {
    let mut known: Vec<Arc<UpstreamOptions>> = Vec::new();
    let sites = std::iter::once(&plan.default_site).chain(plan.sites.iter().map(|(_, site)| site));
    let handlers =
        sites.flat_map(|site| site.routes.iter().map(|route| &route.handler).chain(site.fallback.iter()));
    let proxies = handlers.filter_map(|handler| match handler {
        HandlerOptions::Proxy(proxy) => Some(proxy),
        _ => None,
    });
    for (_, upstream) in proxies.flat_map(|proxy| &proxy.upstreams) {
        match known.iter().find(|other| other.name == upstream.name) {
            Some(other) if other != upstream => return Err(Unwritable::SameName(upstream.name.clone())),
            Some(_) => {}
            None => known.push(upstream.clone()),
        }
    }
    known.retain(|upstream| !is_address(upstream));
    Ok(known)
}

/// Whether it is written as the address of its endpoint, without a table of its own.
fn is_address(upstream: &UpstreamOptions) -> bool {
    match &upstream.endpoints[..] {
        [endpoint] => {
            let plain = EndpointOptions::new(endpoint.address.clone());
            *upstream == UpstreamOptions::of(endpoint.address.to_string(), vec![plain])
        }
        _ => false,
    }
}

pub(super) fn proxy(options: &ProxyOptions) -> Item {
    let to = match &options.upstreams[..] {
        [(1, upstream)] => text(&upstream.name),
        shares => {
            let mut entries = Entries::default();
            shares.iter().for_each(|(share, upstream)| entries.push(&upstream.name, Item::plain(share)));
            entries.inline()
        }
    };
    if let ([(1, upstream)], true) = (&options.upstreams[..], is_default(options)) {
        return text(&upstream.name);
    }
    let mut entries = Entries::default();
    entries.push("to", to);
    match &options.host {
        HostPolicy::Keep => {}
        HostPolicy::Endpoint => entries.push("host", text("endpoint")),
        HostPolicy::Fixed(host) => entries.push("host", text(host)),
    }
    entries.option("strip_prefix", options.strip_prefix.as_ref(), text);
    entries.option("add_prefix", options.add_prefix.as_ref(), text);
    match options.forwarded.form {
        ForwardedForm::XForwarded => {}
        ForwardedForm::Forwarded => entries.push("forwarded", text("forwarded")),
        ForwardedForm::Both => entries.push("forwarded", text("both")),
        ForwardedForm::None => entries.push("forwarded", text("none")),
    }
    if !options.forwarded.trusted.is_empty() {
        entries.push("trusted", texts(&options.forwarded.trusted));
    }
    match options.via.as_deref() {
        Some("quoit") => {}
        Some(name) => entries.push("via", text(name)),
        None => entries.push("via", Item::plain(false)),
    }
    if !options.set_fields.is_empty() {
        entries.push("set_headers", headers(&options.set_fields));
    }
    if !options.remove_fields.is_empty() {
        entries.push("remove_headers", texts(&options.remove_fields));
    }
    entries.inline()
}

fn is_default(options: &ProxyOptions) -> bool {
    options.upstreams.first().is_some_and(|(_, upstream)| *options == ProxyOptions::to(upstream.clone()))
}

pub(super) fn upstream(options: &UpstreamOptions) -> Written<Entries> {
    let mut entries = Entries::default();
    entries.push("endpoints", Item::List(options.endpoints.iter().map(endpoint).collect()));
    match &options.balance {
        Balance::PowerOfTwo => {}
        Balance::RoundRobin => entries.push("balance", text("round_robin")),
        Balance::LeastRequests => entries.push("balance", text("least_requests")),
        Balance::Hash(key) => entries.push("balance", single("hash", hash_key(key))),
        Balance::Rendezvous(key) => entries.push("balance", single("rendezvous", hash_key(key))),
    }
    if let Some(sticky) = &options.sticky {
        let mut table = Entries::default();
        table.push("cookie", text(&sticky.cookie));
        table.push("secret", Item::text("${QUOIT_STICKY_SECRET}"));
        table.option("max_age", sticky.max_age, |age| text(write_duration(age)));
        entries.push("sticky", table.inline());
    }
    match options.protocol {
        UpstreamProtocol::Auto => {}
        UpstreamProtocol::Http1 => entries.push("protocol", text("http1")),
        UpstreamProtocol::Http2 => entries.push("protocol", text("http2")),
    }
    if let Some(options) = &options.tls {
        entries.push("tls", tls(options)?);
    }
    for (key, table) in [
        ("timeouts", timeouts(&options.timeouts)),
        ("pool", pool(&options.pool)),
        ("retries", retries(&options.retries)),
        ("response", response(options)),
        ("ejection", ejection(&options.ejection)),
    ] {
        if !table.is_empty() {
            entries.push(key, table.inline());
        }
    }
    entries.option("checks", options.checks.as_ref(), checks);
    entries.option("breaker", options.breaker.as_ref(), breaker);
    entries.option("slow_start", options.slow_start, |time| text(write_duration(time)));
    entries.option("zone", options.zone.as_ref(), text);
    entries.option("resolver", options.resolver.as_ref(), text);
    Ok(entries)
}

fn single(key: &str, item: Item) -> Item {
    let mut entries = Entries::default();
    entries.push(key, item);
    entries.inline()
}

fn endpoint(options: &EndpointOptions) -> Item {
    if *options == EndpointOptions::new(options.address.clone()) {
        return text(&options.address);
    }
    let mut entries = Entries::default();
    entries.push("address", text(&options.address));
    unless(&mut entries, "weight", &options.weight, &1, Item::plain);
    unless(&mut entries, "backup", &options.backup, &false, Item::plain);
    unless(&mut entries, "down", &options.down, &false, Item::plain);
    entries.option("zone", options.zone.as_ref(), text);
    entries.inline()
}

fn hash_key(key: &HashKey) -> Item {
    match key {
        HashKey::Path => text("path"),
        HashKey::ClientAddress => text("client_address"),
        HashKey::Header(name) => single("header", text(name)),
        HashKey::Cookie(name) => single("cookie", text(name)),
    }
}

fn tls(options: &UpstreamTls) -> Written<Item> {
    if *options == UpstreamTls::default() {
        return Ok(Item::plain(true));
    }
    let mut entries = Entries::default();
    if let Some(ca) = &options.ca {
        entries.push("ca", path(ca)?);
    }
    entries.option("server_name", options.server_name.as_ref(), text);
    if let Some((certificate, key)) = &options.client_certificate {
        entries.push("certificate", path(certificate)?);
        entries.push("key", path(key)?);
    }
    unless(&mut entries, "verify", &options.verify, &true, Item::plain);
    Ok(entries.inline())
}

/// The values that are not the default.
macro_rules! changed {
    ($entries:ident, $value:expr, $default:expr, $($key:literal: $field:ident as $item:expr),* $(,)?) => {
        $(unless(&mut $entries, $key, &$value.$field, &$default.$field, $item);)*
    };
}

fn time(value: &std::time::Duration) -> Item {
    text(write_duration(*value))
}

fn plain<T: std::fmt::Display>(value: &T) -> Item {
    Item::plain(value)
}

fn timeouts(options: &UpstreamTimeouts) -> Entries {
    let (mut entries, default) = (Entries::default(), UpstreamTimeouts::default());
    changed!(entries, options, default,
        "connect": connect as time,
        "tls": tls as time,
        "first_byte": first_byte as time,
        "idle": idle as time,
        "tunnel_idle": tunnel_idle as time,
        "expect": expect as time,
        "ping": ping as time,
        "ping_answer": ping_answer as time,
    );
    entries
}

fn pool(options: &PoolOptions) -> Entries {
    let (mut entries, default) = (Entries::default(), PoolOptions::default());
    changed!(entries, options, default,
        "idle": idle_max as plain,
        "warm": warm as plain,
        "idle_time": idle_time as time,
        "lifetime": lifetime as time,
        "queue": queue_max as plain,
        "queue_time": queue_time as time,
    );
    entries.option("connections", options.connections_max, Item::plain);
    entries
}

fn retries(options: &RetryOptions) -> Entries {
    let (mut entries, default) = (Entries::default(), RetryOptions::default());
    let statuses = |statuses: &Vec<u16>| Item::List(statuses.iter().map(Item::plain).collect());
    let size = |bytes: &usize| text(write_size(*bytes as u64));
    changed!(entries, options, default,
        "tries": tries as plain,
        "budget": budget_percent as plain,
        "total_time": total_time as time,
        "statuses": statuses as statuses,
        "non_idempotent": non_idempotent as plain,
        "body_size": body_bytes_max as size,
    );
    entries.option("hedge_after", options.hedge_after, |after| time(&after));
    entries
}

fn response(options: &UpstreamOptions) -> Entries {
    let mut entries = Entries::default();
    let (limits, default) = (&options.response_limits, &crate::http::message::ResponseLimits::DEFAULT);
    let size = |bytes: &u16| text(write_size(u64::from(*bytes)));
    changed!(entries, limits, default,
        "head_size": head_bytes_max as size,
        "fields": fields_max as plain,
        "interim": interim_max as plain,
    );
    entries.option("body_size", options.response_bytes_max, |bytes| text(write_size(bytes)));
    entries
}

fn range(range: &RangeInclusive<u16>) -> Item {
    if range.start() == range.end() {
        Item::plain(range.start())
    } else {
        text(format_args!("{}-{}", range.start(), range.end()))
    }
}

fn checks(options: &CheckOptions) -> Item {
    let mut entries = Entries::default();
    match &options.kind {
        CheckKind::Tcp => entries.push("tcp", Item::plain(true)),
        CheckKind::Grpc { service } => entries.push("grpc", text(service)),
        CheckKind::Http { path, host, statuses, body } => {
            entries.push("path", text(path));
            entries.option("host", host.as_ref(), text);
            if statuses[..] != [200..=299] {
                entries.push("statuses", Item::List(statuses.iter().map(range).collect()));
            }
            entries.option("body", body.as_ref(), text);
        }
    }
    let default = CheckOptions::default();
    changed!(entries, options, default,
        "interval": interval as time,
        "timeout": timeout as time,
        "up_after": up_after as plain,
        "down_after": down_after as plain,
    );
    entries.option("port", options.port, Item::plain);
    entries.inline()
}

fn ejection(options: &EjectionOptions) -> Entries {
    let (mut entries, default) = (Entries::default(), EjectionOptions::default());
    let statuses = |statuses: &Vec<u16>| Item::List(statuses.iter().map(Item::plain).collect());
    // With a point, because TOML tells whole numbers apart.
    let number = |number: &f64| Item::plain(format_args!("{number:?}"));
    changed!(entries, options, default,
        "failures_in_a_row": failures_in_a_row as plain,
        "window": window as time,
        "failures": failures as statuses,
        "time": time as time,
        "time_max": time_max as time,
        "percent_max": percent_max as plain,
        "panic_percent": panic_percent as plain,
        "success_rate_deviations": success_rate_deviations as number,
        "latency_factor": latency_factor as number,
        "interval": interval as time,
        "requests_min": requests_min as plain,
    );
    entries
}

fn breaker(options: &BreakerOptions) -> Item {
    let (mut entries, default) = (Entries::default(), BreakerOptions::default());
    if *options == default {
        return Item::plain(true);
    }
    changed!(entries, options, default,
        "failure_percent": failure_percent as plain,
        "requests_min": requests_min as plain,
        "window": window as time,
        "open_time": open_time as time,
        "trials": trials as plain,
    );
    entries.option("in_flight", options.in_flight_max, Item::plain);
    entries.inline()
}
