//! URLs of requests (RFC 3986), strict: `http` and `https` alone, no user information, no host that could be
//! read in two ways. References of redirects are resolved here. Looks nothing up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::http::method::Method;
use crate::http::target::{self, Scheme, TargetError, split_authority};

/// Longest URL. Servers refuse request lines of half of it.
const URL_BYTES_MAX: usize = 16 * 1024;

/// Longest host name (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Why a URL is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It has no scheme.
    #[error("the URL is not absolute; begin it with http:// or https://")]
    Relative,
    /// Its scheme is neither `http` nor `https`.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// It has `user@` or `user:password@`.
    #[error("the URL holds user information; use `basic_auth`")]
    Userinfo,
    /// Its host is missing or malformed, or could be read in two ways.
    #[error(
        "the URL's host is missing or malformed; write a name of ASCII letters, digits, hyphens and dots \
         (xn--… for others), an IPv4 address of four decimal numbers, or an IPv6 address in brackets"
    )]
    Host,
    /// Its port is none.
    #[error("the URL's port must be between 1 and 65535")]
    Port,
    /// A byte that is not allowed, such as a space or a control.
    #[error("the URL holds byte 0x{0:02x}; percent-encode it")]
    Character(u8),
    /// It has more than 16 KiB.
    #[error("the URL has more than {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is malformed in another way.
    #[error("the URL is malformed: {0}")]
    Malformed(TargetError),
}

impl From<TargetError> for UrlError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Empty | TargetError::Form => Self::Relative,
            TargetError::Scheme => Self::Scheme,
            TargetError::Userinfo => Self::Userinfo,
            TargetError::Authority => Self::Host,
            TargetError::Character(byte) => Self::Character(byte),
            other => Self::Malformed(other),
        }
    }
}

/// An absolute URL without a fragment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    scheme: Scheme,
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// Host and port as in `Host`: the port only if it is not the scheme's.
    authority: String,
    /// Path and query, percent-encoded, without dot segments.
    target: String,
}

impl Url {
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.split('#').next().unwrap_or_default();
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        if text.starts_with('/') || text == "*" {
            return Err(UrlError::Relative);
        }
        let (normal, parts) = target::normalize(Method::Get, text.as_bytes())?;
        // Only percent-encoded ASCII is left.
        let normal = String::from_utf8_lossy(&normal);
        let scheme = parts.scheme.ok_or(UrlError::Relative)?;
        let (host, port, authority) = host_and_port(&normal[parts.authority], scheme)?;
        let mut target = without_dots(&normal[parts.path]);
        if let Some(query) = parts.query {
            target.push('?');
            target.push_str(&normal[query]);
        }
        Ok(Self { scheme, host, port, authority, target })
    }

    /// The URL that a reference of this one means (RFC 3986 §5.2).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.split('#').next().unwrap_or_default();
        let has_scheme = reference.split(['/', '?']).next().is_some_and(|first| first.contains(':'));
        if has_scheme {
            return Self::parse(reference);
        }
        let scheme = self.scheme.as_str();
        if reference.starts_with("//") {
            return Self::parse(&format!("{scheme}:{reference}"));
        }
        let (path, _) = self.path_and_query();
        let target = match reference.as_bytes().first() {
            None => self.target.clone(),
            Some(b'/') => reference.to_owned(),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                format!("{folder}{reference}")
            }
        };
        Self::parse(&format!("{scheme}://{}{target}", self.authority))
    }

    /// Appends a pair to the query.
    pub(crate) fn push_pair(&mut self, name: &str, value: &str) {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        push_form(&mut self.target, name, value);
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The host, if it is an address.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port, the port always: for CONNECT.
    pub(crate) fn host_with_port(&self) -> String {
        let host = split_authority(&self.authority).0;
        format!("{host}:{}", self.port)
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    fn path_and_query(&self) -> (&str, Option<&str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.target, None),
        }
    }

    /// Scheme, host and port: credentials are for these (RFC 6454).
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// Scheme, host and port, and the path. Queries may hold secrets, and are in no error.
    pub(crate) fn without_query(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority, self.path_and_query().0)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority, self.target)
    }
}

/// Host, port, and both as in `Host`.
fn host_and_port(authority: &str, scheme: Scheme) -> Result<(String, u16, String), UrlError> {
    let (bracketed, port) = split_authority(authority);
    let default = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    let port = port.unwrap_or(default);
    if port == 0 {
        return Err(UrlError::Port);
    }
    let host = match bracketed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().map_err(|_| UrlError::Host)?.to_string(),
        None => checked_name(bracketed)?,
    };
    let mut authority = if bracketed.starts_with('[') { format!("[{host}]") } else { host.clone() };
    if port != default {
        authority.push_str(&format!(":{port}"));
    }
    Ok((host, port, authority))
}

/// A name or an IPv4 address, in lower case. Numbers in other forms (`127.1`, `0x7f000001`, `2130706433`),
/// which resolvers read as addresses, are neither.
fn checked_name(name: &str) -> Result<String, UrlError> {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.len() <= HOST_BYTES_MAX
        && name.bytes().all(is_byte)
        && labels.split('.').all(|label| (1..=63).contains(&label.len()));
    if !is_name {
        return Err(UrlError::Host);
    }
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_number =
        last.starts_with("0x") || last.starts_with("0X") || last.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && name.parse::<Ipv4Addr>().is_err() {
        return Err(UrlError::Host);
    }
    Ok(name.to_ascii_lowercase())
}

/// A path without dot segments (RFC 3986 §5.2.4), escaped ones included, as browsers resolve them; `/` where
/// there is none.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut is_open = true;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        is_open = matches!(&*dots, "." | "..");
        match &*dots {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if is_open && !out.ends_with('/') {
        out.push('/');
    }
    out
}

/// Appends `name=value`, encoded as in forms.
pub(crate) fn push_form(out: &mut String, name: &str, value: &str) {
    let push = |out: &mut String, text: &str| {
        for byte in text.bytes() {
            match byte {
                b' ' => out.push('+'),
                byte if byte.is_ascii_alphanumeric() || b"-._*".contains(&byte) => out.push(byte.into()),
                byte => out.push_str(&format!("%{byte:02X}")),
            }
        }
    };
    push(out, name);
    out.push('=');
    push(out, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> String {
        Url::parse(text).unwrap().to_string()
    }

    #[test]
    fn urls_have_one_form() {
        for (text, form) in [
            ("http://A.Test", "http://a.test/"),
            ("HTTP://a.test:80/x?y#z", "http://a.test/x?y"),
            ("https://a.test:443", "https://a.test/"),
            ("https://a.test:80/", "https://a.test:80/"),
            ("http://[::1]:8080/a", "http://[::1]:8080/a"),
            ("http://[0:0::1]", "http://[::1]/"),
            ("http://a.test?q", "http://a.test/?q"),
            ("http://a.test/a/./b/../c", "http://a.test/a/c"),
            ("http://a.test/../../c", "http://a.test/c"),
            ("http://a.test/a/%2e%2E/c/..", "http://a.test/"),
            ("http://a.test/a//b", "http://a.test/a//b"),
            ("http://a.test/ä|?ö", "http://a.test/%C3%A4%7C?%C3%B6"),
            ("http://a_b.test./", "http://a_b.test./"),
            ("http://10.0.0.1:8080/", "http://10.0.0.1:8080/"),
        ] {
            assert_eq!(parsed(text), form, "{text}");
        }
        let url = Url::parse("https://[::1]/").unwrap();
        assert_eq!((url.host(), url.host_with_port().as_str()), ("::1", "[::1]:443"));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (text, error) in [
            ("", UrlError::Relative),
            ("/a", UrlError::Relative),
            ("a.test/b", UrlError::Relative),
            ("ftp://a.test/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("http://user@a.test/", UrlError::Userinfo),
            ("http://a.test:80@b.test/", UrlError::Userinfo),
            ("http://a.test\\@b.test/", UrlError::Character(b'\\')),
            ("http:///a", UrlError::Host),
            ("http://", UrlError::Host),
            ("http://a..b/", UrlError::Host),
            ("http://127.1/", UrlError::Host),
            ("http://0x7f000001/", UrlError::Host),
            ("http://2130706433/", UrlError::Host),
            ("http://0177.0.0.1/", UrlError::Host),
            ("http://127.0.0.1.:1/", UrlError::Host),
            ("http://a%2eb/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://a.test:0/", UrlError::Port),
            ("http://a.test:65536/", UrlError::Host),
            ("http://a.test/ b", UrlError::Character(b' ')),
            ("http://a.test/\r\nHost: b", UrlError::Character(b'\r')),
            ("http://a.test\n/", UrlError::Character(b'\n')),
        ] {
            let found = Url::parse(text);
            assert!(found.is_err(), "{text:?}: {found:?}");
            if text.contains('\\') {
                continue;
            }
            assert_eq!(found, Err(error), "{text:?}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "a".repeat(URL_BYTES_MAX))), Err(UrlError::TooLong));
    }

    /// RFC 3986 §5.4, as far as it is about HTTP.
    #[test]
    fn references_are_resolved() {
        let base = Url::parse("http://a/b/c/d;p?q").unwrap();
        for (reference, target) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
            ("https://g:444/", "https://g:444/"),
        ] {
            assert_eq!(base.join(reference).unwrap().to_string(), target, "{reference}");
        }
        for wrong in ["javascript:alert(1)", "http://u@b/", "ftp://b/", "/ a"] {
            assert!(base.join(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pairs_are_appended_encoded() {
        let mut url = Url::parse("http://a/b").unwrap();
        url.push_pair("a b", "c&d=e");
        url.push_pair("ü", "");
        assert_eq!(url.target(), "/b?a+b=c%26d%3De&%C3%BC=");
    }

    proptest! {
        /// What is accepted has one form, and can be sent.
        #[test]
        fn an_accepted_url_can_be_sent(
            text in "(http|https)://[a-z0-9.:@\\[\\]%/?#\\\\_-]{1,20}[ -~]{0,20}",
            reference in "[ -~]{0,20}",
        ) {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(&Url::parse(&url.to_string()), &Ok(url.clone()));
                let joined = url.join(&reference);
                for url in joined.iter().chain([&url]) {
                    prop_assert!(target::is_authority(url.authority().as_bytes()), "{url}");
                    prop_assert!(target::parse(Method::Get, url.target().as_bytes()).is_ok(), "{url}");
                    let tunnel = url.host_with_port();
                    prop_assert!(target::parse(Method::Connect, tunnel.as_bytes()).is_ok(), "{url}");
                    prop_assert!(!url.target().split('?').next().unwrap().contains("/../"), "{url}");
                }
            }
        }
    }
}
