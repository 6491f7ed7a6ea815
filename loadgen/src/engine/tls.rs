//! The client's half of TLS on one core: its configuration and the sessions it may go on from, which no other
//! core shares.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature,
    verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::plan::tls::{Group, Protocol, Tls, Trust};

/// Sessions that are kept to go on from. There is one server, with which rustls keeps up to eight tickets.
const SESSIONS_MAX: usize = 8;

/// What a core connects with.
pub(super) struct TlsClient {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl TlsClient {
    pub(super) fn new(tls: &Tls, protocol: Protocol) -> Result<Self, Error> {
        let mut provider = aws_lc_rs::default_provider();
        if !tls.groups.is_empty() {
            provider.kx_groups = tls.groups.iter().map(|&group| exchange(group)).collect();
        }
        let provider = Arc::new(provider);
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let builder = match &tls.trust {
            Trust::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new(&provider)))
            }
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        config.resumption =
            if tls.resume { Resumption::in_memory_sessions(SESSIONS_MAX) } else { Resumption::disabled() };
        // The records are not rustls' business: `quoit::net` protects them.
        config.enable_secret_extraction = true;
        Ok(Self { config: Arc::new(config), name: tls.name.clone() })
    }
}

fn exchange(group: Group) -> &'static dyn SupportedKxGroup {
    match group {
        Group::Hybrid => aws_lc_rs::kx_group::X25519MLKEM768,
        Group::X25519 => aws_lc_rs::kx_group::X25519,
        Group::P256 => aws_lc_rs::kx_group::SECP256R1,
    }
}

/// Believes any certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
