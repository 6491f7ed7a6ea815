//! Where the load goes: URLs taken apart, names resolved.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs};

use quoit::net::Address;

/// A URL of `http` or `https`, taken apart (RFC 3986, as far as a load needs it).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    /// Whether it is `https`.
    pub is_tls: bool,
    /// Host as written, IPv6 without brackets.
    pub host: String,
    /// Port, written or the scheme's.
    pub port: u16,
    /// Host and port as the `Host` field has them.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Why a target cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TargetError {
    /// Written wrongly.
    Malformed(String),
    /// The name has no address.
    Unresolved(String),
}

impl Url {
    /// Reads `http://host:port/path`.
    ///
    /// # Errors
    /// A sentence with the remedy.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is no URL; write http://127.0.0.1:8080/path, or https://…");
        let (scheme, rest) = text.split_once("://").ok_or_else(refuse)?;
        // RFC 3986, section 3.1: schemes know no case.
        let is_tls = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return Err(format!("`{scheme}` is no scheme for this; write http://… or https://…")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        if authority.contains('@') {
            return Err("a URL with user and password; give them as -H 'Authorization: …'".to_owned());
        }
        let (host, port) = split_port(authority).ok_or_else(refuse)?;
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_sound) {
            return Err(refuse());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let port = port.unwrap_or(if is_tls { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_tls, host, port, authority: authority.to_owned(), path })
    }
}

/// Splits `host:port` or `[v6]:port`; `None` for what is neither.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let bare_v6 = authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !bare_v6 => (host, Some(port.parse().ok().filter(|&port| port != 0)?)),
        _ => (authority, None),
    };
    let brackets = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    (brackets || !host.contains([':', '[', ']'])).then_some((host, port))
}

/// The addresses of `host:port`, in the order in which they are to be tried.
///
/// # Errors
/// Malformed or unresolved, with the remedy.
pub(crate) fn resolve_pair(text: &str) -> Result<Vec<Address>, TargetError> {
    match split_port(text) {
        Some((host, Some(port))) => resolve(host.trim_matches(['[', ']']), port),
        _ => {
            let remedy = format!("`{text}` is no address; write HOST:PORT, such as 127.0.0.1:8080");
            Err(TargetError::Malformed(remedy))
        }
    }
}

/// All addresses of a name, in the order in which they are to be tried.
///
/// # Errors
/// [`TargetError::Unresolved`], with the remedy.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Vec<Address>, TargetError> {
    let unresolved = |why: String| {
        TargetError::Unresolved(format!(
            "dns: `{host}` has no address ({why}); check the name, or give one with --connect-to HOST:PORT"
        ))
    };
    let found = (host, port).to_socket_addrs().map_err(|error| unresolved(error.to_string()))?;
    let addresses = interleave(found.collect());
    if addresses.is_empty() {
        return Err(unresolved("no record".to_owned()));
    }
    Ok(addresses.into_iter().map(Address::Inet).collect())
}

/// RFC 8305, section 4: the resolver's order (RFC 6724), with the families in turns, so that a network
/// without one of them costs a single attempt. None is tried twice.
fn interleave(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        found.into_iter().partition(|addr| addr.is_ipv4() == first_is_v4);
    let mut addresses = Vec::new();
    while !one.is_empty() || !other.is_empty() {
        for addr in [one.pop_front(), other.pop_front()].into_iter().flatten() {
            if !addresses.contains(&addr) {
                addresses.push(addr);
            }
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("http://127.0.0.1:8080/a?b#c").unwrap();
        assert_eq!(
            (&*url.host, url.port, &*url.path, &*url.authority),
            ("127.0.0.1", 8080, "/a?b", "127.0.0.1:8080")
        );
        let url = Url::parse("http://[::1]:81").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path, &*url.authority), ("::1", 81, "/", "[::1]:81"));
        let url = Url::parse("https://example.com?q").unwrap();
        assert_eq!((url.is_tls, url.port, &*url.path), (true, 443, "/?q"));
        assert_eq!(Url::parse("http://[::1]").unwrap().port, 80);
        assert!(!Url::parse("HTTP://h/").unwrap().is_tls && Url::parse("Https://h/").unwrap().is_tls);
        assert!(Url::parse("ftp://h/").unwrap_err().contains("https://"));
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in ["", "x", "ftp://h/", "http://", "http:///a", "http://h:0/", "http://h:x/", "http://::1/"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(Url::parse("http://u:p@h/").unwrap_err().contains("Authorization"));
    }

    #[test]
    fn families_take_turns() {
        let addrs = |text: &str| text.split(' ').map(|addr| addr.parse().unwrap()).collect::<Vec<_>>();
        let found = addrs("[::1]:1 [::2]:1 [::1]:1 1.1.1.1:1 2.2.2.2:1 3.3.3.3:1");
        assert_eq!(interleave(found), addrs("[::1]:1 1.1.1.1:1 [::2]:1 2.2.2.2:1 3.3.3.3:1"));
        assert_eq!(interleave(addrs("1.1.1.1:1 [::1]:1")), addrs("1.1.1.1:1 [::1]:1"));
    }

    #[test]
    fn addresses_are_found() {
        assert_eq!(resolve("127.0.0.1", 1), Ok(vec![Address::Inet(([127, 0, 0, 1], 1).into())]));
        assert!(matches!(resolve_pair("[::1]:5").as_deref(), Ok([Address::Inet(SocketAddr::V6(_))])));
        assert!(matches!(resolve_pair("5"), Err(TargetError::Malformed(_))));
        assert!(matches!(resolve("name.invalid", 1), Err(TargetError::Unresolved(_))));
    }
}
