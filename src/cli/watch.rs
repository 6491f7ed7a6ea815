//! Looks every second whether a file of the configuration has changed, and asks for a reload as SIGHUP does.
//! By looking rather than by notifications: a file may be replaced by a link two links away, on a mounted
//! volume, or on a file system without notifications.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use signal_hook::consts::SIGHUP;
use signal_hook::low_level::raise;

use crate::observe::log;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How far the clock of a file system lags behind.
const CLOCK_LAG: Duration = Duration::from_millis(20);

/// Files that were read.
#[derive(Clone)]
pub(super) struct Reading {
    /// Before the first of them was opened.
    pub(super) began: SystemTime,
    pub(super) files: Vec<PathBuf>,
}

/// What changes with a file: another one, another length, another time. Of the times the one that no program
/// sets, because copies keep the other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        let changed = (found.ctime(), found.ctime_nsec());
        Some(Self { file: (found.dev(), found.ino()), bytes: found.size(), changed })
    }

    fn is_after(&self, time: SystemTime) -> bool {
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_sub(CLOCK_LAG);
        self.changed >= (time.as_secs() as i64, i64::from(time.subsec_nanos()))
    }
}

/// What is known of the files.
struct Watched {
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
}

impl Watched {
    fn now(files: Vec<PathBuf>) -> Self {
        let stamps = files.iter().map(|path| Stamp::of(path)).collect();
        Self { files, stamps }
    }

    /// Whether one of the files has changed since this was called, or since it was read.
    fn has_changed(&mut self, reading: Reading) -> bool {
        let now = Self::now(reading.files);
        let is_changed = now.files.iter().zip(&now.stamps).any(|(path, stamp)| {
            match self.files.iter().position(|known| known == path) {
                Some(known) => self.stamps[known] != *stamp,
                None => stamp.is_some_and(|stamp| stamp.is_after(reading.began)),
            }
        });
        *self = now;
        is_changed
    }
}

/// Starts looking at the files that `reading` returns, until the process ends.
pub(super) fn start(reading: impl Fn() -> Reading + Send + 'static) {
    let mut watched = Watched::now(Vec::new());
    let look = move || loop {
        if watched.has_changed(reading())
            && let Err(error) = raise(SIGHUP)
        {
            log::line(format_args!("a file of the configuration has changed, but SIGHUP failed: {error}"));
        }
        thread::sleep(LOOK_EVERY);
    };
    if let Err(error) = thread::Builder::new().name("watch".to_owned()).spawn(look) {
        log::line(format_args!(
            "the configuration is not watched, because there is no thread for it: {error}"
        ));
    }
}
