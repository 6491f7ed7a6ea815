//! Client certificates (mutual TLS): whether they are requested, how they are verified, and what handlers see
//! of them. Which request requires one is not decided here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::certificate::{load_chain, not_pem};
use super::error::{Concern, TlsErrorKind, TlsProblem, TlsWarning};
use super::facts::{AlternativeName, CertificateFacts, days, time};
use super::files::{self, CRL_BYTES_MAX};
use super::pem::{self, PemError};

/// Whether clients are asked for a certificate. Default: no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is requested.
    #[default]
    Off,
    /// A certificate is requested but optional; an invalid one ends the handshake.
    Optional(ClientTrust),
    /// A valid certificate is required.
    Required(ClientTrust),
}

/// How client certificates are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTrust {
    /// PEM: the accepted certificate authorities.
    pub authorities: PathBuf,
    /// PEM: certificate revocation lists. With any, every certificate of a client's chain must be covered by
    /// one, so a missing list is noticed; an expired list is used and a warning is logged.
    pub crls: Vec<PathBuf>,
}

impl ClientAuth {
    /// The trust anchors, if certificates are requested.
    pub(super) fn trust(&self) -> Option<&ClientTrust> {
        match self {
            Self::Off => None,
            Self::Optional(trust) | Self::Required(trust) => Some(trust),
        }
    }
}

/// The client verifier, as loaded from the files.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// A hash of all that was read, to which tickets are bound.
    pub(super) binding: [u8; 32],
    /// The files of the revocation lists, and when each expires.
    due: Vec<(PathBuf, SystemTime)>,
}

impl Verifier {
    /// Reads and validates authorities and revocation lists; returns all errors.
    pub(super) fn load(auth: &ClientAuth, provider: &Arc<CryptoProvider>) -> Result<Self, Vec<TlsProblem>> {
        let Some(trust) = auth.trust() else {
            let verifier = WebPkiClientVerifier::no_client_auth();
            return Ok(Self { verifier, binding: [0; 32], due: Vec::new() });
        };
        let mut problems = Vec::new();
        let mut due = Vec::new();
        let mut hash = Context::new(&SHA256);
        hash.update(if matches!(auth, ClientAuth::Required(_)) { b"required" } else { b"optional" });
        let mut roots = RootCertStore::empty();
        if let Err(problem) = load_authorities(&trust.authorities, &mut roots, &mut hash) {
            problems.push(problem);
        }
        let mut crls = Vec::new();
        for path in &trust.crls {
            match load_crls(path, &mut hash) {
                Ok((lists, first)) => {
                    crls.extend(lists);
                    due.extend(first.map(|first| (path.clone(), first)));
                }
                Err(kind) => problems.push(TlsProblem::new(path, kind)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let builder =
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).with_crls(crls);
        let builder = match auth {
            ClientAuth::Required(_) => builder,
            ClientAuth::Off | ClientAuth::Optional(_) => builder.allow_unauthenticated(),
        };
        let verifier = builder.build().map_err(|error| {
            let path = trust.crls.first().unwrap_or(&trust.authorities);
            vec![TlsProblem::new(path, TlsErrorKind::CrlRefused(error.to_string()))]
        })?;
        let binding = hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(Self { verifier, binding, due })
    }

    /// The expired revocation lists.
    pub(super) fn warnings(&self, now: SystemTime) -> impl Iterator<Item = TlsWarning> {
        self.due.iter().filter(move |(_, due)| *due < now).map(move |(file, due)| TlsWarning {
            file: file.clone(),
            concern: Concern::CrlExpired { days: days(*due, now) },
        })
    }
}

fn load_authorities(path: &Path, roots: &mut RootCertStore, hash: &mut Context) -> Result<(), TlsProblem> {
    for (place, authority) in (1..).zip(load_chain(path)?) {
        hash.update(&authority);
        let facts = CertificateFacts::read(&authority);
        if facts.is_ok_and(|facts| !facts.is_authority && !facts.is_self_signed) {
            return Err(TlsProblem::new(path, TlsErrorKind::NoAuthority { place }));
        }
        roots.add(authority).map_err(|error| {
            TlsProblem::new(path, TlsErrorKind::AuthorityRefused { place, why: error.to_string() })
        })?;
    }
    Ok(())
}

type Lists = (Vec<CertificateRevocationListDer<'static>>, Option<SystemTime>);

/// The lists of a file, and the earliest of their `nextUpdate` times.
fn load_crls(path: &Path, hash: &mut Context) -> Result<Lists, TlsErrorKind> {
    let (text, _) = files::read(path, CRL_BYTES_MAX)?;
    let text = pem::blocks(&text).map_err(not_pem)?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&text).collect();
    let lists = lists.map_err(|error| not_pem(PemError::Undecodable(error.to_string())))?;
    if lists.is_empty() {
        return Err(TlsErrorKind::NoCrl);
    }
    let mut due: Option<SystemTime> = None;
    for list in &lists {
        hash.update(list);
        let (_, list) = CertificateRevocationList::from_der(list)
            .map_err(|error| TlsErrorKind::CrlRefused(error.to_string()))?;
        let next = list.next_update().map(|next| time(next.timestamp()));
        due = [due, next].into_iter().flatten().min();
    }
    Ok((lists, due))
}

/// The certificate that a client has presented and proved to own; it has been verified in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its distinguished name (RFC 4514), such as `CN=alice,O=Example`. Special characters are escaped, so
    /// compare the whole value and do not search in it.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// Its serial number in hexadecimal digits; unique for one issuer.
    pub serial: String,
    /// Its subject alternative names.
    pub names: Vec<AlternativeName>,
    /// SHA-256 of the certificate in hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints it,
    /// without colons.
    pub fingerprint: String,
    /// When it expires. A session that is resumed verifies it again.
    pub not_after: SystemTime,
}

impl ClientCertificate {
    /// The parsed leaf of a chain; `None` without one. It cannot be malformed after a successful handshake.
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let facts = CertificateFacts::read(chain.first()?).ok()?;
        Some(Self {
            subject: facts.subject,
            issuer: facts.issuer,
            serial: facts.serial,
            names: facts.names,
            fingerprint: facts.fingerprint,
            not_after: facts.not_after,
        })
    }
}
