//! Why a certificate could not be had, and what the failure means for the next try.

use std::time::Duration;

use super::certificate::CertificateError;
use super::hook::HookError;
use super::messages::AcmeProblem;
use super::pace::Stopped;
use super::state::StateError;
use super::transport::TransportError;
use crate::net::tls::TlsError;

/// A failure on the way to a certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// There was no reply.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The CA refused.
    #[error("the CA refused the {what} with {status}: {problem}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The status of its reply.
        status: u16,
        /// What it said.
        problem: AcmeProblem,
        /// How long it asked us to stay away.
        retry_after: Option<Duration>,
    },
    /// The CA's reply is none that RFC 8555 allows.
    #[error("the CA's reply to the {what} is none that ACME allows: {why}; is --acme-directory right?")]
    Malformed {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The CA wants accounts bound to one outside ACME, and none was named.
    #[error("this CA only serves accounts it knows: give the key it has issued with --acme-eab KID:KEY")]
    BindingMissing,
    /// The CA does not offer the kind of challenge that was chosen.
    #[error(
        "the CA does not offer {wanted} for {domain}; choose with --acme-challenge among {}",
        .offered.join(", ")
    )]
    NotOffered {
        /// The name.
        domain: String,
        /// What was chosen.
        wanted: &'static str,
        /// What it offers.
        offered: Vec<String>,
    },
    /// The CA did not find the answer to its challenge, or the order failed otherwise.
    #[error("the CA could not verify {domain} by {kind}: {problem}; {}", remedy(.kind))]
    NotProved {
        /// The name, or all names of the order.
        domain: String,
        /// How it was tried.
        kind: &'static str,
        /// What the CA said.
        problem: AcmeProblem,
    },
    /// The CA did not come to an end.
    #[error("the CA was not done with the {what} within {} s", .waited.as_secs())]
    TooSlow {
        /// With what.
        what: &'static str,
        /// For how long.
        waited: Duration,
    },
    /// The command for DNS records failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The certificate is not what was ordered.
    #[error("the CA sent a certificate of no use: {0}")]
    Certificate(#[from] CertificateError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The certificate is stored and could not be presented.
    #[error("the new certificate is stored but not presented: {0}")]
    Publish(#[source] TlsError),
    /// The server ends.
    #[error("the server ends")]
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

fn remedy(kind: &str) -> &'static str {
    match kind {
        "http-01" => "port 80 of that name must reach this server's plain listener from outside",
        "tls-alpn-01" => "port 443 of that name must reach this server, with TLS not ended before it",
        _ => "the record must be visible from outside before the hook returns",
    }
}

impl From<Stopped> for AcmeError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
