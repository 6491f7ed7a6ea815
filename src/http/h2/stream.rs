//! One stream's state (RFC 9113 §5.1), the same for both roles: what may still come, what may still be sent.
//! Counts and remembers; what happens next is decided by the connection.
//!
//! ```text
//!                      HEADERS
//!                         │
//!            END_STREAM?  ▼
//!          ┌────────── no ┴ yes ──────────┐
//!          ▼                              ▼
//!        Open ───── peer's END ────► HalfClosedRemote
//!          │ our END                      │ our END
//!          ▼                              ▼
//!   HalfClosedLocal ── peer's END ───► forgotten ◄── RST_STREAM of either side
//! ```

use std::time::Duration;

use super::error::StreamError;
use super::flow::{RecvWindow, SendWindow};
use super::priority::Priority;
use crate::http::method::Method;

/// What the peer may still send.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) window: RecvWindow,
    /// Bytes that `content-length` still announces.
    length_left: Option<u64>,
    pub(super) content: Content,
    /// Whether data is handed out after our END_STREAM too: a response comes after the request, and each side
    /// of an open tunnel ends for itself. What remains of a request whose response is out is read over.
    pub(super) reads_on: bool,
}

/// What may come on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// The head of a response, to a request with this method; no DATA before it.
    Head(Method),
    /// A message's body, which trailers may follow.
    Body,
    /// A tunnel's data, and nothing else.
    Tunnel,
}

impl Incoming {
    /// What follows the head of a request; in a server.
    pub(super) fn request(window: RecvWindow, length: Option<u64>, content: Content) -> Incoming {
        Incoming { window, length_left: length, content, reads_on: false }
    }

    /// A response that is to come; in a client.
    pub(super) fn response(window: RecvWindow, method: Method) -> Incoming {
        Incoming { window, length_left: None, content: Content::Head(method), reads_on: true }
    }

    /// The final head of a response has come.
    pub(super) fn begin(&mut self, length: Option<u64>, content: Content) {
        self.length_left = length;
        self.content = content;
    }

    /// Counts a DATA frame, padding included, against the window.
    pub(super) fn receive(&mut self, bytes: u32) -> Result<(), StreamError> {
        self.window.receive(bytes).map_err(|_| StreamError::DataBeyondWindow)
    }

    /// Whether `content-length` has room for so much data, or is exhausted by it where the body `ends`.
    pub(super) fn check(&self, bytes: u32, ends: bool) -> Result<(), StreamError> {
        let bytes = u64::from(bytes);
        match self.length_left {
            Some(left) if left < bytes || ends && left > bytes => Err(StreamError::LengthMismatch),
            _ => Ok(()),
        }
    }

    /// Counts data against `content-length`.
    pub(super) fn count(&mut self, bytes: u32) -> Result<(), StreamError> {
        if let Some(left) = &mut self.length_left {
            *left = left.checked_sub(u64::from(bytes)).ok_or(StreamError::LengthMismatch)?;
        }
        Ok(())
    }

    /// Whether the body may end here.
    pub(super) fn end(&self) -> Result<(), StreamError> {
        match self.length_left {
            None | Some(0) => Ok(()),
            Some(_) => Err(StreamError::LengthMismatch),
        }
    }

    /// Whether the window holds less than what is to come; where no length is announced, it may.
    pub(super) fn needs_more_window(&self) -> bool {
        self.length_left.is_none_or(|left| left > u64::from(self.window.usable()))
    }

    /// Whether the peer announced more than its window lets it send.
    pub(super) fn exceeds_window(&self) -> bool {
        self.window.left() == 0 || self.length_left.is_some_and(|left| left > u64::from(self.window.left()))
    }
}

/// What we may still send.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) window: SendWindow,
    pub(super) priority: Priority,
}

/// Which sides are open; each variant has what exists then alone.
#[derive(Debug)]
pub(super) enum State {
    /// Both sides may send.
    Open(Incoming, Outgoing),
    /// The peer has sent all of its message.
    HalfClosedRemote {
        outgoing: Outgoing,
        /// The window that the peer's message had: no more of it can be unread.
        unread_max: u32,
    },
    /// All of our message is out.
    HalfClosedLocal {
        incoming: Incoming,
        /// Nothing is sent any more, but its overflow is still an error (RFC 9113 §6.9.1).
        window: SendWindow,
        /// When our message was out.
        since: Duration,
    },
}

/// A stream that is not closed.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) state: State,
}

impl Stream {
    /// Whether data that comes is handed out.
    pub(super) fn is_read(&self) -> bool {
        match &self.state {
            State::Open(..) => true,
            State::HalfClosedRemote { .. } => false,
            State::HalfClosedLocal { incoming, .. } => incoming.reads_on,
        }
    }

    /// The most of the peer's message that can be unread: its window.
    pub(super) fn unread_max(&self) -> u32 {
        match &self.state {
            State::Open(incoming, _) | State::HalfClosedLocal { incoming, .. } => incoming.window.full(),
            State::HalfClosedRemote { unread_max, .. } => *unread_max,
        }
    }

    /// What the peer may still send before more of it is read.
    pub(super) fn usable(&self) -> u32 {
        match &self.state {
            State::Open(incoming, _) | State::HalfClosedLocal { incoming, .. } => incoming.window.usable(),
            State::HalfClosedRemote { .. } => 0,
        }
    }

    pub(super) fn incoming(&mut self) -> Option<&mut Incoming> {
        match &mut self.state {
            State::Open(incoming, _) | State::HalfClosedLocal { incoming, .. } => Some(incoming),
            State::HalfClosedRemote { .. } => None,
        }
    }

    pub(super) fn outgoing(&self) -> Option<&Outgoing> {
        match &self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote { outgoing, .. } => Some(outgoing),
            State::HalfClosedLocal { .. } => None,
        }
    }

    pub(super) fn outgoing_mut(&mut self) -> Option<&mut Outgoing> {
        match &mut self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote { outgoing, .. } => Some(outgoing),
            State::HalfClosedLocal { .. } => None,
        }
    }

    /// The window that the peer's WINDOW_UPDATE widens.
    pub(super) fn send_window(&mut self) -> &mut SendWindow {
        match &mut self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote { outgoing, .. } => &mut outgoing.window,
            State::HalfClosedLocal { window, .. } => window,
        }
    }

    /// After the peer's END_STREAM; `None` when that was the end of the stream.
    pub(super) fn ended_remotely(self) -> Option<Stream> {
        match self.state {
            State::Open(incoming, outgoing) => {
                let unread_max = incoming.window.full();
                Some(Stream { state: State::HalfClosedRemote { outgoing, unread_max }, ..self })
            }
            State::HalfClosedRemote { .. } => Some(self),
            State::HalfClosedLocal { .. } => None,
        }
    }

    /// After our END_STREAM; `None` when that was the end of the stream.
    pub(super) fn ended_locally(self, now: Duration) -> Option<Stream> {
        match self.state {
            State::Open(incoming, Outgoing { window, .. }) => {
                Some(Stream { state: State::HalfClosedLocal { incoming, window, since: now }, ..self })
            }
            State::HalfClosedLocal { .. } => Some(self),
            State::HalfClosedRemote { .. } => None,
        }
    }
}
