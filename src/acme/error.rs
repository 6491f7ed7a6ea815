//! Why no certificate was obtained, and what the failure means for the next attempt.

use std::time::Duration;

use super::certificate::CertificateError;
use super::hook::HookError;
use super::messages::AcmeProblem;
use super::pace::Stopped;
use super::state::StateError;
use super::transport::TransportError;
use crate::net::tls::TlsError;

/// A failure while a certificate is obtained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcmeError {
    /// There was no reply.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The CA returned an error.
    #[error("the CA refused the {what} with {status}: {problem}")]
    Refused {
        /// The requested object.
        what: &'static str,
        /// The status of its reply.
        status: u16,
        /// The problem document.
        problem: AcmeProblem,
        /// `Retry-After` of the reply.
        retry_after: Option<Duration>,
    },
    /// The CA's reply does not conform to RFC 8555.
    #[error("the CA's reply to the {what} does not conform to ACME: {why}; is --acme-directory right?")]
    Malformed {
        /// The requested object.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The CA requires external account binding, and none is configured.
    #[error("this CA only serves accounts it knows: give the key it has issued with --acme-eab KID:KEY")]
    BindingMissing,
    /// The CA does not offer the configured challenge type.
    #[error(
        "the CA does not offer {wanted} for {domain}; choose with --acme-challenge among {}",
        .offered.join(", ")
    )]
    NotOffered {
        /// The name.
        domain: String,
        /// The configured challenge type.
        wanted: &'static str,
        /// The challenge types that it offers.
        offered: Vec<String>,
    },
    /// The validation of a challenge or the order failed.
    #[error("the CA could not verify {domain} by {kind}: {problem}; {}", remedy(.kind))]
    NotProved {
        /// The name, or all names of the order.
        domain: String,
        /// The challenge type.
        kind: &'static str,
        /// The problem document.
        problem: AcmeProblem,
    },
    /// The CA did not finish in time.
    #[error("the CA did not finish the {what} within {} s", .waited.as_secs())]
    TooSlow {
        /// The object that was polled.
        what: &'static str,
        /// How long it was polled.
        waited: Duration,
    },
    /// The DNS hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The certificate does not match the order.
    #[error("the CA sent a certificate of no use: {0}")]
    Certificate(#[from] CertificateError),
    /// The state directory failed.
    #[error(transparent)]
    State(#[from] StateError),
    /// The certificate is stored, but the listeners could not load it.
    #[error("the new certificate is stored but not presented: {0}")]
    Publish(#[source] TlsError),
    /// The server is stopping.
    #[error("the server ends")]
    Stopped,
}

impl AcmeError {
    /// `Retry-After` of the CA's error.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the CA's error is of this type (RFC 8555 §6.7).
    pub fn is_problem(&self, kind: &str) -> bool {
        matches!(self, Self::Refused { problem, .. } if problem.is(kind))
    }

    /// Whether the failure is transient, so that the same request may succeed soon.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transport(error) => !matches!(error, TransportError::Url { .. } | TransportError::Stopped),
            Self::Refused { status, retry_after, .. } => *status >= 500 && retry_after.is_none(),
            _ => false,
        }
    }

    /// Whether the cause is that the server is stopping.
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
