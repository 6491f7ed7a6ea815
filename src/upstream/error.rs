//! Why an exchange with an endpoint failed: whose fault it was, what may have reached the endpoint, and the
//! name of the cause for the client (RFC 9209 §2.3).

use std::io;

use rustls::AlertDescription;
use thiserror::Error;

use crate::http::message::{FramingError, ResponseError};
use crate::http::status::Status;
use crate::net::tls::HandshakeError;
use crate::service::BodyError;

/// What went wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExchangeFailure {
    /// The host's name has no address.
    #[error("its name cannot be resolved: {0}")]
    Name(#[source] io::Error),
    /// No connection.
    #[error("it cannot be connected to: {0}")]
    Connect(#[source] io::Error),
    /// No connection in time.
    #[error("it did not take a connection in time")]
    ConnectTimeout,
    /// The handshake failed, or is not what was configured.
    #[error("TLS to it failed: {0}")]
    Tls(String),
    /// Its certificate is not accepted.
    #[error(
        "its certificate is not accepted: {0}; name the file of its authority (`ca`), or the name that it \
         has (`server_name`)"
    )]
    Certificate(#[source] rustls::Error),
    /// No handshake in time.
    #[error("it did not complete the TLS handshake in time")]
    TlsTimeout,
    /// The forward proxy on the way to it refuses to connect.
    #[error("the forward proxy on the way to it answers CONNECT with {}", .0.code())]
    ForwardProxy(Status),
    /// It took a connection, and did not begin to speak HTTP/2 on it in time.
    #[error(
        "it took a connection, but sent no SETTINGS in time (connect); does it speak HTTP/2 there? See \
         `protocol`"
    )]
    NoSettings,
    /// Too many requests wait for a connection.
    #[error("too many requests wait for a connection to it (queue_max)")]
    QueueFull,
    /// No connection became free in time.
    #[error("no connection to it became free in time (queue_time)")]
    QueueTimeout,
    /// The endpoint has reported that it did not process the request (RFC 9113 §8.7).
    #[error("it takes no more requests on this connection now")]
    Refused,
    /// The endpoint reset the stream.
    #[error("it reset the stream of the request ({0})")]
    Reset(String),
    /// The endpoint broke the rules of HTTP/2.
    #[error("it broke the rules of HTTP/2: {0}")]
    Protocol(String),
    /// The connection ended before a response.
    #[error("it closed the connection before a response began")]
    Closed,
    /// The connection was lost.
    #[error("the connection to it was lost: {0}")]
    Lost(#[source] io::Error),
    /// No response in time.
    #[error("it did not begin to answer in time")]
    FirstByteTimeout,
    /// Active checks have found the endpoint unhealthy before it answered.
    #[error("it was found unhealthy before it began to answer")]
    Unhealthy,
    /// Nothing moved for too long.
    #[error("nothing was sent or received for too long")]
    IdleTimeout,
    /// The head of the response is refused.
    #[error("its response is refused: {0}")]
    Head(#[source] ResponseError),
    /// The body of the response is malformed, incomplete or too long.
    #[error("the body of its response is refused: {0}")]
    Body(#[source] FramingError),
    /// The protocol was switched to another than requested.
    #[error("it switched to another protocol than the client asked for")]
    Upgrade,
    /// It speaks HTTP/2 alone, and opens no tunnels by it.
    #[error("it opens no tunnels by HTTP/2 (RFC 8441): it did not announce SETTINGS_ENABLE_CONNECT_PROTOCOL")]
    NoTunnel,
    /// None of the versions of HTTP that were offered is spoken (ALPN).
    #[error("it speaks none of the versions of HTTP that were offered (ALPN); set `protocol` to `auto`")]
    NoVersion,
    /// The client's fault: its body cannot be read.
    #[error("the request's body cannot be read: {0}")]
    Client(#[source] BodyError),
    /// The request cannot be written in the endpoint's protocol.
    #[error("the request cannot be forwarded: {0}")]
    Request(String),
}

impl ExchangeFailure {
    /// The status for the client.
    pub fn status(&self) -> Status {
        match self {
            Self::ConnectTimeout
            | Self::TlsTimeout
            | Self::NoSettings
            | Self::FirstByteTimeout
            | Self::Unhealthy
            | Self::IdleTimeout => Status::GATEWAY_TIMEOUT,
            Self::QueueFull | Self::QueueTimeout | Self::Refused => Status::SERVICE_UNAVAILABLE,
            Self::Client(error) => error.status(),
            Self::Request(_) => Status::BAD_REQUEST,
            Self::Name(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::NoVersion
            | Self::Certificate(_)
            | Self::ForwardProxy(_)
            | Self::Reset(_)
            | Self::Protocol(_)
            | Self::Closed
            | Self::Lost(_)
            | Self::Head(_)
            | Self::Body(_)
            | Self::Upgrade
            | Self::NoTunnel => Status::BAD_GATEWAY,
        }
    }

    /// Whether the endpoint can be reached, but what it sends is no valid response.
    pub(crate) fn is_of_response(&self) -> bool {
        matches!(self, Self::Head(_) | Self::Body(_) | Self::Protocol(_) | Self::Upgrade)
    }

    /// The type of the error in `Proxy-Status`.
    pub fn proxy_status(&self) -> &'static str {
        match self {
            Self::Name(_) => "dns_error",
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => "connection_refused",
            Self::Connect(_) | Self::ForwardProxy(_) => "destination_unavailable",
            Self::ConnectTimeout | Self::TlsTimeout | Self::NoSettings => "connection_timeout",
            Self::Tls(_) | Self::NoVersion => "tls_protocol_error",
            Self::Certificate(_) => "tls_certificate_error",
            Self::QueueFull | Self::QueueTimeout | Self::Refused => "connection_limit_reached",
            Self::Protocol(_) => "http_protocol_error",
            Self::Closed | Self::Lost(_) | Self::Reset(_) => "connection_terminated",
            Self::FirstByteTimeout | Self::Unhealthy => "http_response_timeout",
            Self::IdleTimeout => "connection_read_timeout",
            Self::Head(ResponseError::HeadTooLong | ResponseError::TooManyFields) => {
                "http_response_header_section_size"
            }
            Self::Head(ResponseError::Truncated) | Self::Body(FramingError::Truncated) => {
                "http_response_incomplete"
            }
            Self::Body(FramingError::TooLarge) => "http_response_body_size",
            Self::Head(_) | Self::Body(_) => "http_protocol_error",
            Self::Upgrade | Self::NoTunnel => "http_upgrade_failed",
            Self::Client(_) | Self::Request(_) => "http_request_error",
        }
    }

    /// A sentence for the client: no addresses and no causes of the system.
    pub fn detail(&self) -> &'static str {
        match self {
            Self::Name(_)
            | Self::Connect(_)
            | Self::ConnectTimeout
            | Self::TlsTimeout
            | Self::NoSettings
            | Self::ForwardProxy(_) => "the server behind this proxy cannot be reached",
            Self::Tls(_) | Self::Certificate(_) | Self::NoVersion => {
                "no secure connection to the server behind this proxy can be made"
            }
            Self::QueueFull | Self::QueueTimeout | Self::Refused => "the server behind this proxy is busy",
            Self::Reset(_) => "the server behind this proxy broke the exchange off",
            Self::Closed | Self::Lost(_) => "the server behind this proxy closed the connection",
            Self::FirstByteTimeout | Self::Unhealthy | Self::IdleTimeout => {
                "the server behind this proxy did not answer in time"
            }
            Self::Head(_) | Self::Body(_) | Self::Protocol(_) | Self::Upgrade => {
                "the server behind this proxy gave no valid response"
            }
            Self::NoTunnel => "the server behind this proxy does not take the protocol that was asked for",
            Self::Client(_) => "the request's body could not be read",
            Self::Request(_) => "the request cannot be forwarded",
        }
    }
}

impl From<HandshakeError> for ExchangeFailure {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::TimedOut => Self::TlsTimeout,
            HandshakeError::Failed(error @ rustls::Error::InvalidCertificate(_)) => Self::Certificate(error),
            HandshakeError::Failed(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                Self::NoVersion
            }
            HandshakeError::Failed(rustls::Error::InvalidMessage(_)) => {
                Self::Tls("it answered with something else than TLS; is this its TLS port?".to_owned())
            }
            error => Self::Tls(error.to_string()),
        }
    }
}

/// A failure, and what it allows.
#[derive(Debug, Error)]
#[error("{failure}")]
pub struct ExchangeError {
    /// What went wrong.
    #[source]
    pub failure: ExchangeFailure,
    /// Bytes of the request may have reached the endpoint.
    pub was_written: bool,
    /// Bytes of a response came, interim ones included.
    pub was_answered: bool,
    /// The connection had carried another exchange: it may have been closed while this request was on its
    /// way, which says nothing about the endpoint.
    pub was_reused: bool,
}

impl ExchangeError {
    /// A failure before anything was sent.
    pub fn unsent(failure: ExchangeFailure) -> Self {
        Self { failure, was_written: false, was_answered: false, was_reused: false }
    }

    /// Whether a kept connection was closed before any of a response came, as its server may at any time.
    pub fn is_stale(&self) -> bool {
        self.was_reused
            && !self.was_answered
            && matches!(self.failure, ExchangeFailure::Closed | ExchangeFailure::Lost(_))
    }
}
