//! What is wrong with the options of an upstream, found without a core.

use thiserror::Error;

use super::super::options::UpstreamOptions;
use super::super::tls;
use super::Group;
use crate::http::cookie;

/// Why an upstream cannot be used as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpstreamMistake {
    /// It has no endpoint.
    #[error("the upstream {0} has no endpoint; give it at least one address")]
    Empty(String),
    /// Two endpoints have the same address.
    #[error("the upstream {upstream} names {address} twice; give each endpoint once, with a weight")]
    Twice {
        /// The upstream.
        upstream: String,
        /// The address.
        address: String,
    },
    /// TLS to the endpoints cannot be set up.
    #[error("TLS to the upstream {upstream} cannot be set up: {why}")]
    Tls {
        /// The upstream.
        upstream: String,
        /// What to change.
        why: String,
    },
    /// The sticky cookie cannot be set.
    #[error("the sticky cookie of the upstream {upstream} cannot be set: {why}")]
    Cookie {
        /// The upstream.
        upstream: String,
        /// Why.
        why: cookie::CookieError,
    },
}

impl Group {
    /// Finds what is wrong with the options without a core and without files.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(options: &UpstreamOptions) -> Result<(), UpstreamMistake> {
        if options.endpoints.is_empty() {
            return Err(UpstreamMistake::Empty(options.name.clone()));
        }
        for (index, endpoint) in options.endpoints.iter().enumerate() {
            if options.endpoints[..index].iter().any(|before| before.address == endpoint.address) {
                let (upstream, address) = (options.name.clone(), endpoint.address.to_string());
                return Err(UpstreamMistake::Twice { upstream, address });
            }
        }
        if let Some(sticky) = &options.sticky {
            let set = cookie::SetCookie::new(&sticky.cookie, "0").to_value();
            set.map_err(|why| UpstreamMistake::Cookie { upstream: options.name.clone(), why })?;
        }
        tls::check_names(options).map_err(|why| UpstreamMistake::Tls { upstream: options.name.clone(), why })
    }

    /// As [`check`](Self::check), with the files that the options name.
    ///
    /// # Errors
    /// The first mistake.
    pub fn check_files(options: &UpstreamOptions) -> Result<(), UpstreamMistake> {
        Self::check(options)?;
        tls::check_files(options).map_err(|why| UpstreamMistake::Tls { upstream: options.name.clone(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::options::{StickyOptions, StickySecret};
    use super::super::lab::upstream;
    use super::*;

    #[test]
    fn mistakes_are_found_without_a_core() {
        let check = |addresses: &[&str]| Group::check(&UpstreamOptions::new("api", addresses).unwrap());
        assert_eq!(check(&["a:1", "b:1"]), Ok(()));
        assert_eq!(check(&[]), Err(UpstreamMistake::Empty("api".into())));
        let twice = check(&["a:1", "A:1"]).unwrap_err().to_string();
        assert_eq!(twice, "the upstream api names a:1 twice; give each endpoint once, with a weight");
        let secret = StickySecret(b"key".to_vec());
        let sticky = StickyOptions { cookie: "a b".into(), secret, max_age: None };
        let cookie = Group::check(&UpstreamOptions { sticky: Some(sticky), ..upstream(&["a:1"]) });
        assert!(cookie.unwrap_err().to_string().contains("sticky cookie"));
    }
}
