//! Answers to the challenges of a certificate authority (RFC 8555 §8, RFC 8737), for every core. Whoever
//! talks to the authority puts them here and takes them away; who asks and why is not known here.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::sign::CertifiedKey;

/// The ALPN protocol of TLS-ALPN-01 (RFC 8737 §6.2).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Where an authority asks for tokens (RFC 8555 §8.3).
pub const HTTP_CHALLENGE_PREFIX: &str = "/.well-known/acme-challenge/";

/// Answers to challenges. Reading is one load; writing copies the map, which is small and rarely written.
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

    /// Answers this token of HTTP-01 from now on.
    pub fn put_token(&self, token: &str, key_authorization: &str) {
        let answer: Arc<str> = key_authorization.into();
        self.tokens.rcu(|tokens| {
            let mut tokens = HashMap::clone(tokens);
            tokens.insert(token.into(), answer.clone());
            tokens
        });
    }

    /// Answers this token no longer.
    pub fn remove_token(&self, token: &str) {
        self.tokens.rcu(|tokens| {
            let mut tokens = HashMap::clone(tokens);
            tokens.remove(token);
            tokens
        });
    }

    /// The certificate for a validator of TLS-ALPN-01 that asks for this name.
    pub fn certificate(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.load();
        if certificates.is_empty() {
            return None;
        }
        certificates.get(&*server_name.to_ascii_lowercase()).cloned()
    }

    /// Presents this certificate to validators of TLS-ALPN-01 that ask for `server_name`.
    pub fn put_certificate(&self, server_name: &str, certificate: Arc<CertifiedKey>) {
        self.certificates.rcu(|certificates| {
            let mut certificates = HashMap::clone(certificates);
            certificates.insert(server_name.to_ascii_lowercase().into(), certificate.clone());
            certificates
        });
    }

    /// Presents a certificate for this name no longer.
    pub fn remove_certificate(&self, server_name: &str) {
        self.certificates.rcu(|certificates| {
            let mut certificates = HashMap::clone(certificates);
            certificates.remove(&*server_name.to_ascii_lowercase());
            certificates
        });
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
