//! A request's body between its arrival and its reader: what was received and not read, within the stream's
//! window, and how long the reader has been waiting. Knows no frames.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::http::h2::StreamKey;
use crate::http::message;
use crate::server::limits::Limits;
use crate::service::BodyError;

/// One request's body.
pub(super) struct Incoming {
    pub(super) stream: StreamKey,
    /// Received and not read. In one piece, for a client may send it byte by byte.
    pub(super) unread: Vec<u8>,
    /// Bytes received in all.
    received: u64,
    pub(super) state: State,
    /// The client waits for `100 Continue`.
    pub(super) expects_continue: bool,
    /// Who waits for more.
    reader: Option<Waker>,
    pull: Pull,
}

/// How far a body has come.
pub(super) enum State {
    /// More is to come.
    Open,
    /// All of it was received, with these trailers.
    Whole(Vec<u8>),
    /// It broke off; the reader is told once.
    Broken(Option<BodyError>),
}

/// Waiting for the body: since when, how long in this window, how much came in it.
#[derive(Default)]
struct Pull {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Incoming {
    pub(super) fn new(stream: StreamKey, expects_continue: bool) -> Incoming {
        Incoming {
            stream,
            unread: Vec::new(),
            received: 0,
            state: State::Open,
            expects_continue,
            reader: None,
            pull: Pull::default(),
        }
    }

    /// Takes data. False when nobody will read it.
    pub(super) fn push(&mut self, data: &[u8], limits: &Limits, now: Instant) -> bool {
        self.expects_continue = false;
        self.end_pull(data.len(), limits, now);
        if !matches!(self.state, State::Open) {
            return false;
        }
        self.received += data.len() as u64;
        if limits.body.body_bytes_max.is_some_and(|max| self.received > max) {
            self.fail(BodyError::Framing(message::FramingError::TooLarge));
            return false;
        }
        self.unread.extend_from_slice(data);
        self.wake();
        true
    }

    /// After the last of it.
    pub(super) fn end(&mut self, trailers: Result<Vec<u8>, message::FramingError>) {
        match trailers {
            Ok(trailers) if matches!(self.state, State::Open) => self.state = State::Whole(trailers),
            Ok(_) => {}
            Err(error) => self.fail(BodyError::Framing(error)),
        }
        self.wake();
    }

    /// Nothing more will come, or be read.
    pub(super) fn fail(&mut self, error: BodyError) {
        if matches!(self.state, State::Open) {
            self.state = State::Broken(Some(error));
        }
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Somebody waits for more.
    pub(super) fn wait(&mut self, reader: &Waker, now: Instant) {
        if !self.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            self.reader = Some(reader.clone());
        }
        self.pull.since.get_or_insert(now);
    }

    /// Notes the end of a wait; breaks the body off when the client has been too slow for too long.
    fn end_pull(&mut self, bytes: usize, limits: &Limits, now: Instant) {
        self.pull.bytes += bytes as u64;
        if let Some(since) = self.pull.since.take() {
            self.pull.waited += now.saturating_duration_since(since);
            self.weigh(limits);
        }
    }

    fn weigh(&mut self, limits: &Limits) {
        if self.pull.waited >= limits.stall_timeout {
            let too_slow = self.pull.bytes < limits.rate_min * self.pull.waited.as_secs().max(1);
            self.pull = Pull::default();
            if too_slow {
                self.fail(BodyError::TimedOut);
            }
        }
    }

    /// Looks at a wait that goes on: how long it may still last, if there is one.
    pub(super) fn look(&mut self, limits: &Limits, now: Instant) -> Option<Duration> {
        let since = self.pull.since?;
        self.pull.waited += now.saturating_duration_since(since);
        self.pull.since = Some(now);
        self.weigh(limits);
        if !matches!(self.state, State::Open) {
            return None;
        }
        self.pull.since = Some(now);
        Some(limits.stall_timeout.saturating_sub(self.pull.waited))
    }
}
