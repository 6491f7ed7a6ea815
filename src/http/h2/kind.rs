//! Types of frames (RFC 9113 §6, RFC 9218 §7.1): their numbers and their names, and nothing of what they
//! mean.

use std::fmt;

/// The type of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
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

impl Kind {
    /// The type with this number.
    #[inline]
    pub fn from_byte(byte: u8) -> Kind {
        match byte {
            0x0 => Kind::Data,
            0x1 => Kind::Headers,
            0x2 => Kind::Priority,
            0x3 => Kind::RstStream,
            0x4 => Kind::Settings,
            0x5 => Kind::PushPromise,
            0x6 => Kind::Ping,
            0x7 => Kind::Goaway,
            0x8 => Kind::WindowUpdate,
            0x9 => Kind::Continuation,
            0x10 => Kind::PriorityUpdate,
            other => Kind::Unknown(other),
        }
    }

    /// Its number.
    #[inline]
    pub fn byte(self) -> u8 {
        match self {
            Kind::Data => 0x0,
            Kind::Headers => 0x1,
            Kind::Priority => 0x2,
            Kind::RstStream => 0x3,
            Kind::Settings => 0x4,
            Kind::PushPromise => 0x5,
            Kind::Ping => 0x6,
            Kind::Goaway => 0x7,
            Kind::WindowUpdate => 0x8,
            Kind::Continuation => 0x9,
            Kind::PriorityUpdate => 0x10,
            Kind::Unknown(byte) => byte,
        }
    }
}

/// The name as the RFC writes it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Data => "DATA",
            Kind::Headers => "HEADERS",
            Kind::Priority => "PRIORITY",
            Kind::RstStream => "RST_STREAM",
            Kind::Settings => "SETTINGS",
            Kind::PushPromise => "PUSH_PROMISE",
            Kind::Ping => "PING",
            Kind::Goaway => "GOAWAY",
            Kind::WindowUpdate => "WINDOW_UPDATE",
            Kind::Continuation => "CONTINUATION",
            Kind::PriorityUpdate => "PRIORITY_UPDATE",
            Kind::Unknown(byte) => return write!(f, "a frame of type {byte:#x}"),
        })
    }
}
