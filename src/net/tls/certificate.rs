//! A chain and its key, read from PEM files and checked before anybody is served with them.
//!
//! What clients would refuse in any case, or what is unsafe, is a mistake; what time or the operator can heal
//! without a restart (an expired certificate, a key that all may read) is a warning.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::{Concern, TlsErrorKind, TlsProblem, TlsWarning};
use super::facts::{CertificateFacts, date, days};
use super::files::{self, ALL_MAY_READ, PEM_BYTES_MAX};

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the server's certificate, then each one's issuer. The root may be left out.
    pub chain: PathBuf,
    /// PEM: the private key. It may be the same file.
    pub key: PathBuf,
    /// Whether the files may be missing at first: somebody will fetch them, such as ACME.
    pub is_awaited: bool,
}

impl CertificateFiles {
    /// Files that must be there.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { chain: chain.into(), key: key.into(), is_awaited: false }
    }

    /// Files that may come later; until then the certificate is not presented.
    pub fn awaited(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { is_awaited: true, ..Self::new(chain, key) }
    }

    /// Whether the certificate is not there, and does not have to be. Its key may have been made already.
    pub(super) fn are_to_come(&self) -> bool {
        self.is_awaited && !self.chain.exists()
    }
}

/// A certificate that can be presented.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    /// What its key can sign.
    pub(super) schemes: Vec<SignatureScheme>,
    pub(super) facts: CertificateFacts,
    pub(super) warnings: Vec<TlsWarning>,
}

/// Time enough for whoever has to renew it by hand. Of short lives it is the last third: those are renewed by
/// machines, which have failed for a while by then.
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
    /// Reads and checks a chain and its key; everything that is wrong with them.
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

    /// What time has made of it, for a certificate from a file.
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

    /// From parts that fit together.
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
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| wrong(not_pem(&error)))?;
    if !chain.is_empty() {
        return Ok(chain);
    }
    Err(wrong(match PrivateKeyDer::from_pem_slice(&text) {
        Ok(_) => TlsErrorKind::OnlyAKey,
        Err(_) => TlsErrorKind::NoCertificate,
    }))
}

/// The private key, and the permissions of its file.
fn load_key(files: &CertificateFiles) -> Result<(PrivateKeyDer<'static>, u32), TlsProblem> {
    let path = &files.key;
    let load = || {
        let (text, metadata) = files::read(path, PEM_BYTES_MAX)?;
        let mode = files::key_mode(&metadata)?;
        match PrivateKeyDer::from_pem_slice(&text) {
            Ok(key) => Ok((key, mode)),
            Err(_) if is_encrypted(&text) => Err(TlsErrorKind::KeyEncrypted),
            Err(pem::Error::NoItemsFound) if files.key == files.chain => Err(TlsErrorKind::NoKeyBeside),
            Err(pem::Error::NoItemsFound) => Err(TlsErrorKind::NoKey),
            Err(error) => Err(not_pem(&error)),
        }
    };
    load().map_err(|kind| TlsProblem::new(path, kind))
}

/// PKCS #8 says so in its label, the older forms in a field.
fn is_encrypted(text: &[u8]) -> bool {
    ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark.as_bytes()).is_some())
}

pub(super) fn not_pem(error: &pem::Error) -> TlsErrorKind {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    TlsErrorKind::NotPem(match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line -----END {}----- is missing", text(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => format!("the line {}", text(line)),
        error => error.to_string(),
    })
}

/// Whether each certificate was issued by the next; the facts of the first.
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

/// The key does not belong to the first certificate: to which, then?
fn whose_key(chain: &Path, certified: &CertifiedKey) -> TlsErrorKind {
    let belongs_to = |der: &CertificateDer<'static>| {
        CertifiedKey::new(vec![der.clone()], certified.key.clone()).keys_match().is_ok()
    };
    match certified.cert.iter().position(belongs_to) {
        Some(index) => TlsErrorKind::LeafNotFirst { chain: chain.to_owned(), place: index + 1 },
        None => TlsErrorKind::KeyOfAnother { chain: chain.to_owned() },
    }
}

/// What is odd about a certificate that is served nevertheless.
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
