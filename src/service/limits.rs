//! Limits on request bodies: the size and rate that a route accepts, and the bytes that each extractor holds.

use std::time::Duration;

use crate::http::message::BodyLimits;

/// Limits of the extractors. A request that exceeds one is answered 413 with the name of the limit; bodies
/// that are streamed are bounded by the server's `BodyLimits` alone.
///
/// The server's own limit on bodies (`server::Limits::body`, by default 16 MiB) applies to all of them and
/// comes first: to accept more, raise both.
#[derive(Clone, Debug)]
pub struct ExtractLimits {
    /// Bytes of a JSON body. Default 1 MiB: more is seldom intended, and costs several times that once
    /// parsed.
    pub json_bytes_max: usize,
    /// Bytes of a form body. Default 256 KiB: ample for typed text.
    pub form_bytes_max: usize,
    /// Pairs of a query (400 beyond it) or form. Default 256: no form has more fields, and each costs a
    /// look-up.
    pub pairs_max: usize,
    /// Bytes of a body taken whole as text or bytes. Default 1 MiB.
    pub whole_bytes_max: usize,
    /// Bytes of a multipart body in total. Default 64 MiB: some photographs. It is streamed, so this bounds
    /// what a client may send, not memory.
    pub multipart_bytes_max: u64,
    /// Bytes of one part of it. Default 64 MiB: a single file may fill the body.
    pub multipart_part_bytes_max: u64,
    /// Parts of a multipart body. Default 64: more than forms have, and each costs its reader some memory.
    pub multipart_parts_max: usize,
}

impl ExtractLimits {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        json_bytes_max: 1024 * 1024,
        form_bytes_max: 256 * 1024,
        pairs_max: 256,
        whole_bytes_max: 1024 * 1024,
        multipart_bytes_max: 64 * 1024 * 1024,
        multipart_part_bytes_max: 64 * 1024 * 1024,
        multipart_parts_max: 64,
    };
}

impl Default for ExtractLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How large and how slow a request body may be. The server has one for all requests, and a route may have
/// its own ([`Router::body_policy`](super::Router::body_policy)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyPolicy {
    /// Most bytes of content; beyond it 413. `None`: any number. Default 16 MiB, as
    /// [`BodyLimits::body_bytes_max`].
    pub bytes_max: Option<u64>,
    /// After each such time of waiting, a reader must have received at least `rate_min` bytes per second of
    /// it; otherwise the body fails with [`BodyError::TimedOut`](super::BodyError::TimedOut). Only time in
    /// which the handler waits counts. `None`: no limit. Default 30 s.
    pub stall_timeout: Option<Duration>,
    /// Bytes per second. Default 240: a modem from 1985 passes.
    pub rate_min: u64,
}

impl BodyPolicy {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        bytes_max: BodyLimits::DEFAULT.body_bytes_max,
        stall_timeout: Some(Duration::from_secs(30)),
        rate_min: 240,
    };

    /// No limits: for tunnels, and for handlers that keep their own.
    pub const UNLIMITED: Self = Self { bytes_max: None, stall_timeout: None, rate_min: 0 };
}

/// What becomes of an exchange whose client has closed its sending direction (a FIN; the end of the HTTP/2
/// connection) while the handler, or the source of the response, still makes it wait.
///
/// A client that has left and one that has merely finished sending look the same until something is sent to
/// it. Whatever the choice, a response that is ready or under way is delivered, requests that were received
/// before are answered, and a connection that is reset ends its exchanges at once.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum HalfClose {
    /// The client has left: the handler is dropped once the client has waited for
    /// [`Limits::half_closed_timeout`](crate::Limits::half_closed_timeout). The default, as otherwise every
    /// client that gives up leaves a handler and a descriptor behind.
    #[default]
    End,
    /// The client waits: the handler goes on. For routes that slow handlers answer to clients such as
    /// `nc -N`, which close their direction after the request. What vanishes is then found by TCP keep-alive,
    /// after two minutes.
    Serve,
}

impl Default for BodyPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
