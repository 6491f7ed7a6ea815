//! What checks look at of an answer, and why they fail.

use std::fmt;
use std::io;

/// Bytes of a body that are searched for the expected text.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Why a check failed.
#[derive(Debug)]
pub(super) enum CheckFailure {
    Io(io::Error),
    Timeout,
    Tls(String),
    Status(u16),
    NoText,
    Malformed(&'static str),
    GrpcStatus(String),
    NotServing,
}

/// What was answered, as far as checks look at it.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// At least what was asked for, or all of it.
    pub(super) body: Vec<u8>,
    pub(super) grpc_status: Option<String>,
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Tls(why) => f.write_str(why),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::NoText => f.write_str("the body lacks the expected text"),
            Self::Malformed(what) => write!(f, "the answer is not as expected: {what}"),
            Self::GrpcStatus(status) => write!(f, "grpc-status {status}"),
            Self::NotServing => f.write_str("the service says that it is not serving"),
        }
    }
}

impl From<io::Error> for CheckFailure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
