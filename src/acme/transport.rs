//! The transport of the ACME client: one request, one complete reply. Independent of sockets and TLS, so that
//! tests run without them.

use std::io;
use std::time::Duration;

use crate::http::method::Method;

/// A request; its body, if any, is a JWS.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcmeRequest<'a> {
    /// GET, HEAD or POST: ACME uses no other (RFC 8555 §6.2, §7.2).
    pub method: Method,
    /// An `https` URL.
    pub url: &'a str,
    /// Sent as `application/jose+json`, unless it is empty.
    pub body: &'a [u8],
}

/// A complete reply.
#[derive(Clone, Debug, Default)]
pub(super) struct AcmeReply {
    /// The status code.
    pub status: u16,
    /// Fields; several of one name are in the order of arrival. Look them up by [`field`](Self::field).
    pub fields: Vec<(String, String)>,
    /// The body, at most [`REPLY_BODY_BYTES_MAX`] long.
    pub body: Vec<u8>,
}

/// Longest body of a reply. Chains are a few KiB; a larger limit only lets a faulty server use more memory.
pub(super) const REPLY_BODY_BYTES_MAX: usize = 1024 * 1024;

impl AcmeReply {
    /// The first field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether the status is 2xx.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends requests, one at a time.
pub(super) trait Transport: Send {
    /// Sends one request and waits for the complete reply.
    ///
    /// # Errors
    /// No complete reply was received; whether the server acted on the request is unknown.
    fn exchange(&mut self, request: &AcmeRequest<'_>) -> Result<AcmeReply, TransportError>;
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The URL is not valid or not supported.
    #[error("cannot follow the URL `{url}`: {why}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Name resolution failed.
    #[error("the name {host} does not resolve: {error}; is DNS reachable from here?")]
    Resolve {
        /// The host.
        host: String,
        /// The resolver's error.
        #[source]
        error: io::Error,
    },
    /// No address accepted the connection.
    #[error("cannot connect to {authority}: {error}; is it reachable from here?")]
    Connect {
        /// Host and port.
        authority: String,
        /// The error of the last address.
        #[source]
        error: io::Error,
    },
    /// The TLS handshake failed, or the server's certificate was rejected.
    #[error(
        "TLS with {authority} failed: {error}; for a private CA's directory name its root with \
         --acme-ca-root"
    )]
    Tls {
        /// Host and port.
        authority: String,
        /// The error of rustls.
        #[source]
        error: rustls::Error,
    },
    /// The connection failed.
    #[error("the connection to {authority} broke: {error}")]
    Broken {
        /// Host and port.
        authority: String,
        /// The socket's error.
        #[source]
        error: io::Error,
    },
    /// The call exceeded its time limit.
    #[error("{authority} did not answer within {} s", .limit.as_secs())]
    TooSlow {
        /// Host and port.
        authority: String,
        /// The limit.
        limit: Duration,
    },
    /// The reply is not valid HTTP/1.1, or too large.
    #[error("{authority} sent no valid reply: {why}")]
    Malformed {
        /// Host and port.
        authority: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server is stopping.
    #[error("the server ends")]
    Stopped,
}
