//! Selects the certificate for a client: by its SNI name, and among several for that name by the signature
//! schemes that the client supports. Immutable once built.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::certificate::Certificate;
use super::facts::AlternativeName;

/// All certificates of a listener.
#[derive(Debug)]
pub(super) struct CertificateTable {
    certificates: Vec<Arc<Certificate>>,
    /// Certificates by exact name, addresses included; the preferred one first. Indices of `certificates`.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// `*.example.com` under `example.com`.
    wildcard: HashMap<Box<str>, Vec<usize>>,
    /// For clients without SNI or with an unknown name: the first certificate, and those with the same names
    /// and other keys.
    default: Vec<usize>,
}

impl CertificateTable {
    /// The first certificate is the default.
    pub(super) fn new(certificates: Vec<Arc<Certificate>>) -> Self {
        let mut exact: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut wildcard: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in &certificate.facts.names {
                let (map, name) = match name {
                    AlternativeName::Dns(name) => match name.strip_prefix("*.") {
                        Some(parent) => (&mut wildcard, parent.into()),
                        None => (&mut exact, name.as_str().into()),
                    },
                    AlternativeName::Ip(addr) => (&mut exact, addr.to_string().into()),
                    AlternativeName::Email(_) | AlternativeName::Uri(_) => continue,
                };
                map.entry(name).or_default().push(place);
            }
        }
        let mut default: Vec<usize> = match certificates.first() {
            None => Vec::new(),
            Some(first) => (0..certificates.len())
                .filter(|&place| place == 0 || certificates[place].facts.names == first.facts.names)
                .collect(),
        };
        // A stable sort: among equals, the order of the options is kept.
        for places in exact.values_mut().chain(wildcard.values_mut()).chain([&mut default]) {
            places.sort_by_key(|&place| cost(certificates[place].key.key.algorithm()));
            places.dedup();
        }
        Self { certificates, exact, wildcard, default }
    }

    /// Every certificate, in the order given.
    pub(super) fn certificates(&self) -> &[Arc<Certificate>] {
        &self.certificates
    }

    /// The certificate for a name and a client that supports `schemes`.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let (exact, wildcard) = name.map_or((&[][..], &[][..]), |name| self.named(name));
        let named = exact.len() + wildcard.len() > 0;
        let default = if named { &[][..] } else { &self.default };
        let mut candidates = exact.iter().chain(wildcard).chain(default).map(|&at| &self.certificates[at]);
        let fits = |certificate: &&Arc<Certificate>| certificate.schemes.iter().any(|s| schemes.contains(s));
        // If none matches, the first: the handshake then fails with the appropriate alert.
        let first = candidates.clone().next();
        candidates.find(fits).or(first).map(|certificate| &certificate.key)
    }

    /// Certificates with exactly this name, and those with a wildcard for it.
    fn named(&self, name: &str) -> (&[usize], &[usize]) {
        let name = lower_case(name);
        // A wildcard matches exactly one label (RFC 9525 §6.3).
        let parent = name.split_once('.').map(|(_, parent)| parent);
        let exact = self.exact.get(&*name).map_or(&[][..], Vec::as_slice);
        let wildcard = parent.and_then(|parent| self.wildcard.get(parent)).map_or(&[][..], Vec::as_slice);
        (exact, wildcard)
    }

    /// Whether one certificate covers both names, so that a client may use one connection for both (RFC 9113
    /// §9.1.1), which a 421 would deny.
    pub(super) fn agree(&self, server_name: &str, host: &str) -> bool {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if server_name.eq_ignore_ascii_case(host) {
            return true;
        }
        let canonical = host.parse::<IpAddr>().map(|addr| addr.to_string());
        let (exact, wildcard) = self.named(server_name);
        let (host_exact, host_wildcard) = self.named(canonical.as_deref().unwrap_or(host));
        let good_for_host = |place: &usize| host_exact.contains(place) || host_wildcard.contains(place);
        exact.iter().chain(wildcard).any(good_for_host)
    }
}

/// Names are in lower case almost always.
fn lower_case(name: &str) -> std::borrow::Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// CPU cost of a signature, as an order: RSA takes some twenty times as long.
fn cost(algorithm: SignatureAlgorithm) -> u8 {
    match algorithm {
        SignatureAlgorithm::ECDSA => 0,
        SignatureAlgorithm::ED25519 => 1,
        _ => 2,
    }
}

impl ResolvesServerCert for CertificateTable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes()).cloned()
    }
}
