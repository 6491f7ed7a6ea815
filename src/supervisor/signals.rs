//! The signals of a process that serves: SIGTERM, SIGINT and SIGQUIT drain, the second one stops, the third
//! one ends the process at once; SIGHUP reloads, SIGUSR1 reopens the access log, SIGUSR2 does nothing. None
//! can be kept waiting by the server: the process ends at the latest shortly after the drain's time limit, or
//! after the second signal, whatever hangs.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::observe::log;

/// After the drain's time limit, for the last lines of the logs. Together with the limit it is below the ten
/// seconds after which container engines kill.
const END_AFTER_DRAIN: Duration = Duration::from_millis(1500);

/// After the second signal, for connections to be closed and the last lines to be written.
const END_AFTER_STOP: Duration = Duration::from_millis(1500);

/// Time for the last line before the process is ended.
const LAST_LINE_WITHIN: Duration = Duration::from_millis(200);

/// Servers of this process that serve: without any, a signal to stop does what it does by default.
static SERVING: AtomicUsize = AtomicUsize::new(0);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
    ReopenLog,
}

/// The signals of a process, caught since before the server was started.
pub(super) struct SignalWatch {
    drain: Duration,
    state: Arc<Mutex<WatchState>>,
}

/// Receives what signals ask for.
type Listener = Box<dyn Fn(Asked) + Send>;

/// What signals meet.
enum WatchState {
    /// The server is being started.
    Starting {
        stops: usize,
        /// A reload that was asked for too early comes as soon as there is something to reload.
        reloads: bool,
    },
    Serving {
        stops: usize,
        listener: Listener,
    },
    /// The server has ended, and the process goes on.
    Over,
}

impl SignalWatch {
    /// Catches the signals from now on. `drain` is the drain's time limit.
    pub(super) fn start(drain: Duration) -> io::Result<Self> {
        // SIGXFSZ: a log at the limit on the size of files is an error of its write, and not the end.
        // SIGUSR2: other servers start a new program on it, which must not end this one.
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGHUP, SIGXFSZ])?;
        let watch =
            Self { drain, state: Arc::new(Mutex::new(WatchState::Starting { stops: 0, reloads: false })) };
        let watched = watch.state.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGXFSZ => {}
                    SIGUSR2 => log::line(format_args!("SIGUSR2 asks for nothing here: SIGHUP reloads")),
                    SIGUSR1 => ask(&watched, Asked::ReopenLog),
                    SIGHUP => ask(&watched, Asked::Reload),
                    stop => handle_stop(&watched, stop, drain),
                }
            }
        })?;
        Ok(watch)
    }

    /// Passes signals to `listener` until this is dropped; a signal to stop that came during the start too.
    pub(super) fn listen(&self, listener: impl Fn(Asked) + Send + 'static) {
        SERVING.fetch_add(1, Ordering::AcqRel);
        let mut state = lock(&self.state);
        let (stops, reloads) = match *state {
            WatchState::Starting { stops, reloads } => (stops, reloads),
            WatchState::Serving { .. } | WatchState::Over => (0, false),
        };
        if reloads {
            listener(Asked::Reload);
        }
        if stops > 0 {
            listener(Asked::Stop);
            end_within(&self.state, self.drain + END_AFTER_DRAIN, is_serving);
        }
        *state = WatchState::Serving { stops, listener: Box::new(listener) };
    }
}

impl Drop for SignalWatch {
    /// The process goes on without a server: signals to stop end it again.
    fn drop(&mut self) {
        if is_serving(&std::mem::replace(&mut *lock(&self.state), WatchState::Over)) {
            SERVING.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

fn is_serving(state: &WatchState) -> bool {
    matches!(state, WatchState::Serving { .. })
}

fn is_starting(state: &WatchState) -> bool {
    matches!(state, WatchState::Starting { .. })
}

fn lock(state: &Mutex<WatchState>) -> MutexGuard<'_, WatchState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ask(state: &Mutex<WatchState>, what: Asked) {
    match &mut *lock(state) {
        WatchState::Serving { listener, .. } => listener(what),
        WatchState::Starting { reloads, .. } => *reloads |= what == Asked::Reload,
        WatchState::Over => {}
    }
}

fn handle_stop(state: &Arc<Mutex<WatchState>>, signal: i32, drain: Duration) {
    match &mut *lock(state) {
        WatchState::Serving { stops, listener } => {
            *stops += 1;
            if *stops > 2 {
                end_now();
            }
            let limit = if *stops == 1 { drain + END_AFTER_DRAIN } else { END_AFTER_STOP };
            listener(Asked::Stop);
            end_within(state, limit, is_serving);
        }
        // The start may be over in a moment, and its workers may already answer.
        WatchState::Starting { stops, .. } if *stops == 0 => {
            *stops = 1;
            end_within(state, END_AFTER_STOP, is_starting);
        }
        // A start that hangs must not keep the process.
        WatchState::Starting { .. } => end_as_usual(signal),
        // Unless another server of this process drains.
        WatchState::Over if SERVING.load(Ordering::Acquire) == 0 => end_as_usual(signal),
        WatchState::Over => {}
    }
}

/// What a signal to stop does to a process that does not catch it.
fn end_as_usual(signal: i32) {
    log::flush(LAST_LINE_WITHIN);
    let _ = low_level::emulate_default_handler(signal);
}

/// Ends the process after this time, if the state is `still` the same then.
fn end_within(state: &Arc<Mutex<WatchState>>, limit: Duration, still: fn(&WatchState) -> bool) {
    let state = state.clone();
    let wait = move || {
        thread::sleep(limit);
        if still(&lock(&state)) {
            end_now();
        }
    };
    if thread::Builder::new().name("deadline".to_owned()).spawn(wait).is_err() {
        log::line(format_args!("no thread to watch the end of the server; the third signal ends it at once"));
    }
}

fn end_now() -> ! {
    log::line(format_args!("the server did not end in time, because something in it hangs; it is ended"));
    log::flush(LAST_LINE_WITHIN);
    // Without destructors: one of them may be what hangs.
    low_level::exit(1)
}
