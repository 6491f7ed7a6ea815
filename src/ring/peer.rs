//! What is known of a connected peer while nothing is read from it. A receive in flight reports the end of
//! the stream; where none is, because unread input holds it back or the stream has ended, the kernel is
//! asked.

use std::os::fd::RawFd;

use super::sys;

/// The peer's end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// It may send.
    Open,
    /// It has closed its sending direction, perhaps behind unread input, and may still receive.
    HalfClosed,
    /// The connection is lost: reset, or given up by the kernel.
    Lost,
}

/// How a task that [watches](super::Socket::watch) is notified that its peer has closed its sending
/// direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watched {
    /// It is woken: a receive is in flight.
    Receiving,
    /// By asking for the [state of the peer](super::Socket::peer_state): unread input holds the receive back.
    Unread,
    /// It has: the end of the stream was received.
    Ended,
}

/// The state of the peer of a connected socket. A system call.
pub(super) fn state(fd: RawFd) -> PeerState {
    let events = sys::poll_now(fd, libc::POLLRDHUP);
    // Linux reports POLLHUP once both directions are closed, and after a reset.
    if events & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
        PeerState::Lost
    } else if events & libc::POLLRDHUP != 0 {
        PeerState::HalfClosed
    } else {
        PeerState::Open
    }
}

/// Whether the peer has sent input that no receive has taken yet. A system call.
pub(super) fn has_sent(fd: RawFd) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: one byte, which lives across the call.
    unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, flags) > 0 }
}
