//! Forward proxies: which request goes through which, by options or by the variables that other programs read
//! too. Only [`ClientProxies::from_env`] reads the environment.

use std::env;
use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use super::url::{Url, UrlError};
use crate::http::base64::base64;
use crate::http::percent;
use crate::net::Network;

/// Why a proxy cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ClientProxyError {
    /// Its URL is malformed.
    #[error("the proxy of {place}: {why}")]
    Url {
        /// The variable or option.
        place: String,
        /// Why.
        why: UrlError,
    },
    /// Its scheme is not `http`.
    #[error("the proxy of {0} is not spoken to by plain HTTP; give one that begins with http://")]
    Scheme(String),
    /// Its user or password is malformed.
    #[error("the user or password of the proxy of {0} is not percent-encoded text")]
    Credentials(String),
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ForwardProxy {
    pub(super) url: Url,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
}

/// Without credentials.
impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

/// Which requests go through a forward proxy. Those to `http` URLs are sent to it as they are; for `https` it
/// opens a tunnel (CONNECT), in which it sees host and port alone. Clients of a core that go through the same
/// proxy to the same host share its tunnels, whatever their credentials.
#[derive(Clone, Debug, Default)]
pub struct ClientProxies {
    http: Option<ForwardProxy>,
    https: Option<ForwardProxy>,
    direct: Vec<Direct>,
}

/// Hosts that are asked directly.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Direct {
    All,
    Network(Network),
    /// A name and all below it, or one port of them.
    Name(String, Option<u16>),
}

impl ClientProxies {
    /// No proxy.
    pub fn none() -> Self {
        Self::default()
    }

    /// All requests through the proxy at this URL: `http://[USER:PASSWORD@]HOST:PORT`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn all(url: &str) -> Result<Self, ClientProxyError> {
        let proxy = forward_proxy("the client", url)?;
        Ok(Self { http: Some(proxy.clone()), https: Some(proxy), direct: Vec::new() })
    }

    /// As the variables `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, whose names in lower
    /// case come first. `HTTP_PROXY` in upper case is ignored where `REQUEST_METHOD` is set, because a client
    /// of a CGI program sets it with the field `Proxy`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_env() -> Result<Self, ClientProxyError> {
        Self::from_variables(|name| env::var(name).ok())
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ClientProxyError> {
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let proxy = |names: &[&str]| {
            let usable = names.iter().filter(|name| !(is_cgi && **name == "HTTP_PROXY"));
            let mut set = usable.filter_map(|name| Some((*name, variable(name)?)));
            let found = set.find(|(_, value)| !value.trim().is_empty());
            found.map(|(name, value)| forward_proxy(name, value.trim())).transpose()
        };
        let http = proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?;
        let https = proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
        let direct = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
        Ok(Self { http, https, direct: Vec::new() }.except(&direct))
    }

    /// But not to these hosts, separated by commas: names (`example.com` with all below it, also written
    /// `.example.com`; with `:PORT` only that), addresses, networks (`10.0.0.0/8`), or `*` for all.
    #[must_use]
    pub fn except(mut self, hosts: &str) -> Self {
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        self.direct.extend(hosts.map(|host| {
            let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
            if host == "*" {
                return Direct::All;
            }
            if let Ok(network @ Network::Inet { .. }) = bare.parse() {
                return Direct::Network(network);
            }
            let (name, port) = match host.rsplit_once(':') {
                Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
                _ => (host, None),
            };
            let name = name.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
            Direct::Name(name.to_ascii_lowercase(), port)
        }));
        self
    }

    /// The proxy of a request to this URL.
    pub(super) fn of(&self, url: &Url) -> Option<&ForwardProxy> {
        let proxy = if url.is_https() { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !self.direct.iter().any(|direct| direct.is(url)))
    }
}

impl Direct {
    fn is(&self, url: &Url) -> bool {
        match self {
            Self::All => true,
            Self::Network(network) => url.ip().is_some_and(|ip: IpAddr| network.contains(ip)),
            Self::Name(name, port) => {
                let host = url.host().trim_end_matches('.');
                let is_below = || host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
                port.is_none_or(|port| port == url.port()) && (host == name || is_below())
            }
        }
    }
}

fn forward_proxy(place: &str, text: &str) -> Result<ForwardProxy, ClientProxyError> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo), host),
        None => (None, authority),
    };
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(ClientProxyError::Scheme(place.to_owned()));
    }
    let url = Url::parse(&format!("http://{host}"))
        .map_err(|why| ClientProxyError::Url { place: place.to_owned(), why })?;
    let authorization = userinfo.map(|userinfo| {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let decoded =
            |text| percent::decode(text).map_err(|_| ClientProxyError::Credentials(place.to_owned()));
        Ok(basic(&decoded(user)?, &decoded(password)?))
    });
    Ok(ForwardProxy { url, authorization: authorization.transpose()? })
}

/// The value of `Authorization` for a user (RFC 7617).
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(proxies: &ClientProxies, url: &str) -> Option<String> {
        proxies.of(&Url::parse(url).unwrap()).map(|proxy| proxy.url.authority().to_owned())
    }

    #[test]
    fn variables_are_read_as_elsewhere() {
        let set = |pairs: &'static [(&str, &str)]| {
            ClientProxies::from_variables(move |name| {
                pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        let proxies = set(&[
            ("HTTP_PROXY", "http://p:3128/"),
            ("https_proxy", "u%40:p%3A@q:1"),
            ("NO_PROXY", "localhost, .a.test,10.0.0.0/8,[::1],b.test:81"),
        ]);
        let proxies = proxies.unwrap();
        for (url, proxy) in [
            ("http://c.test/", Some("p:3128")),
            ("https://c.test/", Some("q:1")),
            ("http://localhost:9/", None),
            ("http://a.test/", None),
            ("http://x.a.test./", None),
            ("http://xa.test/", Some("p:3128")),
            ("http://10.1.1.1/", None),
            ("http://11.1.1.1/", Some("p:3128")),
            ("https://[::1]/", None),
            ("http://b.test:81/", None),
            ("http://b.test/", Some("p:3128")),
        ] {
            assert_eq!(via(&proxies, url).as_deref(), proxy, "{url}");
        }
        let https = proxies.https.as_ref().unwrap();
        assert_eq!(https.authorization.as_deref(), Some("Basic dUA6cDo="));
        assert!(!format!("{proxies:?}").contains("dUA6"));
        let cgi = set(&[("HTTP_PROXY", "p:1"), ("REQUEST_METHOD", "GET")]).unwrap();
        assert_eq!(via(&cgi, "http://a.test/"), None);
        let all = set(&[("ALL_PROXY", "p:1"), ("no_proxy", "*")]).unwrap();
        assert_eq!(via(&all, "http://a.test/"), None);
        assert!(matches!(set(&[("ALL_PROXY", "socks5://p:1")]), Err(ClientProxyError::Scheme(_))));
        assert!(matches!(set(&[("http_proxy", "http://p q")]), Err(ClientProxyError::Url { .. })));
    }
}
