//! What one HTTP/2 connection may cost: streams, windows, field blocks and nuisances, each with its default
//! and the reason. Plain numbers; the machine holds to them, configuration sets them.

use std::time::Duration;

use super::error::Nuisance;
use super::frame::MAX_31_BITS;
use super::settings::WINDOW_DEFAULT;

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
    /// The window of a stream whose data is read, and so what one body holds in memory at the most, in
    /// bytes. Streams begin with 65,535 at the most, as without any settings, and grow to this when credit
    /// is announced for the first time and more is to come than that, if `unread_bytes_max` has room: a body
    /// that is never read holds little. Default 256 KiB: 20 Mbit/s over 100 ms. Twice as much is twice the
    /// throughput of one body over a long way, and half as many bodies that have it at once.
    pub stream_window: u32,
    /// What all unread bodies of one connection may hold in memory together, in bytes: never is the sum of
    /// the streams' windows larger. Default 8 MiB: 100 streams that begin with 65,535 bytes always fit, which
    /// is 6.25 MiB, and 9 of them that have grown to 256 KiB. Twice as much lets 52 grow; with less than
    /// `streams_max` times 65,535 streams begin with smaller windows, the `streams_max`th part of it each.
    ///
    /// One bound that is lower than the sum of the windows would let streams that are not read stop those
    /// that are. What each stream begins with is therefore set aside in advance, and only growth depends on
    /// what else is open. Until a client has acknowledged our settings each of its streams may hold 65,535
    /// bytes; those for which there is no room then are refused with REFUSED_STREAM. At least 65,535.
    pub unread_bytes_max: u32,
    /// The connection's window: data on its way, of all streams, in bytes. It is given back as data is
    /// received, whether or not it is read, and so bounds throughput and no memory of ours. Default 1 MiB:
    /// 80 Mbit/s over 100 ms; twice as much is twice the throughput of several bodies together. At least
    /// 65,535, because no setting can make it smaller, and at least `stream_window`, or one body could never
    /// use its own.
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
        unread_bytes_max: 8 * 1024 * 1024,
        connection_window: 1024 * 1024,
        connect_protocol: true,
        budgets: Budgets::DEFAULT,
        window_timeout: Duration::from_secs(30),
    };

    /// The window that streams begin with, once the peer knows it: so large that `streams_max` of them fit.
    /// At least one byte, for one of nothing would never be consumed, and never grow.
    pub(super) fn initial_window(&self) -> u32 {
        let share = self.unread_bytes_max / self.streams_max.max(1);
        WINDOW_DEFAULT.min(self.stream_window).min(share).max(1)
    }

    /// The window that streams grow to.
    pub(super) fn grown_window(&self) -> u32 {
        self.stream_window.min(MAX_31_BITS)
    }

    /// The connection's window.
    pub(super) fn connection_window(&self) -> u32 {
        self.connection_window.max(self.grown_window()).clamp(WINDOW_DEFAULT, MAX_31_BITS)
    }

    /// The bound on what is unread: room for one stream at least, before our settings are known.
    pub(super) fn unread_bytes_max(&self) -> u64 {
        u64::from(self.unread_bytes_max.max(WINDOW_DEFAULT))
    }
}

const _: () = {
    let limits = H2Limits::DEFAULT;
    let unread_bytes_max = limits.unread_bytes_max as u64;
    assert!(limits.streams_max as u64 * WINDOW_DEFAULT as u64 <= unread_bytes_max);
    assert!(WINDOW_DEFAULT <= limits.stream_window && limits.stream_window <= limits.connection_window);
};

impl Default for H2Limits {
    fn default() -> H2Limits {
        H2Limits::DEFAULT
    }
}
