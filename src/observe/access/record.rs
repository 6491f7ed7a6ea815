//! What is said about one exchange. Borrowed from it, and knows nothing of how it is written.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::message::RequestHead;

/// Status logged for an exchange whose client was gone before there was a response to send. No status of
/// HTTP's own, for nobody received one; logs have long used this number for it.
pub const CLIENT_GONE: u16 = 499;

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedPeer {
    /// A TCP peer.
    Inet(SocketAddr),
    /// Somebody on a Unix socket, who has no address.
    Unix,
    /// A TCP peer that was gone before it was asked for.
    Unknown,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// The whole response was handed to the kernel.
    Complete,
    /// The request could not be read, and was answered with an error.
    Refused,
    /// The client went away before it had the whole response.
    ClientGone,
    /// The client took, or sent, too little for too long.
    TooSlow,
    /// The body of the response broke off: a file that shrank, a stream that failed.
    BodyFailed,
}

impl ExchangeEnd {
    /// The word for it in a log; none for the usual end.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::Refused => Some("refused"),
            Self::ClientGone => Some("client_gone"),
            Self::TooSlow => Some("too_slow"),
            Self::BodyFailed => Some("body_failed"),
        }
    }
}

/// One exchange, for its line.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Who asked.
    pub peer: LoggedPeer,
    /// The request's head; `None` when it was refused before it was whole.
    pub head: Option<&'a RequestHead>,
    /// The status sent, or [`CLIENT_GONE`].
    pub status: u16,
    /// Bytes of the response's body that were handed to the kernel, without the framing of chunks.
    pub body_bytes: u64,
    /// From the turn in which the head was complete to the response handed over.
    pub duration: Duration,
    /// Who the peer was found to be.
    pub user: Option<&'a [u8]>,
    /// The id that a filter gave the request.
    pub request_id: Option<&'a [u8]>,
    /// How it ended.
    pub end: ExchangeEnd,
}
