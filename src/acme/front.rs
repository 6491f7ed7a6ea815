//! Connects the renewals to the TLS listeners.

use std::sync::Arc;

use rustls::sign::CertifiedKey;

use super::proof::Front;
use crate::net::tls::{TlsError, TlsServer};

impl Front for TlsServer {
    fn put_token(&self, token: &str, key_authorization: &str) {
        self.challenges().put_token(token, key_authorization);
    }

    fn remove_token(&self, token: &str) {
        self.challenges().remove_token(token);
    }

    fn put_certificate(&self, name: &str, certificate: Arc<CertifiedKey>) {
        self.challenges().put_certificate(name, certificate);
    }

    fn remove_certificate(&self, name: &str) {
        self.challenges().remove_certificate(name);
    }

    fn reload(&self) -> Result<(), TlsError> {
        Self::reload(self).map(drop)
    }
}
