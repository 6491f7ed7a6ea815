//! Why a certificate could not be had, and what the failure means for the next try.

use std::fmt;
use std::time::Duration;

use super::certificate::CertificateError;
use super::hook::HookError;
use super::messages::Problem;
use super::pace::Stopped;
use super::state::StateError;
use super::transport::TransportError;

/// A failure on the way to a certificate.
#[derive(Debug)]
pub enum AcmeError {
    /// There was no reply.
    Transport(TransportError),
    /// The CA refused.
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status of its reply.
        status: u16,
        /// What it said.
        problem: Problem,
        /// How long it asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The CA's reply is none that RFC 8555 allows.
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The CA wants accounts bound to one outside ACME, and none was named.
    BindingMissing,
    /// The CA does not offer the kind of challenge that was chosen.
    NotOffered {
        /// The name.
        domain: String,
        /// What was chosen.
        wanted: &'static str,
        /// What it offers.
        offered: Vec<String>,
    },
    /// The CA did not find the answer to its challenge, or the order failed otherwise.
    NotProved {
        /// The name, or all names of the order.
        domain: String,
        /// How it was tried.
        kind: &'static str,
        /// What the CA said.
        problem: Problem,
    },
    /// The CA did not come to an end.
    TooSlow {
        /// With what.
        what: &'static str,
        /// For how long.
        waited: Duration,
    },
    /// The command for DNS records failed.
    Hook(HookError),
    /// The certificate is not what was ordered.
    Certificate(CertificateError),
    /// The state directory.
    State(StateError),
    /// The certificate is stored and could not be presented.
    Publish(String),
    /// The server ends.
    Stopped,
}

impl AcmeError {
    /// How long the CA asked us to stay away.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the CA said so, in the words of RFC 8555 §6.7.
    pub fn is_problem(&self, kind: &str) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.is(kind))
    }

    /// Whether the same request may succeed in a moment: the line or the CA had a bad one.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport(error) => !matches!(error, TransportError::Url { .. } | TransportError::Stopped),
            Self::Refused { status, retry_after, .. } => *status >= 500 && retry_after.is_none(),
            _ => false,
        }
    }

    /// Whether it only says that the server ends.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::Transport(TransportError::Stopped) | Self::Hook(HookError::Stopped)
        )
    }
}

impl fmt::Display for AcmeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Refused { what, status, problem, .. } => {
                write!(f, "the CA refused the {what} with {status}: {problem}")
            }
            Self::Malformed { what, why } => write!(
                f,
                "the CA's reply to the {what} is none that ACME allows: {why}; is --acme-directory right?"
            ),
            Self::BindingMissing => f.write_str(
                "this CA only serves accounts it knows: give the key it has issued with --acme-eab KID:KEY",
            ),
            Self::NotOffered { domain, wanted, offered } => write!(
                f,
                "the CA does not offer {wanted} for {domain}; choose with --acme-challenge among {}",
                offered.join(", ")
            ),
            Self::NotProved { domain, kind, problem } => {
                write!(f, "the CA could not verify {domain} by {kind}: {problem}; {}", remedy(kind))
            }
            Self::TooSlow { what, waited } => {
                write!(f, "the CA was not done with the {what} within {} s", waited.as_secs())
            }
            Self::Hook(error) => error.fmt(f),
            Self::Certificate(error) => write!(f, "the CA sent a certificate of no use: {error}"),
            Self::State(error) => error.fmt(f),
            Self::Publish(why) => write!(f, "the new certificate is stored but not presented: {why}"),
            Self::Stopped => f.write_str("the server ends"),
        }
    }
}

fn remedy(kind: &str) -> &'static str {
    match kind {
        "http-01" => "port 80 of that name must reach this server's plain listener from outside",
        "tls-alpn-01" => "port 443 of that name must reach this server, with TLS not ended before it",
        _ => "the record must be visible from outside before the hook returns",
    }
}

impl std::error::Error for AcmeError {}

impl From<TransportError> for AcmeError {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<StateError> for AcmeError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<HookError> for AcmeError {
    fn from(error: HookError) -> Self {
        Self::Hook(error)
    }
}

impl From<CertificateError> for AcmeError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<Stopped> for AcmeError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
