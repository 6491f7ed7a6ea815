//! Responses to ACME challenges (RFC 8555 §8, RFC 8737), shared by every core. The ACME client adds and
//! removes them; this module knows nothing of orders.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The ALPN protocol of TLS-ALPN-01 (RFC 8737 §6.2).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Path prefix of HTTP-01 requests (RFC 8555 §8.3).
pub const HTTP_CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";

/// Challenge responses. Reading is one load; writing copies the map, which is small and rarely written.
#[derive(Debug, Default)]
pub struct Challenges {
    tokens: ArcSwap<HashMap<Box<str>, Arc<str>>>,
    certificates: ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>,
}

impl Challenges {
    /// The key authorization for a token of HTTP-01.
    pub fn key_authorization(&self, token: &str) -> Option<Arc<str>> {
        self.tokens.load().get(token).cloned()
    }

    /// Adds the response for this token of HTTP-01.
    pub fn put_token(&self, token: &str, key_authorization: &str) {
        let answer: Arc<str> = key_authorization.into();
        self.tokens.rcu(|tokens| {
            let mut tokens = HashMap::clone(tokens);
            tokens.insert(token.into(), answer.clone());
            tokens
        });
    }

    /// Removes the response for this token.
    pub fn remove_token(&self, token: &str) {
        self.tokens.rcu(|tokens| {
            let mut tokens = HashMap::clone(tokens);
            tokens.remove(token);
            tokens
        });
    }

    /// The TLS-ALPN-01 certificate for this name.
    pub fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.load();
        if certificates.is_empty() {
            return None;
        }
        certificates.get(&*server_name.to_ascii_lowercase()).cloned()
    }

    /// Adds the TLS-ALPN-01 certificate for `server_name`.
    pub fn put_certificate(&self, server_name: &str, certificate: Arc<CertifiedKey>) {
        self.certificates.rcu(|certificates| {
            let mut certificates = HashMap::clone(certificates);
            certificates.insert(server_name.to_ascii_lowercase().into(), certificate.clone());
            certificates
        });
    }

    /// Removes the TLS-ALPN-01 certificate for this name.
    pub fn remove_certificate(&self, server_name: &str) {
        self.certificates.rcu(|certificates| {
            let mut certificates = HashMap::clone(certificates);
            certificates.remove(&*server_name.to_ascii_lowercase());
            certificates
        });
    }
}

/// Presents the certificates of TLS-ALPN-01 and nothing else, to clients that offer its protocol: after a
/// HelloRetryRequest, that is a client's second offer.
impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.alpn()?.find(|name| *name == ACME_TLS_ALPN)?;
        self.certificate(hello.server_name()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_and_go() {
        let challenges = Challenges::default();
        challenges.put_token("a", "a.key");
        challenges.put_token("b", "b.key");
        challenges.remove_token("a");
        assert_eq!(challenges.key_authorization("a"), None);
        assert_eq!(challenges.key_authorization("b").as_deref(), Some("b.key"));
    }
}
