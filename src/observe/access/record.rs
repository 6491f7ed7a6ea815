//! The data of one log line, borrowed from the exchange. Independent of the format.

use std::net::SocketAddr;
use std::time::Duration;

use crate::http::message::RequestHead;

/// Status logged for an exchange whose client disconnected before a response was sent. Not a status of HTTP,
/// because no response was received; a common convention of access logs.
pub const CLIENT_GONE: u16 = 499;

/// The peer, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedPeer {
    /// A TCP peer.
    Inet(SocketAddr),
    /// A peer on a Unix socket, which has no address.
    Unix,
    /// A TCP peer that had disconnected before its address was read.
    Unknown,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeEnd {
    /// The whole response was handed to the kernel.
    Complete,
    /// The request was not passed to the service, and an error was sent.
    Refused,
    /// The client disconnected before the response was complete.
    ClientGone,
    /// The client received or sent too slowly.
    TooSlow,
    /// The response body failed: a file that shrank, a stream that failed.
    BodyFailed,
}

impl ExchangeEnd {
    /// Its name in a log; `None` for a complete exchange.
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

/// The data of one line.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The peer.
    pub peer: LoggedPeer,
    /// The request's head: of one that was refused what could be read; `None` where that is nothing.
    pub head: Option<&'a RequestHead>,
    /// The status sent, or [`CLIENT_GONE`].
    pub status: u16,
    /// Body bytes handed to the kernel, without chunked framing.
    pub body_bytes: u64,
    /// From the turn in which the head was complete until the response was handed to the kernel.
    pub duration: Duration,
    /// The authenticated user.
    pub user: Option<&'a [u8]>,
    /// The id set by a filter.
    pub request_id: Option<&'a [u8]>,
    /// How it ended.
    pub end: ExchangeEnd,
    /// Why it was refused, as sent to the client.
    pub reason: Option<&'a str>,
}
