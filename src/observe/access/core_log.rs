//! The per-core side of the log: lines are collected in a buffer, and full buffers are exchanged for empty
//! ones. Never blocks: when no empty buffer is available, lines are dropped and counted.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, SyncSender};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::clock::LogClock;
use super::format::Format;
use super::record::Record;

/// Bytes after which lines are handed over: some 250 lines, so that the system call and the wake-up of the
/// writer cost almost nothing per line.
const BATCH_BYTES: usize = 64 * 1024;

/// Room for the line that fills a batch, unless it is extremely long.
const LINE_BYTES: usize = 4 * 1024;

/// Largest capacity that a buffer keeps, so that a few extremely long lines do not keep memory resident.
pub(super) const KEPT_BYTES_MAX: usize = 2 * BATCH_BYTES;

/// Buffers of one core, the one being filled included. More would only delay the moment from which a blocked
/// writer costs lines.
pub(super) const BUFFERS: usize = 4;

/// Time limit for the writer to return a buffer at shutdown.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// An empty buffer.
pub(super) fn buffer() -> Vec<u8> {
    Vec::with_capacity(BATCH_BYTES + LINE_BYTES)
}

/// Whole lines on their way to the writer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// Lines dropped after these.
    pub(super) lost: u64,
    /// Where the buffer is returned.
    pub(super) home: SyncSender<Vec<u8>>,
}

/// Messages to the writer.
#[derive(Debug)]
pub(super) enum LogMessage {
    Lines(Batch),
    /// Check the flags.
    Wake,
}

/// One core's access log. Not `Send`.
#[derive(Debug)]
pub struct CoreLog {
    format: Format,
    lines: RefCell<Lines>,
    out: SyncSender<LogMessage>,
    /// Where the writer returns buffers, and the empty ones it returned.
    home: SyncSender<Vec<u8>>,
    spares: Receiver<Vec<u8>>,
}

#[derive(Debug)]
struct Lines {
    clock: LogClock,
    bytes: Vec<u8>,
    count: u64,
    lost: u64,
    /// Every exchange, dropped lines included.
    recorded: u64,
    waker: Option<Waker>,
    /// Another log has taken its place.
    is_retired: bool,
}

impl CoreLog {
    pub(super) fn new(
        format: Format,
        out: SyncSender<LogMessage>,
        home: SyncSender<Vec<u8>>,
        spares: Receiver<Vec<u8>>,
    ) -> Self {
        let lines = Lines {
            clock: LogClock::new(Instant::now()),
            bytes: buffer(),
            count: 0,
            lost: 0,
            recorded: 0,
            waker: None,
            is_retired: false,
        };
        Self { format, lines: RefCell::new(lines), out, home, spares }
    }

    /// Logs an exchange that ended `now`.
    pub fn record(&self, record: &Record<'_>, now: Instant) {
        let mut lines = self.lines.borrow_mut();
        let lines = &mut *lines;
        lines.recorded += 1;
        if lines.bytes.len() >= BATCH_BYTES && !self.hand_over(lines) {
            lines.lost += 1;
            return;
        }
        let first = lines.bytes.is_empty();
        self.format.push_line(&mut lines.bytes, record, lines.clock.at(now));
        lines.count += 1;
        if first && let Some(waker) = lines.waker.take() {
            waker.wake();
        }
        if lines.bytes.len() >= BATCH_BYTES {
            self.hand_over(lines);
        }
    }

    /// Ready when lines should be handed over, or none will follow.
    pub fn poll_lines(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.is_empty() && !lines.is_retired {
            lines.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Hands over the buffered lines, if an empty buffer is available.
    pub fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if !lines.bytes.is_empty() {
            self.hand_over(&mut lines);
        }
    }

    /// Hands over the lines so far: another log has taken its place.
    pub fn retire(&self) {
        self.flush();
        let mut lines = self.lines.borrow_mut();
        lines.is_retired = true;
        lines.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Whether another log has taken its place.
    pub fn is_retired(&self) -> bool {
        self.lines.borrow().is_retired
    }

    /// Hands over the last lines, and waits up to a second for the writer: for a core that has stopped
    /// serving.
    pub fn finish(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.is_empty() || self.hand_over(&mut lines) {
            return;
        }
        if let Ok(spare) = self.spares.recv_timeout(FINISH_WITHIN) {
            self.exchange(&mut lines, spare);
        }
    }

    /// Exchanges so far, dropped lines included.
    pub fn recorded(&self) -> u64 {
        self.lines.borrow().recorded
    }

    /// Exchanges the buffer for an empty one; false when there is none.
    fn hand_over(&self, lines: &mut Lines) -> bool {
        self.spares.try_recv().is_ok_and(|spare| self.exchange(lines, spare))
    }

    fn exchange(&self, lines: &mut Lines, spare: Vec<u8>) -> bool {
        let batch = Batch {
            bytes: std::mem::replace(&mut lines.bytes, spare),
            lines: std::mem::take(&mut lines.count),
            lost: std::mem::take(&mut lines.lost),
            home: self.home.clone(),
        };
        // The channel has room for every buffer. Fails only when the writer has ended.
        self.out.try_send(LogMessage::Lines(batch)).is_ok()
    }
}
