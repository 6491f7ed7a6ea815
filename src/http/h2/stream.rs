//! One stream's state (RFC 9113 §5.1), the same for both roles: what may still be received and sent.
//! Only keeps counts; reactions are decided by the connection.
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
//!   HalfClosedLocal ── peer's END ───► closed ◄── RST_STREAM of either side
//! ```

use std::time::Duration;

use super::error::StreamError;
use super::flow::{RecvWindow, SendWindow};
use super::priority::Priority;
use crate::http::method::Method;

/// The receiving half of a stream: what the peer may still send.
#[derive(Debug)]
pub(super) struct RecvHalf {
    pub(super) window: RecvWindow,
    /// Bytes that `content-length` still announces.
    length_left: Option<u64>,
    pub(super) content: ExpectedContent,
    /// Whether data is handed out after END_STREAM was sent: true for responses and open tunnels, whose two
    /// sides end independently. The rest of a request whose response was sent is discarded.
    pub(super) reads_on: bool,
    /// Bytes that may still be discarded and credited.
    discard_left: u32,
}

/// What the peer is allowed to send next on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ExpectedContent {
    /// A response head, to a request with this method; DATA before it is an error.
    Head(Method),
    /// A body, which trailers may follow.
    Body,
    /// Data of a tunnel, without trailers.
    Tunnel,
}

impl RecvHalf {
    /// A request after its head; in a server.
    pub(super) fn request(
        window: RecvWindow,
        length: Option<u64>,
        content: ExpectedContent,
        discard_bytes_max: u32,
    ) -> RecvHalf {
        RecvHalf { window, length_left: length, content, reads_on: false, discard_left: discard_bytes_max }
    }

    /// An awaited response; in a client.
    pub(super) fn response(window: RecvWindow, method: Method) -> RecvHalf {
        let content = ExpectedContent::Head(method);
        RecvHalf { window, length_left: None, content, reads_on: true, discard_left: 0 }
    }

    /// The final head of a response was received.
    pub(super) fn begin(&mut self, length: Option<u64>, content: ExpectedContent) {
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

    /// Whether the rest of the body may exceed the window; always true without an announced length.
    pub(super) fn needs_more_window(&self) -> bool {
        self.length_left.is_none_or(|left| left > u64::from(self.window.usable()))
    }

    /// Notes that received bytes were discarded. The credit to announce for them, as long as the bound on
    /// them lasts.
    pub(super) fn discard(&mut self, bytes: u32) -> Option<u32> {
        let credited = bytes.min(self.discard_left);
        self.discard_left -= credited;
        self.window.consume(credited);
        self.window.announce()
    }

    /// Whether no more is discarded, and the peer has more to send than its window lets it.
    pub(super) fn exceeds_discard(&self) -> bool {
        let left = self.window.left();
        self.discard_left == 0 && (left == 0 || self.length_left.is_some_and(|rest| rest > u64::from(left)))
    }
}

/// The sending half of a stream.
#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) window: SendWindow,
    pub(super) priority: Priority,
}

/// Which sides are open.
#[derive(Debug)]
pub(super) enum StreamState {
    /// Both sides may send.
    Open(RecvHalf, SendHalf),
    /// The peer has sent all of its message.
    HalfClosedRemote {
        outgoing: SendHalf,
        /// The window that the peer's message had: no more of it can be unread.
        unread_max: u32,
    },
    /// All of the message of this end was sent.
    HalfClosedLocal {
        incoming: RecvHalf,
        /// No longer used for sending, but its overflow is still an error (RFC 9113 §6.9.1).
        window: SendWindow,
        /// When END_STREAM was sent, or when the rest of the message was last found to come fast enough.
        since: Duration,
        /// `incoming.discard_left` at that time.
        discard_left_then: u32,
    },
}

/// A stream that is not closed.
#[derive(Debug)]
pub(super) struct H2Stream {
    pub(super) id: u32,
    pub(super) state: StreamState,
}

impl H2Stream {
    /// Whether received data is handed out.
    pub(super) fn is_read(&self) -> bool {
        match &self.state {
            StreamState::Open(..) => true,
            StreamState::HalfClosedRemote { .. } => false,
            StreamState::HalfClosedLocal { incoming, .. } => incoming.reads_on,
        }
    }

    /// The most of the peer's message that can be unread: its window.
    pub(super) fn unread_max(&self) -> u32 {
        match &self.state {
            StreamState::Open(incoming, _) | StreamState::HalfClosedLocal { incoming, .. } => {
                incoming.window.full()
            }
            StreamState::HalfClosedRemote { unread_max, .. } => *unread_max,
        }
    }

    /// What the peer may still send before more of it is read.
    pub(super) fn usable(&self) -> u32 {
        match &self.state {
            StreamState::Open(incoming, _) | StreamState::HalfClosedLocal { incoming, .. } => {
                incoming.window.usable()
            }
            StreamState::HalfClosedRemote { .. } => 0,
        }
    }

    /// What the peer may still send.
    pub(super) fn window_left(&self) -> u32 {
        match &self.state {
            StreamState::Open(incoming, _) | StreamState::HalfClosedLocal { incoming, .. } => {
                incoming.window.left()
            }
            StreamState::HalfClosedRemote { .. } => 0,
        }
    }

    pub(super) fn incoming(&mut self) -> Option<&mut RecvHalf> {
        match &mut self.state {
            StreamState::Open(incoming, _) | StreamState::HalfClosedLocal { incoming, .. } => Some(incoming),
            StreamState::HalfClosedRemote { .. } => None,
        }
    }

    pub(super) fn outgoing(&self) -> Option<&SendHalf> {
        match &self.state {
            StreamState::Open(_, outgoing) | StreamState::HalfClosedRemote { outgoing, .. } => Some(outgoing),
            StreamState::HalfClosedLocal { .. } => None,
        }
    }

    pub(super) fn outgoing_mut(&mut self) -> Option<&mut SendHalf> {
        match &mut self.state {
            StreamState::Open(_, outgoing) | StreamState::HalfClosedRemote { outgoing, .. } => Some(outgoing),
            StreamState::HalfClosedLocal { .. } => None,
        }
    }

    /// After its message, this end waits for the rest of a message that it discards: whether that takes too
    /// long, because in `timeout` fewer than `bytes_min` of it came.
    pub(super) fn lingers_too_long(&mut self, now: Duration, timeout: Duration, bytes_min: u64) -> bool {
        let StreamState::HalfClosedLocal { incoming, since, discard_left_then, .. } = &mut self.state else {
            return false;
        };
        if incoming.reads_on || now.saturating_sub(*since) < timeout {
            return false;
        }
        let discarded = *discard_left_then - incoming.discard_left;
        (*since, *discard_left_then) = (now, incoming.discard_left);
        u64::from(discarded) < bytes_min
    }

    /// The window that the peer's WINDOW_UPDATE widens.
    pub(super) fn send_window(&mut self) -> &mut SendWindow {
        match &mut self.state {
            StreamState::Open(_, outgoing) | StreamState::HalfClosedRemote { outgoing, .. } => {
                &mut outgoing.window
            }
            StreamState::HalfClosedLocal { window, .. } => window,
        }
    }

    /// The stream after the peer sent END_STREAM; `None` when that closed it.
    pub(super) fn ended_remotely(self) -> Option<H2Stream> {
        match self.state {
            StreamState::Open(incoming, outgoing) => {
                let unread_max = incoming.window.full();
                Some(H2Stream { state: StreamState::HalfClosedRemote { outgoing, unread_max }, ..self })
            }
            StreamState::HalfClosedRemote { .. } => Some(self),
            StreamState::HalfClosedLocal { .. } => None,
        }
    }

    /// The stream after this end sent END_STREAM; `None` when that closed it.
    pub(super) fn ended_locally(self, now: Duration) -> Option<H2Stream> {
        match self.state {
            StreamState::Open(incoming, SendHalf { window, .. }) => {
                let discard_left_then = incoming.discard_left;
                let state = StreamState::HalfClosedLocal { incoming, window, since: now, discard_left_then };
                Some(H2Stream { state, ..self })
            }
            StreamState::HalfClosedLocal { .. } => Some(self),
            StreamState::HalfClosedRemote { .. } => None,
        }
    }
}
