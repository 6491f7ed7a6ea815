//! One stream's state (RFC 9113 §5.1), from a server's side: what may still come, what may still be sent.
//! Counts and remembers; what happens next is the connection's to decide.
//!
//! ```text
//!                      HEADERS
//!                         │
//!            END_STREAM?  ▼
//!          ┌────────── no ┴ yes ──────────┐
//!          ▼                              ▼
//!        Open ──── client's END ───► HalfClosedRemote
//!          │ our END                      │ our END
//!          ▼                              ▼
//!   HalfClosedLocal ─ client's END ──► forgotten ◄── RST_STREAM from anywhere
//! ```

use std::time::Duration;

use super::error::StreamError;
use super::flow::{RecvWindow, SendWindow};
use super::priority::Priority;

/// What the client may still send.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) window: RecvWindow,
    /// Bytes that `content-length` still announces.
    length_left: Option<u64>,
    pub(super) content: Content,
}

/// What the DATA frames of a stream are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// A message's body, which trailers may follow.
    Body,
    /// A tunnel's data. It is read on after our END_STREAM: each side of a tunnel ends for itself.
    Tunnel,
}

impl Incoming {
    pub(super) fn new(window: RecvWindow, length: Option<u64>, content: Content) -> Incoming {
        Incoming { window, length_left: length, content }
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

    /// Whether the client announced more than its window lets it send.
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
    /// The request's body is on its way.
    Open(Incoming, Outgoing),
    /// The request is whole.
    HalfClosedRemote(Outgoing),
    /// The response is out; what still comes is read over, within its window, unless it is a tunnel's.
    HalfClosedLocal {
        incoming: Incoming,
        /// Nothing is sent any more, but a client that overflows it is told so.
        window: SendWindow,
        /// When the response was out.
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
            State::HalfClosedRemote(_) => false,
            State::HalfClosedLocal { incoming, .. } => incoming.content == Content::Tunnel,
        }
    }

    pub(super) fn incoming(&mut self) -> Option<&mut Incoming> {
        match &mut self.state {
            State::Open(incoming, _) | State::HalfClosedLocal { incoming, .. } => Some(incoming),
            State::HalfClosedRemote(_) => None,
        }
    }

    pub(super) fn outgoing(&self) -> Option<&Outgoing> {
        match &self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote(outgoing) => Some(outgoing),
            State::HalfClosedLocal { .. } => None,
        }
    }

    pub(super) fn outgoing_mut(&mut self) -> Option<&mut Outgoing> {
        match &mut self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote(outgoing) => Some(outgoing),
            State::HalfClosedLocal { .. } => None,
        }
    }

    /// What the client's WINDOW_UPDATE is about.
    pub(super) fn send_window(&mut self) -> &mut SendWindow {
        match &mut self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote(outgoing) => &mut outgoing.window,
            State::HalfClosedLocal { window, .. } => window,
        }
    }

    /// After the client's END_STREAM; `None` when that was the end of the stream.
    pub(super) fn ended_remotely(self) -> Option<Stream> {
        match self.state {
            State::Open(_, outgoing) | State::HalfClosedRemote(outgoing) => {
                Some(Stream { state: State::HalfClosedRemote(outgoing), ..self })
            }
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
            State::HalfClosedRemote(_) => None,
        }
    }
}
