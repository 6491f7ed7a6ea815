//! A request as the endpoint gets it: only what was judged here, and nothing that could be read in two ways.
//! Fields of the connection and those that `Connection` names are left out, fields about the client are
//! written by this side, and the target is as it was sent unless that differs from what was matched.

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

use super::options::{ForwardedOptions, HostPolicy, ProxyOptions};
use crate::filter::RequestId;
use crate::http::message::{RequestHead, TargetForm, Version};
use crate::http::method::Method;
use crate::http::path;
use crate::net::Network;
use crate::service::{Context, Peer};

/// `Via` entries with the own name above which a request goes in circles.
const VIA_MAX: usize = 8;

/// Why a request is answered here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NotForwarded {
    /// CONNECT to a host: a reverse proxy opens no tunnels to others' hosts.
    Connect,
    /// `Max-Forwards: 0`.
    LastHop,
    /// It came through here again and again.
    Loop,
    /// TRACE cannot have content (RFC 9110 §9.3.8).
    Content,
}

/// Whether it is for an endpoint at all.
pub(super) fn check(head: &RequestHead, via: Option<&str>) -> Result<(), NotForwarded> {
    if head.method() == Method::Connect && head.protocol().is_none() {
        return Err(NotForwarded::Connect);
    }
    if head.method() == Method::Trace && !head.framing().is_empty() {
        return Err(NotForwarded::Content);
    }
    if counts_forwards(head) && head.field("max-forwards").and_then(number) == Some(0) {
        return Err(NotForwarded::LastHop);
    }
    let is_own = |member: &[u8]| {
        let name = member.trim_ascii().splitn(2, |&byte| byte == b' ').nth(1).unwrap_or_default();
        via.is_some_and(|via| name.trim_ascii() == via.as_bytes())
    };
    let entries = head.fields_named("via").flat_map(|value| value.split(|&byte| byte == b','));
    if via.is_some() && entries.filter(|member| is_own(member)).count() >= VIA_MAX {
        return Err(NotForwarded::Loop);
    }
    Ok(())
}

/// Methods that `Max-Forwards` is for (RFC 9110 §7.6.2).
fn counts_forwards(head: &RequestHead) -> bool {
    matches!(head.method(), Method::Options | Method::Trace)
}

/// The target in origin-form or asterisk-form, as the endpoint gets it.
pub(super) fn target<'a>(head: &'a RequestHead, options: &ProxyOptions) -> Cow<'a, str> {
    let is_rewritten = options.strip_prefix.is_some() || options.add_prefix.is_some();
    if head.form() == TargetForm::Origin && head.is_path_as_sent() && !is_rewritten {
        return Cow::Borrowed(head.target());
    }
    let (path, query) = (head.path(), head.query());
    if head.form() == TargetForm::Asterisk {
        return Cow::Borrowed("*");
    }
    let sent = head.target();
    let sent_path = sent_path(sent, head.form());
    // What was matched and what is forwarded have the same segments, in the client's own spelling.
    let path = if path::has_same_segments(sent_path.as_bytes()) { sent_path } else { path };
    let path = if path.is_empty() { "/" } else { path };
    if !is_rewritten {
        return match query {
            _ if path.len() + query.map_or(0, |query| query.len() + 1) == sent.len() => Cow::Borrowed(sent),
            None => Cow::Borrowed(path),
            Some(query) => Cow::Owned([path, "?", query].concat()),
        };
    }
    let stripped = match &options.strip_prefix {
        Some(prefix) => without_prefix(head.path(), path, prefix),
        None => path,
    };
    let added = options.add_prefix.as_deref().unwrap_or_default();
    let slash = if stripped.is_empty() { "/" } else { "" };
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    Cow::Owned([added, slash, stripped, mark, query].concat())
}

/// The path of a target, as it was sent.
fn sent_path(sent: &str, form: TargetForm) -> &str {
    let from = match form {
        TargetForm::Absolute => {
            let authority = sent.find("://").map_or(0, |at| at + 3);
            sent[authority..].find(['/', '?']).map_or(sent.len(), |at| authority + at)
        }
        TargetForm::Origin | TargetForm::Authority | TargetForm::Asterisk => 0,
    };
    let path = &sent[from..];
    path.split('?').next().unwrap_or_default()
}

/// The path after a prefix of whole segments, in its own spelling; the whole path without it.
fn without_prefix<'a>(normal: &str, path: &'a str, prefix: &str) -> &'a str {
    let follows = normal.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if follows.is_none() {
        return path;
    }
    // Both have the same segments, so as many slashes lead to the same place.
    let segments = prefix.bytes().filter(|&byte| byte == b'/').count();
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.nth(segments).map_or("", |at| &path[at..])
}

/// The `Host` that the endpoint receives.
pub(super) fn authority<'a>(head: &'a RequestHead, options: &'a ProxyOptions, endpoint: &'a str) -> &'a str {
    match &options.host {
        HostPolicy::Keep if !head.authority_bytes().is_empty() => head.authority(),
        HostPolicy::Keep | HostPolicy::Endpoint => endpoint,
        HostPolicy::Fixed(host) => host,
    }
}

/// Whether the peer may say whom it forwards for.
pub(super) fn is_trusted(options: &ForwardedOptions, peer: Peer) -> bool {
    options.trusted.iter().any(|network| match peer {
        Peer::Inet(addr) => network.contains(addr.ip()),
        Peer::Unix => *network == Network::Unix,
        Peer::Unknown => false,
    })
}

/// The client's address: the peer's, or where that is trusted the last one that no trusted proxy has.
pub(super) fn client(context: &Context, options: &ForwardedOptions) -> Option<IpAddr> {
    let peer = context.peer();
    let own = peer.addr().map(|addr| addr.ip().to_canonical());
    if !is_trusted(options, peer) {
        return own;
    }
    let values: Vec<&[u8]> = context.head().fields_named("x-forwarded-for").collect();
    let members = values.iter().rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
    let mut last = own;
    for member in members {
        let address = std::str::from_utf8(member).ok().and_then(|text| text.trim().parse::<IpAddr>().ok());
        let Some(address) = address else { break };
        last = Some(address.to_canonical());
        if !options.trusted.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    last
}

/// What becomes of a field of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FieldUse {
    Forwarded,
    Dropped,
    /// About the client: dropped unless its sender is trusted.
    Client,
    Cookie,
    /// The id of the request: that of the filter, if it gave one.
    RequestId,
}

/// A byte of a name, as applications may read it.
#[inline]
fn folded(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// By the length of its name first, which excludes most. Underscores are hyphens: for many applications the
/// two are the same (CGI, WSGI).
#[inline]
fn use_of(name: &[u8]) -> FieldUse {
    let is = |lower: &[u8]| name.iter().zip(lower).all(|(byte, expected)| folded(*byte) == *expected);
    let dropped = |names: &[&[u8]]| names.iter().any(|name| is(name));
    match name.len() {
        2 if is(b"te") => FieldUse::Dropped,
        3 if is(b"via") => FieldUse::Dropped,
        4 if is(b"host") => FieldUse::Dropped,
        6 if is(b"cookie") => FieldUse::Cookie,
        6 if is(b"expect") => FieldUse::Dropped,
        7 if is(b"upgrade") => FieldUse::Dropped,
        9 if is(b"forwarded") || is(b"x-real-ip") => FieldUse::Client,
        10 if dropped(&[b"connection", b"keep-alive"]) => FieldUse::Dropped,
        12 if is(b"max-forwards") => FieldUse::Dropped,
        12 if is(b"x-request-id") => FieldUse::RequestId,
        14 if dropped(&[b"content-length", b"http2-settings"]) => FieldUse::Dropped,
        16 if is(b"proxy-connection") => FieldUse::Dropped,
        17 if is(b"transfer-encoding") => FieldUse::Dropped,
        19 if is(b"proxy-authorization") => FieldUse::Dropped,
        length if length > 12 && is(b"x-forwarded-") => FieldUse::Client,
        _ => FieldUse::Forwarded,
    }
}

/// Appends the fields as the endpoint gets them, each as a line, without those of framing and connection.
/// `has_key`: whether the key of a WebSocket handshake of the client is among them.
pub(super) fn fields(context: &Context, options: &ProxyOptions, has_key: bool, out: &mut Vec<u8>) {
    let head = context.head();
    let peer = context.peer();
    let is_trusted = !options.forwarded.trusted.is_empty() && is_trusted(&options.forwarded, peer);
    let options_of_connection = head.version() != Version::Http2 && names_fields(head);
    let id = context.get::<RequestId>();
    let mut has_cookie = false;
    for (name, value) in head.fields().raw() {
        match use_of(name) {
            FieldUse::Dropped => continue,
            FieldUse::Client if !is_trusted || is_joined(name) => continue,
            // Browsers split cookies in HTTP/2; other versions have one field (RFC 9113 §8.2.3).
            FieldUse::Cookie if has_cookie => continue,
            FieldUse::RequestId if id.is_some() => continue,
            // An extended CONNECT has no key (RFC 8441 §5.1); one that is added must be the only one.
            _ if !has_key && name.eq_ignore_ascii_case(b"sec-websocket-key") => continue,
            _ => {}
        }
        if options_of_connection && is_named_by_connection(head, name) || is_replaced(options, name) {
            continue;
        }
        if use_of(name) == FieldUse::Cookie {
            has_cookie = true;
            push_joined(out, head, name, "cookie", b"; ");
            continue;
        }
        push(out, name, value);
    }
    about_client(context, options, peer, is_trusted, out);
    if counts_forwards(head)
        && let Some(left) = head.field("max-forwards").and_then(number)
    {
        let _ = write!(out, "Max-Forwards: {}\r\n", left.saturating_sub(1));
    }
    if let Some(id) = id.filter(|_| !is_replaced(options, b"x-request-id")) {
        push(out, b"X-Request-Id", id.as_str().as_bytes());
    }
    for (name, value) in &options.set_fields {
        push(out, name.as_bytes(), value.as_bytes());
    }
}

/// Whether a field may follow the content. Applications that merge trailers with fields must not take them
/// for what this side says of the client, or sets.
pub(super) fn may_follow(options: &ProxyOptions, name: &[u8]) -> bool {
    use_of(name) == FieldUse::Forwarded && !is_replaced(options, name)
}

fn push(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// All fields of this name as one.
fn push_joined(out: &mut Vec<u8>, head: &RequestHead, name: &[u8], lower: &str, between: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for (index, value) in head.fields_named(lower).enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(value);
    }
    out.extend_from_slice(b"\r\n");
}

fn number(value: &[u8]) -> Option<u32> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    if is_number { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

/// Fields that are written with those of the client in front.
fn is_joined(name: &[u8]) -> bool {
    ["x-forwarded-for", "x_forwarded_for", "forwarded"]
        .iter()
        .any(|joined| name.eq_ignore_ascii_case(joined.as_bytes()))
}

/// Whether `Connection` names more than the options that are no fields.
fn names_fields(head: &RequestHead) -> bool {
    head.connection_options().any(|option| {
        !["close", "keep-alive", "upgrade", "te"].iter().any(|known| option.eq_ignore_ascii_case(known))
    })
}

fn is_named_by_connection(head: &RequestHead, name: &[u8]) -> bool {
    head.connection_options().any(|option| name.eq_ignore_ascii_case(option.as_bytes()))
}

/// Underscores are hyphens here too: else a client could send `X_User` where `X-User` is set.
fn is_replaced(options: &ProxyOptions, name: &[u8]) -> bool {
    let is = |other: &str| {
        other.len() == name.len() && name.iter().zip(other.bytes()).all(|(a, b)| folded(*a) == folded(b))
    };
    options.set_fields.iter().any(|(other, _)| is(other))
        || options.remove_fields.iter().any(|other| is(other))
}

/// `X-Forwarded-*`, `Forwarded` and `Via`.
fn about_client(context: &Context, options: &ProxyOptions, peer: Peer, is_trusted: bool, out: &mut Vec<u8>) {
    let head = context.head();
    let address = peer.addr().map(|addr| addr.ip().to_canonical());
    let is_tls = context.tls().is_some();
    let form = options.forwarded.form;
    if form.has_x_forwarded() {
        let before = is_trusted.then(|| head.fields_named("x-forwarded-for")).into_iter().flatten();
        let mut colon: &[u8] = b"X-Forwarded-For: ";
        for value in before.filter(|value| !value.is_empty()) {
            out.extend_from_slice(colon);
            out.extend_from_slice(value);
            colon = b", ";
        }
        if let Some(address) = address {
            out.extend_from_slice(colon);
            push_address(out, address);
            colon = b", ";
        }
        out.extend_from_slice(if colon == b", " { b"\r\n" } else { b"" });
        if !is_trusted || head.field("x-forwarded-proto").is_none() {
            let line: &[u8] =
                if is_tls { b"X-Forwarded-Proto: https\r\n" } else { b"X-Forwarded-Proto: http\r\n" };
            out.extend_from_slice(line);
        }
        let host = head.authority_bytes();
        if (!is_trusted || head.field("x-forwarded-host").is_none()) && !host.is_empty() {
            push(out, b"X-Forwarded-Host", host);
        }
    }
    if form.has_forwarded() {
        forwarded(head, address, is_tls, is_trusted, out);
    }
    if let Some(via) = &options.via {
        let version: &[u8] = match head.version() {
            Version::Http10 => b"1.0 ",
            Version::Http11 => b"1.1 ",
            Version::Http2 => b"2 ",
        };
        out.extend_from_slice(b"Via: ");
        for value in head.fields_named("via").filter(|value| !value.is_empty()) {
            out.extend_from_slice(value);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(version);
        out.extend_from_slice(via.as_bytes());
        out.extend_from_slice(b"\r\n");
    } else {
        head.fields_named("via").for_each(|value| push(out, b"Via", value));
    }
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                out.extend_from_slice(itoa::Buffer::new().format(*octet).as_bytes());
            }
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// RFC 7239.
fn forwarded(head: &RequestHead, address: Option<IpAddr>, is_tls: bool, is_trusted: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Forwarded: ");
    let before = is_trusted.then(|| head.fields_named("forwarded")).into_iter().flatten();
    for value in before.filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    let written = match address {
        Some(IpAddr::V4(address)) => write!(out, "for={address}"),
        Some(IpAddr::V6(address)) => write!(out, "for=\"[{address}]\""),
        None => write!(out, "for=unknown"),
    };
    drop(written);
    if !head.authority_bytes().is_empty() {
        // An authority has neither quotes nor backslashes.
        let _ = write!(out, ";host=\"{}\"", head.authority());
    }
    out.extend_from_slice(if is_tls { b";proto=https\r\n" } else { b";proto=http\r\n" });
}

/// Takes out the lines of fields that the client keeps out of compression tables (RFC 7541 §7.1.3).
pub(super) fn take_never_indexed(head: &RequestHead, lines: &mut Vec<u8>) -> Vec<u8> {
    let mut fields = head.fields();
    let fields = std::iter::from_fn(|| fields.next_field());
    let names: Vec<&str> = fields.filter(|field| field.never_indexed).map(|field| field.name).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let mut never = Vec::new();
    let mut rest = Vec::with_capacity(lines.len());
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let is_never = names.iter().any(|never| name.eq_ignore_ascii_case(never.as_bytes()));
        if is_never { never.extend_from_slice(line) } else { rest.extend_from_slice(line) }
    }
    *lines = rest;
    never
}

/// Whether the client accepts trailers (`TE: trailers`).
pub(super) fn accepts_trailers(head: &RequestHead) -> bool {
    let members = head.fields_named("te").flat_map(|value| value.split(|&byte| byte == b','));
    let mut names =
        members.map(|member| member.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii());
    names.any(|name| name.eq_ignore_ascii_case(b"trailers"))
}

/// A token, with or without a version (RFC 9110 §7.8).
fn is_protocol(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_byte)
    };
    let (name, version) = text.split_once('/').unwrap_or((text, "1"));
    is_token(name) && is_token(version)
}

/// The protocol that is asked of the endpoint: the first of those that the client names that is no version of
/// HTTP, which this side speaks itself.
pub(super) fn upgrade(head: &RequestHead) -> Option<&str> {
    if let Some(protocol) = head.protocol() {
        return Some(protocol);
    }
    let is_own = |protocol: &&str| {
        let name = protocol.split('/').next().unwrap_or_default();
        is_protocol(protocol)
            && !["h2c", "h2", "http", "tls"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    head.upgrade()?.split(',').map(str::trim).find(is_own)
}

/// Protocols for which an upgrade and an extended CONNECT are the same request (RFC 8441 §5, RFC 9298 §3,
/// RFC 9484 §4).
const OF_BOTH: [&str; 3] = ["websocket", "connect-udp", "connect-ip"];

/// The protocol of the extended CONNECT that HTTP/2 endpoints get. Other upgrades of HTTP/1.1 are requests
/// that may be answered without one, and are sent as such.
pub(super) fn connect_protocol(head: &RequestHead) -> Option<&str> {
    if let Some(protocol) = head.protocol() {
        return Some(protocol);
    }
    if head.method() != Method::Get || !head.framing().is_empty() {
        return None;
    }
    let protocol = upgrade(head)?;
    OF_BOTH.into_iter().find(|known| protocol.eq_ignore_ascii_case(known))
}
