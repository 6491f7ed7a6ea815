//! A request's body between the connection and its reader: the data received and not read, within the
//! stream's window, and how long the reader has waited. Knows no frames.

use std::task::Waker;
use std::time::{Duration, Instant};

use crate::exchange::{CurrentLimits, Pace};
use crate::http::h2::StreamKey;
use crate::http::message::{FramingError, Trailers};
use crate::service::{BodyError, BodyPolicy};

/// One request's body, or a tunnel's input.
pub(super) struct StreamInput {
    pub(super) stream: StreamKey,
    /// Received and not read. In one piece, because a client may send it byte by byte.
    pub(super) unread: Vec<u8>,
    /// Bytes received in all.
    received: u64,
    /// Bytes that the client announced.
    length: Option<u64>,
    pub(super) progress: InputProgress,
    pub(super) policy: BodyPolicy,
    /// The reader that waits for more.
    reader: Option<Waker>,
    pace: Pace,
}

/// The state of a request's body.
pub(super) enum InputProgress {
    /// More is to come.
    Open,
    /// All of it was received, with these trailers.
    Whole(Trailers),
    /// It failed; the error is returned to the reader once.
    Broken(Option<BodyError>),
}

impl StreamInput {
    pub(super) fn new(stream: StreamKey, length: Option<u64>, policy: BodyPolicy) -> StreamInput {
        StreamInput {
            stream,
            unread: Vec::new(),
            received: 0,
            length,
            progress: InputProgress::Open,
            policy,
            reader: None,
            pace: Pace::default(),
        }
    }

    /// Takes data. False when it will not be read.
    pub(super) fn push(&mut self, data: &[u8], now: Instant) -> bool {
        if self.pace.receive(data.len(), now, &self.policy).is_err() {
            self.fail(BodyError::TimedOut);
        }
        if !matches!(self.progress, InputProgress::Open) {
            return false;
        }
        self.received += data.len() as u64;
        if self.policy.bytes_max.is_some_and(|max| self.received > max) {
            self.fail(BodyError::Framing(FramingError::TooLarge));
            return false;
        }
        self.unread.extend_from_slice(data);
        self.wake();
        true
    }

    /// Bytes received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The error for an announced length over the limit.
    pub(super) fn refuse_length(&self) -> Option<BodyError> {
        self.policy.refuse_length(self.length)
    }

    /// The client has ended the body.
    pub(super) fn end(&mut self, trailers: Result<Trailers, FramingError>) {
        match trailers {
            Ok(trailers) if matches!(self.progress, InputProgress::Open) => {
                self.progress = InputProgress::Whole(trailers);
            }
            Ok(_) => {}
            Err(error) => self.fail(BodyError::Framing(error)),
        }
        self.wake();
    }

    /// No more data will arrive, or be read.
    pub(super) fn fail(&mut self, error: BodyError) {
        if matches!(self.progress, InputProgress::Open) {
            self.progress = InputProgress::Broken(Some(error));
        }
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// A reader waits for more.
    pub(super) fn wait(&mut self, reader: &Waker, now: Instant) {
        if !self.reader.as_ref().is_some_and(|known| known.will_wake(reader)) {
            self.reader = Some(reader.clone());
        }
        self.pace.begin(now);
    }

    /// The wait so far does not count.
    pub(super) fn restart_wait(&mut self, now: Instant) {
        self.pace.restart(now);
    }

    /// Checks a wait that continues: how long it may still last, if there is one.
    pub(super) fn look(&mut self, now: Instant, limits: &CurrentLimits) -> Option<Duration> {
        if !matches!(self.progress, InputProgress::Open) {
            return None;
        }
        match self.pace.look(now, self.policy, limits) {
            Ok(left) => left,
            Err(_) => {
                self.fail(BodyError::TimedOut);
                None
            }
        }
    }
}
