//! Certificates that renew themselves: a client of ACME (RFC 8555, 8737, 9773).
//!
//! ```text
//! renewal          one thread beside the cores: when, and what if it fails
//! order            one certificate, from the order to the stored file
//! client · proof   requests to the CA · answers to its challenges, put where it looks
//! https · hook     requests by ureq · the operator's command for DNS records
//! state            account, orders and certificates on disk, whole at any moment
//! ```
//!
//! A certificate is a file in the state directory; listeners load it like any other and are told to look
//! again. Serving depends on nothing here: what fails is logged with the time of the next try.

mod certificate;
mod client;
mod disk;
mod error;
mod front;
mod hook;
mod https;
mod jws;
mod messages;
mod names;
mod order;
mod pace;
mod proof;
mod renewal;
mod schedule;
mod state;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::error::AcmeError;
pub use self::https::RootsError;
use self::https::{HttpsClient, Roots};
pub use self::jws::Binding;
pub use self::names::{Names, NamesError};
use self::pace::SystemClock;
pub use self::proof::{Front, ChallengeType};
use self::renewal::Keeper;
pub use self::schedule::Backoff;
use self::state::StateDir;
pub use self::state::StateError;
use crate::observe::log;

/// The directory of Let's Encrypt, the default.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How long the end of the server waits for the renewals to leave. State is safe at any moment, so more
/// patience would only serve manners.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which certificates to have, and from whom.
#[derive(Clone, Debug)]
pub struct AcmeOptions {
    /// The certificates, each with its names.
    pub certificates: Vec<Names>,
    /// URL of the CA's directory. Default: [`LETS_ENCRYPT`].
    pub directory: String,
    /// Where the CA may write to. Default: nowhere.
    pub contact: Option<String>,
    /// Where account and certificates are kept.
    pub state: PathBuf,
    /// How names are proved. Default: TLS-ALPN-01, which needs no other port than TLS itself.
    pub method: ChallengeType,
    /// PEM file with the CAs to trust with the directory. Default: this machine's.
    pub ca_root: Option<PathBuf>,
    /// An account outside ACME, where the CA demands one. Default: none.
    pub binding: Option<Binding>,
    /// How failures are spaced.
    pub backoff: Backoff,
}

impl AcmeOptions {
    /// These certificates, kept in `state`, with the defaults.
    pub fn new(certificates: Vec<Names>, state: impl Into<PathBuf>) -> Self {
        Self {
            certificates,
            directory: LETS_ENCRYPT.to_owned(),
            contact: None,
            state: state.into(),
            method: ChallengeType::TlsAlpn01,
            ca_root: None,
            binding: None,
            backoff: Backoff::default(),
        }
    }
}

/// Why the renewals cannot even begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeStartError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The state directory is of no use.
    #[error(transparent)]
    StateDir(#[from] StateError),
    /// No CA can be trusted with the directory.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// Renewals that are ready to begin: the state directory is ours as long as a copy of this lives.
#[derive(Clone)]
pub struct Acme {
    options: Arc<AcmeOptions>,
    state: Arc<StateDir>,
    roots: Roots,
}

impl fmt::Debug for Acme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acme").field(&self.options).finish()
    }
}

impl Acme {
    /// Checks the options, opens the state directory and locks it. Talks to nobody yet.
    ///
    /// # Errors
    /// See [`AcmeStartError`].
    pub fn open(options: AcmeOptions) -> Result<Self, AcmeStartError> {
        check(&options).map_err(AcmeStartError::Options)?;
        let roots = Roots::load(options.ca_root.as_deref())?;
        let state = StateDir::open(&options.state, &options.directory)?;
        let aside = state.set_damaged_aside(options.certificates.iter().map(Names::first));
        for aside in aside? {
            log::line(format_args!("acme: {aside}"));
        }
        Ok(Self { options: Arc::new(options), state: Arc::new(state), roots })
    }

    /// The file of each certificate, with its key; it may not be there yet. What listeners have to load.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let names = self.options.certificates.iter();
        names.map(|names| self.state.certificate_file(names.first())).collect()
    }

    /// How names are proved, so that whoever listens can see to it.
    pub fn method(&self) -> &ChallengeType {
        &self.options.method
    }

    /// Begins, on a thread of its own: from now on certificates are got and renewed, and `front` is told.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(&self, front: Arc<dyn Front>) -> io::Result<Renewals> {
        let clock = SystemClock::default();
        let client = HttpsClient::new(&self.roots, clock.clone());
        let options = &self.options;
        let keeper = Keeper {
            directory: options.directory.clone(),
            contact: options.contact.clone(),
            binding: options.binding.clone(),
            method: options.method.clone(),
            backoff: options.backoff,
            state: self.state.clone(),
            front,
            clock: Arc::new(clock.clone()),
            transport: Box::new(move || Box::new(client.clone())),
        };
        let certificates = options.certificates.clone();
        let thread = thread::Builder::new().name("quoit-acme".into());
        let thread = thread.spawn(move || keeper.run(certificates))?;
        Ok(Renewals { clock, thread })
    }
}

fn check(options: &AcmeOptions) -> Result<(), String> {
    if !options.directory.starts_with("https://") {
        let url = &options.directory;
        return Err(format!("--acme-directory `{url}` must be an https URL, as the CA's manual names it"));
    }
    for (index, names) in options.certificates.iter().enumerate() {
        if names.has_wildcard() && !matches!(options.method, ChallengeType::Dns01(_)) {
            return Err(format!(
                "a wildcard ({names}) can only be proved by DNS: --acme-challenge dns-01 with \
                 --acme-dns-hook CMD"
            ));
        }
        if options.certificates[..index].iter().any(|other| other.first() == names.first()) {
            return Err(format!(
                "two certificates begin with {}; write all its names in one --acme-domain, with commas",
                names.first()
            ));
        }
    }
    Ok(())
}

/// Renewals that run. Dropping this ends them.
#[derive(Debug)]
pub struct Renewals {
    clock: SystemClock,
    thread: JoinHandle<()>,
}

impl Drop for Renewals {
    fn drop(&mut self) {
        self.clock.stop();
        // A name that does not resolve holds the thread longer; the process need not wait for that.
        let until = Instant::now() + LEAVE_WITHIN;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Renewals {
    /// Has them end, and does not wait for it.
    pub fn stop(&self) {
        self.clock.stop();
    }
}
