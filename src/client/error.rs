//! Why a request of the client failed: on which side, and whether it may be sent again.

use std::error::Error;
use std::fmt;

use thiserror::Error as DeriveError;

use super::url::UrlError;
use crate::http::message::{FramingError, ResponseError};
use crate::http::status::Status;
use crate::observe::log;
use crate::service::{IntoResponse, Problem, Response, RetryAfter};
use crate::upstream::{ExchangeError, ExchangeFailure, UpstreamMistake};

/// The side on which a request failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorSide {
    /// This program: the request, its options or its body.
    Ours,
    /// The way to the server: its name, its address, a forward proxy; or this machine.
    Network,
    /// The server: what it answered, or that it did not.
    Peer,
}

/// What a failure is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The request cannot be made as it was built: its URL, a field, its method, a value that is no JSON.
    Request,
    /// The address is refused by [`ClientOptions::allow`](super::ClientOptions::allow).
    Denied,
    /// The host's name has no address.
    Name,
    /// No connection: refused, unreachable, or no address of the host is usable.
    Connect,
    /// The TLS handshake failed, or the certificate is not accepted.
    Tls,
    /// The forward proxy did not open a tunnel.
    Proxy,
    /// Too many requests wait for a connection.
    Busy,
    /// Not in time; [`ClientError::timeout`] says what.
    Timeout,
    /// The connection was closed or lost, or the exchange was refused or reset, before the response was
    /// complete.
    Closed,
    /// The response is malformed.
    Protocol,
    /// The response is longer than allowed, as it was sent or once it is decompressed.
    TooLarge,
    /// The response cannot be decompressed.
    Coding,
    /// A redirect that is not followed: too many, to something that is no URL, from https to http, or with a
    /// body that cannot be sent again.
    Redirect,
    /// The status is an error
    /// ([`ClientResponse::error_for_status`](super::ClientResponse::error_for_status)).
    Status,
    /// The content is not what it is decoded to: JSON of that type, or UTF-8.
    Decode,
    /// The request's body failed while it was sent.
    Body,
}

/// What was too late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The look-up of the host's name.
    Name,
    /// The connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// A place among the connections to the host.
    Queue,
    /// The first byte of the response.
    FirstByte,
    /// The next byte.
    Idle,
    /// All of it ([`ClientOptions::timeout`](super::ClientOptions::timeout)).
    Total,
}

/// The cause, as far as it has no type of its own.
#[derive(Debug, DeriveError)]
pub(super) enum Cause {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Exchange(ExchangeFailure),
    #[error(transparent)]
    Upstream(#[from] UpstreamMistake),
    #[error("{0}")]
    Text(String),
}

/// Why a request failed. `Display` has the method, the URL without its query, and the cause; it holds no
/// fields and no content, and may be logged. As a response it is 502, 503 or 504 without the cause, which
/// goes to the log; 500 where this program is at fault.
pub struct ClientError(Box<Failed>);

struct Failed {
    kind: ClientErrorKind,
    timeout: Option<TimeoutKind>,
    /// `GET https://a.test/b`; empty where there is no URL.
    what: String,
    cause: Cause,
    is_unprocessed: bool,
    status: Option<Status>,
}

impl ClientError {
    pub(super) fn new(kind: ClientErrorKind, cause: impl Into<Cause>) -> Self {
        // What is refused here was not sent; what is refused of a response was answered.
        let is_unprocessed = matches!(
            kind,
            ClientErrorKind::Request
                | ClientErrorKind::Denied
                | ClientErrorKind::Name
                | ClientErrorKind::Busy
        );
        let what = String::new();
        Self(Box::new(Failed {
            kind,
            timeout: None,
            what,
            cause: cause.into(),
            is_unprocessed,
            status: None,
        }))
    }

    pub(super) fn text(kind: ClientErrorKind, text: impl Into<String>) -> Self {
        Self::new(kind, Cause::Text(text.into()))
    }

    pub(super) fn late(timeout: TimeoutKind, text: &str, is_unprocessed: bool) -> Self {
        let mut error = Self::text(ClientErrorKind::Timeout, text);
        error.0.timeout = Some(timeout);
        error.0.is_unprocessed = is_unprocessed;
        error
    }

    pub(super) fn status_error(status: Status) -> Self {
        let mut error = Self::text(ClientErrorKind::Status, format!("the status is {}", status.code()));
        error.0.status = Some(status);
        error
    }

    pub(super) fn exchange(error: ExchangeError) -> Self {
        let was_written = error.was_written || error.was_answered;
        let is_refused = matches!(error.failure, ExchangeFailure::Refused);
        let (kind, timeout) = kind_of(&error.failure);
        let mut made = Self::new(kind, Cause::Exchange(error.failure));
        made.0.timeout = timeout;
        made.0.is_unprocessed = !was_written || is_refused;
        made
    }

    /// With the request that it is about.
    pub(super) fn of(mut self, what: impl FnOnce() -> String) -> Self {
        if self.0.what.is_empty() {
            self.0.what = what();
        }
        self
    }

    /// Something of the request was processed before, so that it is not to be sent again.
    pub(super) fn processed(mut self, was_processed: bool) -> Self {
        self.0.is_unprocessed &= !was_processed;
        self
    }

    /// What it is about.
    pub fn kind(&self) -> ClientErrorKind {
        self.0.kind
    }

    /// The side on which it failed.
    pub fn side(&self) -> ErrorSide {
        use ClientErrorKind as Kind;
        match self.0.kind {
            Kind::Request | Kind::Denied | Kind::Busy | Kind::Body => ErrorSide::Ours,
            Kind::Name | Kind::Connect | Kind::Proxy => ErrorSide::Network,
            Kind::Timeout => match self.0.timeout {
                Some(TimeoutKind::Name | TimeoutKind::Connect) => ErrorSide::Network,
                Some(TimeoutKind::Queue) => ErrorSide::Ours,
                _ => ErrorSide::Peer,
            },
            _ => ErrorSide::Peer,
        }
    }

    /// What was too late, if something was.
    pub fn timeout(&self) -> Option<TimeoutKind> {
        self.0.timeout
    }

    /// Whether nothing of the request was processed, so that sending it again cannot do it twice, whatever
    /// its method. Where this is false, only idempotent requests (GET, PUT, DELETE …) may be sent again. The
    /// client itself has sent it again where that is safe, over other connections and addresses.
    pub fn may_retry(&self) -> bool {
        self.0.is_unprocessed
    }

    /// The status of the response, of [`ClientErrorKind::Status`].
    pub fn status(&self) -> Option<Status> {
        self.0.status
    }
}

fn kind_of(failure: &ExchangeFailure) -> (ClientErrorKind, Option<TimeoutKind>) {
    use ClientErrorKind as Kind;
    use ExchangeFailure as Failure;
    let late = |timeout| (Kind::Timeout, Some(timeout));
    match failure {
        Failure::Name(_) => (Kind::Name, None),
        Failure::Connect(_) => (Kind::Connect, None),
        Failure::ConnectTimeout | Failure::NoSettings => late(TimeoutKind::Connect),
        Failure::Tls(_) | Failure::Certificate(_) | Failure::NoVersion => (Kind::Tls, None),
        Failure::TlsTimeout => late(TimeoutKind::Tls),
        Failure::ForwardProxy(_) => (Kind::Proxy, None),
        Failure::QueueFull => (Kind::Busy, None),
        Failure::QueueTimeout => late(TimeoutKind::Queue),
        Failure::FirstByteTimeout | Failure::Unhealthy => late(TimeoutKind::FirstByte),
        Failure::IdleTimeout => late(TimeoutKind::Idle),
        Failure::Body(FramingError::TooLarge) => (Kind::TooLarge, None),
        Failure::Body(FramingError::Truncated) => (Kind::Closed, None),
        Failure::Head(ResponseError::HeadTooLong | ResponseError::TooManyFields) => (Kind::TooLarge, None),
        Failure::Refused | Failure::Reset(_) | Failure::Closed | Failure::Lost(_) => (Kind::Closed, None),
        Failure::Client(_) => (Kind::Body, None),
        Failure::Request(_) => (Kind::Request, None),
        _ => (Kind::Protocol, None),
    }
}

impl From<ExchangeFailure> for Cause {
    fn from(failure: ExchangeFailure) -> Self {
        Self::Exchange(failure)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { what, cause, .. } = &*self.0;
        if !what.is_empty() {
            write!(f, "{what}: ")?;
        }
        cause.fmt(f)
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientError({:?}: {self})", self.0.kind)
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0.cause {
            Cause::Url(error) => Some(error),
            Cause::Exchange(failure) => Some(failure),
            Cause::Upstream(mistake) => Some(mistake),
            Cause::Text(_) => None,
        }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        Self::from(&error)
    }
}

/// For the client of the handler that failed: which side, and no causes.
impl From<&ClientError> for Problem {
    fn from(error: &ClientError) -> Self {
        use ClientErrorKind as Kind;
        match error.kind() {
            Kind::Busy => {
                Problem::new(Status::SERVICE_UNAVAILABLE).detail("too much is asked of another service")
            }
            Kind::Timeout => {
                Problem::new(Status::GATEWAY_TIMEOUT).detail("another service did not answer in time")
            }
            Kind::Request | Kind::Denied | Kind::Body => Problem::new(Status::INTERNAL_SERVER_ERROR),
            Kind::Name | Kind::Connect | Kind::Tls | Kind::Proxy => {
                Problem::new(Status::BAD_GATEWAY).detail("another service cannot be reached")
            }
            _ => Problem::new(Status::BAD_GATEWAY).detail("another service gave no valid response"),
        }
    }
}

impl IntoResponse for ClientError {
    fn into_response(self) -> Response {
        log::line(format_args!("{self}"));
        let response = Problem::from(&self).into_response();
        match self.kind() {
            ClientErrorKind::Busy => response.with(RetryAfter(std::time::Duration::from_secs(1))),
            _ => response,
        }
    }
}
