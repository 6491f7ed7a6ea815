//! The reverse proxy: forwards requests to an upstream, and its responses back.

mod options;

pub use self::options::{
    ForwardedForm, ForwardedOptions, HostPolicy, Network, NetworkError, ProxyMistake, ProxyOptions,
};
use crate::http::message::push_field;
use crate::http::path;
use crate::http::target::is_authority;
use crate::upstream::Group;

impl ProxyOptions {
    /// Finds what is wrong with the options without a core.
    ///
    /// # Errors
    /// Every mistake.
    pub fn check(&self) -> Result<(), Vec<ProxyMistake>> {
        let mut mistakes = Vec::new();
        if self.upstreams.iter().all(|(share, _)| *share == 0) {
            mistakes.push(ProxyMistake::NoUpstream);
        }
        let upstreams = self.upstreams.iter().map(|(_, upstream)| Group::check(upstream));
        mistakes.extend(upstreams.filter_map(|checked| checked.err().map(ProxyMistake::from)));
        let prefixes = self.strip_prefix.iter().chain(&self.add_prefix);
        mistakes.extend(prefixes.filter(|prefix| !is_prefix(prefix)).cloned().map(ProxyMistake::Prefix));
        let removed = self.remove_fields.iter().map(|name| (&**name, ""));
        let fields = self.set_fields.iter().map(|(name, value)| (&**name, &**value)).chain(removed);
        mistakes.extend(
            fields
                .filter(|(name, value)| !is_field(name, value))
                .map(|(name, _)| ProxyMistake::Field(name.into())),
        );
        let host = match &self.host {
            HostPolicy::Fixed(host) => Some(host),
            HostPolicy::Keep | HostPolicy::Endpoint => None,
        };
        let hosts = host.into_iter().chain(&self.via);
        mistakes.extend(hosts.filter(|host| !is_authority(host.as_bytes())).cloned().map(ProxyMistake::Host));
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

/// Whether paths that are matched can begin with it.
fn is_prefix(prefix: &str) -> bool {
    let mut normal = Vec::new();
    prefix.len() > 1
        && !prefix.ends_with('/')
        && path::normalize(prefix.as_bytes(), &mut normal).is_ok()
        && normal == prefix.as_bytes()
}

/// Fields that are written by the proxy itself, from the request's framing and its own options.
const OWN: [&str; 7] = ["expect", "host", "max-forwards", "te", "trailer", "upgrade", "via"];

fn is_field(name: &str, value: &str) -> bool {
    !OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
        && push_field(&mut Vec::new(), name, value.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamOptions;

    #[test]
    fn all_mistakes_are_found_at_once() {
        let proxy = ProxyOptions::to(UpstreamOptions::new("a", ["a:1"]).unwrap());
        assert_eq!(proxy.check(), Ok(()));
        let fine = ProxyOptions {
            strip_prefix: Some("/api/v1".into()),
            add_prefix: Some("/t%20x".into()),
            host: HostPolicy::Fixed("a.test:8080".into()),
            set_fields: vec![("X-A".into(), "b".into())],
            via: None,
            ..proxy.clone()
        };
        assert_eq!(fine.check(), Ok(()));
        let wrong = ProxyOptions {
            upstreams: vec![(0, UpstreamOptions::of("b", Vec::new()).into())],
            strip_prefix: Some("/api/".into()),
            add_prefix: Some("a b".into()),
            host: HostPolicy::Fixed("a b".into()),
            set_fields: vec![("Host".into(), "x".into()), ("X-A".into(), "a\r\nb".into())],
            remove_fields: vec!["A B".into()],
            ..proxy
        };
        assert_eq!(wrong.check().unwrap_err().len(), 8);
    }
}
