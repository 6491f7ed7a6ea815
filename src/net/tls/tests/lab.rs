//! A test CA, and handshakes in memory. Asserts nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
use rustls::client::ClientConnection;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ClientConfig, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion,
};
use tempfile::TempDir;

use crate::net::tls::hello::{HelloProgress, HelloRecords};
use crate::net::tls::{CertificateFiles, TlsOptions, TlsServer};

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory and a CA.
pub(super) struct Lab {
    dir: TempDir,
    pub(super) root: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, not written anywhere yet.
pub(super) struct Issued {
    pub(super) pem: String,
    pub(super) key_pem: String,
    pub(super) der: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

impl Issued {
    /// As rustls presents it.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        Arc::new(CertifiedKey::from_der(vec![self.der.clone()], key, &aws_lc_rs::default_provider()).unwrap())
    }
}

pub(super) fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = params(&[]);
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Valid since yesterday, for thirty days.
pub(super) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + 30 * DAY).into();
    params
}

impl Lab {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), root: authority("root") }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn issue(&self, params: &CertificateParams) -> Issued {
        issue(params, &self.root, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    pub(super) fn intermediate(&self) -> CertifiedIssuer<'static, KeyPair> {
        let key = KeyPair::generate().unwrap();
        CertifiedIssuer::signed_by(authority_params("intermediate"), key, &self.root).unwrap()
    }

    /// Writes a file with permissions.
    pub(super) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        // Written under another name first, so that a reader never sees a partial file.
        let temporary = self.path(&format!("{name}.new"));
        fs::write(&temporary, text).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(&temporary, &path).unwrap();
        path
    }

    /// Writes NAME.pem and NAME.key.
    pub(super) fn store(&self, name: &str, chain: &str, key: &str) -> CertificateFiles {
        let chain = self.write(&format!("{name}.pem"), chain, 0o644);
        CertificateFiles::new(chain, self.write(&format!("{name}.key"), key, 0o600))
    }

    /// Issues and stores.
    pub(super) fn certificate(&self, name: &str, names: &[&str]) -> CertificateFiles {
        let issued = self.issue(&params(names));
        self.store(name, &issued.pem, &issued.key_pem)
    }

    /// A list that revokes these serial numbers.
    pub(super) fn crl(&self, serials: &[&SerialNumber], next_update: SystemTime) -> String {
        let revoked = |serial: &&SerialNumber| RevokedCertParams {
            serial_number: (*serial).clone(),
            revocation_time: (SystemTime::now() - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: (SystemTime::now() - 10 * DAY).into(),
            next_update: next_update.into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.root).unwrap().pem().unwrap()
    }

    /// A client that trusts the authority.
    pub(super) fn client(&self) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).unwrap();
        Client::new(roots)
    }
}

pub(super) fn issue(
    params: &CertificateParams,
    issuer: &CertifiedIssuer<'_, KeyPair>,
    algorithm: &'static SignatureAlgorithm,
) -> Issued {
    let key = KeyPair::generate_for(algorithm).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    Issued { pem: certificate.pem(), key_pem: key.serialize_pem(), der: certificate.der().clone(), key }
}

/// The configuration of a client.
#[derive(Clone)]
pub(super) struct Client {
    roots: Arc<RootCertStore>,
    pub(super) versions: Vec<&'static SupportedProtocolVersion>,
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) schemes_without_ecdsa: bool,
    /// The suites that the client puts first.
    pub(super) suites: Vec<CipherSuite>,
    identity: Option<(CertificateDer<'static>, Arc<Vec<u8>>)>,
}

/// The result of a handshake, as the client sees it.
#[derive(Debug)]
pub(super) struct Shaken {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) alpn: Option<Vec<u8>>,
    pub(super) resumed: bool,
    pub(super) suite: CipherSuite,
    pub(super) client_certificates: Vec<CertificateDer<'static>>,
}

impl Client {
    fn new(roots: RootCertStore) -> Self {
        Self {
            roots: roots.into(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: Vec::new(),
            schemes_without_ecdsa: false,
            suites: Vec::new(),
            identity: None,
        }
    }

    /// With a client certificate.
    pub(super) fn with(&self, identity: &Issued) -> Self {
        let key = Arc::new(identity.key.serialize_der());
        Self { identity: Some((identity.der.clone(), key)), ..self.clone() }
    }

    /// A client configuration; resumed sessions are stored in it.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let mut provider = aws_lc_rs::default_provider();
        if self.schemes_without_ecdsa {
            let kept: Vec<_> = provider
                .signature_verification_algorithms
                .mapping
                .iter()
                .copied()
                .filter(|(scheme, _)| !format!("{scheme:?}").starts_with("ECDSA"))
                .collect();
            provider.signature_verification_algorithms.mapping = Vec::leak(kept);
        }
        provider.cipher_suites.sort_by_key(|suite| !self.suites.contains(&suite.suite()));
        let builder = ClientConfig::builder_with_provider(provider.into())
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((der, key)) => {
                let key = PrivateKeyDer::Pkcs8(key.to_vec().into());
                builder.with_client_auth_cert(vec![der.clone()], key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.clone();
        config.into()
    }

    pub(super) fn shake_with(&self, config: Arc<ServerConfig>, name: &str) -> Result<Shaken, rustls::Error> {
        shake(self.config(), config, name)
    }

    /// A whole handshake with what `server` presents now.
    pub(super) fn shake(&self, server: &TlsServer, name: &str) -> Result<Shaken, rustls::Error> {
        let choose = |input: &[u8]| {
            let mut records = HelloRecords::default();
            assert_eq!(records.handle_input(input), HelloProgress::Whole);
            server.choose(records.hello().as_ref()).config
        };
        shake_by_hello(self.config(), choose, name)
    }
}

/// A whole handshake.
pub(super) fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<Shaken, rustls::Error> {
    shake_by_hello(client, |_| server, name)
}

/// A whole handshake; the configuration depends on the first record.
fn shake_by_hello(
    client: Arc<ClientConfig>,
    choose: impl FnOnce(&[u8]) -> Arc<ServerConfig>,
    name: &str,
) -> Result<Shaken, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut server = ServerConnection::new(choose(&hello)).unwrap();
    // Tickets follow the handshake, so it continues until neither side sends.
    loop {
        let mut bytes = std::mem::take(&mut hello);
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut input = bytes.as_slice();
        let mut at_server = Ok(());
        while !input.is_empty() && at_server.is_ok() {
            server.read_tls(&mut input).unwrap();
            at_server = server.process_new_packets().map(|_| ());
        }
        let mut replies = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut replies).unwrap();
        }
        let silent = bytes.is_empty() && replies.is_empty();
        let mut input = replies.as_slice();
        while !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            client.process_new_packets()?;
        }
        at_server?;
        if silent {
            break;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Shaken {
        leaf: client.peer_certificates().unwrap()[0].clone(),
        alpn: client.alpn_protocol().map(<[u8]>::to_vec),
        suite: server.negotiated_cipher_suite().unwrap().suite(),
        resumed: server.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        client_certificates: server.peer_certificates().unwrap_or_default().to_vec(),
    })
}

pub(super) fn server(certificates: Vec<CertificateFiles>) -> Arc<TlsServer> {
    TlsServer::new(TlsOptions { certificates, ..TlsOptions::default() }).unwrap()
}

/// The error message for these options.
#[track_caller]
pub(super) fn refused(options: TlsOptions) -> String {
    TlsServer::new(options).expect_err("it should be refused").to_string()
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
