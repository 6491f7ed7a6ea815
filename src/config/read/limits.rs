//! The limits on clients, and those on the bodies of a site or route.

use crate::config::node::Table;
use crate::config::shape::{BYTES, Key, Kind, Shape, WAIT, WAIT_OR_NONE};
use crate::exchange::Limits;
use crate::service::BodyPolicy;

/// The largest request head: positions in a head have 16 bits.
const HEAD_BYTES_MAX: u64 = 60 * 1024;
/// The smallest one: a request line and a few fields.
const HEAD_BYTES_MIN: u64 = 512;

const NONE: Kind = Kind::Choice(&["none"]);
const BYTES_OR_NONE: Kind = Kind::Either(&[BYTES, NONE]);

pub(in crate::config) const LIMITS: Shape = Shape::new(
    "the limits",
    &[
        Key::new("head_timeout", WAIT, "Time for a whole request head, from its first byte. Default 10s."),
        Key::new("handshake_timeout", WAIT, "Time for a TLS handshake. Default 10s."),
        Key::new("idle_timeout", WAIT, "Time that a connection may be idle between requests. Default 60s."),
        Key::new("stall_timeout", WAIT, "How often the rate of a transfer is checked. Default 30s."),
        Key::new("rate_min", Kind::ByteRate, "Bytes a second that a transfer must make. Default 240 B/s."),
        Key::new(
            "half_closed_timeout",
            WAIT_OR_NONE,
            "Time that a handler goes on for a client that has closed its sending direction. Default 500ms.",
        ),
        Key::new(
            "linger_timeout",
            WAIT,
            "Time to read the response for a client whose request was not read to its end. Default 5s.",
        ),
        Key::new(
            "drain_timeout",
            WAIT_OR_NONE,
            "Time for open requests to complete when the server stops. Default 8s.",
        ),
        Key::new(
            "drain_grace",
            WAIT_OR_NONE,
            "Time for which a listener and a kept connection stay open after their last use while the server \
             stops. Default 1250ms.",
        ),
        Key::new(
            "drain_stall_timeout",
            WAIT,
            "Time within which a client must make progress while the server stops. Default 2s.",
        ),
        Key::new(
            "reload_drain_timeout",
            WAIT_OR_NONE,
            "After a reload, time for what is in progress on routes that it removed or changed. Default \
             10min.",
        ),
        Key::new(
            "connection_age",
            WAIT,
            "Connections are ended this long after they began, once what is in progress is complete. \
             Default: \
             no limit.",
        ),
        Key::new(
            "connections",
            Kind::Count(1, u32::MAX as u64),
            "Connections per worker; further ones are answered 503. Default: three quarters of the \
             descriptors.",
        ),
        Key::new(
            "handshakes",
            Kind::Count(1, u32::MAX as u64),
            "TLS handshakes in progress per worker. Default 1024.",
        ),
        Key::new(
            "head_size",
            Kind::Size(HEAD_BYTES_MIN, HEAD_BYTES_MAX),
            "Size of a request head with its cookies; larger ones are answered 431. Default 16 KiB.",
        ),
        Key::new(
            "request_line_size",
            Kind::Size(64, HEAD_BYTES_MAX),
            "Size of a request line; longer ones are answered 414. Default 8 KiB.",
        ),
        Key::new("fields", Kind::Count(1, 255), "Fields of a request; more are answered 431. Default 100."),
        Key::new(
            "body_size",
            BYTES_OR_NONE,
            "Size of a request body, unless a site or route has its own; larger ones are answered 413. \
             Default \
             16 MiB.",
        ),
        Key::new(
            "discard_size",
            BYTES,
            "Most bytes of an unread body that are discarded to keep the connection. Default 256 KiB.",
        ),
        Key::new(
            "streams",
            Kind::Count(1, 65_535),
            "HTTP/2 streams open at once per connection. Default 100.",
        ),
    ],
);

/// The limits of the server.
pub(in crate::config) fn limits(table: Table<'_>) -> Limits {
    let mut limits = Limits::default();
    let set = |key: &str, field: &mut std::time::Duration| {
        if let Some(time) = table.time(key) {
            *field = time;
        }
    };
    set("head_timeout", &mut limits.head_timeout);
    set("handshake_timeout", &mut limits.handshake_timeout);
    set("idle_timeout", &mut limits.idle_timeout);
    set("stall_timeout", &mut limits.stall_timeout);
    set("half_closed_timeout", &mut limits.half_closed_timeout);
    set("linger_timeout", &mut limits.linger_timeout);
    set("drain_timeout", &mut limits.drain_timeout);
    set("drain_grace", &mut limits.drain_grace);
    set("drain_stall_timeout", &mut limits.drain_stall_timeout);
    set("reload_drain_timeout", &mut limits.reload_drain_timeout);
    limits.h2.window_timeout = limits.stall_timeout;
    limits.rate_min = table.byte_rate("rate_min").unwrap_or(limits.rate_min);
    limits.connection_age_max = table.time("connection_age");
    limits.connections_max = table.count("connections").map(|count| count as usize);
    limits.handshakes_max = table.count("handshakes").map_or(limits.handshakes_max, |count| count as usize);
    if let Some(bytes) = table.size("head_size").and_then(|bytes| u16::try_from(bytes).ok()) {
        limits.set_head_bytes_max(bytes);
    }
    if let Some(bytes) = table.size("request_line_size").and_then(|bytes| u16::try_from(bytes).ok()) {
        if bytes > limits.head.head_bytes_max {
            let most = limits.head.head_bytes_max;
            let node = table.entry("request_line_size").expect("it was read");
            node.report(
                format!("the request line is larger than the whole head, which has {most} bytes at the most"),
                "raise head_size as well, or leave request_line_size out",
            );
        }
        limits.head.request_line_bytes_max = bytes;
    }
    if let Some(fields) = table.count("fields").and_then(|fields| u8::try_from(fields).ok()) {
        limits.head.fields_max = fields;
    }
    limits.body.body_bytes_max = size_or_none(table, "body_size").unwrap_or(limits.body.body_bytes_max);
    limits.discard_bytes_max = table.size("discard_size").unwrap_or(limits.discard_bytes_max);
    if let Some(streams) = table.count("streams").and_then(|streams| u32::try_from(streams).ok()) {
        limits.h2.streams_max = streams;
    }
    limits
}

/// `Some(None)` for "none".
fn size_or_none(table: Table<'_>, key: &str) -> Option<Option<u64>> {
    let node = table.entry(key)?;
    if node.text().as_deref() == Some("none") { Some(None) } else { node.size().map(Some) }
}

pub(in crate::config) const BODY: Shape = Shape::new(
    "the limits of request bodies",
    &[
        Key::new("size", BYTES_OR_NONE, "Most bytes; beyond it 413. Default: that of the limits."),
        Key::new(
            "stall_timeout",
            Kind::Either(&[WAIT, NONE]),
            "After each such time of waiting a body must have made the lowest rate. Default: that of the \
             limits.",
        ),
        Key::new("rate_min", Kind::ByteRate, "The lowest rate. Default: that of the limits."),
    ],
);

/// The policy for the bodies of a site or route; what is not given is that of the server.
pub(in crate::config) fn body_policy(table: Table<'_>, limits: &Limits) -> BodyPolicy {
    let stall = table.entry("stall_timeout").and_then(|node| match node.text().as_deref() {
        Some("none") => Some(None),
        _ => node.time().map(Some),
    });
    BodyPolicy {
        bytes_max: size_or_none(table, "size").unwrap_or(limits.body.body_bytes_max),
        stall_timeout: stall.unwrap_or(Some(limits.stall_timeout)),
        rate_min: table.byte_rate("rate_min").unwrap_or(limits.rate_min),
    }
}
