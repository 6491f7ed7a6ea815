//! The negotiated parameters of a TLS connection, for handlers and logs.

use std::cell::OnceCell;
use std::fmt;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion};

use super::client_auth::ClientCertificate;

/// The negotiated parameters of a connection.
pub struct TlsInfo {
    pub(super) server_name: Option<Box<str>>,
    pub(super) protocol: Option<Box<[u8]>>,
    pub(super) version: ProtocolVersion,
    pub(super) cipher: CipherSuite,
    pub(super) resumed: bool,
    pub(super) peer_certificates: Box<[CertificateDer<'static>]>,
    /// Parsed on first use.
    pub(super) client: OnceCell<Option<Box<ClientCertificate>>>,
}

impl TlsInfo {
    /// The SNI name, in lower case; `None` if the client sent none, as for an address.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The ALPN protocol, such as `h2`.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.protocol.as_deref()
    }

    /// `TLSv1.3` or `TLSv1.2`.
    pub fn version(&self) -> &'static str {
        if self.version == ProtocolVersion::TLSv1_3 { "TLSv1.3" } else { "TLSv1.2" }
    }

    /// The cipher suite.
    pub fn cipher(&self) -> CipherSuite {
        self.cipher
    }

    /// Whether the session was resumed.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// The peer's certificate chain, leaf first; empty if it sent none.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// The client's certificate, verified in the handshake (mutual TLS); `None` for a client without one.
    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        let read = || ClientCertificate::of(&self.peer_certificates).map(Box::new);
        self.client.get_or_init(read).as_deref()
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("server_name", &self.server_name)
            .field("version", &self.version())
            .field("cipher", &self.cipher)
            .field("resumed", &self.resumed)
            .field("certificates", &self.peer_certificates.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn is_resumed(kind: Option<HandshakeKind>) -> bool {
    kind == Some(HandshakeKind::Resumed)
}
