//! A certificate chain and its key, read from PEM files and validated before they are used.
//!
//! Errors are what clients would reject in any case, or what is not secure; warnings are what time or the
//! operator can repair without a restart (an expired certificate, a key that all may read).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as DecodeError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::{Concern, TlsErrorKind, TlsProblem, TlsWarning};
use super::facts::{CertificateFacts, date, days};
use super::files::{self, ALL_MAY_READ, PEM_BYTES_MAX};
use super::pem::{self, PemError};

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the server's certificate, then each one's issuer. The root may be left out.
    pub chain: PathBuf,
    /// PEM: the private key. It may be the same file.
    pub key: PathBuf,
    /// Whether the files may be missing at first, because ACME or another tool creates them later.
    pub is_awaited: bool,
}

impl CertificateFiles {
    /// Files that must exist.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: chain.into(), key: key.into(), is_awaited: false }
    }

    /// Files that may be created later; until then the certificate is not presented.
    pub fn awaited(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { is_awaited: true, ..Self::new(chain, key) }
    }

    /// Whether the certificate does not exist yet and does not have to. Its key may exist already.
    pub(super) fn are_to_come(&self) -> bool {
        self.is_awaited && !self.chain.exists()
    }
}

/// A certificate that can be presented.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// The signature schemes of its key.
    pub(super) schemes: Vec<SignatureScheme>,
    pub(super) facts: CertificateFacts,
    pub(super) warnings: Vec<TlsWarning>,
}

/// Warning period for certificates that are renewed by hand. For short-lived ones it is the last third: those
/// are renewed automatically, and the renewal has been failing for a while by then.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// All schemes that a server's signature may have (RFC 8446 §4.2.3).
const SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

impl Certificate {
    /// Reads and validates a chain and its key; returns all errors.
    pub(super) fn load(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, Vec<TlsProblem>> {
        let chain = load_chain(&files.chain);
        let key = load_key(files);
        let (chain, (key, mode)) = match (chain, key) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
        };
        let refused = |kind| vec![TlsProblem::new(&files.key, kind)];
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| refused(TlsErrorKind::KeyRefused(error.to_string())))?;
        let facts = check_chain(&files.chain, &chain).map_err(|problem| vec![problem])?;
        let certified = CertifiedKey::new(chain, key);
        if certified.keys_match().is_err() {
            return Err(refused(whose_key(&files.chain, &certified)));
        }
        let mut warnings = concerns(files, &facts, certified.cert.len());
        if mode & ALL_MAY_READ != 0 {
            warnings.push(TlsWarning { file: files.key.clone(), concern: Concern::KeyReadable(mode) });
        }
        Ok(Self::new(certified, CertificateFacts { file: Some(files.chain.clone()), ..facts }, warnings))
    }

    /// Its expiry warning at this time, for a certificate from a file.
    pub(super) fn time_warning(&self, now: SystemTime) -> Option<TlsWarning> {
        let facts = &self.facts;
        let soon = EXPIRES_SOON.min(facts.lifetime() / 3);
        let concern = if facts.not_after <= now {
            Concern::Expired { days: days(facts.not_after, now) }
        } else if facts.not_before > now {
            Concern::NotYetValid { begins: date(facts.not_before) }
        } else if facts.not_after < now + soon {
            Concern::ExpiresSoon { names: facts.name_list(), days: facts.days_left(now), at: facts.expiry() }
        } else {
            return None;
        };
        Some(TlsWarning { file: facts.file.clone()?, concern })
    }

    /// From a chain and a key that are known to match.
    pub(super) fn new(key: CertifiedKey, facts: CertificateFacts, warnings: Vec<TlsWarning>) -> Self {
        let can = |scheme: &SignatureScheme| key.key.choose_scheme(&[*scheme]).is_some();
        let schemes = SCHEMES.into_iter().filter(can).collect();
        Self { key: Arc::new(key), schemes, facts, warnings }
    }
}

/// The certificates of a PEM file, in its order.
pub(super) fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let wrong = |kind| TlsProblem::new(path, kind);
    let (text, _) = files::read(path, PEM_BYTES_MAX).map_err(wrong)?;
    let chain = pem::certificates(&text).map_err(|error| wrong(not_pem(error)))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    let has = |mark: &str| memchr::memmem::find(&text, mark.as_bytes()).is_some();
    Err(wrong(match PrivateKeyDer::from_pem_slice(&text) {
        Ok(_) => TlsErrorKind::OnlyAKey,
        Err(_) if is_der(&text) => TlsErrorKind::Der,
        Err(_) if has("CERTIFICATE REQUEST-----") => TlsErrorKind::OnlyARequest,
        Err(_) => TlsErrorKind::NoCertificate,
    }))
}

/// The private key, and the permissions of its file.
pub(super) fn load_key(files: &CertificateFiles) -> Result<(PrivateKeyDer<'static>, u32), TlsProblem> {
    let path = &files.key;
    let load = || {
        let (text, metadata) = files::read(path, PEM_BYTES_MAX)?;
        let mode = files::key_mode(&metadata)?;
        let blocks = pem::blocks(&text).map_err(not_pem)?;
        match PrivateKeyDer::from_pem_slice(&blocks) {
            Ok(key) => Ok((key, mode)),
            Err(_) if is_encrypted(&blocks) => Err(TlsErrorKind::KeyEncrypted),
            Err(_) if is_der(&text) => Err(TlsErrorKind::Der),
            Err(DecodeError::NoItemsFound) if files.key == files.chain => Err(TlsErrorKind::NoKeyBeside),
            Err(DecodeError::NoItemsFound) => Err(TlsErrorKind::NoKey),
            Err(error) => Err(not_pem(PemError::Undecodable(error.to_string()))),
        }
    };
    load().map_err(|kind| TlsProblem::new(path, kind))
}

/// Whether it begins as certificates, keys and bundles in DER do: a sequence of 128 bytes or more.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81 | 0x82, ..])
}

/// PKCS #8 marks encryption in its label, the older forms in a header.
fn is_encrypted(text: &[u8]) -> bool {
    ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some())
}

pub(super) fn not_pem(error: PemError) -> TlsErrorKind {
    match error {
        // What it is not, DER may be.
        PemError::Undecodable(_) | PemError::EndMissing(_) => TlsErrorKind::NotPem(error),
        error => TlsErrorKind::PemBroken(error),
    }
}

/// Checks that each certificate was issued by the next; returns the facts of the first.
fn check_chain(path: &Path, chain: &[CertificateDer<'_>]) -> Result<CertificateFacts, TlsProblem> {
    let wrong = |kind| TlsProblem::new(path, kind);
    let read = |(place, der): (usize, &CertificateDer<'_>)| {
        CertificateFacts::read(der).map_err(|why| wrong(TlsErrorKind::CertificateBroken { place, why }))
    };
    let facts: Result<Vec<_>, _> = (1..).zip(chain).map(read).collect();
    let mut facts = facts?;
    for (place, pair) in (1..).zip(facts.windows(2)) {
        if pair[0].issuer != pair[1].subject {
            let (issuer, next) = (pair[0].issuer.clone(), pair[1].subject.clone());
            return Err(wrong(TlsErrorKind::ChainBroken { place, issuer, next }));
        }
    }
    let leaf = facts.swap_remove(0);
    if leaf.names.is_empty() {
        return Err(wrong(TlsErrorKind::NoNames));
    }
    Ok(leaf)
}

/// The key does not match the first certificate: finds the one that it matches.
pub(super) fn whose_key(chain: &Path, certified: &CertifiedKey) -> TlsErrorKind {
    let belongs_to = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], certified.key.clone()).keys_match().is_ok()
    };
    match certified.cert.iter().position(belongs_to) {
        Some(index) => TlsErrorKind::LeafNotFirst { chain: chain.to_owned(), place: index + 1 },
        None => TlsErrorKind::KeyOfAnother { chain: chain.to_owned() },
    }
}

/// Warnings about a certificate that is served nevertheless.
fn concerns(files: &CertificateFiles, facts: &CertificateFacts, chain_length: usize) -> Vec<TlsWarning> {
    let mut concerns = Vec::new();
    if chain_length == 1 && !facts.is_self_signed && facts.tells_issuer_location {
        concerns.push(Concern::LeafAlone { issuer: facts.issuer.clone() });
    }
    if !facts.is_for_servers {
        concerns.push(Concern::NotForServers);
    }
    concerns.into_iter().map(|concern| TlsWarning { file: files.chain.clone(), concern }).collect()
}
