//! The log's end on a core: lines gather in a buffer, and full buffers are exchanged for empty ones. Waits
//! for nobody: without an empty buffer the writer is behind, and lines are counted instead of kept.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, SyncSender};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::clock::LogClock;
use super::format::Format;
use super::record::Record;

/// Lines are handed over when there are this many bytes of them: some 250 lines, for which one system call
/// and one wake-up of the writer cost next to nothing per line.
const BATCH_BYTES: usize = 64 * 1024;

/// Room for the line that fills a batch, as long as it is no monster.
const LINE_BYTES: usize = 4 * 1024;

/// Room that a buffer may keep: the lines of a few monstrous heads must not stay resident for ever.
pub(super) const KEPT_BYTES_MAX: usize = 2 * BATCH_BYTES;

/// Buffers of one core, the one being filled included. More would only delay the moment from which a writer
/// that is stuck costs lines.
pub(super) const BUFFERS: usize = 4;

/// Time for the writer to give back a buffer at the very end.
const FINISH_WITHIN: Duration = Duration::from_secs(1);

/// An empty buffer.
pub(super) fn buffer() -> Vec<u8> {
    Vec::with_capacity(BATCH_BYTES + LINE_BYTES)
}

/// Whole lines on their way to the writer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) core: usize,
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
    /// Lines that were not kept behind these.
    pub(super) lost: u64,
}

/// What the writer is told.
#[derive(Debug)]
pub(super) enum LogMessage {
    Lines(Batch),
    /// To look at its flags.
    Wake,
}

/// One core's access log. Lives on its core.
#[derive(Debug)]
pub struct CoreLog {
    core: usize,
    format: Format,
    lines: RefCell<Lines>,
    out: SyncSender<LogMessage>,
    /// Empty buffers, back from the writer.
    spares: Receiver<Vec<u8>>,
}

#[derive(Debug)]
struct Lines {
    clock: LogClock,
    bytes: Vec<u8>,
    count: u64,
    lost: u64,
    /// Every exchange that was to be logged.
    recorded: u64,
    waker: Option<Waker>,
}

impl CoreLog {
    pub(super) fn new(
        core: usize,
        format: Format,
        out: SyncSender<LogMessage>,
        spares: Receiver<Vec<u8>>,
    ) -> Self {
        let lines = Lines {
            clock: LogClock::new(Instant::now()),
            bytes: buffer(),
            count: 0,
            lost: 0,
            recorded: 0,
            waker: None,
        };
        Self { core, format, lines: RefCell::new(lines), out, spares }
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

    /// Ready when there are lines to be handed over.
    pub fn poll_lines(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.is_empty() {
            lines.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Hands over what there is, if the writer keeps up.
    pub fn flush(&self) {
        let mut lines = self.lines.borrow_mut();
        if !lines.bytes.is_empty() {
            self.hand_over(&mut lines);
        }
    }

    /// Hands over the last lines, and waits a second for the writer where it must: for a core that serves
    /// nobody any more.
    pub fn finish(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.bytes.is_empty() || self.hand_over(&mut lines) {
            return;
        }
        if let Ok(spare) = self.spares.recv_timeout(FINISH_WITHIN) {
            self.exchange(&mut lines, spare);
        }
    }

    /// Exchanges that were to be logged so far, lost ones included.
    pub fn recorded(&self) -> u64 {
        self.lines.borrow().recorded
    }

    /// Exchanges the buffer for an empty one; false when there is none.
    fn hand_over(&self, lines: &mut Lines) -> bool {
        self.spares.try_recv().is_ok_and(|spare| self.exchange(lines, spare))
    }

    fn exchange(&self, lines: &mut Lines, spare: Vec<u8>) -> bool {
        let batch = Batch {
            core: self.core,
            bytes: std::mem::replace(&mut lines.bytes, spare),
            lines: std::mem::take(&mut lines.count),
            lost: std::mem::take(&mut lines.lost),
        };
        // There is room for every buffer there is. Fails only when the writer is no more.
        self.out.try_send(LogMessage::Lines(batch)).is_ok()
    }
}
