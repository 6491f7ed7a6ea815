//! What one HTTP/2 connection may cost: streams, windows, field blocks and nuisances, each with its default
//! and the reason. Plain numbers; the machine holds to them, configuration sets them.

use std::time::Duration;

use super::error::Nuisance;
use super::frame::MAX_31_BITS;

/// Bounds on one HTTP/2 connection. Heads and bodies are bounded as HTTP/1's besides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct H2Limits {
    /// Streams open at once; announced, and what is beyond is refused with REFUSED_STREAM, which clients may
    /// repeat. Default 100: RFC 9113 §6.5.2 advises no fewer, and each may hold a handler.
    pub streams_max: u32,
    /// Size of a request's field list as RFC 9113 §6.5.2 counts it: names, values and 32 bytes a field;
    /// announced, and beyond it 431. Default 16,384, as HTTP/1's heads.
    pub list_bytes_max: u16,
    /// Bytes of one field block as sent. Beyond `list_bytes_max` it still has to be decoded, for the tables
    /// of both ends must agree; beyond this the connection ends with ENHANCE_YOUR_CALM. Default 32,768.
    pub block_bytes_max: u32,
    /// CONTINUATION frames of one field block. Default 8: blocks that need more than one are rare, and a
    /// frame of nothing costs as much as a full one.
    pub continuations_max: u32,
    /// The window of each stream, and so what one unread body holds in memory at the most. Default 256 KiB:
    /// 20 Mbit/s over 100 ms. Smaller where `unread_bytes_max` asks for it; at least 65,535 until a client
    /// knows it.
    pub stream_window: u32,
    /// What all unread bodies of one connection may hold in memory together, in bytes: each stream's window
    /// is at most its `streams_max`th part. Default 25 MiB, 100 times 256 KiB, which makes no window smaller.
    ///
    /// One bound for the connection that is lower than the sum of its streams' windows would let streams that
    /// are not read stop those that are. It is therefore divided in advance. Until a client has acknowledged
    /// our settings each of its streams may hold 65,535 bytes, whatever is set here.
    pub unread_bytes_max: u32,
    /// The connection's window: data on its way, of all streams. It is given back as data is received,
    /// whether or not it is read, and so bounds throughput and no memory of ours. Default 1 MiB: 80 Mbit/s
    /// over 100 ms. At least 65,535, because no setting can make it smaller.
    pub connection_window: u32,
    /// Whether extended CONNECT (RFC 8441) is offered: SETTINGS_ENABLE_CONNECT_PROTOCOL is sent, and
    /// `:protocol` taken. Default true. Without it such requests are malformed.
    pub connect_protocol: bool,
    /// Frames of little use that a connection may send before they have to be paid for: by useful work, or by
    /// time.
    pub budgets: Budgets,
    /// A response that waits for the client's window must be given `rate_min` bytes a second, looked at once
    /// per this time; else its stream ends with ENHANCE_YOUR_CALM, and the connection if no stream moves.
    /// Default 30 s, as for everything else that stalls.
    pub window_timeout: Duration,
}

/// How many frames of each kind a connection has in hand. Every response pays one reset back and four frames
/// of each other kind, every DATA frame sent or read pays four, and every second the tenth part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budgets {
    /// Streams reset by the client, or refused for being too many. Default 200: a browser that closes a page
    /// cancels 100 at once. Without it, requests that are reset at once cost a handler each, and the
    /// client nothing (CVE-2023-44487).
    pub resets: u32,
    /// SETTINGS. Default 32: one at the start is usual, and each has to be answered.
    pub settings: u32,
    /// PING. Default 256: some clients measure with them.
    pub pings: u32,
    /// PRIORITY and PRIORITY_UPDATE. Default 512: old browsers build a tree of them at the start.
    pub priorities: u32,
    /// DATA that carries nothing, or for streams that are over. Default 256.
    pub idle_data: u32,
    /// WINDOW_UPDATE. Default 1,024: two for each frame we send is usual.
    pub window_updates: u32,
    /// Frames of unknown types. Default 256: made-up ones are sent to keep receivers tolerant, as RFC 8701
    /// does for TLS.
    pub unknown_frames: u32,
    /// Interim responses, in a client. Default 64: a few for each request are usual, and each wakes its
    /// reader.
    pub interim_heads: u32,
}

impl Budgets {
    /// The defaults.
    pub const DEFAULT: Budgets = Budgets {
        resets: 200,
        settings: 32,
        pings: 256,
        priorities: 512,
        idle_data: 256,
        window_updates: 1024,
        unknown_frames: 256,
        interim_heads: 64,
    };

    /// The budget for one nuisance.
    pub(super) fn of(&self, nuisance: Nuisance) -> u32 {
        match nuisance {
            Nuisance::Resets => self.resets,
            Nuisance::Settings => self.settings,
            Nuisance::Pings => self.pings,
            Nuisance::Priorities => self.priorities,
            Nuisance::IdleData => self.idle_data,
            Nuisance::WindowUpdates => self.window_updates,
            Nuisance::UnknownFrames => self.unknown_frames,
            Nuisance::InterimHeads => self.interim_heads,
        }
    }
}

impl H2Limits {
    /// The defaults.
    pub const DEFAULT: H2Limits = H2Limits {
        streams_max: 100,
        list_bytes_max: 16 * 1024,
        block_bytes_max: 32 * 1024,
        continuations_max: 8,
        stream_window: 256 * 1024,
        unread_bytes_max: 100 * 256 * 1024,
        connection_window: 1024 * 1024,
        connect_protocol: true,
        budgets: Budgets::DEFAULT,
        window_timeout: Duration::from_secs(30),
    };

    /// The window that streams begin with: as large as `stream_window`, `unread_bytes_max` and the protocol
    /// let it be.
    pub(super) fn stream_window(&self) -> u32 {
        self.stream_window.min(self.unread_bytes_max / self.streams_max.max(1)).min(MAX_31_BITS)
    }
}

const _: () = {
    let limits = H2Limits::DEFAULT;
    assert!(limits.stream_window as u64 * limits.streams_max as u64 <= limits.unread_bytes_max as u64);
};

impl Default for H2Limits {
    fn default() -> H2Limits {
        H2Limits::DEFAULT
    }
}
