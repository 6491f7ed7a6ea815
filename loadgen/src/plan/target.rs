//! Where the load goes: URLs taken apart, names resolved.

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
        let refuse = || format!("`{text}` is no URL; write http://127.0.0.1:8080/path");
        let (is_tls, rest) = match text.split_once("://").ok_or_else(refuse)? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            (scheme, _) => return Err(format!("`{scheme}` is no scheme for this; write http://…")),
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

/// The address of `host:port`.
///
/// # Errors
/// Malformed or unresolved, with the remedy.
pub(crate) fn resolve_pair(text: &str) -> Result<Address, TargetError> {
    match split_port(text) {
        Some((host, Some(port))) => resolve(host.trim_matches(['[', ']']), port),
        _ => {
            let remedy = format!("`{text}` is no address; write HOST:PORT, such as 127.0.0.1:8080");
            Err(TargetError::Malformed(remedy))
        }
    }
}

/// The first address of a name.
///
/// # Errors
/// [`TargetError::Unresolved`], with the remedy.
pub(crate) fn resolve(host: &str, port: u16) -> Result<Address, TargetError> {
    let unresolved = |why: String| {
        TargetError::Unresolved(format!(
            "dns: `{host}` has no address ({why}); check the name, or give one with --connect-to HOST:PORT"
        ))
    };
    let mut found = (host, port).to_socket_addrs().map_err(|error| unresolved(error.to_string()))?;
    let first: Option<SocketAddr> = found.next();
    first.map(Address::Inet).ok_or_else(|| unresolved("no record".to_owned()))
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
    fn addresses_are_found() {
        assert_eq!(resolve("127.0.0.1", 1), Ok(Address::Inet(([127, 0, 0, 1], 1).into())));
        assert!(matches!(resolve_pair("[::1]:5"), Ok(Address::Inet(SocketAddr::V6(_)))));
        assert!(matches!(resolve_pair("5"), Err(TargetError::Malformed(_))));
        assert!(matches!(resolve("name.invalid", 1), Err(TargetError::Unresolved(_))));
    }
}
