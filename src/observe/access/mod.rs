//! The access log: one line per exchange.
//!
//! ```text
//! core: record ─► line into a buffer ─┐ full, or a moment old         ┌─► file, FIFO, standard output
//! core: record ─► line into a buffer ─┴──► channel of batches ─► writer thread
//!                     ▲                                            │
//!                     └────────────── empty buffers ◄──────────────┘
//! ```
//!
//! A line is formatted on its core, which is cheaper than copying its parts to another thread. Per request
//! nothing crosses cores, allocates or blocks: when the writer is behind, a core runs out of empty buffers
//! and counts the lines that it drops.

mod clock;
mod core_log;
mod escape;
mod format;
mod output;
mod record;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use self::core_log::CoreLog;
use self::core_log::{BUFFERS, LogMessage};
pub use self::format::Format;
use self::output::LogFile;
pub use self::output::{Destination, OpenError};
pub use self::record::{CLIENT_GONE, ExchangeEnd, LoggedPeer, Record};
use self::writer::{Writer, WriterFlags};

/// Time limit for the last lines to be written. A disk needs a fraction of it; a FIFO without a reader would
/// block without end.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// Polling interval of that wait; this happens once.
const LOOK_AFTER: Duration = Duration::from_millis(1);

/// Wake-ups that the channel holds in addition to all buffers.
const WAKES_MAX: usize = 8;

/// A log that is open, and not yet written to.
#[derive(Debug)]
pub struct AccessLog {
    output: LogFile,
    format: Format,
}

impl AccessLog {
    /// Opens `destination`. Without a `format`: coloured lines for a terminal, JSON for everything else.
    ///
    /// # Errors
    /// The destination, the cause and the remedy.
    pub fn open(destination: &Destination, format: Option<Format>) -> Result<Self, OpenError> {
        let output = LogFile::open(destination)?;
        let format = match (format, output.is_terminal()) {
            (Some(Format::Pretty { coloured }), terminal) => {
                Format::Pretty { coloured: coloured && terminal }
            }
            (Some(format), _) => format,
            // The convention of no-color.org.
            (None, true) => Format::Pretty { coloured: std::env::var_os("NO_COLOR").is_none() },
            (None, false) => Format::Json,
        };
        Ok(Self { output, format })
    }

    /// Starts the writer; one [`CoreLog`] for each of `cores`.
    ///
    /// # Errors
    /// The thread cannot be created.
    pub fn start(self, cores: usize) -> io::Result<(LogWriter, Vec<CoreLog>)> {
        let (out, messages) = mpsc::sync_channel(cores * BUFFERS + WAKES_MAX);
        let core_logs = CoreLogs { format: self.format, out };
        let logs = (0..cores).map(|_| core_logs.another()).collect();
        let flags = Arc::new(WriterFlags::default());
        let writer = Writer::new(self.output, self.format, flags.clone());
        let thread = thread::Builder::new().name("quoit-log".to_owned());
        let thread = thread.spawn(move || writer.run(&messages))?;
        Ok((LogWriter { flags, core_logs, thread }, logs))
    }
}

/// Makes the logs of cores.
#[derive(Clone)]
pub struct CoreLogs {
    format: Format,
    out: SyncSender<LogMessage>,
}

impl CoreLogs {
    /// One more, for a core that is started, or started again after its worker was lost.
    pub fn another(&self) -> CoreLog {
        let (home, spares) = mpsc::sync_channel(BUFFERS);
        for _ in 1..BUFFERS {
            home.try_send(core_log::buffer()).expect("there is room for all buffers");
        }
        CoreLog::new(self.format, self.out.clone(), home, spares)
    }
}

/// The handle of the writer thread.
pub struct LogWriter {
    flags: Arc<WriterFlags>,
    core_logs: CoreLogs,
    thread: JoinHandle<()>,
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogWriter").field(&self.flags).finish()
    }
}

impl LogWriter {
    /// Makes the logs of cores that are started again.
    pub fn core_logs(&self) -> CoreLogs {
        self.core_logs.clone()
    }

    /// Reopens the file by its name before the next line, because it was renamed.
    pub fn reopen(&self) {
        self.flags.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits until the last lines are written, at most three seconds; call it once every core has ended.
    /// Returns how many lines were written in all.
    pub fn finish(self) -> u64 {
        self.flags.finish.store(true, Ordering::Release);
        self.wake();
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < FINISH_WITHIN {
            thread::sleep(LOOK_AFTER);
        }
        self.flags.written.load(Ordering::Relaxed)
    }

    /// When the channel is full the writer is busy, and checks its flags afterwards.
    fn wake(&self) {
        let _ = self.core_logs.out.try_send(LogMessage::Wake);
    }
}
