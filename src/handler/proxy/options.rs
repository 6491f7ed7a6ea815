//! What a proxy does with requests besides choosing an endpoint, as a value: which upstream, which host it is
//! told, what is said of the client, and how the path is rewritten.

use std::fmt;
use std::sync::Arc;

use crate::net::Network;
use crate::upstream::{UpstreamMistake, UpstreamOptions};

/// Forwards requests to an upstream.
///
/// ```
/// use quoit::handler::ProxyOptions;
/// use quoit::upstream::UpstreamOptions;
///
/// let proxy = ProxyOptions::to(UpstreamOptions::new("api", ["127.0.0.1:9001"]).unwrap());
/// assert_eq!(proxy.to_string(), "proxy to api (127.0.0.1:9001; power of two)");
/// ```
#[derive(Clone, PartialEq)]
pub struct ProxyOptions {
    /// The upstreams, each with its share of the requests: `[(95, stable), (5, canary)]`. At least one.
    pub upstreams: Vec<(u32, Arc<UpstreamOptions>)>,
    /// The `Host` that the endpoint receives. Default [`HostPolicy::Keep`].
    pub host: HostPolicy,
    /// A prefix of the path that is not forwarded: `/api` forwards `/api/users` as `/users`. Whole segments;
    /// paths without it are forwarded as they are. Default none.
    pub strip_prefix: Option<String>,
    /// A prefix that is put before the path, after the other was stripped. Default none.
    pub add_prefix: Option<String>,
    /// The fields about the client that the endpoint receives.
    pub forwarded: ForwardedOptions,
    /// The name of this proxy in `Via` of requests (RFC 9110 §7.6.3). Default `quoit`; `None` adds none, and
    /// loops are not noticed then.
    pub via: Option<String>,
    /// Most bytes of a request's body, where the route has no limit of its own; beyond it 413. Default none:
    /// bodies are never held, and the endpoint has its own limit.
    pub request_bytes_max: Option<u64>,
    /// Fields that are set in every request to the endpoint, in place of those of the client. Default none.
    pub set_fields: Vec<(String, String)>,
    /// Fields of the client that are not forwarded, besides those of the connection. Default none.
    pub remove_fields: Vec<String>,
}

impl ProxyOptions {
    /// Everything to this upstream, with the defaults.
    pub fn to(upstream: impl Into<Arc<UpstreamOptions>>) -> Self {
        Self {
            upstreams: vec![(1, upstream.into())],
            host: HostPolicy::default(),
            strip_prefix: None,
            add_prefix: None,
            forwarded: ForwardedOptions::default(),
            via: Some("quoit".to_owned()),
            request_bytes_max: None,
            set_fields: Vec::new(),
            remove_fields: Vec::new(),
        }
    }
}

impl ProxyOptions {
    /// Whether what is open may go on when these options replace it: only the choice of endpoints differs.
    pub(crate) fn is_continued_by(&self, next: &Self) -> bool {
        let same = Self { upstreams: next.upstreams.clone(), ..self.clone() };
        let of_name = |name: &str| next.upstreams.iter().map(|(_, next)| next).find(|next| next.name == name);
        let goes_on = |(_, upstream): &(u32, Arc<UpstreamOptions>)| {
            of_name(&upstream.name).is_some_and(|next| upstream.is_continued_by(next))
        };
        same == *next && self.upstreams.iter().all(goes_on)
    }
}

/// Of the fields that are set only the names, because values may be secrets.
impl fmt::Debug for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            upstreams,
            host,
            strip_prefix,
            add_prefix,
            forwarded,
            via,
            request_bytes_max,
            set_fields,
            remove_fields,
        } = self;
        let names: Vec<_> = set_fields.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProxyOptions")
            .field("upstreams", upstreams)
            .field("host", host)
            .field("strip_prefix", strip_prefix)
            .field("add_prefix", add_prefix)
            .field("forwarded", forwarded)
            .field("via", via)
            .field("request_bytes_max", request_bytes_max)
            .field("set_fields", &names)
            .field("remove_fields", remove_fields)
            .finish()
    }
}

/// The upstreams, and what is not the default.
impl fmt::Display for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("proxy to ")?;
        let shares: u32 = self.upstreams.iter().map(|(share, _)| share).sum();
        for (index, (share, upstream)) in self.upstreams.iter().enumerate() {
            f.write_str(if index > 0 { ", " } else { "" })?;
            if self.upstreams.len() > 1 {
                write!(f, "{share}/{shares} ")?;
            }
            upstream.fmt(f)?;
        }
        match &self.host {
            HostPolicy::Keep => {}
            HostPolicy::Endpoint => f.write_str(", host of the endpoint")?,
            HostPolicy::Fixed(host) => write!(f, ", host {host}")?,
        }
        self.strip_prefix.iter().try_for_each(|prefix| write!(f, ", without prefix {prefix}"))?;
        self.add_prefix.iter().try_for_each(|prefix| write!(f, ", with prefix {prefix}"))?;
        self.set_fields.iter().try_for_each(|(name, _)| write!(f, ", sets {name}"))?;
        self.remove_fields.iter().try_for_each(|name| write!(f, ", removes {name}"))
    }
}

/// The value of `Host` in forwarded requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostPolicy {
    /// The client's, so that links and redirects of the endpoint are right for the client.
    #[default]
    Keep,
    /// The endpoint's address.
    Endpoint,
    /// This one.
    Fixed(String),
}

/// The fields about the client that the endpoint receives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardedOptions {
    /// In which fields. Default [`ForwardedForm::XForwarded`].
    pub form: ForwardedForm,
    /// Peers whose own fields are believed and extended: other proxies. Those of all other clients are
    /// dropped, because any client can send them. Default none.
    pub trusted: Vec<Network>,
}

/// The fields that describe the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedForm {
    /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`, which nearly all frameworks read.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Both.
    Both,
    /// Neither.
    None,
}

impl ForwardedForm {
    /// Whether `X-Forwarded-*` is sent.
    pub fn has_x_forwarded(self) -> bool {
        matches!(self, Self::XForwarded | Self::Both)
    }

    /// Whether `Forwarded` is sent.
    pub fn has_forwarded(self) -> bool {
        matches!(self, Self::Forwarded | Self::Both)
    }
}

/// Why a proxy cannot be made as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyMistake {
    /// There is no upstream, or none has a share.
    #[error("the proxy has no upstream with a share above 0; give it one")]
    NoUpstream,
    /// An upstream cannot be used.
    #[error(transparent)]
    Upstream(#[from] UpstreamMistake),
    /// A prefix does not begin with a slash, ends in one, or has bytes that a path cannot have.
    #[error("the prefix `{0}` must begin with / and not end with it, and be percent-encoded")]
    Prefix(String),
    /// A field that cannot be sent.
    #[error(
        "the field `{0}` cannot be set or removed: names are tokens, values have no control bytes, and \
             fields of framing and connection are the proxy's"
    )]
    Field(String),
    /// A name for `Via` or `Host` that is none.
    #[error("`{0}` is no host; write a name or an address, with or without a port")]
    Host(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_proxy_has_no_values_of_fields() {
        let upstream = |name| Arc::new(UpstreamOptions::new(name, ["a:1"]).unwrap());
        let proxy = ProxyOptions {
            upstreams: vec![(95, upstream("stable")), (5, upstream("canary"))],
            strip_prefix: Some("/api".into()),
            set_fields: vec![("Authorization".into(), "Bearer hunter2".into())],
            ..ProxyOptions::to(upstream("x"))
        };
        assert_eq!(
            proxy.to_string(),
            "proxy to 95/100 stable (a:1; power of two), 5/100 canary (a:1; power of two), without prefix \
             /api, sets Authorization"
        );
        let debug = format!("{proxy:?}");
        assert!(debug.contains("Authorization") && !debug.contains("hunter2"), "{debug}");
    }
}
