//! The contents of a certificate, for operators and handlers. Makes no decision about trust.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

use crate::http::date::write_imf_fixdate;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// The contents of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The file that it was read from; `None` for one received in a handshake or made in memory.
    pub file: Option<PathBuf>,
    /// The subject's distinguished name (RFC 4514), such as `CN=example.com`.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The serial number in hexadecimal digits.
    pub serial: String,
    /// The subject alternative names.
    pub names: Vec<AlternativeName>,
    /// The type of its key, such as `ECDSA P-256`.
    pub key: String,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it ends to be valid.
    pub not_after: SystemTime,
    /// SHA-256 of the whole certificate, in hexadecimal digits.
    pub fingerprint: String,
    /// Whether subject and issuer are equal.
    pub is_self_signed: bool,
    /// Whether it is a CA certificate.
    pub is_authority: bool,
    /// Whether its extended key usage, if any, allows server authentication.
    pub is_for_servers: bool,
    /// Whether it holds the URL of its issuer's certificate, as those of public authorities do.
    pub tells_issuer_location: bool,
}

/// A subject alternative name (RFC 5280 §4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    /// A host name in lower case; the first label may be `*`.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// An email address.
    Email(String),
    /// A URI, such as a SPIFFE identity.
    Uri(String),
}

impl std::fmt::Display for AlternativeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(addr) => addr.fmt(f),
        }
    }
}

/// Why a certificate cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFactsError {
    /// It is not the DER of an X.509 certificate; the parser's words.
    #[error("{0}")]
    Malformed(String),
    /// Bytes follow it.
    #[error("something follows it")]
    Followed,
    /// The extension with this object identifier is malformed.
    #[error("its extension {0} is malformed")]
    Extension(String),
}

impl CertificateFacts {
    /// Parses one certificate.
    ///
    /// # Errors
    /// The problem.
    pub fn read(der: &[u8]) -> Result<Self, CertificateFactsError> {
        let (rest, certificate) = X509Certificate::from_der(der)
            .map_err(|error| CertificateFactsError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(CertificateFactsError::Followed);
        }
        let extensions = Extensions::of(&certificate)?;
        Ok(Self {
            file: None,
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            serial: hex(certificate.raw_serial()),
            names: extensions.names,
            key: key_kind(certificate.public_key()),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
            fingerprint: hex(digest(&SHA256, der).as_ref()),
            is_self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            is_authority: extensions.is_authority,
            is_for_servers: extensions.is_for_servers,
            tells_issuer_location: extensions.tells_issuer_location,
        })
    }

    /// Whole days until it expires; negative once it has.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        days(now, self.not_after)
    }

    /// From when to when it is valid.
    pub fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// The end of its validity, such as `Sun, 06 Nov 2033 08:49:37 GMT`.
    pub fn expiry(&self) -> String {
        date(self.not_after)
    }

    /// Its names in one line.
    pub fn name_list(&self) -> String {
        let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

/// A time in the format of HTTP dates.
pub fn date(time: SystemTime) -> String {
    let text = write_imf_fixdate(seconds(time));
    String::from_utf8_lossy(&text).into_owned()
}

/// Whole days from one time to another; negative when the other is earlier.
pub(super) fn days(from: SystemTime, to: SystemTime) -> i64 {
    (seconds(to) - seconds(from)).div_euclid(DAY_SECONDS)
}

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Seconds since 1970; negative before.
fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    }
}

pub(super) fn time(unix_seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    let time =
        if unix_seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

struct Extensions {
    names: Vec<AlternativeName>,
    is_authority: bool,
    is_for_servers: bool,
    tells_issuer_location: bool,
}

impl Extensions {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, CertificateFactsError> {
        let mut found = Self {
            names: Vec::new(),
            is_authority: false,
            is_for_servers: true,
            tells_issuer_location: false,
        };
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    found.names.extend(names.general_names.iter().filter_map(alternative_name));
                }
                ParsedExtension::BasicConstraints(constraints) => found.is_authority = constraints.ca,
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    found.is_for_servers = usage.server_auth || usage.any;
                }
                ParsedExtension::AuthorityInfoAccess(access) => {
                    let locations = &access.accessdescs;
                    found.tells_issuer_location =
                        locations.iter().any(|at| at.access_method.to_id_string() == CA_ISSUERS);
                }
                ParsedExtension::ParseError { .. } => {
                    return Err(CertificateFactsError::Extension(extension.oid.to_string()));
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// id-ad-caIssuers (RFC 5280 §4.2.2.1).
const CA_ISSUERS: &str = "1.3.6.1.5.5.7.48.2";

fn alternative_name(name: &GeneralName<'_>) -> Option<AlternativeName> {
    match name {
        GeneralName::DNSName(name) => Some(AlternativeName::Dns(name.to_ascii_lowercase())),
        GeneralName::RFC822Name(name) => Some(AlternativeName::Email((*name).to_owned())),
        GeneralName::URI(name) => Some(AlternativeName::Uri((*name).to_owned())),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| AlternativeName::Ip(bytes.into())),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| AlternativeName::Ip(bytes.into())),
            _ => None,
        },
        _ => None,
    }
}

fn key_kind(key: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = key.algorithm.algorithm.to_id_string();
    let curve = || key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    match (key.parsed(), algorithm.as_str()) {
        (Ok(PublicKey::RSA(rsa)), _) => format!("RSA {}", rsa.key_size()),
        (Ok(PublicKey::EC(point)), _) => match curve().map(|oid| oid.to_id_string()).as_deref() {
            Some("1.2.840.10045.3.1.7") => "ECDSA P-256".to_owned(),
            Some("1.3.132.0.34") => "ECDSA P-384".to_owned(),
            Some("1.3.132.0.35") => "ECDSA P-521".to_owned(),
            _ => format!("ECDSA {} bits", point.key_size()),
        },
        (_, "1.3.101.112") => "Ed25519".to_owned(),
        _ => format!("of kind {algorithm}"),
    }
}

/// A distinguished name as text (RFC 4514): the most specific part first, special characters escaped, so that
/// one value cannot look like two.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter()
        .map(|rdn| {
            let attributes: Vec<String> = rdn.iter().map(attribute).collect();
            attributes.join("+")
        })
        .collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    // The keywords of RFC 4514 §3, and two others in common use.
    let keyword = match id.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        other => other,
    };
    match attribute.as_str() {
        Ok(value) => format!("{keyword}={}", escaped(value)),
        // RFC 4514 §2.4: a value that is not text is written as its bytes.
        Err(_) => format!("{keyword}=#{}", hex(attribute.as_slice())),
    }
}

/// RFC 4514 §2.4.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let at_edge = at == 0 || at + c.len_utf8() == value.len();
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => text.extend(['\\', c]),
            ' ' if at_edge => text.push_str("\\ "),
            '#' if at == 0 => text.push_str("\\#"),
            _ if c.is_control() => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(["Example.COM".to_owned(), "::1".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::Rfc822Name("a@example.com".try_into().unwrap()));
        params.subject_alt_names.push(SanType::URI("spiffe://example/a".try_into().unwrap()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "DE");
        params.distinguished_name.push(DnType::OrganizationName, " #a,b=\u{7}\"c\"\\ ");
        params.distinguished_name.push(DnType::CommonName, "#zoë, CN=admin");
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_of_every_kind_are_told_and_what_is_special_is_escaped() {
        let facts = CertificateFacts::read(&certificate()).unwrap();
        assert_eq!(facts.name_list(), "example.com, ::1, a@example.com, spiffe://example/a");
        let subject = r#"CN=\#zoë\, CN\=admin,O=\ #a\,b\=\07\"c\"\\\ ,C=DE"#;
        assert_eq!(facts.subject, subject);
        assert!(facts.is_self_signed && facts.is_for_servers && !facts.is_authority);
    }

    #[test]
    fn days_are_whole_and_negative_once_it_has_expired() {
        let mut facts = CertificateFacts::read(&certificate()).unwrap();
        facts.not_after = time(10 * DAY_SECONDS);
        for (now, days) in [
            (0, 10),
            (1, 9),
            (9 * DAY_SECONDS, 1),
            (10 * DAY_SECONDS, 0),
            (10 * DAY_SECONDS + 1, -1),
            (-DAY_SECONDS, 11),
        ] {
            assert_eq!(facts.days_left(time(now)), days, "{now}");
        }
        assert_eq!(facts.expiry(), "Sun, 11 Jan 1970 00:00:00 GMT");
        assert_eq!(date(time(-5)), "Wed, 31 Dec 1969 23:59:55 GMT");
    }

    #[test]
    fn no_input_panics() {
        let sound = certificate();
        for at in 0..sound.len() {
            let _ = CertificateFacts::read(&sound[..at]);
            for bit in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = sound.clone();
                changed[at] ^= bit;
                let _ = CertificateFacts::read(&changed);
            }
        }
        let followed = [&sound[..], b"x"].concat();
        assert!(CertificateFacts::read(&followed).is_err());
    }
}
