//! Proofs for a CA: what it asks for is put where it looks (RFC 8555 §8, RFC 8737), and taken away again.
//! Whether it found it is not known here.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::certificate::{self, CertificateError};
use super::error::AcmeError;
use super::hook::{self, Action, HOOK_TIME_MAX, DnsRecord};
use super::jws::{AccountKey, base64url};
use super::pace::{Clock, Stopped};
use crate::net::tls::TlsError;

/// How names are proved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeType {
    /// A token on the plain listener, which the CA asks on port 80 (RFC 8555 §8.3).
    Http01,
    /// A certificate on the TLS listener, which the CA asks on port 443 (RFC 8737).
    TlsAlpn01,
    /// A DNS record, written by this command (RFC 8555 §8.4): the only way for wildcards.
    Dns01(String),
}

impl ChallengeType {
    /// As the CA calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01(_) => "dns-01",
        }
    }
}

/// The listeners, as far as certificates go.
pub trait Front: Send + Sync {
    /// Answers this token of HTTP-01 from now on.
    fn put_token(&self, token: &str, key_authorization: &str);
    /// Answers this token no longer.
    fn remove_token(&self, token: &str);
    /// Presents this certificate to validators of TLS-ALPN-01 that ask for `name`.
    fn put_certificate(&self, name: &str, certificate: Arc<CertifiedKey>);
    /// Presents a certificate for this name no longer.
    fn remove_certificate(&self, name: &str);
    /// Reads the certificates in the state directory and presents what has changed.
    ///
    /// # Errors
    /// What is wrong with them; what was presented before still is.
    fn reload(&self) -> Result<(), TlsError>;
}

/// Something that the CA can find until this goes.
pub(super) struct Proof<'a> {
    front: &'a dyn Front,
    clock: &'a dyn Clock,
    place: ChallengeLocation<'a>,
}

enum ChallengeLocation<'a> {
    Token(String),
    Certificate(String),
    Record { command: &'a str, record: DnsRecord },
}

/// Puts the answer to the challenge with this `token` for `name` where `method` has it.
///
/// # Errors
/// The command for DNS records failed, or the name is none.
pub(super) fn present<'a>(
    method: &'a ChallengeType,
    name: &str,
    token: &str,
    key: &AccountKey,
    front: &'a dyn Front,
    clock: &'a dyn Clock,
) -> Result<Proof<'a>, AcmeError> {
    let authorization = key.authorize(token);
    let place = match method {
        ChallengeType::Http01 => {
            front.put_token(token, &authorization);
            ChallengeLocation::Token(token.to_owned())
        }
        ChallengeType::TlsAlpn01 => {
            front.put_certificate(name, Arc::new(certified(name, &authorization)?));
            ChallengeLocation::Certificate(name.to_owned())
        }
        ChallengeType::Dns01(command) => {
            let record = record(name, &authorization);
            // Made before the command runs: when that fails half-way, cleaning up is still right.
            let proof = Proof { front, clock, place: ChallengeLocation::Record { command, record: record.clone() } };
            hook::run(command, Action::Present, &record, HOOK_TIME_MAX, clock)?;
            return Ok(proof);
        }
    };
    Ok(Proof { front, clock, place })
}

fn certified(name: &str, authorization: &str) -> Result<CertifiedKey, AcmeError> {
    let (certificate, key) = certificate::answer(name, authorization)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = any_supported_type(&key).map_err(|error| CertificateError::Malformed(error.to_string()))?;
    Ok(CertifiedKey::new(vec![certificate.into()], key))
}

fn record(domain: &str, authorization: &str) -> DnsRecord {
    DnsRecord {
        domain: domain.to_owned(),
        name: format!("_acme-challenge.{domain}"),
        value: base64url(digest(&SHA256, authorization.as_bytes())),
    }
}

impl Drop for Proof<'_> {
    fn drop(&mut self) {
        match &self.place {
            ChallengeLocation::Token(token) => self.front.remove_token(token),
            ChallengeLocation::Certificate(name) => self.front.remove_certificate(name),
            ChallengeLocation::Record { command, record } => {
                let clock = Unstoppable(self.clock);
                // The record is of no use to anybody any more; who is interested sees what the command
                // printed.
                let _ = hook::run(command, Action::Cleanup, record, CLEANUP_TIME_MAX, &clock);
            }
        }
    }
}

/// Longest run of the command when it cleans up, also at the end of the server: nobody waits for its effect.
const CLEANUP_TIME_MAX: Duration = Duration::from_secs(60);

/// A clock whose sleep the end of the server does not disturb, so that records are taken away even then.
struct Unstoppable<'a>(&'a dyn Clock);

impl Clock for Unstoppable<'_> {
    fn now(&self) -> std::time::SystemTime {
        self.0.now()
    }

    fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        std::thread::sleep(time);
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        false
    }
}
