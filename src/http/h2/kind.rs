//! Types of frames (RFC 9113 §6, RFC 9218 §7.1): their numbers and names only.

use std::fmt;

/// The type of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// `DATA` (§6.1).
    Data,
    /// `HEADERS` (§6.2).
    Headers,
    /// `PRIORITY` (§6.3), deprecated.
    Priority,
    /// `RST_STREAM` (§6.4).
    RstStream,
    /// `SETTINGS` (§6.5).
    Settings,
    /// `PUSH_PROMISE` (§6.6).
    PushPromise,
    /// `PING` (§6.7).
    Ping,
    /// `GOAWAY` (§6.8).
    Goaway,
    /// `WINDOW_UPDATE` (§6.9).
    WindowUpdate,
    /// `CONTINUATION` (§6.10).
    Continuation,
    /// `PRIORITY_UPDATE` (RFC 9218 §7.1).
    PriorityUpdate,
    /// Any other; to be ignored.
    Unknown(u8),
}

impl FrameKind {
    /// The type with this number.
    #[inline]
    pub fn from_byte(byte: u8) -> FrameKind {
        match byte {
            0x0 => FrameKind::Data,
            0x1 => FrameKind::Headers,
            0x2 => FrameKind::Priority,
            0x3 => FrameKind::RstStream,
            0x4 => FrameKind::Settings,
            0x5 => FrameKind::PushPromise,
            0x6 => FrameKind::Ping,
            0x7 => FrameKind::Goaway,
            0x8 => FrameKind::WindowUpdate,
            0x9 => FrameKind::Continuation,
            0x10 => FrameKind::PriorityUpdate,
            other => FrameKind::Unknown(other),
        }
    }

    /// Its number.
    #[inline]
    pub fn byte(self) -> u8 {
        match self {
            FrameKind::Data => 0x0,
            FrameKind::Headers => 0x1,
            FrameKind::Priority => 0x2,
            FrameKind::RstStream => 0x3,
            FrameKind::Settings => 0x4,
            FrameKind::PushPromise => 0x5,
            FrameKind::Ping => 0x6,
            FrameKind::Goaway => 0x7,
            FrameKind::WindowUpdate => 0x8,
            FrameKind::Continuation => 0x9,
            FrameKind::PriorityUpdate => 0x10,
            FrameKind::Unknown(byte) => byte,
        }
    }
}

/// The name as the RFC writes it.
impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrameKind::Data => "DATA",
            FrameKind::Headers => "HEADERS",
            FrameKind::Priority => "PRIORITY",
            FrameKind::RstStream => "RST_STREAM",
            FrameKind::Settings => "SETTINGS",
            FrameKind::PushPromise => "PUSH_PROMISE",
            FrameKind::Ping => "PING",
            FrameKind::Goaway => "GOAWAY",
            FrameKind::WindowUpdate => "WINDOW_UPDATE",
            FrameKind::Continuation => "CONTINUATION",
            FrameKind::PriorityUpdate => "PRIORITY_UPDATE",
            FrameKind::Unknown(byte) => return write!(f, "a frame of type {byte:#x}"),
        })
    }
}
