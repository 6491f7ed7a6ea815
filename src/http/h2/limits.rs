//! Limits of one HTTP/2 connection: streams, windows, field blocks and flood budgets, each with its default
//! and the reason. Plain numbers: the connection enforces them, configuration sets them.

use std::time::Duration;

use super::error::FloodKind;
use super::frame::MAX_31_BITS;
use super::settings::WINDOW_DEFAULT;

/// Bounds on one HTTP/2 connection. Limits on heads and bodies apply as in HTTP/1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct H2Limits {
    /// Streams open at once; announced; more are refused with REFUSED_STREAM, which clients may
    /// retry. Default 100: RFC 9113 §6.5.2 advises no fewer, and each may hold a handler.
    pub streams_max: u32,
    /// Size of a request's field list as RFC 9113 §6.5.2 counts it: names, values and 32 bytes a field;
    /// announced; larger lists get 431. Default 16,384, as for heads of HTTP/1.
    pub list_bytes_max: u16,
    /// Bytes of one field block as sent. Beyond `list_bytes_max` it is still decoded, because the tables
    /// of both ends must agree; beyond this limit the connection ends with ENHANCE_YOUR_CALM, and with it
    /// whatever else is in progress on it. Default 131,072: the cookies of a large site make a request that
    /// is refused, not the end of the downloads beside it. So much is held for each connection whose block is
    /// incomplete, for `head_timeout` at the most.
    pub block_bytes_max: u32,
    /// CONTINUATION frames of one field block. Default 32: `block_bytes_max` in frames of 4 KiB, where 16 KiB
    /// is usual. An empty frame costs as much as a full one.
    pub continuations_max: u32,
    /// The window of a stream whose data is read, and so what one body holds in memory at the most, in
    /// bytes. Streams begin with 65,535 at the most, as without any settings, and grow to this when credit
    /// is announced for the first time and more is to come than that, if `unread_bytes_max` has room: a body
    /// that is never read holds little. Default 256 KiB: 20 Mbit/s over 100 ms. Twice as much is twice the
    /// throughput of one body over a long way, and half as many bodies that have it at once.
    pub stream_window: u32,
    /// Bytes that all unread bodies of one connection may hold in memory together: the sum of the streams'
    /// windows never exceeds it. Default 8 MiB: 100 streams that begin with 65,535 bytes always fit, which
    /// is 6.25 MiB, and 9 of them that have grown to 256 KiB. Twice as much lets 52 grow; with less than
    /// `streams_max` times 65,535 streams begin with smaller windows, the `streams_max`th part of it each.
    ///
    /// A bound lower than the sum of the windows would let unread streams block the others. The initial
    /// window of each stream is therefore reserved in advance, and only growth depends on
    /// other streams. Until a client has acknowledged the settings each of its streams may hold 65,535
    /// bytes; those for which there is no room then are refused with REFUSED_STREAM. At least 65,535.
    pub unread_bytes_max: u32,
    /// The connection's window: data in transit, of all streams, in bytes. Credit is returned as data is
    /// received, whether or not it is read, so it bounds throughput and not memory. Default 1 MiB:
    /// 80 Mbit/s over 100 ms; twice as much is twice the throughput of several bodies together. At least
    /// 65,535, because no setting can make it smaller, and at least `stream_window`, or one body could never
    /// use its own.
    pub connection_window: u32,
    /// Bytes of a request that are discarded, with credit for more, when no handler reads them: after a
    /// response that came before the request's end, such as 413. Many clients read the response only once
    /// they have sent the request, and report a reset as an error. The stream is reset with NO_ERROR (RFC
    /// 9113 §8.1) when this is exhausted, or when fewer than `rate_min` bytes a second come in
    /// `linger_timeout`. Default 64 MiB, four times the largest body that is accepted by default: it costs
    /// no memory, and no more than an upload that is read.
    pub discard_bytes_max: u32,
    /// Whether extended CONNECT (RFC 8441) is offered: SETTINGS_ENABLE_CONNECT_PROTOCOL is sent, and
    /// `:protocol` accepted. Default true. Without it such requests are malformed.
    pub connect_protocol: bool,
    /// Frames of little use that a peer may send beyond those that useful work and time allow.
    pub budgets: Budgets,
    /// A response that waits for its stream's window must get `rate_min` bytes a second, checked once per
    /// this time; else its stream ends with ENHANCE_YOUR_CALM, and the connection if no stream moves. While
    /// it waits for the connection's window, which others use before it, all of them together must. Default
    /// 30 s, as for everything else that stalls.
    pub window_timeout: Duration,
}

/// Budgets of frames of each kind. A second restores a tenth of each, and work restores them too, none
/// beyond its full size: one reset for each response that completed and was not reset afterwards; four frames
/// of each other kind for each response and for each DATA frame sent, and one for 4 KiB of data received.
///
/// WINDOW_UPDATEs come long after the data that they give credit for, so what was sent is not forgotten: four
/// for each DATA frame, and one more for each 512 bytes in it, however late they come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budgets {
    /// Streams reset by the client or because of its errors, or refused for being too many. Default 200: a
    /// browser that closes a page cancels 100 at once. Without it, requests that are reset at once cost a
    /// handler each, and the client nothing (CVE-2023-44487).
    pub resets: u32,
    /// SETTINGS, and acknowledgements that are not due. Default 32: one at the start is usual, and each must
    /// be acknowledged.
    pub settings: u32,
    /// PING, and acknowledgements that are not due. Default 256: some clients measure the round trip with it,
    /// one PING for each DATA frame that they receive.
    pub pings: u32,
    /// PRIORITY and PRIORITY_UPDATE. Default 512: old browsers build a tree of them at the start.
    pub priorities: u32,
    /// Empty DATA without END_STREAM, and DATA and HEADERS on closed streams, except for what was in transit
    /// when this end reset them. Default 256.
    pub idle_data: u32,
    /// WINDOW_UPDATE beyond those that data has paid for. Default 1,024: some clients open each stream's
    /// window further before its response begins.
    pub window_updates: u32,
    /// Frames of unknown types. Default 256: reserved types are sent to keep receivers tolerant, as RFC 8701
    /// does for TLS.
    pub unknown_frames: u32,
    /// Interim responses, in a client. Default 64: a few for each request are usual, and each wakes its
    /// reader.
    pub interim_heads: u32,
    /// GOAWAY. Default 16: one or two end a connection.
    pub goaways: u32,
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
        goaways: 16,
    };

    /// The budget for one kind.
    pub(super) fn of(&self, flood: FloodKind) -> u32 {
        match flood {
            FloodKind::Resets => self.resets,
            FloodKind::Settings => self.settings,
            FloodKind::Pings => self.pings,
            FloodKind::Priorities => self.priorities,
            FloodKind::IdleData => self.idle_data,
            FloodKind::WindowUpdates => self.window_updates,
            FloodKind::UnknownFrames => self.unknown_frames,
            FloodKind::InterimHeads => self.interim_heads,
            FloodKind::Goaways => self.goaways,
        }
    }
}

impl H2Limits {
    /// The defaults.
    pub const DEFAULT: H2Limits = H2Limits {
        streams_max: 100,
        list_bytes_max: 16 * 1024,
        block_bytes_max: 128 * 1024,
        continuations_max: 32,
        stream_window: 256 * 1024,
        unread_bytes_max: 8 * 1024 * 1024,
        connection_window: 1024 * 1024,
        discard_bytes_max: 64 * 1024 * 1024,
        connect_protocol: true,
        budgets: Budgets::DEFAULT,
        window_timeout: Duration::from_secs(30),
    };

    /// The initial window of streams, once the peer has acknowledged it: `streams_max` of them fit. At least
    /// one byte, because a window of 0 would never be consumed, and never grow.
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

    /// The bound on what is unread: at least one stream before the settings are acknowledged.
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
