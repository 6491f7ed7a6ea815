//! Log lines for the operator, on standard error. Not on the request path: only what an operator should act
//! on.
//!
//! **Nothing that serves waits for standard error.** A line goes into a bounded queue, from which one thread
//! writes; when its reader is stuck, lines are dropped and counted. On the threads of a server each cause,
//! that is the place in the code that writes the line, has a limit, so that a fault of every request does not
//! become a line of every request. With the feature `tracing`, a line is an event instead where a subscriber
//! wants it. Programs end with [`flush`], which waits for the last lines, and not for
//! ever.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::fmt::Arguments;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::{self, Write};
use std::panic::{self, Location};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use super::span::{self, Severity};

/// Lines that wait for standard error. Enough for every mistake in a large configuration; a reader that is
/// this far behind does not follow.
const LINES_WAITING_MAX: usize = 1024;

/// Bytes of one line; the rest is cut. With the number of lines it bounds the memory of the queue.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// Lines of one cause in [`LIMIT_EVERY`], on each thread of a server. Ten show whether a fault is the same
/// each time; a hundred would only hide other lines.
const LINES_OF_A_CAUSE_MAX: u32 = 10;
const LIMIT_EVERY: Duration = Duration::from_secs(10);

/// Interval between retries of a write to a standard error that is non-blocking and full.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Prefixes of the names of a server's threads, whose panics are reported here: all but those of the test
/// harness.
const SERVER_THREADS: &str = "quoit-";
const TEST_THREADS: &str = "quoit-test";

enum Entry {
    Line(Vec<u8>),
    /// Reply once everything before this is written.
    Flush(mpsc::Sender<()>),
}

/// The queue; `None` inside if the system had no thread for it, and lines are written where they occur.
static QUEUE: OnceLock<Option<SyncSender<Entry>>> = OnceLock::new();

/// Lines that found the queue full and were not reported as lost yet.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Lines over the limit of their cause that no later line has reported yet.
static HELD_BACK: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The limits of this thread's causes; `None` on threads without limits.
    static CAUSES: RefCell<Option<Causes>> = const { RefCell::new(None) };
}

/// Writes one line: `quoit: …`. Control characters are escaped, so that no peer can forge a line. Never
/// blocks: when standard error is stuck, the line is counted instead.
#[track_caller]
pub fn line(text: Arguments<'_>) {
    let _ = limited(Severity::Warning, Location::caller(), text);
}

/// Writes an error as one line, with its causes. The messages of this crate include their cause where that
/// helps the operator, followed by the remedy; a cause that is included is not repeated.
#[track_caller]
pub fn error(error: &(dyn Error + 'static)) {
    let _ = limited(Severity::Error, Location::caller(), format_args!("{}", with_causes(error)));
}

/// Waits until the lines so far are written, at most `within`; whether they were. To be called before a
/// program ends.
pub fn flush(within: Duration) -> bool {
    let Some(Some(queue)) = QUEUE.get() else { return true };
    let deadline = Instant::now() + within;
    let (done, written) = mpsc::channel();
    let mut entry = Entry::Flush(done);
    loop {
        match queue.try_send(entry) {
            Ok(()) => break,
            Err(TrySendError::Full(back)) if Instant::now() < deadline => {
                entry = back;
                thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return false,
        }
    }
    written.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
}

/// Limits the lines of each cause on this thread, from now on: for threads that serve.
pub(crate) fn limit_causes() {
    CAUSES.with_borrow_mut(|causes| *causes = Some(Causes::default()));
}

/// Starts the thread that writes, so that it is not started by a pinned one, and reports panics of a server's
/// threads through the queue: the standard library's hook writes to standard error and would wait for it.
/// Other threads keep the hook that there was.
pub(crate) fn start() {
    static HOOK: Once = Once::new();
    queue();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let thread = thread::current();
            let is_ours = |name: &&str| name.starts_with(SERVER_THREADS) && !name.starts_with(TEST_THREADS);
            match thread.name().filter(is_ours) {
                Some(name) => report_panic(name, panic),
                None => others(panic),
            }
        }));
    });
}

fn report_panic(thread: &str, panic: &panic::PanicHookInfo<'_>) {
    if CAUSES.with_borrow(Option::is_none) {
        limit_causes();
    }
    let text = panic_text(panic.payload());
    let Some(place) = panic.location() else {
        return line(format_args!("the thread {thread} panicked: {text}"));
    };
    if !limited(Severity::Error, place, format_args!("the thread {thread} panicked at {place}: {text}")) {
        return;
    }
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        trace.to_string().lines().for_each(|frame| enqueue(render(format_args!("{frame}"))));
    }
}

/// Writes a line, unless its cause is over the limit of this thread; whether it does.
fn limited(severity: Severity, cause: &Location<'_>, text: Arguments<'_>) -> bool {
    // No state while the thread's own is being destroyed: such a line is rare and not limited.
    let verdict = CAUSES.try_with(|causes| {
        let mut causes = causes.try_borrow_mut().ok()?;
        Some(causes.as_mut()?.judge(cause, Instant::now()))
    });
    let verdict = verdict.ok().flatten().unwrap_or(Verdict::Write);
    match verdict {
        Verdict::Write => publish(severity, text),
        Verdict::WriteLast => publish(
            severity,
            format_args!("{text} (the last one like this for up to {} s)", LIMIT_EVERY.as_secs()),
        ),
        Verdict::WriteAfter(held) => {
            // Saturating, because a flush may have reported some of them.
            let _ = HELD_BACK
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| Some(all.saturating_sub(held)));
            publish(severity, format_args!("{text} (and {held} like this were not written)"));
        }
        Verdict::HoldBack => {
            HELD_BACK.fetch_add(1, Ordering::Relaxed);
        }
    }
    verdict != Verdict::HoldBack
}

/// What happens to a line of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    /// Further ones are held back.
    WriteLast,
    /// The first after so many that were held back.
    WriteAfter(u64),
    HoldBack,
}

/// The causes of one thread. As many as there are places in the code that write lines, or that panic.
#[derive(Default)]
struct Causes(HashMap<u64, Cause>);

struct Cause {
    since: Instant,
    written: u32,
    held_back: u64,
}

impl Causes {
    fn judge(&mut self, cause: &Location<'_>, now: Instant) -> Verdict {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        let key = hasher.hash_one((cause.file(), cause.line(), cause.column()));
        let cause = self.0.entry(key).or_insert(Cause { since: now, written: 0, held_back: 0 });
        if now.saturating_duration_since(cause.since) >= LIMIT_EVERY {
            (cause.since, cause.written) = (now, 0);
        }
        if cause.written >= LINES_OF_A_CAUSE_MAX {
            cause.held_back += 1;
            return Verdict::HoldBack;
        }
        cause.written += 1;
        match std::mem::take(&mut cause.held_back) {
            0 if cause.written == LINES_OF_A_CAUSE_MAX => Verdict::WriteLast,
            0 => Verdict::Write,
            held => Verdict::WriteAfter(held),
        }
    }
}

const PREFIX: &str = "quoit: ";

/// Gives a line to the subscriber that wants it, or else to standard error.
fn publish(severity: Severity, text: Arguments<'_>) {
    let line = render(text);
    let bare = std::str::from_utf8(&line).unwrap_or_default().trim_start_matches(PREFIX).trim_end();
    if !span::event(severity, bare) {
        enqueue(line);
    }
}

/// The line as it is written.
fn render(text: Arguments<'_>) -> Vec<u8> {
    let mut clean = String::from(PREFIX);
    for c in text.to_string().chars() {
        if clean.len() >= LINE_BYTES_MAX {
            clean.push_str(" […]");
            break;
        }
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean.push('\n');
    clean.into_bytes()
}

fn enqueue(line: Vec<u8>) {
    match queue() {
        Some(queue) => {
            if queue.try_send(Entry::Line(line)).is_err() {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
        }
        // An error is ignored, because it cannot be reported.
        None => drop(io::stderr().lock().write_all(&line)),
    }
}

/// The queue of the thread that writes; the first call starts it.
fn queue() -> Option<&'static SyncSender<Entry>> {
    let start = || {
        let (queue, entries) = mpsc::sync_channel(LINES_WAITING_MAX);
        let thread = thread::Builder::new().name("stderr-lines".to_owned());
        thread.spawn(move || write_entries(&entries, &mut io::stderr())).ok().map(|_| queue)
    };
    QUEUE.get_or_init(start).as_ref()
}

fn write_entries(entries: &Receiver<Entry>, out: &mut impl Write) {
    for entry in entries {
        match entry {
            Entry::Line(line) => {
                write_line(out, &line);
                let lost = LOST.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let text = "lines were lost, because standard error did not take them";
                    write_line(out, &render(format_args!("{lost} {text}")));
                }
            }
            Entry::Flush(done) => {
                let held = HELD_BACK.swap(0, Ordering::Relaxed);
                if held > 0 {
                    let text = "lines were not written, because there were many of the same cause";
                    write_line(out, &render(format_args!("{held} {text}")));
                }
                // The program may no longer wait.
                let _ = done.send(());
            }
        }
    }
}

/// Writes a whole line. An error is ignored, because it cannot be reported.
fn write_line(out: &mut impl Write, line: &[u8]) {
    let mut rest = line;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return,
            Ok(written) => rest = &rest[written..],
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Another program has made the shared description non-blocking.
                io::ErrorKind::WouldBlock => thread::sleep(RETRY_AFTER),
                _ => return,
            },
        }
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// The message of a panic, for a line.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("the disk: {0}; is it full?")]
        Tells(#[source] io::Error),
        #[error("the backup failed")]
        Wraps(#[source] Box<Failure>),
    }

    #[test]
    fn a_cause_is_limited_and_what_was_held_back_is_counted() {
        let (mut causes, now) = (Causes::default(), Instant::now());
        let [here, there] = [Location::caller(), place()];
        let mut judge = |cause, now| causes.judge(cause, now);
        for _ in 1..LINES_OF_A_CAUSE_MAX {
            assert_eq!(judge(here, now), Verdict::Write);
        }
        assert_eq!(judge(here, now), Verdict::WriteLast);
        for _ in 0..3 {
            assert_eq!(judge(here, now), Verdict::HoldBack);
        }
        assert_eq!(judge(there, now), Verdict::Write, "another cause has its own limit");
        assert_eq!(judge(here, now + LIMIT_EVERY), Verdict::WriteAfter(3));
        assert_eq!(judge(here, now + LIMIT_EVERY), Verdict::Write);
    }

    /// The place of a line of this test, other than that of the caller.
    fn place() -> &'static Location<'static> {
        #[track_caller]
        fn caller() -> &'static Location<'static> {
            Location::caller()
        }
        caller()
    }

    #[test]
    fn lines_are_bounded_and_cannot_be_forged() {
        assert_eq!(render(format_args!("a\nquoit: b\x1b[2J")), b"quoit: a\\nquoit: b\\u{1b}[2J\n");
        let long = render(format_args!("{}", "x".repeat(100_000)));
        assert!(long.len() < LINE_BYTES_MAX + 16, "{}", long.len());
    }

    /// Takes one byte at a time, and refuses every other write as a full pipe does.
    #[derive(Default)]
    struct Reluctant {
        taken: Vec<u8>,
        refuses: bool,
    }

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.refuses = !self.refuses;
            if self.refuses {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.push(bytes[0]);
            Ok(1)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_whole_to_a_pipe_that_is_non_blocking() {
        let mut out = Reluctant::default();
        write_line(&mut out, b"quoit: a\n");
        assert_eq!(out.taken, b"quoit: a\n");
    }

    #[test]
    fn causes_are_written_once() {
        let refused = || Failure::Tells(io::Error::other("refused"));
        assert_eq!(with_causes(&refused()), "the disk: refused; is it full?");
        let wrapped = Failure::Wraps(Box::new(refused()));
        assert_eq!(with_causes(&wrapped), "the backup failed: the disk: refused; is it full?");
    }
}
