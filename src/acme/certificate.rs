//! Certificates of an ACME account: keys, signing requests, validation of the chain that the CA sends, and
//! the certificate that answers TLS-ALPN-01. Bytes in, bytes out.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PublicKeyData as _};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::jws::base64url;
use crate::net::tls::pem;

/// Clock skew accepted between this host and the CA.
const AHEAD_MAX: Duration = Duration::from_secs(3600);

/// Why a certificate is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// It is missing or cannot be parsed.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// It is not for the key of the request.
    #[error("it is not for the key that it should be for")]
    OtherKey,
    /// These requested names are not in it.
    #[error("it is not for {}", .0.join(", "))]
    NamesMissing(Vec<String>),
    /// It has expired, or begins to be valid later than [`AHEAD_MAX`] from now.
    #[error("it is not valid now; is this machine's clock right?")]
    NotNow,
    /// A certificate of the chain was not issued by the one after it.
    #[error("its chain is out of order")]
    ChainBroken,
}

/// Generates the key of one certificate: ECDSA on P-256.
///
/// # Panics
/// The system has no random numbers.
pub(super) fn new_key() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

/// The certificate signing request for these names, as DER (RFC 8555 §7.4: it holds nothing but the names).
///
/// # Errors
/// A name that is not valid in a certificate.
pub(super) fn request(names: &[String], key: &KeyPair) -> Result<Vec<u8>, CertificateError> {
    let malformed = |error: rcgen::Error| CertificateError::Malformed(error.to_string());
    let mut params = CertificateParams::new(names).map_err(malformed)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key).map_err(malformed)?.der().to_vec())
}

/// The certificate that answers TLS-ALPN-01 for `name`, and its key (RFC 8737 §3).
///
/// # Errors
/// A name that is not valid in a certificate.
pub(super) fn answer(name: &str, key_authorization: &str) -> Result<(Vec<u8>, KeyPair), CertificateError> {
    let malformed = |error: rcgen::Error| CertificateError::Malformed(error.to_string());
    let mut params = CertificateParams::new([name.to_owned()]).map_err(malformed)?;
    let proof = digest(&SHA256, key_authorization.as_bytes());
    params.custom_extensions.push(CustomExtension::new_acme_identifier(proof.as_ref()));
    let key = new_key();
    let certificate = params.self_signed(&key).map_err(malformed)?;
    Ok((certificate.der().to_vec(), key))
}

/// The parts of a certificate that renewal needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RenewalFacts {
    /// Its DNS names, in lower case.
    pub names: BTreeSet<String>,
    /// Start of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// Its identifier for renewal information (RFC 9773 §4.1); `None` without an authority key identifier.
    pub renewal_id: Option<String>,
}

/// Reads a chain and checks it against its key.
///
/// # Errors
/// It is malformed, is for another key, or is out of order.
pub(super) fn read(chain: &[u8], key: &KeyPair) -> Result<RenewalFacts, CertificateError> {
    let malformed = |error: &dyn fmt::Display| CertificateError::Malformed(error.to_string());
    let ders = pem::certificates(chain).map_err(|error| malformed(&error))?;
    let parsed: Result<Vec<X509Certificate<'_>>, _> =
        ders.iter().map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate)).collect();
    let parsed = parsed.map_err(|error| malformed(&error))?;
    let leaf = parsed.first().ok_or_else(|| malformed(&"there is no certificate"))?;
    if leaf.public_key().raw != key.subject_public_key_info() {
        return Err(CertificateError::OtherKey);
    }
    if parsed.windows(2).any(|pair| pair[0].issuer().as_raw() != pair[1].subject().as_raw()) {
        return Err(CertificateError::ChainBroken);
    }
    Ok(facts(leaf))
}

/// Reads and validates a new chain: a chain that clients would reject is never stored.
///
/// # Errors
/// See [`CertificateError`].
pub(super) fn check(
    chain: &[u8],
    key: &KeyPair,
    names: &[String],
    now: SystemTime,
) -> Result<RenewalFacts, CertificateError> {
    let facts = read(chain, key)?;
    let missing: Vec<String> = names.iter().filter(|name| !facts.names.contains(*name)).cloned().collect();
    if !missing.is_empty() {
        return Err(CertificateError::NamesMissing(missing));
    }
    if now >= facts.not_after || facts.not_before > now + AHEAD_MAX {
        return Err(CertificateError::NotNow);
    }
    Ok(facts)
}

fn facts(leaf: &X509Certificate<'_>) -> RenewalFacts {
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let mut names = BTreeSet::new();
    let mut renewal_id = None;
    for extension in leaf.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(alternatives) => {
                for name in &alternatives.general_names {
                    if let GeneralName::DNSName(name) = name {
                        names.insert(name.to_ascii_lowercase());
                    }
                }
            }
            ParsedExtension::AuthorityKeyIdentifier(issuer) => {
                let serial = base64url(leaf.raw_serial());
                let key = issuer.key_identifier.as_ref();
                renewal_id = key.map(|key| format!("{}.{serial}", base64url(key.0)));
            }
            _ => {}
        }
    }
    let validity = leaf.validity();
    RenewalFacts {
        names,
        not_before: at(validity.not_before.timestamp()),
        not_after: at(validity.not_after.timestamp()),
        renewal_id,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, IsCa, Issuer, KeyIdMethod};

    use super::*;

    /// A chain of a leaf for `names` and its issuer.
    fn chain(names: &[String], key: &KeyPair, now: SystemTime, lifetime: Duration) -> String {
        let root_key = new_key();
        let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(root, root_key);
        let mut leaf = CertificateParams::new(names).unwrap();
        leaf.distinguished_name = DistinguishedName::new();
        leaf.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
        leaf.use_authority_key_identifier_extension = true;
        leaf.key_identifier_method = KeyIdMethod::Sha256;
        leaf.serial_number = Some(vec![0x01, 0x02].into());
        leaf.not_before = now.into();
        leaf.not_after = (now + lifetime).into();
        leaf.signed_by(key, &issuer).unwrap().pem() + &root_certificate.pem()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn chains_are_checked() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let day = Duration::from_secs(86_400);
        let wanted = names(&["a.example", "*.a.example"]);
        let key = new_key();
        let good = chain(&wanted, &key, now, day);
        let facts = check(good.as_bytes(), &key, &wanted, now).unwrap();
        assert_eq!((facts.not_before, facts.not_after), (now, now + day));
        assert_eq!(facts.names, wanted.iter().cloned().collect());
        assert!(facts.renewal_id.unwrap().ends_with(".AQI"), "the serial number ends it");

        let refused = |chain: &str, key: &KeyPair, names: &[String], now| {
            check(chain.as_bytes(), key, names, now).unwrap_err()
        };
        assert_eq!(refused(&good, &new_key(), &wanted, now), CertificateError::OtherKey);
        let more = names(&["a.example", "b.example"]);
        assert_eq!(refused(&good, &key, &more, now), CertificateError::NamesMissing(names(&["b.example"])));
        assert_eq!(refused(&good, &key, &wanted, now + day), CertificateError::NotNow);
        assert_eq!(refused(&good, &key, &wanted, now - 2 * AHEAD_MAX), CertificateError::NotNow);
        assert!(matches!(refused("", &key, &wanted, now), CertificateError::Malformed(_)));
        let cut = &good[..good.len() - 40];
        assert!(matches!(refused(cut, &key, &wanted, now), CertificateError::Malformed(_)));
        let twice = good.clone() + &good;
        assert_eq!(refused(&twice, &key, &wanted, now), CertificateError::ChainBroken);
    }

    #[test]
    fn requests_hold_the_names_and_nothing_else() {
        let wanted = names(&["a.example", "b.example"]);
        let key = new_key();
        let der = request(&wanted, &key).unwrap();
        let (_, request) =
            x509_parser::certification_request::X509CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.certification_request_info.subject.iter().count(), 0);
        assert_eq!(request.certification_request_info.subject_pki.raw, key.subject_public_key_info());
        assert!(super::request(&names(&["bücher.example"]), &key).is_err());
    }

    #[test]
    fn answers_hold_the_proof() {
        let (der, _) = answer("a.example", "token.thumbprint").unwrap();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        // id-pe-acmeIdentifier, RFC 8737 §6.1.
        let oid = x509_parser::der_parser::oid!(1.3.6.1.5.5.7.1.31);
        let extension = certificate.extensions().iter().find(|e| e.oid == oid).unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value[..2], [0x04, 32]);
        assert_eq!(&extension.value[2..], digest(&SHA256, b"token.thumbprint").as_ref());
        assert!(facts(&certificate).names.contains("a.example"));
    }
}
