//! The configuration of TLS listeners, shared by all cores: loaded, validated and replaced as a whole.
//!
//! A handshake takes the configuration with one atomic load and keeps it to its end, so a replacement affects
//! only handshakes that begin later. Requests do not access it, and nothing here logs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ServerConfig};
#[cfg(test)]
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::certificate::{Certificate, CertificateFiles};
use super::challenges::{ACME_TLS_ALPN, Challenges};
use super::client_auth::{ClientAuth, Verifier};
use super::error::{TlsError, TlsErrorKind, TlsProblem, TlsWarning};
use super::facts::CertificateFacts;
use super::files::FileVersion;
use super::handshake::ChosenConfig;
use super::hello::{Hello, is_chacha};
use super::self_signed;
use super::table::CertificateTable;
use super::tickets::{TicketKeys, Ticketer};

/// Tickets per full TLS 1.3 handshake: a client that opens two connections next needs one for each, because
/// tickets should be used once (RFC 8446 appendix C.4).
const TICKETS_PER_HANDSHAKE: usize = 2;

/// Age at which a self-signed certificate made in memory is replaced.
const SELF_SIGNED_LEFT_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a TLS listener presents, and which clients it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates; clients without SNI, or with a name that no certificate covers, get the first. Several
    /// for the same name should have keys of different types, so that each client gets one that it can
    /// verify.
    pub certificates: Vec<CertificateFiles>,
    /// Names for a self-signed certificate, for development. Default: none is made. Without the feature
    /// `self-signed`, names are an error.
    pub self_signed: Vec<String>,
    /// Whether clients are asked for certificates. Default: no.
    pub client_auth: ClientAuth,
    /// The lowest TLS version accepted. Default: TLS 1.2; older ones are never offered (RFC 8996).
    pub version_min: TlsVersion,
    /// Which strength of AES is preferred. Default: AES-128.
    pub cipher_preference: CipherPreference,
    /// Whether HTTP/2 is offered (ALPN `h2`), before HTTP/1.1. Default: yes.
    pub http2: bool,
    /// Whether ACME's TLS-ALPN-01 is answered. Default: no.
    pub acme_tls_alpn: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            self_signed: Vec::new(),
            client_auth: ClientAuth::Off,
            version_min: TlsVersion::V1_2,
            cipher_preference: CipherPreference::Aes128,
            http2: true,
            acme_tls_alpn: false,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), only with forward secrecy and authenticated encryption.
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

/// The order of the cipher suites. All are offered with either. The server's order decides, except that a
/// client that puts ChaCha20 first gets it: it has no hardware for AES.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum CipherPreference {
    /// AES-128-GCM with SHA-256, for which processors have instructions.
    #[default]
    Aes128,
    /// AES-256-GCM with SHA-384, where a policy requires it. SHA-384 is computed without such instructions,
    /// and handshakes take longer.
    Aes256,
}

impl CipherPreference {
    /// The provider with its suites in this order, and those with ChaCha20 first or last.
    fn order(self, provider: &CryptoProvider, is_chacha_first: bool) -> CryptoProvider {
        let mut provider = provider.clone();
        let rank = |suite: &SupportedCipherSuite| {
            let is_chacha = is_chacha(suite.suite()) == Some(true);
            let is_256 = is_aes_256(suite.suite());
            (is_chacha != is_chacha_first, is_256 != (self == Self::Aes256))
        };
        provider.cipher_suites.sort_by_key(rank);
        provider
    }
}

impl TlsVersion {
    fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::V1_2 => &BOTH,
            Self::V1_3 => &BOTH[..1],
        }
    }
}

/// The configuration of TLS listeners. Shared by all cores; [`reload`](Self::reload) replaces it as a whole.
#[derive(Debug)]
pub struct TlsServer {
    options: TlsOptions,
    provider: Arc<CryptoProvider>,
    published: ArcSwap<Published>,
    /// Kept across reloads, so that clients resume their sessions.
    tickets: Arc<TicketKeys>,
    challenges: Arc<Challenges>,
    /// Serializes reloads: two at once would publish in any order.
    reloading: Mutex<()>,
}

#[derive(Debug)]
struct Published {
    configs: Configs,
    table: Arc<CertificateTable>,
    parts: ConfigParts,
    /// The versions of the files at the last attempt to read them.
    versions: Vec<FileVersion>,
    /// Whether all files were valid.
    is_whole: bool,
}

/// One of them is used for a handshake, by its ClientHello.
#[derive(Debug)]
struct Configs {
    usual: Arc<ServerConfig>,
    /// For clients that prefer ChaCha20.
    chacha_first: Arc<ServerConfig>,
    /// For TLS-ALPN-01: the only one with its protocol, so that no other connection can have that.
    challenge: Arc<ServerConfig>,
}

/// The loaded parts: when the new files of a part are invalid, the old part stays.
#[derive(Clone, Debug)]
struct ConfigParts {
    /// In the order of the options; `None` for one whose files do not exist yet.
    certificates: Vec<Option<Arc<Certificate>>>,
    self_signed: Option<Arc<Certificate>>,
    verifier: Arc<Verifier>,
}

/// The result of a reload.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reloaded {
    /// No file has changed.
    Unchanged,
    /// These certificates are presented from now on.
    Changed(Vec<CertificateFacts>),
}

impl TlsServer {
    /// Loads and checks everything.
    ///
    /// # Errors
    /// Every problem, with its file and the remedy.
    pub fn new(options: TlsOptions) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let versions = versions(&options);
        let now = SystemTime::now();
        let (parts, problems) = load(&options, &provider, None, now);
        let Some(parts) = parts.filter(|_| problems.is_empty()) else {
            return Err(TlsError::of(problems));
        };
        let no_random = |_| TlsError::of(vec![config_problem("the system has no random numbers")]);
        let tickets = Arc::new(TicketKeys::new(Instant::now()).map_err(no_random)?);
        let challenges = Arc::new(Challenges::default());
        let published = publish(&options, &provider, &tickets, &challenges, parts)
            .map(|(configs, table, parts)| Published { configs, table, parts, versions, is_whole: true })
            .map_err(|problem| TlsError::of(vec![problem]))?;
        let published = ArcSwap::from_pointee(published);
        Ok(Arc::new(Self { options, provider, published, tickets, challenges, reloading: Mutex::new(()) }))
    }

    /// The files that hold private keys.
    pub fn key_files(&self) -> impl Iterator<Item = &Path> {
        self.options.certificates.iter().map(|files| &*files.key)
    }

    /// The usual configuration of a handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.published.load().configs.usual.clone()
    }

    /// The configuration for a handshake with this ClientHello.
    pub(in crate::net) fn choose(&self, hello: Option<&Hello<'_>>) -> ChosenConfig {
        let published = self.published.load();
        let Configs { usual, chacha_first, challenge } = &published.configs;
        let asks_for_certificate = self.options.client_auth != ClientAuth::Off;
        let config = match hello {
            Some(hello) if self.options.acme_tls_alpn && self.is_challenge(hello) => {
                let config = challenge.clone();
                return ChosenConfig { config, asks_for_certificate: false, is_challenge: true };
            }
            Some(hello) if hello.prefers_chacha() => chacha_first,
            _ => usual,
        };
        ChosenConfig { config: config.clone(), asks_for_certificate, is_challenge: false }
    }

    /// The usual configuration, at another time.
    #[cfg(test)]
    pub(super) fn config_at(&self, time: Arc<dyn TimeProvider>) -> Arc<ServerConfig> {
        let published = self.published.load();
        let ticketer = Ticketer::new(self.tickets.clone(), &published.parts.verifier);
        let mut config = ServerConfig::clone(&published.configs.usual);
        config.ticketer = Arc::new(ticketer.with_time(time.clone()));
        config.time_provider = time;
        config.into()
    }

    /// Whether a CA asks for the certificate of a challenge that is in progress.
    fn is_challenge(&self, hello: &Hello<'_>) -> bool {
        hello.asks_for_challenge()
            && hello.server_name().is_some_and(|name| self.challenges.certificate(name).is_some())
    }

    /// Whether a connection made for `server_name` (SNI) may be used for `host` (without port): the names are
    /// equal, or one certificate covers both. Otherwise the response is 421 (RFC 9110 §15.5.20).
    pub fn agree(&self, server_name: &str, host: &str) -> bool {
        self.published.load().table.agree(server_name, host)
    }

    /// Whether all certificates were issued by an authority, so that HSTS may be sent: it would lock out
    /// users who made an exception for a self-signed certificate.
    pub fn is_real(&self) -> bool {
        let published = self.published.load();
        let certificates = published.table.certificates();
        !certificates.is_empty() && certificates.iter().all(|one| !one.facts.is_self_signed)
    }

    /// The challenge responses of these listeners.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// The certificates that are presented now, the default first.
    pub fn inventory(&self) -> Vec<CertificateFacts> {
        facts(self.published.load().table.certificates())
    }

    /// The warnings at this time.
    pub fn warnings(&self, now: SystemTime) -> Vec<TlsWarning> {
        let published = self.published.load();
        let mut warnings = Vec::new();
        for certificate in published.table.certificates() {
            warnings.extend(certificate.time_warning(now));
            warnings.extend_from_slice(&certificate.warnings);
        }
        warnings.extend(published.parts.verifier.warnings(now));
        warnings
    }

    /// The current versions of the files: when they differ from an earlier result, a reload is needed.
    pub fn versions(&self) -> Vec<FileVersion> {
        versions(&self.options)
    }

    /// The versions of the files when they were last read.
    pub fn loaded_versions(&self) -> Vec<FileVersion> {
        self.published.load().versions.clone()
    }

    /// Reads the files again, if any has changed, and publishes the result; a self-signed certificate is
    /// replaced in time. Connections and handshakes in progress are not affected.
    ///
    /// # Errors
    /// Every problem. A certificate with invalid new files stays unchanged, and so does the client verifier;
    /// valid parts are published nevertheless.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        self.reload_if(|is_same| !is_same)
    }

    /// As [`reload`](Self::reload), and also reads files that look unchanged: the time and the length of a
    /// file can be those of its previous content.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn reload_all(&self) -> Result<Reloaded, TlsError> {
        self.reload_if(|_is_same| true)
    }

    fn reload_if(&self, wanted: impl FnOnce(bool) -> bool) -> Result<Reloaded, TlsError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.published.load_full();
        let versions = versions(&self.options);
        let now = SystemTime::now();
        let made = published.parts.self_signed.as_ref();
        let is_fresh = made.is_none_or(|made| made.facts.not_after >= now + SELF_SIGNED_LEFT_MIN);
        if !wanted(published.is_whole && versions == published.versions && is_fresh) {
            return Ok(Reloaded::Unchanged);
        }
        let (parts, mut problems) = load(&self.options, &self.provider, Some(&published.parts), now);
        if let Some(parts) = parts {
            match publish(&self.options, &self.provider, &self.tickets, &self.challenges, parts) {
                Ok((configs, table, parts)) => {
                    let is_whole = problems.is_empty();
                    let next = Published { configs, table, parts, versions, is_whole };
                    self.published.store(Arc::new(next));
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            Ok(Reloaded::Changed(self.inventory()))
        } else {
            Err(TlsError::of(problems))
        }
    }
}

/// The current version of every file, in a fixed order.
fn versions(options: &TlsOptions) -> Vec<FileVersion> {
    let pairs = options.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
    let trust = options.client_auth.trust();
    let clients = trust.into_iter().flat_map(|trust| [&trust.authorities].into_iter().chain(&trust.crls));
    pairs.chain(clients).map(|path| FileVersion::now(path)).collect()
}

/// Loads every part, and uses the `old` one in place of an invalid one; `None` if there is no old one either.
fn load(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    old: Option<&ConfigParts>,
    now: SystemTime,
) -> (Option<ConfigParts>, Vec<TlsProblem>) {
    let mut problems = Vec::new();
    let mut certificates = Vec::with_capacity(options.certificates.len());
    let mut is_whole = true;
    for (index, files) in options.certificates.iter().enumerate() {
        let old = old.and_then(|old| old.certificates[index].clone());
        if old.is_none() && files.are_to_come() {
            certificates.push(None);
            continue;
        }
        match Certificate::load(files, provider) {
            Ok(certificate) => certificates.push(Some(Arc::new(certificate))),
            Err(wrong) => {
                problems.extend(wrong);
                is_whole &= old.is_some() || files.is_awaited;
                certificates.push(old);
            }
        }
    }
    let mut made = old.and_then(|old| old.self_signed.clone());
    let is_fresh = |made: &Arc<Certificate>| made.facts.not_after >= now + SELF_SIGNED_LEFT_MIN;
    if !options.self_signed.is_empty() && !made.as_ref().is_some_and(is_fresh) {
        match self_signed::make(&options.self_signed, provider, now) {
            Ok(certificate) => made = Some(Arc::new(certificate)),
            Err(wrong) => problems.extend(wrong),
        }
        is_whole &= made.is_some();
    }
    let verifier = match Verifier::load(&options.client_auth, provider) {
        Ok(verifier) => Some(Arc::new(verifier)),
        Err(wrong) => {
            problems.extend(wrong);
            old.map(|old| old.verifier.clone())
        }
    };
    if options.certificates.is_empty() && options.self_signed.is_empty() {
        problems.push(TlsProblem::without_file(TlsErrorKind::NothingToPresent));
        is_whole = false;
    }
    let parts = verifier.filter(|_| is_whole);
    (parts.map(|verifier| ConfigParts { certificates, self_signed: made, verifier }), problems)
}

/// Builds the configurations from their parts.
fn publish(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    tickets: &Arc<TicketKeys>,
    challenges: &Arc<Challenges>,
    parts: ConfigParts,
) -> Result<(Configs, Arc<CertificateTable>, ConfigParts), TlsProblem> {
    let certificates = parts.certificates.iter().chain([&parts.self_signed]).flatten().cloned().collect();
    let table = Arc::new(CertificateTable::new(certificates));
    let ticketer = Arc::new(Ticketer::new(tickets.clone(), &parts.verifier));
    let begin = |provider: Arc<CryptoProvider>| {
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(options.version_min.and_later())
            .map_err(|error| config_problem(&error.to_string()))
    };
    let ordered = |is_chacha_first| {
        let provider = options.cipher_preference.order(provider, is_chacha_first);
        let mut config = begin(provider.into())?
            .with_client_cert_verifier(parts.verifier.verifier.clone())
            .with_cert_resolver(table.clone());
        config.ignore_client_order = true;
        config.alpn_protocols = alpn(options);
        config.ticketer = ticketer.clone();
        config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
        Ok(common(config))
    };
    let mut challenge =
        common(begin(provider.clone())?.with_no_client_auth().with_cert_resolver(challenges.clone()));
    challenge.alpn_protocols = vec![ACME_TLS_ALPN.to_vec()];
    challenge.send_tls13_tickets = 0;
    let configs = Configs {
        usual: ordered(false)?.into(),
        chacha_first: ordered(true)?.into(),
        challenge: challenge.into(),
    };
    Ok((configs, table, parts))
}

/// What all configurations have in common.
fn common(mut config: ServerConfig) -> ServerConfig {
    // The default session store uses a lock; tickets need none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Early data can be replayed (RFC 8446 §8).
    config.max_early_data_size = 0;
    // `session` protects the records itself.
    config.enable_secret_extraction = true;
    config
}

/// Protocols in order of preference.
fn alpn(options: &TlsOptions) -> Vec<Vec<u8>> {
    let protocols = [(options.http2, &b"h2"[..]), (true, b"http/1.1")];
    protocols.into_iter().filter(|(offered, _)| *offered).map(|(_, name)| name.to_vec()).collect()
}

fn is_aes_256(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
    )
}

fn facts(certificates: &[Arc<Certificate>]) -> Vec<CertificateFacts> {
    certificates.iter().map(|certificate| certificate.facts.clone()).collect()
}

fn config_problem(why: &str) -> TlsProblem {
    TlsProblem::without_file(TlsErrorKind::Config(why.to_owned()))
}
