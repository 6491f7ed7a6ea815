//! The writer thread: takes batches from every core, follows rotations, and continues after errors. Lost
//! lines are counted and reported, on standard error and in the log itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use super::clock::LogClock;
use super::core_log::{Batch, KEPT_BYTES_MAX, LogMessage, buffer};
use super::format::Format;
use super::output::LogFile;
use crate::observe::log;

/// How often the name is checked while lines are written: the delay of a rotation by renaming.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Interval between retries of a write to a full FIFO.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Retries on a full FIFO at shutdown: one second.
const LAST_TRIES: u32 = 100;

/// State shared by the writer and its handle.
#[derive(Debug, Default)]
pub(super) struct WriterFlags {
    /// The name has to be reopened.
    pub(super) reopen: AtomicBool,
    /// No more lines will follow.
    pub(super) finish: AtomicBool,
    /// Lines written so far.
    pub(super) written: AtomicU64,
}

pub(super) struct Writer {
    output: LogFile,
    format: Format,
    flags: Arc<WriterFlags>,
    clock: LogClock,
    looked_at: Instant,
    /// Whether the last write failed: logged once when failures begin and once when they end.
    failing: bool,
    /// Whether the last reopening failed: logged once.
    unopened: bool,
    /// Lines lost and not yet reported in the log.
    lost: u64,
    /// The last write ended within a line.
    torn: bool,
    last_tries: u32,
}

impl Writer {
    pub(super) fn new(output: LogFile, format: Format, flags: Arc<WriterFlags>) -> Self {
        let now = Instant::now();
        Self {
            output,
            format,
            flags,
            clock: LogClock::new(now),
            looked_at: now,
            failing: false,
            unopened: false,
            lost: 0,
            torn: false,
            last_tries: LAST_TRIES,
        }
    }

    /// Writes until the log ends.
    pub(super) fn run(mut self, messages: &Receiver<LogMessage>) {
        while let Some(message) = self.next(messages) {
            self.handle_reopen();
            let LogMessage::Lines(mut batch) = message else { continue };
            self.write_batch(&batch);
            batch.bytes.clear();
            if batch.bytes.capacity() > KEPT_BYTES_MAX {
                batch.bytes = buffer();
            }
            // Fails only when the core has ended.
            let _ = batch.home.try_send(batch.bytes);
        }
    }

    /// The next message; blocks until shutdown begins.
    fn next(&self, messages: &Receiver<LogMessage>) -> Option<LogMessage> {
        if !self.flags.finish.load(Ordering::Acquire) {
            return messages.recv().ok();
        }
        messages.try_recv().ok()
    }

    fn write_batch(&mut self, batch: &Batch) {
        self.follow_rotation();
        self.lost += batch.lost;
        if std::mem::take(&mut self.torn) {
            self.torn = self.write(b"\n") == 0;
        }
        let written = self.write(&batch.bytes);
        let lines = match batch.bytes.len() {
            all if all == written => batch.lines,
            _ => memchr::memchr_iter(b'\n', &batch.bytes[..written]).count() as u64,
        };
        self.flags.written.fetch_add(lines, Ordering::Relaxed);
        self.lost += batch.lines - lines;
        if self.lost > 0 && written == batch.bytes.len() {
            self.report_lost();
        }
    }

    fn report_lost(&mut self) {
        let mut line = Vec::new();
        self.format.push_lost(&mut line, self.lost, self.clock.at(Instant::now()));
        if self.write(&line) == line.len() {
            self.lost = 0;
        }
    }

    /// Writes `bytes`; how many were written before an error.
    fn write(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            let error = match self.output.write(&bytes[written..]) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(more) => {
                    written += more;
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if self.may_try_again() => {
                    thread::sleep(RETRY_AFTER);
                    self.handle_reopen();
                }
                _ => {
                    self.torn |= bytes[..written].last().is_some_and(|&last| last != b'\n');
                    self.report_failure(&error);
                    return written;
                }
            }
        }
        if std::mem::take(&mut self.failing) {
            log::line(format_args!("the access log {} is written again", self.output.destination()));
        }
        written
    }

    fn may_try_again(&mut self) -> bool {
        if self.flags.finish.load(Ordering::Acquire) {
            self.last_tries = self.last_tries.saturating_sub(1);
        }
        self.last_tries > 0
    }

    fn report_failure(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            log::line(format_args!(
                "the access log {} cannot be written ({error}); serving goes on, its lines are lost until it \
                 can",
                self.output.destination()
            ));
        }
    }

    fn handle_reopen(&mut self) {
        if self.flags.reopen.swap(false, Ordering::AcqRel) {
            self.reopen();
        }
    }

    fn follow_rotation(&mut self) {
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            if self.failing || self.output.is_rotated() {
                self.reopen();
            }
        }
    }

    fn reopen(&mut self) {
        match self.output.reopen() {
            Ok(()) => (self.unopened, self.torn) = (false, false),
            Err(error) if !std::mem::replace(&mut self.unopened, true) => log::line(format_args!(
                "the access log {} cannot be opened again ({error}); the old file is written on, and another \
                 try follows every second",
                self.output.destination()
            )),
            Err(_) => {}
        }
    }
}
