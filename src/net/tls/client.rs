//! TLS of a client: which servers are trusted, and what is presented to them. Loaded from files once and then
//! shared by all connections, which also share what is needed to resume sessions.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::{CertificateFiles, load_chain, load_key, whose_key};
use super::error::{TlsError, TlsErrorKind, TlsProblem};
use super::files::FileVersion;

/// How servers are verified, and what is presented to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsClientOptions {
    /// PEM: the trusted authorities. `None`: those of this machine.
    pub authorities: Option<PathBuf>,
    /// The certificate of this side, if it has one.
    pub certificate: Option<CertificateFiles>,
    /// Whether certificates are verified at all.
    pub verify: bool,
}

impl TlsClientOptions {
    /// The versions of all files that are read.
    pub fn file_versions(&self) -> Vec<FileVersion> {
        let own = self.certificate.iter().flat_map(|files| [&files.chain, &files.key]);
        self.authorities.iter().chain(own).map(|path| FileVersion::now(path)).collect()
    }

    /// Reads and validates the files that are named.
    ///
    /// # Errors
    /// Every problem.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    /// Authorities, if they are read from a file, and the own certificate.
    fn load(&self) -> Result<(Option<RootCertStore>, Option<CertifiedKey>), TlsError> {
        let provider = aws_lc_rs::default_provider();
        let roots = self.authorities.as_ref().map(|path| {
            let mut roots = RootCertStore::empty();
            for (place, authority) in (1..).zip(load_chain(path)?) {
                roots.add(authority).map_err(|error| {
                    let why = error.to_string();
                    TlsProblem::new(path, TlsErrorKind::RootRefused { place, why })
                })?;
            }
            Ok(roots)
        });
        let key = self.certificate.as_ref().map(|files| load_own(files, &provider));
        let (mut problems, mut loaded) = (Vec::new(), (None, None));
        match roots.transpose() {
            Ok(roots) => loaded.0 = roots,
            Err(problem) => problems.push(problem),
        }
        match key.transpose() {
            Ok(key) => loaded.1 = key,
            Err(found) => problems.extend(found),
        }
        if problems.is_empty() { Ok(loaded) } else { Err(TlsError::of(problems)) }
    }

    /// The configuration, without protocols (ALPN). Reads files, and the authorities of this machine where
    /// none are named.
    ///
    /// # Errors
    /// Every problem.
    pub fn build(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (roots, key) = self.load()?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| config_error(error.to_string()))?;
        let builder = if self.verify {
            let roots = match roots {
                Some(roots) => roots,
                None => machine_roots()?,
            };
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
            let verifier = verifier.map_err(|error| config_error(error.to_string()))?;
            builder.with_webpki_verifier(verifier)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(UnverifiedServers(provider)))
        };
        let mut config = match key {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        // The records after the handshake are handled by `session`.
        config.enable_secret_extraction = true;
        Ok(config)
    }
}

fn config_error(why: String) -> TlsError {
    TlsError::of(vec![TlsProblem::without_file(TlsErrorKind::Config(why))])
}

/// The authorities that this machine trusts. Those that cannot be read are left out, as other programs do.
fn machine_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::of(vec![TlsProblem::without_file(TlsErrorKind::NoRoots)]));
    }
    Ok(roots)
}

/// The certificate of a client. Unlike a server's it needs no name, and its issuer is the server's concern.
fn load_own(files: &CertificateFiles, provider: &CryptoProvider) -> Result<CertifiedKey, Vec<TlsProblem>> {
    let (chain, key) = match (load_chain(&files.chain), load_key(files)) {
        (Ok(chain), Ok((key, _))) => (chain, key),
        (chain, key) => return Err(chain.err().into_iter().chain(key.err()).collect()),
    };
    let refused = |kind| vec![TlsProblem::new(&files.key, kind)];
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| refused(TlsErrorKind::KeyRefused(error.to_string())))?;
    let certified = CertifiedKey::new(chain, key);
    if certified.keys_match().is_err() {
        return Err(refused(whose_key(&files.chain, &certified)));
    }
    Ok(certified)
}

/// Accepts any certificate; that the server has its key is still verified.
#[derive(Debug)]
pub(crate) struct UnverifiedServers(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for UnverifiedServers {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
