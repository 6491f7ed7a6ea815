//! Responses to ACME challenges: provisioned where the CA looks for them (RFC 8555 §8, RFC 8737), and removed
//! again. The result of the validation is not known here.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::certificate::{self, CertificateError};
use super::error::AcmeError;
use super::hook::{self, Action, DnsRecord, HOOK_TIME_MAX};
use super::jws::{AccountKey, base64url};
use super::pace::{Clock, Stopped};
use crate::net::tls::TlsError;

/// The challenge types (RFC 8555 §8).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChallengeType {
    /// A token on the plain listener, which the CA requests on port 80 (RFC 8555 §8.3).
    Http01,
    /// A certificate on the TLS listener, which the CA requests on port 443 (RFC 8737).
    TlsAlpn01,
    /// A DNS record, written by this command (RFC 8555 §8.4); required for wildcards.
    Dns01(String),
}

impl ChallengeType {
    /// The type's name in ACME.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01(_) => "dns-01",
        }
    }
}

/// The listeners, as far as challenges and certificates are concerned.
pub trait Front: Send + Sync {
    /// Adds the response for this token of HTTP-01.
    fn put_token(&self, token: &str, key_authorization: &str);
    /// Removes the response for this token.
    fn remove_token(&self, token: &str);
    /// Adds the TLS-ALPN-01 certificate for `name`.
    fn put_certificate(&self, name: &str, certificate: Arc<CertifiedKey>);
    /// Removes the TLS-ALPN-01 certificate for this name.
    fn remove_certificate(&self, name: &str);
    /// Reloads the certificates in the state directory and presents those that have changed.
    ///
    /// # Errors
    /// What is wrong with them; the previous certificates remain in use.
    fn reload(&self) -> Result<(), TlsError>;
}

/// A provisioned challenge response; dropping it removes the response.
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

/// Provisions the response to the challenge with this `token` for `name`.
///
/// # Errors
/// The DNS hook failed, or the name is not valid.
pub(super) fn present<'a>(
    challenge: &'a ChallengeType,
    name: &str,
    token: &str,
    key: &AccountKey,
    front: &'a dyn Front,
    clock: &'a dyn Clock,
) -> Result<Proof<'a>, AcmeError> {
    let authorization = key.authorize(token);
    let place = match challenge {
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
            // Created before the command runs: when that fails half-way, cleanup still has to run.
            let proof =
                Proof { front, clock, place: ChallengeLocation::Record { command, record: record.clone() } };
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
                // A leftover record does no harm, and the command's output is already on standard error.
                let _ = hook::run(command, Action::Cleanup, record, CLEANUP_TIME_MAX, &clock);
            }
        }
    }
}

/// Longest run of the cleanup command, also during shutdown.
const CLEANUP_TIME_MAX: Duration = Duration::from_secs(60);

/// A clock whose sleep continues during shutdown, so that records are still removed then.
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
