//! What TLS listeners present, shared by all cores: loaded whole, checked whole, replaced whole.
//!
//! A handshake takes the configuration with one atomic load and keeps it to its end, so a replacement meets
//! only handshakes that begin later. No request looks in here, and nothing here writes to a log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ServerConfig};
use rustls::{SupportedProtocolVersion, version};

use super::certificate::{Certificate, CertificateFiles};
use super::challenges::{ACME_TLS_ALPN, Challenges};
use super::client_auth::{ClientAuth, Verifier};
use super::error::{TlsErrorKind, TlsError, TlsProblem, TlsWarning};
use super::facts::CertificateFacts;
use super::files::FileVersion;
use super::self_signed;
use super::table::CertificateTable;
use super::tickets::{TicketKeys, Ticketer};

/// Tickets per full TLS 1.3 handshake: a client that opens two connections next needs one for each, as
/// tickets should be used once (RFC 8446 appendix C.4).
const TICKETS_PER_HANDSHAKE: usize = 2;

/// When a certificate made in memory is replaced by a new one.
const SELF_SIGNED_LEFT_MIN: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a TLS listener presents and whom it lets in.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// Certificates; clients that ask for no name, or for one that is in none, are presented the first.
    /// Several for the same name should have keys of different kinds: each client gets one it can check.
    pub certificates: Vec<CertificateFiles>,
    /// Makes a certificate for these names that nobody trusts, for development. Default: none is made.
    /// Without the feature `self-signed` names are a mistake.
    pub self_signed: Vec<String>,
    /// Whether clients are asked for certificates. Default: no.
    pub client_auth: ClientAuth,
    /// The lowest version that is spoken. Default: TLS 1.2; older ones are not offered at all (RFC 8996).
    pub version_min: TlsVersion,
    /// Whether HTTP/2 is offered (ALPN `h2`), before HTTP/1.1. Default: yes.
    pub http2: bool,
    /// Whether validators of ACME's TLS-ALPN-01 are answered. Default: no.
    pub acme_tls_alpn: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            self_signed: Vec::new(),
            client_auth: ClientAuth::Off,
            version_min: TlsVersion::V1_2,
            http2: true,
            acme_tls_alpn: false,
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// RFC 5246; only with forward secrecy and authenticated encryption.
    V1_2,
    /// RFC 8446.
    V1_3,
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

/// What TLS listeners present. Shared by all cores; [`reload`](Self::reload) replaces it whole.
#[derive(Debug)]
pub struct TlsServer {
    options: TlsOptions,
    provider: Arc<CryptoProvider>,
    published: ArcSwap<Published>,
    /// Kept across reloads, so that clients resume their sessions.
    tickets: Arc<TicketKeys>,
    challenges: Arc<Challenges>,
    /// One reload at a time: two would publish in any order.
    reloading: Mutex<()>,
}

#[derive(Debug)]
struct Published {
    config: Arc<ServerConfig>,
    table: Arc<CertificateTable>,
    parts: ConfigParts,
    /// What the files were when they were read, or tried.
    versions: Vec<FileVersion>,
    /// Whether all files were sound.
    is_whole: bool,
}

/// What was read, part by part: when a file is replaced by a broken one, its part stays.
#[derive(Clone, Debug)]
struct ConfigParts {
    /// As in the options; `None` for one that is awaited.
    certificates: Vec<Option<Arc<Certificate>>>,
    self_signed: Option<Arc<Certificate>>,
    verifier: Arc<Verifier>,
}

/// What a reload has found.
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
    /// Every mistake, with its file and the remedy.
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
            .map(|(config, table, parts)| Published { config, table, parts, versions, is_whole: true })
            .map_err(|problem| TlsError::of(vec![problem]))?;
        let published = ArcSwap::from_pointee(published);
        Ok(Arc::new(Self { options, provider, published, tickets, challenges, reloading: Mutex::new(()) }))
    }

    /// The configuration for one handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.published.load().config.clone()
    }

    /// Whether a connection made for `server_name` (SNI) may be asked for `host` (without port): the names
    /// are one, or one certificate is good for both. Otherwise the answer is 421 (RFC 9110 §15.5.20).
    pub fn agree(&self, server_name: &str, host: &str) -> bool {
        self.published.load().table.agree(server_name, host)
    }

    /// Whether all that is presented was issued by an authority, so that HSTS may be promised: it would lock
    /// out those who made an exception for a self-signed certificate.
    pub fn is_real(&self) -> bool {
        let published = self.published.load();
        let certificates = published.table.certificates();
        !certificates.is_empty() && certificates.iter().all(|one| !one.facts.is_self_signed)
    }

    /// Where answers to an authority's challenges are put.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// What is presented now, the default first.
    pub fn inventory(&self) -> Vec<CertificateFacts> {
        facts(self.published.load().table.certificates())
    }

    /// What should not stay as it is, at this time.
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

    /// What the files are now: when it differs from an earlier answer, a reload is worth its while.
    pub fn versions(&self) -> Vec<FileVersion> {
        versions(&self.options)
    }

    /// What the files were when they were read last.
    pub fn loaded_versions(&self) -> Vec<FileVersion> {
        self.published.load().versions.clone()
    }

    /// Reads the files again, if any has changed, and publishes what they hold; a self-signed certificate is
    /// made anew in time. Connections and handshakes in progress are not touched.
    ///
    /// # Errors
    /// Every mistake. A certificate whose new files are broken stays as it was, and so do the rules about
    /// clients; what is sound is published all the same.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let published = self.published.load_full();
        let versions = versions(&self.options);
        let now = SystemTime::now();
        let made = published.parts.self_signed.as_ref();
        let is_fresh = made.is_none_or(|made| made.facts.not_after >= now + SELF_SIGNED_LEFT_MIN);
        if published.is_whole && versions == published.versions && is_fresh {
            return Ok(Reloaded::Unchanged);
        }
        let (parts, mut problems) = load(&self.options, &self.provider, Some(&published.parts), now);
        if let Some(parts) = parts {
            match publish(&self.options, &self.provider, &self.tickets, &self.challenges, parts) {
                Ok((config, table, parts)) => {
                    let is_whole = problems.is_empty();
                    let next = Published { config, table, parts, versions, is_whole };
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

/// What every file is now, in a fixed order.
fn versions(options: &TlsOptions) -> Vec<FileVersion> {
    let pairs = options.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
    let trust = options.client_auth.trust();
    let clients = trust.into_iter().flat_map(|trust| [&trust.authorities].into_iter().chain(&trust.crls));
    pairs.chain(clients).map(|path| FileVersion::now(path)).collect()
}

/// Loads every part, in place of a broken one the `old`; no parts when one is broken and has no old one.
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

/// Puts the parts together.
fn publish(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    tickets: &Arc<TicketKeys>,
    challenges: &Arc<Challenges>,
    parts: ConfigParts,
) -> Result<(Arc<ServerConfig>, Arc<CertificateTable>, ConfigParts), TlsProblem> {
    let certificates = parts.certificates.iter().chain([&parts.self_signed]).flatten().cloned().collect();
    let table = Arc::new(CertificateTable::new(certificates, challenges.clone()));
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(options.version_min.and_later())
        .map_err(|error| config_problem(&error.to_string()))?
        .with_client_cert_verifier(parts.verifier.verifier.clone())
        .with_cert_resolver(table.clone());
    config.alpn_protocols = alpn(options);
    config.ticketer = Arc::new(Ticketer::new(tickets.clone(), parts.verifier.binding));
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    // The default is a table behind a lock; tickets need none.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Replayable by whoever recorded it (RFC 8446 §8).
    config.max_early_data_size = 0;
    // `session` protects records itself.
    config.enable_secret_extraction = true;
    Ok((Arc::new(config), table, parts))
}

/// In order of preference.
fn alpn(options: &TlsOptions) -> Vec<Vec<u8>> {
    let protocols =
        [(options.http2, &b"h2"[..]), (true, b"http/1.1"), (options.acme_tls_alpn, ACME_TLS_ALPN)];
    protocols.into_iter().filter(|(offered, _)| *offered).map(|(_, name)| name.to_vec()).collect()
}

fn facts(certificates: &[Arc<Certificate>]) -> Vec<CertificateFacts> {
    certificates.iter().map(|certificate| certificate.facts.clone()).collect()
}

fn config_problem(why: &str) -> TlsProblem {
    TlsProblem::without_file(TlsErrorKind::Config(why.to_owned()))
}
