//! A self-signed certificate made at the start, for development. Clients do not trust it by default, and its
//! key exists only in memory.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use super::error::{TlsErrorKind, TlsProblem};
use super::facts::CertificateFacts;

/// Longer than a server usually runs, shorter than the validity that clients reject.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Backdated, to tolerate clock skew of clients.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Makes a self-signed certificate for these names.
pub(super) fn make(
    names: &[String],
    provider: &CryptoProvider,
    now: SystemTime,
) -> Result<Certificate, Vec<TlsProblem>> {
    let wrong: Vec<TlsProblem> = names
        .iter()
        .filter(|name| !is_name(name))
        .map(|name| TlsProblem::without_file(TlsErrorKind::NoName(name.clone())))
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let failed = |why: String| vec![TlsProblem::without_file(TlsErrorKind::Config(why))];
    let (der, key) = sign(names, now - BACKDATED, now + LIFETIME).map_err(failed)?;
    let facts = CertificateFacts::read(&der).map_err(|error| failed(error.to_string()))?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| failed(error.to_string()))?;
    Ok(Certificate::new(CertifiedKey::new(vec![der], key), facts, Vec::new()))
}

#[cfg(feature = "self-signed")]
fn sign(
    names: &[String],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};

    let failed = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "quoit self-signed");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}

#[cfg(not(feature = "self-signed"))]
fn sign(
    _names: &[String],
    _not_before: SystemTime,
    _not_after: SystemTime,
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), String> {
    Err("this library was built without the feature `self-signed`".to_owned())
}

/// Whether `name` is valid in a certificate: an address, or a host name whose first label may be `*`.
pub fn is_name(name: &str) -> bool {
    if name.parse::<IpAddr>().is_ok() {
        return true;
    }
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    // A last label of digits only would be a malformed address.
    let looks_like_address = host
        .rsplit('.')
        .next()
        .is_some_and(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= 253 && host.split('.').all(is_label) && !looks_like_address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_wildcards_and_addresses() {
        for name in
            ["localhost", "example.com", "*.example.com", "a_b.c", "127.0.0.1", "::1", "xn--bcher-kva.de"]
        {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in
            ["", "*", "*.", "a..b", "a.*.b", "exa mple", "bücher.de", "-a", "a-", &long, "1.2.3", "300.1.1.1"]
        {
            assert!(!is_name(name), "{name}");
        }
    }
}
