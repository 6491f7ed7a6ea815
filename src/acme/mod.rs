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
//! A certificate is a file in the state directory; listeners load it like any other and reload when it
//! changes. Serving does not depend on this module: failures are logged with the time of the next attempt.

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
mod place;
mod proof;
mod renewal;
mod schedule;
mod state;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::error::AcmeError;
pub use self::https::RootsError;
use self::https::{HttpsClient, Roots};
pub use self::jws::Binding;
pub use self::names::{Names, NamesError};
use self::pace::SystemClock;
pub use self::place::default_state_directory;
pub use self::proof::{ChallengeType, Front};
use self::renewal::Keeper;
pub use self::schedule::Backoff;
use self::state::StateDir;
pub use self::state::StateError;
use crate::observe::log;

/// The directory of Let's Encrypt, the default.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How long shutdown waits for the renewal thread. The state directory is crash-safe, so waiting longer gains
/// nothing.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Which certificates to obtain, and from which CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOptions {
    /// The certificates, each with its names.
    pub certificates: Vec<Names>,
    /// URL of the CA's directory. Default: [`LETS_ENCRYPT`].
    pub directory: String,
    /// Contact address of the account. Default: none.
    pub contact: Option<String>,
    /// The state directory: account and certificates.
    pub state: PathBuf,
    /// The challenge type. Default: TLS-ALPN-01, which needs no port other than that of TLS.
    pub challenge: ChallengeType,
    /// PEM file with the root certificates to trust for the CA's HTTPS. Default: those of this machine.
    pub ca_root: Option<PathBuf>,
    /// External account binding, for CAs that require it. Default: none.
    pub binding: Option<Binding>,
    /// Delays between attempts after failures.
    pub backoff: Backoff,
}

impl AcmeOptions {
    /// Options for these certificates, with the state directory `state` and defaults otherwise.
    pub fn new(certificates: Vec<Names>, state: impl Into<PathBuf>) -> Self {
        Self {
            certificates,
            directory: LETS_ENCRYPT.to_owned(),
            contact: None,
            state: state.into(),
            challenge: ChallengeType::TlsAlpn01,
            ca_root: None,
            binding: None,
            backoff: Backoff::default(),
        }
    }
}

/// Why renewals cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeStartError {
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateError),
    /// The trusted root certificates cannot be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
}

/// Renewals that are ready to start. The state directory is locked while a copy of this exists.
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
    /// Validates the options, and opens and locks the state directory. Does not contact the CA yet.
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

    /// The directory of its account and certificates, with their keys.
    pub fn state_directory(&self) -> &Path {
        &self.options.state
    }

    /// The files of each certificate and its key, for the listeners; they may not exist yet.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let names = self.options.certificates.iter();
        names.map(|names| self.state.certificate_file(names.first())).collect()
    }

    /// The challenge type, which decides what the listeners have to answer.
    pub fn challenge(&self) -> &ChallengeType {
        &self.options.challenge
    }

    /// Starts the renewal thread: certificates are obtained and renewed, and `front` is notified.
    ///
    /// # Errors
    /// The thread cannot be created.
    pub fn start(&self, front: Arc<dyn Front>) -> io::Result<Renewals> {
        let clock = SystemClock::default();
        let client = HttpsClient::new(&self.roots, clock.clone());
        let options = &self.options;
        let keeper = Keeper {
            directory: options.directory.clone(),
            contact: options.contact.clone(),
            binding: options.binding.clone(),
            challenge: options.challenge.clone(),
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
        if names.has_wildcard() && !matches!(options.challenge, ChallengeType::Dns01(_)) {
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

/// Running renewals. Dropping this stops them.
#[derive(Debug)]
pub struct Renewals {
    clock: SystemClock,
    thread: JoinHandle<()>,
}

impl Drop for Renewals {
    fn drop(&mut self) {
        self.clock.stop();
        // A name lookup can hold the thread longer; the process does not wait for it.
        let until = Instant::now() + LEAVE_WITHIN;
        while !self.thread.is_finished() && Instant::now() < until {
            thread::sleep(LOOK_EVERY);
        }
    }
}

impl Renewals {
    /// Requests the stop without waiting for it.
    pub fn stop(&self) {
        self.clock.stop();
    }
}
